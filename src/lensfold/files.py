"""Files that no reader meets half-written, locks, hashes and markers."""

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import numpy as np

from lensfold.errors import InputError

#: what `replacing` calls its files: the number of the process, which machine it is of, the name; with a "+", which no
#: pack or experiment may have in its name
_TEMPORARY = re.compile(r"\.([0-9]{1,10})\+([0-9a-f]{8})\..+")
#: seconds
A_DAY = 86_400
#: key of a record under which the hash of the others is kept
SEAL = "seal"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success sync it and rename it over ``path``.

    After an exception the temporary file is removed and ``path`` is as it was, so a reader never meets a
    half-written file; what a killed process leaves is for `sweep`. Raises InputError where the folder cannot be
    written.
    """
    temporary = path.with_name(f".{os.getpid()}+{_machine()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error}). Check the folder, its permissions and the disk."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@lru_cache
def _machine() -> str:
    """Return what tells this machine from others that see the same files, and not what it is called."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def sweep(folder: Path) -> list[Path]:
    """Delete and return the temporary files of `replacing` below ``folder`` whose processes have ended.

    Of another machine's processes nothing is known here: theirs are deleted a day after they were last written.
    """
    found = []
    for here, _, names in os.walk(folder):
        for name in names:
            match = _TEMPORARY.fullmatch(name)
            path = Path(here, name)
            with suppress(OSError):
                if match and _is_left(path, int(match[1]), match[2]):
                    path.unlink()
                    found.append(path)
    return found


def _is_left(path: Path, process: int, machine: str) -> bool:
    if machine == _machine():
        return _has_ended(process)
    return time.time() - path.stat().st_mtime > A_DAY


def _has_ended(process: int) -> bool:
    """Return whether no process of this machine has a number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # someone else's process
        return False
    return False


@contextmanager
def exclusive(path: Path, waiting: str = "") -> Iterator[None]:
    """Lock the file ``path``: one process at a time is inside. The lock ends with the process, however that ends.

    ``waiting`` is printed where another process has the lock and this one waits for it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error}). Check the folder, its permissions and the disk."
        ) from error
    with stream:
        try:
            if not _locked(stream, fcntl.LOCK_NB):
                if waiting:
                    print(waiting, flush=True)
                _locked(stream)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be locked ({error}). Put the project on a file system that locks files for all nodes, "
                "such as NFS 4, or Lustre mounted with -o flock."
            ) from error
        yield


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock file ``path``, here or on another node."""
    if not path.is_file():
        return False
    with path.open("r+") as stream:
        return not _locked(stream, fcntl.LOCK_NB)


def _locked(stream: TextIO, option: int = 0) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | option)
    except BlockingIOError:
        return False
    return True


def abandoned(folder: Path, prefix: str) -> list[Path]:
    """Return what killed processes left in ``folder``: called ``prefix`` and the number of one that has ended."""
    found = []
    for path in sorted(folder.glob(f"{prefix}*")):
        number = path.name.removeprefix(prefix)
        if not number.isdecimal() or _has_ended(int(number)):
            found.append(path)
    return found


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write ``content`` as by `replacing`, unless the file holds it already: its time then stays. Whether it wrote."""
    if path.is_file() and path.read_bytes() == content:
        return False
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return True


def digest(content: dict) -> str:
    """SHA-256 (hex) of plain values in canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class NoFile(OSError):
    """Something else than a file stands there."""


#: what else may stand in a file's place
_KINDS: dict[Callable[[int], bool], str] = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
}


def check_file(path: Path) -> None:
    """Raise NoFile where a folder, pipe, socket or device stands in a file's place, as other OSErrors for other causes.

    Opening a pipe waits for somebody to write into it, and a device such as /dev/zero has no end.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for is_one, name in _KINDS.items() if is_one(mode)), "a device")
        raise NoFile(errno.EINVAL, f"{kind}, not a file", str(path))


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content; OSError where it cannot be read, or is none (`check_file`)."""
    check_file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sealed(content: dict) -> dict:
    """Return a record, of plain values and numpy numbers, with a hash of its content under ``seal``."""
    plain = {key: value for key, value in content.items() if key != SEAL}
    return {**plain, SEAL: digest(json.loads(json.dumps(plain, default=_plain)))}


def is_broken(record: dict) -> bool:
    """Return whether a sealed record has other content than it was sealed with.

    One of before there were seals is taken as it is: it cannot be told, and making it again could cost hours.
    """
    return SEAL in record and sealed(record) != record


def write_json(path: Path, content: dict) -> None:
    """Write plain values and numpy numbers as indented JSON; a reader never meets a half-written file."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} does not go into JSON")


def write_marker(path: Path, content: dict[str, str]) -> None:
    """Say beside a result what it was made from."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def has_marker(path: Path, content: dict[str, str]) -> bool:
    """Whether ``path`` says that a result was made from this."""
    try:
        return json.loads(path.read_text()) == content
    except (OSError, ValueError):
        return False


def read_marker(path: Path) -> dict:
    """Return what a marker, or another record in JSON, says; empty where it is absent or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_newer(target: Path, *sources: Path) -> bool:
    """Whether ``target`` is there and no source is absent or younger."""
    if not target.is_file():
        return False
    made = target.stat().st_mtime_ns
    return all(source.is_file() and source.stat().st_mtime_ns <= made for source in sources)
