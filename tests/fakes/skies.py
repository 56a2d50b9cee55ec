"""A few objects of the frozen skies, and the pixels by which they are known again."""

import hashlib

import numpy as np

from lensfold.frames import BANDS
from lensfold.simulate import SimulatedObject, simulate_object

SEED = 11
#: split, index, source in or out
OBJECTS = [(split, index, put) for split, index in (("train", 0), ("train", 4), ("test", 1)) for put in (True, False)]


def pixels_hash(item: SimulatedObject) -> str:
    """SHA-256 of the bytes of all four images."""
    return hashlib.sha256(b"".join(item.images[band].tobytes() for band in BANDS)).hexdigest()


def some_pixels(item: SimulatedObject) -> np.ndarray:
    """The middle and a wide grid of all four images, in units of 1e-12: (n,) float32."""
    parts = []
    for band in BANDS:
        image = item.images[band]
        middle = len(image) // 2
        block, grid = slice(middle - 4, middle + 4), slice(None, None, len(image) // 8)
        parts += [image[block, block].ravel(), image[grid, grid].ravel()]
    return (np.concatenate(parts) * 1e12).astype(np.float32)


def frozen_objects(profile: str) -> list[SimulatedObject]:
    """The objects of a profile whose pixels were kept."""
    return [simulate_object(profile, SEED, split, index, put) for split, index, put in OBJECTS]
