"""Work in processes: chunks of it are done in any order, and no worker outlives the process that started it."""

import os
import signal
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

    With several workers ``work`` runs in spawned processes, which never outlive this one.
    """
    if workers == 1:
        yield from ((chunk, work(chunk)) for chunk in chunks)
        return
    pool = ProcessPoolExecutor(min(workers, len(chunks)), get_context("spawn"), start_worker)
    try:
        futures = {pool.submit(work, chunk): chunk for chunk in chunks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
