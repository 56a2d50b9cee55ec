"""Networks that ship: a fold of a run → a file in ``weights/``, and back to a run that predicts without training.

A shipped network is a run of the pack ``lensfold``, which has no objects: `make rank` takes it like any other, and its
score is the one it was published with.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import CHALLENGE_BETA_SQUARED, Experiment, validated
from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache
from lensfold.data.folds import read_folds
from lensfold.errors import InputError
from lensfold.files import digest, exclusive, file_sha256, replacing, sealed, write_json
from lensfold.models.shipped import SUFFIX, arrays_of, fill, read_shipped, write_shipped
from lensfold.paths import SHIPPED, Pack, Workspace
from lensfold.pipeline.results.score import check_current, run_scores
from lensfold.runs.logits import write_logits
from lensfold.runs.run import STATISTICS, Run, mark_complete

#: largest difference of a logit that 16-bit weights may make, in deviations of the logits: more is no copy
_LARGEST_CHANGE = 0.1


def publish(workspace: Workspace, pack: Pack, experiment: str, fold: int, name: str) -> Path:
    """Write the network of a complete fold into ``weights/<name>.safetensors``; return its path.

    Its score is that of the network as it is in the file, on the objects that the fold held out. Raises InputError
    where the fold is not complete, is a kernel machine or a frozen network, or does not survive 16-bit weights.
    """
    run = Run(workspace.run(pack.name, experiment))
    if run.settings.learner.kind != "network" or run.settings.learner.backbone:
        raise InputError(f"{run.folder}: only networks that were trained whole can be published.")
    if fold not in run.complete_folds:
        raise run.no_fold() if not run.complete_folds else InputError(f"{run.folder}: fold {fold} is not complete.")
    arrays, oof = _rounded(workspace, pack, run, fold)
    description = {
        "config": {**run.config, "pack": SHIPPED, "trained_on": pack.name, "sky": pack.profile},
        "predict": run.predict,
        "statistics": run.statistics,
        "record": run.record(fold),
        "scores": _scores(workspace, pack, run, oof),
    }
    path = workspace.shipped(name)
    write_shipped(path, arrays, description)
    return path


def _rounded(workspace: Workspace, pack: Pack, run: Run, fold: int) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Return a fold's weights as they are shipped, and the held-out logits of the network that has these."""
    from lensfold.inputs.batches import Preparation
    from lensfold.models.backend import start_tensorflow
    from lensfold.models.saved import load_model

    start_tensorflow()
    from lensfold.prediction.logits import logits

    run.check_network(fold)
    model = load_model(run.network_file(fold))
    arrays = arrays_of(model)
    fill(model, arrays, str(run.network_file(fold)))
    known = run.oof()
    known = known[known["fold"] == fold]
    settings = run.settings
    with Cache(workspace.cache(pack, "train")) as cache:
        preparation = Preparation(cache, settings, run.config["constants"])
        predict = settings.predict
        values = logits(model, preparation, known.index.to_numpy(), predict.batch_size, predict.d4_average)
    change = float(np.abs(values - known["logit"]).max() / max(known["logit"].std(), 1e-9))
    if change > _LARGEST_CHANGE:
        raise InputError(f"{run.folder}: 16-bit weights move logits by {change:.2f} deviations: this is no copy.")
    return arrays, pd.DataFrame({"logit": values, "fold": 0}, index=known.index)


def _scores(workspace: Workspace, pack: Pack, run: Run, oof: pd.DataFrame) -> dict:
    """Return the row of scores of a network on the objects that its fold held out."""
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    check_current(run, folds, catalog, workspace.folds(pack), pack.catalog)
    return run_scores(run, SHIPPED, catalog, folds, oof, CHALLENGE_BETA_SQUARED)


def unpack_shipped(workspace: Workspace) -> None:
    """Make a run of each file in ``weights/`` that is not one yet; InputError where a file is damaged."""
    for path in sorted(workspace.shipped("x").parent.glob(f"*{SUFFIX}")):
        folder = workspace.run(SHIPPED, path.stem)
        with exclusive(folder.parent / f".{path.stem}.lock"):
            if not _is_unpacked(folder, path):
                _unpack(folder, path)


def _is_unpacked(folder: Path, path: Path) -> bool:
    try:
        return (folder / "shipped.txt").read_text() == file_sha256(path)
    except OSError:
        return False


def _unpack(folder: Path, path: Path) -> None:
    """Write the folder of a run whose one fold is a shipped network, and last which file it is of."""
    from lensfold.models.backend import start_tensorflow

    arrays, description = read_shipped(path)
    try:
        config, predict = description["config"], description["predict"]
        experiment = validated({**config["experiment"], "predict": predict}, Experiment, path)
        scores = {**description["scores"], "name": path.stem}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: its description lacks {error}. Write it with `lensfold publish`.") from error
    start_tensorflow()
    from lensfold.models import network_of

    plain = experiment.model_copy(
        update={
            "learner": experiment.learner.model_copy(update={"weights": "none", "weights_file": None}),
            "train": experiment.train.model_copy(update={"source_map": 0.0}),
        }
    )
    model = network_of(plain)
    fill(model, arrays, str(path))
    shutil.rmtree(folder, ignore_errors=True)
    fold = folder / "fold0"
    fold.mkdir(parents=True)
    write_json(folder / "config.json", config)
    write_json(folder / "predict.json", predict)
    if description.get("statistics"):
        write_json(folder / STATISTICS, description["statistics"])
    write_json(fold / "run.json", sealed({**(description.get("record") or {}), "fold": 0}))
    with replacing(fold / "model.keras") as temporary:
        target = temporary.with_suffix(".keras")
        model.save(target)
        target.replace(temporary)
    # the objects that it was scored with are not here: its score came with it
    write_logits(fold / "oof.csv", np.empty(0, dtype=np.int64), np.empty(0))
    run = Run(folder)
    marker = {"settings": run.identity, "predict": digest(run.predict), "folds": config["folds_hash"]}
    mark_complete(fold, marker | {"pixels": config["data_hash"], "labels": config["labels_hash"]}, fold / "model.keras")
    origin = Run(folder).score_origin("", CHALLENGE_BETA_SQUARED)
    write_json(folder / "score.json", sealed({**scores, "made_from": origin}))
    (folder / "shipped.txt").write_text(file_sha256(path))
