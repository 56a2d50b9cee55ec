"""Fit the kernel machine of one fold, predict its held-out objects, and fit it again where it is to predict others.

No fitted machine is written, since that would be a pickle, and whoever reads a pickle runs what is in it. What is
written is what it was fitted with: the objects and the settings that the search chose. The same fit gives the same
machine, and its out-of-fold decisions prove it.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lensfold.config import Experiment, KernelLearner
from lensfold.data.cache import Cache
from lensfold.data.catalog import GIVEN
from lensfold.errors import InputError
from lensfold.files import file_sha256, is_broken, replacing, sealed, write_json
from lensfold.inputs.batches import Preparation, slices
from lensfold.inputs.pixels import StretchConstants
from lensfold.models.kernel_machines import Chosen, KernelMachine, fit_machine, seeds_of
from lensfold.prediction.features import Features, network_input, progress_lines
from lensfold.prediction.logits import logits_of, views_of
from lensfold.runs.logits import read_logits, write_logits
from lensfold.runs.predictions import forget_predictions
from lensfold.runs.provenance import TrainingRecord
from lensfold.runs.run import fold_number
from lensfold.training.curriculum import stage_labels
from lensfold.training.task import FoldTask

Log = Callable[[str], None]
BATCH = 64
#: held-out objects whose decisions must be those of ``oof.csv`` before a machine that was fitted again predicts
PROOF_OBJECTS = 64
PROOF_TOLERANCE = 1e-6
#: what a network of the same name may have left in a fold's folder
NETWORK_FILES = ("model.keras", "history.csv", "checkpoint.npz")


def train_fold(task: FoldTask, log: Log) -> None:
    """Search, fit, then write ``objects.csv``, ``eigenvalues.csv``, ``run.json`` and last ``oof.csv``.

    Where the folder has a record of the same settings, the machine is only fitted again and predicts.
    Raises InputError where the stage has no lens or no non-lens, or too few to search with.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / "oof.csv").unlink(missing_ok=True)
    record, started = TrainingRecord(), time.monotonic()
    with threadpool_limits(task.experiment.train.threads), Cache(task.cache_folder) as cache:
        preparation = network_input(cache, task.experiment, task.constants, progress_lines(log))
        machine = _kept_machine(task, preparation)
        if machine is None:
            objects = _training_objects(task, task.training(cache.ids))
            machine = _fit(task.experiment, objects, task.fold, preparation)
            _log_fit(log, task.experiment, objects, machine)
            _write_record(task, objects, machine, record, time.monotonic() - started)
        held_out = task.held_out(cache.ids)
        predict = task.experiment.predict
        views = views_of(machine.decisions, preparation, held_out, predict.batch_size, predict.d4_average)
    forget_predictions(task.folder)
    write_logits(task.folder / "oof.csv", held_out, views.mean, views.one)


def fitted_again(
    experiment: Experiment, constants: StretchConstants, folder: Path, cache_folder: Path, log: Log
) -> KernelMachine:
    """Return the machine of a trained fold, from the objects and settings in its ``folder`` and the pixels of its pack.

    ``cache_folder``: of the train split that it was trained on. Raises InputError where that or a file of the fold is
    absent or damaged, and where the machine does not give the fold's out-of-fold decisions.
    """
    if not (cache_folder / "manifest.json").is_file():
        raise InputError(
            f"{cache_folder}: absent. A kernel machine is fitted again before it predicts, from the pixels that it was "
            "trained on: build that pack's cache first (lensfold cache --split train)."
        )
    with Cache(cache_folder) as cache:
        preparation = network_input(cache, experiment, constants, progress_lines(log))
        machine = _fitted_again(experiment, folder, fold_number(folder), preparation)
        _check_same(machine, experiment, folder, preparation)
    return machine


