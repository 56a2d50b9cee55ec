"""Objects out of mosaics: the pixels that are there, from the tile that has them whole."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from fakes.euclid import MAGZERO, frames_of, imported, written
from fakes.tiles import PLACES, TILES, Sky, make_sky, mosaic_name, write_mosaic, write_noise, write_tiles

from lensfold.data.cache import central
from lensfold.errors import InputError
from lensfold.euclid.layouts import EXTENSIONS
from lensfold.euclid.tiles.mosaics import MosaicReader, find_tiles
from lensfold.euclid.tiles.source import Placed, TileSource, place, source_of
from lensfold.frames import BANDS, band_shapes

FIRST, SECOND = TILES


@pytest.fixture(scope="module")
def sky() -> Sky:
    return make_sky()


@pytest.fixture(scope="module")
def tiles_once(sky, tmp_path_factory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("tiles") / "below" / "deeper", sky).parent


@pytest.fixture
def tiles(tiles_once, tmp_path) -> Path:
    """A fresh copy of the mosaics."""
    return shutil.copytree(tiles_once, tmp_path / "tiles") / "deeper"


def positions(sky: Sky, shift: float = 0.0):
    table = sky.catalog(shift).set_axis(["name", "ra", "dec"], axis=1)
    table.insert(0, "ID", range(1, len(table) + 1))
    return table


def placed(folder: Path, table, side: int = 200) -> tuple[Placed, TileSource]:
    found, _ = find_tiles(folder)
    where = place(found, table, side)
    return where, source_of(folder, found, where, side, {})


@pytest.mark.parametrize("side", [200, 100])
@pytest.mark.parametrize("whole_rows", [True, False])
@pytest.mark.parametrize("shift", [-0.45, 0.0, 0.45])
def test_frames_come_back_as_they_were_pasted(sky, tiles_once, side, whole_rows, shift):
    where, source = placed(tiles_once, positions(sky, shift), side)
    source = replace(source, reader=MosaicReader(whole_rows))
    assert where.reasons == {} and len(where.windows) == len(PLACES)
    for object_id, frames in enumerate(sky.frames.values(), start=1):
        for band, pasted in frames.items():
            frame = source.frame(band, object_id)
            expected = central(pasted, band_shapes(side)[band][0])
            np.testing.assert_allclose(frame.pixels, expected, rtol=2e-6, atol=1e-6 * np.abs(expected).max())
            assert frame.pixels.dtype == np.float32 and frame.bad_share == 0
    assert where.offsets == pytest.approx(0.1 * np.hypot(0.5 + shift, 0.5 - shift), abs=1e-6)


def test_a_frame_is_that_of_an_import_of_the_same_cutout(sky, tiles_once, tmp_path):
    """By astropy's Cutout2D, which has its own idea of the middle: of an odd side it is the nearest pixel."""
    table = positions(sky, 0.3)
    _, source = placed(tiles_once, table)
    for row in table.itertuples():
        hdus = [fits.PrimaryHDU()]
        for band in BANDS:
            position = SkyCoord(row.ra, row.dec, unit="deg")
            cutout = Cutout2D(sky.pixels[band], position, 201, WCS(sky.header), mode="strict")
            header = cutout.wcs.to_header()
            header.update({"MAGZERO": MAGZERO[band], "FILTER": EXTENSIONS[band][:-5]})
            hdus.append(fits.ImageHDU(cutout.data, header, name=EXTENSIONS[band]))
        out = tmp_path / f"out{row.ID}"
        objects = imported([written(tmp_path / f"x{row.ID}.fits", fits.HDUList(hdus))], out)
        frames = frames_of(out, objects["name"].iloc[0])
        for band in BANDS:
            np.testing.assert_array_equal(source.frame(band, row.ID).pixels, frames[band])


def test_an_object_is_taken_from_the_tile_whose_edges_are_farthest(sky, tiles_once):
    table = positions(sky)
    corners = {1: (13, 22), 2: (250, 310), 3: (250, 395), 4: (250, 701), 5: (-1, 100), 6: (250, 299 - 100)}
    table = table.loc[[0] * len(corners)].assign(ID=list(corners))
    spots = [sky.position(row + 100, column + 100) for row, column in corners.values()]
    table[["ra", "dec"]] = spots
    where, source = placed(tiles_once, table.reset_index(drop=True))
    tile = {row["id"]: source.tiles[int(row["tile"])][0] for row in where.windows}
    assert tile == {1: FIRST, 2: FIRST, 3: SECOND, 6: FIRST}
    assert {number: reason for number, (reason, _) in where.reasons.items()} == {
        3: f"cut off by the edge of {SECOND}",
        4: f"cut off by the edge of {FIRST}",
    }
    assert all(mosaic_name("VIS", reason[-13:]) in file for reason, file in where.reasons.values())


def test_the_other_side_of_the_sky_is_in_no_tile(sky, tiles_once):
    table = positions(sky)
    table["ra"], table["dec"] = (table["ra"] + 180) % 360, -table["dec"]
    where, _ = placed(tiles_once, table.assign(ra=[*table["ra"][:2], 20.0]))
    assert {reason for reason, _ in where.reasons.values()} == {"in no tile"} and not len(where.windows)


