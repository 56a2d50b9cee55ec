"""Scores of runs and graded submissions, the files that keep them, and what the terminal shows of packs and caches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import Task
from lensfold.console import show_table
from lensfold.data import catalog as catalogs
from lensfold.data.cache import read_manifest
from lensfold.data.folds import folds_hash, imbalance, read_folds, strata_counts, strata_table
from lensfold.errors import InputError
from lensfold.leaderboard.history import append_history
from lensfold.paths import Pack, Workspace, replacing
from lensfold.report.terminal import show_scores
from lensfold.runs.run import Member, check_oof, fold_folders, read_oof, task_of
from lensfold.scoring.metrics import CHALLENGE_BETA_SQUARED
from lensfold.scoring.radius import radii_of_logs, radius_table
from lensfold.scoring.score_table import score_table
from lensfold.settings_files import digest
from lensfold.submission.csv_file import read_submission
from lensfold.submission.manifest import read_submission_manifest
from lensfold.submission.parse import ScoreKind

LARGE = 150


def score_oof(
    catalog: pd.DataFrame,
    oof: pd.DataFrame,
    rule: str,
    grouped: bool = False,
    task: Task = "lens",
    beta_squared: float = CHALLENGE_BETA_SQUARED,
    probabilities: bool = False,
) -> dict:
    """All scores of logits (columns logit, fold; index ID) under a label rule; dropped objects are left out.

    ``grouped``: draw haloes instead of objects for the intervals. With the task "einstein-radius" the logits are log
    theta_E, and `score_radii` scores them. ``beta_squared``, ``probabilities``: as `score_table` takes them.
    """
    if task == "einstein-radius":
        radii = pd.Series(radii_of_logs(oof["logit"]), index=oof.index)
        return score_radii(catalog, radii, oof["fold"], rule, grouped)
    asked = lens_task(catalog, oof.index, rule)
    scored = oof.loc[asked.ids]
    scores = score_table(
        asked.labels,
        scored["logit"],
        scored["fold"],
        asked.bins,
        asked.large,
        groups=asked.haloes if grouped else None,
        beta_squared=beta_squared,
        probabilities=probabilities,
    )
    return {"task": task, "rule": rule, **scores}


@dataclass(frozen=True)
class LensTask:
    """What the catalog tells of the objects that a label rule keeps, arrays in the order of ``ids``."""

    ids: pd.Index
    labels: np.ndarray
    bins: dict[str, np.ndarray]
    large: np.ndarray
    haloes: np.ndarray


def lens_task(catalog: pd.DataFrame, ids: pd.Index, rule: str) -> LensTask:
    """Labels, bins, large-lens labels and haloes of those of ``ids`` that the rule does not drop."""
    labels = catalogs.labels(catalog, rule).reindex(ids).dropna()
    bins = catalogs.score_bins(catalog).loc[labels.index]
    return LensTask(
        labels.index,
        labels.to_numpy(),
        {name: bins[name].to_numpy() for name in bins},
        catalogs.large_lens_labels(catalog, rule, LARGE)[labels.index].to_numpy(),
        catalogs.halo_groups(catalog)[labels.index].to_numpy(),
    )


def score_radii(
    catalog: pd.DataFrame, radii: pd.Series, fold: pd.Series, rule: str, grouped: bool = False, calibrate: bool = True
) -> dict:
    """Scores of Einstein radii (arcsec, by ID as ``fold``) on the lenses of a label rule that have one.

    ``grouped`` as in `score_oof`; ``calibrate``: with a factor from other folds (see `lensfold.scoring.radius`).
    """
    truth = np.exp(catalogs.log_einstein_radius(catalog)).reindex(radii.index)
    kept = truth.notna() & (catalogs.labels(catalog, rule).reindex(radii.index) == 1)
    groups = catalogs.halo_groups(catalog).reindex(radii.index)[kept] if grouped else None
    sizes = catalogs.size_bins(catalog).reindex(radii.index)[kept]
    scores = radius_table(truth[kept], radii[kept], fold[kept], sizes=sizes, groups=groups, calibrate=calibrate)
    return {"task": "einstein-radius", "rule": rule, **scores}


def score_run(workspace: Workspace, pack: Pack, experiment: str, beta_squared: float = CHALLENGE_BETA_SQUARED) -> dict:
    """Score a run's complete folds, keep the result in ``score.json``, ``oof.csv`` and the pack's history."""
    member = Member(experiment, workspace.run(pack.name, experiment))
    config = member.config()
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    oof = read_oof(member.folder)
    check_folds(member, folds, workspace.folds(pack))
    cached = {i for shard in read_manifest(workspace.cache(pack, "train"))["shards"] for i in shard["ids"]}
    check_oof(member, oof, folds, cached)
    scores = run_scores(member, pack.name, catalog, folds, oof, beta_squared)
    with replacing(member.folder / "oof.csv") as temporary:
        oof["logit"].to_csv(temporary)
    write_json(member.folder / "score.json", scores)
    append_history(workspace.submission(pack, "history"), scores, digest(config))
    return scores


def run_scores(
    member: Member, pack_name: str, catalog: pd.DataFrame, folds: pd.Series, oof: pd.DataFrame, beta_squared: float
) -> dict:
    """The row of a run: its name and cost, and every score of its out-of-fold logits.

    Where haloes repeat, ``auc_by_draws`` has the AUC's interval over objects and over haloes.
    """
    config = member.config()
    task = task_of(config)
    runs = [json.loads((folder / "run.json").read_text()) for folder in fold_folders(member.folder)]
    rule, grouped = config["experiment"]["label_rule"], folds_are_grouped(catalog, folds)
    scores = score_oof(catalog, oof, rule, grouped, task, beta_squared)
    if task == "lens" and catalogs.halo_groups(catalog).duplicated().any():
        other = score_oof(catalog, oof, rule, not grouped, task, beta_squared)
        scores["auc_by_draws"] = {told["bootstrap"]["over"]: told["auc"] for told in (scores, other)}
    return {
        "name": member.name,
        "pack": pack_name,
        "of_folds": int(folds.max()) + 1,
        "seconds": sum(run["seconds"] for run in runs),
        "parameters": runs[0]["parameters"],
        **scores,
    }


def folds_are_grouped(catalog: pd.DataFrame, folds: pd.Series) -> bool:
    """Whether every halo lies within one fold, and haloes do repeat."""
    haloes = catalogs.halo_groups(catalog)
    return haloes.duplicated().any() and bool((folds.groupby(haloes).nunique() == 1).all())


def check_folds(member: Member, folds: pd.Series, path: Path) -> None:
    """InputError unless a run was trained on these folds, read from ``path``."""
    expected, found = folds_hash(folds), member.config()["folds_hash"]
    if found != expected:
        raise InputError(
            f"{member.folder}: trained on other folds ({found[:12]}) than {path} ({expected[:12]}). Train it again."
        )


def grade_submission(workspace: Workspace, pack: Pack, name: str, beta_squared: float = CHALLENGE_BETA_SQUARED) -> None:
    """Score the CSV against the key of a simulated pack; the rule is the one its members were trained under.

    The file of Einstein radii too, where the submission has one.
    """
    if not pack.key.is_file():
        raise InputError(f"{pack.key}: no key. Only simulated packs have one; the challenge's was never published.")
    target = workspace.submission(pack, name)
    manifest = read_submission_manifest(target)
    header, second = manifest.settings["header"], manifest.radius
    key = catalogs.read_catalog(pack.key)
    row = {"name": f"{name} on the test key", "pack": pack.name, "of_folds": 1, "seconds": None}
    table = _graded_rows(target, key, header, "probability")
    probabilities = manifest.settings.get("score", "probability") == "probability"
    scores = score_oof(key, table, manifest.label_rule, beta_squared=beta_squared, probabilities=probabilities)
    show_scores(pack.name, [{**row, **scores}], kind="test")
    if second:
        table = _graded_rows(workspace.submission(pack, f"{name}_radius"), key, header, "radius")
        scores = score_radii(key, table["logit"], table["fold"], second.label_rule, calibrate=False)
        show_scores(pack.name, [{**row, **scores}], kind="test")


def _graded_rows(path: Path, key: pd.DataFrame, header: bool, score: ScoreKind) -> pd.DataFrame:
    """What a file says of the objects of the key, as one fold."""
    submitted = read_submission(path, header=header, score=score)
    return pd.DataFrame({"logit": submitted[submitted.index.isin(key.index)], "fold": 0})


def show_folds(pack_name: str, catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Per fold: objects, share of lenses under each rule, objects by lens size, and how haloes are shared."""
    rows = strata_table(catalog, folds)
    columns = ("fold", "n", *catalogs.LABEL_RULES, *catalogs.SIZE_BIN_NAMES, "largest halo", "shared haloes")
    cells = []
    for row in rows:
        shares = [("–" if row[rule] is None else f"{row[rule]:.3f}") for rule in catalogs.LABEL_RULES]
        counts = [row[name] for name in catalogs.SIZE_BIN_NAMES]
        cells.append(
            [row["fold"], row["n"], *shares, *counts, f"{row['largest_halo']:.3f}", f"{row['shared_haloes']:.3f}"]
        )
    show_table(f"folds · pack {pack_name} · share of lenses by rule, objects by lens size in pixels", columns, cells)
    told = imbalance(catalog, folds)
    if told:
        print(told)


