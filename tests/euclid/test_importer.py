"""Packs made from Euclid cutouts: nothing lost for one bad file, nothing half-way, names and IDs that stay."""

import os
import re
import subprocess
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fakes.euclid import (
    MAGZERO,
    all_strict,
    check_sky,
    frames_of,
    id_in,
    imported,
    mer_hdus,
    mer_with,
    refused,
    write_group,
    written,
)
from fakes.workspace import PROJECT

from lensfold.data.bad_pixels import MAX_BAD_SHARE
from lensfold.data.cache import central
from lensfold.data.cache_build import Build, build_cache
from lensfold.data.depth import MER_SIGMA
from lensfold.data.fits_reader import read_frame
from lensfold.data.objects import COLUMNS, read_objects
from lensfold.errors import InputError
from lensfold.euclid import hdus as fits_hdus
from lensfold.euclid import importer, publish
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import EXTENSIONS
from lensfold.euclid.names import Kind, id_of, pack_folders, sibling_packs
from lensfold.euclid.packs import Options
from lensfold.frames import BAND_SHAPES, BANDS, band_shapes
from lensfold.paths import Pack, cutout_file, maps_file

REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))
CENTRE = (359.12345678912345, -49.987654321098765)  # of every cutout of `fakes.euclid`


def at(hdus: fits.HDUList, dec: float) -> fits.HDUList:
    """The same cutout elsewhere on the sky."""
    for name in EXTENSIONS.values():
        hdus[name].header["CRVAL2"] = dec
    return hdus


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_the_real_example_gives_the_reference_in_every_band(tmp_path):
    source = REAL / "mer" / "EUC_MER_example_300px.fits"
    out = tmp_path / "real"
    made = import_euclid([source], out)
    (pack,), table = made.packs, made.packs[0].objects
    assert table["name"].tolist() == [source.stem] and table["file"].tolist() == [str(source)]
    assert table[[f"bad_{band}" for band in BANDS]].to_numpy().max() == 0
    assert pack.warnings == () and table["flags"].tolist() == [""]
    for band, frame in frames_of(out, source.stem).items():
        reference = read_frame(cutout_file(REAL, band, 900001).read_bytes())
        np.testing.assert_allclose(frame, reference, rtol=2e-7, atol=0)
    with fits.open(source) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_sky({band: WCS(hdus[EXTENSIONS[band]].header) for band in BANDS}, out, source.stem, (50, 50))
    manifest = build_cache(Pack("real", out).split_source("test"), Build(tmp_path / "cache"))
    assert manifest["objects"] == 1 and not manifest["refused"] and not manifest["repaired"]


def trimmed(hdus: fits.HDUList, side: int) -> fits.HDUList:
    """The same cutout with only its middle."""
    for hdu in hdus[1:]:
        edge = (len(hdu.data) - side) // 2
        if edge > 0:
            hdu.data = hdu.data[edge : edge + side, edge : edge + side]
            for axis in (1, 2):
                hdu.header[f"CRPIX{axis}"] = hdu.header.get(f"CRPIX{axis}", 0.0) - edge
    return hdus


def test_smaller_cutouts_give_the_middle_of_the_frame(tmp_path):
    sides = {"20": (300, None), "10": (300, 100), "100px": (100, None), "150px": (150, None)}
    for name, (delivered, side) in sides.items():
        file = written(tmp_path / f"{name}.fits", trimmed(mer_hdus((300, 300)), delivered))
        table = imported([file], tmp_path / name, side=side)
        assert table.loc[0, "ra"] == pytest.approx(CENTRE[0], abs=1e-9)
    large = frames_of(tmp_path / "20", "20")
    for name in ("10", "100px", "150px"):
        for band, image in frames_of(tmp_path / name, name).items():
            np.testing.assert_allclose(image, central(large[band], band_shapes(100)[band][0]), rtol=1e-6)
    with fits.open(maps_file(tmp_path / "100px", id_in(tmp_path / "100px", "100px"))) as hdus:
        assert hdus["Y_RMS"].data.shape == (32, 32)
    assert build_cache(tmp_path / "100px", Build(tmp_path / "cache"))["bands"]["H"] == [32, 32]


