"""How well scores rank lenses above non-lenses: single metrics, and thresholds that come from other folds.

Everywhere ``y`` holds labels (0 non-lens, 1 lens) and ``s`` scores (logits; higher is more lens-like), of shape (n,).
An object counts as a lens when ``s >= threshold``, so that equal scores pass together: ties never help.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.errors import InputError
from lensfold.scoring import ranking
from lensfold.scoring.bootstrap import Floats, checked_numbers
from lensfold.scoring.ranking import Ranking

#: Number of bins of lens size, and of every other quantity that lenses are binned by (their edges: the catalog's).
BIN_COUNT = 6

Threshold = Callable[[ArrayLike, ArrayLike], float]


def auc(y: ArrayLike, s: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a lens scores above a non-lens, ties counting one half.

    Raises InputError for a single class.
    """
    y, s = both_classes(y, s)
    return float(Ranking.of(y, s).weighted(np.ones((1, len(y)))).auc()[0])


def average_precision(y: ArrayLike, s: ArrayLike) -> float:
    """Sum over cuts of recall gained x precision, as in scikit-learn. InputError for a single class."""
    return float(ranking.average_precision(*_counts(y, s))[0])


def one_minus_f_beta(y: ArrayLike, s: ArrayLike, beta_squared: float = CHALLENGE_BETA_SQUARED) -> float:
    """1 - F_beta at its best threshold, an optimistic bound: (b FN + FP) / ((1 + b) TP + b FN + FP).

    Raises InputError for a single class.
    """
    return float(ranking.best_f_beta_loss(*_counts(y, s), beta_squared)[0])


def f_beta_loss(y: ArrayLike, s: ArrayLike, threshold: float, beta_squared: float = CHALLENGE_BETA_SQUARED) -> float:
    """1 - F_beta at a threshold; 1 without a true positive."""
    y, s = checked(y, s)
    true, false = ranking.decided_counts(y, s >= threshold, np.ones((1, len(y))))
    return float(ranking.f_beta_loss(true, false, y.sum(), beta_squared)[0])


def tpr_at_false_positives(y: ArrayLike, s: ArrayLike, n: int) -> float:
    """Recall with fewer than ``n`` false positives: TPR10 for 10; for 0 (or 1) TPR0, before the first one.

    That is the share of lenses scoring strictly above the n-th highest non-lens; 1.0 where there are fewer
    non-lenses than ``n``. Raises InputError for a single class or a negative ``n``.
    """
    if n < 0:
        raise InputError(f"n = {n} false positives: expected 0 or more.")
    return float(ranking.recall_below(*_counts(y, s), n)[0])


def accuracy(y: ArrayLike, s: ArrayLike, threshold: float) -> float:
    """Share of objects on their side of a threshold."""
    y, s = checked(y, s)
    return float(np.mean((s >= threshold) == (y == 1)))


def f1(y: ArrayLike, s: ArrayLike, threshold: float) -> float:
    """2 TP / (2 TP + FN + FP) at a threshold; 0 without a true positive."""
    return 1 - f_beta_loss(y, s, threshold, 1.0)


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Mean of (p - y)² for probabilities ``p`` (Brier 1950); InputError outside [0, 1]."""
    y, p = checked(y, p)
    return float(np.mean((checked_probabilities(p) - y) ** 2))


def checked_probabilities(p: ArrayLike) -> Floats:
    """``p`` as float64; InputError unless all lie in [0, 1]."""
    p = checked_scores(p)
    wrong = p[(p < 0) | (p > 1)]
    if len(wrong):
        raise InputError(f"{len(wrong)} of {len(p)} probabilities lie outside [0, 1] (first: {wrong[0]:g}).")
    return p


def best_f1_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Threshold with the highest F1 over all cuts, exact, O(n log n); the highest such where several are.

    It lies half-way between the scores on both sides of the cut (at the lowest score where all pass).
    Raises InputError without a lens.
    """
    return best_f_beta_threshold(y, s, 1.0)


