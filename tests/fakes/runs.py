"""Runs as training leaves them, without training: networks that know the answer up to a scatter."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fakes.catalog import catalog_text, fake_catalog
from lensfold.data.cache import FORMAT, pixels_hash, read_manifest
from lensfold.data.catalog import LABEL_RULES, labels, log_einstein_radius, read_catalog, training_hash
from lensfold.data.folds import folds_hash, make_folds, read_folds, write_folds
from lensfold.files import digest
from lensfold.frames import BAND_SHAPES
from lensfold.paths import Pack, Workspace
from lensfold.runs.logits import write_logits
from lensfold.runs.predictions import FoldPrediction, fold_predictions
from lensfold.runs.run import Run, mark_complete

RULE = "official-2020"


def write_catalogs(root: Path, pack: str = "fake", n: int = 600, n_test: int = 40, haloes: int = 60) -> pd.DataFrame:
    """Write train catalog, key and plain folds of a pack without images; return the train catalog."""
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
    content = {"format": FORMAT, "made_from": origin, "bands": BAND_SHAPES, "objects": n_test, "shards": [shard],
               "refused": {}}  # fmt: skip
    (cache / "manifest.json").write_text(json.dumps(content))
    write_folds(root / "folds" / f"{pack}.csv", make_folds(catalog, 3, 1))
    return catalog


def write_run(
    folder: Path,
    oof: pd.Series,
    folds: pd.Series,
    experiment: dict,
    *,
    config: dict | None = None,
    record: dict | None = None,
    test: Sequence[pd.Series] = (),
    catalog: pd.DataFrame | None = None,
    one_view: pd.Series | None = None,
) -> Path:
    """Write a run's ``folder`` (runs/<pack>/<name>) as training leaves it, with these logits by ID, and return it.

    ``folds``: of the objects of ``oof``, a fold folder for each number. ``test``: the test logits of each fold in turn.
    ``config`` replaces entries of its config.json, ``record`` of every run.json. ``catalog`` gives the hash of the
    labels, by default the pack's own, or none where ``config`` has that hash. ``one_view``: logits of one view.
    """
    experiment = {"label_rule": RULE, "task": "lens", "stage": [{"min_size": 20, "epochs": 1}], **experiment}
    content = {
        "pack": folder.parent.name,
        "experiment": experiment,
        "folds_hash": folds_hash(folds),
        "data_hash": "d" * 64,
        **(config or {}),
    }
    if "labels_hash" not in content:
        content["labels_hash"] = _labels_hash(_pack_of(folder) if catalog is None else catalog, experiment)
    folder.mkdir(parents=True, exist_ok=True)
    for fold in sorted(set(folds)):
        ids = folds.index[folds == fold].to_numpy()
        first = None if one_view is None else one_view[ids].to_numpy()
        write_logits(folder / f"fold{fold}" / "oof.csv", ids, oof[ids].to_numpy(), first)
        (folder / f"fold{fold}" / "model.keras").write_bytes(f"network {folder.name} {fold}".encode())
        run_record = {"seconds": 60.0, "parameters": 7, **(record or {})}
        (folder / f"fold{fold}" / "run.json").write_text(json.dumps(run_record))
    (folder / "predict.json").write_text(json.dumps({"batch_size": 128, "d4_average": True}))
    reconfigure(folder, content)
    if len(test):
        for logits, prediction in zip(test, predictions_of(folder), strict=True):
            prediction.write(logits.index.to_numpy(), logits.to_numpy())
    return folder


def _pack_of(folder: Path) -> pd.DataFrame:
    """The train catalog of the pack that a run folder is filed under."""
    return read_catalog(Workspace(folder.parents[2]).pack(folder.parent.name).catalog)


def _labels_hash(catalog: pd.DataFrame, experiment: dict) -> str:
    rule = experiment["label_rule"]
    return training_hash(catalog, rule, experiment["task"]) if rule in LABEL_RULES else ""


def known(catalog: pd.DataFrame, task: str = "lens", rule: str = RULE) -> pd.Series:
    """What a perfect network of a task would say, by ID; NaN where a label rule drops an object."""
    return log_einstein_radius(catalog) if task == "einstein-radius" else labels(catalog, rule)


def predictions_of(folder: Path) -> list[FoldPrediction]:
    """The predictions of its own pack's cached test split by the run in a folder."""
    workspace = Workspace(folder.parents[2])
    pack: Pack = workspace.pack(folder.parent.name)
    return fold_predictions(Run(folder), pack.name, pixels_hash(read_manifest(workspace.cache(pack, "test"))))


def bind_folds(folder: Path) -> None:
    """Say in every fold's ``done.json`` that it is of the run's settings, with the logits and network it has now."""
    identity = digest(json.loads((folder / "config.json").read_text()))
    for oof in folder.glob("fold*/oof.csv"):
        mark_complete(oof.parent, {"settings": identity}, oof.parent / "model.keras")


