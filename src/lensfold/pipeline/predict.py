"""Predict a pack's test split with a run's folds: whole, or in parts that other processes and machines make.

Every part of every fold is one file, kept in a folder that is named by what the logits depend on, until all parts are
there and become the fold's ``test/<pack>.csv``.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lensfold.config import Experiment, in_words, missing_bands
from lensfold.console import progress
from lensfold.data.cache import Cache, bands_of, cached_ids, frame_side, pixels_hash, read_manifest
from lensfold.data.given_features import given_file, seen_hash
from lensfold.errors import InputError
from lensfold.inputs.batches import Preparation
from lensfold.models.saved import load_model
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import staged
from lensfold.pipeline.train import start_where_needed
from lensfold.prediction.features import Features, network_input, progress_lines
from lensfold.prediction.forward import inference_of
from lensfold.prediction.logits import Outputs, kept_logits, logits_in_parts, predict_part
from lensfold.runs.predictions import FoldPrediction, fold_predictions, part_file, part_slices
from lensfold.runs.run import Run


def _predictions(
    workspace: Workspace, pack: Pack, trained_on: str, name: str, only: Sequence[int] = ()
) -> list[FoldPrediction]:
    check_frames(workspace, pack, trained_on, name)
    pixels, run = pixels_hash(read_manifest(workspace.cache(pack, "test"))), Run(workspace.run(trained_on, name))
    return fold_predictions(run, pack.name, seen_hash(run.settings, pixels, workspace.root, pack.name), only)


def check_frames(workspace: Workspace, pack: Pack, trained_on: str, name: str) -> None:
    """Raise InputError where the networks of a run see more than the test split of a pack has: pixels, or bands."""
    run, manifest = Run(workspace.run(trained_on, name)), read_manifest(workspace.cache(pack, "test"))
    if run.settings.learner.kind == "given_features":
        return
    pixels, side = run.settings.pixels, frame_side(manifest)
    if missing := missing_bands(pixels, bands_of(manifest)):
        raise InputError(
            f'{run.folder}: its networks see {missing} (pixels.mix = "{pixels.mix}"), and pack {pack.name} has only '
            f'{in_words(bands_of(manifest))}. Predict with a run of an experiment with pixels.mix = "vis".'
        )
    crop = pixels.crop
    if crop > side:
        raise InputError(
            f"{run.folder}: its networks see {crop} VIS pixels a side, and the frames of pack {pack.name} have {side} "
            f'({side // 10}"). Predict with a run whose pixels.crop is {side} or less, as that of euclid_cnn.'
        )


def predict_folds(
    workspace: Workspace,
    pack: Pack,
    trained_on: str,
    name: str,
    only: Sequence[int] = (),
    stage: Path | None = None,
    count: int | None = None,
) -> None:
    """Logits of a pack's test split from a run's complete folds (or ``only`` some), one file a fold.

    A fold whose file is of the same network, pixels and settings stays. Of ``count`` parts those that
    :func:`predict_part_of_folds` made are taken, the rest is predicted.
    """
    local = None
    for prediction in _predictions(workspace, pack, trained_on, name, only):
        if prediction.is_done():
            continue
        with Cache(workspace.cache(pack, "test")) as cache:
            ids, values = cache.ids, kept_logits(prediction.parts, cache.ids, count) if count else None
        if values is None:
            local = local or staged(workspace, pack, "test", stage)
            values = _predicted(workspace, pack, trained_on, name, prediction, local, count)
        prediction.write(ids, values)


def _predicted(
    workspace: Workspace,
    pack: Pack,
    trained_on: str,
    name: str,
    prediction: FoldPrediction,
    cache_folder: Path,
    count: int | None,
) -> np.ndarray:
    title = f"predict {pack.name} test: {name} fold{prediction.fold}"
    with _opened(workspace, pack, trained_on, name, prediction, cache_folder) as opened, progress(title) as report:
        return logits_in_parts(
            opened.outputs,
            opened.preparation,
            opened.ids,
            opened.experiment.predict,
            prediction.parts,
            report,
            count,
        )


def predict_part_of_folds(
    workspace: Workspace,
    pack: Pack,
    trained_on: str,
    name: str,
    number: int,
    count: int,
    stage: Path | None = None,
) -> None:
    """Part ``number`` (from 0) of ``count`` of the test split by every complete fold of a run, kept for later."""
    local = None
    ids = np.sort(list(cached_ids(read_manifest(workspace.cache(pack, "test")))))
    for prediction in _predictions(workspace, pack, trained_on, name):
        if prediction.has_part(ids, number, count):
            continue
        local = local or staged(workspace, pack, "test", stage)
        title = f"predict {pack.name} test, part {number + 1} of {count}: {name} fold{prediction.fold}"
        with _opened(workspace, pack, trained_on, name, prediction, local) as opened, progress(title) as report:
            own = opened.ids[part_slices(len(opened.ids), count)[number]]
            path = part_file(prediction.parts, number, count)
            predict_part(opened.outputs, opened.preparation, own, opened.experiment.predict, path, report)


@dataclass(frozen=True)
class _Opened:
    """What a fold predicts with."""

    outputs: Outputs
    preparation: Preparation | Features
    ids: np.ndarray
    experiment: Experiment


@contextmanager
def _opened(
    workspace: Workspace, pack: Pack, trained_on: str, name: str, prediction: FoldPrediction, cache_folder: Path
) -> Iterator[_Opened]:
    experiment, config = prediction.run.settings, prediction.run.config
    start_where_needed(experiment)
    source = pack if trained_on == pack.name else workspace.pack(trained_on)
    with _threads(experiment), Cache(cache_folder) as cache:
        folder = prediction.run.fold_folder(prediction.fold)
        outputs = _outputs_of(experiment, config, folder, workspace.cache(source, "train"))
        given = given_file(config, experiment, workspace.root, pack.name, "test")
        preparation = network_input(cache, experiment, config["constants"], progress_lines(print), given=given)
        yield _Opened(outputs, preparation, cache.ids, experiment)


def _threads(experiment: Experiment) -> AbstractContextManager:
    """Of a kernel machine the threads of its linear algebra, fixed as TensorFlow's are, for the same reason."""
    return threadpool_limits(experiment.train.threads) if experiment.learner.kind == "kernel" else nullcontext()


def _outputs_of(experiment: Experiment, config: dict, folder: Path, train_cache: Path) -> Outputs:
    """What a trained fold gives of network input: its network, or its kernel machine, fitted again."""
    if experiment.learner.kind != "kernel":
        return inference_of(load_model(folder / "model.keras"), experiment.predict.batch_size)
    from lensfold.training.kernel_machine import fitted_again

    return fitted_again(experiment, config["constants"], folder, train_cache, print).decisions
