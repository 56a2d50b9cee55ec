"""Which files make an object, which bands they have; and every file that cannot be used says why."""

import numpy as np
import pytest
from astropy.io import fits
from fakes.euclid import (
    MAGZERO,
    frames_in,
    mer_hdus,
    mer_with,
    noise,
    object_of,
    refused,
    write_group,
    write_single,
    written,
)

from lensfold.euclid.bands import read_bands
from lensfold.euclid.grouping import find_objects
from lensfold.euclid.layouts import EXTENSIONS, Reading
from lensfold.frames import BANDS


def changed_card(extension: str, key: str, value) -> object:
    """A change: one header card, or its removal."""

    def change(hdus):
        if value is None:
            del hdus[extension].header[key]
        else:
            hdus[extension].header[key] = value

    return change


def test_bands_as_delivered(tmp_path):
    hdus = mer_hdus()
    hdus["NIR_Y_RMS"].data[4, 5] = 1e16
    sources = read_bands(object_of([written(tmp_path / "a.fits", hdus)]), Reading())
    assert list(sources) == list(BANDS)
    np.testing.assert_array_equal(sources["J"].image, hdus["NIR_J_FLUX"].data)
    assert np.argwhere(sources["Y"].rms_bad()).tolist() == [[4, 5]] and sources["H"].magzero == 29.9


@pytest.mark.parametrize(
    "names",
    [
        "a.5_VIS a.5_NIR_Y a.5_NIR_J a.5_NIR_H",
        "VIS-q NIR-Y-q NIR-J-q NIR-H-q",
        "o vis b|o nisp_y b|o j b|o NISP-H b",
        "EUC_VIS/7 EUC_Y/7 EUC_J/7 EUC_H/7",
    ],
)
@pytest.mark.parametrize("place", ["header", "name", "instrument"])
def test_four_single_bands_make_an_object(tmp_path, names, place):
    place = "header" if "/" in names else place  # a folder's name says nothing of the band
    files = []
    for band, name in zip(BANDS, names.split("|" if "|" in names else " "), strict=True):
        cards = {} if place == "header" else {"FILTER": None if place == "name" else "OPEN"}
        instrument = {"INSTRUME": "VIS" if band == "VIS" else "NISP"} if place == "instrument" else {}
        files.append(write_single(tmp_path / "in" / f"{name}.fits", band, **cards, **instrument))
    assert [file.path for file in object_of(files[::-1]).bands.values()] == files
    frames = frames_in(files)
    for number, band in enumerate(BANDS):
        whole = noise((200, 200), number).astype(np.float64) * 10 ** (-0.4 * MAGZERO[band])
        expected = whole if band == "VIS" else whole[1:199, 1:199].reshape(66, 3, 66, 3).sum(axis=(1, 3))
        np.testing.assert_allclose(frames[band].image, expected, rtol=1e-5, atol=1e-17)


def test_a_single_band_may_be_an_extension_with_rms(tmp_path):
    files = write_group(tmp_path / "in")
    rms = np.ones((210, 210), np.float32)
    rms[5, 5] = 1e16
    pixels, header = fits.getdata(files[0], header=True)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, header, name="SCI"), fits.ImageHDU(rms, name="rms")]
    written(files[0], fits.HDUList(hdus))
    assert np.argwhere(np.isnan(frames_in(files)["VIS"].image)).tolist() == [[0, 0]]


def test_groups_that_lack_a_band_are_listed(tmp_path):
    first, second = write_group(tmp_path, "a_{}"), write_group(tmp_path, "b_{}")
    objects, skipped = find_objects([*first[:2], *second[1:]], Reading())
    assert [(one.name, list(one.bands)) for one in objects] == [("a", ["VIS", "Y"])]
    assert [one.path for one in skipped] == second[1:]
    assert all("'b' has Y, J, H but no VIS" in one.reason and "--table" in one.reason for one in skipped)


def test_a_band_that_is_not_clear(tmp_path):
    for name in ("plain", "H_5_VIS"):
        path = write_single(tmp_path / f"{name}.fits", "Y", FILTER="clear", INSTRUME="CCD")
        refused([path], tmp_path / "out", name, "of which band", "clear", "CCD", "PRIMARY", "VIS_FLUX")
    path = write_single(tmp_path / "c.fits", "Y", FILTER="NIR_Y", INSTRUME="VIS")
    refused([path], tmp_path / "out", "of which band", "NIR_Y", "'VIS'")


def test_two_images_of_one_band(tmp_path):
    files = [write_single(tmp_path / name, "VIS") for name in ("a_VIS.fits", "a.VIS.fits")]
    objects, skipped = find_objects(files, Reading())
    assert [one.bands["VIS"].path for one in objects] == files[1:] and [one.path for one in skipped] == files[:1]
    assert f"a second image of VIS for the object of {files[1]}" in skipped[0].reason


