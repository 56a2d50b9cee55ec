"""A job as a process with a log, that ends when whoever started it is gone."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from lensfold.errors import InputError

#: lines of a log that a failure shows
TAIL = 8


class JobFailed(Exception):
    """A job ended with another exit status than 0."""


def run_process(arguments: Sequence[str], log: str, variables: Mapping[str, str | None]) -> None:
    """Run ``lensfold`` with ``arguments``, append what it prints to ``log``; JobFailed where it fails.

    ``variables``: of the environment, to set or (None) to remove. The process ends with this one, however that ends:
    it watches a pipe that the system closes.
    """
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", "NO_ALBUMENTATIONS_UPDATE": "1", **os.environ}
    for name, value in variables.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    command = [sys.executable, "-m", "lensfold", arguments[0], "--attended", *arguments[1:]]
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:  # noqa: PTH123
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        try:
            status = process.wait()
        finally:
            process.stdin.close()
            process.wait()
    if status:
        raise JobFailed(f"exit status {status}" if status > 0 else f"killed by signal {-status}")


def end_with_stdin() -> None:
    """End this process as soon as its standard input is closed, which happens when its parent ends."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def tail(log: Path) -> str:
    """The last lines of a log, indented, for a message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()[-TAIL:]
    except OSError as error:
        raise InputError(f"{log}: cannot be read ({error}).") from error
    return "\n".join(f"    {line}" for line in lines or ["(nothing)"])
