"""What a searcher gets on a sky with few lenses, from a test with many: purity, completeness, objects to inspect.

A test of n1 lenses and n0 non-lenses speaks for a sky in which a share ``prevalence`` are lenses by importance weights:
each lens counts prevalence / (n1 / n), each non-lens (1 - prevalence) / (n0 / n). At a cut with recall t and
false-positive rate f, prevalence x t + (1 - prevalence) x f of all objects pass, and prevalence x t of them are lenses.
How many of a class the test has does not matter; how the lenses and the non-lenses of the sky look does.

Where the cut leaves no false positive the test does not know f: it knows that f is at most 1 - 0.05^(1 / n0) with 95 %
certainty (the rule of three, 3 / n0), and that is what is said then, never 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensfold.config import PREVALENCE
from lensfold.errors import InputError
from lensfold.scoring.bootstrap import DRAWS, Estimates, Floats, checked_numbers, drawn_estimates, interval, ratio
from lensfold.scoring.checks import both_classes
from lensfold.scoring.curves import Curve, curve

#: objects of the sky that the numbers are of
OBJECTS = 100_000
#: how many of them are inspected, the most lens-like first
INSPECTED = (100, 1_000)
#: shares of the lenses that a searcher wants to have
RECALLS = (0.5, 0.9)
#: certainty of the upper limit of a rate
CERTAINTY = 0.95
# whole counts divided by their sum: below this they are equal
_EQUAL = 1e-12


def checked_prevalence(prevalence: float) -> float:
    """Return a share of lenses; raise InputError unless it lies between 0 and 1."""
    if not 0 < prevalence < 1:
        raise InputError(f"prevalence {prevalence:g}: expected a share between 0 and 1, as 0.0005 for 1 lens in 2,000.")
    return float(prevalence)


def rate_limit(n: int) -> float:
    """Return the upper limit of the rate of something that did not happen in ``n`` independent trials.

    Exact, with CERTAINTY: (1 - limit)^n = 0.05. About 3 / n; 1 without a trial.
    """
    return float(-np.expm1(np.log1p(-CERTAINTY) / n)) if n else 1.0


def searcher_table(
    y: ArrayLike,
    s: ArrayLike,
    prevalence: float = PREVALENCE,
    draws: int = DRAWS,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> dict[str, object]:
    """Return what a searcher of OBJECTS objects gets, ready for JSON; labels ``y`` (NaN dropped), scores ``s``, (n,).

    ``first``, a row for each of INSPECTED: ``n`` inspected, their ``purity`` and ``completeness``, and ``false``: on
    how many of the test's non-lenses that rests (the last one in part). ``recalls``, a row for each of RECALLS: the
    ``false_rate`` that it costs and the objects to ``inspect`` for it, at the highest score that so many lenses reach,
    equal scores together; ``false``: how many of the test's non-lenses reach it.
    A number is ``{"value", "low", "high"}``, with limits as `score_table` has them: over ``groups``, or within each
    class. Where less than one false positive is left ``is_limit`` is true and the value says nothing: the purity is at
    least ``low``, the rate and what is to inspect at most ``high`` (`rate_limit`). ``unresolved``: how many of OBJECTS
    must be inspected before a whole false positive is among them. Raises InputError as `score_table` does, and for a
    prevalence outside 0 to 1.
    """
    prevalence = checked_prevalence(prevalence)
    y, s = np.asarray(y, dtype=np.float64), np.asarray(s, dtype=np.float64)
    groups = None if groups is None else checked_numbers("groups", groups, len(y))[~np.isnan(y)]
    y, s = both_classes(y[~np.isnan(y)], s[~np.isnan(y)])
    order = np.argsort(-s, kind="stable")  # so that the order of the rows does not matter
    ranking = SkyRanking.of(y[order], s[order])
    units = None if groups is None else np.unique(groups[order], return_inverse=True)[1]
    strata = [np.flatnonzero(ranking.lens == label) for label in (0, 1)]
    estimates = partial(_estimates, ranking, prevalence)
    value = estimates(np.ones((1, len(y))))
    drawn = drawn_estimates(estimates, strata, units, len(y), draws, seed)
    scores = {name: interval(value[name], drawn.get(name)) for name in value}
    best = _Best.of(ranking, prevalence)
    return {
        "prevalence": prevalence,
        "objects": OBJECTS,
        "n_lenses": int(y.sum()),
        "n_others": int(len(y) - y.sum()),
        "unresolved": best.unresolved,
        "first": [_first(n, float(value[f"false {n}"][0]), scores, best) for n in INSPECTED],
        "recalls": [_recall(r, float(value[f"false at {r}"][0]), scores, best) for r in RECALLS],
    }


@dataclass(frozen=True)
class SkyRanking:
    """Objects by descending score: which are lenses (1 or 0), shape (n,), and the cuts between distinct scores.

    ``cuts``: how many objects pass each, the first one 0, the last one n.
    """

    lens: Floats
    cuts: NDArray[np.int64]

    @classmethod
    def of(cls, y: Floats, s: Floats) -> "SkyRanking":
        """Return the ranking of objects that are sorted already."""
        return cls(y, np.append(0, 1 + np.flatnonzero(np.append(s[1:] != s[:-1], True))))

    def weighted(self, weights: Floats) -> "Weighted":
        """Return the ranking under ``weights`` of shape (draws, n)."""
        passed = np.zeros((2, len(weights), len(self.lens) + 1))
        np.cumsum(weights * self.lens, axis=1, out=passed[0, :, 1:])
        np.cumsum(weights, axis=1, out=passed[1, :, 1:])
        return Weighted(self.cuts, *passed)


@dataclass(frozen=True)
class Weighted:
    """A ranking under many weightings: how many lenses, and objects, are among the first 0 to n, (draws, n + 1)."""

    cuts: NDArray[np.int64]
    lenses: Floats
    objects: Floats

    def rates(self, cut: ArrayLike) -> tuple[Floats, Floats]:
        """Return recall and false-positive rate of one cut a draw, (draws,); NaN where a draw has a single class."""
        rows, place = np.arange(len(self.lenses)), self.cuts[np.asarray(cut)]
        lenses, objects = self.lenses[rows, place], self.objects[rows, place]
        all_lenses = self.lenses[:, -1]
        return ratio(lenses, all_lenses), ratio(objects - lenses, self.objects[:, -1] - all_lenses)

    def first_cut(self, rising: Callable[[Floats, Floats], Floats], least: float) -> NDArray[np.int64]:
        """Return the first cut of each draw, from 1, where ``rising`` of its rates is ``least`` or more, else the last.

        By bisection, so that a draw costs the logarithm of the number of cuts.
        """
        below = np.zeros(len(self.lenses), dtype=np.int64)
        reaching = np.full(len(below), len(self.cuts) - 1)
        while np.any(reaching - below > 1):
            middle = (below + reaching + 1) // 2
            reaches = rising(*self.rates(middle)) >= least
            reaching, below = np.where(reaches, middle, reaching), np.where(reaches, below, middle)
        return reaching


def passing(recall: Floats, false_rate: Floats, prevalence: float) -> Floats:
    """Return how many of OBJECTS pass cuts with these rates, of the same shape."""
    return OBJECTS * (prevalence * recall + (1 - prevalence) * false_rate)


def _estimates(ranking: SkyRanking, prevalence: float, weights: Floats) -> Estimates:
    """Every number for every draw, each of shape (draws,)."""
    weighted = ranking.weighted(weights)
    others = weighted.objects[:, -1] - weighted.lenses[:, -1]
    found: Estimates = {}
    for n in INSPECTED:
        recall, false_rate = _of_the_first(n, weighted, prevalence)
        found[f"completeness {n}"] = recall
        found[f"purity {n}"] = recall * (OBJECTS * prevalence / n)
        found[f"false {n}"] = false_rate * others
    for share in RECALLS:
        cut = weighted.first_cut(lambda recall, _: recall, share - _EQUAL)
        recall, false_rate = weighted.rates(cut)
        found[f"false_rate at {share}"] = false_rate
        found[f"inspect at {share}"] = passing(recall, false_rate, prevalence)
        found[f"false at {share}"] = false_rate * others
    return found


def _of_the_first(n: int, weighted: Weighted, prevalence: float) -> tuple[Floats, Floats]:
    """Recall and false-positive rate of the first ``n`` of OBJECTS; objects of one score come in any order."""
    passed = partial(passing, prevalence=prevalence)
    cut = weighted.first_cut(passed, n)
    after, before = weighted.rates(cut), weighted.rates(cut - 1)
    part = np.minimum(ratio(n - passed(*before), passed(*after) - passed(*before)), 1.0)
    recall, false_rate = (low + part * (high - low) for low, high in zip(before, after, strict=True))
    return recall, false_rate


@dataclass(frozen=True)
class _Best:
    """What the test can say at best: of the cut before the first false positive, and of any rate."""

    prevalence: float
    recall: float
    others: int

    @classmethod
    def of(cls, ranking: SkyRanking, prevalence: float) -> "_Best":
        all_alike = ranking.weighted(np.ones((1, len(ranking.lens))))
        cut = all_alike.first_cut(lambda _, false_rate: false_rate, _EQUAL) - 1
        return cls(prevalence, float(all_alike.rates(cut)[0][0]), int(np.sum(ranking.lens == 0)))

    @property
    def unresolved(self) -> float:
        return float(passing(np.array(self.recall), np.array(1 / self.others), self.prevalence))

    @property
    def reach(self) -> float:
        """How many must be inspected for these lenses, at most: with as many false positives as agree with none."""
        return float(passing(np.array(self.recall), np.array(rate_limit(self.others)), self.prevalence))

    @property
    def purity(self) -> float:
        """The least purity of fewer than ``reach`` that agrees with no false positive among these lenses."""
        return OBJECTS * self.prevalence * self.recall / self.reach


def _first(n: int, false: float, scores: dict[str, dict], best: _Best) -> dict[str, object]:
    """The row of so many inspected objects; draws from one or two false positives know too little of others."""
    purity, completeness = scores[f"purity {n}"], scores[f"completeness {n}"]
    is_limit = false < 1 - _EQUAL
    if is_limit or (n < best.reach and purity["low"] is not None):
        least = min(best.purity, purity["value"] if purity["low"] is None else purity["low"])
        purity = {**purity, "low": least}
        completeness = {**completeness, "low": least * n / (OBJECTS * best.prevalence)}
    return {"n": n, "false": false, "is_limit": is_limit, "purity": purity, "completeness": completeness}


def _recall(share: float, false: float, scores: dict[str, dict], best: _Best) -> dict[str, object]:
    """The row of a recall; no upper limit lies below what a test without a false positive would have."""
    rate, inspect = scores[f"false_rate at {share}"], scores[f"inspect at {share}"]
    limit = rate_limit(best.others)
    most = inspect["value"] + passing(np.zeros(()), np.array(max(limit - rate["value"], 0.0)), best.prevalence)
    if rate["high"] is not None or false == 0:
        rate = {**rate, "high": max(rate["high"] or 0.0, limit)}
        inspect = {**inspect, "high": max(inspect["high"] or 0.0, float(most))}
    return {"recall": share, "false": false, "is_limit": false == 0, "false_rate": rate, "inspect": inspect}


def sky_curve(y: ArrayLike, s: ArrayLike, prevalence: float) -> tuple[Floats, Floats, Floats]:
    """Return objects inspected of OBJECTS, purity and completeness at every distinct score from the highest, (cuts,).

    Labels and scores as `curves.curve` takes them.
    """
    whole: Curve = curve(y, s)
    inspected = passing(whole.recall, whole.false_rate, checked_prevalence(prevalence))
    return inspected, OBJECTS * prevalence * whole.recall / inspected, whole.recall


def purity_down_to(known: Mapping[str, object], thresholds: ArrayLike, prevalence: float = PREVALENCE) -> Floats:
    """Return the expected purity of what scores at least so much, shape of ``thresholds``, on a sky like the test's.

    ``known``: of `curves.cuts`, on the scale of the thresholds. A rate is (false positives + 1) / (n0 + 1), what is
    expected of a further non-lens, so that no purity is 1 for want of a test. The purity of a score is at least that of
    any lower one: above the first false positive it is that of the best cut below. Between two cuts it is interpolated.
    """
    cuts = np.asarray(known["cuts"], dtype=np.float64)
    lenses, others = (float(str(known[name])) for name in ("lenses", "others"))
    odds = cuts[:, 1] / lenses / ((cuts[:, 2] + 1) / (others + 1)) * (prevalence / (1 - prevalence))
    best = np.maximum.accumulate(odds[::-1])
    found = np.interp(np.asarray(thresholds, dtype=np.float64), cuts[::-1, 0], best)
    return found / (1 + found)
