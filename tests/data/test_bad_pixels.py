"""Bad pixels are found, small gaps are mended and counted, the rest is refused with the reason."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.data.bad_pixels import UnusableFrame, bad_pixels, mended
from lensfold.data.cache import background_sigma

SIGMA = 4.5e-13


@pytest.fixture
def sky():
    """A galaxy on noise, in flux units."""
    generator = np.random.default_rng(0)
    y, x = np.indices((200, 200)) - 99.5
    galaxy = 200 * np.exp(-np.hypot(x, y) / 8)
    return ((galaxy + generator.standard_normal((200, 200))) * SIGMA).astype(np.float32)


def test_a_perfect_frame_is_the_same_array(sky):
    image, count = mended(sky)
    assert image is sky and count == 0
    assert not bad_pixels(sky).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e16, -1e30])
def test_single_pixels_are_mended(sky, value):
    holes = sky.copy()
    holes[[20, 99, 199], [30, 99, 0]] = value
    image, count = mended(holes)
    assert count == 3
    untouched = np.ones_like(sky, dtype=bool)
    untouched[[20, 99, 199], [30, 99, 0]] = False
    np.testing.assert_array_equal(image[untouched], sky[untouched])
    # on the sky by pure noise, on the peak of the galaxy by a few per cent
    assert abs(image[20, 30]) < 3 * SIGMA
    assert image[99, 99] == pytest.approx(sky[99, 99], rel=0.3)


@pytest.mark.parametrize("value", [np.nan, 0.0, 3e-12])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_blank_strip_is_mended(sky, value, axis):
    holes = sky.copy()
    np.moveaxis(holes, axis, 0)[50:54] = value
    image, count = mended(holes)
    assert count == 4 * 200
    assert np.isfinite(image).all() and np.abs(image - sky)[holes != sky].std() < 5 * SIGMA


def test_too_many_bad_pixels_are_refused(sky):
    sky[:20] = np.nan
    with pytest.raises(UnusableFrame, match=r"4000 of 40000 pixels are bad \(4000 not finite\), more than the 5.0% "):
        mended(sky)
    image, count = mended(np.where(np.isnan(sky), 0, sky).astype(np.float32)[18:], max_bad_share=0.2)
    assert count == 400 and np.isfinite(image).all()


def test_a_wide_gap_is_refused(sky):
    sky[80:100, 80:100] = np.nan
    with pytest.raises(UnusableFrame, match="gap too wide"):
        mended(sky)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf])
def test_a_band_without_variance_is_refused(value):
    with pytest.raises(UnusableFrame, match="40000 of 40000"):
        mended(np.full((200, 200), value, dtype=np.float32))


@pytest.mark.parametrize(("low", "high"), [(3e38, 3.4e38), (1e31, 1e38), (1e38, 1.01e38)])
def test_pixels_that_are_no_flux_are_refused(low, high):
    """Without a warning of numpy's, which here is an error."""
    generator = np.random.default_rng(0)
    image = generator.uniform(low, high, (200, 200)) * generator.choice([-1, 1], (200, 200))
    with pytest.raises(UnusableFrame, match=r"half of its pixels are of .*, which is no flux"):
        mended(image.astype(np.float32))


@given(seed=st.integers(0, 99), size=st.floats(1e-44, 3e38), spread=st.floats(0, 80))
@settings(max_examples=50)
def test_pixels_of_any_size_are_mended_or_refused_without_a_warning(seed, size, spread):
    generator = np.random.default_rng(seed)
    pixels = size * 10 ** generator.uniform(-spread, 0, (66, 66)) * generator.choice([-1, 1], (66, 66))
    with suppress(UnusableFrame):
        image, _ = mended(pixels.astype(np.float32))
        assert np.isfinite(image).all() and np.isfinite(background_sigma(image))


def test_swapped_bytes_are_named(sky):
    with pytest.raises(UnusableFrame, match="byte-swapped"):
        mended(sky.byteswap())


def test_bright_stars_and_any_unit_are_fine(sky):
    sky[10, 10] = 1e-6
    for unit in (1, 1e12, 1e-20):
        assert mended((sky * unit).astype(np.float32))[1] == 0
