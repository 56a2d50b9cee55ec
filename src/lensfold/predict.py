"""One prediction for validation, out-of-fold and test alike."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lensfold.batches import Preparation, ahead, slices
from lensfold.config import PredictSettings
from lensfold.errors import InputError
from lensfold.features import Features
from lensfold.inference import inference_of
from lensfold.paths import replacing

if TYPE_CHECKING:
    import keras

Progress = Callable[[int, int], None]
#: outputs (n, …) of network input (n, …)
Outputs = Callable[[np.ndarray], np.ndarray]
#: objects whose predictions are kept together while a long prediction goes on
PART_OBJECTS = 8192


def logits(
    model: "keras.Model",
    preparation: Preparation | Features,
    ids: np.ndarray,
    batch_size: int,
    d4_average: bool,
    progress: Progress | None = None,
) -> np.ndarray:
    """Logits of ``ids`` in their order, float64, shape (n,); with ``d4_average`` the mean over flips and rotations.

    Batches that do not fit into memory are halved; InputError where not even one object does.
    """
    return logits_of(inference_of(model, batch_size), preparation, ids, batch_size, d4_average, progress)


def logits_of(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    batch_size: int,
    d4_average: bool,
    progress: Progress | None = None,
) -> np.ndarray:
    """As :func:`logits`, of anything that gives outputs (n, 1 or more) of network input (n, …)."""
    result = np.empty(len(ids))
    parts = slices(len(ids), batch_size)
    batches = ahead(preparation.plain, [(ids[part],) for part in parts])
    for part, images in zip(parts, batches, strict=True):
        views = d4_views(images) if d4_average else [images]
        # of several outputs the logit is the first
        result[part] = np.mean([inference(view)[:, 0].astype(np.float64) for view in views], axis=0)
        if progress:
            progress(part.stop, len(ids))
    return result


def logits_in_parts(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    settings: PredictSettings,
    folder: Path,
    progress: Progress | None = None,
) -> np.ndarray:
    """As :func:`logits_of`, with every PART_OBJECTS objects kept in ``folder``: a prediction that was stopped goes on.

    ``folder`` must be of these outputs, pixels and settings alone; it is deleted at the end.
    """
    parts = slices(len(ids), PART_OBJECTS)
    values = np.empty(len(ids))
    for number, part in enumerate(parts):
        path = folder / f"part-{number:05d}.csv"
        kept = _kept_part(path, ids[part])
        if kept is None:
            report = (lambda done, _, start=part.start: progress(start + done, len(ids))) if progress else None
            kept = logits_of(inference, preparation, ids[part], settings.batch_size, settings.d4_average, report)
            if len(parts) > 1:
                write_logits(path, ids[part], kept)
        values[part] = kept
    shutil.rmtree(folder, ignore_errors=True)
    return values


def _kept_part(path: Path, ids: np.ndarray) -> np.ndarray | None:
    try:
        kept = read_logits(path)
    except InputError:  # absent, or damaged: predicted again
        return None
    return kept.reindex(ids).to_numpy() if set(kept.index) == set(ids.tolist()) else None


def d4_views(images: np.ndarray) -> Iterator[np.ndarray]:
    """The eight flips and rotations of a batch (n, side, side, channels), one at a time to spare memory."""
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(1, 2))
        yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[:, :, ::-1])


def load_model(path: Path) -> "keras.Model":
    """A trained network; InputError where the file is absent or damaged. Nothing in it is executed."""
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
