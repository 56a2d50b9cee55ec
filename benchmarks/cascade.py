"""Benchmark of a cascade: what an object costs where a small network sees all, and the ensemble only the best."""

import os
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from benchmarks.data import Rows
from lensfold.config import CascadeSettings
from lensfold.jobs.plan import Work, jobs_of
from lensfold.jobs.run import Executor, run_needed
from lensfold.jobs.work import run_job
from lensfold.paths import Workspace
from lensfold.pipeline.folds import make_pack_folds
from lensfold.simulate import simulate_pack

#: objects of the two test splits: what an object costs is the difference, without the start of a job
FEW, MANY = 400, 2400
TRAIN, FOLDS, KEEP = 240, (0, 1), 0.05
#: a small network on 64 px for all; for the best the mean of a wide one and an EfficientNet on 100 px
NETWORKS = {
    "first": ("crop = 128\nbin = 2", "fast_cnn"),
    "wide": ("crop = 200\nbin = 2", "fast_cnn"),
    "lite": ("crop = 200\nbin = 2", "efficientnet_lite0"),
}
EXPERIMENT = """\
[pixels]
mix = "bands"
{pixels}
[learner]
name = "{network}"
[train]
batch_size = 64
average_momentum = 0.0
[[stage]]
min_size = 20
epochs = 1
learning_rate = 0.001
"""


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of CPU time."""

    wall: float
    core: float

    def each(self, fewer: "Cost", objects: int) -> "Cost":
        """Return what an object costs, where this is of so many objects more than ``fewer``."""
        return Cost((self.wall - fewer.wall) / objects, (self.core - fewer.core) / objects)


def bench_cascade(folder: Path, few: int = FEW, many: int = MANY) -> Rows:
    """Return rows for packs of the profile "sample", made in ``folder``; the networks are hardly trained."""
    workspace = _workspace(folder, few, many)
    members = tuple(name for name in NETWORKS if name != "first")
    cascade = CascadeSettings(first="first", keep=KEEP, least=1)
    found: dict[str, Cost] = {}
    # the cascade comes first: of what the ensemble has said already it would ask nothing
    for way, chosen in {"cascade": cascade, "ensemble": None}.items():
        spent = [_predicted(workspace, pack, members, chosen) for pack in ("warm", "few", "many")]
        found[way] = spent[2].each(spent[1], many - few)
    networks = f"{len(members)} networks of {len(FOLDS)} folds, eight views"
    rows: Rows = [
        _row(f"every object by {networks}", found["ensemble"]),
        _row(f"a cascade: every object by a small network, one view, the best {KEEP:.0%} by these", found["cascade"]),
    ]
    saved = found["ensemble"].core / found["cascade"].core
    return [*rows, ("CPU time of an object, a cascade against the ensemble for all", f"× {saved:.1f} less", "")]


def _row(what: str, cost: Cost) -> tuple[str, str, str]:
    hours = cost.core * 1e6 / 3600
    return f"{what}, one process", f"{1 / cost.wall:.0f} objects/s, {hours:.1f} core-hours a million", ""


def _workspace(folder: Path, few: int, many: int) -> Workspace:
    """Make packs and caches, and train the networks."""
    for name in ("experiments", "folds", "submissions"):
        (folder / name).mkdir()
    for name, (pixels, network) in NETWORKS.items():
        (folder / "experiments" / f"{name}.toml").write_text(EXPERIMENT.format(pixels=pixels, network=network))
    (folder / "folds" / "folds.toml").write_text("k = 3\nseed = 1\n")
    workspace = Workspace(folder)
    trained = workspace.pack("trained")
    with redirect_stdout(StringIO()):
        simulate_pack(trained.folder, "sample", TRAIN, 8, 1, 2)
        make_pack_folds(workspace, trained)
        run_needed(Work(workspace, trained, tuple(NETWORKS), folds=FOLDS), Executor())
        for seed, (name, objects) in enumerate({"warm": 32, "few": few, "many": many}.items(), 2):
            pack = workspace.pack(name)
            simulate_pack(pack.folder, "sample", 8, objects, seed, 2)
            run_needed(Work(workspace, pack, cached=("test",)), Executor())
    return workspace


def _predicted(workspace: Workspace, pack: str, members: tuple[str, ...], chosen: CascadeSettings | None) -> Cost:
    """Return what the prediction of a pack's test split costs, its jobs one after the other in this process."""
    asked = Work(workspace, workspace.pack(pack), predicted=members, trained_on="trained")
    work = replace(asked, cascade=chosen)
    wall, core = time.perf_counter(), sum(os.times()[:4])
    with redirect_stdout(StringIO()):
        for job in jobs_of(work):
            run_job(work, job)
    return Cost(time.perf_counter() - wall, sum(os.times()[:4]) - core)
