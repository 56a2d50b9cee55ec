"""A split straight from its ``.tar.gz`` as downloaded: one pass over the stream, nothing unpacked.

Members come in the archive's order, so an object's bands are far apart. The pass appends the pixels of each band to
one scratch file beside the cache; the shards are then cut from these, in order of ID. Member names are only matched,
never used as paths. While a cache is built this way its pixels are on the disk twice.
"""

import gzip
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from isal import igzip_lib

from lensfold.console import Progress
from lensfold.data.archive_stream import LARGEST_REST, PIECE, Pieces, decompressed
from lensfold.data.cache import BadCutout, OddShape
from lensfold.data.cache_build import Build, assemble, building_folder
from lensfold.data.sources import ODD_FRAMES, Frame, check_side, frame_from_bytes, side_of_band, unexpected_ids
from lensfold.errors import InputError
from lensfold.files import digest, is_broken, replacing, sealed
from lensfold.frames import BANDS, SIDES, band_shapes

#: a cutout has 164,160 bytes or fewer, the catalog some 20 million; more than this is no member of a pack
LARGEST_MEMBER = 1 << 28
#: names and extended headers, which tarfile reads into memory whole
LARGEST_HEADER = 1 << 16
_HEADER_TYPES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
_MEMBER = re.compile(
    r"(?:\./)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/){0,4}EUC_(VIS|Y|J|H)/imageEUC_(VIS|Y|J|H)-([0-9]{1,18})\.fits"
)
#: what reading a damaged archive raises; isal's types call its exception an object of one
_DAMAGED: tuple[Any, ...] = (
    tarfile.TarError, EOFError, OverflowError, gzip.BadGzipFile, zlib.error, igzip_lib.IsalError,
)  # fmt: skip
#: bytes that tarfile buffers: small, since it copies what is left of them at each of its reads
_TAR_BUFFER = 1 << 15


class _SaneTarInfo(tarfile.TarInfo):
    """A member header whose sizes are believable; tarfile would try to read or skip whatever it says."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_SaneTarInfo":
        member = super().frombuf(buf, encoding, errors)
        _check_size(member, LARGEST_HEADER if member.type in _HEADER_TYPES else LARGEST_MEMBER)
        return member


def _check_size(member: tarfile.TarInfo, limit: int) -> None:
    if not 0 <= member.size <= limit:
        raise InputError(f"member {member.name[:80]!r} declares {member.size} bytes: this is no pack of cutouts")


@dataclass(frozen=True)
class ScratchSource:
    """Frames that a pass over an archive left in its scratch files."""

    folder: Path
    archive: Path
    #: SHA-256 of the archive
    sha256: str
    #: its size, times and inode, see `archive_stat`
    stat: tuple[int, ...]
    #: row of each object in the scratch file of each band, for the objects of interest
    places: dict[str, dict[int, int]]
    #: of all frames, in VIS pixels
    side: int
    #: that any object has
    bands: tuple[str, ...]

    def frame(self, band: str, object_id: int) -> Frame:
        """Return one object in one band; its problem where the archive had none."""
        if object_id not in self.places[band]:
            return Frame(None, f"{self.name(band, object_id)}: not in the archive")
        rows, columns = band_shapes(self.side)[band]
        size = rows * columns
        with (self.folder / f"{band}.raw").open("rb") as stream:
            stream.seek(4 * size * self.places[band][object_id])
            return Frame(np.fromfile(stream, "<f4", size).reshape(rows, columns))

    def name(self, band: str, object_id: int) -> str:
        """Return what a message calls a frame."""
        return f"{self.archive.name}: imageEUC_{band}-{object_id}.fits"

    def fingerprint(self, ids: Sequence[int]) -> str:
        """Return a hash that changes with the archive."""
        return digest({"archive": self.sha256, "places": [[self.places[b].get(i) for b in BANDS] for i in ids]})

    def part(self, ids: Sequence[int]) -> "ScratchSource":
        """Return what one shard needs of it."""
        places = {band: {i: known[i] for i in ids if i in known} for band, known in self.places.items()}
        return ScratchSource(self.folder, self.archive, self.sha256, self.stat, places, self.side, self.bands)

    def origin(self, files: np.ndarray) -> dict:
        """Return the archive's path, size, times, inode and SHA-256."""
        place = str(self.archive.resolve())
        return {"kind": "archive", "path": place, "files": 1, "sha256": self.sha256, "stat": list(self.stat)}


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
    """Return whether :func:`scan_archive` has passed over this very file."""
    return _known(archive, building_folder(cache_folder)) is not None


