"""Where the lensed source is in an augmented image: what `train.source_map` has a network learn beside its logit.

Simulated packs with twins have each train object with a source a second time without it, all else the same. The
difference of the two in VIS is the source, and nothing that only a key knows.
"""

from collections.abc import Iterator

import numpy as np

from lensfold.config import Experiment
from lensfold.data.cache import Cache
from lensfold.inputs.augment import Augmentation
from lensfold.inputs.pixels import StretchConstants

#: background sigmas of the network's input that a pixel of the source is brighter than
VISIBLE = 1.0


class SourceMaps:
    """Maps of the source for the images of one run, moved and turned as these are."""

    def __init__(self, cache: Cache, twins: Cache, experiment: Experiment, constants: StretchConstants):
        """Take objects from ``cache`` and what they are without a source from ``twins``; the rest is of the run."""
        self._cache = cache
        self._twins = twins
        pixels = {"mix": "vis", "stretch": "none", "softening": 1.0, "scaling": "none"}
        self._augmentation = Augmentation(
            experiment.pixels.model_copy(update=pixels),
            experiment.augment.model_copy(update={"noise_sigma": 0.0}),
            {"sigma": constants["sigma"], "mean": [0.0], "scale": [1.0]},
            cache.side,
        )

    def __call__(
        self, cells: int, ids: np.ndarray, positions: np.ndarray, seed: int, fold: int, epoch: int
    ) -> np.ndarray:
        """Return where the source is in the images that these words seed, float32, (n, cells, cells), 0 or 1.

        1 where any pixel of a cell shows more than VISIBLE of the source; all 0 for twins (negative IDs) and objects
        without one. ``cells``: of the map along a side; see :func:`pooled`.
        """
        maps = np.zeros((len(ids), cells, cells), dtype=np.float32)
        has_source = np.flatnonzero(np.isin(ids, self._twins.ids))
        if len(has_source):
            images = self._augmentation(self._sources(ids[has_source]), positions[has_source], seed, fold, epoch)
            maps[has_source] = pooled(images[..., 0] > VISIBLE, cells)
        return maps

    def _sources(self, ids: np.ndarray) -> Iterator[np.ndarray]:
        """Yield what objects have beside their twins as cached rows, float32, (1, pixels) each."""
        for one in ids[:, None]:
            yield self._cache.read(one) - self._twins.read(one)


def pooled(shows: np.ndarray, cells: int) -> np.ndarray:
    """Return 1 where any pixel of a cell shows, else 0: float32, (n, cells, cells), of images (n, side, side).

    A cell of a network's map has 8 pixels a side, or 12 (four of NISP) in wide_cnn: pixels that no cell is left for are
    cut off, as unpadded poolings do, and a last cell may reach over the edge, as padded ones do.
    """
    side = shows.shape[1]
    width = 12 if side >= 11 * cells else 8
    whole = np.zeros((len(shows), cells * width, cells * width), dtype=np.float32)
    seen = min(side, cells * width)
    whole[:, :seen, :seen] = shows[:, :seen, :seen]
    found: np.ndarray = whole.reshape(len(shows), cells, width, cells, width).max(axis=(2, 4))
    return found
