"""Processes that work: they leave Ctrl-C to their parent from their very start, and never outlive it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from fakes.workspace import environment

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
