"""Processes that work: what they do, Ctrl-C, their end, and one process where the system has no locks for them."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import synchronize

import pytest
from fakes.workspace import environment

from lensfold import workers
from lensfold.workers import WorkerPool

#: a parent that starts a worker, says its number, and waits
PARENT = """
import os, time
from lensfold.workers import WorkerPool
if __name__ == "__main__":
    with WorkerPool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def _hears_ctrl_c() -> tuple[bool, bool]:
    """Return whether Ctrl-C waits in this process, as it did before anything was imported, and is not heard at all."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()), (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    )


def test_workers_leave_ctrl_c_to_their_parent():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with WorkerPool(1) as pool:
        assert pool.submit(_hears_ctrl_c).result() == (True, True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def _is_alive(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, 0)
        return True
    return False


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], env=environment(), stdout=subprocess.PIPE, text=True) as run:
        worker = int(run.stdout.readline())
        run.kill()
    until = time.monotonic() + 20
    while _is_alive(worker):
        assert time.monotonic() < until, "the worker outlives its parent"
        time.sleep(0.05)


def squared(number: int) -> int:
    return number**2


@pytest.mark.parametrize("count", [1, 2])
def test_every_chunk_is_done_once(count):
    assert sorted(workers.run_chunks(squared, [3, 1, 2], count)) == [(1, 1), (2, 4), (3, 9)]


def test_without_shared_memory_one_process_does_all(monkeypatch, capsys):
    def no_lock(*arguments, **options):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(synchronize.SemLock, "__init__", no_lock)
    assert list(workers.run_chunks(squared, [3, 1, 2], 2)) == [(3, 9), (1, 1), (2, 4)]
    assert "one process instead of 2: no shared memory" in capsys.readouterr().err
