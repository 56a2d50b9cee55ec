"""A ranked pack → the objects whose label would teach its networks most (`lensfold.scoring.teaching`)."""

import numpy as np
import pandas as pd
from scipy.special import logit

from lensfold.config import SubmissionSettings, validated
from lensfold.console import progress
from lensfold.data.cache import Cache
from lensfold.data.cache_check import has_manifest
from lensfold.files import write_if_changed
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.predict import run_predictions, selection
from lensfold.pipeline.results.ranking import purity_column
from lensfold.realism.measure import measured, sample_ids
from lensfold.runs.logits import read_logits
from lensfold.runs.run import Run
from lensfold.scoring.teaching import PARTS, distance_from, spread, teaching

#: objects that are measured: the first by the other two parts, which cost nothing
MEASURED = 5000
#: objects of the networks' training pack that they are set beside
SEEN = 1000
#: what the file has, beside the parts
COLUMNS = ("name", "ra", "dec", "rank", "score", "ID")


def write_teaching(workspace: Workspace, pack: Pack, table: pd.DataFrame, content: dict, count: int) -> pd.DataFrame:
    """Write ``teach.csv`` beside ``ranked.csv``: up to ``count`` objects, that teach most first; return it.

    Where none is asked for, that of an earlier ranking is deleted.

    ``table``, ``content``: of `lensfold.pipeline.results.ranking.write_ranking`. Only objects with a rank and without a
    label. Of equal ones the higher rank comes first.
    """
    path = workspace.ranked(pack).with_name("teach.csv")
    if not count:
        path.unlink(missing_ok=True)
        return pd.DataFrame(columns=["teach", *PARTS, *COLUMNS])
    asked = table[table["rank"].notna() & table["label"].isna()].reset_index(drop=True)
    if asked.empty:
        found = asked[[*COLUMNS]].assign(teach=np.nan, **dict.fromkeys(PARTS, np.nan))
    else:
        near = _from_boundary(asked, content)
        disagree = _disagreement(workspace, pack, asked["ID"].to_numpy(np.int64), content)
        first = teaching(near, disagree, np.zeros(len(asked)))
        kept = np.sort(np.argsort(-first["teach"].to_numpy(), kind="stable")[:MEASURED])
        unseen = _unlike_seen(workspace, pack, table, asked.loc[kept, "ID"].to_numpy(np.int64), content)
        near, disagree = (None if part is None else part[kept] for part in (near, disagree))
        if near is None and disagree is None and unseen is None:
            unseen = np.zeros(len(kept))  # of one network's ranks, and nothing known of what it learnt from
        parts = teaching(near, disagree, unseen)
        found = asked.loc[kept, [*COLUMNS]].reset_index(drop=True).join(parts)
        found = found.sort_values("teach", ascending=False, kind="stable").head(count)
    found = found[["teach", *PARTS, *COLUMNS]].reset_index(drop=True)
    write_if_changed(path, found.round(dict.fromkeys(("teach", *PARTS), 4)).to_csv(index=False).encode())
    return found


def _from_boundary(asked: pd.DataFrame, content: dict) -> np.ndarray | None:
    """Return how far each logit is from the cut; None where scores are no logits.

    The cut is the lowest score down to which at least half are expected to be lenses, else the highest of all; where no
    purity is known it is where the networks give both classes the same chance.
    """
    if content["settings"]["combine"] == "rank-mean":
        return None
    scores = asked["score"].to_numpy(np.float64)
    if content["settings"]["score"] == "probability":
        scores = logit(np.clip(scores, 1e-12, 1 - 1e-12))
    purity = asked[purity_column(content["trained_on"])].to_numpy(np.float64)
    if np.isnan(purity).all():
        return np.abs(scores)
    pure = scores[purity >= 0.5]
    return np.abs(scores - (pure.min() if len(pure) else scores.max()))


def _disagreement(workspace: Workspace, pack: Pack, ids: np.ndarray, content: dict) -> np.ndarray | None:
    """Return the spread of all networks of all members, NaN where a cascade asked none of them; None of one network."""
    trained_on, file = content["trained_on"], workspace.submission(pack, content["submission"])
    cascade = validated(content["settings"], SubmissionSettings, file.with_suffix(".json")).cascade
    chosen = selection(workspace, pack, trained_on, cascade) if cascade else None
    runs = [Run(workspace.run(trained_on, name)) for name in content["members"]]
    predictions = [one for run in runs for one in run_predictions(workspace, pack, run, chosen)]
    return spread(np.stack([read_logits(one.target).reindex(ids).to_numpy() for one in predictions], axis=1))


def _unlike_seen(
    workspace: Workspace, pack: Pack, table: pd.DataFrame, ids: np.ndarray, content: dict
) -> np.ndarray | None:
    """Return how far objects are, in what they measure, from labelled ones and from what the networks learnt from.

    None where neither is at hand: networks that were brought along without their pack, and no label yet.
    """
    training = workspace.pack(content["trained_on"])
    elsewhere = training.name != pack.name and has_manifest(workspace, training, "train")
    labelled = table.loc[table["label"].notna() & table["rank"].notna(), "ID"].to_numpy(np.int64)
    with Cache(workspace.cache(pack, "test")) as cache:
        side, seen = cache.side, []
        if elsewhere:
            with Cache(workspace.cache(training, "train")) as other:
                side = min(side, other.side)
                seen.append(measured(other, sample_ids(other.ids, SEEN), side=side))
        if len(labelled):
            seen.append(measured(cache, labelled, side=side))
        if not seen:
            return None
        with progress(f"measure {pack.name}") as report:
            objects = measured(cache, ids, report, side)
    return distance_from(pd.concat(seen).to_numpy(), objects.to_numpy())
