"""What each epoch of a fold shows: which objects, in which order, and what is to be learned of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lensfold.config import Experiment, StageSettings
from lensfold.data import catalog as catalogs
from lensfold.inputs.augment import zooms
from lensfold.training.curriculum import class_weights, epoch_order, stage_labels, with_twins
from lensfold.training.task import FoldTask

#: keeps this choice's random numbers apart from others of the same seed
TWINS_PURPOSE = 0x7477696E
#: what an epoch's line calls its validation score: out of fold, the logits of eight views are averaged
SCORE_LABELS = {"valid_auc": "AUC (one view)", "valid_mse": "MSE (one view)"}


@dataclass(frozen=True)
class Epoch:
    """What an epoch shows: IDs in order (negative for a twin), what to learn of each, and its weight if any.

    ``targets``: float32, shape (n, 1); ``weights``: float64, shape (n,).
    """

    ids: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None


class Epochs:
    """The epochs of one fold; each depends on nothing but the task and its number."""

    def __init__(self, task: FoldTask, training: np.ndarray, twin_ids: np.ndarray):
        """``training``: IDs to train on; ``twin_ids``: those of all objects that have a twin."""
        self._task = task
        self._training = training
        self._twin_ids = twin_ids
        self._targets = targets_of(task.catalog, task.experiment)
        self._weights = catalogs.loss_weights(task.catalog, training)

    @property
    def mean_target(self) -> float:
        """The mean of what is to be learned of the training objects."""
        return float(self._targets.reindex(self._training).mean())

    def known(self, ids: np.ndarray) -> pd.Series:
        """Return the targets of ``ids``, float64 by ID, without those that have none."""
        return self._targets.reindex(ids).dropna()

    def labels_of(self, stage: StageSettings) -> pd.Series:
        """Return the labels of a stage by ID; of the Einstein radius only lenses whose radius is known."""
        experiment = self._task.experiment
        labels = stage_labels(self._task.catalog, self._training, experiment.label_rule, stage, experiment.train.below)
        if experiment.task == "lens":
            return labels
        return labels[(labels == 1) & self._targets.reindex(labels.index).notna()]

    def epoch(self, labels: pd.Series, number: int) -> Epoch:
        """Return what epoch ``number`` (from 0) shows of a stage's ``labels``, in an order of its own."""
        experiment, fold = self._task.experiment, self._task.fold
        if experiment.task == "einstein-radius":
            order = epoch_order(labels, experiment.seed, fold, number, "none")
            targets = self._targets.loc[order].to_numpy() + self._log_zooms(len(order), number)
            return Epoch(order, targets[:, None].astype(np.float32), None)
        order = epoch_order(labels, experiment.seed, fold, number, experiment.train.balance)
        shown, ids = labels.loc[order].to_numpy(), order
        if experiment.train.twins:
            order, is_twin, shown = with_twins(order, labels, self._twins(number))
            order, ids = np.where(is_twin, -order, order), order
        targets = catalogs.taught(self._task.catalog, pd.Series(shown, ids)).to_numpy()
        return Epoch(order, targets[:, None].astype(np.float32), self._weights_of(ids, shown))

    def _weights_of(self, ids: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return the weights of objects with these labels in the loss: of their classes, times the user's own."""
        balanced = self._task.experiment.train.balance == "weights"
        weights = class_weights(labels)[labels.astype(int)] if balanced else None
        if self._weights is None:
            return weights
        own = self._weights.loc[ids].to_numpy()
        return own if weights is None else own * weights

    def _log_zooms(self, count: int, number: int) -> np.ndarray:
        """Return by how much augmentation adds to log theta_E of the images of epoch ``number``; float64, (n,)."""
        experiment = self._task.experiment
        if experiment.learner.sees_features:  # features are of images that are not augmented
            return np.zeros(count)
        return np.log(zooms(experiment.augment, count, experiment.seed, self._task.fold, number))

    def _twins(self, number: int) -> np.ndarray:
        """Return the IDs whose twins epoch ``number`` shows, drawn anew for each epoch."""
        experiment = self._task.experiment
        generator = np.random.default_rng([experiment.seed, self._task.fold, number, TWINS_PURPOSE])
        return generator.permutation(self._twin_ids)[: round(experiment.train.twins * len(self._twin_ids))]


def targets_of(catalog: pd.DataFrame, experiment: Experiment) -> pd.Series:
    """Return what a network learns of each object, float64 by ID; NaN where there is nothing to learn."""
    labels = catalogs.labels(catalog, experiment.label_rule)
    if experiment.task == "lens":
        return labels
    return catalogs.log_einstein_radius(catalog).where(labels == 1)


def validation_text(name: str, score: float) -> str:
    """Return an epoch's score on the held-out fold as its line shows it; NaN where nothing is held out."""
    return "nothing held out" if np.isnan(score) else f"{SCORE_LABELS[name]} {score:.4f}"
