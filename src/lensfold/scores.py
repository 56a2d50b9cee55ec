"""How well scores rank lenses above non-lenses: metrics, honest thresholds, bootstrap intervals.

Everywhere ``y`` holds labels (0 non-lens, 1 lens) and ``s`` scores (logits; higher is more lens-like), of shape (n,).
An object counts as a lens when ``s >= threshold``, so that equal scores pass together: ties never help.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from lensfold.errors import InputError

#: beta squared of the challenge's ranking: one false positive weighs as much as a thousand missed lenses.
CHALLENGE_BETA_SQUARED = 0.001
#: Number of size bins that `score_table` reports (their edges belong to the catalog).
SIZE_BIN_COUNT = 6
#: Limits of the bootstrap interval in per cent: the central 95 %.
INTERVAL = (2.5, 97.5)
# Bootstrap weights held at once: enough to be fast, about 16 MiB an array.
_VALUES_AT_ONCE = 2_000_000

Floats = NDArray[np.float64]
Estimates = dict[str, Floats]


def auc(y: ArrayLike, s: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a lens scores above a non-lens, ties counting one half.

    Raises InputError for a single class.
    """
    return float(_auc(*_counts(y, s))[0])


def average_precision(y: ArrayLike, s: ArrayLike) -> float:
    """Sum over cuts of recall gained x precision, as in scikit-learn. InputError for a single class."""
    return float(_average_precision(*_counts(y, s))[0])


def one_minus_f_beta(y: ArrayLike, s: ArrayLike, beta_squared: float = CHALLENGE_BETA_SQUARED) -> float:
    """1 - F_beta at its best threshold, an optimistic bound: (b FN + FP) / ((1 + b) TP + b FN + FP).

    Computed without the difference, which would lose the digits: F_beta lies between 0.99 and 1.
    Raises InputError for a single class.
    """
    return float(_best_f_beta_loss(*_counts(y, s), beta_squared)[0])


def tpr_at_false_positives(y: ArrayLike, s: ArrayLike, n: int) -> float:
    """Recall with fewer than ``n`` false positives: TPR10 for 10; for 0 (or 1) TPR0, before the first one.

    That is the share of lenses scoring strictly above the n-th highest non-lens; 1.0 where there are fewer
    non-lenses than ``n``. Raises InputError for a single class or a negative ``n``.
    """
    if n < 0:
        raise InputError(f"n = {n} false positives: expected 0 or more.")
    return float(_recall_below(*_counts(y, s), n)[0])


def accuracy(y: ArrayLike, s: ArrayLike, threshold: float) -> float:
    """Share of objects on their side of a threshold."""
    y, s = _checked(y, s)
    return float(np.mean((s >= threshold) == (y == 1)))


def f1(y: ArrayLike, s: ArrayLike, threshold: float) -> float:
    """2 TP / (2 TP + FN + FP) at a threshold; 0 without a true positive."""
    y, s = _checked(y, s)
    return 1 - float(_decided(y, s >= threshold, np.ones((1, len(y))), 1.0)[0][0])


def best_f1_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """Threshold with the highest F1 over all cuts, exact, O(n log n); the highest such where several are.

    It lies half-way between the scores on both sides of the cut (at the lowest score where all pass).
    Raises InputError without a lens.
    """
    return _best_threshold(y, s, 1.0)


def cross_fitted_thresholds(y: ArrayLike, s: ArrayLike, fold: ArrayLike, beta_squared: float = 1.0) -> dict[int, float]:
    """For each fold the threshold with the best F_beta (F1 by default) on all **other** folds.

    Raises InputError for a single fold, and where the other folds of one hold no lens.
    """
    y, s = _checked(y, s)
    fold = checked_numbers("fold", fold, len(y))
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise InputError(f"one fold only ({numbers[0]}): a threshold must come from other folds than its own.")
    return {int(j): _best_threshold(y[fold != j], s[fold != j], beta_squared) for j in numbers}


def cross_fitted_decisions(y: ArrayLike, s: ArrayLike, fold: ArrayLike, beta_squared: float = 1.0) -> NDArray[np.bool_]:
    """True, shape (n,), where the score passes the threshold chosen on the other folds.

    Raises InputError as `cross_fitted_thresholds` does.
    """
    thresholds = cross_fitted_thresholds(y, s, fold, beta_squared)
    fold = np.asarray(fold)
    decided = np.zeros(len(fold), dtype=bool)
    for number, threshold in thresholds.items():
        rows = fold == number
        decided[rows] = np.asarray(s, dtype=np.float64)[rows] >= threshold
    return decided


