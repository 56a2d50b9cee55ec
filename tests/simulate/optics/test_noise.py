"""Noise: its variance, and the correlation that was asked for at every distance that real mosaics show."""

import numpy as np
import pytest

from lensfold.simulate.optics.noise import MER_CORRELATION, MER_CORRELATION_MOSAIC, add_noise, correlated_noise

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