def test_cutouts_of_two_sizes_become_two_packs(tmp_path):
    for side, name in ((120, "a"), (210, "b"), (210, "c")):
        written(tmp_path / "in" / f"{name}.fits", mer_hdus((side, side)))
    made = import_euclid([tmp_path / "in"], tmp_path / "mine")
    large, small = made.packs
    assert (large.folder, small.folder) == (tmp_path / "mine", tmp_path / "mine-10")
    assert str(large.kind) == '20", VIS + Y + J + H' and str(small.kind) == '10", VIS + Y + J + H'
    assert large.objects["name"].tolist() == ["b", "c"] and small.objects["name"].tolist() == ["a"]
    assert build_cache(small.folder, Build(tmp_path / "cache"))["bands"]["VIS"] == [100, 100]
    # told to be of one size they are one pack, and the other one of the earlier import is named
    made = import_euclid([tmp_path / "in"], tmp_path / "mine", options=Options(side=100, overwrite=True))
    assert len(made.packs[0].objects) == 3 and made.left == (tmp_path / "mine-10",)
    made = import_euclid([tmp_path / "in"], tmp_path / "other", options=Options(side=200))
    assert len(made.packs[0].objects) == 2 and "120 x 120 pixels, expected 200 to 3000" in made.reasons[0]


def test_names_of_packs_say_what_differs_from_the_most_frequent_kind(tmp_path):
    kinds = [Kind(200, BANDS), Kind(100, BANDS), Kind(200, ("VIS",)), Kind(100, ("VIS", "Y"))]
    folders = pack_folders(tmp_path / "mine", dict(zip(kinds, (9, 5, 3, 1), strict=True)), {})
    names = ["mine", "mine-10", "mine-vis", "mine-10-vis-y"]
    assert [folder.name for folder in folders.values()] == names
    # what is added later goes where its kind is, whatever is most frequent then
    taken = {kinds[0]: tmp_path / "mine", kinds[1]: tmp_path / "mine-10"}
    assert pack_folders(tmp_path / "mine", {kinds[1]: 100, kinds[2]: 1}, taken) == {
        kinds[1]: tmp_path / "mine-10",
        kinds[2]: tmp_path / "mine-vis",
    }
    for name in (*names, "mine-all", "mine-100", "mine-vis-x", "mine2"):
        (tmp_path / name).mkdir()
    assert [path.name for path in sibling_packs(tmp_path / "mine")] == sorted(names)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_the_real_example_of_ten_arcsec(tmp_path):
    source = REAL / "mer" / "EUC_MER_example_100px.fits"
    table = imported([source], tmp_path / "real")
    assert table["flags"].tolist() == [""]
    frames = frames_of(tmp_path / "real", source.stem)
    assert {band: frame.shape for band, frame in frames.items()} == band_shapes(100)
    assert build_cache(tmp_path / "real", Build(tmp_path / "cache"))["objects"] == 1


def bad_strip(share: float) -> fits.HDUList:
    hdus = mer_hdus((200, 200))
    hdus["VIS_FLUX"].data[: round(200 * share)] = np.nan
    return hdus


def test_what_cannot_be_used_is_listed_and_takes_nothing_with_it(tmp_path):
    """The rule of the cache is applied here, so that no prediction refuses what was imported."""
    magzero = mer_hdus()
    magzero["NIR_J_FLUX"].header["MAGZERO"] = "none"
    empty = mer_hdus((200, 200))
    empty["NIR_Y_RMS"].data[:] = 1e16
    files = {"1": mer_hdus(), "2": magzero, "3": bad_strip(0.6), "4": empty, "5": mer_hdus()}
    for name, hdus in files.items():
        written(tmp_path / "in" / f"{name}.fits", hdus)
    (tmp_path / "in" / "6.fits").write_bytes(b"no")
    made = import_euclid([tmp_path / "in"], tmp_path / "out")
    assert made.packs[0].objects["name"].tolist() == ["1", "5"]
    listed = pd.read_csv(tmp_path / "out" / "skipped.csv", dtype=str)
    pd.testing.assert_frame_equal(listed, made.skipped)
    assert listed["file"].tolist() == [str(tmp_path / "in" / f"{name}.fits") for name in "2346"]
    bad = f"VIS: 24000 of 40000 pixels are bad (24000 not finite), more than the {MAX_BAD_SHARE:.1%}"
    expected = ("MAGZERO is 'none'", bad, "Y: 4356 of 4356 pixels are bad", "not readable")
    for reason, words in zip(listed["reason"], expected, strict=True):
        assert words in reason
    manifest = build_cache(tmp_path / "out", Build(tmp_path / "cache"))
    assert manifest["objects"] == 2 and not manifest["refused"]


