"""Run folders as training leaves them, without any training: the answers are known, up to a scatter."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakes.runs import leave_run
from lensfold.data.catalog import ARCSEC_PER_RADIAN, labels, log_einstein_radius, read_catalog
from lensfold.data.folds import read_folds
from lensfold.paths import Workspace

RULE = "official-2020"


def give_radii(path: Path, seed: int = 1) -> None:
    """Give every object of a catalog file an Einstein radius of about 2.7 arcsec."""
    from fakes.catalog import catalog_text

    table = read_catalog(path)
    radii = np.exp(np.random.default_rng(seed).normal(1.0, 0.4, len(table)))
    table["ein_area"] = np.pi * (radii / ARCSEC_PER_RADIAN) ** 2
    path.write_text(catalog_text(table))


def write_run(
    root: Path,
    name: str,
    task: str = "lens",
    seed: int = 0,
    scatter: float = 0.7,
    rule: str = RULE,
    pack: str = "fake",
    **config: object,
) -> Path:
    """A run of all folds, and its folder; ``config`` replaces entries of its config.json."""
    workspace = Workspace(root)
    catalog = read_catalog(workspace.pack(pack).catalog)
    folds = read_folds(workspace.folds(workspace.pack(pack)), catalog)
    known = log_einstein_radius(catalog) if task == "einstein-radius" else labels(catalog, rule).fillna(0.5)
    logits = known + np.random.default_rng(seed).normal(0, scatter, len(catalog))
    experiment = {"label_rule": rule, "task": task, "learner": {"name": "fast_cnn"}, **config.pop("experiment", {})}
    folder = leave_run(root, pack, name, logits, folds, experiment, config=config)
    watched = "valid_mse" if task == "einstein-radius" else "valid_auc"
    for fold in range(int(folds.max()) + 1):
        history = {
            "epoch": [1, 2, 3, 4],
            "min_size": [150, 150, 20, 20],
            "trainable": "all",
            "loss": [0.7, 0.5, 0.55, 0.4],
            watched: [0.6, 0.7, 0.72, 0.8],
        }
        pd.DataFrame(history).to_csv(folder / f"fold{fold}" / "history.csv", index=False)
    return folder
