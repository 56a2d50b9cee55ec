"""Load a trained network."""

from pathlib import Path
from typing import TYPE_CHECKING

from lensfold.errors import InputError

if TYPE_CHECKING:
    import keras


def load_model(path: Path) -> "keras.Model":
    """Return a trained network; InputError where the file is absent or damaged. Nothing in it is executed."""
    import keras

    from lensfold.models import fused  # noqa: F401  # Keras must know the classes that the file names

    if not path.is_file():
        raise InputError(f"{path}: no trained network here. Train the fold first (`make train`).")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # keras raises many kinds on a damaged archive
        raise InputError(
            f"{path}: damaged or not a Keras network ({error}). Delete its fold folder, train again."
        ) from error
