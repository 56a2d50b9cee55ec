"""Training-time augmentation, in linear sigma units: what each image is drawn, and the pass that does it.

Images are moved (rotated, zoomed by one factor for both axes, shifted), flipped or turned, multiplied by a gain, and
given noise, in this order; what an experiment adds of albumentations comes after that. Then they are stretched and
standardised as in prediction. The pass is compiled: see `lensfold.inputs.kernels`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from lensfold.config import INFRARED_MIXES, AugmentSettings, PixelSettings, channel_count
from lensfold.inputs import kernels
from lensfold.inputs.pixels import StretchConstants, standardised
from lensfold.paths import BAND_SHAPES, BANDS

_VIS, _NISP = BAND_SHAPES["VIS"][0], BAND_SHAPES["Y"][0]
#: random numbers of an image, before those of its noise
_NUMBERS = 8
_STRETCHES = {"none": kernels.NONE, "log": kernels.LOG, "asinh": kernels.ASINH}
_NOT_MOVED = np.empty((0, 3), dtype=np.float32)
_NO_NOISE = np.empty((0, 0, 0), dtype=np.float32)
#: a function of an image and the words of its seed
Added = Callable[..., np.ndarray]


class Draw(NamedTuple):
    """What one image is drawn: shifts in pixels of the network's input, noise in background sigmas."""

    #: which flip or quarter turn, 0 to 7; 0 leaves an image as it is
    element: int
    #: whether the four below act
    is_moved: bool
    degrees: float
    zoom: float
    right: float
    down: float
    gain: float
    noise: float


def draw(settings: AugmentSettings, generator: np.random.Generator) -> Draw:
    """Return what the next image is drawn: always as many random numbers, whatever is switched off."""
    element, moved, degrees, zoom, right, down, gain, noise = generator.random(_NUMBERS).tolist()
    return Draw(
        element=int(8 * element) if settings.d4 else 0,
        is_moved=moved < settings.affine_probability,
        degrees=settings.rotate_degrees * (2 * degrees - 1),
        zoom=1 + settings.zoom * (2 * zoom - 1),
        right=settings.shift_pixels * (2 * right - 1),
        down=settings.shift_pixels * (2 * down - 1),
        gain=1 + settings.gain * (2 * gain - 1),
        noise=settings.noise_sigma * noise,
    )


def zooms(settings: AugmentSettings, positions: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """Return the factor by which each image of an epoch is enlarged, float64, shape (n,); 1 where it is not moved."""
    draws = [draw(settings, _generator(seed, fold, epoch, int(position))) for position in positions]
    return np.array([one.zoom if one.is_moved else 1.0 for one in draws])


def _generator(*seed_words: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed_words)))


class Windows(NamedTuple):
    """Where windows of ``bin`` x ``bin`` VIS pixels begin along an axis, and what they hold of NISP."""

    #: first VIS pixel of the first, their distance, their width: int64, (3,)
    window: np.ndarray
    #: the first of three NISP pixels that each window sees: uint32, (n,)
    first: np.ndarray
    #: how much of each it sees: float32, (3, n)
    taps: np.ndarray


def windows(start: int, step: int, width: int, count: int) -> Windows:
    """Return ``count`` windows; NISP is spread as `lensfold.inputs.pixels.on_vis_grid` does."""
    begins = start + step * np.arange(count)
    shares = np.zeros((count, _NISP))
    for pixel in range(width):
        # NISP pixel k has its centre on that of VIS pixel 2 + 3 k; the rim repeats the edge
        place = np.clip((begins + pixel - 2) / 3, 0, _NISP - 1)
        left = np.minimum(place.astype(int), _NISP - 2)
        np.add.at(shares, (np.arange(count), left), (1 - (place - left)) / width)
        np.add.at(shares, (np.arange(count), left + 1), (place - left) / width)
    first = np.minimum((shares > 0).argmax(axis=1), _NISP - 3)
    taps = np.take_along_axis(shares, first[:, None] + np.arange(3), axis=1)
    return Windows(np.array([start, step, width]), first.astype(np.uint32), taps.T.astype(np.float32, order="C"))


