"""The layouts that people have in hand, written from one real cutout by the script beside it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.workspace import PROJECT

from lensfold.data.bad_pixels import mended
from lensfold.data.cache import central
from lensfold.errors import InputError
from lensfold.euclid.geometry import Frame, read_object
from lensfold.euclid.grouping import find_objects
from lensfold.euclid.layouts import Reading
from lensfold.frames import BANDS, band_shapes

REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))
SCRIPT, SOURCE = REAL.parent / "euclid_layouts" / "make_layouts.py", REAL / "mer"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="no script that writes layouts here")
MAGZERO = {"VIS": 24.6, "Y": 29.8, "J": 30.0, "H": 29.9}
#: folder → side of the frames, of those that give all bands of the whole object
WHOLE = {
    **dict.fromkeys(
        ("bgsub_300px", "archive_names", "band_folders", "wcs_only", "gzip", "fpack", "jansky_channels"), 200
    ),
    **dict.fromkeys(("bgsub_100px", "flux_120px"), 100),
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def plain() -> dict[str, Frame]:
    (found,), _ = find_objects([SOURCE / "EUC_MER_example_300px.fits"], Reading())
    return read_object(found, Reading())


@pytest.mark.parametrize("folder", WHOLE)
def test_a_layout_has_the_pixels_of_the_object(layouts, plain, folder):
    reading = Reading(magzero=MAGZERO) if folder == "wcs_only" else Reading()
    (found,), skipped = find_objects([layouts / folder], reading)
    frames = read_object(found, reading)
    assert not skipped and list(frames) == list(BANDS)
    for band, frame in frames.items():
        expected = central(plain[band].image, band_shapes(WHOLE[folder])[band][0])
        noise = np.median(np.abs(expected - np.median(expected)))
        # RICE keeps a quarter of the noise of a pixel; sums of 3 x 3 may be near zero
        np.testing.assert_allclose(frame.image, expected, rtol=2e-6, atol=noise * (0.5 if folder == "fpack" else 1e-5))
        assert frame.bad == 0 and mended(frame.image)[1] == 0
    assert (frames["VIS"].ra, frames["VIS"].dec) == pytest.approx((plain["VIS"].ra, plain["VIS"].dec), abs=1e-8)
    assert frames["VIS"].offset < 0.001


def test_what_is_missing_is_named(layouts, plain):
    (found,), _ = find_objects([layouts / "wcs_only"], Reading())
    with pytest.raises(InputError, match=r"MAGZERO is not .*--magzero vis=24.6,y=29.8,j=30.0,h=29.9"):
        read_object(found, Reading())
    (found,), (bad,) = find_objects([layouts / "one_bad_of_two"], Reading())
    assert found.name == "good" and bad.path.name == "bad.fits" and "NIR_J_RMS but no image of J" in bad.reason
    (found,), _ = find_objects([layouts / "vis_only"], Reading())
    assert list(read_object(found, Reading())) == ["VIS"]
    (found,), _ = find_objects([layouts / "nan_strip"], Reading())
    assert read_object(found, Reading())["VIS"].bad_share == pytest.approx(0.3)
    (found,), _ = find_objects([layouts / "wrong_zero_point"], Reading())
    np.testing.assert_allclose(
        read_object(found, Reading())["Y"].image, plain["Y"].image * 10 ** (0.4 * 5.2), rtol=1e-5
    )
    assert len(find_objects([layouts / "real_ids"], Reading())[0]) == 3


def test_a_trimmed_image_is_padded_around_the_position_in_its_name(layouts, plain):
    (found,), _ = find_objects([layouts / "trimmed_at_edge"], Reading())
    with pytest.raises(InputError, match=r"200 x 140 pixels.*4\.0 arcsec.*--pad"):
        read_object(found, Reading())
    frames = read_object(found, Reading(pad=True))
    missing = np.isnan(frames["VIS"].image)
    assert missing[:, :10].all() and not missing[:, 10:].any() and frames["VIS"].offset == pytest.approx(3.0, abs=0.11)
    # the object is at column 40 of 300: the frame begins at column -10 of them, that of the plain import at 50
    inner = frames["VIS"].image[:, 60:]
    np.testing.assert_allclose(inner, plain["VIS"].image[50:150, : inner.shape[1]], rtol=2e-6)
    assert frames["Y"].bad_share == pytest.approx(0.1, abs=0.02)


def test_everything_in_one_folder_gives_every_object(layouts):
    """One folder above all: nothing is merged that does not belong together, nothing is lost."""
    objects, skipped = find_objects([layouts], Reading())
    assert [one.path.name for one in skipped] == ["bad.fits"]
    assert sorted(len(one.bands) for one in objects) == [1] + 16 * [4]
