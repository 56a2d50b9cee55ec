"""Batches of network input from a cache: for training shuffled and augmented, for prediction plain.

Batches are prepared ahead, by a thread or by processes that never import TensorFlow. Each depends on
nothing but its arguments, so how many processes there are changes nothing.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lensfold.config import Experiment
from lensfold.data.cache import Cache, split_bands
from lensfold.frames import pixels_per_object
from lensfold.inputs.pixels import StretchConstants, linear_channels, standardised

if TYPE_CHECKING:
    from lensfold.inputs.augment import Augmentation
    from lensfold.inputs.source_map import SourceMaps

Result = TypeVar("Result")
#: objects that are read and augmented at a time: few enough to stay in the cache of a processor
BLOCK = 4


class Preparation:
    """How one run turns cached rows into network input, in training and in prediction alike."""

    def __init__(self, cache: Cache, experiment: Experiment, constants: StretchConstants, twins: Cache | None = None):
        """Take rows from ``cache``, the stretch from ``constants`` (those of the run, whatever pack is scored).

        ``twins``: the cache of a simulated pack's twins, which negative IDs ask for.
        """
        self._cache = cache
        self._twins = twins
        self._experiment = experiment
        self._pixels = experiment.pixels
        self._constants = constants

    @cached_property
    def _augmentation(self) -> "Augmentation":
        # its compiler takes half a second to import, and most processes prepare nothing to train on
        from lensfold.inputs.augment import Augmentation

        return Augmentation(self._pixels, self._experiment.augment, self._constants, self._cache.side)

    @cached_property
    def _source_maps(self) -> "SourceMaps":
        from lensfold.inputs.source_map import SourceMaps

        if self._twins is None:
            raise ValueError("a preparation without twins has no maps of sources")
        return SourceMaps(self._cache, self._twins, self._experiment, self._constants)

    def __reduce__(self) -> tuple:
        """Return what travels to another process: where the caches are, not what is open of them."""
        twins = self._twins.folder if self._twins else None
        return _opened, (self._cache.folder, twins, self._experiment, json.dumps(self._constants))

    def plain(self, ids: np.ndarray) -> np.ndarray:
        """Return network input of the given objects, float32, shape (n, side, side, channels)."""
        linear = (linear_channels(split_bands(row), self._pixels, self._constants["sigma"]) for row in self._rows(ids))
        return np.stack([standardised(image, self._pixels, self._constants) for image in linear])

    def augmented(self, ids: np.ndarray, positions: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
        """Return what :meth:`plain` does, each image augmented from the seed (seed, fold, epoch, its position)."""
        blocks = (self._rows(ids[part]) for part in slices(len(ids), BLOCK))
        return self._augmentation(blocks, positions, seed, fold, epoch)

    def with_source_maps(
        self, cells: int, ids: np.ndarray, positions: np.ndarray, seed: int, fold: int, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`augmented` does, and where each image shows a source: float32, (n, cells, cells)."""
        words = (ids, positions, seed, fold, epoch)
        return self.augmented(*words), self._source_maps(cells, *words)

    def _rows(self, ids: np.ndarray) -> np.ndarray:
        is_twin = ids < 0
        if self._twins is None or not is_twin.any():
            return self._cache.read(ids)
        rows = np.empty((len(ids), pixels_per_object(self._cache.side)), dtype=np.float32)
        rows[~is_twin] = self._cache.read(ids[~is_twin])
        rows[is_twin] = self._twins.read(-ids[is_twin])
        return rows


@lru_cache(maxsize=1)
def _opened(cache_folder: Path, twins_folder: Path | None, experiment: Experiment, constants: str) -> Preparation:
    """Return a preparation in another process, opened at its first batch and kept for the next ones."""
    twins = Cache(twins_folder) if twins_folder else None
    return Preparation(Cache(cache_folder), experiment, json.loads(constants), twins)


def slices(count: int, batch_size: int) -> list[slice]:
    """Return consecutive slices of at most ``batch_size`` that cover ``count`` items."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def whole_slices(count: int, batch_size: int) -> list[slice]:
    """Return :func:`slices` without an incomplete last one, unless it is the only one."""
    parts = slices(count, batch_size)
    return parts if len(parts) == 1 or count % batch_size == 0 else parts[:-1]


def ahead(
    function: Callable[..., Result], calls: Iterable[tuple], executor: Executor | None = None, depth: int = 1
) -> Iterator[Result]:
    """Yield ``function(*call)`` in order; while the caller uses one, the next ``depth`` are being prepared.

    Without an ``executor`` in a thread of its own.
    """
    working = ThreadPoolExecutor(max_workers=1) if executor is None else executor
    waiting: deque[Future[Result]] = deque()
    try:
        for call in calls:
            waiting.append(working.submit(function, *call))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        if executor is None:
            working.shutdown()
