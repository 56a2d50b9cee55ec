"""What settings say of a file to start from: its content, not only its name."""

from pathlib import Path

from lensfold.config import Experiment
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.models.start.published import FOLDER, best_published, published_files


def starting_hash(experiment: Experiment, root: Path) -> str:
    """Return a hash of the files that an experiment's network may start from; "" where it names none of its own.

    Of ``weights = "lensfold"`` these are all in ``weights/`` of the project's folder ``root``, unless one is named.
    """
    learner = experiment.learner
    if learner.kind != "network" or learner.weights not in ("lensfold", "file"):
        return ""
    paths = published_files(root, experiment) if learner.weights == "lensfold" else [Path(str(learner.weights_file))]
    return digest({path.name: file_sha256(path) if path.is_file() else "" for path in paths})


def bound_to_weights(experiment: Experiment, source: Path, root: Path, pack: str, pixels: str) -> Experiment:
    """Return an experiment that says which file it starts from, and which content that has.

    ``experiment``: for the frames of the pack that is trained on, of this name and this hash of its ``pixels``;
    ``source``: the experiment's file, for messages; ``root``: the project's folder. Raises InputError where the file
    cannot be read, where the experiment expects another content, and of ``weights = "lensfold"`` where no network fits.
    """
    learner = experiment.learner
    if learner.kind != "network" or learner.weights not in ("lensfold", "file"):
        return experiment
    path, name = Path(str(learner.weights_file)), learner.weights_file
    if learner.weights == "lensfold":
        path = best_published(root, experiment, pack, pixels, source).file
        name = name or f"{FOLDER}/{path.name}"
    try:
        found = file_sha256(path)
    except OSError as error:
        raise InputError(
            f"{source}: learner.weights_file = {name!r} cannot be read ({error.strerror}). Name the path of a "
            "weight file, from the folder that the command is run in."
        ) from error
    if learner.weights_sha256 not in (None, found):
        raise InputError(
            f"{source}: learner.weights_file = {name!r} has sha256 {found}, and learner.weights_sha256 is "
            f"{learner.weights_sha256}. Name the file that is meant, or leave weights_sha256 out."
        )
    bound = learner.model_copy(update={"weights_file": name, "weights_sha256": found})
    return experiment.model_copy(update={"learner": bound})


def located(experiment: Experiment, root: Path) -> Experiment:
    """Return an experiment whose published starting file is named by a path that holds from here.

    Resolved settings name it from the project's folder, ``root``, so that they do not depend on where a command runs.
    """
    learner = experiment.learner
    if learner.kind != "network" or learner.weights != "lensfold" or learner.weights_file is None:
        return experiment
    path = str(root / learner.weights_file)
    return experiment.model_copy(update={"learner": learner.model_copy(update={"weights_file": path})})
