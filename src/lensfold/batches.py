"""Batches of network input from a cache: for training shuffled and augmented, for prediction plain."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lensfold.augment import Augmentation
from lensfold.config import Experiment
from lensfold.cutouts import Cache, split_bands
from lensfold.pixels import StretchConstants, linear_channels, standardised


class Preparation:
    """How one run turns cached rows into network input, in training and in prediction alike."""

    def __init__(self, cache: Cache, experiment: Experiment, constants: StretchConstants):
        """Rows come from ``cache``, the stretch from ``constants`` (those of the run, whatever pack is scored)."""
        self._cache = cache
        self._pixels = experiment.pixels
        self._constants = constants
        self._augmentation = Augmentation(experiment.augment)

    def plain(self, ids: np.ndarray) -> np.ndarray:
        """Network input of the given objects, float32, shape (n, side, side, channels)."""
        return np.stack([standardised(image, self._pixels, self._constants) for image in self._linear(ids)])

    def augmented(self, ids: np.ndarray, positions: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
        """As :meth:`plain`, each image augmented from the seed (seed, fold, epoch, its position in the epoch)."""
        images = [
            self._augmentation(image, seed, fold, epoch, int(position))
            for image, position in zip(self._linear(ids), positions, strict=True)
        ]
        return np.stack([standardised(image, self._pixels, self._constants) for image in images])

    def _linear(self, ids: np.ndarray) -> Iterator[np.ndarray]:
        for row in self._cache.read(ids):
            yield linear_channels(split_bands(row), self._pixels, self._constants["sigma"])


def slices(count: int, batch_size: int) -> list[slice]:
    """Consecutive slices of at most ``batch_size`` that cover ``count`` items."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def whole_slices(count: int, batch_size: int) -> list[slice]:
    """As :func:`slices`, without an incomplete last one, unless it is the only one."""
    parts = slices(count, batch_size)
    return parts if len(parts) == 1 or count % batch_size == 0 else parts[:-1]


def ahead(prepare: Callable[[slice], np.ndarray], parts: list[slice]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (part, prepared batch) in order, the next one being prepared while the caller uses the last."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = None
        for part in parts:
            current, upcoming = upcoming, (part, pool.submit(prepare, part))
            if current:
                yield current[0], current[1].result()
        if upcoming:
            yield upcoming[0], upcoming[1].result()
