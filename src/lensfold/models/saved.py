"""Load a trained network."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lensfold.errors import InputError

if TYPE_CHECKING:
    import keras


def load_model(
    path: Path, shown: Path | None = None, advice: str = "Delete its fold folder, train again."
) -> "keras.Model":
    """Return a trained network; InputError where the file is absent or damaged. Nothing in it is executed.

    ``shown``: what messages call the file, where ``path`` is a copy; ``advice`` ends them.
    """
    import keras

    from lensfold.models import fused  # noqa: F401  # Keras must know the classes that the file names

    if not path.is_file():
        raise InputError(f"{path}: no trained network here. Train the fold first (`make train`).")
    if not zipfile.is_zipfile(path):  # Keras says of these that there is no such file
        found = f"cut off or overwritten: {path.stat().st_size:,} bytes that are no whole archive"
        raise InputError(f"{shown or path}: damaged or not a Keras network ({found}). {advice}")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # keras raises many kinds on a damaged archive
        found = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{shown or path}: damaged or not a Keras network ({found}). {advice}") from error