class Augmentation:
    """What the settings of an experiment make of cached rows to train on."""

    def __init__(self, pixels: PixelSettings, settings: AugmentSettings, constants: StretchConstants):
        """``constants``: of the run, as for prediction."""
        self._pixels = pixels
        self._settings = settings
        self._constants = constants
        self._weights = _weights(pixels, constants["sigma"])
        self._still = windows((_VIS - pixels.crop) // 2, pixels.bin, pixels.bin, pixels.side)
        self._moving = windows(0, 1, pixels.bin, _VIS + 1 - pixels.bin)
        self._added = _added(settings, pixels)
        # the compiled pass ends with linear images where something comes before the stretch, or it is not this one
        self._is_finished = self._added is None and pixels.scaling != "image"
        self._stretch = _STRETCHES[pixels.stretch] if self._is_finished else kernels.NONE
        ones, zeros = np.ones(channel_count(pixels)), np.zeros(channel_count(pixels))
        curves = [pixels.softening * ones, constants["mean"], constants["scale"]]
        self._curves = np.stack(curves if self._is_finished else [ones, zeros, ones], axis=1).astype(np.float32)

    def __call__(
        self, rows: Iterable[np.ndarray], positions: np.ndarray, seed: int, fold: int, epoch: int
    ) -> np.ndarray:
        """Return network input, float32, (n, side, side, channels), of cached rows, each at a position of an epoch.

        Each image depends on its row and on the four words of its seed (seed, fold, epoch, position), on nothing else.
        """
        side = self._pixels.side
        images = np.empty((len(positions), side, side, channel_count(self._pixels)), dtype=np.float32)
        room = np.empty((side, side), dtype=np.uint32), np.empty(kernels.SCRATCH, dtype=np.float32)
        for row, position, image in zip(rows, positions.tolist(), images, strict=True):
            self._prepare(row, (seed, fold, epoch, position), room, image)
        return images

    def _prepare(
        self, row: np.ndarray, words: tuple[int, ...], room: tuple[np.ndarray, np.ndarray], image: np.ndarray
    ) -> None:
        """Write the network input of one cached row into ``image``; ``room`` is to work in."""
        generator = _generator(*words)
        one = draw(self._settings, generator)
        grid = self._moving if one.is_moved else self._still
        kernels.prepare(
            row[: _VIS * _VIS].reshape(_VIS, _VIS),
            row[_VIS * _VIS :].reshape(-1, _NISP, _NISP),
            self._weights * np.float32(one.gain),
            *grid,
            self._matrix(one) if one.is_moved else _NOT_MOVED,
            self._noise(one.noise, generator) if one.noise else _NO_NOISE,
            self._curves,
            self._stretch,
            one.element,
            *room,
            image,
        )
        if not self._is_finished:
            linear = image if self._added is None else self._added(image, *words)
            image[:] = standardised(linear, self._pixels, self._constants)

    def _matrix(self, one: Draw) -> np.ndarray:
        """Return the matrix, float32, (2, 3), from a pixel's column and row in the input to the window it shows."""
        angle, scale = np.deg2rad(one.degrees), self._pixels.bin / one.zoom
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle = (self._pixels.side - 1) / 2
        shown = np.array([middle + one.right, middle + one.down])
        return np.column_stack([turn, (_VIS - self._pixels.bin) / 2 - turn @ shown]).astype(np.float32)

    def _noise(self, level: float, generator: np.random.Generator) -> np.ndarray:
        shape = (channel_count(self._pixels), self._pixels.side, self._pixels.side)
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(level)


def _weights(pixels: PixelSettings, sigma: dict[str, float]) -> np.ndarray:
    """Return what each channel takes of the sum of a window in each band, float32, (channels, 4), in its own sigmas."""
    mixes = np.array([(1.0, 0.0, 0.0, 0.0), *((0.0, *mix) for mix in INFRARED_MIXES[pixels.mix])])
    noise = np.sqrt(((mixes * [sigma[band] for band in BANDS]) ** 2).sum(axis=1))
    weights = mixes * (pixels.bin / noise)[:, None]
    weights[0] /= pixels.bin**2  # windows of VIS are summed, those of NISP averaged
    return weights.astype(np.float32)


def _added(settings: AugmentSettings, pixels: PixelSettings) -> Added | None:
    if not settings.transforms:
        return None
    # albumentations takes a second to import, and few experiments add anything
    from lensfold.inputs.transforms import Transforms

    return Transforms(settings.transforms, (pixels.side, pixels.side, channel_count(pixels)))
