"""How well scores rank lenses above non-lenses: single metrics, and thresholds that come from other folds.

Everywhere ``y`` is labels (0 non-lens, 1 lens) and ``s`` scores (logits; higher is more lens-like), of shape (n,).
An object counts as a lens when ``s >= threshold``, so that equal scores pass together: ties never help.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.errors import InputError
from lensfold.scoring import ranking
from lensfold.scoring.bootstrap import Floats, checked_numbers
from lensfold.scoring.checks import both_classes, checked, checked_probabilities, checked_scores
from lensfold.scoring.curves import Curve, curve
from lensfold.scoring.ranking import Ranking

#: Number of bins of lens size, and of every other quantity that lenses are binned by (their edges: the catalog's).
BIN_COUNT = 6

Threshold = Callable[[ArrayLike, ArrayLike], float]


def auc(y: ArrayLike, s: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a lens scores above a non-lens, ties counting one half.

    Raises InputError for a single class.
    """
    y, s = both_classes(y, s)
    return float(Ranking.of(y, s).weighted(np.ones((1, len(y)))).auc()[0])


def average_precision(y: ArrayLike, s: ArrayLike) -> float:
    """Return the sum over cuts of recall gained x precision, as in scikit-learn. InputError for a single class."""
    return float(ranking.average_precision(*_counts(y, s))[0])


def one_minus_f_beta(y: ArrayLike, s: ArrayLike, beta_squared: float = CHALLENGE_BETA_SQUARED) -> float:
    """Return 1 - F_beta at its best threshold, an optimistic bound: (b FN + FP) / ((1 + b) TP + b FN + FP).

    Raises InputError for a single class.
    """
    return float(ranking.best_f_beta_loss(*_counts(y, s), beta_squared)[0])


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Return the mean of (p - y)² for probabilities ``p`` (Brier 1950); InputError outside [0, 1]."""
    y, p = checked(y, p)
    return float(np.mean((checked_probabilities(p) - y) ** 2))


def best_f1_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Return the threshold with the highest F1 over all cuts, exact, O(n log n); the highest such where several are.

    It lies half-way between the scores on both sides of the cut (at the lowest score where all pass).
    Raises InputError without a lens.
    """
    return best_f_beta_threshold(y, s, 1.0)


def best_f_beta_threshold(y: ArrayLike, s: ArrayLike, beta_squared: float) -> float:
    """Return the threshold with the highest F_beta, chosen and placed as by `best_f1_threshold`."""
    y, s = checked(y, s)
    if not y.any():
        raise InputError(f"no lens among {len(y)} objects: no threshold has a best F score.")
    cuts = curve(y, s)
    return _placed(cuts, int(np.argmin(ranking.f_beta_loss(cuts.true, cuts.false, cuts.true[-1], beta_squared))))


def roc_corner_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Return the threshold whose ROC point is nearest to (0, 1); the highest such where several are, placed half-way.

    The reading of F_beta in the winning group's code takes it. Raises InputError for a single class.
    """
    cuts = curve(*both_classes(y, s))
    # the nearest of whole counts, so that rounding never chooses among equals
    distance = (cuts.false * cuts.lenses) ** 2 + ((cuts.lenses - cuts.true) * cuts.others) ** 2
    return _placed(cuts, int(np.argmin(distance)))


def best_accuracy_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Return the threshold with the most right decisions; the highest such where several are, placed half-way.

    Where rejecting all is best it lies above every score. Raises InputError for a single class.
    """
    cuts = curve(*both_classes(y, s))
    right = cuts.true - cuts.false
    if right.max() <= 0:
        return float(np.nextafter(cuts.threshold[0], np.inf))
    return _placed(cuts, int(np.argmax(right)))


def _placed(cuts: Curve, best: int) -> float:
    """A threshold that the scores of cut number ``best`` and of all before it pass."""
    upper, lower = np.append(cuts.threshold, -np.inf)[best : best + 2]
    between = 0.5 * upper + 0.5 * lower
    # Nothing lies between neighbouring floats, and nothing below the lowest score.
    return float(between if lower < between <= upper else upper)


def cross_fitted_thresholds(
    y: ArrayLike, s: ArrayLike, fold: ArrayLike, choose: Threshold = best_f1_threshold
) -> dict[int, float]:
    """Return for each fold the threshold that ``choose`` (best F1 by default) finds on all **other** folds.

    Raises InputError for a single fold, and what ``choose`` raises.
    """
    y, s = checked(y, s)
    fold = checked_numbers("fold", fold, len(y))
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise InputError(f"one fold only ({numbers[0]}): a threshold must come from other folds than its own.")
    return {int(j): choose(y[fold != j], s[fold != j]) for j in numbers}


def cross_fitted_decisions(
    y: ArrayLike, s: ArrayLike, fold: ArrayLike, choose: Threshold = best_f1_threshold
) -> NDArray[np.bool_]:
    """Return True, shape (n,), where the score passes the threshold chosen on the other folds.

    Raises InputError as `cross_fitted_thresholds` does.
    """
    thresholds = cross_fitted_thresholds(y, s, fold, choose)
    fold = np.asarray(fold)
    decided = np.zeros(len(fold), dtype=bool)
    for number, threshold in thresholds.items():
        rows = fold == number
        decided[rows] = np.asarray(s, dtype=np.float64)[rows] >= threshold
    return decided


def cross_fitting_parts(
    y: Floats, fold: NDArray[np.int64], seed: int = 0
) -> tuple[NDArray[np.int64] | None, str | None]:
    """Return parts of which each takes what is chosen from the others, and their description.

    They are the folds; of a single fold its two halves, drawn by ``seed`` within each class. None and None where the
    other parts of one have a single class.
    """
    parts, chosen_from = fold, "other folds"
    if len(np.unique(fold)) < 2:
        parts, chosen_from = np.empty(len(y), dtype=np.int64), "the other half of the only fold"
        generator = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        for label in (0, 1):
            rows = generator.permutation(np.flatnonzero(y == label))
            parts[rows] = np.arange(len(rows)) % 2
    elsewhere = [set(y[parts != j]) for j in np.unique(parts)]
    return (parts, chosen_from) if all(len(classes) == 2 for classes in elsewhere) else (None, None)


def fold_ranks(s: ArrayLike, fold: ArrayLike) -> Floats:
    """Return the rank of each score within its fold, (rank - 1/2) / objects in the fold, in (0, 1); ties share a mean.

    Folds differ in logit scale, ranks do not. float64 of shape (n,).
    """
    from scipy.stats import rankdata  # a second to import, which most commands can do without

    s = checked_scores(s)
    fold = checked_numbers("fold", fold, len(s))
    ranks = np.empty(len(s))
    for number in np.unique(fold):
        rows = fold == number
        ranks[rows] = (rankdata(s[rows]) - 0.5) / rows.sum()
    return ranks


def _counts(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    """True and false positives at each cut that ends with a lens, shape (1, cuts), for data in any order, checked."""
    y, s = both_classes(y, s)
    return Ranking.of(y, s).weighted(np.ones((1, len(y)))).counts()
