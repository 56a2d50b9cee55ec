"""Benchmark of prediction: the kit's way against stock ``model.predict`` and PyTorch on the same network.

One thread each, in turns, the best of several. PyTorch is optional: without it the rows say so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import Rows, best_seconds
from lensfold.config import PredictSettings
from lensfold.models import build_model
from lensfold.models.backend import make_repeatable
from lensfold.prediction.forward import inference_of

if TYPE_CHECKING:
    import keras
    import torch

#: the default of stock ``model.predict``, and PyTorch's fastest
STOCK_BATCH = 32
CHANNELS = 3
#: a fold's prediction, which the conversion of the network must not slow down
FOLD_OBJECTS = 2000


@dataclass(frozen=True)
class Case:
    """A network, the side of its input, and how many inputs are timed."""

    name: str
    pixels: int
    count: int


CASES = (Case("fast_cnn", 128, 256), Case("efficientnet_b0", 100, 64), Case("efficientnet_b0", 200, 32))


def bench_prediction(
    cases: tuple[Case, ...] = CASES, batch_size: int = PredictSettings().batch_size, repeats: int = 5
) -> Rows:
    """Return rows for each case: speed against the better of the two others, their rates, and the difference of logits.

    The kit runs with its default settings, the other two with batches of 32; PyTorch runs as it comes and, in a row
    of its own, with channels last.
    """
    make_repeatable(1)
    return [row for case in cases for row in _rows(case, repeats)]


def _rows(case: Case, repeats: int) -> Rows:
    model = build_model(case.name, case.pixels, CHANNELS)
    generator = np.random.default_rng(1)
    images = generator.standard_normal((case.count, case.pixels, case.pixels, CHANNELS)).astype(np.float32)
    scale_logits(model, images[:8])
    inference = inference_of(model, PredictSettings().batch_size)
    started = time.perf_counter()
    inference(images[:1])
    conversion = time.perf_counter() - started
    started = time.perf_counter()
    stock_logits = model.predict(images[:STOCK_BATCH], batch_size=STOCK_BATCH, verbose=0)
    tracing = time.perf_counter() - started
    ways: dict[str, Callable[[], np.ndarray]] = {
        "lensfold": lambda: inference(images),
        "model.predict": lambda: model.predict(images, batch_size=STOCK_BATCH, verbose=0),
        **_torch_ways(model, images),
    }
    difference = max(np.abs(way()[: len(stock_logits)] - stock_logits).max() for way in ways.values())
    seconds = best_seconds(*ways.values(), repeats=repeats)
    rates = {name: case.count / best for name, best in zip(ways, seconds, strict=True)}
    return _compared(case, rates, float(difference), conversion - tracing)


def _compared(case: Case, rates: dict[str, float], difference: float, extra: float) -> Rows:
    what = f"prediction with {case.name} at {case.pixels} px, one thread"
    stock = {name: rates[name] for name in ("model.predict", "PyTorch") if name in rates}
    better = max(stock, key=lambda name: stock[name])
    missing = "" if "PyTorch" in rates else "; PyTorch is not installed"
    ours = rates["lensfold"]
    rows = [
        (
            f"{what}, against the better of model.predict and PyTorch",
            f"× {ours / stock[better]:.2f} ({ours:.0f} objects/s, {better} {stock[better]:.0f}{missing})",
            "at least × 1.5",
        ),
        *(
            (f"{what}, against {name}", f"× {ours / rate:.2f}", "")
            for name, rate in rates.items()
            if name not in ("lensfold", better)
        ),
        (f"{what}, largest difference between logits of up to 5", f"{difference:.1e}", "at most 1e-4"),
    ]
    saved = FOLD_OBJECTS * (1 / rates["model.predict"] - 1 / ours) - extra
    seconds = f"{saved:+.0f} s (of {FOLD_OBJECTS / rates['model.predict']:.0f} s)"
    return [*rows, (f"{what}, seconds saved of {FOLD_OBJECTS:,} objects, conversion included", seconds, "more than 0")]


def scale_logits(model: "keras.Model", images: np.ndarray) -> None:
    """Scale the logits to at most five: those of fresh weights may be so small that any error is."""
    kernel = model.get_layer("head_logit").kernel
    kernel.assign(kernel * 5 / np.abs(np.asarray(model(images, training=False))).max())


def _torch_ways(model: "keras.Model", images: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return the same network in PyTorch, as it comes and with channels last; {} where it is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    from benchmarks.torch_network import TorchNetwork

    torch.set_num_threads(1)

    def way(layout: "torch.memory_format") -> Callable[[], np.ndarray]:
        arranged = TorchNetwork(model).to(memory_format=layout)

        def run() -> np.ndarray:
            outputs = []
            with torch.inference_mode():
                for start in range(0, len(images), STOCK_BATCH):
                    batch = torch.from_numpy(images[start : start + STOCK_BATCH]).permute(0, 3, 1, 2)
                    outputs.append(arranged(batch.contiguous(memory_format=layout)).numpy())
            return np.concatenate(outputs)

        return run

    return {
        "PyTorch": way(torch.contiguous_format),
        "PyTorch with channels last": way(torch.channels_last),
    }
