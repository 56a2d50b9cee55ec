"""Network input of frames held in memory, by the path that training and prediction take."""

from typing import Any

import numpy as np

from lensfold.config import AugmentSettings, Experiment, PixelSettings, StageSettings
from lensfold.data.cache import Cache
from lensfold.frames import BANDS
from lensfold.inputs.batches import Preparation
from lensfold.inputs.pixels import StretchConstants

#: no augmentation at all
OFF: dict[str, Any] = {"d4": False, "affine_probability": 0.0, "noise_sigma": 0.0, "gain": 0.0}
#: pixels in background sigmas, unstretched
LINEAR: dict[str, Any] = {"stretch": "none", "softening": 1.0, "scaling": "none"}


class Frames(Cache):
    """Objects held in memory, in the place of a cache; IDs count from 1."""

    def __init__(self, *objects: dict[str, np.ndarray]):
        flat = [np.concatenate([images[band].ravel() for band in BANDS]) for images in objects]
        self.side = len(objects[0]["VIS"])
        self._rows = np.stack(flat).astype("<f4")
        self.ids = np.arange(1, 1 + len(flat))

    def read(self, ids) -> np.ndarray:
        return self._rows[np.asarray(ids) - 1]


def preparation(
    images: dict[str, np.ndarray],
    pixels: PixelSettings,
    augment: AugmentSettings,
    sigma: dict[str, float] | None = None,
    constants: StretchConstants | None = None,
) -> Preparation:
    """Network input of one object, ID 1; without constants neither centred nor scaled."""
    count = {"bands": 4, "paper-rgb": 3, "paper-ir": 2, "vis": 1}[pixels.mix]
    known = constants or {
        "sigma": sigma or dict.fromkeys(BANDS, 1.0),
        "mean": [0.0] * count,
        "scale": [1.0] * count,
    }
    experiment = Experiment(pixels=pixels, augment=augment, stage=(StageSettings(min_size=20, epochs=1),))
    return Preparation(Frames(images), experiment, known)


def augmented(made: Preparation, count: int, start: int = 0, seed: int = 1) -> np.ndarray:
    """``count`` augmentations of object 1, at consecutive positions of epoch 3 of fold 0."""
    return made.augmented(np.ones(count, dtype=np.int64), np.arange(start, start + count), seed, 0, 3)
