"""From four bands in flux units to the channels a network sees.

The order is fixed: mix and crop in flux, divide by the background sigma, (augment,) stretch, standardise. The
constants come from the train split once, are kept with the run, and are the same for every object it ever scores.
"""

from collections.abc import Sequence
from typing import TypedDict

import cv2
import numpy as np

from lensfold.config import INFRARED_MIXES, PixelSettings, channel_count
from lensfold.frames import BANDS, RATIO, SIDES, band_shapes, rim

cv2.setNumThreads(0)  # its own threads would fight with TensorFlow's for the same cores

#: a of astropy's LogStretch
LOG_STRETCH = np.float32(1000)


class StretchConstants(TypedDict):
    """What the train split fixes: sigma of each band it has in flux units, mean and scale per stretched channel."""

    sigma: dict[str, float]
    mean: list[float]
    scale: list[float]


def linear_channels(images: dict[str, np.ndarray], settings: PixelSettings, sigma: dict[str, float]) -> np.ndarray:
    """Return one object's bands, given in flux units, in background sigmas: central crop, mixed, unstretched.

    Returns float32 of shape (side, side, channels). NISP pixels are spread over the VIS grid by exactly × 3, from
    the first VIS pixel that they cover (`lensfold.frames.rim`), with bilinear interpolation.
    """
    channels = [_cropped(images["VIS"], settings, sigma["VIS"])]
    for weights in INFRARED_MIXES[settings.mix]:
        parts = [np.float32(w) * images[band] for w, band in zip(weights, BANDS[1:], strict=True) if w]
        mixed = sum(parts[1:], start=parts[0])
        noise = np.sqrt(sum((w * sigma[band]) ** 2 for w, band in zip(weights, BANDS[1:], strict=True) if w))
        channels.append(_cropped(on_vis_grid(mixed), settings, noise))
    return cv2.merge(channels).reshape(settings.side, settings.side, -1)


def on_vis_grid(nisp: np.ndarray) -> np.ndarray:
    """Return a NISP frame on the grid of its VIS frame, float32; the rim that it leaves bare repeats its edge."""
    side = next(side for side in SIDES if band_shapes(side)["Y"] == nisp.shape)
    covered, bare = RATIO * len(nisp), rim(side)
    enlarged = cv2.resize(
        np.ascontiguousarray(nisp, dtype=np.float32), (covered, covered), interpolation=cv2.INTER_LINEAR
    )
    return cv2.copyMakeBorder(enlarged, bare, bare, bare, bare, cv2.BORDER_REPLICATE)


def _cropped(image: np.ndarray, settings: PixelSettings, sigma: float) -> np.ndarray:
    """Return the central square in units of ``sigma``, binned, float32."""
    start = (image.shape[0] - settings.crop) // 2
    crop: np.ndarray = np.asarray(image[start : start + settings.crop, start : start + settings.crop], dtype=np.float32)
    if settings.bin > 1:
        # the mean of whole pixels, a hundred times faster than numpy's over two axes
        crop = cv2.resize(crop, (settings.side, settings.side), interpolation=cv2.INTER_AREA)
    # the mean of n x n pixels has 1/n of their noise, so n times the mean keeps the background at one sigma
    return crop * np.float32(settings.bin / sigma)


def stretched(linear: np.ndarray, settings: PixelSettings) -> np.ndarray:
    """Return asinh(x / a), or sign(x) log(1 + |x| / a), or x / a, a the softening in sigmas; float32, same shape."""
    if settings.stretch == "none":
        return np.ascontiguousarray(linear / np.float32(settings.softening), dtype=np.float32)
    # numpy has vectorised float32 log and sqrt, but not arcsinh and log1p: written out, and in place, it is several
    # times faster; cv2's log is twice as fast as numpy's
    size = np.abs(linear, order="C")  # what follows works on views of it
    size /= np.float32(settings.softening)
    curved = size
    if settings.stretch == "asinh":
        curved = size * size
        curved += 1
        np.sqrt(curved, out=curved)
        curved += size
    else:
        curved += 1
    flat = curved.reshape(len(curved), -1)
    cv2.log(flat, flat)
    return np.copysign(curved, linear, out=curved)


def standardised(linear: np.ndarray, settings: PixelSettings, constants: StretchConstants) -> np.ndarray:
    """Return network input from sigma units: stretch, then (x − mean) / scale with the run's constants; float32.

    With ``scaling = "image"`` as :func:`scaled_by_itself` instead.
    """
    if settings.scaling == "image":
        return scaled_by_itself(linear, settings)
    values = stretched(linear, settings)
    # one row of pixels at a time: numpy is slow where the last axis, of the channels, is short
    rows = values.reshape(len(values), -1)
    rows -= np.tile(np.asarray(constants["mean"], dtype=np.float32), values.shape[1])
    rows /= np.tile(np.asarray(constants["scale"], dtype=np.float32), values.shape[1])
    return values


def scaled_by_itself(linear: np.ndarray, settings: PixelSettings) -> np.ndarray:
    """Return network input as the paper's code made it, each channel scaled by its own values; float32, same shape.

    Minimum to maximum become 0 to 1, then log(1 + 1000 x) / log(1001) where a stretch is asked for (astropy's
    LogStretch), then mean 0 and standard deviation 1. A channel without any contrast becomes 0.
    """
    low, high = linear.min(axis=(0, 1)), linear.max(axis=(0, 1))
    values = (linear - low) / np.where(high > low, high - low, 1)
    if settings.stretch == "log":
        values = np.log1p(LOG_STRETCH * values) / np.log1p(LOG_STRETCH)
    spread = values.std(axis=(0, 1))
    return ((values - values.mean(axis=(0, 1))) / np.where(spread > 0, spread, 1)).astype(np.float32)


def fit_constants(
    sample: Sequence[dict[str, np.ndarray]], settings: PixelSettings, sigma: dict[str, float]
) -> StretchConstants:
    """Return stretch constants from a sample of train objects, each a dict of its bands in flux units.

    Unless ``scaling = "pack"`` the mean is 0 and the scale 1, which change nothing.
    """
    if settings.scaling != "pack":
        count = channel_count(settings)
        return {"sigma": dict(sigma), "mean": [0.0] * count, "scale": [1.0] * count}
    total = np.zeros(channel_count(settings))
    squares = np.zeros(channel_count(settings))
    for images in sample:
        values = stretched(linear_channels(images, settings, sigma), settings).astype(np.float64)
        total += values.mean(axis=(0, 1))
        squares += (values**2).mean(axis=(0, 1))
    mean = total / len(sample)
    scale = np.sqrt(squares / len(sample) - mean**2)
    return {"sigma": dict(sigma), "mean": mean.tolist(), "scale": scale.tolist()}
