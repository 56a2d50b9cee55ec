"""Noise: its variance, and the correlation that was asked for at every distance that real mosaics show."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from lensfold.data.depth import MER_SIGMA
from lensfold.frames import BANDS
from lensfold.simulate.optics.noise import (
    MER_CORRELATION,
    MER_CORRELATION_MOSAIC,
    add_noise,
    correlated_noise,
)

PROJECT = Path(__file__).parents[3]
REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid")) / "Public"
SIZE = 1200  # the correlation of neighbours has a standard error of about 1 / SIZE


def correlation(image: np.ndarray, rows: int, columns: int) -> float:
    height, width = image.shape
    shifted = image[rows:, columns:] * image[: height - rows, : width - columns]
    return float(np.mean(shifted, dtype=float) / np.mean(image**2, dtype=float))


def test_without_correlation_it_is_white_noise_to_the_byte():
    white = np.random.default_rng(5).standard_normal((30, 40), dtype=np.float32)
    np.testing.assert_array_equal(correlated_noise(np.random.default_rng(5), (30, 40), 0.0), white)


@pytest.mark.parametrize("lag1", [*MER_CORRELATION[:2], MER_CORRELATION_MOSAIC[1]])
def test_correlation_at_every_distance(lag1):
    """Neighbours as asked; diagonal ones its square; two apart as the mosaics have it (noise.py)."""
    noise = correlated_noise(np.random.default_rng(3), (SIZE, SIZE), lag1)
    assert noise.dtype == np.float32
    assert noise.std(dtype=float) == pytest.approx(1.0, rel=0.01)
    assert abs(noise.mean(dtype=float)) < 0.01
    for shift in ((0, 1), (1, 0)):
        assert correlation(noise, *shift) == pytest.approx(lag1, abs=0.006)
    assert correlation(noise, 1, 1) == pytest.approx(lag1**2, abs=0.006)
    two_apart = {0.19: (-0.01, 0.02), 0.40: (0.04, 0.09), 0.78: (0.36, 0.47)}[lag1]
    assert two_apart[0] < correlation(noise, 0, 2) < two_apart[1]


@pytest.mark.parametrize("lag1", [-0.1, 0.95])
def test_an_impossible_correlation_is_refused(lag1):
    with pytest.raises(ValueError, match="expected 0 to 0.9"):
        correlated_noise(np.random.default_rng(1), (8, 8), lag1)


@pytest.mark.parametrize("lag1", [0.0, 0.40])
def test_noise_has_its_variance(lag1):
    flat = np.full((400, 400), 2e-12, np.float32)
    noise = add_noise(np.random.default_rng(1), flat, 4.5e-13, 3.7e-14, lag1) - flat
    assert noise.dtype == np.float32
    assert noise.std(dtype=float) == pytest.approx(np.sqrt(4.5e-13**2 + 3.7e-14 * 2e-12), rel=0.01)
    assert abs(noise.mean(dtype=float)) < 2e-14


def test_noise_of_the_same_numbers_is_the_same_whatever_the_light():
    dark, light = (
        add_noise(np.random.default_rng(2), np.full((50, 50), value, np.float32), 1e-12, 0.0, 0.3) - np.float32(value)
        for value in (0.0, 1e-12)
    )
    np.testing.assert_allclose(dark, light, atol=1e-18)


def sky(image: np.ndarray, smoothing: float, grow: int) -> np.ndarray:
    """Return an image less its median, NaN where there is a source."""
    good = np.ones(image.shape, bool)
    smooth = ndimage.gaussian_filter(image, smoothing)
    for _ in range(6):
        middle = np.median(smooth[good])
        spread = 1.4826 * np.median(np.abs(smooth[good] - middle))
        good = ~ndimage.binary_dilation(smooth - middle > 2.5 * spread, iterations=grow)
    return np.where(good, image - image[good].mean(), np.nan)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real cutouts are not on this machine")
@pytest.mark.parametrize("number", range(4))
def test_the_constants_are_those_of_the_real_files(number):
    """Depth and correlation of neighbours of two real objects, their sources masked."""
    band = BANDS[number]
    for path in sorted((REAL / f"EUC_{band}").glob("*.fits")):
        frame = sky(fits.getdata(path).astype(float), *((2.0, 3) if band == "VIS" else (1.0, 1)))
        variance = np.nanmean(frame**2)
        across, down = np.nanmean(frame[:, 1:] * frame[:, :-1]), np.nanmean(frame[1:] * frame[:-1])
        assert 0.5 * (across + down) / variance == pytest.approx(MER_CORRELATION[number], abs=0.05)
        low, high = MER_SIGMA[number]
        assert 0.95 * low < np.sqrt(variance) < 1.05 * high
