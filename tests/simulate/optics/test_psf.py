"""Point spread functions against closed forms, and against the extensions of real files."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy import fft

from lensfold.simulate.optics.psf import (
    MER_PSFS,
    Psf,
    image_transfer,
    moffat,
    psf_kernel,
    transfers,
)

PROJECT = Path(__file__).parents[3]
REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))
MER = sorted((REAL / "mer").glob("*.fits"))
EXTENSIONS = ("VIS_PSF", "NIR_Y_PSF", "NIR_J_PSF", "NIR_H_PSF")


def offsets(n: int, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    at = fft.fftfreq(n, 1.0 / n) * pixel
    return at[None, :], at[:, None]


def within(kernel: np.ndarray, pixel: float, radius: float) -> float:
    x, y = offsets(len(kernel), pixel)
    return float(kernel[np.hypot(x, y) <= radius].sum())


def test_the_plain_kernel_is_a_moffat():
    np.testing.assert_array_equal(psf_kernel(64, 0.05, Psf(0.17, 3.0)), moffat(64, 0.05, 0.17, 3.0))


@pytest.mark.parametrize("radius", [0.3, 0.6, 1.2])
def test_light_within_a_radius(radius):
    """A Moffat profile has 1 - (1 + R^2 / alpha^2)^(1 - beta) within R; core and wings add up."""
    psf = Psf(0.40, 3.5, wing_share=0.1, wing_fwhm=0.9)
    expected = 0.0
    for share, fwhm, beta in ((0.9, 0.40, 3.5), (0.1, 0.9, 2.0)):
        alpha = 0.5 * fwhm / np.sqrt(2 ** (1 / beta) - 1)
        expected += share * (1 - (1 + radius**2 / alpha**2) ** (1 - beta))
    assert within(psf_kernel(1024, 0.02, psf), 0.02, radius) == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.1])
def test_ellipticity_is_that_of_the_half_maximum(angle):
    """At equal area half the maximum is reached at a = fwhm / 2 / sqrt(q) along the angle and b = q a across."""
    kernel = moffat(512, 0.01, 0.40, 3.5, 0.2, angle)
    q = 0.8 / 1.2  # (a - b) / (a + b) = 0.2
    x, y = offsets(512, 0.01)
    above = kernel > 0.5 * kernel.max()
    along = (np.cos(angle) * x + np.sin(angle) * y)[above].max()
    across = (np.cos(angle) * y - np.sin(angle) * x)[above].max()
    assert along == pytest.approx(0.2 / np.sqrt(q), abs=0.01)
    assert across == pytest.approx(0.2 * np.sqrt(q), abs=0.01)
    assert kernel.sum() == pytest.approx(1.0)


def test_transforms_are_kept_and_cannot_be_changed():
    psf = Psf(0.2, 2.5, ellipticity=0.1)
    assert transfers(64, 0.05, (psf,)) is transfers(64, 0.05, (Psf(0.2, 2.5, ellipticity=0.1),))
    with pytest.raises(ValueError, match="read-only"):
        transfers(64, 0.05, (psf,))[0, 0] = 0


def test_a_kernel_image_convolves_as_a_shift():
    """A kernel whose light is one pixel right of its centre moves an image by one pixel, whatever its sum."""
    kernel = np.zeros((5, 5))
    kernel[2, 3] = 7.0
    image = np.random.default_rng(1).random((32, 32))
    moved = fft.irfft2(fft.rfft2(image) * image_transfer(kernel, 32), s=(32, 32))
    np.testing.assert_allclose(moved, np.roll(image, 1, axis=1), atol=1e-6)


@pytest.mark.parametrize("kernel", [np.ones((3, 5)), np.ones((33, 33)), np.zeros((3, 3))])
def test_a_kernel_that_is_none_is_refused(kernel):
    with pytest.raises(ValueError, match="expected a square one within 32 pixels"):
        image_transfer(kernel, 32)


@pytest.mark.skipif(not MER, reason="the real cutouts are not on this machine")
@pytest.mark.parametrize("band", range(4))
def test_the_constants_are_those_of_the_real_files(band):
    """Light within 0.3, 0.5 and 1 arcsec, the mean of two objects, of kernel and pixel together."""
    fine = psf_kernel(640, 0.02, MER_PSFS[band])
    box = np.zeros((640, 640))
    box[np.ix_(range(-2, 3), range(-2, 3))] = 1 / 25
    seen = fft.irfft2(fft.rfft2(fine) * fft.rfft2(box), s=(640, 640))
    inside = within(seen, 0.02, 1.0)
    for radius, tolerance in ((0.3, 0.05), (0.5, 0.03)):
        real = []
        for path in MER:
            kernel = fits.getdata(path, EXTENSIONS[band]).astype(float)
            weight = np.clip(kernel, 0, None) ** 2
            y, x = np.indices(kernel.shape)
            cx, cy = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
            r = 0.1 * np.hypot(x - cx, y - cy)
            real.append(kernel[r <= radius].sum() / kernel[r <= 1.0].sum())
        assert within(seen, 0.02, radius) / inside == pytest.approx(np.mean(real), abs=tolerance)