def build_cache_from_scan(scan: ScannedArchive, build: Build) -> dict:
    """Build a cache as :func:`lensfold.data.cache_build.build_cache` does, from a pass over an archive."""
    found = sorted(set().union(*scan.source.places.values()) | set(map(int, scan.refused)))
    if not found:
        raise InputError(f"{scan.archive}: no cutouts in it. Expected members …/EUC_<band>/imageEUC_<band>-<ID>.fits.")
    refused = {**scan.refused, **unexpected_ids(found, build.expected_ids)}
    wanted = [object_id for object_id in found if str(object_id) not in refused]
    return assemble(scan.source, scan.archive, wanted, refused, build)


def compare_archive(archive: Path, origin: dict, deep: bool = False, progress: Progress | None = None) -> str:
    """Return how an archive differs from what a cache was made of, in words; "" where it is the same.

    ``origin``: `ScratchSource.origin` as the manifest keeps it. The archive is read only where its size, times or
    inode differ, or with ``deep`` in any case; ``progress`` counts megabytes.
    """
    if not deep and list(archive_stat(archive)) == origin.get("stat"):
        return ""
    total, hashed = archive.stat().st_size, hashlib.sha256()
    with archive.open("rb") as stream:
        while piece := stream.read(PIECE):
            hashed.update(piece)
            if progress:
                progress(stream.tell() >> 20, total >> 20)
    found = hashed.hexdigest()
    if found == origin["sha256"]:
        return ""
    return f"{archive}: sha256 {found[:12]}, and {origin['sha256'][:12]} when the cache was made"


def archive_stat(archive: Path) -> tuple[int, ...]:
    """Return size, times of modification and change (ns) and inode of a file."""
    stat = archive.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _known(archive: Path, building: Path) -> ScannedArchive | None:
    """Return what an earlier pass over the same file left; None where there was none."""
    try:
        known = json.loads((building / "archive.json").read_text())
        if known["path"] != str(archive.resolve()) or known["stat"] != list(archive_stat(archive)) or is_broken(known):
            return None
        places = {band: {int(i): row for i, row in known["places"][band].items()} for band in BANDS}
        side = int(known["side"])
    except (OSError, ValueError, KeyError):
        return None
    source = ScratchSource(building, archive, known["sha256"], archive_stat(archive), places, side, _bands(places))
    return ScannedArchive(archive, source, known["refused"])


def _scanned(archive: Path, building: Path, progress: Progress | None) -> ScannedArchive:
    scan, stat = _Scan(archive, building), archive_stat(archive)
    sha256 = scan.run(progress)
    side, places = scan.settle()
    record = {"path": str(archive.resolve()), "stat": stat, "sha256": sha256, "places": places,
              "refused": scan.refused, "side": side}  # fmt: skip
    with replacing(building / "archive.json") as temporary:
        temporary.write_text(json.dumps(sealed(record)))
    source = ScratchSource(building, archive, sha256, stat, places, side, _bands(places))
    return ScannedArchive(archive, source, scan.refused)


def _bands(places: dict[str, dict[int, int]]) -> tuple[str, ...]:
    return tuple(band for band in BANDS if band == "VIS" or places[band])


