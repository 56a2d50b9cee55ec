"""Resolve the settings of an experiment for a pack."""

import json
import os
from pathlib import Path

import numpy as np

from lensfold.config import Experiment, read_toml
from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache, read_manifest, shards_hash, split_bands
from lensfold.data.folds import folds_hash, read_folds
from lensfold.files import alone, is_newer, write_if_changed
from lensfold.inputs.pixels import fit_constants
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import cache_split, is_cached

CONSTANTS_SAMPLE = 512


def configure(workspace: Workspace, pack: Pack, name: str) -> Path:
    """Resolve an experiment for a pack into ``runs/<pack>/<name>/config.json`` and ``predict.json``.

    A file is rewritten only when its content differs, so that a comment in an experiment retrains nothing.
    """
    experiment = read_toml(workspace.experiment(name), Experiment)
    cache_folder = workspace.cache(pack, "train")
    folds = read_folds(workspace.folds(pack), catalogs.read_catalog(pack.catalog))
    manifest = read_manifest(cache_folder)
    with Cache(cache_folder) as cache:
        ids = cache.ids[np.unique(np.linspace(0, len(cache.ids) - 1, CONSTANTS_SAMPLE).astype(int))]
        sample = [split_bands(row) for object_id in ids for row in cache.read([object_id])]
        constants = fit_constants(sample, experiment.pixels, cache.sigma)
    content = {
        "pack": pack.name,
        "experiment": experiment.model_dump(mode="json", exclude={"predict"}),
        "constants": constants,
        "folds_hash": folds_hash(folds),
        "data_hash": shards_hash(manifest),
    }
    if experiment.train.twins:
        content["twins_hash"] = shards_hash(_twins(workspace, pack))
    folder = workspace.run(pack.name, name)
    if _rewrite_if_changed(folder / "config.json", content):
        for oof in folder.glob("fold*/oof.csv"):  # of other settings: they must not be scored with new folds
            oof.unlink()
    _rewrite_if_changed(folder / "predict.json", experiment.predict.model_dump(mode="json"))
    workspace.configured(pack.name, name).touch()
    return folder


def configure_once(workspace: Workspace, pack: Pack, name: str) -> None:
    """As :func:`configure`, unless nothing that it reads is newer than when it was last done; one process at a time."""
    with alone(workspace.configured(pack.name, name).with_name(".configure.lock")):
        if not is_configured(workspace, pack, name):
            configure(workspace, pack, name)


def is_configured(workspace: Workspace, pack: Pack, name: str) -> bool:
    """Whether an experiment's settings were resolved since its file, the folds and the train cache last changed."""
    sources = workspace.experiment(name), workspace.folds(pack), workspace.cache(pack, "train") / "manifest.json"
    return is_newer(workspace.configured(pack.name, name), *sources)


def _twins(workspace: Workspace, pack: Pack) -> dict:
    """The manifest of the twins' cache, which is built where it is absent or of an earlier pack."""
    if not is_cached(workspace, pack, "twins"):
        return cache_split(workspace, pack, "twins", False, os.cpu_count() or 1)
    return read_manifest(workspace.cache(pack, "twins"))


def _rewrite_if_changed(path: Path, content: dict) -> bool:
    return write_if_changed(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
