"""Geometry and stretch of the channels a network sees."""

import numpy as np
import pytest
from fakes.pack import SIGMA, fake_images
from hypothesis import given
from hypothesis import strategies as st

from lensfold.config import PixelSettings, channel_count
from lensfold.frames import BAND_SHAPES, BANDS
from lensfold.inputs.pixels import (
    fit_constants,
    linear_channels,
    on_vis_grid,
    scaled_by_itself,
    standardised,
    stretched,
)

UNIT = dict.fromkeys(BANDS, 1.0)


def zeros() -> dict[str, np.ndarray]:
    return {band: np.zeros(BAND_SHAPES[band], dtype=np.float32) for band in BANDS}


@given(row=st.integers(1, 64), column=st.integers(1, 64))  # at the rim the edge repeats
def test_a_nisp_pixel_lies_on_the_nine_vis_pixels_it_covers(row, column):
    nisp = np.zeros((66, 66), dtype=np.float32)
    nisp[row, column] = 1
    spread = on_vis_grid(nisp)
    assert spread.shape == (200, 200)
    # brightest exactly at the middle of VIS pixels 1 + 3a .. 3 + 3a
    assert np.unravel_index(spread.argmax(), spread.shape) == (2 + 3 * row, 2 + 3 * column)


def test_a_nisp_blob_keeps_its_centre():
    y, x = np.indices((66, 66))
    spread = on_vis_grid(np.exp(-((x - 40.0) ** 2 + (y - 25.0) ** 2) / 8).astype(np.float32))
    rows, columns = np.indices((200, 200))
    assert (spread * rows).sum() / spread.sum() == pytest.approx(2 + 3 * 25, abs=1e-3)
    assert (spread * columns).sum() / spread.sum() == pytest.approx(2 + 3 * 40, abs=1e-3)


@pytest.mark.parametrize(("mix", "count"), [("bands", 4), ("paper-ir", 2), ("paper-rgb", 3), ("vis", 1)])
@pytest.mark.parametrize(("crop", "factor"), [(200, 1), (112, 1), (112, 2), (200, 4)])
def test_shapes_and_dtype(mix, count, crop, factor):
    settings = PixelSettings(mix=mix, crop=crop, bin=factor)
    channels = linear_channels(zeros(), settings, UNIT)
    assert channels.shape == (crop // factor, crop // factor, count) and channels.dtype == np.float32
    assert channel_count(settings) == count


def test_the_papers_mixes():
    images = {
        band: np.full(BAND_SHAPES[band], value, np.float32) for band, value in zip(BANDS, (1, 2, 3, 4), strict=True)
    }
    infrared = linear_channels(images, PixelSettings(mix="paper-ir", bin=1), UNIT)[50, 50]
    noise = np.sqrt(0.15**2 + 0.35**2 + 0.5**2)
    np.testing.assert_allclose(infrared, [1, (0.15 * 2 + 0.35 * 3 + 0.5 * 4) / noise], rtol=1e-6)
    colours = linear_channels(images, PixelSettings(mix="paper-rgb", bin=1), UNIT)[50, 50]
    np.testing.assert_allclose(colours, [1, 2.5 / np.sqrt(0.5), 4], rtol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_channels_are_in_units_of_their_own_background(factor):
    images = {band: (np.random.default_rng(3).standard_normal(BAND_SHAPES[band]) * SIGMA[band]).astype(np.float32)
              for band in BANDS}  # fmt: skip
    channels = linear_channels(images, PixelSettings(mix="vis", crop=200, bin=factor), SIGMA)
    assert channels.std() == pytest.approx(1, rel=0.02)


def test_the_crop_is_central():
    images = zeros()
    images["VIS"][99:101, 99:101] = 1
    channels = linear_channels(images, PixelSettings(mix="vis", crop=20, bin=1), UNIT)[..., 0]
    np.testing.assert_array_equal(np.argwhere(channels), [[9, 9], [9, 10], [10, 9], [10, 10]])


@pytest.mark.parametrize(
    ("stretch", "inverse"), [("asinh", np.sinh), ("log", lambda y: np.sign(y) * np.expm1(np.abs(y)))]
)
@given(x=st.floats(-1e3, 1e5, width=32))
def test_the_stretch_has_its_closed_form(stretch, inverse, x):
    settings = PixelSettings(stretch=stretch, softening=3.0)
    y = stretched(np.float32([x]), settings).astype(np.float64)[0]
    assert inverse(y) * 3 == pytest.approx(x, rel=1e-4, abs=1e-4)


def test_one_stretch_for_the_whole_pack():
    """A brighter copy of an object gives a brighter image: nothing is scaled per image."""
    settings = PixelSettings(crop=112, bin=1)
    images = fake_images(np.random.default_rng(1), True)
    constants = fit_constants([images], settings, SIGMA)
    brighter = {band: 2 * image for band, image in images.items()}
    first = standardised(linear_channels(images, settings, SIGMA), settings, constants)
    second = standardised(linear_channels(brighter, settings, SIGMA), settings, constants)
    assert np.all(second[56, 56] > first[56, 56] + 0.3)


def test_standardised_train_sample_has_mean_0_and_scale_1():
    settings = PixelSettings(mix="bands", crop=112, bin=1)
    sample = [fake_images(np.random.default_rng(i), i % 2 == 0) for i in range(6)]
    constants = fit_constants(sample, settings, SIGMA)
    values = np.stack([standardised(linear_channels(i, settings, SIGMA), settings, constants) for i in sample])
    np.testing.assert_allclose(values.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=(0, 1, 2)), 1, rtol=1e-3)


def test_per_image_scaling_is_astropys_stretch_then_mean_0_and_deviation_1():
    from astropy.visualization import LogStretch, MinMaxInterval

    linear = np.random.default_rng(5).gamma(0.5, 30, (40, 40, 2)).astype(np.float32)
    found = standardised(
        linear, PixelSettings(stretch="log", scaling="image"), {"sigma": UNIT, "mean": [], "scale": []}
    )
    for channel in range(2):
        expected = (LogStretch() + MinMaxInterval())(linear[..., channel])
        expected = (expected - expected.mean()) / expected.std()
        np.testing.assert_allclose(found[..., channel], expected, rtol=1e-3, atol=1e-4)
    assert found.dtype == np.float32
    # brightness is gone: that is why packs are not scaled so
    again = standardised(7 * linear + 3, PixelSettings(stretch="log", scaling="image"), {"sigma": UNIT})
    np.testing.assert_allclose(again, found, atol=1e-3)


def test_per_image_scaling_of_a_frame_without_contrast_is_zero():
    flat = np.full((10, 10, 1), 4, dtype=np.float32)
    for stretch in ("log", "none"):
        assert not scaled_by_itself(flat, PixelSettings(stretch=stretch, scaling="image")).any()


def test_per_image_scaling_has_no_asinh():
    with pytest.raises(ValueError, match="goes with stretch"):
        PixelSettings(scaling="image", stretch="asinh")


def test_without_stretch_and_scaling_pixels_are_background_sigmas():
    settings = PixelSettings(mix="vis", crop=200, bin=1, stretch="none", softening=1.0, scaling="none")
    images = fake_images(np.random.default_rng(3), True)
    constants = fit_constants([images], settings, SIGMA)
    linear = linear_channels(images, settings, SIGMA)
    expected = images["VIS"] / np.float32(SIGMA["VIS"])
    np.testing.assert_allclose(standardised(linear, settings, constants)[..., 0], expected, rtol=1e-6)
