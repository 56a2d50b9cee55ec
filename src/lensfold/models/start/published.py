"""Networks in ``weights/`` that an experiment can start from: which of them fit it, and the best of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensfold.config import Experiment, NetworkLearner, validated
from lensfold.errors import InputError
from lensfold.models.shipped import SUFFIX, read_shipped

#: folder of published networks in a project
FOLDER = "weights"


@dataclass(frozen=True)
class Published:
    """A published network as its description has it."""

    file: Path
    experiment: Experiment
    #: of its stretch, by the bin of its images: see `lensfold.inputs.pixels`
    constants: dict[int, Any]
    #: out of fold, at home; 0 where it is not known
    auc: float
    #: every pack that it has learnt from, with a hash of the pixels: its own, and those of the networks it began as
    packs: dict[str, str]

    @property
    def learner(self) -> NetworkLearner:
        """The network's settings."""
        assert self.experiment.learner.kind == "network"  # of any other kind nothing is read, see `read_published`
        return self.experiment.learner

    def problem(self, experiment: Experiment, pack: str, pixels: str) -> str:
        """Return why an experiment on a pack cannot start from it; "" where it can.

        ``experiment``: of a network, for the pack's frames; ``pixels``: hash of the pack's.
        """
        if pack in self.packs or pixels in self.packs.values():
            return (
                f"it has learnt from pack {pack}, whose objects it would be scored by (where yours is another pack of "
                "that name, give it a name of its own)"
            )
        if experiment.task != self.experiment.task:
            return f'its task is "{self.experiment.task}", not "{experiment.task}"'
        theirs, ours = self.learner, experiment.learner
        for name in ("name", "two_branches", "dense"):
            if getattr(theirs, name) != getattr(ours, name):
                return f"its learner.{name} is {_shown(getattr(theirs, name))}, not {_shown(getattr(ours, name))}"
        for name in type(experiment.pixels).model_fields:
            there, here = getattr(self.experiment.pixels, name), getattr(experiment.pixels, name)
            if there != here:
                return f"its pixels.{name} is {_shown(there)}, not {_shown(here)}"
        return ""


def read_published(path: Path) -> Published:
    """Return what a published network is; InputError where the file is damaged, or none of a network of ours."""
    return published(path, read_shipped(path)[1])


def published(path: Path, description: dict) -> Published:
    """Return what the ``description`` in a file says; InputError where it lacks anything, or is of no network."""
    try:
        config = description["config"]
        experiment = validated({**config["experiment"], "predict": description["predict"]}, Experiment, path)
        constants: dict[int, Any] = {experiment.pixels.bin: config["constants"]}
        constants |= {int(bin): found for bin, found in config.get("stage_constants", {}).items()}
        packs = {**config.get("start_packs", {}), config["trained_on"]: config["data_hash"]}
        auc = float((description["scores"].get("auc") or {}).get("value") or 0.0)
        whole = all({"sigma", "mean", "scale"} <= found.keys() for found in constants.values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: its description lacks {error}. Write it with `lensfold publish`.") from error
    if not whole or experiment.learner.kind != "network":
        raise InputError(f"{path}: its description is of no network with a stretch. Write it with `lensfold publish`.")
    return Published(path, experiment, constants, auc, packs)


def best_published(root: Path, experiment: Experiment, pack: str, pixels: str, source: Path) -> Published:
    """Return the network that an experiment with ``weights = "lensfold"`` starts from.

    It is the one that ``weights_file`` names, from the project's folder ``root``, else of those in ``weights/`` that
    fit the one with the best published AUC. ``pack``, ``pixels``: name, and hash of the pixels, of what is trained on;
    ``source``: the experiment's file, for messages. Raises InputError where none fits, with what is in the way of each,
    and where a file is damaged.
    """
    paths = published_files(root, experiment)
    found = [read_published(path) for path in paths]
    problems = {one.file.name: one.problem(experiment, pack, pixels) for one in found}
    fitting = [one for one in found if not problems[one.file.name]]
    if not fitting:
        raise InputError(f'{source}: learner.weights = "lensfold": {_none_fits(root, problems)}.')
    return max(fitting, key=lambda one: one.auc)  # of equal ones the first by name


def published_files(root: Path, experiment: Experiment) -> Sequence[Path]:
    """Return the files that `best_published` chooses from, by name."""
    if experiment.learner.kind == "network" and experiment.learner.weights_file:
        return [root / experiment.learner.weights_file]
    return sorted((root / FOLDER).glob(f"*{SUFFIX}"))


def _none_fits(root: Path, problems: dict[str, str]) -> str:
    if not problems:
        return (
            f"no network in {root / FOLDER}. Publish one with `lensfold publish`, or name a file of your own with "
            'weights = "file"'
        )
    reasons = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    return f'no network fits ({reasons}). Set what differs as it is there, or learner.weights = "none"'


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value).lower()
