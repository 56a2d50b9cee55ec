"""Scores of runs and graded submissions, the files that keep them, and what the terminal shows of packs and caches."""

import json
from pathlib import Path

import pandas as pd

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.data import catalog as catalogs
from lensfold.data.cache import read_manifest
from lensfold.data.folds import folds_hash, read_folds
from lensfold.ensemble.members import check_oof
from lensfold.errors import InputError
from lensfold.files import digest, replacing, write_json
from lensfold.leaderboard.history import append_history
from lensfold.paths import Pack, Workspace
from lensfold.report.terminal import show_scores
from lensfold.runs.run import Member, fold_folders, read_oof, task_of
from lensfold.scoring.out_of_fold import folds_are_grouped, score_oof, score_radii
from lensfold.submission.csv_file import read_submission
from lensfold.submission.manifest import read_submission_manifest
from lensfold.submission.parse import ScoreKind


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


def score_once(workspace: Workspace, pack: Pack, experiment: str, beta_squared: float = CHALLENGE_BETA_SQUARED) -> dict:
    """Return a run's scores: those kept, where they are of the files there are now, else new ones."""
    return score_run(workspace, pack, experiment, beta_squared)


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
