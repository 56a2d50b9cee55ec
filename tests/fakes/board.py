"""Runs, submissions and a history as training leaves them, of networks that know the labels up to some noise."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fakes.catalog import catalog_text, fake_catalog, with_radii
from fakes.runs import RULE, known, reconfigure, write_run
from lensfold.config import Experiment
from lensfold.data.catalog import read_catalog
from lensfold.files import digest, file_sha256
from lensfold.leaderboard.history import append_history
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import Run
from lensfold.submission.manifest import FORMAT

STAGE = {"min_size": 20, "epochs": 2, "learning_rate": 0.001}
#: scores that no test compares with another's
FIXED = {
    "mean_fold_auc": 0.8, "f1": 0.75, "accuracy": 0.74, "average_precision": 0.82,
    "one_minus_f_beta": 0.0156, "tpr0": 0.02, "tpr10": 0.25,
}  # fmt: skip


def board_workspace(root: Path, n: int = 120) -> tuple[Workspace, Pack]:
    """A workspace whose pack ``p`` is only a catalog; it calls itself simulated."""
    pack = Workspace(root).pack("p")
    pack.catalog.parent.mkdir(parents=True)
    pack.catalog.write_text("# SYNTHETIC\n" + catalog_text(with_radii(fake_catalog(n))))
    return Workspace(root), pack


def score(value: float | None) -> dict:
    """A score with an interval of 0.02."""
    limits = {"low": None, "high": None} if value is None else {"low": value - 0.01, "high": value + 0.01}
    return {"value": value, **limits}


def difference(first: float, second: float) -> dict:
    """A paired difference with an interval of 0.02."""
    return {"first": first, "second": second, **score(second - first)}


def limits(value: float, low: float, high: float) -> dict:
    """A score with its interval."""
    return {"value": value, "low": low, "high": high}


def searcher_scores(is_limit: bool = False, prevalence: float = 1 / 2000) -> dict:
    """What a score says where the first of each pair rests on false positives, or does not."""
    first = [
        {
            "n": 100,
            "false": 0.5,
            "is_limit": is_limit,
            "purity": limits(0.4, 0.094, 0.5),
            "completeness": limits(0.8, 0.19, 1.0),
        },
        {
            "n": 1000,
            "false": 19,
            "is_limit": False,
            "purity": limits(0.045, 0.04, 0.049),
            "completeness": limits(0.9, 0.8, 0.98),
        },
    ]
    recalls = [
        {
            "recall": 0.5,
            "false": 0,
            "is_limit": is_limit,
            "false_rate": limits(5e-05, 0.0, 0.0015),
            "inspect": limits(30.0, 25.0, 174.6),
        },
        {
            "recall": 0.9,
            "false": 20,
            "is_limit": False,
            "false_rate": limits(0.0194, 0.0124, 0.0302),
            "inspect": limits(1964.3, 1259.7, 3046),
        },
    ]
    known = {"prevalence": prevalence, "objects": 100_000, "n_lenses": 400, "n_others": 2000, "unresolved": 70.0}
    return {"searcher": {**known, "first": first, "recalls": recalls}}


def lens_scores(name: str, auc: float | None, folds: tuple[int, ...], n: int, **others: object) -> dict:
    """What ``score.json`` says of a run that finds lenses, with made-up values."""
    bins = [{"bin": i, "n": 10 * i, **score(None if i == 0 else 0.5 + 0.08 * i)} for i in range(6)]
    return {
        "name": name, "pack": "p", "of_folds": 3, "seconds": 100.0 * len(folds), "parameters": 155553, "task": "lens",
        "rule": RULE, "n": n, "n_lenses": n // 2, "folds": list(folds), "bootstrap": {"over": "objects"},
        "auc": score(auc), **{key: score(value) for key, value in FIXED.items()}, "auc_by_size": bins,
        "auc_large": {"n": 70, "n_lenses": 30, **score(0.9)}, **others,
    }  # fmt: skip


def radius_scores(name: str, mse: float, folds: tuple[int, ...], n: int) -> dict:
    """The same of a run that predicts Einstein radii."""
    bins = [{"bin": i, "n": 5, **score(0.3), "constant": 0.9} for i in range(6)]
    return {
        "name": name, "pack": "p", "of_folds": 3, "seconds": 7200.0, "parameters": 20177713, "task": "einstein-radius",
        "rule": RULE, "n": n, "folds": list(folds), "bootstrap": {"over": "objects"}, "mse": score(mse),
        "mse_constant": score(0.9), "relative_rms": score(0.2), "median_error": 0.31, "mse_by_size": bins,
    }  # fmt: skip


def write_scored_run(
    workspace: Workspace,
    pack: Pack,
    name: str,
    auc: float | None = 0.8,
    *,
    noise: float = 1.0,
    seed: int = 0,
    folds: tuple[int, ...] = (0, 1, 2),
    mse: float | None = None,
    experiment: dict | None = None,
    record: dict | None = None,
    config: dict | None = None,
    scores: dict | None = None,
) -> dict:
    """A scored run; ``mse`` makes it one of Einstein radii. The mappings replace single entries of its files."""
    catalog = read_catalog(pack.catalog)
    task = "lens" if mse is None else "einstein-radius"
    logits = known(catalog, task) + np.random.default_rng(seed).normal(0, noise, len(catalog))
    resolved = Experiment.model_validate_json(json.dumps({"task": task, "stage": [STAGE], **(experiment or {})}))
    fold_of = pd.Series(np.arange(len(catalog)) % 3, catalog.index)
    kept = fold_of[fold_of.isin(folds)]
    experiment = resolved.model_dump(mode="json", exclude={"predict"})
    record = {"seconds": 100.0, "parameters": 155553, **(record or {})}
    config = {"folds_hash": "f" * 64, **(config or {})}
    folder = workspace.runs(pack.name) / name
    write_run(folder, logits, kept, experiment, config=config, record=record)
    n = sum(len(range(fold, len(catalog), 3)) for fold in folds)
    made = lens_scores(name, auc, folds, n) if mse is None else radius_scores(name, mse, folds, n)
    write_score(workspace, pack, name, {**made, **(scores or {})})
    return json.loads((folder / "config.json").read_text())


def write_score(workspace: Workspace, pack: Pack, name: str, content: dict) -> None:
    """The score of a run, of the files there are now."""
    run = Run(workspace.runs(pack.name) / name)
    origin = run.score_origin(file_sha256(pack.catalog), None)
    (run.folder / "score.json").write_text(json.dumps({**content, "made_from": origin}))


def rescore(workspace: Workspace, pack: Pack, name: str) -> None:
    """Bind a run and its score to the files that there are now."""
    folder = workspace.runs(pack.name) / name
    reconfigure(folder)
    write_score(workspace, pack, name, json.loads((folder / "score.json").read_text()))


def code(**modules: str) -> dict:
    """What ``run.json`` keeps of the code, with these hashes of modules."""
    return {
        "core_seconds": 190.5,
        "finished": "2026-11-25T08:39:59",
        "code": {"commit": "abcdef0123" * 4, "dirty": False, "modules": modules},
    }


def write_submission(workspace: Workspace, pack: Pack, name: str, members: dict[str, dict], auc: float = 0.85) -> Path:
    """The manifest of a submission of these runs (name to config)."""
    path = workspace.submission(pack, name).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    described = {
        key: {"weight": 1.0, "config_hash": digest(config), "config": config, "folds": [0, 1, 2]}
        for key, config in members.items()
    }
    scores = [lens_scores("ensemble (logit-mean)", auc, (0, 1, 2), 120)]
    several = len(members) > 1
    adds = [{"name": key, "own": score(auc - 0.1), **difference(auc - 0.05, auc)} for key in members] if several else []
    settings = {
        "combine": "logit-mean",
        "calibrate": "none",
        "select_by": "auc",
        "member": [{"experiment": key, "weight": 1.0} for key in members],
    }
    manifest = {"format": FORMAT, "catalog_sha256": file_sha256(pack.catalog),
                "submission": name, "pack": pack.name, "trained_on": pack.name, "settings": settings,
                "members": described, "label_rule": RULE, "scores": scores, "radius": None,
                "ensemble": {"adds": adds}}  # fmt: skip
    path.write_text(json.dumps(manifest))
    path.with_suffix(".csv").touch()
    return path


def write_history(workspace: Workspace, pack: Pack, name: str, auc: float, config_hash: str = "c" * 64) -> None:
    """A line of the history as scoring appends it, at a fixed time."""
    path = workspace.submission(pack, "history")
    append_history(path, lens_scores(name, auc, (0,), 40), config_hash)
    lines = path.read_text().splitlines()
    lines[-1] = "2026-11-24T13:59:42" + lines[-1][19:]
    path.write_text("\n".join(lines) + "\n")
