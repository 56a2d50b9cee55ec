"""Noise of an image: Gaussian background and Poisson noise of its light, correlated between pixels or not.

Images resampled onto another grid, as Euclid's merged mosaics (MER) are, have noise whose neighbouring pixels are
correlated. White noise is smoothed along both axes with the taps g^(|k|^1.5), where g gives the correlation of
neighbours asked for. One formula so has what is seen in Q1 MER cutouts at every scale: correlations of pixels 1, 2
and 3 apart along an axis, and of diagonal neighbours, source-masked, of four cutouts against this formula:

============================ ==================== ====== ======= ======= ===================================
pixels                       1                    2      3       diag.   of the formula: 2, 3, diagonal
============================ ==================== ====== ======= ======= ===================================
VIS, 0.1 arcsec              .18-.20              -.01   -.01    .03     .01, .00, .04
NISP, 0.3 arcsec (3 x 3)     .33-.44              .05    .05     .16     .06, .01, .15
NISP, 0.1 arcsec             .78-.80              .44    .18     .63     .42, .17, .61
============================ ==================== ====== ======= ======= ===================================
"""

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from lensfold.compiled import kernel

_EXPONENT = 1.5
_LEAST_TAP = 2e-3
_MOST = 8  # taps on each side

#: Correlation of neighbouring pixels in VIS (0.1 arcsec), Y, J, H (0.3 arcsec: sums of 3 x 3 mosaic pixels); measured,
#: source-masked, on Q1 MER cutouts, two objects in challenge geometry.
MER_CORRELATION = (0.19, 0.40, 0.37, 0.40)
#: The same in the mosaics' own pixels of 0.1 arcsec, for light added to a file as Euclid delivers it.
MER_CORRELATION_MOSAIC = (0.19, 0.78, 0.77, 0.79)


def _autocorrelation(taps: np.ndarray, lag: int) -> float:
    return float((taps[lag:] * taps[: len(taps) - lag]).sum() / (taps**2).sum())


@lru_cache(maxsize=256)
def noise_taps(lag1: float) -> np.ndarray:
    """Return the taps along one axis, of unit square sum: float32 of odd length, read-only.

    ``lag1``, the correlation of neighbours, is above zero and at most 0.9; raises ValueError for another.
    """
    if not 0.0 < lag1 <= 0.9:
        raise ValueError(f"correlation of neighbouring pixels {lag1}, expected 0 to 0.9")
    power = np.abs(np.arange(-_MOST, _MOST + 1.0)) ** _EXPONENT
    taps = brentq(lambda g: _autocorrelation(g**power, 1) - lag1, 1e-9, 0.98) ** power
    taps = taps[taps > _LEAST_TAP]
    taps = (taps / np.sqrt((taps**2).sum())).astype(np.float32)
    taps.flags.writeable = False
    return taps


@kernel
def _smooth(white: np.ndarray, taps: np.ndarray, out: np.ndarray) -> None:
    """Write white noise (rows + 2k, columns + 2k) smoothed along both axes into ``out`` (rows, columns)."""
    rows, columns = out.shape
    line = np.empty(white.shape[1], np.float32)
    for i in range(rows):
        line[:] = 0
        for k in range(taps.size):
            for j in range(line.size):
                line[j] += taps[k] * white[i + k, j]
        for j in range(columns):
            out[i, j] = 0
        for k in range(taps.size):
            for j in range(columns):
                out[i, j] += taps[k] * line[j + k]


def correlated_noise(rng: np.random.Generator, shape: tuple[int, int], lag1: float) -> np.ndarray:
    """Return Gaussian noise of unit variance whose neighbours along an axis have the correlation ``lag1``: float32.

    With ``lag1`` 0 it is white noise; above, up to 0.9.
    """
    if lag1 == 0.0:
        return rng.standard_normal(shape, dtype=np.float32)
    taps = noise_taps(lag1)
    white = rng.standard_normal((shape[0] + taps.size - 1, shape[1] + taps.size - 1), dtype=np.float32)
    out = np.empty(shape, np.float32)
    _smooth(white, taps, out)
    return out


def add_noise(
    rng: np.random.Generator, image: np.ndarray, sigma: float, flux_per_electron: float, lag1: float = 0.0
) -> np.ndarray:
    """Return the image plus Gaussian noise of variance sigma^2 + flux_per_electron * flux: float32.

    ``lag1`` is the correlation of neighbouring pixels, of background and Poisson noise alike: a mosaic resamples both.
    """
    variance = np.float32(sigma**2) + np.float32(flux_per_electron) * np.maximum(image, np.float32(0))
    return image + np.sqrt(variance) * correlated_noise(rng, (image.shape[0], image.shape[1]), lag1)
