"""Benchmark of feeding: training on augmented batches of a cache against the same steps on arrays in memory.

Both run on one core, the preparation included, as a fold of ``make train`` does on a machine whose other cores train
other folds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.data import Rows, best_seconds, write_noise_pack
from lensfold.config import Experiment, NetworkLearner, StageSettings, TrainSettings
from lensfold.data.cache import Cache, split_bands
from lensfold.data.cache_build import Build, build_cache
from lensfold.inputs.batches import Preparation, ahead, whole_slices
from lensfold.inputs.pixels import fit_constants

OBJECTS, BATCH = 512, 32
#: network, objects of one turn, and what the ratio must reach
CASES = (("fast_cnn", 512, 0.9), ("efficientnet_b0", 128, 0.95))


def bench_feeding(folder: Path) -> Rows:
    """Return a row for each network; the pack is made in ``folder``."""
    write_noise_pack(folder / "split", OBJECTS)
    build_cache(folder / "split", Build(folder / "cache", workers=1))
    rows = []
    for name, count, asked in CASES:
        command = [sys.executable, "-m", "benchmarks.feeding", str(folder / "cache"), name, str(count)]
        seconds = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ratio = seconds["memory"] / seconds["fed"]
        what = f"training {name} at 100 px, augmented from the cache, against arrays in memory, one core"
        rows.append((what, f"× {ratio:.2f} ({count / seconds['fed']:.0f} objects/s)", f"at least × {asked}"))
    return rows


def experiment_of(name: str) -> Experiment:
    """Return the pixels and the augmentation of experiments/small_cnn.toml for any network."""
    return Experiment(
        learner=NetworkLearner.model_validate({"name": name}),
        train=TrainSettings(batch_size=BATCH, average_momentum=0.0),
        stage=(StageSettings(min_size=20, epochs=1, learning_rate=0.001),),
    )


def measured_feeding(cache_folder: Path, name: str, count: int) -> dict[str, float]:
    """Return the seconds of ``count`` objects' training steps on one core: "fed" from the cache, and from "memory"."""
    if hasattr(os, "sched_setaffinity"):  # not on macOS, where the two share all cores alike
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from lensfold.models import network_of
    from lensfold.models.backend import keep_freed_memory, make_repeatable
    from lensfold.training.optimisation import loss_of, optimiser_of

    make_repeatable(1)
    keep_freed_memory()
    experiment = experiment_of(name)
    model = network_of(experiment)
    optimiser = optimiser_of(experiment.train, experiment.stage[0], {})
    model.compile(optimizer=optimiser, loss=loss_of(experiment), jit_compile=False)
    with Cache(cache_folder) as cache:
        sample = [split_bands(row) for row in cache.read(cache.ids[:64])]
        preparation = Preparation(cache, experiment, fit_constants(sample, experiment.pixels, cache.sigma))
        calls = [(cache.ids[part], np.arange(part.start, part.stop), 1, 0, 0) for part in whole_slices(count, BATCH)]
        kept = [preparation.augmented(*call) for call in calls]
        targets = (np.arange(BATCH) % 2).astype(np.float32)[:, None]

        def fed() -> None:
            for images in ahead(preparation.augmented, calls):
                model.train_on_batch(images, targets)

        def memory() -> None:
            for images in kept:
                model.train_on_batch(images, targets)

        memory()  # the graph is built
        seconds = best_seconds(fed, memory)
    return dict(zip(("fed", "memory"), seconds, strict=True))


if __name__ == "__main__":
    print(json.dumps(measured_feeding(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
