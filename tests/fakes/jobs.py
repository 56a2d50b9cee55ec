"""What tests of jobs share: work on the pack ``fake``, files to compare, processes and ports to wait for."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from lensfold.jobs.plan import Work
from lensfold.paths import Workspace


def work(root: Path, parts: int = 2, **asked: object) -> Work:
    """The training and the prediction of ``tiny`` on ``fake``; ``asked`` replaces entries."""
    workspace = Workspace(root)
    return Work(
        workspace, workspace.pack("fake"), **{"trained": ("tiny",), "predicted": ("tiny",)} | asked, parts=parts
    )


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    """The bytes of the files that match, by path in ``folder``."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob(pattern))}


def is_alive(pid: int) -> bool:
    """Whether a process runs: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def becomes(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition becomes true within a time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Fail unless a condition becomes true within a time."""
    assert becomes(condition, seconds)