def test_the_background_subtracted_mosaic_is_preferred(sky, tiles):
    write_mosaic(tiles, sky, "VIS", FIRST, "MOSAIC", add=100.0)
    shutil.move(tiles / mosaic_name("Y", FIRST), tiles / mosaic_name("Y", FIRST, "MOSAIC"))
    first = find_tiles(tiles)[0][0]
    assert {band: mosaic.subtracted for band, mosaic in first.mosaics.items()} == dict.fromkeys(BANDS, True) | {
        "Y": False
    }
    _, source = placed(tiles, positions(sky))
    frames = sky.frames[next(iter(PLACES))]
    for band in ("VIS", "Y"):
        np.testing.assert_allclose(source.frame(band, 1).pixels, frames[band], rtol=2e-6, atol=1e-17)


def test_what_the_rms_mosaic_calls_bad_is_missing(sky, tiles):
    row, column = next(iter(PLACES.values()))
    hole = slice(row + 1, row + 5), slice(column + 31, column + 34)  # one sum of NISP, and a third of another
    write_noise(tiles, sky, "VIS", FIRST, hole)
    write_noise(tiles, sky, "H", FIRST, hole)
    _, source = placed(tiles, positions(sky))
    vis, h = (source.frame(band, 1) for band in ("VIS", "H"))
    assert np.isnan(vis.pixels[1:5, 31:34]).all() and np.isnan(vis.pixels).sum() == 12
    assert vis.bad_share == 12 / 200**2 and h.bad_share == 12 / 198**2
    assert np.argwhere(np.isnan(h.pixels)).tolist() == [[0, 10]]
    assert h.pixels[1, 10] == pytest.approx(sky.frames[next(iter(PLACES))]["H"][1, 10], rel=1e-5)
    assert source.frame("Y", 1).bad_share == 0


def test_a_tile_that_lacks_a_band_is_named_and_not_used(tiles):
    (tiles / mosaic_name("J", SECOND)).unlink()
    found, unusable = find_tiles(tiles)
    assert [tile.name for tile in found] == [FIRST]
    assert unusable == {SECOND: f"{SECOND} lacks the mosaic of J"}
    (tiles / mosaic_name("VIS", FIRST)).unlink()
    with pytest.raises(InputError, match=f"no tile has all of VIS, Y, J, H: {FIRST} lacks the mosaic of VIS"):
        find_tiles(tiles)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100_000])


def as_integers(path: Path) -> None:
    with fits.open(path) as hdus:
        header, data = hdus[0].header, hdus[0].data.astype(np.int16)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)


def without(*keys: str):
    def change(path: Path) -> None:
        for name in keys:
            fits.delval(path, name)

    return change


def with_card(key: str, value: float):
    def change(path: Path) -> None:
        fits.setval(path, key, value=value)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_short, "truncated: HDU 0"),
        (as_integers, r"BITPIX 16, BSCALE None, BZERO None, expected an image \(rows, columns\) of plain floats"),
        (without("MAGZERO"), "MAGZERO is not in the header. Give the AB zero points"),
        (without("CTYPE1", "CTYPE2"), "its WCS is .*, expected a celestial one"),
        (with_card("CD1_1", 0.3 / 3600), "of 0.1 arcsec a pixel"),
        (with_card("CRPIX1", 301.0), f"on another grid than the VIS mosaic of {FIRST}"),
        (lambda path: path.write_bytes(b"SIMPLE"), "not readable as a FITS image"),
        (lambda path: path.rename(f"{path}.gz"), "is compressed"),
        (lambda path: shutil.copy(path, path.with_name(path.name.replace("A1B2C3", "Z"))), "a second mosaic"),
    ],
)
def test_mosaics_that_cannot_be_used_are_named(tiles, change, message):
    path = tiles / mosaic_name("H", FIRST)
    change(path)
    with pytest.raises(InputError, match=message) as error:
        find_tiles(tiles)
    assert path.stem in str(error.value)


def test_folders_without_mosaics_are_refused(tmp_path):
    (tmp_path / "EUC_MER_MOSAIC-DES-G_TILE102018211-A_20241018T142710Z_00.00.fits").touch()
    with pytest.raises(InputError, match="no MER mosaic found, expected one file a band named like EUC_MER_BGSUB"):
        find_tiles(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_tiles(tmp_path / "nowhere")


def test_a_mosaic_that_changes_under_the_reader_is_an_error(sky, tiles):
    _, source = placed(tiles, positions(sky))
    before = source.fingerprint([1, 2, 3])
    write_mosaic(tiles, sky, "VIS", FIRST, add=1.0)
    with pytest.raises(InputError, match="changed while it was read"):
        source.frame("VIS", 1)
    assert placed(tiles, positions(sky))[1].fingerprint([1, 2, 3]) != before


def test_a_part_travels_without_pixels(sky, tiles_once):
    _, source = placed(tiles_once, positions(sky))
    source.frame("VIS", 1)
    part = pickle.loads(pickle.dumps(source.part([1])))
    np.testing.assert_array_equal(part.frame("H", 1).pixels, source.frame("H", 1).pixels)
    assert list(part.tiles) == [0] and len(pickle.dumps(part)) < 10_000
