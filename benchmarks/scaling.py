"""Benchmark of jobs: one worker against two, and what an object costs in each kind of job."""

import importlib.util
import json
import shutil
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from benchmarks.data import Rows
from lensfold.jobs.plan import Work
from lensfold.jobs.run import Executor, run_needed
from lensfold.paths import Workspace
from lensfold.pipeline.folds import make_pack_folds
from lensfold.simulate import simulate_pack

TRAIN, TEST, PARTS, EPOCHS = 3000, 3000, 4, 4
EXPERIMENT = f"""\
[pixels]
mix = "bands"
[augment]
noise_sigma = 0.2
[train]
batch_size = 64
average_momentum = 0.0
[[stage]]
min_size = 20
epochs = {EPOCHS}
learning_rate = 0.001
"""
#: folds that are trained, so that two workers have as much to do as one
FOLDS = (0, 1)
STEPS = ("cache", "train", "predict")


def bench_scaling(folder: Path) -> Rows:
    """Return rows for a pack of the profile "sample", made in ``folder``."""
    workspace = _workspace(folder)
    simulate_pack(workspace.pack("sample").folder, "sample", TRAIN, TEST, 1, 2)
    one, two = _measured(workspace, 1), _measured(workspace, 2)
    rows: Rows = []
    for step in STEPS:
        what = {"cache": f"{PARTS} parts of both caches", "train": "two folds", "predict": f"{PARTS} parts"}[step]
        rows.append((f"{step}, {what}, two workers against one", f"× {one[step] / two[step]:.2f}", ""))
    if importlib.util.find_spec("ray"):
        ray = _measured(workspace, 2, "ray")
        speed = f"× {sum(two.values()) / sum(ray.values()):.2f}"
        rows.append(("all three by Ray with two workers, its start included, against local with two", speed, ""))
    return [*rows, *_costs(workspace)]


def _workspace(folder: Path) -> Workspace:
    for name in ("experiments", "folds", "submissions"):
        (folder / name).mkdir()
    (folder / "experiments" / "cnn.toml").write_text(EXPERIMENT)
    (folder / "folds" / "folds.toml").write_text("k = 3\nseed = 1\n")
    return Workspace(folder)


def _measured(workspace: Workspace, workers: int, executor: str = "local") -> dict[str, float]:
    """Return the seconds of each step with this many workers, from an empty workspace."""
    pack, seconds = workspace.pack("sample"), {}
    shutil.rmtree(workspace.runs("sample"), ignore_errors=True)
    shutil.rmtree(workspace.cache(pack, "train").parent, ignore_errors=True)
    make_pack_folds(workspace, pack)
    asked = {
        "cache": Work(workspace, pack, cached=("train", "test"), parts=PARTS),
        "train": Work(workspace, pack, ("cnn",), folds=FOLDS),
        "predict": Work(workspace, pack, (), ("cnn",), parts=PARTS),
    }
    for step, work in asked.items():
        started = time.perf_counter()
        with redirect_stdout(StringIO()):
            run_needed(work, Executor(executor, workers))
        seconds[step] = time.perf_counter() - started
    return seconds


def _costs(workspace: Workspace) -> Rows:
    """Return core-seconds an object as the jobs recorded them: of their whole processes."""
    records = [json.loads(path.read_text()) for path in workspace.jobs("sample").glob("*.json")]
    kinds = {"cache": ("cache", "merge"), "train": ("train",), "predict": ("predict", "join")}
    spent = {
        step: sum(one["core_seconds"] for one in records if one["job"].partition(":")[0] in kinds[step])
        for step in STEPS
    }
    training = len(FOLDS) * EPOCHS * TRAIN * 2 / 3
    networks = len(FOLDS) * TEST
    costs = {
        "building a cache, an object": spent["cache"] / (TRAIN + TEST),
        "training fast_cnn at 100 px, an object and epoch": spent["train"] / training,
        "prediction with one fast_cnn, eight views, an object": spent["predict"] / networks,
    }
    return [(what, f"{1000 * cost:.1f} core-ms", "") for what, cost in costs.items()]
