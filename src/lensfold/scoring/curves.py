"""Curves and shares with their intervals: ROC, Wilson, reliability, recall in bins, cuts.

``y`` is labels (0 non-lens, 1 lens) and ``s`` logits, of shape (n,), finite and of both classes; an object passes
where ``s >= threshold``, as everywhere in `lensfold.scoring.metrics`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.scoring.bootstrap import Floats
from lensfold.scoring.checks import checked, checked_probabilities
from lensfold.scoring.ranking import f_beta_loss

#: standard deviations of the central 95 %
Z = float(ndtri(0.975))
#: most points of a curve, and most thresholds that a page's slider steps through
CURVE_POINTS, CUTS = 1500, 500
#: bins of the reliability diagram, of equal numbers of objects
RELIABILITY_BINS = 12
#: false-positive rates at which recall is given, where at least this many non-lenses are behind one
RATES, LEAST_FALSE = (0.1, 0.01, 0.001), 2


@dataclass(frozen=True)
class Curve:
    """True and false positives at each distinct score, from the highest; ``threshold`` is that score."""

    threshold: Floats
    true: Floats
    false: Floats
    lenses: int
    others: int

    @property
    def recall(self) -> Floats:
        """Share of the lenses that pass."""
        return self.true / self.lenses

    @property
    def false_rate(self) -> Floats:
        """Share of the non-lenses that pass."""
        return self.false / self.others

    @property
    def precision(self) -> Floats:
        """Share of lenses among what passes."""
        return self.true / (self.true + self.false)

    def thinned(self, points: int = CURVE_POINTS) -> "Curve":
        """Return at most ``points`` of the cuts: the first third, then ever fewer, the last one among them."""
        if len(self.threshold) <= points:
            return self
        near = np.arange(points // 3)
        far = np.geomspace(max(points // 3, 1), len(self.threshold) - 1, points - len(near))
        kept = np.unique(np.concatenate([near, np.rint(far).astype(int)]))
        return Curve(self.threshold[kept], self.true[kept], self.false[kept], self.lenses, self.others)


def curve(y: ArrayLike, s: ArrayLike) -> Curve:
    """Return true and false positives at every distinct score, O(n log n)."""
    y, s = np.asarray(y, dtype=np.float64), np.asarray(s, dtype=np.float64)
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    ends = np.flatnonzero(np.append(s[1:] != s[:-1], True))
    true = np.cumsum(y)[ends]
    return Curve(s[ends], true, ends + 1 - true, int(y.sum()), int(len(y) - y.sum()))


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    """Return the limits of the central 95 % interval of a share (Wilson 1927); NaN without a trial."""
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    n = np.where(n > 0, n, np.nan)
    centre = (k + Z**2 / 2) / (n + Z**2)
    half = Z / (n + Z**2) * np.sqrt(k * (n - k) / n + Z**2 / 4)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


@dataclass(frozen=True)
class Shares:
    """A share in each bin: ``place`` is where it is drawn, ``successes`` of ``trials``."""

    place: Floats
    successes: Floats
    trials: Floats

    @property
    def share(self) -> Floats:
        """Successes a trial, NaN without one."""
        return self.successes / np.where(self.trials > 0, self.trials, np.nan)


def reliability(y: ArrayLike, p: ArrayLike, bins: int = RELIABILITY_BINS) -> list[dict[str, float]]:
    """Return the reliability diagram of probabilities ``p``, a row a bin, rising, ready for JSON.

    Every bin has about the same number of objects, so that each interval is about as sure as the next and none is
    empty; equal probabilities are never parted, so that there may be fewer than ``bins``. Keys: ``from`` and ``to``
    (least and largest probability), ``n``, ``predicted`` (mean probability), ``observed`` (share of lenses) with its
    95 % interval ``low`` to ``high``. Raises InputError for probabilities outside [0, 1].
    """
    y, p = checked(y, checked_probabilities(p))
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    number = np.searchsorted(edges, p, side="right")
    rows = []
    for own in (number == i for i in np.unique(number)):
        n, lenses = int(own.sum()), int(y[own].sum())
        low, high = wilson(lenses, n)
        share = {"predicted": float(p[own].mean()), "observed": lenses / n, "low": float(low), "high": float(high)}
        rows.append({"from": float(p[own].min()), "to": float(p[own].max()), "n": n, **share})
    return rows


def threshold_at_rate(y: ArrayLike, s: ArrayLike, rate: float) -> float:
    """Return the lowest threshold that at most this share of the non-lenses pass; infinite where none is."""
    passing = curve(y, s)
    allowed = passing.threshold[passing.false_rate <= rate]
    return float(allowed[-1]) if len(allowed) else np.inf


def usable_rates(others: int) -> list[float]:
    """Return those of RATES that leave at least LEAST_FALSE of this number of non-lenses; always the largest one."""
    return [rate for rate in RATES if rate * others >= LEAST_FALSE or rate == RATES[0]]


def recall_in_bins(s: ArrayLike, bins: ArrayLike, count: int, threshold: float) -> Shares:
    """Return the recall of lenses (``s``: only theirs) in bins 0 to ``count`` - 1; ``place`` is the bin's number."""
    bins = np.asarray(bins, dtype=np.int64)
    passed = bins[np.asarray(s, dtype=np.float64) >= threshold]
    trials, found = (np.bincount(values, minlength=count).astype(np.float64) for values in (bins, passed))
    return Shares(np.arange(count, dtype=np.float64), found, trials)


def cuts(y: ArrayLike, s: ArrayLike, count: int = CUTS) -> dict[str, object]:
    """Return the exact confusion at up to ``count`` thresholds, ready for JSON.

    ``cuts``: [threshold, TP, FP], thresholds falling; half of them are at the quantiles of the scores, the others
    where false positives begin. ``lenses`` and ``others`` are all of each class.
    """
    whole = curve(y, s)
    last = len(whole.threshold) - 1
    even = np.rint(np.linspace(0, last, count // 2))
    low = np.rint(np.geomspace(1, last + 1, count - count // 2)) - 1
    losses = (
        f_beta_loss(whole.true, whole.false, np.asarray(float(whole.lenses)), weight)
        for weight in (1.0, CHALLENGE_BETA_SQUARED)
    )
    best = [int(np.argmin(loss)) for loss in losses]
    kept = np.unique(np.concatenate([even, low, best])).astype(int)
    rows = [[float(whole.threshold[i]), int(whole.true[i]), int(whole.false[i])] for i in kept]
    names = ("best_f1", "best_f_beta")
    places = {name: int(np.searchsorted(kept, place)) for name, place in zip(names, best, strict=True)}
    return {"cuts": rows, "lenses": whole.lenses, "others": whole.others, **places}
