"""One prediction for validation, out-of-fold and test alike."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensfold.config import PredictSettings
from lensfold.errors import InputError
from lensfold.inputs.batches import Preparation, ahead, slices
from lensfold.prediction.features import Features
from lensfold.prediction.forward import inference_of
from lensfold.runs.logits import read_logits, write_logits

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


def part_slices(objects: int, count: int) -> list[slice]:
    """``count`` consecutive slices of almost equal length that together cover ``objects`` once; some may be empty."""
    edges = [objects * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def part_count(objects: int) -> int:
    """Parts that a prediction is done in where nobody asks for a number: one for every PART_OBJECTS objects."""
    return max(1, -(-objects // PART_OBJECTS))


def part_file(folder: Path, number: int, count: int) -> Path:
    """Where the logits of part ``number`` (from 0) of ``count`` are kept."""
    return folder / f"part-{number + 1}of{count}.csv"


def predict_part(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    settings: PredictSettings,
    path: Path,
    progress: Progress | None = None,
) -> np.ndarray:
    """As :func:`logits_of`, kept in ``path``, from where they come if it holds exactly ``ids``."""
    kept = kept_part(path, ids)
    if kept is None:
        kept = logits_of(inference, preparation, ids, settings.batch_size, settings.d4_average, progress)
        write_logits(path, ids, kept)
    return kept


def logits_in_parts(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    settings: PredictSettings,
    folder: Path,
    progress: Progress | None = None,
    count: int | None = None,
) -> np.ndarray:
    """As :func:`logits_of`, each part kept in ``folder``: a prediction that was stopped goes on, parts may come from
    other processes, and what is absent or does not hold exactly its IDs is predicted here.

    ``folder`` must be of these outputs, pixels and settings alone; whoever keeps the logits deletes it.
    """
    count = part_count(len(ids)) if count is None else count
    values = np.empty(len(ids))
    for number, part in enumerate(part_slices(len(ids), count)):
        report = (lambda done, _, start=part.start: progress(start + done, len(ids))) if progress else None
        values[part] = predict_part(
            inference, preparation, ids[part], settings, part_file(folder, number, count), report
        )
    return values


def kept_logits(folder: Path, ids: np.ndarray, count: int) -> np.ndarray | None:
    """Logits of ``ids`` from the ``count`` parts in ``folder``; None unless each has exactly its IDs, once."""
    parts = [
        kept_part(part_file(folder, number, count), ids[part])
        for number, part in enumerate(part_slices(len(ids), count))
    ]
    return None if any(part is None for part in parts) else np.concatenate(parts)


def kept_part(path: Path, ids: np.ndarray) -> np.ndarray | None:
    """Logits in ``path`` of ``ids`` in their order; None where the file is absent, damaged or of other objects."""
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
