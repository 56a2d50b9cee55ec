"""Real Euclid cutouts: the same sky, the same flux, the same position; and every file that cannot be used says why."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fakes.mer import MAGZERO, PIXEL, mer_hdus, noise, wcs_header, written
from fakes.workspace import PROJECT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensfold.data.cache_build import Build, build_cache
from lensfold.data.fits_reader import read_frame, strict_frame
from lensfold.errors import InputError
from lensfold.euclid.importer import EXTENSIONS, group_files, import_euclid, read_bands, read_euclid
from lensfold.paths import BAND_SHAPES, BANDS, Pack, cutout_file

REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))


def write_single(path: Path, band: str, side: int = 200, pixel: float = PIXEL, **cards) -> Path:
    """A single-band cutout in a primary HDU; a card of None is left out."""
    cards = {"MAGZERO": MAGZERO[band], "FILTER": EXTENSIONS[band][:-5]} | cards
    header = wcs_header((side, side), pixel)
    header.update({key: value for key, value in cards.items() if value is not None})
    return written(path, fits.PrimaryHDU(noise((side, side), BANDS.index(band)), header))


def write_group(folder: Path, name: str = "{}_7", nisp: float = PIXEL, **cards) -> list[Path]:
    """Four single-band cutouts named ``name`` with the band's extension in it."""
    nisp_side = 210 if nisp == PIXEL else 68
    return [
        write_single(
            folder / f"{name.format(EXTENSIONS[band][:-5])}.fits",
            band,
            210 if band == "VIS" else nisp_side,
            PIXEL if band == "VIS" else nisp,
            **cards,
        )
        for band in BANDS
    ]


def refused(files, out: Path, *words: str, **options) -> str:
    """The message of an import that must fail, and leave nothing behind."""
    before = sorted(out.rglob("*")) if out.exists() else None
    with pytest.raises(InputError) as error:
        import_euclid(files, out, **options)
    assert (sorted(out.rglob("*")) if out.exists() else None) == before
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)
    return str(error.value)


def frames_of(out: Path, object_id: int) -> dict[str, np.ndarray]:
    """Pixels of an imported object."""
    return {band: read_frame(cutout_file(out, band, object_id).read_bytes()) for band in BANDS}


def all_strict(out: Path) -> bool:
    """Whether every file has the one form that needs no astropy to be read."""
    return all(strict_frame(path.read_bytes()) is not None for path in out.rglob("*.fits"))


# ---- real files -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_the_real_example_gives_the_reference_in_every_band(tmp_path):
    source = REAL / "mer" / "EUC_MER_example_300px.fits"
    out = tmp_path / "real"
    table = import_euclid([source], out)
    assert table["ID"].tolist() == [1] and table["file"].tolist() == [source.name]  # 300px is no number
    assert table[[f"bad_{band}" for band in BANDS]].to_numpy().max() == 0
    for band, frame in frames_of(out, 1).items():
        reference = read_frame(cutout_file(REAL, band, 900001).read_bytes())
        np.testing.assert_allclose(frame, reference, rtol=2e-7, atol=0)
    with fits.open(source) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_sky({band: WCS(hdus[EXTENSIONS[band]].header) for band in BANDS}, out, 1, (50, 50))
    manifest = build_cache(Pack("real", out).split_source("test"), Build(tmp_path / "cache"))
    assert manifest["objects"] == 1 and not manifest["refused"] and not manifest["repaired"]


# ---- geometry ---------------------------------------------------------------------------------------------------


def check_sky(sources: dict[str, WCS], out: Path, object_id: int, corner: tuple[int, int]) -> None:
    """A source's pixels have the sky they had; ``corner``: column and row where the VIS frame starts."""
    for band in BANDS:
        wcs = WCS(fits.getheader(cutout_file(out, band, object_id)))
        step, first = (1, 0) if band == "VIS" else (3, 2)
        inside = np.array([[0, 0], [10, 60], [65, 3], [32, 32]])
        before = sources[band].pixel_to_world(*(inside * step + first + corner).T)
        assert before.separation(wcs.pixel_to_world(*inside.T)).arcsec.max() < 1e-6, band