def best_f_beta_threshold(y: ArrayLike, s: ArrayLike, beta_squared: float) -> float:
    """Threshold with the highest F_beta, chosen and placed as by `best_f1_threshold`."""
    y, s = checked(y, s)
    if not y.any():
        raise InputError(f"no lens among {len(y)} objects: no threshold has a best F score.")
    values, true, false = _all_cuts(y, s)
    return _placed(values, int(np.argmin(ranking.f_beta_loss(true, false, true[-1], beta_squared))))


def roc_corner_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Threshold whose ROC point is nearest to (0, 1); the highest such where several are, placed half-way.

    The reading of F_beta in the winning group's code takes it. Raises InputError for a single class.
    """
    values, true, false = _all_cuts(*both_classes(y, s))
    # the nearest of whole counts, so that rounding never chooses among equals
    distance = (false * true[-1]) ** 2 + ((true[-1] - true) * false[-1]) ** 2
    return _placed(values, int(np.argmin(distance)))


def best_accuracy_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Threshold with the most right decisions; the highest such where several are, placed half-way.

    Where rejecting all is best it lies above every score. Raises InputError for a single class.
    """
    values, true, false = _all_cuts(*both_classes(y, s))
    right = true - false
    return _placed(values, int(np.argmax(right))) if right.max() > 0 else float(np.nextafter(values[0], np.inf))


def _all_cuts(y: Floats, s: Floats) -> tuple[Floats, Floats, Floats]:
    """Distinct scores, descending, with the true and false positives at each."""
    values, place = np.unique(-s, return_inverse=True)
    true, false = (np.cumsum(np.bincount(place, weights=part, minlength=len(values))) for part in (y, 1 - y))
    return -values, true, false


def _placed(values: Floats, best: int) -> float:
    """A threshold that passes ``values`` (descending) up to number ``best``."""
    upper, lower = np.append(values, -np.inf)[best : best + 2]
    between = 0.5 * upper + 0.5 * lower
    # Nothing lies between neighbouring floats, and nothing below the lowest score.
    return float(between if lower < between <= upper else upper)


def cross_fitted_thresholds(
    y: ArrayLike, s: ArrayLike, fold: ArrayLike, choose: Threshold = best_f1_threshold
) -> dict[int, float]:
    """For each fold the threshold that ``choose`` (best F1 by default) finds on all **other** folds.

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
    """True, shape (n,), where the score passes the threshold chosen on the other folds.

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
    """Parts of which each takes what is chosen from the others, and their description.

    They are the folds; of a single fold its two halves, drawn by ``seed`` within each class. None and None where the
    other parts of one hold a single class.
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
    """Rank of each score within its fold, (rank - 1/2) / objects in the fold, in (0, 1); ties share a mean.

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


def checked(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    """Both as float64; InputError for unequal lengths, scores that are no numbers, labels other than 0 and 1."""
    s = checked_scores(s)
    y = np.asarray(y, dtype=np.float64)
    if y.shape != s.shape:
        raise InputError(f"{y.size} labels for {s.size} scores.")
    if not np.isin(y, (0, 1)).all():
        raise InputError("labels must be 0 or 1; leave dropped objects out first.")
    return y, s


def both_classes(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    """`checked`, and InputError for a single class."""
    y, s = checked(y, s)
    lenses = int(y.sum())
    if lenses in (0, len(y)):
        raise InputError(f"{lenses} lenses and {len(y) - lenses} non-lenses: both classes are needed.")
    return y, s


def checked_scores(s: ArrayLike) -> Floats:
    """``s`` as float64; InputError unless it is a row of at least one finite number."""
    s = np.asarray(s, dtype=np.float64)
    if s.ndim != 1 or s.size == 0:
        raise InputError(f"scores of shape {s.shape}: expected one number per object, at least one.")
    if wrong := int(np.sum(~np.isfinite(s))):
        raise InputError(f"{wrong} of {s.size} scores are NaN or infinite. Was the model trained?")
    return s
