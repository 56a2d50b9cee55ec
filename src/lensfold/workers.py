"""Work in processes: chunks of it are done in any order, and no worker outlives the process that started it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def _end_with_parent() -> None:
    """End this worker when its parent has ended, however that came about."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


class WorkerPool(ProcessPoolExecutor):
    """Spawned processes (a fork of one that runs TensorFlow may hang) that leave Ctrl-C to their parent, which cancels
    what has not begun, and that never outlive it."""

    def __init__(self, workers: int) -> None:
        """``workers``: how many, at least 1."""
        super().__init__(workers, get_context("spawn"), _start_worker)

    def submit(self, function: Callable, /, *arguments: Any, **named: Any) -> Future:
        """Queue a call, as its base does; the first call starts the processes.

        These inherit that Ctrl-C waits, from their very start, and so say nothing of it while they import.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(function, *arguments, **named)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_chunks(work: Callable[[Task], Result], chunks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Yield (chunk, what ``work`` returned) in any order; on an exception running chunks end, the others are dropped.

    With several workers ``work`` runs in spawned processes, which never outlive this one; on a machine without shared
    memory for their locks (/dev/shm absent or read-only) in this process, after a word about it.
    """
    pool = None if workers == 1 else process_pool(min(workers, len(chunks)))
    if pool is None:
        yield from ((chunk, work(chunk)) for chunk in chunks)
        return
    try:
        futures = {pool.submit(work, chunk): chunk for chunk in chunks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def process_pool(workers: int) -> WorkerPool | None:
    """Return processes to work in; None, said to the user, where the system has no locks for them.

    These need shared memory, which containers may lack.
    """
    try:
        return WorkerPool(workers)
    except OSError as error:
        print(f"one process instead of {workers}: no shared memory for more ({error}); see /dev/shm", file=sys.stderr)
        return None