def test_a_file_that_does_not_fit_into_memory_takes_nothing_with_it(tmp_path, monkeypatch):
    def pixels(file, hdu):
        if file.path.name.startswith("large"):
            raise MemoryError("Unable to allocate 30. GiB")
        return stored(file, hdu)

    stored = fits_hdus._stored
    monkeypatch.setattr(fits_hdus, "_stored", pixels)
    files = [written(tmp_path / f"{name}.fits", mer_hdus(seed=place)) for place, name in enumerate(("large", "small"))]
    made = import_euclid(files, tmp_path / "mine")
    assert made.skipped["name"].tolist() == ["large"] and "does not fit into memory" in made.reasons[0]


def test_what_is_bad_only_around_the_middle_is_imported_at_ten_arcsec(tmp_path):
    files = [written(tmp_path / f"{name}.fits", bad_strip(share)) for name, share in (("a", 0), ("b", 0), ("c", 0.2))]
    made = import_euclid(files, tmp_path / "out")
    assert made.skipped.empty and made.packs[1].folder == tmp_path / "out-10"
    (row,) = made.packs[1].objects.to_dict("records")
    assert row["name"] == "c" and row["flags"].endswith('10" only, for bad pixels around it') and row["bad_VIS"] == 0
    made = import_euclid(files, tmp_path / "whole", options=Options(side=200))
    assert made.skipped["name"].tolist() == ["c"]


def test_reasons_are_counted(tmp_path):
    for number in range(23):
        hdus = mer_hdus((150 + number, 150 + number))
        written(tmp_path / "in" / f"{number:02d}.fits", hdus)
    (tmp_path / "in" / "z.fits").write_bytes(b"no")
    message = refused([tmp_path / "in"], tmp_path / "out", "none of the objects can be used", side=200)
    assert "23 x " in message and "00.fits: VIS has 150 x 150 pixels" in message and "1 x " in message
    assert len(message.splitlines()) == 3


def test_strict_stops_at_the_first_and_writes_nothing(tmp_path):
    good, bad = written(tmp_path / "1.fits", mer_hdus()), written(tmp_path / "2.fits", bad_strip(0.6))
    refused([good, bad], tmp_path / "out", "2.fits", "VIS: 24000 of 40000", strict=True)
    bad.write_bytes(b"no")
    refused([good, bad], tmp_path / "out", "2.fits", "not readable", strict=True)


def test_small_gaps_are_mended_by_the_cache(tmp_path):
    hdus = mer_hdus((200, 200))
    hdus["VIS_RMS"].data[50:53, 60:62] = 1e16
    table = imported([written(tmp_path / "5.fits", hdus)], tmp_path / "out")
    assert table.loc[0, "bad_VIS"] == 6 / 40000
    repaired = build_cache(tmp_path / "out", Build(tmp_path / "cache"))["repaired"]
    assert repaired == {str(table.loc[0, "ID"]): {"VIS": 6}}


def test_a_pack_is_a_test_split_in_the_challenges_form(tmp_path):
    done = []

    @contextmanager
    def bars(title: str, unit: str, least: int):
        yield lambda number, total: done.append((title, unit, number, total))

    files = [written(tmp_path / f"obj_{number}.fits", mer_hdus()) for number in (30, 4)]
    out = tmp_path / "deep" / "mine"
    (pack,) = import_euclid(files, out, bars=bars).packs
    table = pack.objects
    assert table["name"].tolist() == ["obj_30", "obj_4"] and done[1:] == [
        ("look at files", "files", 2, 2),
        ("import", "objects", 2, 2),
    ]
    assert tuple(table.columns) == COLUMNS
    pd.testing.assert_frame_equal(read_objects(out), table)
    assert Pack("mine", out).split_source("test") == out
    assert sorted(path.name for path in out.iterdir()) == ["Public", "objects.csv", "skipped.csv"]
    assert len(list(out.rglob("image*.fits"))) == 8
    for band, frame in frames_of(out, "obj_4").items():
        assert frame.shape == BAND_SHAPES[band]
        header = fits.getheader(cutout_file(out, band, id_in(out, "obj_4")))
        assert (header["BITPIX"], header["MAGZERO"], header["SRCFILE"]) == (-32, 0, "obj_4.fits")
    assert all_strict(out)