def test_maps_that_are_no_images(tmp_path):
    for word in ("RMS", "flag", "PSF"):
        path = write_single(tmp_path / f"a_VIS_{word}.fits", "VIS")
        refused([path], tmp_path / "out", path.name, "Leave it out")


@pytest.mark.parametrize("value", [None, "24.6", True, 1e9, -61.0])
def test_zero_points(tmp_path, value):
    files = mer_with(tmp_path, changed_card("NIR_J_FLUX", "MAGZERO", value))
    refused(
        files,
        tmp_path / "out",
        "x1.fits",
        "NIR_J_FLUX",
        "MAGZERO is " + ("not in" if value is None else repr(value)),
        "24.6",
    )


def test_a_missing_band(tmp_path):
    files = mer_with(tmp_path, lambda hdus: hdus.pop("NIR_H_FLUX") and None)
    refused(files, tmp_path / "out", "x1.fits", "has NIR_H_PSF, NIR_H_RMS but no image of H", "expected VIS_FLUX")


def test_other_names_are_not_guessed(tmp_path):
    def change(hdus):
        for name in EXTENSIONS.values():
            hdus[name].name = f"{name}_CALIBRATED"

    files = mer_with(tmp_path, change)
    refused(files, tmp_path / "out", "x1", "has VIS_PSF, VIS_RMS but no image of VIS", "VIS_FLUX_CALIBRATED")


def test_extension_names_in_lower_case(tmp_path):
    path = mer_with(tmp_path, lambda hdus: None)[0]
    data = path.read_bytes().replace(b"'VIS_FLUX'", b"'vis_flux'")
    path.write_bytes(data)
    assert not np.isnan(frames_in([path])["VIS"].image).any()


@pytest.mark.parametrize("kind", ["none", "frequency", "sip", "half"])
def test_no_usable_wcs(tmp_path, kind):
    def change(hdus):
        header = hdus["VIS_FLUX"].header
        if kind == "none":
            for key in [key for key in header if key.startswith(("CTYPE", "CRVAL", "CRPIX", "CD", "CUNIT"))]:
                del header[key]
        elif kind == "half":
            del header["CRPIX2"]
        elif kind == "sip":
            header.update({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"})
            header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5})
        else:
            header.update({"CTYPE1": "FREQ", "CUNIT1": "Hz", "CTYPE2": "LINEAR", "CUNIT2": ""})

    found = {"none": "none", "sip": "RA---TAN-SIP DEC--TAN-SIP", "frequency": "FREQ"}.get(kind, "RA---TAN DEC--TAN")
    refused(mer_with(tmp_path, change), tmp_path / "out", "x1.fits: [VIS_FLUX]", f"WCS is {found}", "celestial")


def test_an_image_that_is_none(tmp_path):
    def cube(hdus):
        hdus["NIR_Y_FLUX"].data = np.ones((2, 210, 210), np.float32)

    refused(mer_with(tmp_path, cube), tmp_path / "out", "NIR_Y_FLUX", "(2, 210, 210)", "(rows, columns)")

    def small_rms(hdus):
        hdus["NIR_Y_RMS"].data = np.ones((209, 210), np.float32)

    refused(mer_with(tmp_path, small_rms), tmp_path / "out", "NIR_Y_FLUX", "(210, 210)", "its RMS (209, 210)")

    def table(hdus):
        hdus["VIS_FLUX"] = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])], name="VIS_FLUX")

    refused(mer_with(tmp_path, table), tmp_path / "out", "VIS_FLUX", "no image of VIS")
    empty = written(tmp_path / "e.fits", fits.PrimaryHDU())
    refused([empty], tmp_path / "out", "e.fits", "lacks an image", "PRIMARY")


@pytest.mark.parametrize("keep", [0, 10, 2879, 2880, 4000, 100_000, -2000, -2161, -2880])
def test_truncated_files(tmp_path, keep):
    path = mer_with(tmp_path, lambda hdus: None)[0]
    path.write_bytes(path.read_bytes()[:keep])
    refused([path], tmp_path / "out", "x1.fits")


@pytest.mark.parametrize("content", [b"", b"ID,ra,dec\n1,2,3\n", b"\x1f\x8b" + bytes(100), b"SIMPLE  =" + b" " * 5000])
def test_files_that_are_no_fits(tmp_path, content):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    refused([path], tmp_path / "out", "a.fits", "etch it again")


def test_files_that_are_not_there(tmp_path):
    refused([], tmp_path / "out", "no files given")
    refused([tmp_path / "a.fits"], tmp_path / "out", "a.fits", "No such file")
    refused([tmp_path], tmp_path / "out", "no files given")  # an empty folder


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