@pytest.mark.parametrize("form", ["cd", "pc", "both"])
@pytest.mark.parametrize(("shape", "corner"), [((200, 200), (0, 0)), ((201, 203), (1, 0)), ((260, 231), (15, 30))])
def test_the_sky_stays_where_it_is(tmp_path, form, shape, corner):
    path = written(tmp_path / "12.fits", mer_hdus(shape, form))
    table = import_euclid([path], tmp_path / "out")
    wcs = WCS(wcs_header(shape, form=form))
    check_sky(dict.fromkeys(BANDS, wcs), tmp_path / "out", 12, corner)
    centre = wcs.pixel_to_world(corner[0] + 99.5, corner[1] + 99.5)
    assert table.loc[0, "ra"] == pytest.approx(centre.ra.deg, abs=1e-10)
    assert table.loc[0, "dec"] == pytest.approx(centre.dec.deg, abs=1e-10)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(200, 260), columns=st.integers(200, 260))
def test_any_size_is_cut_at_the_same_sky_in_all_bands(tmp_path, rows, columns):
    hdus = mer_hdus((rows, columns))
    path = written(tmp_path / "a.fits", hdus)
    frames = read_euclid([path])
    row, column = (rows - 200) // 2, (columns - 200) // 2
    vis = hdus["VIS_FLUX"].data[row : row + 200, column : column + 200]
    np.testing.assert_allclose(frames["VIS"].image, vis * 10 ** (-0.4 * 24.6), rtol=1e-6)
    for band in BANDS[1:]:
        under = hdus[EXTENSIONS[band]].data[row + 1 : row + 199, column + 1 : column + 199].astype(np.float64)
        sums = under.reshape(66, 3, 66, 3).sum(axis=(1, 3)) * 10 ** (-0.4 * MAGZERO[band])
        np.testing.assert_allclose(frames[band].image, sums, rtol=1e-5, atol=1e-17)


@pytest.mark.parametrize("side", [201, 205, 255])
def test_the_central_pixel_of_an_odd_size(tmp_path, side):
    """It becomes VIS pixel 100, and lies in the NISP pixel that covers VIS pixels 100 … 102."""
    hdus = mer_hdus((side, side))
    for name in EXTENSIONS.values():
        hdus[name].data[side // 2, side // 2] = 1e6
    frames = read_euclid([written(tmp_path / "a.fits", hdus)])
    for band, frame in frames.items():
        brightest = np.unravel_index(frame.image.argmax(), frame.image.shape)
        assert brightest == ((100, 100) if band == "VIS" else (33, 33)), band


def test_bands_of_other_sizes_are_cut_at_the_same_sky(tmp_path):
    """The NISP image is 198 wide and begins one VIS pixel in, or is larger and off centre."""
    hdus = mer_hdus((200, 200))
    expected = {band: frame.image for band, frame in read_euclid([written(tmp_path / "a.fits", hdus)]).items()}
    for band, before, after in (("Y", 0, 0), ("J", 3, 8)):
        name = EXTENSIONS[band]
        inner = hdus[name].data[1:199, 1:199]
        hdus[name].data = np.pad(inner, ((before, after), (after, before)), constant_values=7)
        hdus[name.replace("FLUX", "RMS")].data = np.ones_like(hdus[name].data)
        hdus[name].header["CRPIX1"] += after - 1
        hdus[name].header["CRPIX2"] += before - 1
    found = read_euclid([written(tmp_path / "b.fits", hdus)])
    for band in BANDS:
        np.testing.assert_array_equal(found[band].image, expected[band])


# ---- units and flux ---------------------------------------------------------------------------------------------


def test_a_star_keeps_its_magnitude_in_every_band(tmp_path):
    """Magnitude 20 spread over 3 x 3 pixels is 10^(-8) in the sum, whatever the zero point."""
    hdus = mer_hdus((210, 210))
    for band, name in EXTENSIONS.items():
        hdus[name].data *= np.float32(1e-6)
        hdus[name].data[103:106, 103:106] = 10 ** (0.4 * (MAGZERO[band] - 20)) / 9
    frames = read_euclid([written(tmp_path / "a.fits", hdus)])
    for band, frame in frames.items():
        assert frame.image.dtype == np.float32 and frame.image.shape == BAND_SHAPES[band]
        assert np.abs(frame.image).astype(np.float64).sum() == pytest.approx(1e-8, rel=1e-3), band


def test_bands_as_delivered(tmp_path):
    hdus = mer_hdus()
    hdus["NIR_Y_RMS"].data[4, 5] = 1e16
    sources = read_bands([written(tmp_path / "a.fits", hdus)])
    assert list(sources) == list(BANDS)
    np.testing.assert_array_equal(sources["J"].image, hdus["NIR_J_FLUX"].data)
    assert np.argwhere(sources["Y"].rms_bad).tolist() == [[4, 5]] and sources["H"].magzero == 29.9


# ---- bad pixels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e16, 1e15, 0.0, -1.0, np.nan, np.inf])
def test_rms_tells_bad_pixels(tmp_path, value):
    hdus = mer_hdus((200, 200))
    hdus["VIS_RMS"].data[3, 4] = value
    frame = read_euclid([written(tmp_path / "a.fits", hdus)])["VIS"]
    assert np.argwhere(np.isnan(frame.image)).tolist() == [[3, 4]]
    assert frame.bad == 1 and frame.bad_share == 1 / 40000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30])
