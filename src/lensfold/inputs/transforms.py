"""What an experiment adds to the augmentation, out of albumentations; the only module that imports it."""

import os
import random
import warnings
from collections.abc import Sequence

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks a server for newer versions when imported

import albumentations as A
import numpy as np

from lensfold.config import TransformSettings
from lensfold.errors import InputError


class Transforms:
    """The transforms of ``augment.transforms`` as one function of (image, seed words)."""

    def __init__(self, listed: Sequence[TransformSettings], shape: tuple[int, int, int]):
        """Compose them in their order, for images of ``shape``.

        Raises InputError for a name or an argument that albumentations does not have, and for a transform that is not
        for float images of any brightness: many cut them off at 0 and 1, or change their shape.
        """
        self._compose = A.Compose([_transform(one, place, shape) for place, one in enumerate(listed)])

    def __call__(self, image: np.ndarray, *seed_words: int) -> np.ndarray:
        """Return what is made of a (side, side, channels) float32 image; the same seed words give the same result.

        albumentations gives every transform of a seeded Compose the same stream, so each image brings its own
        pair of generators instead.
        """
        sequence = np.random.SeedSequence([*seed_words, 0x616C62])
        self._compose.set_random_state(
            np.random.default_rng(sequence), random.Random(int(sequence.generate_state(1)[0]))
        )
        return self._compose(image=image)["image"]


def _transform(settings: TransformSettings, place: int, shape: tuple[int, int, int]) -> A.BasicTransform:
    """Return one transform; see Transforms."""
    where = f"augment.transforms.{place}, {settings.name}"
    kind = getattr(A, settings.name, None)
    if not (isinstance(kind, type) and issubclass(kind, A.BasicTransform)):
        raise InputError(f"{where}: albumentations {A.__version__} has no transform of this name.")
    arguments = settings.model_extra or {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an argument that is not known is only warned of
            _check(kind(**{**arguments, "p": 1.0}), where, shape)
            return kind(**arguments)
    except InputError:
        raise
    except Exception as error:  # whatever a transform raises
        raise InputError(f"{where}: albumentations {A.__version__} refuses {arguments}: {error}") from error


def _check(transform: A.BasicTransform, where: str, shape: tuple[int, int, int]) -> None:
    """Raise InputError unless bright float images pass through a transform in their shape, dtype and brightness."""
    image = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    found = A.Compose([transform], seed=1)(image=image)["image"]
    is_alike = found.shape == image.shape and found.dtype == image.dtype
    if not (is_alike and np.isfinite(found).all() and found.min() < -5 and found.max() > 5):
        raise InputError(
            f"{where}: not for images in background sigmas: of {image.shape} float32 from {image.min():.0f} to "
            f"{image.max():.0f} it makes {found.shape} {found.dtype} from {found.min():.4g} to {found.max():.4g}."
        )
