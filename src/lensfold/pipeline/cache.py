"""The steps of the pipeline, each one function of (workspace, names): what the command line and make call.

A step reads the files of the steps before it and writes its own; nothing is handed on in memory.
"""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from lensfold.config import Experiment, FoldSettings
from lensfold.console import progress
from lensfold.data import catalog as catalogs
from lensfold.data.archive import build_cache_from_scan, is_scanned, scan_archive
from lensfold.data.cache import Cache, file_sha256, read_manifest, shards_hash, split_bands, stage_cache, verify_cache
from lensfold.data.cache_build import (
    FolderSource,
    build_cache,
    build_part,
    building_folder,
    folder_ids,
    is_part_built,
    rebuild_damaged,
)
from lensfold.data.folds import folds_hash, make_folds, read_folds, write_folds
from lensfold.errors import InputError
from lensfold.inputs.pixels import fit_constants
from lensfold.models.backend import start_tensorflow
from lensfold.paths import Pack, Split, Workspace, alone, replacing, write_if_changed
from lensfold.runs.run import Member
from lensfold.settings_files import digest, read_toml, validated
from lensfold.training.task import FoldTask

CONSTANTS_SAMPLE = 512


def make_pack_folds(workspace: Workspace, pack: Pack) -> tuple:
    """Write ``folds/<pack>.csv`` from the catalog and ``folds/folds.toml``; return (catalog, folds)."""
    settings = read_toml(workspace.root / "folds" / "folds.toml", FoldSettings)
    catalog = catalogs.read_catalog(pack.catalog)
    folds = make_folds(catalog, settings.k, settings.seed, settings.group or pack.name in settings.grouped_packs)
    write_folds(workspace.folds(pack), folds)
    return catalog, folds


def check_pack_folds(workspace: Workspace, pack: Pack) -> tuple:
    """Hold ``folds/<pack>.csv`` against the catalog; return (catalog, folds). InputError where they do not match."""
    catalog = catalogs.read_catalog(pack.catalog)
    return catalog, read_folds(workspace.folds(pack), catalog)


def cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    """Build the cache of one split and return its manifest; of the train split, the catalog's IDs are expected.

    One process at a time builds it; another one waits and then builds it again.
    """
    with _alone_with_cache(workspace, pack, split):
        return _cache_split(workspace, pack, split, skip_bad, workers)