def test_processes_do_the_same(tmp_path, monkeypatch):
    for number in range(3):
        written(tmp_path / "in" / f"{number}.fits", mer_hdus((200, 200), seed=number))
    (tmp_path / "in" / "2.fits").write_bytes((tmp_path / "in" / "2.fits").read_bytes()[:-2880])
    import_euclid([tmp_path / "in"], tmp_path / "one")
    monkeypatch.setattr(importer, "_ALONE", 1)
    monkeypatch.setattr(importer, "_CHUNK", 1)
    import_euclid([tmp_path / "in"], tmp_path / "two", options=Options(workers=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_what_was_imported_can_be_imported_again(tmp_path):
    hdus = mer_hdus()
    hdus["VIS_RMS"].data[100, 100] = 1e16
    imported([written(tmp_path / "8.fits", hdus)], tmp_path / "one")
    (again,) = imported(sorted((tmp_path / "one").rglob("image*.fits")), tmp_path / "two")["name"]
    after = frames_of(tmp_path / "two", again)
    for band, frame in frames_of(tmp_path / "one", "8").items():
        np.testing.assert_array_equal(after[band], frame)


def test_a_pack_is_replaced_only_when_told(tmp_path):
    first, second = (written(tmp_path / f"{number}.fits", mer_hdus()) for number in (1, 2))
    out = tmp_path / "out"
    imported([first], out)
    (out / "cache").mkdir()
    refused([second], out, str(out), "found Public", "--append", "--overwrite")
    broken = tmp_path / "3.fits"
    broken.write_bytes(b"no")
    refused([broken], out, "3.fits", overwrite=True)
    refused([second, broken], out, "3.fits", overwrite=True, strict=True)
    imported([second], out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["Public", "cache", "objects.csv", "skipped.csv"]
    names = [*(f"imageEUC_{band}-{id_in(out, '2')}.fits" for band in BANDS), f"maps-{id_in(out, '2')}.fits"]
    assert sorted(path.name for path in out.rglob("*.fits")) == sorted(names)


@pytest.mark.parametrize(
    "name", ["train", "datapack2.0test.tar.gz", "test", "image_catalog2.0train.csv", "objects.csv"]
)
def test_another_kind_of_pack_is_left_alone(tmp_path, name):
    for option in ("overwrite", "append"):
        out = tmp_path / option
        (out / name).mkdir(parents=True)
        refused([written(tmp_path / "1.fits", mer_hdus())], out, name, "another folder", **{option: True})


def test_a_pack_beside_is_not_touched_unasked(tmp_path):
    """Objects of 10 arcsec would go into a folder that is another pack's."""
    files = [written(tmp_path / f"{side}.fits", mer_hdus((side, side))) for side in (100, 200)]
    (tmp_path / "out-10" / "Public").mkdir(parents=True)
    refused(files, tmp_path / "out", "out-10", "there is a pack already")
    (tmp_path / "out-10" / "train").mkdir()
    refused(files, tmp_path / "out", "out-10", "found train", overwrite=True)
    imported(files[1:], tmp_path / "out")


def test_the_folder_cannot_be_written(tmp_path):
    source = written(tmp_path / "1.fits", mer_hdus())
    with pytest.raises(InputError, match="cannot be written"):
        import_euclid([source], source / "out")
    with pytest.raises(InputError, match="no files given"):
        import_euclid([], tmp_path / "out")


def test_ids_are_of_name_and_place_and_nothing_else(tmp_path):
    files = [written(tmp_path / f"{number}.fits", mer_hdus()) for number in (1, 2)]
    files.append(written(tmp_path / "else" / "1.fits", at(mer_hdus(), -50.5)))
    table = imported(files, tmp_path / "all")
    assert table["ID"].is_unique and table["ID"].between(10**14, 10**15 - 1).all()
    assert (table["ID"].astype(float).astype(int) == table["ID"]).all()
    for number, file in enumerate(files):
        alone = imported([file], tmp_path / f"alone{number}")
        assert table.loc[table["file"] == str(file), "ID"].tolist() == alone["ID"].tolist()
    assert id_of("a", 359.9999999, -0.0000001) == id_of("a", 0.0000001, 0.0)
    assert len({id_of("a", 10, 5), id_of("b", 10, 5), id_of("a", 10.0001, 5), id_of("a", 10, 5.0001)}) == 4


NAMES = ["2684568472653821234", "-624589712277354567", "102018665_NEG570040238507752998", "000123", "1e5", "nan", "NA"]


def test_names_stay_text(tmp_path):
    """Numbers of 19 digits, with signs, zeros or exponents in front of a reader who would round or lose them."""
    files = [written(tmp_path / "in" / f"{name}.fits", mer_hdus((100, 100))) for name in NAMES]
    table = imported(files, tmp_path / "out")
    assert table["name"].tolist() == sorted(NAMES) == read_objects(tmp_path / "out")["name"].tolist()
    assert (tmp_path / "out" / "objects.csv").read_text().count("2684568472653821234") == 2  # name and file


def test_one_object_twice_is_imported_once(tmp_path):
    files = [written(tmp_path / folder / "5.fits", mer_hdus()) for folder in "ab"]
    made = import_euclid(files[::-1], tmp_path / "out")
    assert made.packs[0].objects["file"].tolist() == [str(files[0])]
    assert made.skipped["file"].tolist() == [str(files[1])]
    assert f"the name and the sky position of {files[0]}" in made.skipped.loc[0, "reason"]
    assert len(list((tmp_path / "out").rglob("*.fits"))) == 5


def test_a_later_batch_is_added(tmp_path):
    first = [written(tmp_path / f"{name}.fits", mer_hdus((200, 200))) for name in ("a", "b")]
    (tmp_path / "c.fits").write_bytes(b"no")
    (tmp_path / "d.fits").write_bytes(b"no")
    files, out = [*first, tmp_path / "c.fits", tmp_path / "d.fits"], tmp_path / "out"
    import_euclid(files, out, options=Options(append=True))  # to nothing
    before = contents(out / "Public")
    # b comes again, c was fetched again; there is another size
    later = [first[1], written(tmp_path / "c.fits", mer_hdus((200, 200), seed=3))]
    later += [written(tmp_path / f"{name}.fits", mer_hdus((100, 100))) for name in ("e", "f", "g")]
    made = import_euclid(later, out, options=Options(append=True))
    assert [pack.folder.name for pack in made.packs] == ["out-10", "out"]
    main = made.packs[1]
    assert main.objects["name"].tolist() == ["a", "b", "c"] == read_objects(out)["name"].tolist()
    assert [one.name for one in main.new.values()] == ["c"] and list(main.new) == [id_in(out, "c")]
    after = contents(out / "Public")
    assert before.items() <= after.items() and len(after) == 3 * 5
    assert pd.read_csv(out / "skipped.csv", dtype=str)["name"].tolist() == ["d.fits"]
    # all of it again: nothing changes
    whole = contents(tmp_path / "out")
    made = import_euclid(later, out, options=Options(append=True))
    assert contents(out) == whole and not any(pack.new for pack in made.packs)


def test_a_later_batch_replaces_nothing_unless_told(tmp_path):
    out = tmp_path / "out"
    imported([written(tmp_path / f"{name}.fits", mer_hdus()) for name in ("a", "b")], out)
    before = contents(out)
    other = [hdu for hdu in mer_hdus(seed=9) if not hdu.name.endswith(("RMS", "PSF"))]
    files = [written(tmp_path / "b.fits", fits.HDUList(other)), written(tmp_path / "c.fits", mer_hdus())]
    refused(files, out, f"other pixels of 1 objects already: b ({files[0]})", "--overwrite", append=True)
    assert contents(out) == before
    table = imported(files, out, append=True, overwrite=True)
    assert table["name"].tolist() == ["a", "b", "c"]
    assert not maps_file(out, id_in(out, "b")).exists() and maps_file(out, id_in(out, "a")).exists()
    assert (frames_of(out, "b")["VIS"] != frames_of(out, "a")["VIS"]).all()


def cut_off(move: Callable[[Path, Path], object], after: int) -> Callable[[Path, Path], None]:
    """The same moving of files, a few times; then it is as if the process was killed."""
    moved: list[Path] = []

    def until(source: Path, target: Path) -> None:
        moved.append(source)
        if len(moved) > after:
            raise KeyboardInterrupt
        move(source, target)

    return until


@pytest.mark.parametrize("append", [False, True])
def test_a_kill_leaves_the_earlier_import_or_the_next_one_finishes_it(tmp_path, monkeypatch, append):
    """Cut off at each moving into place in turn: the import after it finds a whole pack, old or new."""
    old, new, more = (written(tmp_path / f"{name}.fits", mer_hdus((100, 100))) for name in "abc")
    killed = subprocess.Popen(["true"])
    killed.wait()
    options = Options(overwrite=not append, append=append)
    imported([old], tmp_path / "whole")
    imported([new], tmp_path / "whole", overwrite=not append, append=append)
    for number in range(4):
        out = tmp_path / f"out{number}"
        imported([old], out)
        monkeypatch.setattr(publish.shutil, "move", cut_off(publish.shutil.move, number))
        with pytest.raises(KeyboardInterrupt):
            import_euclid([new], out, options=options)
        monkeypatch.undo()
        (left,) = out.glob(".imported-*")
        left.rename(out / f".imported-{killed.pid}")
        (out / f".importing-{killed.pid}" / "packs").mkdir(parents=True)  # and one that was cut off earlier
        publish.finish_abandoned(out)
        assert contents(out) == contents(tmp_path / "whole")
        assert not list(out.glob(".import*"))
        imported([more], out, append=True)


def test_noise_unlike_euclids_is_asked_about(tmp_path):
    """Zero points, bands or units that are wrong: the ratio is named, nothing is refused."""

    def sky(magzero: dict[str, float], factor: float = 1) -> fits.HDUList:
        hdus = mer_hdus((200, 200))
        for band, (low, high) in zip(BANDS, MER_SIGMA, strict=True):
            header, data = hdus[EXTENSIONS[band]].header, hdus[EXTENSIONS[band]].data
            sigma = factor * np.sqrt(low * high) / (1 if band == "VIS" else 3)  # white noise: three times in a sum
            data *= sigma * 10 ** (0.4 * MAGZERO[band])
            header["MAGZERO"] = magzero[band]
        return hdus

    wrong = MAGZERO | dict.fromkeys("YJH", 24.6)
    folder = tmp_path / "in"
    good = [written(folder / f"{number}.fits", sky(MAGZERO)) for number in range(3)]
    odd = written(folder / "odd.fits", sky(wrong))
    assert import_euclid(good, tmp_path / "good").packs[0].warnings == ()
    (warning,) = import_euclid([odd], tmp_path / "odd").packs[0].warnings
    name, ratio = re.search(r"the noise is (\S+) (\S+) times that of Euclid's wide survey", warning).groups()
    assert name == "NISP" and float(ratio) == pytest.approx(10 ** (0.4 * (29.9 - 24.6)), rel=0.1)
    assert "Is MAGZERO right" in warning
    (pack,) = import_euclid([*good, odd], tmp_path / "mixed").packs
    assert "1 of 4 objects" in pack.warnings[0] and f"odd: NISP {ratio} times" in pack.warnings[0]
    assert pack.objects["flags"].tolist() == ["", "", "", f"noise NISP {ratio} times the usual"]
    (warning,) = import_euclid([written(folder / "e.fits", sky(MAGZERO, 500))], tmp_path / "e").packs[0].warnings
    assert "VIS 499" in warning and "not electrons" in warning
    (warning,) = import_euclid([written(folder / "d.fits", sky(MAGZERO, 1 / 6))], tmp_path / "d").packs[0].warnings
    assert "VIS 0.16" in warning and "deep field" in warning


@pytest.mark.parametrize(
    "name", ["../../x' \n/*", "ä" * 60, "q" * 200, "\udcff"], ids=["path", "accents", "long", "bytes"]
)
def test_a_name_is_only_text(tmp_path, name):
    path = written(tmp_path / "in" / (name.replace("/", "∕") + ".fits"), mer_hdus())
    table = imported([path], tmp_path / "out")
    assert all_strict(tmp_path / "out")
    card = fits.getheader(cutout_file(tmp_path / "out", "Y", table.loc[0, "ID"]))["SRCFILE"]
    assert card.isascii() and len(card) <= 68
    pd.testing.assert_frame_equal(read_objects(tmp_path / "out"), table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_old_cards_do_no_harm(tmp_path):
    """A deprecated keyword, a date: none may warn or stop the import."""

    def change(hdus):
        for name in EXTENSIONS.values():
            header = hdus[name].header
            header.update({"RADECSYS": "FK5", "EQUINOX": 2000.0, "DATE-OBS": "2024-10-18T16:12:43", "MJD-OBS": 60601.0})
            header.update({"TELESCOP": "Euclid", "BUNIT": "ADU"})

    out = tmp_path / "out"
    imported(mer_with(tmp_path, change), out)
    assert all_strict(out)
    WCS(fits.getheader(cutout_file(out, "Y", id_in(out, "x1"))))


def test_maps_are_cut_scaled_and_added_as_the_images_are(tmp_path):
    """RMS in quadrature of nine, four of which may be bad; the point spread function of the sum one, as it was."""
    hdus = mer_hdus((210, 210))
    rng = np.random.default_rng(1)
    for band, name in EXTENSIONS.items():
        hdus[name.replace("FLUX", "RMS")].data = rng.uniform(1, 3, (210, 210)).astype(np.float32)
        hdus[name.replace("FLUX", "PSF")].data = rng.uniform(0, 2, (33, 33)).astype(np.float32) * len(band)
    hdus["NIR_H_RMS"].data[6:9, 6:8] = 1e16  # six of nine
    hdus["NIR_H_RMS"].data[6:9, 9] = 1e16  # three of nine
    imported([written(tmp_path / "7.fits", hdus)], tmp_path / "out")
    with fits.open(maps_file(tmp_path / "out", id_in(tmp_path / "out", "7"))) as maps:
        for band, name in EXTENSIONS.items():
            delivered = hdus[name.replace("FLUX", "RMS")].data.astype(np.float64) * 10 ** (-0.4 * MAGZERO[band])
            rms, psf = maps[f"{band}_RMS"].data, maps[f"{band}_PSF"].data
            stamp = hdus[name.replace("FLUX", "PSF")].data.astype(np.float64)
            np.testing.assert_allclose(psf, stamp / stamp.sum(), rtol=1e-6)
            if band == "VIS":
                np.testing.assert_allclose(rms, delivered[5:205, 5:205], rtol=1e-6)
                continue
            blocks = delivered[6:204, 6:204].reshape(66, 3, 66, 3).transpose(0, 2, 1, 3).reshape(66, 66, 9)
            np.testing.assert_allclose(rms[2:], np.sqrt((blocks**2).sum(-1))[2:], rtol=1e-6)
            if band == "H":
                assert np.isnan(rms[0, 0]) and np.isnan(frames_of(tmp_path / "out", "7")["H"][0, 0])
                good = np.sqrt((blocks[0, 1, [1, 2, 4, 5, 7, 8]] ** 2).sum() * 9 / 6)
                assert rms[0, 1] == pytest.approx(good, rel=1e-6)


def test_only_maps_that_are_there_are_kept(tmp_path):
    hdus = mer_hdus()
    for name in ("VIS_RMS", "NIR_Y_RMS", "NIR_J_RMS", "NIR_H_RMS", "NIR_J_PSF"):
        del hdus[name]
    hdus["NIR_Y_PSF"].data[:] = 0
    hdus["NIR_H_PSF"].data[3, 3] = np.nan
    bare = fits.HDUList([hdu for hdu in mer_hdus() if not hdu.name.endswith(("RMS", "PSF"))])
    files = [written(tmp_path / "1.fits", hdus), written(tmp_path / "2.fits", bare)]
    table = imported(files, tmp_path / "out").set_index("name")["ID"]
    with fits.open(maps_file(tmp_path / "out", table["1"])) as maps:
        assert [hdu.name for hdu in maps[1:]] == ["VIS_PSF"]
    assert not maps_file(tmp_path / "out", table["2"]).exists()
    imported(files[1:], tmp_path / "out", overwrite=True)
    assert not maps_file(tmp_path / "out", table["1"]).exists()


def test_single_band_files_have_maps_too(tmp_path):
    files = []
    for path in write_group(tmp_path / "in"):
        with fits.open(path) as one:
            extra = [fits.ImageHDU(np.ones((210, 210), np.float32), name="RMS")]
            extra.append(fits.ImageHDU(np.ones((21, 21), np.float32), name="PSF"))
            files.append(written(tmp_path / "whole" / path.name, fits.HDUList([one[0].copy(), *extra])))
    table = imported(files, tmp_path / "out")
    with fits.open(maps_file(tmp_path / "out", table.loc[0, "ID"])) as maps:
        assert len(maps) == 9 and maps["J_PSF"].data[0, 0] == pytest.approx(1 / 441)
        assert maps["J_RMS"].data[5, 5] == pytest.approx(3 * 10 ** (-0.4 * 30))
