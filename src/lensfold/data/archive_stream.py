"""The plain tar stream of an archive, decompressed ahead and hashed on the way."""

import hashlib
import io
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isal import igzip

from lensfold.console import Progress
from lensfold.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: bytes of members and padding that are no cutouts, together
LARGEST_REST = 1 << 32


#: bytes that the decompressing thread fetches at a time: large, since it waits for the interpreter's lock after each
PIECE = 1 << 22


@contextmanager
def decompressed(archive: Path, progress: Progress | None) -> Iterator["Pieces"]:
    """The archive's plain tar stream, decompressed ahead in a thread (which lets go of the interpreter's lock)."""
    total = archive.stat().st_size
    with archive.open("rb") as file:
        raw = _Hashed(file)
        plain = raw if archive.suffix == ".tar" else igzip.IGzipFile(fileobj=raw)
        pieces = Pieces(plain, lambda: progress(file.tell() >> 20, total >> 20) if progress else None)
        try:
            yield pieces
            pieces.drain()
            pieces.stop()
            pieces.sha256 = raw.finish()
        finally:
            pieces.stop()


class _Hashed(io.RawIOBase):
    """A readable file that hashes what is read of it, in order."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer)
        piece = self._file.read(len(view))
        self._hash.update(piece)
        view[: len(piece)] = piece
        return len(piece)

    def finish(self) -> str:
        """Read what is left; return the SHA-256 (hex) of the whole file."""
        while self.read(PIECE):
            pass
        return self._hash.hexdigest()


class Pieces:
    """A readable stream whose pieces a thread fetches ahead; what goes wrong there is raised in ``read``."""

    def __init__(self, plain: "_Hashed | igzip.IGzipFile", on_piece: Callable[[], None]):
        #: SHA-256 (hex) of the archive, once it was read to its end
        self.sha256 = ""
        self._plain = plain
        self._on_piece = on_piece
        self._queue: queue.Queue = queue.Queue(maxsize=4)
        self._rest = memoryview(b"")
        self._ended = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._fetch, daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        try:
            while not self._stopping.is_set():
                piece = self._plain.read(PIECE)
                self._put(piece)
                if not piece:
                    return
        except Exception as error:  # whatever it is, it belongs to the reader
            self._put(error)

    def _put(self, item: bytes | Exception) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""
        parts, wanted = [], size
        while wanted and not self._ended:
            if not self._rest:
                self._rest = memoryview(self._next())
                continue
            parts.append(self._rest[:wanted])
            self._rest = self._rest[wanted:]
            wanted -= len(parts[-1])
        return b"".join(parts)

    def _next(self) -> bytes:
        item = self._queue.get()
        if isinstance(item, Exception):
            raise item
        self._ended = not item
        self._on_piece()
        return item

    def drain(self) -> None:
        """Read to the end, so that a checksum behind the last member is checked too."""
        rest = 0
        while not self._ended:
            rest += len(self._next())
            if rest > LARGEST_REST:
                raise InputError(f"more than {LARGEST_REST >> 30} GiB follow its last member: this is no pack")

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()
