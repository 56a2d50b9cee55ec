"""Train one fold of one experiment through its lens-size curriculum, and predict its held-out objects.

Every epoch ends with a checkpoint, so a stopped fold goes on from its last epoch and gives the same ``oof.csv`` as
an undisturbed one. The number of epochs is fixed by the curriculum: validation is watched, never used to choose.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lensfold import catalog as catalog_module
from lensfold.batches import Preparation, ahead, whole_slices
from lensfold.config import Experiment, StageSettings
from lensfold.curriculum import epoch_order, stage_rows
from lensfold.cutouts import Cache
from lensfold.features import Features, network_input
from lensfold.models import build_model, set_trainable, split_at_head
from lensfold.paths import replacing
from lensfold.pixels import StretchConstants, channel_count
from lensfold.predict import load_model, logits, write_logits
from lensfold.provenance import versions
from lensfold.scores import auc

if TYPE_CHECKING:
    import keras

Log = Callable[[str], None]


@dataclass(frozen=True)
class FoldTask:
    """Everything one fold needs; the arrays are IDs, the pixels stay in the cache."""

    experiment: Experiment
    constants: StretchConstants
    config_hash: str
    fold: int
    folds: pd.Series
    catalog: pd.DataFrame
    cache_folder: Path
    folder: Path


def train_fold(task: FoldTask, log: Log) -> None:
    """Train, then write ``model.keras``, ``history.csv``, ``run.json`` and last ``oof.csv`` into ``task.folder``.

    What an earlier run with the same settings finished is kept: a trained network is only asked for its
    predictions again, a checkpoint is resumed. Anything from other settings is deleted first.
    Raises InputError where a stage has no lens or no non-lens to train on.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / "oof.csv").unlink(missing_ok=True)
    set_threads(task.experiment.train.threads)
    with Cache(task.cache_folder) as cache:
        preparation = network_input(
            cache,
            task.experiment,
            task.constants,
            task.folder.parent / "features" / "train.npy",
            _features_progress(log),
        )
        cached = set(cache.ids.tolist())
        held_out = _ids_in(task.folds[task.folds == task.fold], cached)
        if not _is_trained(task):
            training = _ids_in(task.folds[task.folds != task.fold], cached)
            _FoldTraining(task, preparation, training, held_out, log).run()
        model = load_model(task.folder / "model.keras")
        predict = task.experiment.predict
        values = logits(model, preparation, held_out, predict.batch_size, predict.d4_average)
    shutil.rmtree(task.folder / "test", ignore_errors=True)  # scores of an earlier network
    write_logits(task.folder / "oof.csv", held_out, values)


def _features_progress(log: Log) -> Callable[[int, int], None]:
    """Progress of a fold's features as lines of its log: one at every fifth of the way."""
    shown = [0]

    def report(done: int, total: int) -> None:
        if 5 * done // total > shown[0]:
            shown[0] = 5 * done // total
            log(f"features of the frozen backbone: {done}/{total} objects")

    return report


