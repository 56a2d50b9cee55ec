"""Runs as training leaves them, without training: networks that know the answer up to a scatter."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fakes.catalog import catalog_text, fake_catalog
from lensfold.data.cache import FORMAT, pixels_hash, read_manifest
from lensfold.data.catalog import LABEL_RULES, labels, read_catalog, training_hash
from lensfold.data.folds import folds_hash, make_folds, write_folds
from lensfold.files import digest
from lensfold.paths import Pack, Workspace
from lensfold.runs.logits import write_logits
from lensfold.runs.predictions import FoldPrediction, fold_predictions
from lensfold.runs.run import Run, mark_complete

RULE = "official-2020"


def write_catalogs(root: Path, pack: str = "fake", n: int = 600, n_test: int = 40, haloes: int = 60) -> pd.DataFrame:
    """Train catalog, key and plain folds of a pack without images; returns the train catalog."""
    folder = root / "data" / pack
    (folder / "truth").mkdir(parents=True)
    catalog, key = fake_catalog(n, haloes=haloes), fake_catalog(n_test, seed=9)
    (folder / "image_catalog2.0train.csv").write_text(catalog_text(catalog))
    (folder / "truth" / "image_catalog2.0test.csv").write_text(catalog_text(key))
    cache = folder / "cache" / "test"
    cache.mkdir(parents=True)
    shard = {"ids": key.index.tolist(), "sha256": "0" * 64}
    origin = {"kind": "folder", "path": str((folder / "test").resolve()), "files": 0, "sha256": "0" * 64,
              "catalog": None, "expected": None, "unread": []}  # fmt: skip
    content = {"format": FORMAT, "made_from": origin, "shards": [shard], "refused": {}}
    (cache / "manifest.json").write_text(json.dumps(content))
    write_folds(root / "folds" / f"{pack}.csv", make_folds(catalog, 3, 1))
    return catalog


def leave_run(
    root: Path,
    pack: str,
    name: str,
    oof: pd.Series,
    folds: pd.Series,
    experiment: dict,
    *,
    config: dict | None = None,
    record: dict | None = None,
    test: Sequence[pd.Series] = (),
    catalog: pd.DataFrame | None = None,
) -> Path:
    """Write a run's folder as training leaves it, with these logits by ID; return the folder.

    ``folds``: of the objects of ``oof``, a fold folder for each number. ``test``: the test logits of each fold in turn.
    ``config`` replaces entries of its config.json, ``record`` of every run.json; ``catalog``: the pack's, if not there.
    """
    workspace = Workspace(root)
    place, rule = workspace.pack(pack), experiment["label_rule"]
    catalog = read_catalog(place.catalog) if catalog is None else catalog
    content = {
        "pack": pack,
        "experiment": experiment,
        "folds_hash": folds_hash(folds),
        "data_hash": "d" * 64,
        "labels_hash": training_hash(catalog, rule, experiment.get("task", "lens")) if rule in LABEL_RULES else "",
        **(config or {}),
    }
    folder = workspace.runs(pack) / name
    folder.mkdir(parents=True, exist_ok=True)
    for fold in sorted(set(folds)):
        ids = folds.index[folds == fold].to_numpy()
        write_logits(folder / f"fold{fold}" / "oof.csv", ids, oof[ids].to_numpy())
        (folder / f"fold{fold}" / "model.keras").write_bytes(f"network {name} {fold}".encode())
        (folder / f"fold{fold}" / "run.json").write_text(
            json.dumps({"seconds": 60.0, "parameters": 7, **(record or {})})
        )
    (folder / "predict.json").write_text(json.dumps({"batch_size": 128, "d4_average": True}))
    reconfigure(folder, content)
    if len(test):
        for logits, prediction in zip(test, predictions_of(workspace, place, folder), strict=True):
            prediction.write(logits.index.to_numpy(), logits.to_numpy())
    return folder


def predictions_of(workspace: Workspace, pack: Pack, folder: Path) -> list[FoldPrediction]:
    """The predictions of a pack's cached test split by the run in a folder."""
    return fold_predictions(Run(folder), pack.name, pixels_hash(read_manifest(workspace.cache(pack, "test"))))


def reconfigure(folder: Path, config: dict | None = None) -> None:
    """Bind a run's files to these settings (or those it has), as if all folds had been trained and predicted so."""
    content = json.loads((folder / "config.json").read_text()) if config is None else config
    (folder / "config.json").write_text(json.dumps(content))
    for oof in folder.glob("fold*/oof.csv"):
        mark_complete(oof.parent, {"settings": digest(content)}, oof.parent / "model.keras")
    workspace, pack = Workspace(folder.parents[2]), folder.parent.name
    if any(folder.glob("fold*/test/*.csv")):
        for prediction in predictions_of(workspace, workspace.pack(pack), folder):
            table = pd.read_csv(prediction.target, index_col="ID")["logit"]
            prediction.write(table.index.to_numpy(), table.to_numpy())


def relabel(root: Path, pack: str = "fake") -> None:
    """Bind every run of a pack to the labels that its catalog gives now."""
    catalog = read_catalog(Workspace(root).pack(pack).catalog)
    for path in Workspace(root).runs(pack).glob("*/config.json"):
        config = json.loads(path.read_text())
        experiment = config["experiment"]
        labels_hash = training_hash(catalog, experiment["label_rule"], experiment.get("task", "lens"))
        reconfigure(path.parent, config | {"labels_hash": labels_hash})


def write_run(
    root: Path,
    catalog: pd.DataFrame,
    name: str,
    scatter: float,
    pack: str = "fake",
    scale: float = 2.0,
    seed: int = 1,
    grouped: bool = False,
    n_test: int = 40,
    **config: object,
) -> Path:
    """Leave a run whose logits are ± scale plus noise: half of it in common with runs of the same ``seed``."""
    folds = make_folds(catalog, 3, 1, group=grouped)
    own = sum(name.encode()) + 1000
    key = fake_catalog(n_test, seed=9)

    def answer(table: pd.DataFrame, part: int) -> pd.Series:
        truth = 2 * labels(table, RULE).to_numpy() - 1
        shared, alone = (np.random.default_rng([s, part, len(table)]).normal(size=len(table)) for s in (seed, own))
        return pd.Series(scale * (truth + scatter * (shared + alone) / np.sqrt(2)), table.index)

    experiment = config.pop("experiment", {"label_rule": RULE})
    test = [answer(key, fold) for fold in range(3)] if pack == "fake" else ()
    return leave_run(root, pack, name, answer(catalog, 0), folds, experiment, config=config, test=test, catalog=catalog)


def write_submission_settings(root: Path, text: str, name: str = "default") -> None:
    (root / "submissions").mkdir(exist_ok=True)
    (root / "submissions" / f"{name}.toml").write_text(text)
