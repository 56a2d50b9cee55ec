"""What hostile months find: special files, and code that must not wait."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

KINDS = ("pipe", "folder", "socket", "link to a device")


class Hangs(BaseException):
    """Not caught by anything that catches errors of files."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise Hangs where what is inside takes longer."""

    def stop(*_: object) -> None:
        raise Hangs(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def put_special(path: Path, kind: str) -> None:
    """Put something else into the place of a file: one of KINDS. A device is always a link: only root makes another."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with chdir(path.parent), socket.socket(socket.AF_UNIX) as one:  # its address has 108 bytes at most
            one.bind(path.name)
    else:
        path.symlink_to("/dev/zero")
