"""One prediction for validation, out-of-fold and test alike."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lensfold.batches import Preparation, ahead, slices
from lensfold.errors import InputError
from lensfold.features import Features
from lensfold.paths import replacing

if TYPE_CHECKING:
    import keras

Progress = Callable[[int, int], None]


def logits(
    model: "keras.Model",
    preparation: Preparation | Features,
    ids: np.ndarray,
    batch_size: int,
    d4_average: bool,
    progress: Progress | None = None,
) -> np.ndarray:
    """Logits of ``ids`` in their order, float64, shape (n,); with ``d4_average`` the mean over flips and rotations."""
    result = np.empty(len(ids))
    for part, images in ahead(lambda part: preparation.plain(ids[part]), slices(len(ids), batch_size)):
        views = d4_views(images) if d4_average else [images]
        outputs = [_batch_logits(model, view, batch_size) for view in views]
        result[part] = np.mean(outputs, axis=0)
        if progress:
            progress(part.stop, len(ids))
    return result


def _batch_logits(model: "keras.Model", images: np.ndarray, batch_size: int) -> np.ndarray:
    # the last batch is filled up, so that TensorFlow compiles the network for one shape only
    filling = np.zeros((batch_size - len(images), *images.shape[1:]), dtype=images.dtype)
    filled = np.concatenate([images, filling])
    return np.asarray(model.predict_on_batch(filled), dtype=np.float64)[: len(images), 0]


def d4_views(images: np.ndarray) -> list[np.ndarray]:
    """The eight flips and rotations of a batch (n, side, side, channels)."""
    turned = [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]
    return [np.ascontiguousarray(view) for image in turned for view in (image, image[:, :, ::-1])]


def load_model(path: Path) -> "keras.Model":
    """A trained network; InputError where the file is absent or damaged. Nothing in it is executed."""
    import keras

    if not path.is_file():
        raise InputError(f"{path}: no trained network here. Train the fold first (`make train`).")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # keras raises many kinds on a damaged archive
        raise InputError(
            f"{path}: damaged or not a Keras network ({error}). Delete its fold folder, train again."
        ) from error


def write_logits(path: Path, ids: np.ndarray, values: np.ndarray) -> None:
    """``ID,logit`` with every digit of a float64, in ascending ID."""
    with replacing(path) as temporary:
        pd.Series(values, index=pd.Index(ids, name="ID"), name="logit").sort_index().to_csv(temporary)


def read_logits(path: Path) -> pd.Series:
    """Series of float64 logits indexed by ID from an ``ID,logit`` file.

    Raises InputError on an absent or damaged file, a repeated ID, and a logit that is not a finite number.
    """
    try:
        table = pd.read_csv(path, dtype={"ID": np.int64, "logit": np.float64})
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Train or predict this fold first.") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}). Delete it and predict again.") from error
    if list(table.columns) != ["ID", "logit"]:
        raise InputError(f"{path}: columns are {list(table.columns)}, expected ID,logit. Delete it and predict again.")
    doubled = table["ID"][table["ID"].duplicated()]
    if len(doubled):
        raise InputError(f"{path}: ID {doubled.iloc[0]} stands there twice. Delete the file and predict again.")
    broken = table["ID"][~np.isfinite(table["logit"])]
    if len(broken):
        raise InputError(f"{path}: the logit of ID {broken.iloc[0]} is not a finite number. Predict again.")
    return table.set_index("ID")["logit"]
