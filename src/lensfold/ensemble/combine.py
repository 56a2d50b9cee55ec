"""How members become one score: fixed means, or weights that are learnt, judged by nested cross-validation.

``logits`` have one column a member, shape (n, m); ``y`` labels, shape (n,): 1 lens, 0 non-lens, NaN dropped by the
label rule (learnt nothing from, but scored). Whatever is learnt for the objects of a fold, weights and calibration, is
learnt only from the other folds; for the test split it is learnt from all.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from lensfold.errors import InputError
from lensfold.scoring import metrics as scores
from lensfold.scoring.bootstrap import Floats
from lensfold.scoring.calibration import Calibration, CalibrationMethod, fit_calibration, fit_logistic
from lensfold.scoring.checks import both_classes

Combination = Literal["logit-mean", "rank-mean", "stacking", "greedy"]
Criterion = Literal["auc", "average-precision", "one-minus-f-beta"]

#: Combinations that learn their weights.
LEARNT = ("stacking", "greedy")
#: Members that greedy selection takes at most, one at a time and with replacement.
GREEDY_ROUNDS = 20

_CRITERIA = {
    "auc": scores.auc,
    "average-precision": scores.average_precision,
    "one-minus-f-beta": lambda y, s: -scores.one_minus_f_beta(y, s),
}


@dataclass(frozen=True)
class Recipe:
    """What a person chooses: how members combine, their weights where these are not learnt, and the calibration."""

    how: Combination
    weights: tuple[float, ...]
    calibrate: CalibrationMethod = "none"
    select_by: Criterion = "auc"

    @property
    def learns(self) -> bool:
        """Whether labels are needed."""
        return self.how in LEARNT or self.calibrate != "none"


@dataclass(frozen=True)
class Combiner:
    """A recipe with everything that was learnt for it."""

    how: Combination
    weights: tuple[float, ...]
    offset: float = 0.0
    calibration: Calibration = Calibration()

    def apply(self, logits: Floats, fold: NDArray[np.int64] | None = None) -> Floats:
        """One calibrated logit an object, shape (n,). Ranks are taken within each fold (all in one by default)."""
        return self.calibration.apply(self.combined(logits, fold))

    def combined(self, logits: Floats, fold: NDArray[np.int64] | None = None) -> Floats:
        """One logit an object before calibration, shape (n,)."""
        weights = np.array(self.weights)
        if self.how == "rank-mean":
            fold = np.zeros(len(logits), dtype=np.int64) if fold is None else fold
            ranks = np.stack([scores.fold_ranks(column, fold) for column in logits.T], axis=1)
            return logit(np.average(ranks, axis=1, weights=weights))
        if self.how == "stacking":
            return logits @ weights + self.offset
        return np.average(logits, axis=1, weights=weights)

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights with sum 1."""
        return tuple(weight / sum(self.weights) for weight in self.weights)


def fit_combiner(recipe: Recipe, y: Floats, logits: Floats, fold: NDArray[np.int64]) -> Combiner:
    """Return what a recipe learns from these objects; only ranks use ``fold``. Raises InputError for one class."""
    kept = ~np.isnan(y)
    y, logits, fold = y[kept], logits[kept], fold[kept]
    if recipe.how == "stacking":
        weights, offset = stacking_weights(y, logits)
        combiner = Combiner(recipe.how, tuple(weights.tolist()), offset)
    elif recipe.how == "greedy":
        combiner = Combiner(recipe.how, tuple(greedy_weights(y, logits, recipe.select_by).tolist()))
    else:
        combiner = Combiner(recipe.how, recipe.weights)
    if recipe.calibrate == "none":
        return combiner
    calibration = fit_calibration(recipe.calibrate, y, combiner.combined(logits, fold))
    return Combiner(combiner.how, combiner.weights, combiner.offset, calibration)


def stacking_weights(y: Floats, logits: Floats) -> tuple[Floats, float]:
    """Non-negative weights (m,) and offset of the logistic regression on the members' logits (Breiman 1996).

    With the penalty of scikit-learn's C = 1 on logits of unit standard deviation, which matters for small or separable
    data only. Where no member ranks lenses above non-lenses (of a few objects by chance) all weights
    would be 0, and an ensemble of nothing: the members then count alike. Raises InputError for a single class.
    """
    both_classes(y, logits[:, 0])
    weights, offset = fit_logistic(logits, y, penalty=1 / len(y), least=0.0)
    if not weights.any():
        return equal_weights(logits.shape[1]), 0.0
    return weights, offset


def equal_weights(count: int) -> Floats:
    """What stacking falls back to: weights (count,) of sum 1."""
    return np.full(count, 1 / count)


def greedy_weights(y: Floats, logits: Floats, select_by: Criterion = "auc", rounds: int = GREEDY_ROUNDS) -> Floats:
    """Weights (m,), of sum 1, by greedy selection with replacement (Caruana et al. 2004).

    Starting from nothing, the member whose logits improve the mean most is added again and again, ``rounds`` times;
    the best mean on the way counts (the shortest, and the first member, of equals). Raises InputError for one class.
    """
    score, count = _CRITERIA[select_by], np.zeros(logits.shape[1])
    total, best, chosen = np.zeros(len(y)), -np.inf, count
    for size in range(1, rounds + 1):
        values = [score(y, (total + column) / size) for column in logits.T]
        member = int(np.argmax(values))
        count[member] += 1
        total = total + logits[:, member]
        if values[member] > best:
            best, chosen = values[member], count.copy()
    return chosen / chosen.sum()


@dataclass(frozen=True)
class Nested:
    """Out-of-fold scores of an ensemble, each from a combiner that never saw the labels of its fold."""

    logits: Floats
    uncalibrated: Floats
    by_part: dict[int, Combiner]
    learnt_from: str


def nested(recipe: Recipe, y: Floats, logits: Floats, fold: NDArray[np.int64]) -> Nested:
    """Learn a recipe for each fold from the other folds, and apply it there.

    Of a single fold the two halves take turns. A recipe that learns nothing is applied as it is.
    Raises InputError where the other folds of one have a single class.
    """
    if not recipe.learns:
        combiner = Combiner(recipe.how, recipe.weights)
        values = combiner.apply(logits, fold)
        return Nested(values, values, {}, "nothing")
    kept = ~np.isnan(y)
    parts = np.full(len(y), -1)
    own, learnt_from = scores.cross_fitting_parts(y[kept], fold[kept])
    if own is None or learnt_from is None:
        raise InputError(
            f"{int(kept.sum())} labelled objects in {len(np.unique(fold))} folds are too few to learn weights or a "
            'calibration: both classes are needed outside each fold. Choose "logit-mean" without calibration.'
        )
    parts[kept] = own
    parts[~kept] = fold[~kept] if learnt_from == "other folds" else own[0]  # in any part: nothing is learnt from them
    values, uncalibrated, by_part = np.empty(len(y)), np.empty(len(y)), {}
    for number in np.unique(parts).tolist():
        rows = parts == number
        by_part[number] = fit_combiner(recipe, y[~rows], logits[~rows], fold[~rows])
        values[rows] = by_part[number].apply(logits[rows], fold[rows])
        uncalibrated[rows] = by_part[number].combined(logits[rows], fold[rows])
    return Nested(values, uncalibrated, by_part, learnt_from)