def test_pixels_without_a_measurement_are_bad_without_rms_too(tmp_path, value):
    hdus = mer_hdus((200, 200))
    hdus["VIS_FLUX"].data[3, 4] = value
    del hdus["VIS_RMS"]
    frame = read_euclid([written(tmp_path / "a.fits", hdus)])["VIS"]
    assert np.argwhere(np.isnan(frame.image)).tolist() == [[3, 4]]


@pytest.mark.parametrize("count", range(10))
def test_sums_with_bad_pixels(tmp_path, count):
    """Up to four of nine are made good by the others' mean; of five the sum is bad."""
    hdus = mer_hdus((200, 200))
    hdus["NIR_H_RMS"].data[1:4, 1:4] = np.where(np.arange(9).reshape(3, 3) < count, 1e16, 1)
    frame = read_euclid([written(tmp_path / "a.fits", hdus)])["H"]
    good = hdus["NIR_H_FLUX"].data[1:4, 1:4].astype(np.float64).ravel()[count:]
    assert frame.bad == count and frame.bad_share == count / 198**2
    if count > 4:
        assert np.isnan(frame.image[0, 0])
    else:
        assert frame.image[0, 0] == pytest.approx(good.sum() * 9 / good.size * 10 ** (-0.4 * 29.9), rel=1e-5)
    assert np.count_nonzero(np.isnan(frame.image)) == (count > 4)


def test_an_object_with_an_unusable_band_is_imported_and_reported(tmp_path):
    hdus = mer_hdus((200, 200))
    hdus["VIS_FLUX"].data[:, :40] = 0  # a blank strip
    hdus["NIR_Y_FLUX"].data[:] = np.nan
    hdus["NIR_J_RMS"].data[:] = 1e16
    hdus["NIR_H_FLUX"].data[150:] = 3.0  # another kind of blank strip
    good = written(tmp_path / "2.fits", mer_hdus((200, 200)))
    table = import_euclid([written(tmp_path / "1.fits", hdus), good], tmp_path / "out")
    shares = table.set_index("ID")[[f"bad_{band}" for band in BANDS]]
    assert shares.loc[1].tolist() == pytest.approx([0.2, 1, 1, 49 / 198]) and (shares.loc[2] == 0).all()
    frames = frames_of(tmp_path / "out", 1)
    assert np.isnan(frames["Y"]).all() and np.isnan(frames["J"]).all()
    assert np.isnan(frames["VIS"]).mean() == 0.2
    manifest = build_cache(tmp_path / "out", Build(tmp_path / "cache", skip_bad=True))
    assert list(manifest["refused"]) == ["1"] and manifest["objects"] == 1


