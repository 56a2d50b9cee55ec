"""Everything that is needed, by the engine that was asked for."""

from contextlib import AbstractContextManager

from lensfold.files import is_locked
from lensfold.jobs import slurm
from lensfold.jobs.drive import Engine, drive
from lensfold.jobs.job import Job
from lensfold.jobs.local import local_engine
from lensfold.jobs.plan import Work, jobs_of, needed
from lensfold.jobs.progress import Follower, show_progress
from lensfold.pipeline.cache import is_cached
from lensfold.pipeline.configure import configure_once


def run_needed(
    work: Work,
    executor: str = "local",
    processes: int | None = None,
    address: str | None = None,
    gpus: int = 0,
    brief: bool = False,
) -> None:
    """Do the jobs that are needed and print how they go; with "slurm" hand them over and return.

    ``processes``: jobs at a time; ``address``: of a Ray cluster; ``gpus``: of each job of a network under SLURM, the
    other engines see for themselves. ``brief``: say only which jobs ended.
    Raises InputError where a job fails again and again, or the engine is not there.
    """
    known = jobs_of(work)
    if is_cached(work.workspace, work.pack, "train"):
        for name in work.trained:  # else an edited experiment would not be known to be another one
            configure_once(work.workspace, work.pack, name)
    missing = needed(work, known)
    if not missing:
        return
    if executor == "slurm":
        slurm.check_queue(work)
    _forget(work, list(missing))
    if executor == "slurm":
        if slurm.submit(work, missing, processes, gpus):
            show_progress(work, known, missing.keys())
        return
    follower = Follower([] if brief else [work.log(job) for job in missing])
    try:
        with _engine(work, executor, processes, address, list(missing)) as engine:
            drive(work, missing, engine, lambda line: print(line, flush=True), follower)
    finally:
        follower()
        if not brief:
            show_progress(work, known, needed(work, known).keys())


def _engine(
    work: Work, executor: str, processes: int | None, address: str | None, jobs: list[Job]
) -> AbstractContextManager[Engine]:
    if executor == "ray":
        from lensfold.jobs.ray_engine import ray_engine

        return ray_engine(work, address, processes, jobs)
    return local_engine(work, processes)


def _forget(work: Work, jobs: list[Job]) -> None:
    """What earlier attempts at jobs printed and how they ended, so that what is shown is of the next ones."""
    for job in jobs:
        if is_locked(work.log(job).with_suffix(".lock")):  # another driver's
            continue
        for suffix in (".json", ".log"):
            work.log(job).with_suffix(suffix).unlink(missing_ok=True)
