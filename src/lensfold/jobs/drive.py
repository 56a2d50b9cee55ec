"""Hand jobs to an engine in their order until none is left, whatever the engine."""

import time
from collections import Counter
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
    work: Work, jobs: Mapping[Job, Set[Job]], engine: Engine, on_line: Callable[[str], None], follow: Callable[[], None]
) -> None:
    """Run jobs, each after those it waits for. A job that fails is tried again; the others go on meanwhile.

    ``on_line`` gets a line for each job that ends, ``follow`` is called every half second. Raises InputError at the end
    where a job failed ATTEMPTS times, with the end of its log.
    """
    order, tries = TopologicalSorter(jobs), _Tries(len(jobs), on_line)
    order.prepare()
    running: dict[Future, Job] = {}
    while order.is_active():
        running |= {engine.submit(job): job for job in order.get_ready()}
        if not running:  # what is left waits for a job that failed
            break
        ended, _ = wait(running, PAUSE, FIRST_COMPLETED)
        follow()
        for future in ended:
            job = running.pop(future)
            if tries.succeeded(job, future.exception()):
                order.done(job)
            elif job not in tries.failed:
                running[engine.submit(job)] = job
    if tries.failed:
        raise InputError(_failure(work, tries.failed, len(jobs) - tries.done - len(tries.failed)))


class _Tries:
    """How often jobs were tried, what became of them, and the lines that say so."""

    def __init__(self, count: int, on_line: Callable[[str], None]):
        self._count, self._on_line, self._started = count, on_line, time.monotonic()
        self._attempts: Counter[Job] = Counter()
        self.done = 0
        self.failed: dict[Job, BaseException] = {}

    def succeeded(self, job: Job, error: BaseException | None) -> bool:
        self._attempts[job] += 1
        if error is None:
            self.done += 1
            left = (time.monotonic() - self._started) / self.done * (self._count - self.done) / 60
            self._on_line(f"{job} done  {self.done}/{self._count} jobs  left {left:.0f} min")
        elif self._attempts[job] < ATTEMPTS:
            self._on_line(f"{job} failed ({_reason(error)}); attempt {self._attempts[job] + 1} of {ATTEMPTS}")
        else:
            self._on_line(f"{job} failed {ATTEMPTS} times")
            self.failed[job] = error
        return error is None


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
