"""A split straight from its ``.tar.gz`` as downloaded: one pass over the stream, nothing unpacked.

Members come in the archive's order, so an object's bands are far apart. The pass appends the pixels of each band to
one scratch file beside the cache; the shards are then cut from these, in order of ID. Member names are only matched,
never used as paths. While a cache is built this way the disk holds its pixels twice.
"""

import gzip
import json
import queue
import re
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import igzip

from lensfold.data.bad_pixels import MAX_BAD_SHARE
from lensfold.data.cache import BadCutout
from lensfold.data.cache_build import Progress, assemble, building_folder, frame_from_bytes, unexpected_ids
from lensfold.errors import InputError
from lensfold.files import digest, replacing
from lensfold.paths import BAND_SHAPES, BANDS

#: a cutout has 164,160 bytes, the catalog some 20 million; more than this is no member of a pack
LARGEST_MEMBER = 1 << 28
#: names and extended headers, which tarfile reads into memory whole
LARGEST_HEADER = 1 << 16
#: bytes of members and padding that are no cutouts, together
LARGEST_REST = 1 << 32
_HEADER_TYPES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
_MEMBER = re.compile(
    r"(?:\./)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/){0,4}EUC_(VIS|Y|J|H)/imageEUC_(VIS|Y|J|H)-([0-9]{1,18})\.fits"
)
#: bytes that the decompressing thread fetches at a time: large, since it waits for the interpreter's lock after each
_PIECE = 1 << 22
#: bytes that tarfile holds: small, since it copies what is left of them at each of its reads
_TAR_BUFFER = 1 << 15


