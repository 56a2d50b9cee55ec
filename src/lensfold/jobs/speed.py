"""How fast this machine is: a training step of each network of the default submission, and writing to the disk."""

import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lensfold.config import Experiment, read_toml
from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.submission.settings import USUAL, read_submission_settings

#: images of a timed step, whatever the experiment trains with: a small one shows what an image costs
BATCH = 16
#: bytes that are written to time a disk
WRITTEN = 64 << 20


@dataclass(frozen=True)
class StepSpeed:
    """A network, and the images a second of its training steps with the experiment's threads; None: not timed."""

    name: str
    images_per_second: float | None
    threads: int

    @property
    def text(self) -> str:
        """What the table says of it."""
        if self.images_per_second is None:
            return "not timed"
        return f"{self.images_per_second:.0f} images/s, {self.threads} threads asked for"


def step_speeds(workspace: Workspace, seconds: float, problems: list[str]) -> list[StepSpeed]:
    """Return the speed of each network of the default submission, all of them timed within about ``seconds``.

    What does not build is added to ``problems`` as a sentence. A network whose turn comes too late is not timed.
    """
    try:
        names = read_submission_settings(workspace, USUAL, workspace.pack(None).name).experiments
        experiments = {name: read_toml(workspace.experiment(name), Experiment) for name in names}
    except InputError:
        problems.append(
            "The default submission, or an experiment of it, is not here or not valid: no network is timed."
        )
        return []
    until = time.monotonic() + seconds
    found = []
    for place, (name, experiment) in enumerate(experiments.items()):
        speed = StepSpeed(name, None, experiment.train.threads)
        left = until - time.monotonic()
        if experiment.learner.kind == "network" and left > 0:
            speed = replace(speed, images_per_second=_images_per_second(experiment, left / (len(experiments) - place)))
        found.append(speed)
    return found


def _images_per_second(experiment: Experiment, seconds: float) -> float:
    """Time whole steps of the network with fresh weights; the first, which traces it, is not counted."""
    from lensfold.models.backend import make_repeatable, start_tensorflow

    start_tensorflow()
    make_repeatable(experiment.train.threads)
    from lensfold.models import block_depth, network_of
    from lensfold.training.optimisation import loss_of, optimiser_of

    nothing = {"weights": "none", "weights_file": None, "weights_sha256": None}
    learner = experiment.learner.model_copy(update=nothing)
    model = network_of(experiment.model_copy(update={"learner": learner}))
    optimiser = optimiser_of(experiment.train, experiment.stage[-1], block_depth(model))
    model.compile(optimizer=optimiser, loss=loss_of(experiment), jit_compile=False)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((BATCH, *model.input_shape[1:])).astype(np.float32)
    targets = generator.integers(0, 2, (BATCH, model.output_shape[1])).astype(np.float32)
    until = time.monotonic() + seconds
    model.train_on_batch(images, targets)
    started, steps = time.monotonic(), 0
    while not steps or time.monotonic() < min(until, started + seconds / 3):
        model.train_on_batch(images, targets)
        steps += 1
    return BATCH * steps / (time.monotonic() - started)


def write_speed(folder: Path) -> float | None:
    """Return the MB/s at which a file of 64 MB reaches the disk of a folder; None where it cannot be written."""
    content = os.urandom(1 << 20)
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            started = time.monotonic()
            for _ in range(WRITTEN >> 20):
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            return WRITTEN / 1e6 / (time.monotonic() - started)
    except OSError:
        return None
