"""Tries of damaged files, each in a process that can be ended, and what came of each."""

import multiprocessing
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from lensfold.errors import InputError
from mutations.damage import damaged
from mutations.kinds import KINDS, Problem, same

#: seconds after which a reader hangs, and that a process has to start and import what it needs
HANGS, STARTS = 5.0, 120.0
#: what may come of a try: the file says what it said; it was refused by name; it says something else, and is so read
GOOD = ("same", "refused", "other")
#: wrong without a word, an exception, a warning, a message without the file's name, longer than HANGS, no process left
BAD = ("silent", "traceback", "warning", "unnamed", "hangs", "died")


@dataclass(frozen=True)
class Try:
    """What came of one damaged file: ``what``, of GOOD or BAD; ``said``, a message; ``data``, kept where it is bad."""

    kind: str
    number: int
    what: str
    said: str
    data: bytes = b""


def bytes_of(kind: str, seed: int, number: int, specimen: bytes) -> bytes:
    """Return the damaged file of a try: the same for the same seed and number."""
    rng = np.random.default_rng([seed, number, *kind.encode()])
    return damaged(specimen, rng, KINDS[kind].head)


def judged(kind: str, path: Path, data: bytes, known: object) -> tuple[str, str]:
    """Read a damaged file; return what came of it and what was said."""
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = KINDS[kind].read(path)
    except (InputError, Problem) as error:
        return ("refused" if path.name in str(error) else "unnamed"), str(error)
    except Warning:
        return "warning", traceback.format_exc()
    except Exception:
        return "traceback", traceback.format_exc()
    if same(known, found):
        return "same", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            agrees = KINDS[kind].agrees(data, found)
    except Exception as error:  # the second opinion cannot read it at all
        return "silent", f"read, though {type(error).__name__}: {error}"
    return ("other", "") if agrees else ("silent", "read, and says something else by the second opinion")


def _serve(kind: str, seed: int, tries: Connection) -> None:
    """In a process: answer each number of a try with what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = KINDS[kind].write(Path(folder))
        specimen = path.read_bytes()
        known = KINDS[kind].read(path)
        tries.send("ready")
        while (number := tries.recv()) is not None:
            tries.send(judged(kind, path, bytes_of(kind, seed, number, specimen), known))
            if not path.is_file():
                path = KINDS[kind].write(Path(folder))


class _Process:
    """A process that reads damaged files, and is replaced where one of them ends or stops it."""

    def __init__(self, kind: str, seed: int):
        self._kind, self._seed = kind, seed
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self._tries, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._kind, self._seed, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not self._tries.poll(STARTS) or self._tries.recv() != "ready":
            raise RuntimeError(f"{self._kind}: its specimen is not read")

    def __call__(self, number: int) -> tuple[str, str]:
        self._tries.send(number)
        try:
            if self._tries.poll(HANGS):
                return self._tries.recv()
            what = ("hangs", f"longer than {HANGS:g} s")
        except EOFError:
            what = ("died", "")
        self.end()
        self._start()
        return what

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def run(kind: str, seed: int, count: int, first: int = 0) -> Iterator[Try]:
    """Damage and read ``count`` files of a kind, the numbers from ``first``; yield what came of each."""
    with tempfile.TemporaryDirectory() as folder:
        specimen = KINDS[kind].write(Path(folder)).read_bytes()
    process = _Process(kind, seed)
    try:
        for number in range(first, first + count):
            what, said = process(number)
            yield Try(kind, number, what, said, bytes_of(kind, seed, number, specimen) if what in BAD else b"")
    finally:
        process.end()


def table(tries: list[Try]) -> str:
    """Return the counts of what came of the tries, a line a kind."""
    lines = [f"{'kind':<9}{'tries':>7}" + "".join(f"{what:>11}" for what in (*GOOD, *BAD))]
    for kind in dict.fromkeys(one.kind for one in tries):
        own = Counter(one.what for one in tries if one.kind == kind)
        counts = "".join(f"{own[what]:>11}" for what in (*GOOD, *BAD))
        lines.append(f"{kind:<9}{own.total():>7}{counts}")
    return "\n".join(lines)