def show_strata(catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Objects of each stratum in each fold, and what makes the folds unequal where something does."""
    counts = strata_counts(catalog, folds)
    names = ["lens size", "images", "source", *(f"fold {fold}" for fold in counts.columns), "all"]
    show_table("objects by stratum", names, [[*key, *row, sum(row)] for key, *row in counts.itertuples()])


def show_cache(pack_name: str, split: str, manifest: dict) -> None:
    """What a cache holds, and what was left out and why."""
    sigma = ", ".join(f"{band} {value:.3g}" for band, value in manifest["sigma"].items())
    print(
        f"cache {pack_name} {split}: {manifest['objects']} objects, {len(manifest['shards'])} shards; "
        f"background sigma {sigma}"
    )
    if manifest["repaired"]:
        pixels = sum(count for bands in manifest["repaired"].values() for count in bands.values())
        print(f"  mended {pixels} pixels of {len(manifest['repaired'])} objects (listed in the cache's manifest.json)")
    for object_id, reason in list(manifest["refused"].items())[:20]:
        print(f"  left out {object_id}: {reason}")
    if len(manifest["refused"]) > 20:
        print(f"  … {len(manifest['refused'])} left out in all; every one is in the cache's manifest.json")


def show_import(table: pd.DataFrame, out: Path, pictures: Sequence[Path]) -> None:
    """The objects of an import with their share of bad pixels, and where to go from there."""
    bad = [name for name in table.columns if name.startswith("bad_")]
    rows = [
        [row["ID"], row["file"], f"{row['ra']:.5f}", f"{row['dec']:.5f}", *(f"{row[name]:.2%}" for name in bad)]
        for _, row in table.head(20).iterrows()
    ]
    show_table(f"{len(table)} objects in {out}", ("ID", "file", "RA", "Dec", *(n.replace("_", " ") for n in bad)), rows)
    for picture in pictures:
        print(picture)
    print(f"Rank them with: make predict DATA={out} TRAINED=<pack you trained on>")


def show_verified(pack_name: str, split: str, problems: dict[str, str], rebuilt: bool) -> None:
    """Which shards are damaged, and what became of them."""
    for shard, problem in problems.items():
        print(f"{shard}: {problem}")
    if not problems:
        print(f"cache {pack_name} {split}: every shard is as it was written")
    elif rebuilt:
        print(f"cache {pack_name} {split}: {len(problems)} shards built again")
    else:
        print(f"cache {pack_name} {split}: {len(problems)} damaged shards; --rebuild builds them again, and only them")


def write_json(path: Path, content: dict) -> None:
    """Write plain values and numpy numbers as indented JSON; a reader never meets a half-written file."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} does not go into JSON")
