"""Which resolutions the network of an experiment can be trained at."""

from typing import TYPE_CHECKING

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