def test_small_gaps_are_mended_by_the_cache(tmp_path):
    hdus = mer_hdus((200, 200))
    hdus["VIS_RMS"].data[50:53, 60:62] = 1e16
    import_euclid([written(tmp_path / "5.fits", hdus)], tmp_path / "out")
    assert build_cache(tmp_path / "out", Build(tmp_path / "cache"))["repaired"] == {"5": {"VIS": 6}}


# ---- the pack ---------------------------------------------------------------------------------------------------


def test_a_pack_is_a_test_split_in_the_challenges_form(tmp_path):
    done = []
    files = [written(tmp_path / f"obj_{number}.fits", mer_hdus()) for number in (30, 4)]
    out = tmp_path / "deep" / "mine"
    table = import_euclid(files, out, progress=lambda *at: done.append(at))
    assert table["ID"].tolist() == [4, 30] and done == [(1, 2), (2, 2)]
    assert list(table.columns) == ["ID", "file", "ra", "dec", "bad_VIS", "bad_Y", "bad_J", "bad_H"]
    pd.testing.assert_frame_equal(pd.read_csv(out / "objects.csv"), table)
    assert Pack("mine", out).split_source("test") == out
    assert sorted(path.name for path in out.iterdir()) == ["Public", "objects.csv"]
    assert len(list(out.rglob("*.fits"))) == 8
    for band, frame in frames_of(out, 4).items():
        assert frame.shape == BAND_SHAPES[band]
        header = fits.getheader(cutout_file(out, band, 4))
        assert (header["BITPIX"], header["MAGZERO"], header["SRCFILE"]) == (-32, 0, "obj_4.fits")
    assert all_strict(out)


def test_what_was_imported_can_be_imported_again(tmp_path):
    hdus = mer_hdus()
    hdus["VIS_RMS"].data[100, 100] = 1e16
    import_euclid([written(tmp_path / "8.fits", hdus)], tmp_path / "one")
    import_euclid(sorted((tmp_path / "one").rglob("*.fits")), tmp_path / "two")
    again = frames_of(tmp_path / "two", 8)
    for band, frame in frames_of(tmp_path / "one", 8).items():
        np.testing.assert_array_equal(again[band], frame)


def test_a_pack_is_replaced_only_when_told(tmp_path):
    first, second = (written(tmp_path / f"{number}.fits", mer_hdus()) for number in (1, 2))
    out = tmp_path / "out"
    import_euclid([first], out)
    (out / "cache").mkdir()
    refused([second], out, str(out), "found Public", "--overwrite")
    broken = tmp_path / "3.fits"
    broken.write_bytes(b"no")
    refused([second, broken], out, "3.fits", overwrite=True)
    import_euclid([second], out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["Public", "cache", "objects.csv"]
    assert sorted(path.name for path in out.rglob("*.fits")) == sorted(f"imageEUC_{band}-2.fits" for band in BANDS)


@pytest.mark.parametrize("name", ["train", "datapack2.0test.tar.gz", "test", "image_catalog2.0train.csv"])
def test_another_kind_of_pack_is_left_alone(tmp_path, name):
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    refused([written(tmp_path / "1.fits", mer_hdus())], out, name, "another folder", overwrite=True)


def test_a_failure_half_way_leaves_nothing(tmp_path):
    """The second object fails only when its pixels are looked at, after the first was written."""
    hdus = mer_hdus()
    hdus["NIR_J_FLUX"].header["MAGZERO"] = "none"
    files = [written(tmp_path / "1.fits", mer_hdus()), written(tmp_path / "2.fits", hdus)]
    refused(files, tmp_path / "new" / "pack", "2.fits", "MAGZERO", "'none'")


def test_all_unusable_files_are_listed(tmp_path):
    files = []
    for number in range(23):
        files.append(tmp_path / f"bad{number:02d}.fits")
        files[-1].write_text("no FITS")
    message = refused(files, tmp_path / "out", "bad00.fits", "bad19.fits", "3 more")
    assert "bad20.fits" not in message


def test_the_folder_cannot_be_written(tmp_path):
    source = written(tmp_path / "1.fits", mer_hdus())
    with pytest.raises(InputError, match="cannot be written"):
        import_euclid([source], source / "out")


# ---- names and IDs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["12_a_7", "3"], [12, 3]),  # leading
        (["tile 5 b", "c-0009"], [5, 9]),  # the only one
        (["-523574860290315045"], [523574860290315045]),  # Euclid's own have a sign
        (["12a", "7"], [1, 2]),  # a part of a word is none
        (["a_63.25_-49.5"], [1]),  # nor is a part of a decimal number
        (["7_a", "07_b"], [2, 1]),  # alike: in the order of the names
        (["a_1_2"], [1]),  # two, none leading
        (["1234567890123456789"], [1]),  # more than the challenge's names can hold
    ],
)
def test_ids_come_from_the_names(tmp_path, names, ids):
    files = [written(tmp_path / f"{name}.fits", mer_hdus()) for name in names]
    table = import_euclid(files, tmp_path / "out").set_index("file")
    assert table.loc[[path.name for path in files], "ID"].tolist() == ids


