"""One prediction for validation, out-of-fold and test alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lensfold.config import PredictSettings
from lensfold.console import Progress
from lensfold.inputs.batches import Preparation, ahead, slices
from lensfold.prediction.features import Features
from lensfold.prediction.forward import inference_of
from lensfold.runs.predictions import kept_part, part_count, part_file, part_slices, write_part

if TYPE_CHECKING:
    import keras

#: outputs (n, …) of network input (n, …)
Outputs = Callable[[np.ndarray], np.ndarray]


def logits(
    model: "keras.Model",
    preparation: Preparation | Features,
    ids: np.ndarray,
    batch_size: int,
    d4_average: bool,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return logits of ``ids`` in their order, float64, (n,); with ``d4_average`` the mean over flips and rotations.

    Batches that do not fit into memory are halved; InputError where not even one object does.
    """
    return logits_of(inference_of(model, batch_size), preparation, ids, batch_size, d4_average, progress)


@dataclass(frozen=True)
class Views:
    """Logits of objects in their order, float64, (n,): the ``mean`` over the views taken, and those of the ``first``.

    The first view is the image as it is. Where only that was taken both are the same, and ``one`` is None.
    """

    mean: np.ndarray
    first: np.ndarray
    averaged: bool

    @property
    def one(self) -> np.ndarray | None:
        """The first view's logits where the mean is of more than that."""
        return self.first if self.averaged else None


def logits_of(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    batch_size: int,
    d4_average: bool,
    progress: Progress | None = None,
) -> np.ndarray:
    """Do as :func:`logits`, with anything that gives outputs (n, 1 or more) of network input (n, …)."""
    return views_of(inference, preparation, ids, batch_size, d4_average, progress).mean


def views_of(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    batch_size: int,
    d4_average: bool,
    progress: Progress | None = None,
) -> Views:
    """Do as :func:`logits_of`, and keep what the first view alone gives."""
    found = Views(np.empty(len(ids)), np.empty(len(ids)), d4_average)
    parts = slices(len(ids), batch_size)
    batches = ahead(preparation.plain, [(ids[part],) for part in parts])
    for part, images in zip(parts, batches, strict=True):
        views = d4_views(images) if d4_average else [images]
        # of several outputs the logit is the first
        answers = [inference(view)[:, 0].astype(np.float64) for view in views]
        found.first[part], found.mean[part] = answers[0], np.mean(answers, axis=0)
        if progress:
            progress(part.stop, len(ids))
    return found


def predict_part(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    settings: PredictSettings,
    path: Path,
    progress: Progress | None = None,
    known: pd.Series | None = None,
) -> np.ndarray:
    """Do as :func:`logits_of`, and keep it in ``path``, from where it comes if that has exactly ``ids``.

    What is ``known`` already, logits by ID, is not asked for again.
    """
    kept = kept_part(path, ids)
    if kept is None:
        kept = np.full(len(ids), np.nan) if known is None else known.reindex(ids).to_numpy(copy=True)
        left = np.isnan(kept)
        if left.any():
            kept[left] = logits_of(
                inference, preparation, ids[left], settings.batch_size, settings.d4_average, progress
            )
        write_part(path, ids, kept)
    return kept


def logits_in_parts(
    inference: Outputs,
    preparation: Preparation | Features,
    ids: np.ndarray,
    settings: PredictSettings,
    folder: Path,
    progress: Progress | None = None,
    count: int | None = None,
    known: pd.Series | None = None,
) -> np.ndarray:
    """Do as :func:`logits_of`, with each part kept in ``folder``, so that a prediction that was stopped goes on.

    Parts may come from other processes; what is absent or has not exactly its IDs is predicted here. ``folder`` must
    be used for nothing but these outputs, pixels and settings; whoever keeps the logits deletes it.
    """
    count = part_count(len(ids)) if count is None else count
    values = np.empty(len(ids))
    for number, part in enumerate(part_slices(len(ids), count)):
        report = _shifted(progress, part.start, len(ids)) if progress else None
        values[part] = predict_part(
            inference, preparation, ids[part], settings, part_file(folder, number, count), report, known
        )
    return values


def _shifted(progress: Progress, start: int, total: int) -> Progress:
    """Return the progress of a part that begins at ``start`` of ``total`` objects."""
    return lambda done, _: progress(start + done, total)


def kept_logits(folder: Path, ids: np.ndarray, count: int) -> np.ndarray | None:
    """Return logits of ``ids`` from the ``count`` parts in ``folder``; None unless each has exactly its IDs, once."""
    found = []
    for number, part in enumerate(part_slices(len(ids), count)):
        kept = kept_part(part_file(folder, number, count), ids[part])
        if kept is None:
            return None
        found.append(kept)
    return np.concatenate(found)


def d4_views(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the eight flips and rotations of a batch (n, side, side, channels), first the batch as it is.

    One at a time, to spare memory.
    """
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(1, 2))
        yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[:, :, ::-1])
