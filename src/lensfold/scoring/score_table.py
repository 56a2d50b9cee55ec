"""The scores of one prediction and the difference between two, each with its bootstrap interval, ready for JSON.

Everywhere ``y`` is labels (0 non-lens, 1 lens) and ``s`` scores, of shape (n,), as in `lensfold.scoring.metrics`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.errors import InputError
from lensfold.scoring import ranking
from lensfold.scoring.bootstrap import (
    DRAWS,
    Estimates,
    Floats,
    checked_numbers,
    difference,
    drawn_estimates,
    interval,
    ratio,
)
from lensfold.scoring.checks import both_classes, checked_probabilities
from lensfold.scoring.metrics import (
    BIN_COUNT,
    Threshold,
    best_f_beta_threshold,
    cross_fitted_decisions,
    cross_fitting_parts,
    roc_corner_threshold,
)
from lensfold.scoring.ranking import Ranking

Bins = Mapping[str, ArrayLike]


def score_table(
    y: ArrayLike,
    s: ArrayLike,
    fold: ArrayLike,
    bins: Bins | None = None,
    large: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    groups: ArrayLike | None = None,
    beta_squared: float = CHALLENGE_BETA_SQUARED,
    probabilities: bool = False,
) -> dict[str, object]:
    """Return all scores of one out-of-fold prediction, ready for JSON.

    ``fold``: fold number of each object. ``bins``: by name ("size", ...) the bin of each object, 0 to BIN_COUNT - 1,
    -1 for none. ``large``: labels of the large-lens task, NaN left out. ``groups``: halo numbers, to draw haloes
    instead of objects. ``probabilities``: ``s`` is probabilities, not logits.

    A score is ``{"value", "low", "high"}``: the limits are the central 95 % of ``draws`` bootstrap draws
    (within each class, or over groups), None with no draws; all three are None where undefined.
    ``f1``, ``accuracy``, ``recall`` and ``one_minus_f_beta`` use the thresholds with the best F1 or F_beta on other
    folds (where there is one fold, on its other half: see ``threshold_from``), held fixed while drawing. The readings
    of F_beta in use: ``one_minus_f_beta_best``, the best threshold of the same objects, an optimistic bound;
    ``…_corner``, the threshold of other folds whose ROC point is nearest to (0, 1); ``…_half``, 0.5 on the probability.
    ``auc_by_<name>``, a list, sets the lenses of a bin (``n`` of them) against all non-lenses, with the ``recall`` of
    the bin. ``mean_fold_auc`` averages the folds with both classes.
    Raises InputError for NaN or infinite scores, other labels than 0 and 1, unequal lengths, a single class,
    probabilities outside [0, 1].
    """
    y, s = both_classes(y, s)
    order = np.argsort(-s, kind="stable")  # so that the order of the rows does not matter
    task = ScoredObjects.of(y, bins, large, groups, order)
    fold = checked_numbers("fold", fold, len(y))[order]
    prediction = RankedPrediction.of(task, s[order], fold, seed, beta_squared, probabilities)
    value = prediction.estimates(np.ones((1, len(y))))
    drawn = task.draw(prediction.estimates, draws, seed)
    return {
        "n": len(y),
        "n_lenses": int(y.sum()),
        "folds": np.unique(prediction.fold).tolist(),
        "threshold_from": prediction.threshold_from,
        "beta_squared": beta_squared,
        "bootstrap": {"draws": draws, "seed": seed, "over": "objects" if groups is None else "haloes"},
        **task.packed({name: interval(value[name], drawn.get(name)) for name in value}),
    }


def auc_over_objects(y: ArrayLike, s: ArrayLike, draws: int = DRAWS, seed: int = 0) -> dict[str, float | None]:
    """Return the AUC as `score_table` does without groups, on the same draws of objects, and nothing else.

    Raises InputError as `score_table` does.
    """
    y, s = both_classes(y, s)
    order = np.argsort(-s, kind="stable")
    task = ScoredObjects.of(y, None, None, None, order)
    ranked = Ranking.of(task.y, s[order])

    def estimates(weights: Floats) -> Estimates:
        return {"auc": ranked.weighted(weights).auc()}

    value = estimates(np.ones((1, len(y))))["auc"]
    return interval(value, task.draw(estimates, draws, seed).get("auc"))


def paired_auc(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> dict[str, float | None]:
    """Return second minus first in the AUC, and both, as `paired_table` does on the same draws, and nothing else.

    Raises InputError as `score_table` does.
    """
    task = ScoredObjects.of(both_classes(y, first)[0], None, None, groups, np.arange(np.size(y)))
    both = [Ranking.of(task.y, both_classes(y, s)[1]) for s in (first, second)]

    def estimates(weights: Floats) -> Estimates:
        of_first, of_second = (ranked.weighted(weights).auc() for ranked in both)
        return {"auc": of_second - of_first}

    one, two = (ranked.weighted(np.ones((1, len(task.y)))).auc() for ranked in both)
    drawn = task.draw(estimates, draws, seed).get("auc")
    return {"first": float(one[0]), "second": float(two[0]), **difference(two - one, drawn)}


def paired_table(
    y: ArrayLike,
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    bins: Bins | None = None,
    large: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    groups: ArrayLike | None = None,
    beta_squared: float = CHALLENGE_BETA_SQUARED,
) -> dict[str, object]:
    """Return second minus first in every score of `score_table`: two predictions (scores, folds) of the same objects.

    Each score is the difference, ``{"value", "low", "high", "error", "above"}`` of `bootstrap.difference`, over draws
    that both share, with both scores themselves as ``first`` and ``second``. The folds may differ.
    Raises InputError as `score_table` does.
    """
    task = ScoredObjects.of(both_classes(y, first[0])[0], bins, large, groups, np.arange(np.size(y)))
    both = []
    for s, fold in (first, second):
        s = both_classes(y, s)[1]
        both.append(RankedPrediction.of(task, s, fold, seed, beta_squared, False))

    def estimates(weights: Floats) -> Estimates:
        of_first, of_second = (prediction.estimates(weights) for prediction in both)
        return {name: of_second[name] - of_first[name] for name in of_first}

    ones = np.ones((1, len(task.y)))
    values = [prediction.estimates(ones) for prediction in both]
    drawn = task.draw(estimates, draws, seed)
    differences = {}
    for name in values[0]:
        one, two = (value[name] for value in values)
        own = {key: None if np.isnan(value[0]) else float(value[0]) for key, value in (("first", one), ("second", two))}
        differences[name] = {**own, **difference(two - one, drawn.get(name))}
    return {
        "n": len(task.y),
        "n_lenses": int(task.y.sum()),
        "beta_squared": beta_squared,
        "bootstrap": {"draws": draws, "seed": seed, "over": "objects" if groups is None else "haloes"},
        **task.packed(differences),
    }


@dataclass(frozen=True)
class ScoredObjects:
    """What is asked of a prediction: labels, bins and large-lens labels of each object, and what is drawn."""

    y: Floats
    bins: dict[str, NDArray[np.int64]]
    large: Floats | None
    units: NDArray[np.int64] | None

    @classmethod
    def of(
        cls, y: Floats, bins: Bins | None, large: ArrayLike | None, groups: ArrayLike | None, order: NDArray[np.int64]
    ) -> "ScoredObjects":
        """Return the objects in this order of their rows. Raises InputError for wrong lengths and kinds of values."""
        n = len(y)
        if groups is not None:
            groups = np.unique(checked_numbers("groups", groups, n)[order], return_inverse=True)[1]
        return cls(
            y[order],
            {name: checked_numbers(name, numbers, n)[order] for name, numbers in (bins or {}).items()},
            None if large is None else _checked_large(large, n)[order],
            groups,
        )

    def draw(self, estimates: Callable[[Floats], Estimates], draws: int, seed: int) -> Estimates:
        """Return ``estimates`` of bootstrap draws within each class, or over groups."""
        strata = [np.flatnonzero(self.y == label) for label in (0, 1)]
        return drawn_estimates(estimates, strata, self.units, len(self.y), draws, seed)

    def packed(self, scores: dict[str, dict]) -> dict[str, object]:
        """Return the scores, those of bins as lists, those of the large-lens task with its numbers of objects."""
        packed: dict[str, object] = {name: score for name, score in scores.items() if " " not in name}
        for name, numbers in self.bins.items():
            of_bins = [int(np.sum((self.y == 1) & (numbers == i))) for i in range(BIN_COUNT)]
            packed[f"auc_by_{name}"] = [
                {"bin": i, "n": n, **scores[f"auc {name} {i}"], "recall": scores[f"recall {name} {i}"]}
                for i, n in enumerate(of_bins)
            ]
        if self.large is not None:
            counts = {"n": int(np.sum(np.isfinite(self.large))), "n_lenses": int(np.sum(self.large == 1))}
            packed["auc_large"] = {**counts, **scores["auc_large"]}
        return packed


@dataclass(frozen=True)
class RankedPrediction:
    """One prediction of a task, sorted and decided once, so that the scores of a draw are a few sums."""

    fold: NDArray[np.int64]
    threshold_from: str | None
    beta_squared: float
    whole: Ranking
    by_fold: tuple[Ranking, ...]
    large: Ranking | None
    #: which lens is in which bin, in order of score, shape (lenses, bins); whether it is found at the F1 threshold
    in_bin: Floats
    found: Floats
    bin_names: tuple[str, ...]
    #: what is summed over the drawn objects, by name, shape (n, names)
    summed: Floats
    summed_names: tuple[str, ...]

    @classmethod
    def of(
        cls, task: ScoredObjects, s: Floats, fold: ArrayLike, seed: int, beta_squared: float, probabilities: bool
    ) -> "RankedPrediction":
        """Return the prediction of these scores ``s`` and folds, in the order of the objects."""
        y, n = task.y, len(task.y)
        fold = checked_numbers("fold", fold, n)
        parts, threshold_from = cross_fitting_parts(y, fold, seed)
        decided = _decisions(y, s, parts, beta_squared)
        decided["half"] = s >= (0.5 if probabilities else 0.0)
        p = checked_probabilities(s) if probabilities else expit(s)
        summed = {"objects": np.ones(n), "lenses": y, "squares": (p - y) ** 2}
        for name, passed in decided.items():
            summed |= {f"true {name}": y * passed, f"false {name}": (1 - y) * passed}
        whole = Ranking.of(y, s)
        by_bin = [task.bins[name][whole.lenses, None] == np.arange(BIN_COUNT) for name in task.bins]
        in_bin = np.concatenate(by_bin, axis=1) if by_bin else np.empty((len(whole.lenses), 0))
        found = decided["f1"][whole.lenses] if "f1" in decided else np.full(len(whole.lenses), np.nan)
        large = None
        if task.large is not None:
            large = Ranking.of(task.large, s, np.flatnonzero(np.isfinite(task.large)))
        return cls(
            fold,
            threshold_from,
            beta_squared,
            whole,
            tuple(Ranking.of(y, s, np.flatnonzero(fold == j)) for j in np.unique(fold)),
            large,
            in_bin.astype(np.float64),
            found.astype(np.float64),
            tuple(f"{name} {i}" for name in task.bins for i in range(BIN_COUNT)),
            np.stack(list(summed.values()), axis=1).astype(np.float64),
            tuple(summed),
        )

    def estimates(self, weights: Floats) -> Estimates:
        """Return every score for every draw, each of shape (draws,), NaN where a draw leaves it undefined."""
        weighted = self.whole.weighted(weights)
        outscored = weighted.outscored()
        true, false = weighted.counts()
        fold_auc = np.stack([part.weighted(weights).auc() for part in self.by_fold])
        return {
            "auc": weighted.auc(outscored),
            "mean_fold_auc": ratio(np.nansum(fold_auc, axis=0), np.isfinite(fold_auc).sum(axis=0)),
            **self._decided(weights),
            "average_precision": ranking.average_precision(true, false),
            "one_minus_f_beta_best": ranking.best_f_beta_loss(true, false, self.beta_squared),
            "tpr0": ranking.recall_below(true, false, 0),
            "tpr10": ranking.recall_below(true, false, 10),
            **self._binned(weighted.lenses, outscored),
            **({} if self.large is None else {"auc_large": self.large.weighted(weights).auc()}),
        }

    def _decided(self, weights: Floats) -> Estimates:
        """Scores of fixed thresholds, and the Brier score."""
        sums = dict(zip(self.summed_names, (weights @ self.summed).T, strict=True))
        nothing = np.full(len(weights), np.nan)
        lenses, objects = sums["lenses"], sums["objects"]

        def loss(name: str, beta_squared: float) -> Floats:
            if f"true {name}" not in sums:
                return nothing
            return ranking.f_beta_loss(sums[f"true {name}"], sums[f"false {name}"], lenses, beta_squared)

        true, false = sums.get("true f1", nothing), sums.get("false f1", nothing)
        return {
            "f1": 1 - loss("f1", 1.0),
            "accuracy": (true + objects - lenses - false) / objects,
            "recall": ratio(true, lenses),
            "one_minus_f_beta": loss("f_beta", self.beta_squared),
            "one_minus_f_beta_corner": loss("corner", self.beta_squared),
            "one_minus_f_beta_half": loss("half", self.beta_squared),
            "brier": sums["squares"] / objects,
        }

    def _binned(self, lenses: Floats, outscored: Floats) -> Estimates:
        """AUC and recall of the lenses of each bin: mean shares of the non-lenses outscored, and of lenses found."""
        counts = lenses @ self.in_bin
        auc = ratio((lenses * outscored) @ self.in_bin, counts)
        recall = ratio(lenses @ (self.in_bin * self.found[:, None]), counts)
        return {
            f"{kind} {name}": values[:, i]
            for kind, values in (("auc", auc), ("recall", recall))
            for i, name in enumerate(self.bin_names)
        }


def _decisions(
    y: Floats, s: Floats, parts: NDArray[np.int64] | None, beta_squared: float
) -> dict[str, NDArray[np.bool_]]:
    """Which objects pass the thresholds of other parts; empty where there are no parts."""
    if parts is None:
        return {}
    thresholds: dict[str, Threshold] = {
        "f1": partial(best_f_beta_threshold, beta_squared=1.0),
        "f_beta": partial(best_f_beta_threshold, beta_squared=beta_squared),
        "corner": roc_corner_threshold,
    }
    return {name: cross_fitted_decisions(y, s, parts, choose) for name, choose in thresholds.items()}


def _checked_large(large: ArrayLike, n: int) -> Floats:
    values = np.asarray(large, dtype=np.float64)
    if values.shape != (n,) or not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise InputError(f"large of shape {values.shape}: expected {n} labels, each 0, 1 or NaN.")
    return values