class _SaneTarInfo(tarfile.TarInfo):
    """A member header whose sizes are believable; tarfile would try to read or skip whatever it says."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "_SaneTarInfo":
        member = super().frombuf(buf, encoding, errors)
        limit = LARGEST_HEADER if member.type in _HEADER_TYPES else LARGEST_MEMBER
        if not 0 <= member.size <= limit:
            raise InputError(f"member {member.name[:80]!r} declares {member.size} bytes: this is no pack of cutouts")
        return member


@dataclass(frozen=True)
class ScratchSource:
    """Frames that a pass over an archive left in its scratch files."""

    folder: Path
    archive: str
    identity: str
    #: row of each object in the scratch file of each band, for the objects of interest
    places: dict[str, dict[int, int]]

    def frame(self, band: str, object_id: int) -> np.ndarray:
        """Pixels of one object and band; BadCutout where the archive had none."""
        if object_id not in self.places[band]:
            raise BadCutout(f"{self.name(band, object_id)}: not in the archive")
        rows, columns = BAND_SHAPES[band]
        size = rows * columns
        with (self.folder / f"{band}.raw").open("rb") as stream:
            stream.seek(4 * size * self.places[band][object_id])
            return np.fromfile(stream, "<f4", size).reshape(rows, columns)

    def name(self, band: str, object_id: int) -> str:
        """What to call a frame in a message."""
        return f"{self.archive}: imageEUC_{band}-{object_id}.fits"

    def fingerprint(self, ids: Sequence[int]) -> str:
        """Changes whenever the archive does."""
        return digest({"archive": self.identity, "places": [[self.places[b].get(i) for b in BANDS] for i in ids]})

    def part(self, ids: Sequence[int]) -> "ScratchSource":
        """What one shard needs of it."""
        places = {band: {i: known[i] for i in ids if i in known} for band, known in self.places.items()}
        return ScratchSource(self.folder, self.archive, self.identity, places)


@dataclass(frozen=True)
class ScannedArchive:
    """What one pass over an archive found: where the frames are now, and the objects with a bad member, with why."""

    archive: Path
    source: ScratchSource
    refused: dict[str, str]


def scan_archive(archive: Path, cache_folder: Path, progress: Progress | None = None) -> ScannedArchive:
    """Pass over an archive once, or take what an earlier pass over the same file left beside ``cache_folder``.

    ``progress`` counts megabytes of the archive. Raises InputError where it is damaged, truncated or no pack. Members
    that are links or devices, or doubled with other pixels, make their object a bad one.
    """
    building = building_folder(cache_folder)
    try:
        building.mkdir(parents=True, exist_ok=True)
        return _known(archive, building) or _scanned(archive, building, progress)
    except OSError as error:
        raise InputError(f"{cache_folder}: the cache cannot be written: {error}.") from error


def is_scanned(archive: Path, cache_folder: Path) -> bool:
    """Whether :func:`scan_archive` has passed over this very file."""
    return _known(archive, building_folder(cache_folder)) is not None


def build_cache_from_scan(
    scan: ScannedArchive,
    cache_folder: Path,
    expected_ids: Sequence[int] | None = None,
    skip_bad: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
) -> dict:
    """As :func:`lensfold.data.cache_build.build_cache`, from a pass over an archive. Returns the manifest."""
    found = sorted(set().union(*scan.source.places.values()) | set(map(int, scan.refused)))
    if not found:
        raise InputError(f"{scan.archive}: no cutouts in it. Expected members …/EUC_<band>/imageEUC_<band>-<ID>.fits.")
    refused = {**scan.refused, **unexpected_ids(found, expected_ids)}
    wanted = [object_id for object_id in found if str(object_id) not in refused]
    return assemble(
        scan.source, scan.archive, cache_folder, wanted, refused, skip_bad, workers, progress, max_bad_share
    )


def _identity(archive: Path) -> str:
    stat = archive.stat()
    return digest({"path": str(archive.resolve()), "size": stat.st_size, "changed": stat.st_mtime_ns})


def _known(archive: Path, building: Path) -> ScannedArchive | None:
    try:
        known = json.loads((building / "archive.json").read_text())
        if known["identity"] != _identity(archive):
            return None
        places = {band: {int(i): row for i, row in known["places"][band].items()} for band in BANDS}
    except (OSError, ValueError, KeyError):
        return None
    source = ScratchSource(building, archive.name, known["identity"], places)
    return ScannedArchive(archive, source, known["refused"])


def _scanned(archive: Path, building: Path, progress: Progress | None) -> ScannedArchive:
    scan = _Scan(archive, building)
    scan.run(progress)
    record = {"identity": _identity(archive), "places": scan.places, "refused": scan.refused}
    with replacing(building / "archive.json") as temporary:
        temporary.write_text(json.dumps(record))
    source = ScratchSource(building, archive.name, record["identity"], scan.places)
    return ScannedArchive(archive, source, scan.refused)


class _Scan:
    """One pass over an archive: pixels to the scratch files, places and refusals in memory."""

    def __init__(self, archive: Path, building: Path):
        self._archive = archive
        self._building = building
        self.places: dict[str, dict[int, int]] = {band: {} for band in BANDS}
        self.refused: dict[str, str] = {}

    def run(self, progress: Progress | None) -> None:
        files = {band: (self._building / f"{band}.raw").open("w+b") for band in BANDS}
        try:
            with _decompressed(self._archive, progress) as stream:
                for member, content in _members(stream):
                    self._take(files, member, content)
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{self._archive}: damaged or truncated ({error}). Fetch it again; nothing of it was used."
            ) from error
        except InputError as error:
            raise InputError(f"{self._archive}: {error}") from error
        finally:
            for file in files.values():
                file.close()

    def _take(self, files: dict[str, BinaryIO], member: tarfile.TarInfo, content: bytes | None) -> None:
        match = _MEMBER.fullmatch(member.name)
        if match is None or match[1] != match[2]:
            return
        band, object_id = match[1], int(match[3])
        if content is None:
            self.refused.setdefault(str(object_id), f"{member.name}: a link or device in the archive, not a file")
            return
        try:
            frame = frame_from_bytes(content, band, member.name)
        except BadCutout as bad:
            self.refused.setdefault(str(object_id), str(bad))
            return
        known = self.places[band]
        if object_id in known:
            self._again(files[band], band, object_id, frame, member.name)
            return
        known[object_id] = len(known)
        files[band].write(frame.astype("<f4", copy=False).data)

    def _again(self, file: BinaryIO, band: str, object_id: int, frame: np.ndarray, name: str) -> None:
        """A member that was there before: harmless where its pixels are the same."""
        file.flush()
        file.seek(frame.nbytes * self.places[band][object_id])
        first = file.read(frame.nbytes)
        file.seek(0, 2)
        if first != frame.astype("<f4", copy=False).tobytes():
            self.refused.setdefault(str(object_id), f"{name}: twice in the archive, with different pixels")


def _members(stream: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Members that look like cutouts with their content; None for what is no regular file."""
    skipped = 0
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_TAR_BUFFER, tarinfo=_SaneTarInfo) as archive:
        for member in archive:
            archive.members = []  # tarfile keeps every member it has seen: 400,000 of them
            if _MEMBER.fullmatch(member.name):
                regular = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
                yield member, archive.extractfile(member).read() if regular else None
                continue
            skipped += member.size
            if skipped > LARGEST_REST:
                raise InputError(f"more than {LARGEST_REST >> 30} GiB in it are no cutouts: this is no pack")


@contextmanager
def _decompressed(archive: Path, progress: Progress | None) -> Iterator["_Pieces"]:
    """The archive's plain tar stream, decompressed ahead in a thread (which lets go of the interpreter's lock)."""
    total = archive.stat().st_size
    with archive.open("rb") as raw:
        plain = raw if archive.suffix == ".tar" else igzip.IGzipFile(fileobj=raw)
        pieces = _Pieces(plain, lambda: progress(raw.tell() >> 20, total >> 20) if progress else None)
        try:
            yield pieces
            pieces.drain()
        finally:
            pieces.stop()


class _Pieces:
    """A readable stream whose pieces a thread fetches ahead; what goes wrong there is raised in ``read``."""

    def __init__(self, plain: BinaryIO, told: Callable[[], None]):
        self._plain = plain
        self._told = told
        self._queue: queue.Queue = queue.Queue(maxsize=4)
        self._rest = memoryview(b"")
        self._ended = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._fetch, daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        try:
            while not self._stopping.is_set():
                piece = self._plain.read(_PIECE)
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
        self._told()
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