@pytest.mark.parametrize(
    "name", ["../../x' \n/*", "ä" * 60, "q" * 200, "\udcff"], ids=["path", "accents", "long", "bytes"]
)
def test_a_name_is_only_text(tmp_path, name):
    path = written(tmp_path / "in" / (name.replace("/", "∕") + ".fits"), mer_hdus())
    import_euclid([path], tmp_path / "out")
    assert all_strict(tmp_path / "out")
    card = fits.getheader(cutout_file(tmp_path / "out", "Y", 1))["SRCFILE"]
    assert card.isascii() and len(card) <= 68
    assert len(pd.read_csv(tmp_path / "out" / "objects.csv")) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_two_folders_may_hold_the_same_name(tmp_path):
    files = [written(tmp_path / folder / "5.fits", mer_hdus()) for folder in "ab"]
    assert import_euclid(files, tmp_path / "out")["ID"].tolist() == [1, 2]


# ---- single-band cutouts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        "a.5_VIS a.5_NIR_Y a.5_NIR_J a.5_NIR_H",
        "VIS-q NIR-Y-q NIR-J-q NIR-H-q",
        "o vis b|o nisp_y b|o j b|o NISP-H b",
        "EUC_VIS/7 EUC_Y/7 EUC_J/7 EUC_H/7",
    ],
)
@pytest.mark.parametrize("told", ["header", "name", "instrument"])
def test_four_single_bands_make_an_object(tmp_path, names, told):
    told = "header" if "/" in names else told  # a folder's name tells no band
    files = []
    for band, name in zip(BANDS, names.split("|" if "|" in names else " "), strict=True):
        cards = {} if told == "header" else {"FILTER": None if told == "name" else "OPEN"}
        instrument = {"INSTRUME": "VIS" if band == "VIS" else "NISP"} if told == "instrument" else {}
        files.append(write_single(tmp_path / "in" / f"{name}.fits", band, **cards, **instrument))
    assert [group for _, group in group_files(files[::-1])] == [tuple(files)]
    frames = read_euclid(files)
    for number, band in enumerate(BANDS):
        whole = noise((200, 200), number).astype(np.float64) * 10 ** (-0.4 * MAGZERO[band])
        expected = whole if band == "VIS" else whole[1:199, 1:199].reshape(66, 3, 66, 3).sum(axis=(1, 3))
        np.testing.assert_allclose(frames[band].image, expected, rtol=1e-5, atol=1e-17)


def test_nisp_at_its_own_scale_is_taken_as_it_is(tmp_path):
    files = write_group(tmp_path / "in", nisp=0.3 / 3600)
    table = import_euclid(files, tmp_path / "out")
    assert table["ID"].tolist() == [7] and table["file"].tolist() == ["VIS_7.fits"]
    frames = frames_of(tmp_path / "out", 7)
    # 210 and 68 pixels around the same position: the frames of 200 and 66 are in the middle of both
    expected = noise((68, 68), 1)[1:67, 1:67] * 10 ** (-0.4 * 29.8)
    np.testing.assert_allclose(frames["Y"], expected, rtol=1e-6)