def reconfigure(folder: Path, config: dict | None = None) -> None:
    """Bind a run's files to these settings (or those it has), as if all folds had been trained and predicted so."""
    content = json.loads((folder / "config.json").read_text()) if config is None else config
    (folder / "config.json").write_text(json.dumps(content))
    bind_folds(folder)
    if any(folder.glob("fold*/test/*.csv")):
        for prediction in predictions_of(folder):
            table = pd.read_csv(prediction.target, index_col="ID")["logit"]
            prediction.write(table.index.to_numpy(), table.to_numpy())


def relabel(root: Path, pack: str = "fake") -> None:
    """Bind every run of a pack to the labels that its catalog gives now."""
    catalog = read_catalog(Workspace(root).pack(pack).catalog)
    for path in Workspace(root).runs(pack).glob("*/config.json"):
        config = json.loads(path.read_text())
        reconfigure(path.parent, config | {"labels_hash": _labels_hash(catalog, config["experiment"])})


def write_correlated_run(
    root: Path,
    catalog: pd.DataFrame,
    name: str,
    scatter: float,
    pack: str = "fake",
    scale: float = 2.0,
    seed: int = 1,
    grouped: bool = False,
    n_test: int = 40,
    experiment: dict | None = None,
    **config: object,
) -> Path:
    """Write a run whose logits are ± scale plus noise: half of it in common with runs of the same ``seed``."""
    folds = make_folds(catalog, 3, 1, group=grouped)
    own = sum(name.encode()) + 1000
    key = fake_catalog(n_test, seed=9)

    def answer(table: pd.DataFrame, part: int) -> pd.Series:
        truth = 2 * known(table).to_numpy() - 1
        shared, private = (np.random.default_rng([s, part, len(table)]).normal(size=len(table)) for s in (seed, own))
        return pd.Series(scale * (truth + scatter * (shared + private) / np.sqrt(2)), table.index)

    test = [answer(key, fold) for fold in range(3)] if pack == "fake" else ()
    folder = Workspace(root).runs(pack) / name
    return write_run(folder, answer(catalog, 0), folds, experiment or {}, config=config, test=test, catalog=catalog)


def write_predicting_run(root: Path, name: str, task: str, seed: int, scatter: float = 0.3) -> Path:
    """Write a run of pack ``fake`` that answers the train and the test split up to ``scatter``."""
    pack = Workspace(root).pack("fake")
    train, test = read_catalog(pack.catalog), read_catalog(pack.key)
    generator = np.random.default_rng(seed)

    def answer(catalog: pd.DataFrame) -> pd.Series:
        return known(catalog, task) + generator.normal(0, scatter, len(catalog))

    oof, tests = answer(train), [answer(test) for _ in range(3)]
    folds = read_folds(root / "folds" / "fake.csv", train)
    return write_run(Workspace(root).runs("fake") / name, oof, folds, {"task": task}, test=tests)


def write_run_with_history(
    root: Path,
    name: str,
    task: str = "lens",
    seed: int = 0,
    scatter: float = 0.7,
    rule: str = RULE,
    experiment: dict | None = None,
    one_view: bool = False,
    **config: object,
) -> Path:
    """Write a run of pack ``fake`` with its epochs; ``config`` replaces entries of its config.json.

    ``one_view``: with logits of one view, which scatter more than the mean of eight.
    """
    pack = Workspace(root).pack("fake")
    catalog = read_catalog(pack.catalog)
    folds = read_folds(Workspace(root).folds(pack), catalog)
    logits = known(catalog, task, rule).fillna(0.5) + np.random.default_rng(seed).normal(0, scatter, len(catalog))
    settings = {"label_rule": rule, "task": task, "learner": {"name": "fast_cnn"}, **(experiment or {})}
    first = logits + np.random.default_rng(seed + 100).normal(0, scatter, len(catalog)) if one_view else None
    folder = write_run(Workspace(root).runs("fake") / name, logits, folds, settings, config=config, one_view=first)
    watched = "valid_mse" if task == "einstein-radius" else "valid_auc"
    history = {
        "epoch": [1, 2, 3, 4],
        "min_size": [150, 150, 20, 20],
        "trainable": "all",
        "loss": [0.7, 0.5, 0.55, 0.4],
        watched: [0.6, 0.7, 0.72, 0.8],
    }
    for fold in sorted(set(folds)):
        pd.DataFrame(history).to_csv(folder / f"fold{fold}" / "history.csv", index=False)
    return folder


def write_submission_settings(root: Path, text: str, name: str = "default") -> None:
    """Write ``submissions/<name>.toml``."""
    (root / "submissions").mkdir(exist_ok=True)
    (root / "submissions" / f"{name}.toml").write_text(text)
