"""Train one fold of one experiment through its lens-size curriculum, and predict its held-out objects.

Every epoch ends with a checkpoint, so a stopped fold goes on from its last epoch and gives the same ``oof.csv`` as
an undisturbed one. The number of epochs is fixed by the curriculum: validation is watched, never used to choose.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lensfold.config import StageSettings
from lensfold.data.cache import Cache
from lensfold.errors import InputError
from lensfold.files import file_sha256, replacing, sealed, write_json
from lensfold.inputs.batches import Preparation, ahead, whole_slices
from lensfold.models import (
    block_depth,
    head_network,
    network_of,
    reestimate_statistics,
    resized,
    set_trainable,
    split_at_head,
    without_source_map,
)
from lensfold.models.backend import keep_freed_memory, make_repeatable
from lensfold.models.saved import load_model
from lensfold.prediction.features import Features, network_input, progress_lines
from lensfold.prediction.forward import inference_of
from lensfold.prediction.logits import logits, views_of
from lensfold.runs.logits import write_logits
from lensfold.runs.predictions import forget_predictions
from lensfold.runs.provenance import TrainingRecord
from lensfold.scoring.metrics import auc
from lensfold.training.checkpoint import read_history, restore_variables, save_checkpoint
from lensfold.training.epochs import Epoch, Epochs, validation_text
from lensfold.training.optimisation import (
    averaged_weights,
    learning_rate,
    loss_of,
    optimiser_of,
    reseed_dropout,
    seed_of,
)
from lensfold.training.task import FoldTask
from lensfold.workers import process_pool

Log = Callable[[str], None]
#: what feeds the network in a stage
Inputs = Callable[[StageSettings], Preparation | Features]
#: training batches that batch normalisation is measured on again, where it is
STATISTICS_BATCHES = 64
#: logits of a fold that differ by no more, relative to one, are the same answer for everything
SAME = 1e-6


def train_fold(task: FoldTask, log: Log) -> None:
    """Train, then write ``model.keras``, ``history.csv``, ``run.json`` and last ``oof.csv`` into ``task.folder``.

    What an earlier run with the same settings finished is kept: a trained network only predicts again, a checkpoint
    is resumed. Anything from other settings is deleted first.
    Raises InputError where a stage has no lens or no non-lens to train on, where the loss stops being a number, and
    where a batch does not fit into memory.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / "oof.csv").unlink(missing_ok=True)
    make_repeatable(task.experiment.train.threads)
    keep_freed_memory()
    record = TrainingRecord()
    with ExitStack() as stack:
        cache = stack.enter_context(Cache(task.cache_folder))
        twins = stack.enter_context(Cache(task.twins_folder)) if task.twins_folder else None
        preparation = network_input(cache, task.experiment, task.constants, progress_lines(log), twins, task.features)
        held_out = task.held_out(cache.ids)

        def inputs(stage: StageSettings) -> Preparation | Features:
            bin = task.experiment.bin_of(stage)
            if bin == task.experiment.pixels.bin:
                return preparation
            return Preparation(cache, task.experiment.at(bin), task.stage_constants[bin], twins)

        if not task.is_trained("model.keras"):
            twin_ids = twins.ids if twins else np.empty(0, dtype=np.int64)
            epochs = Epochs(task, task.training(cache.ids), twin_ids)
            _FoldTraining(task, inputs, epochs, held_out, log, record).run()
        model = load_model(task.folder / "model.keras")
        predict = task.experiment.predict
        inference = inference_of(model, predict.batch_size)
        views = views_of(inference, preparation, held_out, predict.batch_size, predict.d4_average)
    _refuse_constant(task, views.mean)
    forget_predictions(task.folder)
    write_logits(task.folder / "oof.csv", held_out, views.mean, views.one)


def _refuse_constant(task: FoldTask, values: np.ndarray) -> None:
    """Raise InputError where a network gives every object the same value: its units are dead, and its AUC is 0.5."""
    if len(values) > 1 and np.ptp(values) <= SAME * (1 + abs(float(values[0]))):
        raise InputError(
            f"{task.folder}: the network answers {values[0]:.4g} for each of {len(values)} objects: it broke down in "
            "training. Set train.clip_norm = 1.0 or a lower learning_rate in the experiment."
        )


