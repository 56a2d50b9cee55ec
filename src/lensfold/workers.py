"""Work in processes: chunks of it are done in any order, and no worker outlives the process that started it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def _end_with_parent() -> None:
    """End this worker when its parent has ended, however that came about."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def start_worker() -> None:
    """Leave Ctrl-C to the parent, which cancels what has not begun; never outlive the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


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


def process_pool(workers: int, start: Callable[[], None] | None = start_worker) -> ProcessPoolExecutor | None:
    """Return a pool of spawned processes, each begun with ``start``; None, said to the user, where there are no locks.

    Locks of processes need shared memory, which containers may lack.
    """
    try:
        return ProcessPoolExecutor(workers, get_context("spawn"), start)
    except OSError as error:
        print(f"one process instead of {workers}: no shared memory for more ({error}); see /dev/shm", file=sys.stderr)
        return None
