"""The steps of the pipeline, each one function of (workspace, names): what the command line and make call.

A step reads the files of the steps before it and writes its own; nothing is handed on in memory.
"""

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lensfold import catalog as catalogs
from lensfold.archive import build_cache_from_scan, scan_archive
from lensfold.backend import start_tensorflow
from lensfold.cache_build import FolderSource, build_cache, rebuild_damaged
from lensfold.config import Experiment, FoldSettings, SubmissionSettings
from lensfold.console import progress
from lensfold.cutouts import Cache, file_sha256, read_manifest, shards_hash, split_bands, stage_cache, verify_cache
from lensfold.ensemble import Member, fold_folders
from lensfold.errors import InputError
from lensfold.features import network_input
from lensfold.fold_task import FoldTask
from lensfold.folds import folds_hash, make_folds, read_folds, write_folds
from lensfold.inference import inference_of
from lensfold.paths import Pack, Split, Workspace, alone, write_if_changed
from lensfold.pixels import fit_constants
from lensfold.predict import Outputs, load_model, logits_in_parts, write_logits
from lensfold.settings_files import digest, read_toml, validated

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
    """Build the cache of one split and return its manifest; of the train split, the catalog's IDs are expected."""
    expected = None
    if split == "train":
        catalog = catalogs.read_catalog(pack.catalog)
        expected = catalog.index[catalogs.has_images(catalog)].tolist()
    source, target = pack.split_source(split), workspace.cache(pack, split)
    scan = None
    if not source.is_dir():
        with progress(f"read {source.name}", "MB") as report:
            scan = scan_archive(source, target, report)
    with progress(f"cache {pack.name} {split}") as report:
        if scan:
            return build_cache_from_scan(scan, target, expected, skip_bad, workers, report)
        return build_cache(source, target, expected, skip_bad, workers, report)


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
    return folder


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
        _start_where_needed(experiment)
        from lensfold.kernel_train import train_fold
    else:
        start_tensorflow()
        from lensfold.train import train_fold
    task = FoldTask(
        experiment,
        config["constants"],
        digest(config),
        fold,
        folds,
        catalog,
        _staged(workspace, pack, "train", stage),
        _staged(workspace, pack, "twins", stage) if experiment.train.twins else None,
        run_folder / f"fold{fold}",
    )
    waiting = f"{name} fold {fold}  another process trains it; waiting for that one to end"
    with alone(run_folder / f".fold{fold}.lock", waiting):
        train_fold(task, log=lambda line: print(f"{name} fold {fold}  {line}", flush=True))


def _start_where_needed(experiment: Experiment) -> None:
    """TensorFlow with the experiment's threads, unless it is a kernel machine on pixels: that needs none."""
    if experiment.kernel and not experiment.model.frozen:
        return
    start_tensorflow()
    from lensfold.train import set_threads

    set_threads(experiment.train.threads)


def _staged(workspace: Workspace, pack: Pack, split: Split, stage: Path | None) -> Path:
    """The cache folder to read from: the split's own, or its copy under ``stage``."""
    cache_folder = workspace.cache(pack, split)
    return cache_folder if stage is None else stage_cache(cache_folder, stage / pack.name / split)


def predict_folds(
    workspace: Workspace,
    pack: Pack,
    trained_on: str,
    name: str,
    only: Sequence[int] = (),
    stage: Path | None = None,
) -> None:
    """Logits of a pack's test split from a run's complete folds (or ``only`` some), one file a fold.

    A fold whose file exists and is newer than its network and the cache is left alone.
    """
    run_folder = workspace.run(trained_on, name)
    experiment, config = run_settings(run_folder)
    folders = [folder for folder in fold_folders(run_folder) if not only or int(folder.name[4:]) in only]
    if not folders:
        raise InputError(f"{run_folder}: no complete fold to predict with. Run `make train EXPERIMENT={name}`.")
    _start_where_needed(experiment)
    cache_folder = workspace.cache(pack, "test")
    source = pack if trained_on == pack.name else workspace.pack(trained_on)
    for folder in folders:
        target = folder / "test" / f"{pack.name}.csv"
        if _is_newer(target, folder / "oof.csv", cache_folder / "manifest.json"):
            continue
        with _threads(experiment):
            outputs = _outputs_of(experiment, config, folder, workspace.cache(source, "train"))
            values = _predicted(pack, experiment, config, target, outputs, _staged(workspace, pack, "test", stage))
        write_logits(target, *values)


def _threads(experiment: Experiment) -> AbstractContextManager:
    """Of a kernel machine the threads of its linear algebra, fixed as TensorFlow's are, for the same reason."""
    return threadpool_limits(experiment.train.threads) if experiment.kernel else nullcontext()


def _outputs_of(experiment: Experiment, config: dict, folder: Path, train_cache: Path) -> Outputs:
    """What a trained fold gives of network input: its network, or its kernel machine, fitted again."""
    if experiment.kernel is None:
        return inference_of(load_model(folder / "model.keras"), experiment.predict.batch_size)
    from lensfold.kernel_train import fitted_again

    return fitted_again(experiment, config["constants"], folder, train_cache, print).decisions


def _predicted(
    pack: Pack, experiment: Experiment, config: dict, target: Path, outputs: Outputs, cache_folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """IDs of a test cache and their logits by the fold whose test logits ``target`` will be."""
    folder = target.parent.parent
    with (
        Cache(cache_folder) as cache,
        progress(f"predict {pack.name} test: {folder.parent.name} {folder.name}") as report,
    ):
        preparation = network_input(cache, experiment, config["constants"], report)
        parts = target.with_name(f".{target.stem}-{_prediction_key(folder, experiment, cache.manifest)[:12]}")
        return cache.ids, logits_in_parts(outputs, preparation, cache.ids, experiment.predict, parts, report)


def _prediction_key(fold_folder: Path, experiment: Experiment, manifest: dict) -> str:
    """Changes whenever the network, the pixels it scores or the way it does so change."""
    return digest(
        {
            # a kernel machine is the record of its fit
            "network": file_sha256(fold_folder / ("run.json" if experiment.kernel else "model.keras")),
            "pixels": shards_hash(manifest),
            "predict": experiment.predict.model_dump(mode="json"),
        }
    )


def _is_newer(target: Path, *sources: Path) -> bool:
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
    """Whether a split's cache is complete and not older than the pack's catalog."""
    return _is_newer(workspace.cache(pack, split) / "manifest.json", pack.catalog)


def is_trained(workspace: Workspace, pack: Pack, name: str, fold: int) -> bool:
    """Whether a fold of a configured experiment is complete with the settings that it has now."""
    run_folder = workspace.run(pack.name, name)
    return _is_newer(run_folder / f"fold{fold}" / "oof.csv", run_folder / "config.json", run_folder / "predict.json")


def predict_pack(
    workspace: Workspace, pack: Pack, trained_on: str, submission: str, skip_bad: bool, workers: int
) -> None:
    """Cache of a pack's test split where it is absent, and every member's predictions of it."""
    settings = read_toml(workspace.submission_settings(submission), SubmissionSettings)
    for name in settings.experiments:
        run_settings(workspace.run(trained_on, name))  # a missing run is told before the long cache
    if not (workspace.cache(pack, "test") / "manifest.json").is_file():
        cache_split(workspace, pack, "test", skip_bad, workers)
    for name in settings.experiments:
        predict_folds(workspace, pack, trained_on, name)
