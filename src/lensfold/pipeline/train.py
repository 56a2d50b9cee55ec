"""Train the folds of an experiment."""

from pathlib import Path

from lensfold.config import Experiment, without_source_map
from lensfold.data import catalog as catalogs
from lensfold.data.cache_check import is_cached
from lensfold.data.folds import folds_hash, read_folds
from lensfold.data.given_features import given_file
from lensfold.errors import InputError
from lensfold.files import digest, exclusive
from lensfold.models.backend import make_repeatable, start_tensorflow
from lensfold.models.start.binding import located
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import staged
from lensfold.pipeline.configure import is_configured
from lensfold.runs.run import Run, mark_complete
from lensfold.training.task import FoldTask


def train(workspace: Workspace, pack: Pack, name: str, fold: int, stage: Path | None = None) -> None:
    """Train one fold of a configured experiment, one line an epoch; from a copy of the cache in ``stage`` if given."""
    run = Run(workspace.run(pack.name, name))
    run_folder, experiment, config = run.folder, located(run.settings, workspace.root), run.config
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    if folds_hash(folds) != config["folds_hash"]:
        raise InputError(f"{run_folder}: configured for other folds than {workspace.folds(pack)}. Configure it again.")
    if catalogs.training_hash(catalog, experiment.label_rule, experiment.task) != config["labels_hash"]:
        raise InputError(f"{run_folder}: configured for other labels than {pack.catalog} gives. Configure it again.")
    if fold not in set(folds):
        raise InputError(f"fold {fold} does not exist: the folds of {pack.name} are 0 to {folds.max()}.")
    if experiment.learner.kind == "kernel":
        start_where_needed(experiment)
        from lensfold.training.kernel_machine import train_fold
    else:
        start_tensorflow()
        from lensfold.training.network import train_fold
    sees_twins = "twins_hash" in config
    if experiment.train.source_map and not sees_twins:
        print(f"{name} fold {fold}  the pack has no twins: trained without a map of the source (train.source_map)")
    task = FoldTask(
        experiment if sees_twins else without_source_map(experiment),
        config["constants"],
        run.identity,
        fold,
        folds,
        catalog,
        staged(workspace, pack, "train", stage),
        staged(workspace, pack, "twins", stage) if sees_twins else None,
        run_folder / f"fold{fold}",
        {int(bin): constants for bin, constants in config.get("stage_constants", {}).items()},
        given_file(config, experiment, workspace.root, pack.name, "train"),
    )
    waiting = f"{name} fold {fold}  another process trains it; waiting for that one to end"
    marker = _marker(run)  # of what was read, whatever is configured meanwhile
    with exclusive(run_folder / f".fold{fold}.lock", waiting):
        train_fold(task, log=lambda line: print(f"{name} fold {fold}  {line}", flush=True))
        mark_complete(task.folder, marker, run.network_file(fold))


def _marker(run: Run) -> dict[str, str]:
    """What a fold of a run is trained and predicted with: hashes of its settings, folds, pixels and labels."""
    return {
        "settings": run.identity,
        "predict": digest(run.predict),
        "folds": run.config["folds_hash"],
        "pixels": run.config["data_hash"],
        "labels": run.config["labels_hash"],
    }


def start_where_needed(experiment: Experiment) -> None:
    """Start TensorFlow with the experiment's threads, unless it is a kernel machine on pixels, which needs none."""
    if experiment.learner.kind == "kernel" and experiment.learner.backbone is None:
        return
    start_tensorflow()
    make_repeatable(experiment.train.threads)


def is_trained(workspace: Workspace, pack: Pack, name: str, fold: int) -> bool:
    """Return whether a fold is complete, of the experiment, folds, pixels and labels that there are now."""
    if not is_cached(workspace, pack, "train") or not is_configured(workspace, pack, name):
        return False
    run = Run(workspace.run(pack.name, name))
    if not run.is_complete(fold) or not _marker(run).items() <= run.marker(fold).items():
        return False
    return run.is_whole(fold)
