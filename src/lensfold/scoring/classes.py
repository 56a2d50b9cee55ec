"""False positives by name: which classes of galaxies are taken for lenses."""

from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import check_file

#: share of all non-lenses that pass the threshold
FALSE_POSITIVES = 0.05
_Z = 1.959964  # 97.5 % quantile of the normal distribution


def read_classes(path: Path, split: str = "test") -> pd.Series:
    """Return the class of each object of a split by ID (str), from a simulated pack's ``truth/classes.csv``.

    Raises InputError where the file is not such a table.
    """
    try:
        check_file(path)
        table = pd.read_csv(path, dtype={"split": str, "ID": np.int64, "class": str})
        own = table[table["split"] == split].set_index("ID")["class"]
    except (OSError, ValueError, OverflowError, KeyError) as error:
        raise InputError(
            f"{path}: is not a table of the columns split, ID and class ({error}). Make the pack again with "
            "`lensfold simulate`."
        ) from error
    return own


def false_positives(scores: pd.Series, labels: pd.Series, classes: pd.Series) -> pd.DataFrame:
    """Return a table by class, most often called a lens first: how many of its non-lenses pass the threshold.

    ``scores`` (higher: more like a lens), ``labels`` (1, 0, NaN) and ``classes`` are by ID; objects with a score and
    the label 0 count. The threshold is the one that 5 % of them pass, ties not. Columns: ``n`` non-lenses, ``called``
    lenses, ``rate``, and ``low`` and ``high``, its 95 % interval (Wilson 1927). Empty where there is no non-lens.
    """
    kept = scores.index[(labels.reindex(scores.index) == 0).to_numpy()]
    if not len(kept):
        return pd.DataFrame(columns=["n", "called", "rate", "low", "high"], dtype=float)
    called = scores[kept] > np.quantile(scores[kept], 1.0 - FALSE_POSITIVES)
    groups = called.groupby(classes.reindex(kept).fillna("no class"))
    table = pd.DataFrame({"n": groups.size(), "called": groups.sum(), "rate": groups.mean()})
    n, rate = table["n"], table["rate"]
    middle = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    return table.assign(low=middle - half, high=middle + half).sort_values(["rate", "n"], ascending=False)