class _FoldTraining:
    """The state of one training: the network, its optimiser and the history so far."""

    def __init__(
        self,
        task: FoldTask,
        inputs: Inputs,
        epochs: Epochs,
        held_out: np.ndarray,
        log: Log,
        record: TrainingRecord,
    ):
        self._task = task
        self._experiment = task.experiment
        self._settings = task.experiment.train
        self._inputs = inputs
        self._epochs = epochs
        self._log = log
        self._provenance = record
        self._labels = {stage: epochs.labels_of(stage) for stage in task.experiment.stage}
        self._validation = epochs.known(held_out)
        self._history: list[dict] = []
        self._executor: Executor | None = None
        #: of the stage whose step is compiled: its network, what of it learns, how rates fall with depth
        self._learns: tuple[keras.Model, str, float] | None = None
        self._preparation = inputs(task.experiment.stage[0])
        self._model = self._built()

    def run(self) -> None:
        """Train all epochs of all stages, from the checkpoint where there is one, and write what came of it."""
        schedule = [(stage, epoch) for stage in self._experiment.stage for epoch in range(stage.epochs)]
        done = self._resume()
        with self._processes() as self._executor:
            for number, (stage, epoch_in_stage) in enumerate(schedule[done:], start=done):
                if epoch_in_stage == 0:
                    self._start_stage(stage)
                self._train_epoch(number, len(schedule), stage, epoch_in_stage)
                save_checkpoint(self._checkpoint, self._variables(), self._history, self._task.config_hash)
            self._finish(schedule[-1][0], len(schedule))
        self._write()

    def _processes(self) -> AbstractContextManager[Executor | None]:
        here = self._settings.workers == 0 or isinstance(self._preparation, Features)
        return nullcontext() if here else process_pool(self._settings.workers) or nullcontext()

    def _built(self) -> keras.Model:
        """Return the network as it is before its first epoch."""
        keras.utils.set_random_seed(seed_of(self._experiment.seed, self._task.fold, 0))
        learner = self._experiment.learner
        if learner.kind == "given_features" and self._task.features:
            model = head_network(self._task.features.columns, learner.dropout, learner.dense)
        else:
            model = network_of(self._experiment)
        if learner.backbone:
            _, model = split_at_head(model)
        if self._experiment.task == "einstein-radius" and not getattr(learner, "weights_head", False):
            model.get_layer("head_logit").bias.assign([self._epochs.mean_target])  # not at 1 arcsec
        return model

    def _start_stage(self, stage: StageSettings) -> None:
        """Give the network the inputs of a stage, and make what learns in it ready to learn."""
        self._preparation = self._inputs(stage)
        seen = self._experiment.at(self._experiment.bin_of(stage))
        if not self._experiment.learner.sees_features and self._model.input_shape[1] != seen.pixels.side:
            self._model = resized(self._model, seen)
        learns = (self._model, stage.trainable, stage.block_rate)
        if learns == self._learns:  # the step that was traced for the stage before, which takes seconds, is this one's
            for variable in self._model.optimizer.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
            return
        self._learns = learns
        set_trainable(self._model, stage.trainable)
        self._model.compile(
            optimizer=optimiser_of(self._settings, stage, block_depth(self._model)),
            loss=loss_of(self._experiment),
            jit_compile=False,  # XLA is several times slower on the CPU
        )
        self._model.optimizer.build(self._model.trainable_variables)

    def _train_epoch(self, number: int, total: int, stage: StageSettings, epoch_in_stage: int) -> None:
        started = time.monotonic()
        epoch = self._epochs.epoch(self._labels[stage], number)
        # an incomplete last batch is dropped: since the order differs, another one in each epoch
        parts = whole_slices(len(epoch.ids), self._settings.batch_size)
        reseed_dropout(self._model, seed_of(self._experiment.seed, self._task.fold, 1 + number))
        losses = []
        for step, (part, batch) in enumerate(zip(parts, self._shown(epoch, parts, number), strict=True)):
            rate = learning_rate(stage, (epoch_in_stage + step / len(parts)) / stage.epochs)
            losses.append(self._step(*batch, epoch, part, rate))
        seconds = time.monotonic() - started
        self._record(number, total, stage, float(np.mean(losses)), len(epoch.ids), seconds)

    def _shown(self, epoch: Epoch, parts: list[slice], number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield input and targets of each batch: those of the epoch, and behind them the map of the source if any."""
        targets = (epoch.targets[part] for part in parts)
        if isinstance(self._preparation, Features) or not self._settings.source_map:
            yield from zip(self._prepared(epoch.ids, parts, number), targets, strict=True)
            return
        cells = math.isqrt(self._model.output_shape[1] - 1)
        function = partial(self._preparation.with_source_maps, cells)
        for (images, maps), first in zip(self._prepared(epoch.ids, parts, number, function), targets, strict=True):
            yield images, np.hstack([first, maps.reshape(len(maps), -1)])

    def _prepared(
        self, ids: np.ndarray, parts: list[slice], number: int, function: Callable[..., Any] | None = None
    ) -> Iterator[Any]:
        """Yield each batch of network input, prepared ahead, or what ``function`` makes of the same words."""
        words = (self._experiment.seed, self._task.fold, number)
        calls = [(ids[part], np.arange(part.start, part.stop), *words) for part in parts]
        return ahead(function or self._preparation.augmented, calls, self._executor, 1 + 2 * self._settings.workers)

    def _step(self, images: np.ndarray, targets: np.ndarray, epoch: Epoch, part: slice, rate: float) -> float:
        """Do one step of the optimiser; return the loss."""
        weights = None if epoch.weights is None else epoch.weights[part].astype(np.float32)
        self._model.optimizer.learning_rate = rate
        self._model.reset_metrics()  # else keras returns the mean of all batches so far
        try:
            loss = float(self._model.train_on_batch(images, targets, sample_weight=weights))
        except tf.errors.ResourceExhaustedError as error:
            size = self._settings.batch_size
            raise InputError(
                f"{self._model.name}: a batch of {size} does not fit into memory. Set train.batch_size = "
                f"{max(1, size // 2)} in the experiment."
            ) from error
        if not np.isfinite(loss):
            raise InputError(
                f"the loss is {loss} after the batch of the IDs {', '.join(map(str, epoch.ids[part]))} (negative: "
                f"twins). {len(self._history)} whole epochs are kept in {self._checkpoint}. Look at these objects "
                "(lensfold show), lower learning_rate or set train.clip_norm."
            )
        return loss

    def _record(self, number: int, total: int, stage: StageSettings, loss: float, seen: int, seconds: float) -> None:
        """Score the held-out fold, keep the epoch in the history, print it as a line."""
        started = time.monotonic()
        with averaged_weights(self._model):
            name, score = self._validation_score()
        whole = seconds + time.monotonic() - started
        self._history.append(
            {
                "epoch": number + 1,
                "min_size": stage.min_size,
                "trainable": stage.trainable,
                "bin": self._experiment.bin_of(stage),
                "objects": seen,
                "loss": loss,
                name: score,
                "training_seconds": round(seconds, 2),
                "seconds": round(whole, 2),
                "core_seconds_so_far": self._provenance.core_seconds(),
            }
        )
        left = (total - number - 1) * whole
        resolution = f"  bin {stage.bin}" if stage.bin else ""
        self._log(
            f"epoch {number + 1:2d}/{total}  lenses > {stage.min_size:3d} px{resolution}  {stage.trainable:4s}  "
            f"loss {loss:.4f}  {validation_text(name, score)}  {whole:5.1f} s  left {left / 60:4.1f} min"
        )

    def _validation_score(self) -> tuple[str, float]:
        """Return name and value of the held-out fold's score, each object seen once, without flips and rotations."""
        ids, known = self._validation.index.to_numpy(), self._validation.to_numpy()
        if not len(ids):  # of labels that are too few for folds
            return "valid_auc", math.nan
        values = logits(self._model, self._preparation, ids, self._experiment.predict.batch_size, False)
        if self._experiment.task == "lens":
            return "valid_auc", auc(known, values)
        return "valid_mse", float(np.mean((np.exp(values) - np.exp(known)) ** 2))

    @property
    def _checkpoint(self) -> Path:
        return self._task.folder / "checkpoint.npz"

    def _variables(self) -> list[keras.Variable]:
        return [*self._model.weights, *self._model.optimizer.variables]

    def _resume(self) -> int:
        """Load the checkpoint if it belongs to these settings; return the number of epochs in it."""
        if not self._checkpoint.is_file():
            return 0
        try:
            self._history = read_history(self._checkpoint, self._task.config_hash)
            stages = [stage for stage in self._experiment.stage for _ in range(stage.epochs)]
            self._start_stage(stages[len(self._history) - 1])
            restore_variables(self._checkpoint, self._variables())
        except Exception as error:  # a checkpoint is only a convenience: say so and start over
            self._log(f"checkpoint not used ({error}); starting from the first epoch")
            self._history = []
            self._model = self._built()
            return 0
        self._provenance.resume(self._history[-1].get("core_seconds_so_far"))
        self._log(f"resuming after epoch {len(self._history)}")
        return len(self._history)

    def _finish(self, stage: StageSettings, number: int) -> None:
        """Give the network the weights that predict: averaged ones where asked for, with statistics of their own."""
        settings, learner = self._settings, self._experiment.learner
        if settings.average_momentum:
            optimiser = getattr(self._model.optimizer, "inner_optimizer", self._model.optimizer)
            optimiser.finalize_variable_values(self._model.trainable_variables)
        pretrained = learner.kind == "network" and learner.weights != "none" and not learner.frozen
        if settings.average_momentum or pretrained:
            ids = self._epochs.epoch(self._labels[stage], number).ids
            parts = whole_slices(len(ids), settings.batch_size)[:STATISTICS_BATCHES]
            reestimate_statistics(self._model, self._prepared(ids, parts, number))

    def _write(self) -> None:
        """Write the network without what only training needs, and the fold's record; delete the checkpoint."""
        folder, model = self._task.folder, self._model
        if self._settings.source_map:
            model = without_source_map(model)
        with replacing(folder / "model.keras") as temporary:
            named = temporary.with_suffix(".tmp.keras")  # keras insists on the suffix
            model.save(named, include_optimizer=False)
            named.replace(temporary)
        with replacing(folder / "history.csv") as temporary:
            pd.DataFrame(self._history).to_csv(temporary, index=False)
        run = {
            "config_hash": self._task.config_hash,
            "learnt": file_sha256(folder / "model.keras"),
            "history": file_sha256(folder / "history.csv"),
            "fold": self._task.fold,
            "parameters": int(model.count_params()),
            "seconds": round(sum(row["seconds"] for row in self._history), 1),
            **self._provenance.content(),
        }
        write_json(folder / "run.json", sealed(run))
        self._checkpoint.unlink(missing_ok=True)
