"""Resolve the settings of an experiment for a pack."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lensfold.config import (
    Experiment,
    check_bands,
    given_labels_problem,
    in_frames,
    read_toml,
    validated,
    with_given_labels,
)
from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache, bands_of, cached_ids, frame_side, pixels_hash, read_manifest, split_bands
from lensfold.data.folds import folds_hash, is_undivided, read_folds
from lensfold.data.given_features import features_file, features_hash, read_features
from lensfold.errors import InputError
from lensfold.files import exclusive, file_sha256, has_marker, read_marker, write_if_changed, write_marker
from lensfold.models.start.binding import bound_to_weights, located, starting_hash
from lensfold.models.start.published import Published, read_published
from lensfold.paths import Pack, Split, Workspace
from lensfold.pipeline.folds import undivided
from lensfold.pipeline.statistics import cache_statistics
from lensfold.realism.measure import sample_ids
from lensfold.runs.run import STATISTICS

if TYPE_CHECKING:
    from lensfold.inputs.pixels import StretchConstants

#: objects of the train split that the constants of the stretch are fitted to
CONSTANTS_SAMPLE = 512


def configure(workspace: Workspace, pack: Pack, name: str) -> Path:
    """Resolve an experiment for a pack into ``runs/<pack>/<name>/config.json`` and ``predict.json``; return the folder.

    A file is rewritten only when its content differs, so that a comment in an experiment retrains nothing. What it
    contains binds a run to its settings, folds, pixels and labels: another one of these is another run.
    """
    experiment = _resolved(workspace, pack, name)
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    given = features_file(experiment, workspace.root, pack.name, "train")
    cache_folder = workspace.cache(pack, "train")
    start = _start(workspace, experiment)
    constants: dict = {experiment.pixels.bin: {}}
    if not given:
        constants = _constants(cache_folder, experiment, catalog.index, start.constants if start else {})
    content = {
        "pack": pack.name,
        "experiment": experiment.model_dump(mode="json", exclude={"predict"}),
        "constants": constants.pop(experiment.pixels.bin),
        "folds_hash": folds_hash(folds),
        "data_hash": pixels_hash(read_manifest(workspace.cache(pack, "train"))),
        "labels_hash": catalogs.training_hash(catalog, experiment.label_rule, experiment.task),
    }
    if given:
        found = read_features(given, np.sort(list(cached_ids(read_manifest(cache_folder)))))
        content["features"] = {"sha256": found.sha256, "columns": found.rows.shape[1]}
    if start:
        content["start_packs"] = start.packs
    if constants:
        content["stage_constants"] = {str(bin): found for bin, found in constants.items()}
    if experiment.train.sees_twins(pack.has_twins):
        content["twins_hash"] = pixels_hash(read_manifest(workspace.cache(pack, "twins")))
    if is_undivided(folds):
        content["undivided"] = True
    folder = workspace.run(pack.name, name)
    _rewrite_if_changed(folder / "config.json", content)
    _rewrite_if_changed(folder / "predict.json", experiment.predict.model_dump(mode="json"))
    _rewrite_if_changed(folder / STATISTICS, dict(cache_statistics(workspace.cache(pack, "train"))))
    write_marker(workspace.configured(pack.name, name), _marker(workspace, pack, name, experiment))
    return folder


def _resolved(workspace: Workspace, pack: Pack, name: str) -> Experiment:
    """Return an experiment for the frames of a pack; InputError where it sees more than there is."""
    path = workspace.experiment(name)
    experiment = experiment_for(workspace, pack, name)
    manifest = read_manifest(workspace.cache(pack, "train"))
    side = frame_side(manifest)
    if experiment.learner.kind != "given_features":
        check_bands(experiment.pixels, bands_of(manifest), path, f"the train split of pack {pack.name}")
    if experiment.train.sees_twins(pack.has_twins):
        twins = read_manifest(workspace.cache(pack, "twins"))
        check_bands(experiment.pixels, bands_of(twins), path, f"the twins of pack {pack.name}")
        if frame_side(twins) != side:
            raise InputError(
                f"{pack.folder}: the frames of its train split have {side} VIS pixels a side, those of its twins "
                f"{frame_side(twins)}. Simulate the pack again."
            )
    seen = in_frames(experiment, side, path)
    return bound_to_weights(seen, path, workspace.root, pack.name, pixels_hash(manifest))


def _start(workspace: Workspace, experiment: Experiment) -> Published | None:
    """Return the published network that a resolved experiment goes on with; None where it starts from another."""
    learner = located(experiment, workspace.root).learner
    if learner.kind != "network" or learner.weights != "lensfold":
        return None
    return read_published(Path(str(learner.weights_file)))


def experiment_for(workspace: Workspace, pack: Pack, name: str) -> Experiment:
    """Return an experiment as a pack's labels have it trained; InputError where they lack what it learns from."""
    path = workspace.experiment(name)
    experiment = read_toml(path, Experiment)
    if not pack.labels.is_file():
        return experiment
    catalog = catalogs.read_catalog(pack.labels)
    sizes = catalog["n_pix_source"][catalogs.labels(catalog, catalogs.GIVEN) == 1]
    if problem := given_labels_problem(experiment, len(sizes), int(sizes.isna().sum())):
        raise InputError(f"{path}: {problem} ({pack.labels}).")
    if (few := undivided(workspace, pack, catalog)) and not experiment.goes_on:
        raise InputError(
            f"{path}: {few} ({pack.labels}). Without folds a network can only be fine-tuned, and this experiment "
            'starts from none: set learner.weights = "lensfold" or "file", or label more objects.'
        )
    return with_given_labels(experiment)