def test_a_single_band_may_be_an_extension_with_rms(tmp_path):
    files = write_group(tmp_path / "in")
    rms = np.ones((210, 210), np.float32)
    rms[5, 5] = 1e16
    pixels, header = fits.getdata(files[0], header=True)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, header, name="SCI"), fits.ImageHDU(rms, name="rms")]
    written(files[0], fits.HDUList(hdus))
    assert np.argwhere(np.isnan(read_euclid(files)["VIS"].image)).tolist() == [[0, 0]]


def test_groups_that_lack_a_band_are_listed(tmp_path):
    first, second = write_group(tmp_path, "a_{}"), write_group(tmp_path, "b_{}")
    refused([*first[:2], *second[1:]], tmp_path / "out", "'a': lacks J, H", "'b': lacks VIS", "a_NIR_Y.fits", "alike")


def test_a_band_that_is_not_clear(tmp_path):
    for name in ("plain", "H_5_VIS"):
        path = write_single(tmp_path / f"{name}.fits", "Y", FILTER="DECAM_z", INSTRUME="DECam")
        refused([path], tmp_path / "out", name, "of which band", "DECAM_z", "DECam", "PRIMARY", "VIS_FLUX")
    path = write_single(tmp_path / "c.fits", "Y", FILTER="NIR_Y", INSTRUME="VIS")
    refused([path], tmp_path / "out", "of which band", "NIR_Y", "'VIS'")


def test_two_images_of_one_band(tmp_path):
    files = [write_single(tmp_path / folder / "a_VIS.fits", "VIS") for folder in "xy"]
    refused(files, tmp_path / "out", *map(str, files), "second image of VIS")


def test_maps_that_are_no_images(tmp_path):
    for word in ("RMS", "flag", "PSF"):
        path = write_single(tmp_path / f"a_VIS_{word}.fits", "VIS")
        refused([path], tmp_path / "out", path.name, "Leave it out")


def test_an_object_needs_all_its_files(tmp_path):
    with pytest.raises(InputError, match="found Y, VIS, expected each of VIS, Y, J, H"):
        read_euclid(write_group(tmp_path)[1::-1])


# ---- errors, one by one -----------------------------------------------------------------------------------------


def mer_with(tmp_path: Path, change, shape: tuple[int, int] = (210, 210)) -> list[Path]:
    """A MER cutout after ``change`` was made to its HDUs."""
    hdus = mer_hdus(shape)
    hdus = change(hdus) or hdus
    return [written(tmp_path / "x1.fits", hdus)]


def card(extension: str, key: str, value) -> object:
    """A change: one header card, or its removal."""

    def change(hdus):
        if value is None:
            del hdus[extension].header[key]
        else:
            hdus[extension].header[key] = value

    return change


@pytest.mark.parametrize("value", [None, "24.6", True, 1e9, -61.0])
def test_zero_points(tmp_path, value):
    files = mer_with(tmp_path, card("NIR_J_FLUX", "MAGZERO", value))
    refused(files, tmp_path / "out", "x1.fits", "NIR_J_FLUX", f"MAGZERO is {value!r}", "24.6")


def test_a_missing_band(tmp_path):
    files = mer_with(tmp_path, lambda hdus: hdus.pop("NIR_H_FLUX") and None)
    refused(files, tmp_path / "out", "x1.fits", "lacks NIR_H_FLUX", "NIR_H_RMS", "expected VIS_FLUX")


def test_other_names_are_not_guessed(tmp_path):
    def change(hdus):
        for name in EXTENSIONS.values():
            hdus[name].name = f"{name}_MICROJANSKY"

    files = mer_with(tmp_path, change)
    # taken for a single band by its FILTER, it lacks the others
    refused(files, tmp_path / "out", "x1", "lacks Y, J, H")


def test_extension_names_in_lower_case(tmp_path):
    path = mer_with(tmp_path, lambda hdus: None)[0]
    data = path.read_bytes().replace(b"'VIS_FLUX'", b"'vis_flux'")
    path.write_bytes(data)
    assert not np.isnan(read_euclid([path])["VIS"].image).any()