def cache_split_once(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> None:
    """As :func:`cache_split`, unless the cache is complete, also by another process that this one waited for."""
    with _alone_with_cache(workspace, pack, split):
        if not is_cached(workspace, pack, split):
            _cache_split(workspace, pack, split, skip_bad, workers)


def _alone_with_cache(workspace: Workspace, pack: Pack, split: Split) -> AbstractContextManager[None]:
    lock = workspace.cache(pack, split).with_name(f".{split}.lock")
    return alone(lock, f"cache {pack.name} {split}: another process builds it; waiting for that one to end")


def _cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    expected = _expected_ids(pack, split)
    source, target = pack.split_source(split), workspace.cache(pack, split)
    scan = None
    if not source.is_dir():
        with progress(f"read {source.name}", "MB") as report:
            scan = scan_archive(source, target, report)
    with progress(f"cache {pack.name} {split}") as report:
        if scan:
            return build_cache_from_scan(scan, target, expected, skip_bad, workers, report)
        return build_cache(source, target, expected, skip_bad, workers, report)


def _expected_ids(pack: Pack, split: Split) -> list[int] | None:
    """IDs that a split should have by its catalog; None where it has none."""
    if split != "train":
        return None
    catalog = catalogs.read_catalog(pack.catalog)
    return catalog.index[catalogs.has_images(catalog)].tolist()


def plan_split(workspace: Workspace, pack: Pack, split: Split) -> list[int] | None:
    """IDs that a split's cache will hold, kept for :func:`cache_part`; None for an archive, which has to be read first.

    The folder of a split is listed anew each time.
    """
    source = pack.split_source(split)
    if not source.is_dir():
        return None
    ids, _ = folder_ids(source, _expected_ids(pack, split))
    write_if_changed(_plan_file(workspace, pack, split), json.dumps({"ids": ids}).encode())
    return ids


def _plan_file(workspace: Workspace, pack: Pack, split: Split) -> Path:
    return building_folder(workspace.cache(pack, split)) / "plan.json"


def _planned(workspace: Workspace, pack: Pack, split: Split) -> list[int] | None:
    try:
        return json.loads(_plan_file(workspace, pack, split).read_text())["ids"]
    except (OSError, ValueError, KeyError):
        return plan_split(workspace, pack, split)


def cache_part(workspace: Workspace, pack: Pack, split: Split, number: int, count: int) -> None:
    """Build the shards of part ``number`` (from 0) of ``count`` of a split, for :func:`cache_split` to put together.

    An archive is read whole by the first part, and the others have nothing to do: gzip has no other order.
    """
    ids, target = _planned(workspace, pack, split), workspace.cache(pack, split)
    if ids is None:
        if number == 0:
            source = pack.split_source(split)
            with progress(f"read {source.name}", "MB") as report:
                scan_archive(source, target, report)
        return
    with progress(f"cache {pack.name} {split}, part {number + 1} of {count}") as report:
        build_part(FolderSource(pack.split_source(split)), target, ids, number, count, report)


def is_part_cached(workspace: Workspace, pack: Pack, split: Split, number: int, count: int) -> bool:
    """Whether each planned object of a part is in the record of a shard, or the whole cache is there."""
    if is_cached(workspace, pack, split):
        return True
    ids, target = _planned(workspace, pack, split), workspace.cache(pack, split)
    if ids is None:
        return number > 0 or is_scanned(pack.split_source(split), target)
    return is_part_built(target, ids, number, count)


def verify_split(workspace: Workspace, pack: Pack, split: Split, rebuild: bool) -> dict[str, str]:
    """Damaged shards of a split's cache, each with its problem; with ``rebuild`` they are whole afterwards."""
    cache_folder = workspace.cache(pack, split)
    problems = verify_cache(cache_folder)
    if problems and rebuild:
        source = pack.split_source(split)
        frames = FolderSource(source)
        if not source.is_dir():
            with progress(f"read {source.name}", "MB") as report:
                frames = scan_archive(source, cache_folder, report).source
        rebuild_damaged(frames, cache_folder)
    return problems


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


def run_settings(run_folder: Path) -> tuple[Experiment, dict]:
    """The resolved experiment of a run, and the rest of its ``config.json``."""
    config = Member(run_folder.name, run_folder).config()
    path = run_folder / "predict.json"
    try:
        predict = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: absent or damaged ({error}). Run `lensfold configure` again.") from error
    source = run_folder / "config.json"
    return validated({**config["experiment"], "predict": predict}, Experiment, source), config


def train(workspace: Workspace, pack: Pack, name: str, fold: int, stage: Path | None = None) -> None:
    """Train one fold of a configured experiment, one line an epoch; from a copy of the cache in ``stage`` if given."""
    run_folder = workspace.run(pack.name, name)
    experiment, config = run_settings(run_folder)
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    if folds_hash(folds) != config["folds_hash"]:
        raise InputError(f"{run_folder}: configured for other folds than {workspace.folds(pack)}. Configure it again.")
    if fold not in set(folds):
        raise InputError(f"fold {fold} does not exist: the folds of {pack.name} are 0 to {folds.max()}.")
    if experiment.kernel:
        start_where_needed(experiment)
        from lensfold.training.kernel_machine import train_fold
    else:
        start_tensorflow()
        from lensfold.training.network import train_fold
    task = FoldTask(
        experiment,
        config["constants"],
        digest(config),
        fold,
        folds,
        catalog,
        staged(workspace, pack, "train", stage),
        staged(workspace, pack, "twins", stage) if experiment.train.twins else None,
        run_folder / f"fold{fold}",
    )
    waiting = f"{name} fold {fold}  another process trains it; waiting for that one to end"
    marker = _training_marker(run_folder)  # of what was read, whatever is configured meanwhile
    with alone(run_folder / f".fold{fold}.lock", waiting):
        train_fold(task, log=lambda line: print(f"{name} fold {fold}  {line}", flush=True))
        write_marker(task.folder / "done.json", marker)


def _training_marker(run_folder: Path) -> dict[str, str]:
    """What a fold of a run was trained and predicted with: hashes of its settings, its folds and its pixels."""
    config = Member(run_folder.name, run_folder).config()
    predict = run_folder / "predict.json"
    return {
        "settings": digest(config),
        "predict": file_sha256(predict) if predict.is_file() else "",
        "folds": config["folds_hash"],
        "pixels": config["data_hash"],
    }


def write_marker(path: Path, content: dict[str, str]) -> None:
    """Say beside a result what it was made from."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def has_marker(path: Path, content: dict[str, str]) -> bool:
    """Whether ``path`` says that a result was made from this."""
    try:
        return json.loads(path.read_text()) == content
    except (OSError, ValueError):
        return False


def start_where_needed(experiment: Experiment) -> None:
    """TensorFlow with the experiment's threads, unless it is a kernel machine on pixels: that needs none."""
    if experiment.kernel and not experiment.model.frozen:
        return
    start_tensorflow()
    from lensfold.training.network import set_threads

    set_threads(experiment.train.threads)


def staged(workspace: Workspace, pack: Pack, split: Split, stage: Path | None) -> Path:
    """The cache folder to read from: the split's own, or its copy under ``stage``."""
    cache_folder = workspace.cache(pack, split)
    return cache_folder if stage is None else stage_cache(cache_folder, stage / pack.name / split)


def is_newer(target: Path, *sources: Path) -> bool:
    """Whether ``target`` is there and no source is absent or younger."""
    if not target.is_file():
        return False
    made = target.stat().st_mtime_ns
    return all(source.is_file() and source.stat().st_mtime_ns <= made for source in sources)


def prepare_training(workspace: Workspace, pack: Pack, name: str, skip_bad: bool, workers: int) -> None:
    """Folds, train cache and settings of an experiment, each only where it is absent; settings are always resolved."""
    if not workspace.folds(pack).is_file():
        make_pack_folds(workspace, pack)
    if not (workspace.cache(pack, "train") / "manifest.json").is_file():
        cache_split(workspace, pack, "train", skip_bad, workers)
    configure(workspace, pack, name)


def train_folds(workspace: Workspace, pack: Pack, name: str, only: int | None) -> None:
    """Train the folds of an experiment that are not complete with these settings, one after the other."""
    folds = read_folds(workspace.folds(pack), catalogs.read_catalog(pack.catalog))
    for fold in range(int(folds.max()) + 1) if only is None else [only]:
        if not is_trained(workspace, pack, name, fold):
            train(workspace, pack, name, fold)


def is_cached(workspace: Workspace, pack: Pack, split: Split) -> bool:
    """Whether a split's cache is complete and not older than the pack's catalog, where it has one."""
    sources = [pack.catalog] if pack.catalog.is_file() else []
    return is_newer(workspace.cache(pack, split) / "manifest.json", *sources)


def is_trained(workspace: Workspace, pack: Pack, name: str, fold: int) -> bool:
    """Whether a fold of a configured experiment is complete with the settings that it has now."""
    folder = workspace.run(pack.name, name) / f"fold{fold}"
    return (folder / "oof.csv").is_file() and has_marker(folder / "done.json", _training_marker(folder.parent))