def set_threads(count: int) -> None:
    """Fix TensorFlow's thread counts for this process; later calls in the same process change nothing."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # TensorFlow has started already, with the threads it has
        return


def _ids_in(folds: pd.Series, cached: set[int]) -> np.ndarray:
    return np.array([object_id for object_id in folds.index if object_id in cached], dtype=np.int64)


def _is_trained(task: FoldTask) -> bool:
    try:
        run = json.loads((task.folder / "run.json").read_text())
    except (OSError, ValueError):
        return False
    return run.get("config_hash") == task.config_hash and (task.folder / "model.keras").is_file()


class _FoldTraining:
    """The state of one training: the network, its optimiser and the history so far."""

    def __init__(
        self, task: FoldTask, preparation: Preparation | Features, training: np.ndarray, held_out: np.ndarray, log: Log
    ):
        self._task = task
        self._settings = task.experiment.train
        self._preparation = preparation
        self._training = training
        self._log = log
        labels = catalog_module.labels(task.catalog, task.experiment.label_rule).loc[held_out].dropna()
        self._valid_ids = labels.index.to_numpy()
        self._valid_labels = labels.to_numpy()
        self._history: list[dict] = []
        self._model: keras.Model | None = None

    def run(self) -> None:
        """All epochs of all stages, from the checkpoint where there is one."""
        experiment, folder = self._task.experiment, self._task.folder
        schedule = [(stage, epoch) for stage in experiment.stage for epoch in range(stage.epochs)]
        stage_labels = {stage: self._labels_of(stage) for stage in experiment.stage}
        self._build()
        done = self._resume()
        for number, (stage, epoch_in_stage) in enumerate(schedule):
            if number < done:
                continue
            if epoch_in_stage == 0:
                self._start_stage(stage)
            self._epoch(number, len(schedule), stage, epoch_in_stage, stage_labels[stage])
            self._save_checkpoint()
        with replacing(folder / "model.keras") as temporary:
            self._save_model(temporary)
        with replacing(folder / "history.csv") as temporary:
            pd.DataFrame(self._history).to_csv(temporary, index=False)
        self._write_run()
        self._checkpoint.unlink(missing_ok=True)

    def _labels_of(self, stage: StageSettings) -> pd.Series:
        return stage_rows(
            self._task.catalog, self._training, self._task.experiment.label_rule, stage.min_size, self._settings.below
        )

    def _build(self) -> None:
        import keras

        experiment = self._task.experiment
        keras.utils.set_random_seed(_seed(experiment.seed, self._task.fold, 0))
        settings = experiment.model
        self._model = build_model(
            settings.name,
            experiment.pixels.side,
            channel_count(experiment.pixels),
            dropout=settings.dropout,
            weights=settings.weights,
            weights_file=settings.weights_file,
        )
        if settings.frozen:
            _, self._model = split_at_head(self._model)

    def _start_stage(self, stage: StageSettings) -> None:
        import keras

        set_trainable(self._model, stage.trainable)
        self._model.compile(
            optimizer=keras.optimizers.AdamW(stage.learning_rate, weight_decay=self._settings.weight_decay),
            loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=self._settings.label_smoothing),
            jit_compile=False,  # XLA is several times slower on the CPU
        )
        self._model.optimizer.build(self._model.trainable_variables)

    def _epoch(self, number: int, total: int, stage: StageSettings, epoch_in_stage: int, labels: pd.Series) -> None:
        started = time.monotonic()
        task, size = self._task, self._settings.batch_size
        order = epoch_order(labels, task.experiment.seed, task.fold, number, self._settings.balance)
        targets = labels.loc[order].to_numpy(dtype=np.float32)[:, None]
        # the order is another one each epoch, so that the odd ones left over are others too
        parts = whole_slices(len(order), size)
        _reseed_dropout(self._model, _seed(task.experiment.seed, task.fold, 1 + number))
        losses = []

        def prepare(part: slice) -> np.ndarray:
            positions = np.arange(part.start, part.stop)
            return self._preparation.augmented(order[part], positions, task.experiment.seed, task.fold, number)

        for step, (part, images) in enumerate(ahead(prepare, parts)):
            progress = (epoch_in_stage + step / len(parts)) / stage.epochs
            self._model.optimizer.learning_rate = _learning_rate(stage, progress)
            self._model.reset_metrics()  # else keras returns the mean of all batches so far
            losses.append(float(self._model.train_on_batch(images, targets[part])))
        self._record(number, total, stage, float(np.mean(losses)), len(order), started)

    def _record(self, number: int, total: int, stage: StageSettings, loss: float, seen: int, started: float) -> None:
        values = logits(
            self._model, self._preparation, self._valid_ids, self._task.experiment.predict.batch_size, False
        )
        valid_auc = auc(self._valid_labels, values)
        seconds = time.monotonic() - started
        self._history.append(
            {
                "epoch": number + 1,
                "min_size": stage.min_size,
                "trainable": stage.trainable,
                "objects": seen,
                "loss": loss,
                "valid_auc": valid_auc,
                "seconds": round(seconds, 2),
            }
        )
        left = (total - number - 1) * seconds
        self._log(
            f"epoch {number + 1:2d}/{total}  lenses > {stage.min_size:3d} px  {stage.trainable:4s}  "
            f"loss {loss:.4f}  valid AUC {valid_auc:.4f}  {seconds:5.1f} s  left {left / 60:4.1f} min"
        )

    @property
    def _checkpoint(self) -> Path:
        return self._task.folder / "checkpoint.npz"

    def _save_checkpoint(self) -> None:
        variables = [*self._model.weights, *self._model.optimizer.variables]
        state = {f"variable_{index}": np.asarray(variable) for index, variable in enumerate(variables)}
        state["history"] = np.array(json.dumps(self._history))
        state["config_hash"] = np.array(self._task.config_hash)
        with replacing(self._checkpoint) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **state)

    def _resume(self) -> int:
        """Load the checkpoint if it belongs to these settings; return the number of epochs it holds."""
        if not self._checkpoint.is_file():
            return 0
        try:
            with np.load(self._checkpoint, allow_pickle=False) as state:
                if str(state["config_hash"]) != self._task.config_hash:
                    raise ValueError("it belongs to other settings")
                self._history = json.loads(str(state["history"]))
                stages = [s for s in self._task.experiment.stage for _ in range(s.epochs)]
                self._start_stage(stages[len(self._history) - 1])
                for index, variable in enumerate([*self._model.weights, *self._model.optimizer.variables]):
                    variable.assign(state[f"variable_{index}"])
        except Exception as error:  # a checkpoint is only a convenience: say so and start over
            self._log(f"checkpoint not used ({error}); starting from the first epoch")
            self._history = []
            self._build()
            return 0
        self._log(f"resuming after epoch {len(self._history)}")
        return len(self._history)

    def _save_model(self, temporary: Path) -> None:
        # keras insists on the suffix
        named = temporary.with_suffix(".tmp.keras")
        self._model.save(named, include_optimizer=False)
        named.replace(temporary)

    def _write_run(self) -> None:
        run = {
            "config_hash": self._task.config_hash,
            "fold": self._task.fold,
            "parameters": int(self._model.count_params()),
            "seconds": round(sum(row["seconds"] for row in self._history), 1),
            "versions": versions(),
        }
        with replacing(self._task.folder / "run.json") as temporary:
            temporary.write_text(json.dumps(run, indent=1) + "\n")


def _learning_rate(stage: StageSettings, progress: float) -> float:
    """Rate at ``progress`` (0 to 1) of a stage: constant, or 5 % linear warm-up then a cosine to a hundredth."""
    if stage.decay == "constant":
        return stage.learning_rate
    warm_up = min(1.0, 0.05 + progress / 0.05)
    return stage.learning_rate * warm_up * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress)))


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence([*words, 0x7261696E]).generate_state(1)[0])


def _reseed_dropout(model: "keras.Model", seed: int) -> None:
    """Give every dropout its state of this epoch: keras does not keep these states in a checkpoint."""
    import keras

    for number, layer in enumerate(model._flatten_layers()):
        generator = getattr(layer, "seed_generator", None)
        if isinstance(layer, keras.layers.Dropout) and generator is not None:
            generator.state.assign(np.array([seed, number], dtype=generator.state.dtype))
