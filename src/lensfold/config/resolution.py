"""What the network of an experiment can be trained on: resolutions, parts of a pack's frames, maps of the source."""

from pathlib import Path
from typing import TYPE_CHECKING

from lensfold.config.reading import validated
from lensfold.errors import InputError

if TYPE_CHECKING:
    from lensfold.config.experiment import Experiment

#: fewest pixels of a network's input: below, the last map of a CNN has none left, and EfficientNet is no longer itself
MIN_SIDE = 32
#: networks that are made for images of one size: dense layers on the pixels of a map, NISP at its own pixels
_OF_ONE_SIZE = ("paper_cnn", "wide_cnn")


def resolution_problem(experiment: "Experiment", bin: int) -> str:
    """Return why the network of an experiment cannot be trained on images of another resolution; "" where it can."""
    learner, crop = experiment.learner, experiment.pixels.crop
    if bin == experiment.pixels.bin:
        return ""
    if learner.kind == "network" and (learner.name in _OF_ONE_SIZE or learner.two_branches):
        name = "a network with two branches" if learner.two_branches else learner.name
        return f"{name} takes images of one size: leave it out, or take fast_cnn or an EfficientNet of one branch"
    if learner.backbone:
        return "learner.frozen = true has features of one resolution: leave it out"
    if crop % (2 * bin):
        return f"pixels.crop = {crop} must be a multiple of 2 x bin = {2 * bin}"
    if crop // bin < MIN_SIDE:
        return f"pixels.crop = {crop} then has {crop // bin} pixels, and a network needs {MIN_SIDE} or more"
    return ""


def source_map_problem(experiment: "Experiment") -> str:
    """Return why the network of an experiment cannot learn where the source is; "" where it can, or is no network."""
    learner = experiment.learner
    if learner.kind != "network":
        return ""
    if learner.frozen:
        return "learner.frozen = true has no block that learns: leave it out"
    if learner.name == "paper_cnn" or learner.two_branches:
        name = "a network with two branches" if learner.two_branches else learner.name
        return f"{name} has no middle block for it: leave it out, or take another network of one branch"
    if experiment.augment.transforms:
        return "it cannot know what augment.transforms move: leave one of them out"
    return ""


def without_source_map(experiment: "Experiment") -> "Experiment":
    """Return an experiment as it is trained on a pack without twins."""
    return experiment.model_copy(update={"train": experiment.train.model_copy(update={"source_map": 0.0})})


def with_given_labels(experiment: "Experiment") -> "Experiment":
    """Return an experiment as it is trained on a pack with the user's own labels, which need no rule."""
    return experiment.model_copy(update={"label_rule": "given"})


def given_labels_problem(experiment: "Experiment", lenses: int, without_size: int) -> str:
    """Return why an experiment cannot learn from the user's own labels, ``without_size`` of whose lenses have no size.

    "" where it can.
    """
    if experiment.task == "einstein-radius":
        return 'task = "einstein-radius" needs the radii of a catalog. Train an experiment with task = "lens"'
    least = max(stage.min_size for stage in experiment.stage)
    if least and without_size:
        return (
            f"a [[stage]] with min_size = {least} needs the size of each lens, and the column n_pix_source has none "
            f"for {without_size} of {lenses}. Train few_labels or another experiment with min_size = 0, or give the "
            "sizes"
        )
    return ""


def in_frames(experiment: "Experiment", side: int, source: Path) -> "Experiment":
    """Return an experiment for frames of ``side`` VIS pixels: where it names no crop, it sees all of them.

    ``source``: its file, for messages. Raises InputError for a crop larger than the frames, and where the settings do
    not go with all of the frames.
    """
    crop = experiment.pixels.crop
    if "crop" in experiment.pixels.model_fields_set:
        if crop > side:
            raise InputError(
                f'{source}: pixels.crop = {crop}, and the pack has frames of {side} VIS pixels ({side // 10}"). Set it '
                f"to {side} or less, or leave it out for the whole frame."
            )
        return experiment
    content = experiment.model_dump(mode="json")
    content["pixels"]["crop"] = side
    return validated(content, type(experiment), source)