@pytest.mark.parametrize(("scale", "band"), [(0.102, "VIS"), (0.3, "VIS"), (0.29, "NIR_Y"), (0.2, "NIR_H")])
def test_pixel_scales(tmp_path, scale, band):
    def change(hdus):
        hdus[f"{band}_FLUX"].header.update(wcs_header((210, 210), scale / 3600))

    words = "x1.fits", f"{scale:.4g} x {scale:.4g} arcsec", "expected 0.1", "within 1 %"
    refused(mer_with(tmp_path, change), tmp_path / "out", *words)


@pytest.mark.parametrize("scale", [0.0992, 0.1008])
def test_pixel_scales_within_one_percent(tmp_path, scale):
    def change(hdus):
        for name in EXTENSIONS.values():
            hdus[name].header.update(wcs_header((210, 210), scale / 3600))

    assert read_euclid(mer_with(tmp_path, change))["Y"].image.shape == (66, 66)


def test_sizes(tmp_path):
    refused(mer_with(tmp_path, lambda hdus: None, (199, 300)), tmp_path / "out", "199 x 300 pixels", "200 to 3000")
    refused(mer_with(tmp_path, lambda hdus: None, (200, 3001)), tmp_path / "out", "200 x 3001 pixels")
    files = [write_single(tmp_path / "s" / f"a_{EXTENSIONS[band][:-5]}.fits", band, 200) for band in BANDS]
    write_single(files[2], "J", 65, 0.3 / 3600)
    refused(files, tmp_path / "out", "a_NIR_J.fits", "J has 65 x 65 pixels", "66 to 3000")


def test_bands_of_another_sky(tmp_path):
    files = mer_with(tmp_path, card("NIR_Y_FLUX", "CRVAL2", -49.98))
    refused(files, tmp_path / "out", "x1.fits", "Y does not cover the VIS frame", "(210, 210)")
    files = mer_with(tmp_path, card("NIR_Y_FLUX", "CRVAL1", 100.0))  # below its horizon
    refused(files, tmp_path / "out", "Y does not cover the VIS frame")

    def mirrored(hdus):
        for key in ("CD1_1", "CD2_1"):
            hdus["NIR_H_FLUX"].header[key] *= -1

    refused(mer_with(tmp_path, mirrored), tmp_path / "out", "H is turned or stretched", "expected at most 0.3")


@pytest.mark.parametrize("kind", ["none", "frequency", "sip"])
def test_no_usable_wcs(tmp_path, kind):
    def change(hdus):
        header = hdus["VIS_FLUX"].header
        if kind == "none":
            for key in [key for key in header if key.startswith(("CTYPE", "CRVAL", "CRPIX", "CD", "CUNIT"))]:
                del header[key]
        elif kind == "sip":
            header.update({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"})
            header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5})
        else:
            header.update({"CTYPE1": "FREQ", "CUNIT1": "Hz", "CTYPE2": "LINEAR", "CUNIT2": ""})

    found = {"none": "none", "sip": "RA---TAN-SIP DEC--TAN-SIP"}.get(kind, "FREQ")
    refused(mer_with(tmp_path, change), tmp_path / "out", "x1.fits [VIS_FLUX]", f"WCS is {found}", "celestial")


def test_galactic_coordinates_are_converted(tmp_path):
    def change(hdus):
        for name in EXTENSIONS.values():
            hdus[name].header.update({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 120.0, "CRVAL2": 30.0})

    table = import_euclid(mer_with(tmp_path, change), tmp_path / "out")
    assert table.loc[0, "dec"] > 80  # Galactic (123, 27) is the pole


def test_old_cards_do_no_harm(tmp_path):
    """A deprecated keyword, a date: none may warn or stop the import."""

    def change(hdus):
        for name in EXTENSIONS.values():
            header = hdus[name].header
            header.update({"RADECSYS": "FK5", "EQUINOX": 2000.0, "DATE-OBS": "2024-10-18T16:12:43", "MJD-OBS": 60601.0})
            header.update({"TELESCOP": "Euclid", "BUNIT": "ADU"})

    out = tmp_path / "out"
    import_euclid(mer_with(tmp_path, change), out)
    assert all_strict(out)
    WCS(fits.getheader(cutout_file(out, "Y", 1)))