def _constants(
    cache_folder: Path, experiment: Experiment, train_ids: pd.Index, known: "dict[int, StretchConstants]"
) -> "dict[int, StretchConstants]":
    """Return the stretch of a run by bin: ``known``, or fitted to objects spread evenly over ``train_ids``.

    A published network goes on with its own stretch: it is known to see images as it learnt to see them. Each
    resolution has its own, so that a network sees channels of mean 0 and deviation 1 whatever the stage: larger pixels
    show more of an object above the sky's noise, and that of NISP is correlated.
    """
    from lensfold.inputs.pixels import fit_constants

    with Cache(cache_folder) as cache:
        ids = sample_ids(cache.ids[np.isin(cache.ids, train_ids)], CONSTANTS_SAMPLE)
        sample = [split_bands(row) for object_id in ids for row in cache.read([object_id])]
        return {
            bin: known.get(bin) or fit_constants(sample, experiment.at(bin).pixels, cache.sigma)
            for bin in experiment.bins
        }


def configure_once(workspace: Workspace, pack: Pack, name: str) -> None:
    """Resolve an experiment unless that was done with the files there are now; one process at a time."""
    if is_configured(workspace, pack, name):
        return
    _resolved(workspace, pack, name)  # a mistake comes before the run's folder is made
    with exclusive(workspace.configured(pack.name, name).with_name(".configure.lock")):
        if not is_configured(workspace, pack, name):
            configure(workspace, pack, name)


def is_configured(workspace: Workspace, pack: Pack, name: str) -> bool:
    """Return whether a run's settings were resolved from the experiment, folds, pixels and catalog there are now."""
    experiment = read_toml(workspace.experiment(name), Experiment)
    marker = _marker(workspace, pack, name, experiment)
    return has_marker(workspace.configured(pack.name, name), marker) and _is_resolved(workspace, pack, name)


def _is_resolved(workspace: Workspace, pack: Pack, name: str) -> bool:
    """Return whether the experiment's file gives the settings of ``config.json`` when it is resolved once more."""
    path, folder = workspace.experiment(name), workspace.run(pack.name, name)
    config, predict = (read_marker(folder / f"{file}.json") for file in ("config", "predict"))
    try:
        kept = validated({**config.get("experiment", {}), "predict": predict}, Experiment, folder / "config.json")
        read = with_given_labels(read_toml(path, Experiment)) if pack.labels.is_file() else read_toml(path, Experiment)
        manifest = read_manifest(workspace.cache(pack, "train"))
        seen = in_frames(read, frame_side(manifest), path)
        return bound_to_weights(seen, path, workspace.root, pack.name, pixels_hash(manifest)) == kept
    except InputError:
        return False


def _marker(workspace: Workspace, pack: Pack, name: str, experiment: Experiment) -> dict[str, str]:
    """Hashes of the files that settings are resolved from, and of those they are resolved into."""
    folder = workspace.run(pack.name, name)
    splits: tuple[Split, ...] = ("train", "twins") if experiment.train.sees_twins(pack.has_twins) else ("train",)
    files = {
        "experiment": workspace.experiment(name),
        "folds": workspace.folds(pack),
        "catalog": pack.catalog,
        "config": folder / "config.json",
        "predict": folder / "predict.json",
        "statistics": folder / STATISTICS,
    }
    pixels = {str(split): pixels_hash(read_manifest(workspace.cache(pack, split))) for split in splits}
    given = features_file(experiment, workspace.root, pack.name, "train")
    seen = {"features": features_hash(given)} if given else {}
    seen["weights"] = starting_hash(experiment, workspace.root)
    hashes = {key: file_sha256(path) if path.is_file() else "" for key, path in files.items()}
    return {"pack": pack.name, **hashes, **pixels, **seen}


def _rewrite_if_changed(path: Path, content: dict) -> bool:
    return write_if_changed(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
