"""Catalog and out-of-fold logits become one row of scores."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lensfold.config import CHALLENGE_BETA_SQUARED, PREVALENCE, Task
from lensfold.data import catalog as catalogs
from lensfold.runs.logits import ONE_VIEW
from lensfold.scoring.prevalence import searcher_table
from lensfold.scoring.radius import radii_of_logs, radius_table
from lensfold.scoring.score_table import auc_over_objects, paired_auc, score_table

LARGE = 150


def score_oof(
    catalog: pd.DataFrame,
    oof: pd.DataFrame,
    rule: str,
    task: Task = "lens",
    beta_squared: float = CHALLENGE_BETA_SQUARED,
    probabilities: bool = False,
    prevalence: float = PREVALENCE,
) -> dict:
    """Return all scores of logits (columns logit, fold; index ID) under a label rule; dropped objects are left out.

    Intervals are over haloes where these repeat (`drawn_haloes`), and ``auc_by_draws`` then has that of the AUC over
    objects too. Where ``oof`` has the column one_view, ``one_view`` is what the mean of eight views adds to the AUC of
    one (`paired_auc`: first is one view). With the task "einstein-radius" the logits are log theta_E, and `score_radii`
    scores them.
    ``searcher`` is what a searcher gets where a share ``prevalence`` of the sky are lenses (`searcher_table`).
    ``beta_squared``, ``probabilities``: as `score_table` takes them.
    """
    if task == "einstein-radius":
        radii = pd.Series(radii_of_logs(oof["logit"]), index=oof.index)
        return score_radii(catalog, radii, oof["fold"], rule)
    asked = lens_task(catalog, oof.index, rule)
    scored = oof.loc[asked.ids]
    haloes = drawn_haloes(asked.haloes)
    scores: dict = score_table(
        asked.labels,
        scored["logit"],
        scored["fold"],
        asked.bins,
        asked.large,
        groups=haloes,
        beta_squared=beta_squared,
        probabilities=probabilities,
    )
    scores["searcher"] = searcher_table(asked.labels, scored["logit"], prevalence, groups=haloes)
    if haloes is not None:
        scores["auc_by_draws"] = {
            "objects": auc_over_objects(asked.labels, scored["logit"]),
            "haloes": scores["auc"],
        }
    if ONE_VIEW in scored:
        scores["one_view"] = paired_auc(asked.labels, scored[ONE_VIEW], scored["logit"], groups=haloes)
    return {"task": task, "rule": rule, **scores}


def drawn_haloes(haloes: np.ndarray) -> np.ndarray | None:
    """Return what the bootstrap draws: these halo numbers where haloes repeat, else None, for the objects themselves.

    Objects of one halo are alike, so that drawing them one by one makes intervals too narrow. Where all objects have
    the same number, or each its own, the catalog does not distinguish haloes.
    """
    return haloes if 1 < len(np.unique(haloes)) < len(haloes) else None


@dataclass(frozen=True)
class LensTask:
    """What the catalog says of the objects that a label rule keeps, arrays in the order of ``ids``.

    ``bins`` lacks quantities that are known of no lens; ``large`` is None where that is so of the size.
    """

    ids: pd.Index
    labels: np.ndarray
    bins: dict[str, np.ndarray]
    large: np.ndarray | None
    haloes: np.ndarray


def lens_task(catalog: pd.DataFrame, ids: pd.Index, rule: str) -> LensTask:
    """Return labels, bins, large-lens labels and haloes of those of ``ids`` that the rule does not drop."""
    labels = catalogs.labels(catalog, rule).reindex(ids).dropna()
    bins = catalogs.score_bins(catalog).loc[labels.index]
    if catalogs.is_given(catalog):
        bins = bins.loc[:, (bins[labels == 1] >= 0).any()]
    return LensTask(
        labels.index,
        labels.to_numpy(),
        {str(name): bins[name].to_numpy() for name in bins},
        catalogs.large_lens_labels(catalog, rule, LARGE)[labels.index].to_numpy() if "size" in bins else None,
        catalogs.halo_groups(catalog)[labels.index].to_numpy(),
    )


def score_radii(catalog: pd.DataFrame, radii: pd.Series, fold: pd.Series, rule: str, calibrate: bool = True) -> dict:
    """Return scores of Einstein radii (arcsec, by ID as ``fold``) on the lenses of a label rule that have one.

    Intervals as in `score_oof`; ``calibrate``: with a factor from other folds (see `lensfold.scoring.radius`).
    """
    truth = np.exp(catalogs.log_einstein_radius(catalog)).reindex(radii.index)
    kept = truth.notna() & (catalogs.labels(catalog, rule).reindex(radii.index) == 1)
    groups = drawn_haloes(catalogs.halo_groups(catalog).reindex(radii.index)[kept].to_numpy())
    sizes = catalogs.size_bins(catalog).reindex(radii.index)[kept]
    scores = radius_table(truth[kept], radii[kept], fold[kept], sizes=sizes, groups=groups, calibrate=calibrate)
    return {"task": "einstein-radius", "rule": rule, **scores}


def folds_are_grouped(catalog: pd.DataFrame, folds: pd.Series) -> bool:
    """Return whether every halo lies within one fold, and haloes do repeat."""
    haloes = catalogs.halo_groups(catalog)
    return bool(haloes.duplicated().any()) and bool((folds.groupby(haloes).nunique() == 1).all())
