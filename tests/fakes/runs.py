"""Runs as training leaves them, without training: networks that know the answer up to a scatter."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fakes.catalog import catalog_text, fake_catalog
from lensfold.data.cache import FORMAT
from lensfold.data.catalog import labels
from lensfold.data.folds import folds_hash, make_folds, write_folds
from lensfold.runs.logits import write_logits

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
    content = {"format": FORMAT, "shards": [shard], "refused": {}}
    (cache / "manifest.json").write_text(json.dumps(content))
    write_folds(root / "folds" / f"{pack}.csv", make_folds(catalog, 3, 1))
    return catalog


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
    """A run whose logits are ± scale plus noise: half of it in common with runs of the same ``seed``."""
    folds = make_folds(catalog, 3, 1, group=grouped)
    own = sum(name.encode()) + 1000
    key = fake_catalog(n_test, seed=9)
    folder = root / "runs" / pack / name

    def answer(table: pd.DataFrame, part: int) -> np.ndarray:
        truth = 2 * labels(table, RULE).to_numpy() - 1
        shared, alone = (np.random.default_rng([s, part, len(table)]).normal(size=len(table)) for s in (seed, own))
        return scale * (truth + scatter * (shared + alone) / np.sqrt(2))

    values = pd.Series(answer(catalog, 0), catalog.index)
    for fold in range(3):
        ids = folds.index[folds == fold].to_numpy()
        write_logits(folder / f"fold{fold}" / "oof.csv", ids, values[ids].to_numpy())
        write_logits(folder / f"fold{fold}" / "test" / f"{pack}.csv", key.index.to_numpy(), answer(key, fold))
        (folder / f"fold{fold}" / "run.json").write_text(json.dumps({"seconds": 60.0, "parameters": 7}))
    told = {"experiment": {"label_rule": RULE}, "folds_hash": folds_hash(folds), "data_hash": "d" * 64, **config}
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def write_submission_settings(root: Path, text: str, name: str = "default") -> None:
    (root / "submissions").mkdir(exist_ok=True)
    (root / "submissions" / f"{name}.toml").write_text(text)
