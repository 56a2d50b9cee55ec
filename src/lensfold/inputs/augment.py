"""Training-time augmentation, in linear sigma units, by albumentations; the only module that imports it."""

import os
import random
from collections.abc import Callable

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks a server for newer versions when imported

import albumentations as A
import cv2
import numpy as np

from lensfold.config import AugmentSettings

#: element of the group of flips and quarter turns, in albumentations' names -> what OpenCV calls it
_D4: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "r90": lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
    "r180": lambda image: cv2.rotate(image, cv2.ROTATE_180),
    "r270": lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    "v": lambda image: cv2.flip(image, 0),
    "h": lambda image: cv2.flip(image, 1),
    "t": cv2.transpose,
    "hvt": lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
}


class D4(A.D4):
    """albumentations' D4 by OpenCV, which copies an image in a quarter of the time."""

    def apply(self, img: np.ndarray, group_element: str, **_: object) -> np.ndarray:
        """Return the image flipped or turned, same shape and dtype."""
        turned = img if group_element == "e" else _D4[group_element](img)
        return turned.reshape(img.shape)  # OpenCV drops a last axis of one channel


class SkyNoise(A.ImageOnlyTransform):
    """Gaussian noise of a level drawn per image; albumentations' own clips float images to [0, 1]."""

    def __init__(self, sigma: float):
        """``sigma``: the highest level, in background sigmas."""
        super().__init__(p=1.0)
        self.sigma = sigma

    def apply(self, img: np.ndarray, **_: object) -> np.ndarray:
        """Return the image with noise added, float32."""
        level = np.float32(self.random_generator.uniform(0, self.sigma))
        return img + level * self.random_generator.standard_normal(img.shape, dtype=np.float32)


class FluxGain(A.ImageOnlyTransform):
    """One factor for a whole image, all channels alike, so that colours stay."""

    def __init__(self, gain: float):
        """``gain``: factors are uniform in 1 ± gain."""
        super().__init__(p=1.0)
        self.gain = gain

    def apply(self, img: np.ndarray, **_: object) -> np.ndarray:
        """Return the scaled image, float32."""
        return img * np.float32(self.random_generator.uniform(1 - self.gain, 1 + self.gain))


class Augmentation:
    """The transforms of an experiment as one function of (image, seed words)."""

    def __init__(self, settings: AugmentSettings):
        """Compose what ``settings`` switches on."""
        self._compose = A.Compose(_transforms(settings))

    def __call__(self, image: np.ndarray, *seed_words: int) -> np.ndarray:
        """Augment one (side, side, channels) float32 image; the same seed words give the same result.

        albumentations gives every transform of a seeded Compose the same stream, so each image brings its own
        pair of generators instead.
        """
        sequence = np.random.SeedSequence(seed_words)
        self._compose.set_random_state(
            np.random.default_rng(sequence), random.Random(int(sequence.generate_state(1)[0]))
        )
        return self._compose(image=image)["image"]


def _transforms(settings: AugmentSettings) -> list[A.BasicTransform]:
    transforms: list[A.BasicTransform] = []
    if settings.d4:
        transforms.append(D4(p=1.0))
    if settings.affine_probability:
        transforms.append(_affine(settings))
    if settings.gain:
        transforms.append(FluxGain(settings.gain))
    if settings.noise_sigma:
        transforms.append(SkyNoise(settings.noise_sigma))
    return transforms


def _affine(settings: AugmentSettings) -> A.Affine:
    shift = int(settings.shift_pixels)
    return A.Affine(
        rotate=(-settings.rotate_degrees, settings.rotate_degrees),
        scale=(1 - settings.zoom, 1 + settings.zoom),
        translate_px=(-shift, shift),
        border_mode=cv2.BORDER_REFLECT_101,
        p=settings.affine_probability,
    )
