"""What a cutout measures, on frames whose noise, stars and galaxies are known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.frames import BAND_SHAPES, BANDS
from lensfold.realism.measure import (
    FWHM,
    QUANTITIES,
    SCALE,
    aperture,
    background,
    correlation,
    half_light,
    measure,
    narrowest,
    sample_ids,
)

SIGMA = 4e-13


def noise(band: str = "VIS", seed: int = 0, neighbour: float = 0.0, sigma: float = SIGMA) -> np.ndarray:
    """Noise whose neighbours in rows and columns correlate by a / (1 + a²), a being ``neighbour``."""
    height, width = BAND_SHAPES[band]
    white = np.random.default_rng(seed).standard_normal((height + 1, width + 1))
    rows = white[1:] + neighbour * white[:-1]
    both = rows[:, 1:] + neighbour * rows[:, :-1]
    return (both * sigma / (1 + neighbour**2)).astype(np.float32)


def gaussian(band: str, x: float, y: float, width: float, flux: float) -> np.ndarray:
    """A Gaussian of this total flux and sigma (arcsec), at x and y (arcsec from the frame's centre)."""
    height, length = BAND_SHAPES[band]
    scale = SCALE[band]
    rows, columns = (np.arange(side) * scale - (side - 1) * scale / 2 for side in (height, length))
    profile = np.exp(-0.5 * (((rows - y) / width)[:, None] ** 2 + ((columns - x) / width)[None, :] ** 2))
    return (profile * flux * scale**2 / (2 * np.pi * width**2)).astype(np.float32)


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("neighbour", [0.0, 0.25, 0.6])
def test_noise_of_known_sigma_and_correlation(band, neighbour):
    skies = [background(noise(band, seed, neighbour) + np.float32(1e-12), SCALE[band]) for seed in range(6)]
    found = [correlation(noise(band, seed, neighbour), sky.empty) for seed, sky in enumerate(skies)]
    assert np.mean([sky.sigma for sky in skies]) == pytest.approx(SIGMA, rel=0.03)
    assert np.mean([sky.level for sky in skies]) == pytest.approx(1e-12, rel=0.05)
    assert np.mean(found) == pytest.approx(neighbour / (1 + neighbour**2), abs=0.025)


@pytest.mark.parametrize("band", ["VIS", "H"])
def test_galaxies_change_neither(band):
    """A bright galaxy and twenty faint ones, which fill a tenth of the frame."""
    image, generator = noise(band, 1, 0.3), np.random.default_rng(3)
    alone = background(image, SCALE[band])
    crowded = image + gaussian(band, 0, 0, 1.0, 2e-8)
    for x, y in generator.uniform(-9, 9, (20, 2)):
        crowded = crowded + gaussian(band, x, y, 0.4, 2e-10)
    sky = background(crowded, SCALE[band])
    assert sky.sigma == pytest.approx(alone.sigma, rel=0.08)
    assert correlation(crowded, sky.empty) == pytest.approx(0.3 / 1.09, abs=0.08)
    assert 0.3 < sky.empty.mean() < 0.95


@settings(max_examples=25)
@given(st.floats(-0.049, 0.049), st.floats(-0.049, 0.049), st.floats(0.12, 0.4))
def test_a_star_of_known_width_wherever_in_its_pixel(x, y, width):
    """Beside it a wide galaxy, and a hot pixel, which is narrower than any star."""
    star = gaussian("VIS", 3 + x, -2 + y, width / FWHM, 1e-8)
    image = star + gaussian("VIS", -4, 4, 0.5, 1e-8)
    image[20, 30] += 1e-9
    assert narrowest(image, 1e-16, 0.1) == pytest.approx(width, rel=0.02)


def test_noise_moves_a_width_little_and_faint_peaks_have_none():
    image = noise() + gaussian("VIS", 3, 2, 0.2 / FWHM, 1000 * SIGMA)
    assert narrowest(image, SIGMA, 0.1) == pytest.approx(0.2, rel=0.1)
    assert np.isnan(narrowest(noise(), SIGMA, 0.1))


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("magnitude", [18.0, 21.0])
def test_a_galaxy_of_known_magnitude(band, magnitude):
    """A Gaussian of sigma 0.5 arcsec has 98.9 % of its light within 1.5 arcsec; a level of the sky does not count."""
    images = {name: noise(name, 5) + np.float32(7e-13) for name in BANDS}
    images[band] = images[band] + gaussian(band, 0, 0, 0.5, 10 ** (-0.4 * magnitude))
    expected = magnitude - 2.5 * np.log10(1 - np.exp(-0.5 * 3**2))
    assert measure(images)[f"mag_{band}"] == pytest.approx(expected, abs=0.02)


def test_half_of_the_light_of_a_gaussian():
    """Half of its light is within 1.1774 sigma."""
    for width in (0.2, 0.4, 0.6):
        light = noise() + gaussian("VIS", 0, 0, width, 1e-8)
        assert half_light(light, SIGMA, 0.1) == pytest.approx(1.1774 * width, rel=0.03, abs=0.02)
    assert np.isnan(half_light(noise(), SIGMA, 0.1))


def test_peaks_are_counted():
    image = noise()
    assert background(image, 0.1).peaks <= 1
    for number in range(7):
        image = image + gaussian("VIS", -7 + 2 * number, 3 * (-1) ** number, 0.1, 300 * SIGMA)
    assert background(image, 0.1).peaks in (7, 8)


def test_all_of_one_object_and_its_colours():
    images = {band: noise(band) + gaussian(band, 0, 0, 0.4, 10 ** (-0.4 * (21 - k))) for k, band in enumerate(BANDS)}
    found = measure(images)
    assert list(found) and set(found) == set(QUANTITIES)
    assert [found[name] for name in ("VIS_Y", "Y_J", "J_H")] == pytest.approx([1, 1, 1], abs=0.05)
    assert found["peaks"] == 1 and found["half_light"] == pytest.approx(0.47, abs=0.03)


@pytest.mark.parametrize("value", [0.0, 1.0, -3e-12])
def test_frames_without_noise_or_light_have_no_value_and_make_no_noise(value):
    found = measure({band: np.full(BAND_SHAPES[band], value, np.float32) for band in BANDS})
    assert found["peaks"] == 0 and found["sigma_VIS"] == 0
    assert all(np.isnan(found[name]) for name in found if name.split("_")[0] in ("mag", "correlation", "width"))


def test_the_aperture_is_a_disc():
    assert aperture((200, 200), 15.0).sum() == pytest.approx(np.pi * 15**2, rel=0.002)
    assert aperture((66, 66), 5.0).sum() == pytest.approx(np.pi * 5**2, rel=0.01)


def test_a_sample_is_spread_evenly():
    ids = np.arange(100, 1100)
    assert sample_ids(ids, 5).tolist() == [100, 349, 599, 849, 1099]
    assert sample_ids(ids[:3], 500).tolist() == [100, 101, 102] and len(sample_ids(ids[:0], 5)) == 0
