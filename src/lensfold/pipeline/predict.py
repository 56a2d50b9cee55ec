"""Predict a pack's test split with a run's folds: whole, or in parts that other processes and machines make.

Every part of every fold is one file, kept in a folder that is named by what the logits depend on, until all parts are
there and become the fold's ``test/<pack>.csv``.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lensfold.config import CascadeSettings, Experiment, in_words, missing_bands
from lensfold.console import progress
from lensfold.data.cache import Cache, bands_of, cached_ids, frame_side, pixels_hash, read_manifest
from lensfold.data.given_features import given_file, seen_hash
from lensfold.errors import InputError
from lensfold.inputs.batches import Preparation
from lensfold.models.saved import load_model
from lensfold.models.start.binding import located
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import staged
from lensfold.pipeline.train import start_where_needed
from lensfold.prediction.features import Features, network_input, progress_lines
from lensfold.prediction.forward import inference_of
from lensfold.prediction.logits import Outputs, kept_logits, logits_in_parts
from lensfold.prediction.logits import predict_part as logits_of_part
from lensfold.runs.cascade import Selection, kept_predictions
from lensfold.runs.predictions import FoldPrediction, fold_predictions, part_file, part_slices, write_part
from lensfold.runs.run import Run


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


def _check_frames(workspace: Workspace, pack: Pack, predictions: Sequence[FoldPrediction]) -> None:
    run = predictions[0].run
    check_frames(workspace, pack, run.folder.parent.name, run.name)


def selection(workspace: Workspace, pack: Pack, trained_on: str, cascade: CascadeSettings) -> Selection:
    """Return which objects of a pack's test split a cascade keeps, chosen or not yet; InputError without a cache."""
    run = Run(workspace.run(trained_on, cascade.first))
    return Selection(run, pack.name, _seen(workspace, pack, run), cascade)


def _seen(workspace: Workspace, pack: Pack, run: Run) -> str:
    """Return a hash of what a run's networks see of a pack's test split; InputError without a cache."""
    pixels = pixels_hash(read_manifest(workspace.cache(pack, "test")))
    return seen_hash(run.settings, pixels, workspace.root, pack.name)


def run_predictions(
    workspace: Workspace, pack: Pack, run: Run, chosen: Selection | None = None
) -> list[FoldPrediction]:
    """Return a run's predictions of a pack's test split, or of what a cascade has chosen of it, one a fold.

    Raises InputError where there is no cache, no fold of the run, or where nothing is chosen yet.
    """
    if chosen:
        return kept_predictions(run, chosen)
    return fold_predictions(run, pack.name, _seen(workspace, pack, run))


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
    :func:`predict_part` made are taken, the rest is predicted.
    """
    run = Run(workspace.run(trained_on, name))
    made = fold_predictions(run, pack.name, _seen(workspace, pack, run), only)
    predict_whole(workspace, pack, made, stage, count)


def predict_whole(
    workspace: Workspace,
    pack: Pack,
    predictions: Sequence[FoldPrediction],
    stage: Path | None = None,
    count: int | None = None,
) -> None:
    """Do as :func:`predict_folds` for these predictions of a run, of all objects or of some."""
    _check_frames(workspace, pack, predictions)
    local = None
    for prediction in predictions:
        if prediction.is_done():
            continue
        with Cache(workspace.cache(pack, "test")) as cache:
            ids = prediction.ids(cache.ids)
        known: pd.Series | None = None
        values = kept_logits(prediction.parts, ids, count) if count else None
        if values is None:
            known = prediction.known()
            values = known.reindex(ids).to_numpy()
        if np.isnan(values).any():
            local = local or staged(workspace, pack, "test", stage)
            title = f"predict {pack.name} test: {prediction.run.name} fold{prediction.fold}"
            with _opened(workspace, pack, prediction, local) as (outputs, preparation), progress(title) as report:
                way = prediction.way
                values = logits_in_parts(outputs, preparation, ids, way, prediction.parts, report, count, known)
        prediction.write(ids, values)


def predict_part(
    workspace: Workspace,
    pack: Pack,
    predictions: Sequence[FoldPrediction],
    number: int,
    count: int,
    stage: Path | None = None,
) -> None:
    """Part ``number`` (from 0) of ``count`` of each of a run's predictions, kept for later."""
    _check_frames(workspace, pack, predictions)
    local = None
    split = np.sort(list(cached_ids(read_manifest(workspace.cache(pack, "test")))))
    for prediction in predictions:
        if prediction.has_part(split, number, count):
            continue
        ids = prediction.ids(split)
        own, path = ids[part_slices(len(ids), count)[number]], part_file(prediction.parts, number, count)
        known = prediction.known()
        if np.isin(own, known.index).all():
            write_part(path, own, known[own].to_numpy())
            continue
        local = local or staged(workspace, pack, "test", stage)
        title = f"predict {pack.name} test, part {number + 1} of {count}: {prediction.run.name} fold{prediction.fold}"
        with _opened(workspace, pack, prediction, local) as (outputs, preparation), progress(title) as report:
            logits_of_part(outputs, preparation, own, prediction.way, path, report, known)


@contextmanager
def _opened(
    workspace: Workspace, pack: Pack, prediction: FoldPrediction, cache_folder: Path
) -> Iterator[tuple[Outputs, Preparation | Features]]:
    """What a fold predicts with: its network or kernel machine, and the input of that."""
    run = prediction.run
    experiment, config, trained_on = located(run.settings, workspace.root), run.config, run.folder.parent.name
    start_where_needed(experiment)
    source = pack if trained_on == pack.name else workspace.pack(trained_on)
    with _threads(experiment), Cache(cache_folder) as cache:
        outputs = _outputs_of(experiment, config, run.fold_folder(prediction.fold), workspace.cache(source, "train"))
        given = given_file(config, experiment, workspace.root, pack.name, "test")
        yield outputs, network_input(cache, experiment, config["constants"], progress_lines(print), given=given)


def _threads(experiment: Experiment) -> AbstractContextManager:
    """Of a kernel machine the threads of its linear algebra, fixed as TensorFlow's are, for the same reason."""
    return threadpool_limits(experiment.train.threads) if experiment.learner.kind == "kernel" else nullcontext()


def _outputs_of(experiment: Experiment, config: dict, folder: Path, train_cache: Path) -> Outputs:
    """What a trained fold gives of network input: its network, or its kernel machine, fitted again."""
    if experiment.learner.kind != "kernel":
        return inference_of(load_model(folder / "model.keras"), experiment.predict.batch_size)
    from lensfold.training.kernel_machine import fitted_again

    return fitted_again(experiment, config["constants"], folder, train_cache, print).decisions
