"""Training jobs: which folds of which experiments are still to be trained, and running them side by side.

Each job is a process of its own and the command that a person could type; whatever it leaves behind when it is
killed, the next run of the same command goes on from there.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from lensfold import catalog as catalogs
from lensfold.errors import InputError
from lensfold.folds import read_folds
from lensfold.paths import Pack, Workspace
from lensfold.steps import is_trained


@dataclass(frozen=True)
class TrainingJob:
    """One fold of one experiment."""

    experiment: str
    fold: int

    def command(self, workspace: Workspace, pack: Pack) -> list[str]:
        """The command line that trains it."""
        place = ["--root", str(workspace.root), "--pack", pack.name, "--data", str(pack.folder)]
        return [
            sys.executable, "-m", "lensfold", "train-fold", *place, "--experiment", self.experiment, str(self.fold)
        ]  # fmt: skip


def missing_jobs(workspace: Workspace, pack: Pack, names: Sequence[str]) -> list[TrainingJob]:
    """The jobs of configured experiments whose out-of-fold file is absent or older than their settings."""
    folds = read_folds(workspace.folds(pack), catalogs.read_catalog(pack.catalog))
    jobs = [TrainingJob(name, fold) for name in names for fold in range(int(folds.max()) + 1)]
    return [job for job in jobs if not is_trained(workspace, pack, job.experiment, job.fold)]


def run_jobs(workspace: Workspace, pack: Pack, jobs: Sequence[TrainingJob], processes: int) -> None:
    """Run jobs, ``processes`` at a time, a line for each that ends; what they print goes into log.txt of their fold.

    The first failure stops what has not begun, waits for what runs, and raises InputError with the end of its log.
    """
    started, done, lock = time.monotonic(), [0], threading.Lock()

    def run(job: TrainingJob) -> None:
        _run(workspace, pack, job)
        with lock:
            done[0] += 1
            spent = time.monotonic() - started
            left = spent / done[0] * (len(jobs) - done[0]) / 60
            place = f"{done[0]}/{len(jobs)} folds  left {left:.0f} min"
            print(f"{job.experiment} fold {job.fold} trained  {place}", flush=True)

    with ThreadPoolExecutor(max(1, processes)) as pool:
        futures: list[Future] = []
        try:
            futures += [pool.submit(run, job) for job in jobs]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
    for future in futures:
        if not future.cancelled():
            future.result()


def _run(workspace: Workspace, pack: Pack, job: TrainingJob) -> None:
    folder = workspace.run(pack.name, job.experiment) / f"fold{job.fold}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    with log.open("w") as stream:
        done = subprocess.run(job.command(workspace, pack), stdout=stream, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        raise InputError(f"{job.experiment} fold {job.fold} failed (exit status {done.returncode}). {_end(log)}")


def _end(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{log} ends: {lines[-1] if lines else '(nothing)'}"
