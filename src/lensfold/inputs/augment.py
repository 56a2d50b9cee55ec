"""Training-time augmentation, in linear sigma units: what each image is drawn, and the pass that does it.

Images are moved (rotated, zoomed by one factor for both axes, shifted), flipped or turned, multiplied by a gain, and
given noise, in this order; what an experiment adds of albumentations comes after that. Then they are stretched and
standardised as in prediction. The pass is compiled: see `lensfold.inputs.kernels`.
"""

from collections.abc import Callable, Iterable

import numpy as np

from lensfold.config import INFRARED_MIXES, AugmentSettings, PixelSettings, channel_count
from lensfold.frames import BANDS, RATIO, band_shapes, rim
from lensfold.inputs import kernels
from lensfold.inputs.pixels import StretchConstants, standardised

_STRETCHES = {"none": kernels.NONE, "log": kernels.LOG, "asinh": kernels.ASINH}
_NO_NOISE = np.empty((0, 0, 0, 0), dtype=np.float32)
#: a function of an image and the words of its seed
Added = Callable[..., np.ndarray]


def draws(settings: AugmentSettings, positions: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """Return what the images at some positions (int64, (n,), at least one) of an epoch are drawn, float64, (n, 8).

    Columns, as `lensfold.inputs.kernels` numbers them: ELEMENT: which flip or quarter turn, from 0 (none) to below 8,
    its fraction without meaning; MOVED: 1 where the next four act, else 0; DEGREES; ZOOM; RIGHT and DOWN, in pixels of
    the network's input; GAIN; NOISE: the level of what is added, in background sigmas. Each image has numbers of its
    own, whatever else is in its batch and whatever is switched off.
    """
    first, columns = int(positions.min()), kernels.NOISE + 1
    generator = np.random.PCG64(np.random.SeedSequence((seed, fold, epoch)))
    generator.advance(columns * first)  # a number is one step
    numbers = np.random.Generator(generator).random((int(positions.max()) - first + 1, columns))[positions - first]
    strengths = (settings.rotate_degrees, settings.zoom, settings.shift_pixels, settings.shift_pixels, settings.gain)
    drawn = numbers * (8 * settings.d4, 1, *(2 * one for one in strengths), settings.noise_sigma)
    drawn[:, kernels.DEGREES : kernels.NOISE] += np.array((0, 1, 0, 0, 1)) - strengths
    drawn[:, kernels.MOVED] = numbers[:, kernels.MOVED] < settings.affine_probability
    return drawn


def zooms(settings: AugmentSettings, count: int, seed: int, fold: int, epoch: int) -> np.ndarray:
    """Return the factor by which each of the ``count`` (at least 1) images of an epoch is enlarged, float64, (count,).

    1 where an image is not moved.
    """
    drawn = draws(settings, np.arange(count), seed, fold, epoch)
    return np.where(drawn[:, kernels.MOVED] == 1, drawn[:, kernels.ZOOM], 1.0)


def windows(start: int, step: int, width: int, count: int, frame: int) -> kernels.Windows:
    """Return ``count`` windows of a ``frame`` of so many VIS pixels a side.

    NISP is spread as `lensfold.inputs.pixels.on_vis_grid` does.
    """
    begins, nisp = start + step * np.arange(count), band_shapes(frame)["Y"][0]
    shares = np.zeros((count, nisp))
    for pixel in range(width):
        # where the centres of NISP pixels are 0, 1, …; the rim repeats the edge
        place = np.clip((begins + pixel - rim(frame) - RATIO // 2) / RATIO, 0, nisp - 1)
        left = np.minimum(place.astype(int), nisp - 2)
        np.add.at(shares, (np.arange(count), left), (1 - (place - left)) / width)
        np.add.at(shares, (np.arange(count), left + 1), (place - left) / width)
    first = np.minimum((shares > 0).argmax(axis=1), nisp - 3)
    taps = np.take_along_axis(shares, first[:, None] + np.arange(3), axis=1)
    return kernels.Windows(
        np.array([start, step, width]), first.astype(np.uint32), taps.T.astype(np.float32, order="C")
    )


class Augmentation:
    """What the settings of an experiment make of cached rows to train on."""

    def __init__(self, pixels: PixelSettings, settings: AugmentSettings, constants: StretchConstants, frame: int):
        """``constants``: of the run, as for prediction; ``frame``: side of the cached frames in VIS pixels."""
        self._pixels = pixels
        self._settings = settings
        self._constants = constants
        self._weights = _weights(pixels, constants["sigma"])
        self._frames = frame, band_shapes(frame)["Y"][0]
        self._still = windows((frame - pixels.crop) // 2, pixels.bin, pixels.bin, pixels.side, frame)
        self._moving = windows(0, 1, pixels.bin, frame + 1 - pixels.bin, frame)
        self._added = _added(settings, pixels)
        # the compiled pass ends with linear images where something comes before the stretch, or it is not this one
        self._is_finished = self._added is None and pixels.scaling != "image"
        self._stretch = _STRETCHES[pixels.stretch] if self._is_finished else kernels.NONE
        self._curves = np.tile(np.array([1, 0, 1], dtype=np.float32), (channel_count(pixels), 1))
        if self._is_finished:
            self._curves[:, 0] = pixels.softening
            self._curves[:, 1], self._curves[:, 2] = constants["mean"], constants["scale"]

    def __call__(
        self, blocks: Iterable[np.ndarray], positions: np.ndarray, seed: int, fold: int, epoch: int
    ) -> np.ndarray:
        """Return network input, float32, (n, side, side, channels), of objects, each at a position of an epoch.

        ``blocks``: their cached rows, some at a time. Each image depends on its row and on the four words of its seed
        (seed, fold, epoch, position), on nothing else.
        """
        words, side = (seed, fold, epoch), self._pixels.side
        drawn = draws(self._settings, positions, *words)
        noise = self._noise(drawn[:, kernels.NOISE], positions, words) if self._settings.noise_sigma else _NO_NOISE
        images = np.empty((len(positions), side, side, channel_count(self._pixels)), dtype=np.float32)
        how = self._frames, self._weights, self._still, self._moving, self._curves, self._stretch
        start = 0
        for rows in blocks:
            part = slice(start, start + len(rows))
            kernels.prepare(rows, drawn[part], noise[part], *how, images[part])
            start += len(rows)
        if not self._is_finished:
            for position, image in zip(positions.tolist(), images, strict=True):
                linear = image if self._added is None else self._added(image, *words, position)
                image[:] = standardised(linear, self._pixels, self._constants)
        return images

    def _noise(self, levels: np.ndarray, positions: np.ndarray, words: tuple[int, ...]) -> np.ndarray:
        """Return what is added to each image, float32, (n, channels, side, side)."""
        shape = (channel_count(self._pixels), self._pixels.side, self._pixels.side)
        noise = np.empty((len(levels), *shape), dtype=np.float32)
        for level, position, target in zip(levels.astype(np.float32), positions.tolist(), noise, strict=True):
            generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*words, position))))
            generator.standard_normal(dtype=np.float32, out=target)
            target *= level
        return noise


def _weights(pixels: PixelSettings, sigma: dict[str, float]) -> np.ndarray:
    """Return what each channel takes of the sum of a window in each band, float32, (channels, 4), in its own sigmas."""
    mixes = np.array([(1.0, 0.0, 0.0, 0.0), *((0.0, *mix) for mix in INFRARED_MIXES[pixels.mix])])
    noise = np.sqrt(((mixes * [sigma.get(band, 0.0) for band in BANDS]) ** 2).sum(axis=1))
    weights = mixes * (pixels.bin / noise)[:, None]
    weights[0] /= pixels.bin**2  # windows of VIS are summed, those of NISP averaged
    return weights.astype(np.float32)


def _added(settings: AugmentSettings, pixels: PixelSettings) -> Added | None:
    if not settings.transforms:
        return None
    # albumentations takes a second to import, and few experiments add anything
    from lensfold.inputs.transforms import Transforms

    return Transforms(settings.transforms, (pixels.side, pixels.side, channel_count(pixels)))
