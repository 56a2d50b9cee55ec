"""Packs on disk: FITS layout, catalogs, workers, and what happens when something is wrong."""

import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fakes.workspace import lensfold

from lensfold.data.cache import Cache, split_bands
from lensfold.data.catalog import COLUMNS, NO_SOURCE, read_catalog
from lensfold.errors import InputError
from lensfold.frames import BAND_SHAPES, BANDS
from lensfold.paths import Pack, cutout_file
from lensfold.simulate import FIRST_ID, simulate_object, simulate_pack
from lensfold.simulate.fits import fits_bytes
from lensfold.simulate.truth import write_catalog

HERE = Path(__file__).parents[1]
GOLDEN = HERE / "golden"
BYTES = {"VIS": 164_160, "Y": 23_040, "J": 23_040, "H": 23_040}


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Pack:
    """A smoke pack of 23 + 5 objects made in this process."""
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    simulate_pack(folder, "smoke", 23, 5, 7, 1)
    return Pack("tiny", folder)


@pytest.fixture(scope="module")
def twinned(tmp_path_factory) -> Pack:
    """The same pack with twins."""
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    simulate_pack(folder, "smoke", 23, 5, 7, 1, twins=True)
    return Pack("tiny", folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("band", ["VIS", "H"])
def test_header_cards(band):
    """Golden cards, one a line, written by fits_bytes for ID 200001 at RA 150, Dec 2 and read by eye."""
    data = fits_bytes(np.zeros(BAND_SHAPES[band], np.float32), band, FIRST_ID, (150.0, 2.0))
    cards = [data[start : start + 80].decode("ascii").rstrip() for start in range(0, 2880, 80)]
    assert [card for card in cards if card] == (GOLDEN / f"simulate_header_{band}.txt").read_text().splitlines()
    assert cards[28] == "END"
    assert not any(cards[29:])


@pytest.mark.parametrize("band", BANDS)
def test_astropy_reads_and_verifies_files(pack, band):
    file = cutout_file(pack.split_source("train"), band, FIRST_ID)
    assert file.stat().st_size == BYTES[band]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(file) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 1
            assert len(hdus[0].header.cards) == 28
            assert hdus[0].header["BITPIX"] == -32
            assert hdus[0].header["OBJECT"].startswith("SYNTHETIC")
            assert "BUNIT" not in hdus[0].header
            expected = simulate_object("smoke", 7, "train", 0).images[band]
            np.testing.assert_array_equal(hdus[0].data, expected)


def test_nisp_starts_one_vis_pixel_in_on_the_sky(pack):
    """The centre of NISP pixel (a, b) is that of VIS pixel (3a + 2, 3b + 2), counted from 0."""
    frames = [WCS(fits.getheader(cutout_file(pack.split_source("train"), band, FIRST_ID))) for band in ("VIS", "J")]
    a = np.array([[0, 0], [65, 0], [10, 60]])
    np.testing.assert_allclose(frames[0].all_pix2world(3 * a + 2, 0), frames[1].all_pix2world(a, 0), atol=1e-9)
    scales = [frame.proj_plane_pixel_scales()[0].to_value("arcsec") for frame in frames]
    assert scales == pytest.approx([0.1, 0.3])


def test_every_object_has_every_file_and_row(pack):
    for split, path, n in (("train", pack.catalog, 23), ("test", pack.key, 5)):
        table = read_catalog(path)
        assert table.index.tolist() == list(range(FIRST_ID, FIRST_ID + n))
        for band in BANDS:
            files = cutout_file(pack.split_source(split), band, FIRST_ID).parent.iterdir()
            assert {file.name for file in files} == {f"imageEUC_{band}-{k}.fits" for k in table.index}


def test_test_truth_is_only_under_truth(pack):
    csv = sorted(str(path.relative_to(pack.folder)) for path in pack.folder.rglob("*.csv"))
    assert csv == ["image_catalog2.0train.csv", "truth/classes.csv", "truth/image_catalog2.0test.csv"]
    for file in pack.split_source("test").rglob("*"):
        assert file.is_dir() or file.suffix == ".fits"
    header = fits.getheader(cutout_file(pack.split_source("test"), "VIS", FIRST_ID))
    with_source, without = (
        fits_bytes(np.zeros((200, 200), np.float32), "VIS", FIRST_ID, item.centre)
        for item in (simulate_object("smoke", 7, "test", 0, with_source=put) for put in (True, False))
    )
    assert with_source == without
    assert header["CRVAL1"] >= 0


def test_catalog_text(pack):
    lines = pack.catalog.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert lines[: len(comments)] == comments
    assert "SYNTHETIC" in comments[0]
    assert "lensfold" in comments[0]
    assert "profile smoke, seed 7" in comments[1]
    assert lines[len(comments)] == ",".join(COLUMNS)
    assert lines[len(comments)].startswith(",ID,x_crit,")
    assert len(lines) == len(comments) + 1 + 23


def test_catalog_round_trip_with_pandas(pack):
    table = pd.read_csv(pack.catalog, comment="#")
    assert table.shape == (23, 27)
    assert table.iloc[:, 0].tolist() == list(range(23))
    empty = 0
    for k in range(23):
        row = simulate_object("smoke", 7, "train", k).row
        for name, value in row.items():
            read = table.loc[k, name]
            assert (math.isnan(read) and math.isnan(value)) or read == value
        empty += math.isnan(row["mag_eff"])
        assert (row["sb_contrast"] == NO_SOURCE) >= (row["n_sources"] == 0)
    assert 0 < empty < 23


def test_first_column_never_reaches_the_mark_of_missing_images(tmp_path):
    row = dict.fromkeys(COLUMNS[1:], 1.5)
    write_catalog(tmp_path / "c.csv", [row] * 10002, ["SYNTHETIC"])
    index = pd.read_csv(tmp_path / "c.csv", comment="#").iloc[:, 0]
    assert index.iloc[[0, 9999, 10000, 10001]].tolist() == [0, 9999, 0, 1]


def test_workers_and_counts_change_nothing(twinned, tmp_path):
    """Two spawned workers and other counts give the same files; a second run over the first too."""
    seen = []
    simulate_pack(tmp_path / "p", "smoke", 30, 3, 7, 1)
    simulate_pack(tmp_path / "p", "smoke", 23, 5, 7, 2, lambda done, total: seen.append((done, total)), twins=True)
    assert contents(tmp_path / "p") == contents(twinned.folder)
    assert seen[-1] == (28, 28)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_interrupted_run_leaves_no_catalog_and_can_be_repeated(twinned, tmp_path):
    folder = tmp_path / "p"
    simulate_pack(folder, "smoke", 3, 3, 8, 1)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_pack(folder, "smoke", 23, 5, 7, 1, progress=stop, twins=True)
    assert not Pack("p", folder).catalog.exists()
    assert not Pack("p", folder).key.exists()
    simulate_pack(folder, "smoke", 23, 5, 7, 1, twins=True)
    assert contents(folder) == contents(twinned.folder)


def twin_ids(folder: Path) -> list[int]:
    """IDs of the twins, which every band must have."""
    names = [{file.stem for file in cutout_file(folder / "twins", band, 0).parent.iterdir()} for band in BANDS]
    ids = [sorted(int(name.rsplit("-", 1)[1]) for name in of_band) for of_band in names]
    assert all(other == ids[0] for other in ids)
    return ids[0]


def with_source(folder: Path) -> list[int]:
    table = read_catalog(Pack("p", folder).catalog)
    return table.index[table["n_sources"] > 0].tolist()


def test_every_train_object_with_a_source_has_a_twin_and_nothing_else_changes(pack, twinned):
    ids = with_source(twinned.folder)
    assert 0 < len(ids) < 23 and twin_ids(twinned.folder) == ids
    others = {name: data for name, data in contents(twinned.folder).items() if not name.startswith("twins")}
    assert others == contents(pack.folder)


def test_a_twin_is_its_object_without_the_source(twinned):
    table = read_catalog(twinned.catalog)
    for object_id in with_source(twinned.folder)[:6]:
        twin = simulate_object("smoke", 7, "train", object_id - FIRST_ID, with_source=False)
        for band in BANDS:
            (image, header), (twin_image, twin_header) = (
                fits.getdata(cutout_file(twinned.split_source(split), band, object_id), header=True)
                for split in ("train", "twins")
            )
            assert header == twin_header
            np.testing.assert_array_equal(twin_image, twin.images[band])
            assert not np.array_equal(image, twin_image)
            if band == "VIS":
                flux = table.loc[object_id, "source_flux"]
                difference = (image.astype(float) - twin_image).sum()
                assert difference == pytest.approx(flux, abs=5 * math.sqrt(3.7e-14 * flux) + 1e-4 * flux)


def test_no_twin_of_an_earlier_run_stays(tmp_path):
    for count, seed in ((8, 7), (5, 7), (8, 8)):
        simulate_pack(tmp_path / "p", "smoke", count, 1, seed, 1, twins=True)
        assert twin_ids(tmp_path / "p") == with_source(tmp_path / "p") != []
    simulate_pack(tmp_path / "p", "smoke", 2, 1, 8, 1)
    assert not (tmp_path / "p" / "twins").exists()


def test_twins_are_complete_before_the_catalog_appears(twinned, tmp_path):
    folder, last = tmp_path / "p", []

    def look(done: int, total: int) -> None:
        assert not Pack("p", folder).catalog.exists()
        if done == total:
            last.append(twin_ids(folder))

    simulate_pack(folder, "smoke", 23, 5, 7, 1, look, twins=True)
    assert last == [with_source(twinned.folder)]


def test_twins_from_elsewhere_are_not_overwritten(tmp_path):
    file = cutout_file(tmp_path / "twins", "H", FIRST_ID)
    file.parent.mkdir(parents=True)
    fits.PrimaryHDU(np.zeros((66, 66), np.float32)).writeto(file)
    for twins in (True, False):
        with pytest.raises(InputError, match="imageEUC_H-200001.fits: is not from this simulator"):
            simulate_pack(tmp_path, "smoke", 1, 1, 1, 1, twins=twins)
    assert file.exists()


def test_twins_are_cached_from_the_command_line_and_never_predicted(tmp_path):
    size = ("--train", "6", "--test", "1", "--workers", "1", "--pack", "smoke")
    cache = ("cache", "--split", "twins", "--pack", "smoke", "--workers", "1")
    lensfold(tmp_path, "simulate", *size)
    done = lensfold(tmp_path, *cache, check=False)
    assert done.returncode == 1 and "lensfold simulate --twins" in done.stderr
    lensfold(tmp_path, "simulate", *size, "--twins")
    lensfold(tmp_path, *cache)
    folder = tmp_path / "data" / "smoke"
    with Cache(folder / "cache" / "twins") as twins:
        assert twins.ids.tolist() == with_source(folder) != []
        vis = split_bands(twins.read(twins.ids[:1])[0])["VIS"]
    np.testing.assert_array_equal(vis, fits.getdata(cutout_file(folder / "twins", "VIS", with_source(folder)[0])))
    for command in ("run", "run-job", "submit", "grade"):
        done = lensfold(tmp_path, command, "--split", "twins", check=False)
        assert done.returncode == 2 and "No such option" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize(("sent", "whole_group"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_workers_end_with_their_parent(tmp_path, sent, whole_group):
    """After Ctrl-C (to the group) and after a kill of only the parent no process of the group is left."""
    script = tmp_path / "run.py"
    script.write_text(
        "import signal\nimport sys\nfrom pathlib import Path\nfrom lensfold.simulate import simulate_pack\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "    simulate_pack(Path(sys.argv[1]), 'smoke', 3000, 1000, 1, 2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "src")}
    folder = tmp_path / "p"
    run = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        env=environment, start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: any(folder.glob("train/Public/EUC_H/*.fits")), 60)
        (os.killpg if whole_group else os.kill)(run.pid, sent)
        assert run.wait(20) != 0
        wait_for(lambda: not group_alive(run.pid), 20)
        assert not Pack("p", folder).catalog.exists()
    finally:
        if group_alive(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "real"}, "'real' is unknown.*challenge, challenge-1, sample, smoke"),
        ({"n_train": 0}, "train objects = 0"),
        ({"n_test": -1}, "test objects = -1"),
        ({"workers": 0}, "workers = 0"),
        ({"seed": -3}, "seed = -3"),
    ],
)
def test_wrong_arguments(tmp_path, change, message):
    arguments = {"profile": "smoke", "n_train": 1, "n_test": 1, "seed": 1, "workers": 1} | change
    with pytest.raises(InputError, match=message):
        simulate_pack(tmp_path / "p", **arguments)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("taken", ["p", "p/train", "p/truth", "p/train/Public/EUC_J"])