def _training_objects(task: FoldTask, training: np.ndarray) -> pd.DataFrame:
    """Return as many lenses as non-lenses of the stage, drawn at random: column label, index ID, ascending."""
    (stage,) = task.experiment.stage
    found = stage_labels(task.catalog, training, task.experiment.label_rule, stage, task.experiment.train.below)
    labels = found.sort_index().astype(np.int64)
    generator = np.random.default_rng(seeds_of(task.experiment.seed, task.fold).objects)
    classes = [generator.permutation(labels.index[labels == label]) for label in (0, 1)]
    count = min(_settings(task.experiment).objects // 2, *map(len, classes))
    if count < 3:
        raise InputError(f"{count} objects of one class to train on: the search needs 3 or more. Choose other sizes.")
    return labels.loc[np.sort(np.concatenate([ids[:count] for ids in classes]))].to_frame()


def _settings(experiment: Experiment) -> KernelLearner:
    """Return the settings of the kernel machine; InputError for an experiment that trains a network."""
    if experiment.learner.kind != "kernel":
        raise InputError('no kernel machine: its experiment needs [learner] with kind = "kernel".')
    return experiment.learner


def _fit(
    experiment: Experiment,
    objects: pd.DataFrame,
    fold: int,
    preparation: Preparation | Features,
    chosen: Chosen | None = None,
) -> KernelMachine:
    ids = objects.index.to_numpy(dtype=np.int64)
    rows = [preparation.plain(ids[part]).reshape(len(ids[part]), -1) for part in slices(len(ids), BATCH)]
    seeds = seeds_of(experiment.seed, fold)
    return fit_machine(_settings(experiment), np.concatenate(rows), objects["label"].to_numpy(), seeds, chosen)


def _kept_machine(task: FoldTask, preparation: Preparation | Features) -> KernelMachine | None:
    """Return the machine of the folder's record; None where that is absent, damaged or of other settings."""
    if not task.is_trained("objects.csv"):
        return None
    try:
        return _fitted_again(task.experiment, task.folder, task.fold, preparation)
    except InputError:
        return None


def _fitted_again(
    experiment: Experiment, folder: Path, fold: int, preparation: Preparation | Features
) -> KernelMachine:
    remedy = "Delete this folder and train again."
    try:
        record = json.loads((folder / "run.json").read_text())
        if is_broken(record) or record.get("learnt") not in (None, file_sha256(folder / "objects.csv")):
            raise ValueError("run.json or objects.csv is not as it was written")
        chosen = record["chosen"]
        objects = pd.read_csv(folder / "objects.csv", index_col="ID", dtype=np.int64)
        return _fit(experiment, objects, fold, preparation, chosen)
    except (OSError, ValueError, OverflowError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: its kernel machine cannot be fitted again ({error!r}). {remedy}") from error


def _check_same(
    machine: KernelMachine, experiment: Experiment, folder: Path, preparation: Preparation | Features
) -> None:
    """Raise InputError unless a sample of the fold's out-of-fold decisions is as it was."""
    known = read_logits(folder / "oof.csv")
    sample = known.iloc[np.unique(np.linspace(0, len(known) - 1, PROOF_OBJECTS).astype(int))]
    predict = experiment.predict
    try:
        found = logits_of(
            machine.decisions, preparation, sample.index.to_numpy(), predict.batch_size, predict.d4_average
        )
    except KeyError as error:
        raise InputError(f"{folder}: held-out ID {error} has no pixels any more. Train the fold again.") from error
    allowed = PROOF_TOLERANCE * float(np.abs(known).mean())
    different = np.abs(found - sample) > PROOF_TOLERANCE * np.abs(sample) + allowed
    if different.any():
        worst = int(sample.index[different][0])
        raise InputError(
            f"{folder}: fitted again, its kernel machine gives ID {worst} another decision than oof.csv has. Pixels, "
            "settings or libraries are not those it was trained with: delete this folder and train again."
        )


def _log_fit(log: Log, experiment: Experiment, objects: pd.DataFrame, machine: KernelMachine) -> None:
    settings, aucs = _settings(experiment), [one["auc"] for one in machine.tried]
    chosen = ", ".join(f"{name} = {value:.3g}" for name, value in machine.chosen.items())
    if experiment.label_rule == GIVEN:
        log("a kernel machine learns whether a label is above 0.5; graders' probabilities and weights do not count")
    log(f"{settings.method}, {settings.kernel} kernel, {len(objects)} objects, {objects['label'].sum()} of them lenses")
    log(f"{len(aucs)} settings tried: AUC {min(aucs):.4f} to {max(aucs):.4f}; chosen {chosen}")


def _write_record(
    task: FoldTask, objects: pd.DataFrame, machine: KernelMachine, record: TrainingRecord, seconds: float
) -> None:
    """Write what the machine was fitted with; delete what a network of the same name left."""
    for name in (*NETWORK_FILES, "run.json", "eigenvalues.csv"):
        (task.folder / name).unlink(missing_ok=True)
    with replacing(task.folder / "objects.csv") as temporary:
        objects.to_csv(temporary)
    if machine.eigenvalues is not None:
        with replacing(task.folder / "eigenvalues.csv") as temporary:
            eigenvalue_table(machine.eigenvalues).to_csv(temporary)
    run = {
        "config_hash": task.config_hash,
        "learnt": file_sha256(task.folder / "objects.csv"),
        "fold": task.fold,
        "parameters": machine.coefficients,
        "seconds": round(seconds, 1),
        "objects": len(objects),
        "chosen": machine.chosen,
        "search": list(machine.tried),
        **record.content(),
    }
    write_json(task.folder / "run.json", sealed(run))


def eigenvalue_table(eigenvalues: np.ndarray) -> pd.DataFrame:
    """Return eigenvalues and their shares of the sum of all positive ones, indexed by component from 1."""
    index = pd.RangeIndex(1, len(eigenvalues) + 1, name="component")
    total = eigenvalues.sum() or 1.0
    return pd.DataFrame({"eigenvalue": eigenvalues, "share": eigenvalues / total}, index=index)
