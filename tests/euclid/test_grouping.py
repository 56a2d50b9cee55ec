"""Which files make one object, by name, folder, tile and sky position, or by a table."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from fakes.euclid import MAGZERO, mer_hdus, noise, wcs_header, write_group, write_single, written

from lensfold.errors import InputError
from lensfold.euclid.geometry import read_object
from lensfold.euclid.grouping import find_objects
from lensfold.euclid.layouts import EXTENSIONS, Reading
from lensfold.frames import BANDS

NAMES = {"VIS": "VIS", "Y": "NIR-Y", "J": "NIR-J", "H": "NIR-H"}


def found_in(*paths: Path) -> dict[str, list[str]]:
    """Files of each object, of an import that uses all of them; equal names count on."""
    objects, skipped = find_objects(paths, Reading())
    assert not skipped, skipped
    files = {}
    for number, one in enumerate(objects):
        assert list(one.bands) == [band for band in BANDS if band in one.bands]
        name = one.name if one.name not in files else f"{one.name}#{number}"
        files[name] = [str(file.path) for file in one.bands.values()]
    return files


def archive_object(folder: Path, tile: int, number: int, dec: float, bands: tuple[str, ...] = BANDS) -> set[str]:
    """Files named by the archive: each band has its own hash and time."""
    made = set()
    for band in bands:
        mark = f"{abs(hash((band, number))) % 0xFFFFFF:06X}_20240707T18{number:02d}11.{BANDS.index(band)}Z"
        path = folder / f"EUC_MER_BGSUB-MOSAIC-{NAMES[band]}_TILE{tile}-{mark}_00.00.fits"
        made.add(str(write_single(path, band, CRVAL2=dec)))
    return made


def test_archive_names_are_grouped_by_tile_and_position(tmp_path):
    """Two objects 1.5 arcsec apart in one tile, one of another tile at the same place, and one without NISP."""
    expected = [
        archive_object(tmp_path, 7, 1, -49.0),
        archive_object(tmp_path, 7, 2, -49.0 + 1.5 / 3600),
        archive_object(tmp_path, 8, 3, -49.0),
        archive_object(tmp_path, 8, 4, -48.0, ("VIS",)),
    ]
    found = [set(files) for files in found_in(tmp_path).values()]
    assert sorted(found, key=sorted) == sorted(expected, key=sorted)


def test_a_nisp_image_near_no_vis_image_is_listed(tmp_path):
    archive_object(tmp_path, 7, 1, -49.0, ("VIS", "Y"))
    far = archive_object(tmp_path, 7, 2, -49.0 + 1.5 / 3600, ("J",)) | archive_object(tmp_path, 7, 3, -49.0, ("Y",))
    objects, skipped = find_objects([tmp_path], Reading())
    assert [list(one.bands) for one in objects] == [["VIS", "Y"]]
    assert len(skipped) == 2 and {str(one.path) for one in skipped} & far and "no VIS" in skipped[0].reason


@pytest.mark.parametrize("folders", [("vis", "nir_y", "nir_j", "nir_h"), ("VIS", "NISP", "NISP", "NISP")])
def test_folders_of_bands(tmp_path, folders):
    for name in ("a", "b"):
        for band, folder in zip(BANDS, folders, strict=True):
            file = f"{name}.fits" if folder != "NISP" else f"{name}_{band}.fits"
            write_single(tmp_path / "sky" / folder / file, band, FILTER=None)
    assert {name: len(files) for name, files in found_in(tmp_path).items()} == {"a": 4, "b": 4}


def test_equal_names_in_different_folders_are_different_objects(tmp_path):
    for folder in ("field 1", "field 2", "J", "H"):
        write_group(tmp_path / folder)
        written(tmp_path / folder / "o.fits", mer_hdus())
    found = found_in(tmp_path)
    assert len(found) == 8 and all(len({Path(file).parent for file in files}) == 1 for files in found.values())


def test_multi_extension_files_are_never_merged(tmp_path):
    hdus = mer_hdus()
    for name, bands in (("a_VIS", ("VIS", "NIR_Y")), ("a_NIR_J", ("VIS", "NIR_J"))):
        part = [hdu for hdu in hdus if hdu.name.startswith(("PRIMARY", *bands))]
        written(tmp_path / f"{name}.fits", fits.HDUList(part))
    objects, skipped = find_objects([tmp_path], Reading())
    assert not skipped and [list(one.bands) for one in objects] == [["VIS", "J"], ["VIS", "Y"]]


def test_a_folder_is_searched_once_to_the_bottom(tmp_path):
    written(tmp_path / "deep" / "er" / "1.fits", mer_hdus())
    (tmp_path / "deep" / "round").symlink_to(tmp_path, target_is_directory=True)
    for name, content in (("notes.txt", b"SIMPLE"), ("a.csv", b"a,b"), (".hidden.fits", b"x"), ("Makefile", b"all:")):
        (tmp_path / name).write_bytes(content)
    assert list(found_in(tmp_path, tmp_path / "deep", tmp_path / "deep" / "er" / "1.fits")) == ["1"]


def test_what_is_not_euclid_is_named(tmp_path):
    write_single(tmp_path / "in" / "SDSS J1234 VIS.fits", "VIS", FILTER=None)
    assert list(found_in(tmp_path / "in")) == ["SDSS J1234"]
    (tmp_path / "in" / "SDSS J1234 VIS.fits").unlink()
    written(tmp_path / "des.fits", fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(noise((9, 9)), name="DES_G_FLUX")]))
    write_single(tmp_path / "hsc_y.fits", "Y", FILTER="HSC-Y")
    write_single(tmp_path / "stack_y.fits", "Y", FILTER="y.00000", INSTRUME="GPC1")
    write_single(tmp_path / "vista_J.fits", "J", FILTER="J", INSTRUME="VIRCAM")
    row = fits.BinTableHDU.from_columns([fits.Column("image", "4E", array=np.ones((3, 4)))], name="STAMPS")
    written(tmp_path / "row.fits", fits.HDUList([fits.PrimaryHDU(), row]))
    (tmp_path / "look.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    (tmp_path / "failed.fits").write_bytes(b"\n<!DOCTYPE html><html>Not authorised</html>")
    (tmp_path / "all.tar").write_bytes(bytes(257) + b"ustar" + bytes(300))
    (tmp_path / "empty.fits").touch()
    objects, skipped = find_objects([tmp_path], Reading())
    reasons = {one.path.name: one.reason for one in skipped}
    assert not objects and len(reasons) == 10
    words = {
        "des.fits": "of DES_G, not of Euclid: found PRIMARY, DES_G_FLUX",
        "hsc_y.fits": "of HSC-Y, not of Euclid",
        "stack_y.fits": "of GPC1, not of Euclid",
        "vista_J.fits": "of VIRCAM, not of Euclid",
        "row.fits": "a table of 3 rows (STAMPS)",
        "look.png": "a PNG picture",
        "photo.jpg": "a JPEG picture",
        "failed.fits": "an HTML or XML page",
        "all.tar": "a tar archive",
        "empty.fits": "it is empty",
    }
    assert [name for name, word in words.items() if word not in reasons[name]] == [], reasons


def test_ground_bands_before_and_between_are_passed_over(tmp_path):
    hdus = mer_hdus()
    for place, name in ((1, "DES_G_FLUX"), (5, "HSC_Y_FLUX"), (9, "MEGACAM_U_RMS")):
        hdus.insert(place, fits.ImageHDU(noise((210, 210), 9), wcs_header((210, 210), MAGZERO=30.0), name=name))
    (found,), _ = find_objects([written(tmp_path / "a.fits", hdus)], Reading())
    (bare,), _ = find_objects([written(tmp_path / "b.fits", mer_hdus())], Reading())
    for band, frame in read_object(found, Reading()).items():
        np.testing.assert_array_equal(frame.image, read_object(bare, Reading())[band].image)


def odd_files(folder: Path) -> None:
    """Layouts that no name explains: bands as numbered extensions, and one file each called by numbers."""
    cubes = [fits.PrimaryHDU(), *(mer_hdus()[EXTENSIONS[band]] for band in BANDS[::-1])]
    for number, hdu in enumerate(cubes[1:]):
        hdu.name, hdu.header["FILTER"] = f"CH{number}", ""
    written(folder / "data" / "cube.fits", fits.HDUList(cubes))
    for number, band in enumerate(BANDS):
        write_single(folder / "data" / f"{number}.fits", band, FILTER=None)


ROWS = [("cube", "data/cube.fits", band, f"CH{3 - number}", "", "") for number, band in enumerate(BANDS)] + [
    ("-7", f"data/{number}.fits", band, "", 359.1235, -49.9876)
    for number, band in enumerate(("vis", "NIR_Y", "j", "H"))
]
COLUMNS = ("Object", "file", "band", "extension", "RA", "Dec")


def csv(path: Path, rows: list[tuple[object, ...]] = ROWS, columns: tuple[str, ...] = COLUMNS) -> Path:
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "fits"])
def test_a_table_decides(tmp_path, kind):
    odd_files(tmp_path)
    assert not find_objects([tmp_path], Reading())[0]
    table = csv(tmp_path / "objects.csv")
    if kind == "fits":
        table = tmp_path / "objects.fits"
        Table(rows=[tuple(map(str, row)) for row in ROWS], names=COLUMNS).write(table)
    reading = Reading(table=table)
    objects, skipped = find_objects([], reading)
    assert not skipped and [(one.name, list(one.bands)) for one in objects] == [
        ("cube", list(BANDS)),
        ("-7", list(BANDS)),
    ]
    assert objects[0].position is None and objects[1].position == (359.1235, -49.9876)
    frames = read_object(objects[0], reading)
    for number, band in enumerate(BANDS):
        whole = noise((210, 210), number).astype(np.float64) * 10 ** (-0.4 * MAGZERO[band])
        expected = whole[5:205, 5:205] if band == "VIS" else whole[6:204, 6:204].reshape(66, 3, 66, 3).sum((1, 3))
        np.testing.assert_allclose(frames[band].image, expected, rtol=1e-5, atol=1e-17)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("cube", "data/none.fits", "J", "", "", ""), "cannot be read (No such file"),
        (("cube", "data/cube.fits", "K", "CH0", "", ""), "band is 'K' in the table"),
        (("cube", "data/cube.fits", "J", "CH9", "", ""), "has no extension 'CH9', found PRIMARY, CH0"),
        (("cube", "data/cube.fits", "VIS", "CH3", "", ""), "two rows have its VIS"),
        (("cube", "data/1.fits", "", "", "", ""), "of which band is it?"),
        (("cube", "data/cube.fits", "J", "CH1", "1", "100"), "RA and Dec are 1.0, 100.0"),
        (("cube", "data/cube.fits", "J", "CH1", "1", ""), "expected one position"),
    ],
)
def test_a_row_that_cannot_be_used_leaves_out_its_object_alone(tmp_path, row, words):
    odd_files(tmp_path)
    rows = [one for one in ROWS if one[:3] != ("cube", "data/cube.fits", "J")] + [row]
    objects, (skipped,) = find_objects([], Reading(table=csv(tmp_path / "t.csv", rows)))
    assert [one.name for one in objects] == ["-7"]
    assert "object 'cube'" in skipped.reason and words in skipped.reason, skipped.reason


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"no column 'file'; found object, path2.*object,file,band"):
        find_objects([], Reading(table=csv(tmp_path / "t.csv", [("a", "b")], ("object", "path2"))))
    with pytest.raises(InputError, match="not readable as a table"):
        find_objects([], Reading(table=tmp_path / "none.csv"))
    with pytest.raises(InputError, match="no rows"):
        find_objects([], Reading(table=csv(tmp_path / "e.csv", [])))