def fold_ranks(s: ArrayLike, fold: ArrayLike) -> Floats:
    """Rank of each score within its fold, (rank - 1/2) / objects in the fold, in (0, 1); ties share a mean.

    Folds differ in logit scale, ranks do not. float64 of shape (n,).
    """
    s = _checked_scores(s)
    fold = checked_numbers("fold", fold, len(s))
    ranks = np.empty(len(s))
    for number in np.unique(fold):
        rows = fold == number
        ranks[rows] = (rankdata(s[rows]) - 0.5) / rows.sum()
    return ranks


def score_table(
    y: ArrayLike,
    s: ArrayLike,
    fold: ArrayLike,
    sizes: ArrayLike | None = None,
    large: ArrayLike | None = None,
    draws: int = 200,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> dict[str, object]:
    """All scores of one out-of-fold prediction, ready for JSON.

    ``fold``: fold number of each object. ``sizes``: size bin, 0 to SIZE_BIN_COUNT - 1. ``large``: labels of
    the large-lens task, NaN left out. ``groups``: halo numbers, to draw haloes instead of objects.

    A score is ``{"value", "low", "high"}``: the limits are the central 95 % of ``draws`` bootstrap draws
    (within each class, or over groups), None with no draws; all three are None where undefined.
    ``f1``, ``accuracy`` and ``one_minus_f_beta`` use thresholds from other folds (where there is one fold, from the
    other half of it: see ``threshold_from``), held fixed while drawing; ``one_minus_f_beta_best`` is the optimistic
    bound. ``auc_by_size``, a list, sets the lenses of a bin (``n`` of them) against all non-lenses.
    ``mean_fold_auc`` averages the folds that hold both classes.
    Raises InputError for NaN or infinite scores, other labels than 0 and 1, unequal lengths, a single class.
    """
    y, s = _both_classes(y, s)
    table = _Table.of(y, s, fold, sizes, large, groups, seed)
    value = table.estimates(np.ones((1, len(y))))
    drawn = _bootstrap(table, draws, seed)
    score = {name: interval(value[name], drawn.get(name)) for name in value}
    in_bin = [int(np.sum((table.y == 1) & (table.sizes == i))) for i in range(SIZE_BIN_COUNT)]
    bins = [{"bin": i, "n": n, **score.pop(f"auc size {i}")} for i, n in enumerate(in_bin)]
    large_counts = {"n": int(np.sum(np.isfinite(table.large))), "n_lenses": int(np.sum(table.large == 1))}
    large_task = {**large_counts, **score.pop("auc_large")}
    return {
        "n": len(y),
        "n_lenses": int(y.sum()),
        "folds": [int(number) for number in np.unique(table.fold)],
        "threshold_from": table.threshold_from,
        "bootstrap": {"draws": draws, "seed": seed, "over": "objects" if groups is None else "groups"},
        **score,
        "auc_by_size": None if sizes is None else bins,
        "auc_large": None if large is None else large_task,
    }


@dataclass(frozen=True)
class _Table:
    """Everything `score_table` estimates from, in descending order of score."""

    y: Floats
    s: Floats
    fold: NDArray[np.int64]
    sizes: NDArray[np.int64]
    large: Floats
    groups: NDArray[np.int64] | None
    decided: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None
    threshold_from: str | None

    @classmethod
    def of(cls, y, s, fold, sizes, large, groups, seed) -> "_Table":
        n = len(y)
        order = np.argsort(-s, kind="stable")
        y, s = y[order], s[order]
        fold = checked_numbers("fold", fold, n)[order]
        sizes = checked_numbers("sizes", np.full(n, -1) if sizes is None else sizes, n)
        if groups is not None:
            groups = np.unique(checked_numbers("groups", groups, n)[order], return_inverse=True)[1]
        large = _checked_large(np.full(n, np.nan) if large is None else large, n)
        parts, threshold_from = _threshold_parts(y, fold, seed)
        decided = None
        if parts is not None:
            decided = tuple(cross_fitted_decisions(y, s, parts, b) for b in (1.0, CHALLENGE_BETA_SQUARED))
        return cls(y, s, fold, sizes[order], large[order], groups, decided, threshold_from)

    def estimates(self, weights: Floats) -> Estimates:
        """Every score for every draw, each of shape (draws,), NaN where a draw leaves it undefined."""
        true, false = _sorted_counts(self.y, self.s, weights)
        fold_auc = [self._auc(weights, self.fold == j, self.y) for j in np.unique(self.fold)]
        f1_loss = correct = f_beta_loss = np.full(len(weights), np.nan)
        if self.decided is not None:
            f1_loss, correct = _decided(self.y, self.decided[0], weights, 1.0)
            f_beta_loss = _decided(self.y, self.decided[1], weights, CHALLENGE_BETA_SQUARED)[0]
        return {
            "auc": _auc(true, false),
            "mean_fold_auc": ratio(np.nansum(fold_auc, axis=0), np.isfinite(fold_auc).sum(axis=0)),
            "f1": 1 - f1_loss,
            "accuracy": correct,
            "average_precision": _average_precision(true, false),
            "one_minus_f_beta": f_beta_loss,
            "one_minus_f_beta_best": _best_f_beta_loss(true, false, CHALLENGE_BETA_SQUARED),
            "tpr0": _recall_below(true, false, 0),
            "tpr10": _recall_below(true, false, 10),
            **self._by_size(weights, false),
            "auc_large": self._auc(weights, np.isfinite(self.large), self.large),
        }

    def _auc(self, weights: Floats, rows: NDArray[np.bool_], y: Floats) -> Floats:
        """AUC of some rows under labels ``y``, shape (draws,)."""
        if not rows.any():
            return np.full(len(weights), np.nan)
        return _auc(*_sorted_counts(y[rows], self.s[rows], weights[:, rows]))

    def _by_size(self, weights: Floats, false: Floats) -> Estimates:
        """AUC of the lenses of each size bin: the mean share of non-lenses that one of them outscores."""
        cut = np.searchsorted(_cut_ends(self.s), np.arange(len(self.s)))
        outscored = weights * ratio(_outscored(false), false[:, -1:])[:, cut]
        bins = [np.flatnonzero((self.sizes == i) & (self.y == 1)) for i in range(SIZE_BIN_COUNT)]
        return {
            f"auc size {i}": ratio(outscored[:, rows].sum(axis=1), weights[:, rows].sum(axis=1))
            for i, rows in enumerate(bins)
        }


def _counts(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    """True and false positives at each cut, shape (1, cuts), for data in any order, checked."""
    y, s = _both_classes(y, s)
    order = np.argsort(-s, kind="stable")
    return _sorted_counts(y[order], s[order], np.ones((1, len(y))))


def _cut_ends(s: Floats) -> NDArray[np.int64]:
    """Last row of each distinct score, the cuts being there; ``s`` is in descending order from here on."""
    return np.flatnonzero(np.append(s[1:] != s[:-1], True))


def _sorted_counts(y: Floats, s: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """True and false positives at each cut, shape (draws, cuts), for weights of shape (draws, n)."""
    ends = _cut_ends(s)
    true, false = (np.cumsum(weights * one, axis=1)[:, ends] for one in (y, 1 - y))
    return true, false


def _outscored(false: Floats) -> Floats:
    """Non-lenses that the rows of each cut outscore, ties one half, shape (draws, cuts)."""
    return false[:, -1:] - false + 0.5 * np.diff(false, axis=1, prepend=0.0)


def _auc(true: Floats, false: Floats) -> Floats:
    pairs = np.sum(np.diff(true, axis=1, prepend=0.0) * _outscored(false), axis=1)
    return ratio(pairs, true[:, -1] * false[:, -1])


def _average_precision(true: Floats, false: Floats) -> Floats:
    gained = np.diff(true, axis=1, prepend=0.0)
    # A cut at which a draw has no object yet gains nothing: its undefined precision counts 0.
    precision = np.nan_to_num(ratio(true, true + false))
    return ratio(np.sum(gained * precision, axis=1), true[:, -1])


def _f_beta_loss(true: Floats, false: Floats, lenses: Floats, beta_squared: float) -> Floats:
    """1 - F_beta; 1 without a true positive."""
    loss = beta_squared * (lenses - true) + false
    return np.where(true > 0, ratio(loss, (1 + beta_squared) * true + loss), 1.0)


def _best_f_beta_loss(true: Floats, false: Floats, beta_squared: float) -> Floats:
    return _f_beta_loss(true, false, true[:, -1:], beta_squared).min(axis=1)


def _recall_below(true: Floats, false: Floats, n: int) -> Floats:
    """Recall at the last cut with fewer than ``n`` (at least one) false positives."""
    allowed = np.where(false < max(n, 1), true, 0.0)
    return ratio(allowed.max(axis=1), true[:, -1])


def _decided(y: Floats, decided: NDArray[np.bool_], weights: Floats, beta_squared: float) -> tuple[Floats, Floats]:
    """1 - F_beta and accuracy of fixed decisions, each of shape (draws,)."""
    true = weights @ (y * decided)
    false = weights @ ((1 - y) * decided)
    lenses, total = weights @ y, weights.sum(axis=1)
    return _f_beta_loss(true, false, lenses, beta_squared), (true + total - lenses - false) / total


def _best_threshold(y: ArrayLike, s: ArrayLike, beta_squared: float) -> float:
    y, s = _checked(y, s)
    if not y.any():
        raise InputError(f"no lens among {len(y)} objects: no threshold has a best F score.")
    order = np.argsort(-s, kind="stable")
    true, false = _sorted_counts(y[order], s[order], np.ones((1, len(y))))
    best = int(np.argmin(_f_beta_loss(true, false, true[:, -1:], beta_squared)[0]))
    upper, lower = np.append(np.unique(s)[::-1], -np.inf)[best : best + 2]
    between = 0.5 * upper + 0.5 * lower
    # Nothing lies between neighbouring floats, and nothing below the lowest score.
    return float(between if lower < between <= upper else upper)


def _threshold_parts(y: Floats, fold: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64] | None, str | None]:
    """Parts of which each takes its threshold from the others, and their description; None if impossible."""
    parts, threshold_from = fold, "other folds"
    if len(np.unique(fold)) < 2:
        parts, threshold_from = np.empty(len(y), dtype=np.int64), "the other half of the only fold"
        generator = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        for label in (0, 1):
            rows = generator.permutation(np.flatnonzero(y == label))
            parts[rows] = np.arange(len(rows)) % 2
    possible = all(y[parts != j].any() for j in np.unique(parts))
    return (parts, threshold_from) if possible else (None, None)


def _bootstrap(table: _Table, draws: int, seed: int) -> Estimates:
    if draws < 1:
        return {}
    # One generator a class, so that the draws do not depend on how many are held at once.
    generators = [np.random.default_rng(np.random.SeedSequence([seed, 0, label])) for label in (0, 1)]
    at_once = max(1, _VALUES_AT_ONCE // len(table.y))
    sizes = [min(at_once, draws - start) for start in range(0, draws, at_once)]
    parts = [table.estimates(_draw_weights(table, size, generators)) for size in sizes]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _draw_weights(table: _Table, draws: int, generators: list[np.random.Generator]) -> Floats:
    """How often each object is drawn, shape (draws, n)."""
    grouped = table.groups is not None
    n = int(table.groups.max()) + 1 if grouped else len(table.y)
    weights = np.zeros(draws * n)
    strata = [np.arange(n)] if grouped else [np.flatnonzero(table.y == label) for label in (0, 1)]
    for members, generator in zip(strata, generators, strict=False):
        drawn = members[generator.integers(0, len(members), size=(draws, len(members)))]
        weights += np.bincount((drawn + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n)
    weights = weights.reshape(draws, n)
    return weights[:, table.groups] if grouped else weights


def interval(value: Floats, drawn: Floats | None) -> dict[str, float | None]:
    """``value`` (shape (1,)) with the INTERVAL of ``drawn`` (shape (draws,)), ready for JSON; None for NaN."""
    if np.isnan(value[0]):
        return {"value": None, "low": None, "high": None}
    defined = np.empty(0) if drawn is None else drawn[np.isfinite(drawn)]
    low, high = np.percentile(defined, INTERVAL).tolist() if len(defined) else (None, None)
    return {"value": float(value[0]), "low": low, "high": high}


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where ``below`` is 0."""
    result = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    return np.divide(above, below, out=result, where=np.broadcast_to(below, result.shape) != 0)


def _checked(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    s = _checked_scores(s)
    y = np.asarray(y, dtype=np.float64)
    if y.shape != s.shape:
        raise InputError(f"{y.size} labels for {s.size} scores.")
    if not np.isin(y, (0, 1)).all():
        raise InputError("labels must be 0 or 1; leave dropped objects out first.")
    return y, s


def _both_classes(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    y, s = _checked(y, s)
    lenses = int(y.sum())
    if lenses in (0, len(y)):
        raise InputError(f"{lenses} lenses and {len(y) - lenses} non-lenses: both classes are needed.")
    return y, s


def _checked_scores(s: ArrayLike) -> Floats:
    s = np.asarray(s, dtype=np.float64)
    if s.ndim != 1 or s.size == 0:
        raise InputError(f"scores of shape {s.shape}: expected one number per object, at least one.")
    if wrong := int(np.sum(~np.isfinite(s))):
        raise InputError(f"{wrong} of {s.size} scores are NaN or infinite. Was the model trained?")
    return s


def checked_numbers(name: str, numbers: ArrayLike, n: int) -> NDArray[np.int64]:
    """``numbers`` as int64; InputError, calling them ``name``, unless they are ``n`` whole numbers."""
    values = np.asarray(numbers)
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and np.all(values == np.floor(values)))
    if values.shape != (n,) or not whole:
        raise InputError(f"{name} of shape {values.shape}, dtype {values.dtype}: expected {n} whole numbers.")
    return values.astype(np.int64)


def _checked_large(large: ArrayLike, n: int) -> Floats:
    values = np.asarray(large, dtype=np.float64)
    if values.shape != (n,) or not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise InputError(f"large of shape {values.shape}: expected {n} labels, each 0, 1 or NaN.")
    return values
