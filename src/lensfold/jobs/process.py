"""A job as a process with a log, that ends when whoever started it is gone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lensfold.errors import InputError

#: lines of a log that a failure shows
TAIL = 8
#: seconds between two looks at whether a process is to be stopped
PAUSE = 0.2


class JobFailed(Exception):
    """A job ended with another exit status than 0."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_process(
    arguments: Sequence[str],
    log: str,
    variables: Mapping[str, str | None],
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run ``lensfold`` with ``arguments``, append what it prints to ``log``; JobFailed where it fails.

    ``variables``: of the environment, to set or (None) to remove. The process, and all that it started, ends with this
    one, however that ends: it watches a pipe that the system closes. It also ends when ``stopped`` says so.
    """
    wanted = {"TF_CPP_MIN_LOG_LEVEL": "2", "NO_ALBUMENTATIONS_UPDATE": "1", **os.environ, **variables}
    environment = {name: value for name, value in wanted.items() if value is not None}
    command = [sys.executable, "-m", "lensfold", arguments[0], "--attended", *arguments[1:]]
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("ab") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT, env=environment, process_group=0
        )
        try:
            status = _status(process, stopped)
        finally:
            if process.stdin:
                process.stdin.close()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status:
        raise JobFailed(f"exit status {status}" if status > 0 else f"killed by signal {-status}")


def _status(process: subprocess.Popen, stopped: Callable[[], bool]) -> int:
    while not stopped():
        with suppress(subprocess.TimeoutExpired):
            return process.wait(PAUSE)
    raise JobFailed("stopped")


def end_with_stdin() -> None:
    """End this process and all that it started as soon as its standard input is closed: its parent has ended."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        if os.getpgid(0) == os.getpid():  # as run_process starts it; else the group is somebody else's
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def tail(log: Path) -> str:
    """The last lines of a log, indented, for a message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()[-TAIL:]
    except OSError as error:
        raise InputError(f"{log}: cannot be read ({error}).") from error
    return "\n".join(f"    {line}" for line in lines or ["(nothing)"])
