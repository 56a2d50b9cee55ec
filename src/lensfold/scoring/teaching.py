"""Which objects' labels would teach a network most: a rank from three ranks, so that no scale has to be known.

An object teaches where it is near the boundary, where networks disagree, and where it is unlike anything seen. Each of
these puts the objects in order; an object's share in an order is the share of the objects that it is ahead of, those
that it ties with counted half. What it teaches is the mean of its shares.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from lensfold.scoring.bootstrap import Floats

#: the parts, in the order of tables: near the boundary, networks disagree, unlike anything seen
PARTS = ("near", "disagree", "unseen")


def teaching(near: Floats | None, disagree: Floats | None, unseen: Floats | None) -> pd.DataFrame:
    """Return what objects teach and their shares in each order, float64: columns ``teach`` and PARTS, shape (n, 4).

    ``near``: distance of the logit from the boundary; ``disagree``: spread of the networks' logits; ``unseen``:
    distance from what was learnt from; each (n,), NaN where it is not known of an object (its share is 0 then), and
    None where it is known of none: its column is NaN then, and the mean that of the others.
    """
    orders = (None if near is None else -near, disagree, unseen)
    count = max(len(values) for values in (near, disagree, unseen) if values is not None)
    columns = {
        name: np.full(count, np.nan) if values is None else _shares(np.asarray(values, dtype=np.float64))
        for name, values in zip(PARTS, orders, strict=True)
    }
    table = pd.DataFrame(columns)
    table.insert(0, "teach", table.mean(axis=1))
    return table


def _shares(values: Floats) -> Floats:
    """Return the share of the objects that have a lower value, ties counted half; 0 where there is none."""
    known = ~np.isnan(values)
    shares = np.zeros(len(values))
    shares[known] = (rankdata(values[known]) - 0.5 + np.sum(~known)) / len(values)
    return shares


def spread(logits: Floats) -> Floats | None:
    """Return how much networks disagree about objects, (n,): the deviation of their logits, (n, networks).

    Each network's are put on a common scale first, mean 0 and deviation 1 over the objects. None of a single network.
    """
    if logits.shape[1] < 2:
        return None
    deviations = np.nanstd(logits, axis=0)
    return np.asarray(((logits - np.nanmean(logits, axis=0)) / np.where(deviations > 0, deviations, 1.0)).std(axis=1))


def distance_from(seen: Floats, objects: Floats) -> Floats:
    """Return how far each of ``objects``, (n, d), is from the nearest of ``seen``, (m, d), in what both measure; (n,).

    Each measure in units of its deviation over all of them, the root of the mean square over the measures. A value
    that is missing (NaN) counts as the mean; measures that nobody has or that do not vary are left out.
    """
    both = np.vstack([seen, objects])
    kept = (~np.isnan(seen)).any(axis=0) & (~np.isnan(objects)).any(axis=0)
    both = both[:, kept]
    both = (both - np.nanmean(both, axis=0)) / np.maximum(np.nanstd(both, axis=0), np.finfo(float).tiny)
    scaled: NDArray[np.float64] = np.nan_to_num(both, nan=0.0)
    found, _ = cKDTree(scaled[: len(seen)]).query(scaled[len(seen) :])
    return np.asarray(found / np.sqrt(max(1, scaled.shape[1])))