def test_an_image_that_is_none(tmp_path):
    def cube(hdus):
        hdus["NIR_Y_FLUX"].data = np.ones((2, 210, 210), np.float32)

    refused(mer_with(tmp_path, cube), tmp_path / "out", "NIR_Y_FLUX", "(2, 210, 210)", "(rows, columns)")

    def small_rms(hdus):
        hdus["NIR_Y_RMS"].data = np.ones((209, 210), np.float32)

    refused(mer_with(tmp_path, small_rms), tmp_path / "out", "NIR_Y_FLUX", "(210, 210)", "its RMS (209, 210)")

    def table(hdus):
        hdus["VIS_FLUX"] = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])], name="VIS_FLUX")

    refused(mer_with(tmp_path, table), tmp_path / "out", "VIS_FLUX", "expected an image")
    empty = written(tmp_path / "e.fits", fits.PrimaryHDU())
    refused([empty], tmp_path / "out", "e.fits", "lacks VIS_FLUX", "PRIMARY")


def test_integers_and_scaled_pixels_are_read(tmp_path):
    hdus = mer_hdus((200, 200))
    values = np.random.default_rng(1).integers(1, 30000, (200, 200))
    hdus["VIS_FLUX"].data = values.astype(np.int16)
    hdus["VIS_FLUX"].header.update({"BSCALE": 2.0, "BZERO": 10.0})
    frame = read_euclid([written(tmp_path / "a.fits", hdus)])["VIS"]
    assert np.isfinite(frame.image).all()


# ---- hostile input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 10, 2879, 2880, 4000, 100_000, -2000, -2880])
def test_truncated_files(tmp_path, keep):
    path = mer_with(tmp_path, lambda hdus: None)[0]
    path.write_bytes(path.read_bytes()[:keep])
    refused([path], tmp_path / "out", "x1.fits")


@pytest.mark.parametrize("content", [b"", b"ID,ra,dec\n1,2,3\n", b"\x1f\x8b" + bytes(100), b"SIMPLE  =" + b" " * 5000])
def test_files_that_are_no_fits(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    refused([path], tmp_path / "out", "a.fits", "not readable as a FITS image", "leave it out")


def test_files_that_are_not_there(tmp_path):
    refused([], tmp_path / "out", "no files given")
    refused([tmp_path / "a.fits"], tmp_path / "out", "a.fits", "No such file")
    refused([tmp_path], tmp_path / "out", "Is a directory", "FITS files themselves")


@pytest.mark.parametrize(
    ("card", "damaged"),
    [
        (b"NAXIS2  =                  210", b"NAXIS2  =                - 210"),  # astropy would never end
        (b"NAXIS2  =                  210", b"NAXIS2  =               999210"),
        (b"CRVAL2  =  -49.98765", b"CRVAL2  =  -4E400   "),
        (b"CD1_1   = -2.4377", b"CD1_1   = -2E400 "),
        (b"CRPIX1  =                105.5", b"CRPIX1  =                1E400"),
        (b"CD1_1   = -2.4377", b"CD1_1   =  0.0000"),
    ],
)
def test_headers_that_make_no_sense(tmp_path, card, damaged):
    path = mer_with(tmp_path, lambda hdus: None)[0]
    content = path.read_bytes()
    assert card in content
    path.write_bytes(content.replace(card, damaged, 1))
    refused([path], tmp_path / "out", "x1.fits")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_are_refused_or_imported_but_never_crash(tmp_path, data):
    """Headers overwritten at random: the only exception is InputError."""
    content = bytearray(written(tmp_path / "a.fits", mer_hdus((200, 200))).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, 9000))
        new = data.draw(st.binary(min_size=1, max_size=12) | st.text("0123456789.-E'= T", max_size=12).map(str.encode))
        content[start : start + len(new)] = new
    (tmp_path / "b.fits").write_bytes(bytes(content))
    try:
        frames = read_euclid([tmp_path / "b.fits"])
    except InputError:
        return
    assert {band: frame.image.shape for band, frame in frames.items()} == BAND_SHAPES
