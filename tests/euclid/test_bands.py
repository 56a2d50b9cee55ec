"""AB zero points: where they come from, and what contradicts itself."""

import numpy as np
import pytest
from fakes.euclid import MAGZERO, frames_in, mer_hdus, mer_with, object_of, write_single, written

from lensfold.errors import InputError
from lensfold.euclid.bands import EXAMPLE, read_bands, unit_zero_point
from lensfold.euclid.layouts import EXTENSIONS, Reading


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("Jy", 8.900),  # 2.5 log10 3631
        ("JY", 8.900),
        ("MJy", -6.100),
        ("mJy", 16.400),
        ("uJy", 23.900),
        ("microJansky", 23.900),
        ("nJy", 31.400),
        ("Jy/pix", 8.900),
        ("erg / (s cm2 Hz)", -48.600),  # Oke & Gunn
        ("W m-2 Hz-1", -56.100),
    ],
)
def test_zero_points_of_units(unit, expected):
    assert unit_zero_point(unit) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("unit", ["", "ADU", "electron/s", "MJy/sr", "MJY", "mag", "counts", "???", "0 Jy"])
def test_units_without_one(unit):
    assert unit_zero_point(unit) is None


def test_fluxes_in_microjansky_are_those_in_counts(tmp_path):
    def change(hdus):
        for band, name in EXTENSIONS.items():
            hdus[name].data = (hdus[name].data * 10 ** (-0.4 * MAGZERO[band]) * 3631e6).astype(np.float32)
            hdus[name].header["BUNIT"] = "uJy"
            del hdus[name].header["MAGZERO"]

    expected = frames_in([written(tmp_path / "plain.fits", mer_hdus())])
    for band, frame in frames_in(mer_with(tmp_path, change)).items():
        np.testing.assert_allclose(frame.image, expected[band].image, rtol=1e-5, atol=1e-17)


def magzero_of(tmp_path, change, magzero=None) -> dict[str, float]:
    reading = Reading(magzero=magzero or {})
    return {band: one.magzero for band, one in read_bands(object_of(mer_with(tmp_path, change)), reading).items()}


def test_given_zero_points_count_where_the_file_has_none(tmp_path):
    def change(hdus):
        del hdus["NIR_J_FLUX"].header["MAGZERO"]

    given = dict.fromkeys(MAGZERO, 25.0)
    assert magzero_of(tmp_path, change, given) == MAGZERO | {"J": 25.0}
    with pytest.raises(InputError, match=rf"\[NIR_J_FLUX\] MAGZERO is not in the header.*{EXAMPLE}"):
        magzero_of(tmp_path, change, {"H": 25.0})


def test_a_unit_and_magzero_that_contradict_each_other(tmp_path):
    def change(hdus):
        hdus["VIS_FLUX"].header["BUNIT"] = "uJy"
        hdus["NIR_Y_FLUX"].header.update({"BUNIT": "nJy", "MAGZERO": 31.4})
        hdus["NIR_H_FLUX"].header["BUNIT"] = "ADU"

    with pytest.raises(InputError, match=r"MAGZERO 24.6 and pixels in uJy, whose AB zero point is 23.90, contradict"):
        magzero_of(tmp_path, change)
    assert magzero_of(tmp_path, change, {"VIS": 23.9}) == MAGZERO | {"VIS": 23.9, "Y": 31.4}


def test_magzero_of_the_primary_header_counts_where_it_is_inherited(tmp_path):
    def change(hdus, inherit=True):
        hdus[0].header["MAGZERO"] = 24.6
        for name in EXTENSIONS.values():
            hdus[name].header["INHERIT"] = inherit
            del hdus[name].header["MAGZERO"]
        hdus["NIR_J_FLUX"].header["MAGZERO"] = 30.0

    assert magzero_of(tmp_path, change) == dict.fromkeys(MAGZERO, 24.6) | {"J": 30.0}
    with pytest.raises(InputError, match="MAGZERO is not in the header"):
        magzero_of(tmp_path, lambda hdus: change(hdus, inherit=False))


def test_a_file_of_one_band_has_its_zero_point_in_either_header(tmp_path):
    path = write_single(tmp_path / "a_VIS.fits", "VIS")
    (tmp_path / "b").mkdir()
    hdus = mer_hdus()[:2]
    hdus[0].header["MAGZERO"] = hdus[1].header.pop("MAGZERO") - 1
    other = written(tmp_path / "b" / "a_VIS.fits", hdus)
    found = [read_bands(object_of([one]), Reading())["VIS"].magzero for one in (path, other)]
    assert found == [24.6, pytest.approx(23.6)]