class _Scan:
    """One pass over an archive: pixels to the scratch files of their side, places and refusals in memory."""

    def __init__(self, archive: Path, building: Path):
        self._archive = archive
        self._building = building
        self.refused: dict[str, str] = {}
        self._places: dict[int, dict[str, dict[int, int]]] = {side: {band: {} for band in BANDS} for side in SIDES}
        self._odd = 0

    def run(self, progress: Progress | None) -> str:
        """Pass over the archive; return its SHA-256 (hex)."""
        files: dict[tuple[int, str], BinaryIO] = {
            (side, band): self._scratch(side, band).open("w+b") for side in SIDES for band in BANDS
        }
        try:
            with decompressed(self._archive, progress) as stream:
                for member, content in _members(stream):
                    self._take(files, member, content)
        except _DAMAGED as error:
            raise InputError(
                f"{self._archive}: damaged or truncated ({error}). Fetch it again; nothing of it was used."
            ) from error
        except InputError as error:
            raise InputError(f"{self._archive}: {error}") from error
        finally:
            for file in files.values():
                file.close()
        return stream.sha256

    def settle(self) -> tuple[int, dict[str, dict[int, int]]]:
        """Choose the side that most VIS frames have; return it and where the frames are. Objects with others are bad.

        The scratch files of the side are called after their bands alone then.
        """
        side = max(SIDES, key=lambda one: (len(self._places[one]["VIS"]), one))
        for other in SIDES:
            for band, known in self._places[other].items():
                if other == side:
                    self._scratch(side, band).rename(self._building / f"{band}.raw")
                    continue
                self._scratch(other, band).unlink()
                for object_id in known:
                    self._refuse_shape(object_id, band, other, side)
        return side, self._places[side]

    def _refuse_shape(self, object_id: int, band: str, found: int, side: int) -> None:
        try:
            check_side(band_shapes(found)[band], band, f"imageEUC_{band}-{object_id}.fits", side)
        except OddShape as odd:
            self.refused.setdefault(str(object_id), str(odd))

    def _scratch(self, side: int, band: str) -> Path:
        return self._building / f"{band}-{side}.raw"

    def _take(self, files: dict[tuple[int, str], BinaryIO], member: tarfile.TarInfo, content: bytes | None) -> None:
        match = _MEMBER.fullmatch(member.name)
        if match is None or match[1] != match[2]:
            return
        band, object_id = match[1], int(match[3])
        if content is None:
            what = "a sparse member of" if member.issparse() else "a link or device in"
            self.refused.setdefault(str(object_id), f"{member.name}: {what} the archive, not a file")
            return
        try:
            frame = frame_from_bytes(content, band, member.name)
        except BadCutout as bad:
            self._odd += isinstance(bad, OddShape)
            if self._odd == ODD_FRAMES and not any(
                known for places in self._places.values() for known in places.values()
            ):
                raise InputError(str(bad)) from bad  # this is no pack
            self.refused.setdefault(str(object_id), str(bad))
            return
        side = side_of_band(frame.shape, band, member.name)
        known, file = self._places[side][band], files[side, band]
        if object_id in known:
            self._again(file, known[object_id], object_id, frame, member.name)
            return
        known[object_id] = len(known)
        file.write(frame.astype("<f4", copy=False).data)

    def _again(self, file: BinaryIO, place: int, object_id: int, frame: np.ndarray, name: str) -> None:
        """Refuse an object with a member that was there before, unless its pixels are the same."""
        file.flush()
        file.seek(frame.nbytes * place)
        first = file.read(frame.nbytes)
        file.seek(0, 2)
        if first != frame.astype("<f4", copy=False).tobytes():
            self.refused.setdefault(str(object_id), f"{name}: twice in the archive, with different pixels")


def _members(stream: Pieces) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Yield the members that look like cutouts with their content; None for what is no regular file."""
    skipped = 0
    plain = cast(BinaryIO, stream)  # with "r|" tarfile calls nothing but read
    with _reading_headers():
        opened = tarfile.open(fileobj=plain, mode="r|", bufsize=_TAR_BUFFER, tarinfo=_SaneTarInfo)  # noqa: SIM115  # the next line closes it
    with opened as archive:
        while (member := _next(archive)) is not None:
            # tarfile keeps every member it has seen, 400,000 of them, in a list that its types do not name
            archive.members = []  # type: ignore[attr-defined]
            if _MEMBER.fullmatch(member.name):
                regular = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
                content = archive.extractfile(member) if regular else None
                yield member, None if content is None else content.read()
                continue
            skipped += member.size
            if skipped > LARGEST_REST:
                raise InputError(f"more than {LARGEST_REST >> 30} GiB in it are no cutouts: this is no pack")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    """Return the next member, of a believable size; None at the end."""
    with _reading_headers():
        member = archive.next()
    if member is not None:
        _check_size(member, LARGEST_MEMBER)  # an extended header may have given another one
    return member


@contextmanager
def _reading_headers() -> Iterator[None]:
    """Raise tarfile.ReadError for the numbers of extended headers that tarfile stumbles over."""
    try:
        yield
    except (ValueError, OverflowError, IndexError, KeyError) as error:
        raise tarfile.ReadError(f"extended header: {error}") from error
