"""Point spread functions: a Moffat core, elliptical or round, with wings; their transforms are kept.

A transform is kept by the numbers of its point spread function. Objects whose point spread functions come from a
list of up to :data:`LIBRARY` so cost no more than those of a fixed one, once each has been used.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

LIBRARY = 64  # point spread functions of a sky that varies them; 1.6 MB each
_WING_BETA = 2.0  # wings fall as r^-4


@dataclass(frozen=True)
class Psf:
    """A point spread function in arcsec and radians.

    The core is a Moffat profile of full width ``fwhm`` and exponent ``beta``, drawn out along ``angle`` (from x to y)
    by ``ellipticity`` (a - b) / (a + b) at equal area; ``wing_share`` of the light is in a round Moffat profile of
    exponent 2 and full width ``wing_fwhm``.
    """

    fwhm: float
    beta: float
    wing_share: float = 0.0
    wing_fwhm: float = 0.0
    ellipticity: float = 0.0
    angle: float = 0.0


#: Point spread functions of Euclid's merged mosaics (MER) in VIS, Y, J, H. Measured on the ``_PSF`` extensions of Q1
#: MER cutouts, two objects: least squares of a Moffat profile added up over pixels of 0.1 arcsec, mean of the two.
#: Full widths of the two: VIS .138 .155, Y .497 .394, J .422 .385, H .481 .446; exponents VIS 1.84 1.88, Y 12 4.3,
#: J 3.1 2.8, H 3.3 2.8; ellipticities at most .047. Light within 0.5 arcsec, of that in the extension: VIS .952 .945,
#: Y .906 .906, J .841 .852, H .793 .786. The wings of VIS are a guess from the sums of its extensions (.968, .945).
MER_PSFS = (
    Psf(0.146, 1.86, wing_share=0.02, wing_fwhm=1.5, ellipticity=0.02),
    Psf(0.446, 5.5, ellipticity=0.037),
    Psf(0.404, 2.95, ellipticity=0.044),
    Psf(0.464, 3.05, ellipticity=0.004),
)


def moffat(n: int, pixel: float, fwhm: float, beta: float, ellipticity: float = 0.0, angle: float = 0.0) -> np.ndarray:
    """Return a Moffat kernel of unit sum on an n x n grid, centred on pixel (0, 0) with wrap-around: float64."""
    offset = fft.fftfreq(n, 1.0 / n) * pixel
    y, x = offset[:, None], offset[None, :]
    if ellipticity:
        stretch = np.sqrt((1.0 - ellipticity) / (1.0 + ellipticity))
        c, s = np.cos(angle), np.sin(angle)
        x, y = (c * x + s * y) * stretch, (c * y - s * x) / stretch
    alpha = 0.5 * fwhm / np.sqrt(2.0 ** (1.0 / beta) - 1.0)
    profile = (1.0 + (y**2 + x**2) / alpha**2) ** -beta
    return profile / profile.sum()


def psf_kernel(n: int, pixel: float, psf: Psf) -> np.ndarray:
    """Return the kernel of a point spread function as :func:`moffat` does; ``pixel`` in arcsec."""
    core = moffat(n, pixel, psf.fwhm, psf.beta, psf.ellipticity, psf.angle)
    if not psf.wing_share:
        return core
    return (1.0 - psf.wing_share) * core + psf.wing_share * moffat(n, pixel, psf.wing_fwhm, _WING_BETA)


@lru_cache(maxsize=3 * LIBRARY)
def transfers(n: int, pixel: float, psfs: tuple[Psf, ...], factor: int = 1) -> np.ndarray:
    """Return the transforms of kernels on n x n pixels: (len(psfs), n, n / 2 + 1) complex64, read-only.

    With a ``factor`` each kernel also adds up the factor x factor pixels that begin at a pixel (see :func:`fold`).
    """
    out = np.stack([fft.rfft2(psf_kernel(n, pixel, psf)) for psf in psfs])
    if factor > 1:
        box = np.exp(2j * np.pi * np.outer(np.arange(n), np.arange(factor)) / n).sum(axis=1)
        out *= box[:, None] * box[: n // 2 + 1] / factor**2
    out = out.astype(np.complex64)
    out.flags.writeable = False
    return out


def fold(spectrum: np.ndarray, weight: np.ndarray, factor: int) -> np.ndarray:
    """Return the transforms of every factor-th pixel of images convolved with kernels.

    ``spectrum`` and ``weight`` are transforms (k, n, n / 2 + 1) of images and of kernels (:func:`transfers` with this
    factor), complex64; ``spectrum`` is overwritten. factor divides n, and n / factor is even. The result is
    (k, n / factor, n / factor / 2 + 1).
    """
    count, n, half = spectrum.shape
    m = n // factor
    width = m // 2 + 1
    spectrum *= weight
    rows = spectrum.reshape(count, factor, m, half)
    folded = rows[:, 0] + rows[:, 1]
    for part in range(2, factor):
        folded += rows[:, part]
    out = folded[:, :, :width].copy()
    for turn in range(1, factor):
        direct = min(max(half - turn * m, 0), width)
        out[:, :, :direct] += folded[:, :, turn * m : turn * m + direct]
        # the half that a real image's transform leaves out: conjugate, at minus the frequency
        mirrored = folded[:, :, n - turn * m - width + 1 : n - turn * m - direct + 1][:, :, ::-1]
        out[:, 0, direct:] += mirrored[:, 0].conj()
        out[:, 1:, direct:] += mirrored[:, :0:-1].conj()
    return out


def image_transfer(image: np.ndarray, n: int) -> np.ndarray:
    """Return the transform of a kernel given as an image, on n x n pixels of its scale: (n, n / 2 + 1) complex64.

    ``image`` is square, of at most n pixels a side, centred on pixel (side // 2, side // 2) as the ``_PSF``
    extensions of MER cutouts are (33 x 33 pixels of 0.1 arcsec, VIS 21 x 21); it is brought to unit sum. Those hold
    the response of the pixel already: convolve light sampled at pixel centres with them, or accept that light
    added up over the pixel is blurred by one pixel (0.1 arcsec) more.
    Raises ValueError for a kernel that is not square, too large, or without a positive sum.
    """
    side = image.shape[0]
    total = image.sum(dtype=np.float64)
    if image.shape != (side, side) or side > n or not total > 0:
        raise ValueError(f"kernel of shape {image.shape} and sum {total}; expected a square one within {n} pixels")
    field = np.zeros((n, n))
    field[:side, :side] = image / total
    return fft.rfft2(np.roll(field, (-(side // 2),) * 2, axis=(0, 1))).astype(np.complex64)
