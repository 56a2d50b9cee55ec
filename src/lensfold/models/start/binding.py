"""What settings say of a file to start from: its content, not only its name."""

from pathlib import Path

from lensfold.config import Experiment
from lensfold.errors import InputError
from lensfold.files import file_sha256


def starting_file(experiment: Experiment) -> Path | None:
    """Return the file that the network of an experiment starts from; None where it names none of its own."""
    learner = experiment.learner
    if learner.kind != "network" or learner.weights != "file" or learner.weights_file is None:
        return None
    return Path(learner.weights_file)


def bound_to_weights(experiment: Experiment, source: Path) -> Experiment:
    """Return an experiment that says which content the file has that it starts from.

    ``source``: the experiment's file, for messages. Raises InputError where the file cannot be read, and where the
    experiment expects another content.
    """
    path, learner = starting_file(experiment), experiment.learner
    if path is None or learner.kind != "network":
        return experiment
    try:
        found = file_sha256(path)
    except OSError as error:
        raise InputError(
            f"{source}: learner.weights_file = {str(path)!r} cannot be read ({error.strerror}). Name the path of a "
            "weight file, from the folder that the command is run in."
        ) from error
    if learner.weights_sha256 not in (None, found):
        raise InputError(
            f"{source}: learner.weights_file = {str(path)!r} has sha256 {found}, and learner.weights_sha256 is "
            f"{learner.weights_sha256}. Name the file that is meant, or leave weights_sha256 out."
        )
    return experiment.model_copy(update={"learner": learner.model_copy(update={"weights_sha256": found})})
