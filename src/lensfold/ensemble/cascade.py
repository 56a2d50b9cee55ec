"""A cascade's scores: those of the members for the best objects of a first run, and a place below them for the rest.

Out of fold the cut is made where it would be made in a survey with few lenses, whatever the share of lenses among the
objects that have labels: see `survey_weights`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from lensfold.scoring.bootstrap import Floats

#: the top of the full ensemble that a cascade is asked to keep, as a share of a survey's objects
TOP = 0.01
#: what the manifest says of the objects that no member scored
BELOW = (
    "logit = min(lowest logit of the objects kept, 0) - 1 + log(r / (n + 1)), where r is the rank, from 1, of the "
    "first run's one-view logit among the n objects not kept: an order, no probability"
)


def below(first: Floats, lowest: float) -> Floats:
    """Return logits (n,) below ``lowest`` in the order of ``first`` (n,), equal where it is; see `BELOW`.

    The gap of 1 or more keeps the two kinds apart in probabilities too, and in few digits.
    """
    return min(lowest, 0.0) - 1 + np.log(rankdata(first) / (len(first) + 1))


def cascaded(first: pd.Series, combined: pd.Series) -> pd.Series:
    """Return a logit for every ID of ``first``: ``combined`` where that has one, and an order below it for the rest."""
    rest = first.drop(combined.index)
    lowest = float(combined.min())
    return pd.concat([combined, pd.Series(below(rest.to_numpy(), lowest), rest.index)]).loc[first.index]


def survey_weights(y: Floats, prevalence: float) -> Floats:
    """Return what each labelled object (n,) counts in a survey with this share of lenses: a non-lens 1.

    The lenses together are that share of all; objects without a label (NaN) count nothing.
    """
    lenses, others = int((y == 1).sum()), int((y == 0).sum())
    each = others / lenses * prevalence / (1 - prevalence) if lenses else 0.0
    return np.where(y == 1, each, np.where(y == 0, 1.0, 0.0))


def within(scores: Floats, weights: Floats, share: float) -> NDArray[np.bool_]:
    """Return which objects (n,) are in the best ``share`` of the whole weight; of equal scores the earlier first.

    The object in which the share is reached is in, as a share of a number of objects is rounded up.
    """
    if share >= 1:
        return np.ones(len(scores), dtype=bool)
    order = np.argsort(-scores, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(weights[order])[:-1]])
    chosen = np.empty(len(scores), dtype=bool)
    # sums of weights are rounded: a share that is reached but for that is reached
    chosen[order] = before < share * weights.sum() * (1 - 1e-12)
    return chosen


@dataclass(frozen=True)
class CascadeOof:
    """A cascade on the out-of-fold objects, in the order of the given ones, (n,)."""

    #: by ID
    logits: pd.Series
    kept: NDArray[np.bool_]
    #: which objects are in the full ensemble's `TOP` of the survey
    top: NDArray[np.bool_]
    #: what each object counts in the survey
    weights: Floats

    @property
    def top_kept(self) -> float:
        """The share of the full ensemble's top, as the survey has it, that the members of the cascade score."""
        return float(self.weights[self.top & self.kept].sum() / self.weights[self.top].sum())


def cascade_oof(first: pd.Series, full: pd.DataFrame, y: Floats, share: float, prevalence: float) -> CascadeOof:
    """Return the cascade as it works on objects that its networks never saw.

    ``first``: out-of-fold logits of one view by ID; ``full``: columns logit and fold of the full ensemble, of the same
    IDs, ascending; ``y``: labels, NaN where there is none. In each fold, which has networks of its own, the best
    ``share`` of a survey with this ``prevalence`` is kept.
    """
    kept, top, weights = np.zeros(len(y), dtype=bool), np.zeros(len(y), dtype=bool), np.zeros(len(y))
    values, logits, fold = first.to_numpy(), full["logit"].to_numpy(), full["fold"].to_numpy()
    for number in np.unique(fold):
        own = fold == number
        weights[own] = survey_weights(y[own], prevalence)
        kept[own] = within(values[own], weights[own], share)
        top[own] = within(logits[own], weights[own], TOP)
    return CascadeOof(cascaded(first, full["logit"][kept]), kept, top, weights)
