"""Benchmark of training: a step of an EfficientNet against PyTorch on the same network, all of it learning.

Each case runs in a process of its own, since the number of threads is fixed when TensorFlow starts. PyTorch is
optional: ``pip install -e ".[bench]"``.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.data import Rows, best_seconds
from lensfold.config import StageSettings, TrainSettings
from lensfold.models.backend import start_tensorflow

if TYPE_CHECKING:
    import keras

BATCH = 32
CHANNELS = 3
LEARNING_RATE = 1e-3


class Case(NamedTuple):
    """Network, side of the images, threads of both frameworks, and the ratio that is asked for."""

    network: str
    pixels: int
    threads: int
    asked: str


#: one thread is what experiments have where they say nothing: folds are trained side by side
CASES = (
    Case("efficientnet_b0", 100, 1, "at least × 1.3"),
    Case("efficientnet_b0", 200, 1, "at least × 1.3"),
    Case("efficientnet_b0", 100, 2, ""),
    Case("efficientnet_b0", 200, 2, ""),
    Case("efficientnet_lite0", 100, 1, "at least × 2"),
    Case("efficientnet_lite0", 100, 2, "at least × 2"),
    Case("efficientnet_lite0", 50, 1, ""),
)


def bench_training(cases: tuple[Case, ...] = CASES, repeats: int = 9) -> Rows:
    """Return one row a case: speed of a training step against PyTorch's, or without PyTorch how to install it."""
    if importlib.util.find_spec("torch") is None:
        return [("training against PyTorch", 'not measured: pip install -e ".[bench]"', "")]
    return [_row(case, repeats) for case in cases]


def _row(case: Case, repeats: int) -> tuple[str, str, str]:
    numbers = [str(number) for number in (case.pixels, case.threads, repeats)]
    command = [sys.executable, "-m", "benchmarks.training", case.network, *numbers]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    ours, theirs = json.loads(output.splitlines()[-1])
    threads = "one thread" if case.threads == 1 else f"{case.threads} threads"
    what = f"training {case.network} at {case.pixels} px in batches of {BATCH}, {threads}"
    return (
        f"{what}, against PyTorch with channels last",
        f"× {theirs / ours:.2f} ({BATCH / ours:.0f} objects/s, PyTorch {BATCH / theirs:.0f})",
        case.asked,
    )


def step_seconds(network: str, pixels: int, threads: int, repeats: int) -> tuple[float, float]:
    """Return the shortest seconds of a step of lensfold and of PyTorch, in turns; sets this process's threads."""
    start_tensorflow()
    import torch

    from lensfold.models import build_model
    from lensfold.models.backend import make_repeatable

    make_repeatable(threads)
    torch.set_num_threads(threads)
    generator = np.random.default_rng(1)
    images = generator.standard_normal((BATCH, pixels, pixels, CHANNELS)).astype(np.float32)
    labels = (generator.random((BATCH, 1)) < 0.5).astype(np.float32)
    model = build_model(network, pixels, CHANNELS)
    steps = (torch_step(model, images, labels), lensfold_step(model, images, labels))
    for step in steps:  # graphs are traced, memory is taken
        step()
    theirs, ours = best_seconds(*steps, repeats=repeats)
    return ours, theirs


def lensfold_step(model: "keras.Model", images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """Return a step as a fold takes it, weights not averaged; each call returns the loss before it."""
    import keras

    from lensfold.models import block_depth, set_trainable
    from lensfold.training.optimisation import optimiser_of

    settings = TrainSettings(average_momentum=0.0)
    stage = StageSettings(min_size=0, epochs=1, learning_rate=LEARNING_RATE)
    set_trainable(model, stage.trainable)
    optimiser = optimiser_of(settings, stage, block_depth(model))
    model.compile(optimizer=optimiser, loss=keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)

    def step() -> float:
        model.optimizer.learning_rate = LEARNING_RATE
        model.reset_metrics()
        return float(model.train_on_batch(images, labels))

    return step


def torch_step(model: "keras.Model", images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """Return the same step in PyTorch, from the weights that ``model`` has now: channels last, its fused AdamW."""
    import torch

    from benchmarks.torch_network import TorchNetwork

    network = TorchNetwork(model).to(memory_format=torch.channels_last).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.SiLU):
            layer.inplace = False  # its gradient needs what it read: in place it would be copied first
    decay = TrainSettings().weight_decay
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=decay, fused=True)
    loss_of = torch.nn.BCEWithLogitsLoss()

    def step() -> float:
        batch = torch.from_numpy(images).permute(0, 3, 1, 2)  # as it lies in memory: channels last
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(network(batch), torch.from_numpy(labels))
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


if __name__ == "__main__":
    print(json.dumps(step_seconds(sys.argv[1], *map(int, sys.argv[2:]))))
