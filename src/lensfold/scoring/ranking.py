"""How well one ranking separates lenses from non-lenses, for many weightings of its objects at once.

What each metric needs is sorted once; a weighting (of a bootstrap draw, say) then costs a few passes over the objects
and no loop. Everything is exact: counts of objects are whole numbers well below 2^53.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensfold.scoring.bootstrap import Floats, ratio


@dataclass(frozen=True)
class Ranking:
    """Some rows of a table by descending score, lenses (n1) and non-lenses (n0) apart.

    ``above`` and ``at_least``: for each lens the number of non-lenses with a higher, and with a higher or equal score.
    ``cuts``: the last lens of each distinct score; no other threshold does better than one of these.
    """

    lenses: NDArray[np.int64]
    others: NDArray[np.int64]
    above: NDArray[np.int64]
    at_least: NDArray[np.int64]
    cuts: NDArray[np.int64]

    @classmethod
    def of(cls, y: Floats, s: Floats, rows: NDArray[np.int64] | None = None) -> "Ranking":
        """Return the ranking of ``rows`` (all by default) under labels ``y`` and scores ``s``, both of shape (n,)."""
        rows = np.arange(len(s)) if rows is None else rows
        rows = rows[np.argsort(-s[rows], kind="stable")]
        lenses, others = rows[y[rows] == 1], rows[y[rows] == 0]
        of_lenses, of_others = -s[lenses], -s[others]
        return cls(
            lenses,
            others,
            np.searchsorted(of_others, of_lenses, side="left"),
            np.searchsorted(of_others, of_lenses, side="right"),
            np.flatnonzero(np.append(of_lenses[1:] != of_lenses[:-1], True)) if len(lenses) else np.arange(0),
        )

    def weighted(self, weights: Floats) -> "Weighted":
        """Return the ranking under ``weights`` of shape (draws, rows of the whole table)."""
        lenses, others = weights[:, self.lenses], weights[:, self.others]
        false = np.zeros((len(weights), len(self.others) + 1))
        np.cumsum(others, axis=1, out=false[:, 1:])
        return Weighted(self, lenses, false)


@dataclass(frozen=True)
class Weighted:
    """A ranking under many weightings: lenses of shape (draws, n1), false positives of shape (draws, n0 + 1).

    Every method returns an array of shape (draws,), NaN where a weighting leaves the value undefined.
    """

    ranking: Ranking
    lenses: Floats
    false: Floats

    def outscored(self) -> Floats:
        """Return the share of the non-lenses that each lens outscores, ties one half, shape (draws, n1)."""
        passed = self.false[:, self.ranking.above]
        if np.array_equal(self.ranking.above, self.ranking.at_least):
            passed *= 2
        else:
            passed += self.false[:, self.ranking.at_least]
        total = self.false[:, -1:]
        passed *= -0.5
        passed += total
        return ratio(passed, total)

    def auc(self, outscored: Floats | None = None) -> Floats:
        """Return the area under the ROC curve, from `outscored` where that is known already."""
        outscored = self.outscored() if outscored is None else outscored
        return ratio(np.einsum("ij,ij->i", self.lenses, outscored), self.lenses.sum(axis=1))

    def counts(self) -> tuple[Floats, Floats]:
        """Return true and false positives at each of the ranking's cuts, each of shape (draws, cuts)."""
        true, cuts = np.cumsum(self.lenses, axis=1), self.ranking.cuts
        if len(cuts) < true.shape[1]:
            true = true[:, cuts]
        return true, self.false[:, self.ranking.at_least[cuts]]


def average_precision(true: Floats, false: Floats) -> Floats:
    """Return the sum over cuts of recall gained x precision, from counts at the cuts, shape (draws,)."""
    gained = np.diff(true, axis=1, prepend=0.0)
    # A cut at which a draw has no object yet gains nothing: there the denominator may be anything but 0.
    precision = true / np.maximum(true + false, 1e-300)
    return ratio(np.einsum("ij,ij->i", gained, precision), true[:, -1])


def f_beta_loss(true: Floats, false: Floats, lenses: Floats, beta_squared: float) -> Floats:
    """Return 1 - F_beta = (b FN + FP) / ((1 + b) TP + b FN + FP); 1 without a true positive.

    Computed without the difference, which would lose the digits: F_beta lies between 0.99 and 1.
    """
    loss = beta_squared * (lenses - true) + false
    return np.where(true > 0, ratio(loss, (1 + beta_squared) * true + loss), 1.0)


def best_f_beta_loss(true: Floats, false: Floats, beta_squared: float) -> Floats:
    """Return the least `f_beta_loss` over all cuts, shape (draws,).

    (b FN + FP) / TP has its least value r at the same cut, where 1 - F_beta is r / (1 + b + r).
    """
    loss = true[:, -1:] - true
    loss *= beta_squared
    loss += false
    least = np.divide(loss, true, out=np.full(loss.shape, np.inf), where=true > 0).min(axis=1)
    found = np.isfinite(least)
    return np.divide(least, 1 + beta_squared + least, out=np.ones(len(least)), where=found)


def recall_below(true: Floats, false: Floats, n: int) -> Floats:
    """Return the recall at the last cut with fewer than ``n`` (at least one) false positives, shape (draws,)."""
    # the counts only grow, so the allowed cuts are the first ones
    allowed = (false < max(n, 1)).sum(axis=1)
    reached = np.where(allowed > 0, true[np.arange(len(true)), np.maximum(allowed - 1, 0)], 0.0)
    return ratio(reached, true[:, -1])
