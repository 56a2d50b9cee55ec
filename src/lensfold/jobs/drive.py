"""Hand jobs to an engine in their order until none is left, whatever the engine."""

import time
from collections.abc import Callable, Mapping, Set
from concurrent.futures import FIRST_COMPLETED, Future, wait
from graphlib import TopologicalSorter
from typing import Protocol

from lensfold.errors import InputError
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work
from lensfold.jobs.process import tail

#: times that a job is tried before it counts as failed
ATTEMPTS = 3
#: seconds between two looks at the logs
PAUSE = 0.5


class Engine(Protocol):
    """What runs jobs: it queues those that it has no place for yet."""

    def submit(self, job: Job) -> Future:
        """Run a job, some time; the future raises where it failed."""


def drive(
    work: Work, jobs: Mapping[Job, Set[Job]], engine: Engine, told: Callable[[str], None], follow: Callable[[], None]
) -> None:
    """Run jobs, each after those it waits for. A job that fails is tried again; the others go on meanwhile.

    ``told`` gets a line for each job that ends, ``follow`` is called every half second. Raises InputError at the end
    where a job failed ATTEMPTS times, with the end of its log.
    """
    order, attempts, failed = TopologicalSorter(jobs), dict.fromkeys(jobs, 0), {}
    order.prepare()
    running: dict[Future, Job] = {}
    count, started = len(jobs), time.monotonic()
    done = 0
    while order.is_active():
        for job in order.get_ready():
            running[engine.submit(job)] = job
        if not running:  # what is left waits for a job that failed
            break
        ended, _ = wait(running, PAUSE, FIRST_COMPLETED)
        follow()
        for future in ended:
            job = running.pop(future)
            attempts[job] += 1
            error = future.exception()
            if error is None:
                order.done(job)
                done += 1
                left = (time.monotonic() - started) / done * (count - done) / 60
                told(f"{job} done  {done}/{count} jobs  left {left:.0f} min")
            elif attempts[job] < ATTEMPTS:
                told(f"{job} failed ({_reason(error)}); attempt {attempts[job] + 1} of {ATTEMPTS}")
                running[engine.submit(job)] = job
            else:
                told(f"{job} failed {ATTEMPTS} times")
                failed[job] = error
    if failed:
        raise InputError(_failure(work, failed, count - done - len(failed)))


def _reason(error: BaseException) -> str:
    # Ray hands on an error inside one of its own, with a traceback as its text
    text = str(getattr(error, "cause", None) or error).strip()
    return text.splitlines()[-1] if text else type(error).__name__


def _failure(work: Work, failed: Mapping[Job, BaseException], waiting: int) -> str:
    parts = [f"{len(failed)} jobs failed {ATTEMPTS} times, {waiting} that wait for them were not begun:"]
    for job, error in failed.items():
        log = work.log(job)
        end = f" {log} ends:\n{tail(log)}" if log.is_file() else ""
        parts.append(f"  {job} ({_reason(error)}).{end}")
    return "\n".join([*parts, "Mend the cause; the same command goes on with what is left."])