def test_a_file_in_place_of_a_folder(tmp_path, taken):
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        simulate_pack(tmp_path / "p", "smoke", 1, 1, 1, 1)


def test_a_folder_without_permission(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(InputError, match="locked.*cannot be written"):
        simulate_pack(locked / "p", "smoke", 1, 1, 1, 1)


def test_a_real_pack_is_never_overwritten(tmp_path):
    real = Pack("real", tmp_path)
    real.catalog.write_text("# mock catalog\n" + ",".join(COLUMNS) + "\n")
    with pytest.raises(InputError, match="image_catalog2.0train.csv: is not from this simulator"):
        simulate_pack(tmp_path, "smoke", 1, 1, 1, 1)
    assert real.catalog.exists()
    real.catalog.unlink()
    file = cutout_file(tmp_path / "test", "Y", 200005)
    file.parent.mkdir(parents=True)
    fits.PrimaryHDU(np.zeros((66, 66), np.float32)).writeto(file)
    with pytest.raises(InputError, match="imageEUC_Y-200005.fits: is not from this simulator"):
        simulate_pack(tmp_path, "smoke", 1, 1, 1, 1)
    assert file.exists()


def test_classes_of_both_splits_are_under_truth(pack):
    lines = (pack.folder / "truth" / "classes.csv").read_text().splitlines()
    assert lines[0] == "split,ID,class" and len(lines) == 1 + 23 + 5
    for split, number in (("train", 22), ("test", 4)):
        kind = simulate_object("smoke", 7, split, number).morphology
        assert f"{split},{FIRST_ID + number},{kind}" in lines


def test_variation_is_switched_on_and_named_in_the_catalog(tmp_path):
    size = ("--train", "1", "--test", "1", "--workers", "1")
    lensfold(tmp_path, "simulate", "--data", str(tmp_path / "x"), "--profile", "smoke", *size, "--variation")
    pack = Pack("x", tmp_path / "x")
    assert "profile smoke with variation, seed 1" in pack.catalog.read_text()
    image = fits.getdata(cutout_file(pack.split_source("train"), "VIS", FIRST_ID))
    assert not np.array_equal(image, simulate_object("smoke", 1, "train", 0).images["VIS"])
