"""Train the folds of an experiment."""

from pathlib import Path

from lensfold.config import Experiment
from lensfold.data import catalog as catalogs
from lensfold.data.folds import folds_hash, read_folds
from lensfold.errors import InputError
from lensfold.files import digest, exclusive, file_sha256, has_marker, write_marker
from lensfold.models.backend import set_threads, start_tensorflow
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import is_cached, staged
from lensfold.pipeline.configure import is_configured
from lensfold.runs.run import Member, run_settings
from lensfold.training.task import FoldTask


def train(workspace: Workspace, pack: Pack, name: str, fold: int, stage: Path | None = None) -> None:
    """Train one fold of a configured experiment, one line an epoch; from a copy of the cache in ``stage`` if given."""
    run_folder = workspace.run(pack.name, name)
    experiment, config = run_settings(run_folder)
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    if folds_hash(folds) != config["folds_hash"]:
        raise InputError(f"{run_folder}: configured for other folds than {workspace.folds(pack)}. Configure it again.")
    if catalogs.training_hash(catalog, experiment.label_rule) != config["labels_hash"]:
        raise InputError(f"{run_folder}: configured for other labels than {pack.catalog} gives. Configure it again.")
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
    with exclusive(run_folder / f".fold{fold}.lock", waiting):
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


def start_where_needed(experiment: Experiment) -> None:
    """TensorFlow with the experiment's threads, unless it is a kernel machine on pixels: that needs none."""
    if experiment.kernel and not experiment.model.frozen:
        return
    start_tensorflow()
    set_threads(experiment.train.threads)


def is_trained(workspace: Workspace, pack: Pack, name: str, fold: int) -> bool:
    """Return whether a fold is complete, of the experiment, folds, pixels and labels that there are now."""
    if not is_cached(workspace, pack, "train") or not is_configured(workspace, pack, name):
        return False
    folder = workspace.run(pack.name, name) / f"fold{fold}"
    return (folder / "oof.csv").is_file() and has_marker(folder / "done.json", _training_marker(folder.parent))
