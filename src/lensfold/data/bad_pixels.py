"""Pixels that are not perfect: find them, mend small gaps, refuse a frame with too many.

One policy for every band. A pixel is bad where it is not finite, exactly zero (mosaics leave zeros where nothing was
observed), a sentinel (beyond SENTINEL_SIGMA background sigmas, as RMS maps and masks use), or part of a row or column
whose pixels all have one value. Noise in 32-bit floats makes none of these by chance. Quantised noise (compressed by
RICE, or whole numbers) makes zeros: there only blocks of at least 3 x 3 of them are bad.
"""

import warnings

import numpy as np
from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans
from astropy.utils.exceptions import AstropyUserWarning
from scipy.ndimage import binary_opening

#: share of bad pixels in one band beyond which an object is refused
MAX_BAD_SHARE = 0.05
#: the brightest star of the challenge's sky is near 1e7 sigma
SENTINEL_SIGMA = 1e10
#: no flux of a sky, in whatever unit: 32-bit floats end at 3.4e38, and differences of larger pixels overflow
LARGEST = 1e30
#: share of the pixels that share their value with another of their row, from which on an image is quantised
QUANTISED_SHARE = 0.1
#: standard deviation in pixels of the Gaussian that a gap is filled with; its reach is 4 of them
KERNEL_SIGMA = 1.5


class UnusableFrame(Exception):
    """A frame has too many bad pixels, or none that says anything; the message says which."""


def bad_pixels(image: np.ndarray) -> np.ndarray:
    """Return the mask (bool, the image's shape) of the pixels without a measurement."""
    if _is_clean(image):
        return np.zeros(image.shape, dtype=bool)
    bad = ~np.isfinite(image) | _unobserved(image)
    if bad.all():
        return bad
    good = image[~bad]
    spread = float(np.median(np.abs(good - np.median(good))))
    if spread > 0:
        bad |= np.abs(np.where(bad, 0, image)) > np.float64(SENTINEL_SIGMA * spread)
    for axis in (0, 1):
        constant = np.all(image == image.take([0], axis=axis), axis=axis)
        bad |= np.expand_dims(constant, axis)
    return bad


def _unobserved(image: np.ndarray) -> np.ndarray:
    """Return the zeros that noise does not make (bool)."""
    zero = image == 0
    if not zero.any() or not _is_quantised(image):
        return zero
    return binary_opening(zero, np.ones((3, 3), bool))


def _is_quantised(image: np.ndarray) -> bool:
    """Return whether pixels of a row often have one value, as rounded noise has, and floats never by chance."""
    rows = np.sort(image, axis=1)
    equal = (rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] != 0) & np.isfinite(rows[:, 1:])
    return int(np.count_nonzero(equal)) > QUANTISED_SHARE * int(np.count_nonzero(image))


def mended(image: np.ndarray, max_bad_share: float = MAX_BAD_SHARE) -> tuple[np.ndarray, int]:
    """Return the image with its bad pixels filled from their neighbours, and how many there were.

    The image is float32 and returned as it is where nothing is bad. Raises UnusableFrame where all pixels are bad or
    alike, where more than ``max_bad_share`` of them are bad, where a gap is wider than the filling reaches, where the
    pixels have been written in the wrong byte order, and where half of them are larger than LARGEST.
    """
    if _is_clean(image):
        return image, 0
    if (middle := _middle(image)) > LARGEST:
        raise UnusableFrame(f"half of its pixels are of {middle:.1g} or more, which is no flux")
    if _is_byte_swapped(image):
        raise UnusableFrame("its pixels look byte-swapped: FITS stores the most significant byte first")
    bad = bad_pixels(image)
    count = int(np.count_nonzero(bad))
    if count == 0:
        return image, 0
    found = f"{count} of {image.size} pixels are bad ({_kinds(image)})"
    if count > max_bad_share * image.size:
        raise UnusableFrame(f"{found}, more than the {max_bad_share:.1%} that are mended")
    # in units near one: the Gaussian's weights times fluxes of 1e-12 would lose digits
    unit = float(np.median(np.abs(image[~bad])))
    holes = np.where(bad, np.nan, image.astype(np.float64) / unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # of pixels it could not fill: the next line sees them
        filled = interpolate_replace_nans(holes, Gaussian2DKernel(KERNEL_SIGMA), boundary="extend")
    if np.isnan(filled).any():
        raise UnusableFrame(f"{found}, in a gap too wide to mend")
    return np.where(bad, filled * unit, image).astype(np.float32), count


def _is_clean(image: np.ndarray) -> bool:
    """Return whether a frame clearly has no bad pixel: a quick answer for nearly all of them."""
    size = np.abs(image)
    largest = float(size.max())
    if not (largest < LARGEST and size.min() > 0):  # the comparison fails for NaN too
        return False
    # a coarse sample is enough for the scale, which need not be exact
    sample = np.sort(size[::16, ::16], axis=None)
    if largest > SENTINEL_SIGMA / 1e3 * float(sample[len(sample) // 2]) or _spans_too_much(sample):
        return False
    return not ((image[:, 0] == image[:, 1]).any() or (image[0] == image[1]).any())


def _middle(image: np.ndarray) -> float:
    """Return the median size of the finite pixels; 0 where there are none."""
    sizes = np.sort(np.abs(image[np.isfinite(image)]))
    return float(sizes[len(sizes) // 2]) if len(sizes) else 0.0


def _is_byte_swapped(image: np.ndarray) -> bool:
    return _spans_too_much(np.sort(np.abs(image[np.isfinite(image) & (image != 0)])))


def _spans_too_much(sizes: np.ndarray) -> bool:
    """Return whether the 10th and 90th percentile of ascending absolute values are 15 decades apart.

    A sky has noise everywhere, so they are near one decade apart; the exponents of swapped floats come from the
    least significant digits and are spread over all 76 decades.
    """
    return len(sizes) > 0 and float(sizes[len(sizes) * 9 // 10]) > 1e15 * float(sizes[len(sizes) // 10])


def _kinds(image: np.ndarray) -> str:
    finite = np.isfinite(image)
    zero = int(np.count_nonzero(image == 0))
    broken = image.size - int(np.count_nonzero(finite))
    parts = [f"{broken} not finite"] if broken else []
    parts += [f"{zero} exactly zero"] if zero else []
    return ", ".join(parts) or "sentinels or constant rows"
