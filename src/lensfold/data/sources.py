"""Where a split's frames come from, and what they were when they were read.

A cache keeps one row for every FITS file it was made from: size, times, inode and SHA-256. Whether the cache still
stands for the folder is answered from these rows. Size, times and inode only ever save a look: where one of them
differs, the file's content decides.
"""

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from lensfold.console import Progress
from lensfold.data.cache import BadCutout, OddShape
from lensfold.data.fits_reader import NotFits, read_frame
from lensfold.errors import InputError
from lensfold.files import check_file, digest
from lensfold.frames import BANDS, SIDES, band_shapes
from lensfold.paths import cutout_file

#: one row a file, sorted by ID and band; the size is UNSURE where the file was too young for its times to be trusted
TABLE = np.dtype(
    [("id", "<i8"), ("band", "<i8"), ("size", "<i8"), ("mtime", "<i8"), ("ctime", "<i8"), ("inode", "<u8"),
     ("sha256", "S64")]
)  # fmt: skip
UNSURE = -1
#: what frames may be, for messages
SIZES = " or ".join(f'of {side} VIS pixels ({side // 10}")' for side in SIDES)
#: nanoseconds within which a file could be written twice and show the same times
YOUNG = 2_000_000_000
#: VIS frames whose most frequent side is a split's, and frames of other shapes that alone say that it is no pack
JUDGED, ODD_FRAMES = 9, 100
_STAT = ["size", "mtime", "ctime", "inode"]
_FILES = {band: re.compile(rf"imageEUC_{band}-([0-9]{{1,18}})\.fits") for band in BANDS}


class SourceFile(NamedTuple):
    """One file as it was when it was read: the number of its band in BANDS, nanoseconds, and SHA-256 (hex)."""

    object_id: int
    band: int
    size: int
    mtime: int
    ctime: int
    inode: int
    sha256: str


@dataclass(frozen=True)
class Frame:
    """One object in one band: its pixels (float32), or the ``problem`` in their place, the file, if it is one,
    the share of the delivered pixels without a measurement, where the frame is made of others, and whether the problem
    is its shape."""

    pixels: np.ndarray | None
    problem: str = ""
    file: SourceFile | None = None
    bad_share: float = 0.0
    is_odd: bool = False


class FrameSource(Protocol):
    """Where the frames of a split come from; travels to worker processes."""

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that its objects have, in the order of BANDS, VIS among them."""

    def frame(self, band: str, object_id: int) -> Frame:
        """Return one object in one band, or why it cannot be used."""

    def name(self, band: str, object_id: int) -> str:
        """Return what a message calls a frame."""

    def fingerprint(self, ids: Sequence[int]) -> str:
        """Return a hash that changes with the size, times or inode of any file of these objects."""

    def part(self, ids: Sequence[int]) -> "FrameSource":
        """Return what is needed for these objects."""

    def origin(self, files: np.ndarray) -> dict:
        """Return what a manifest keeps of this source; ``files``: the rows of what was read."""


def frame_from_bytes(data: bytes, band: str, where: object) -> np.ndarray:
    """Return the pixels of one FITS file, float32, of a shape that packs have; ``where`` names it in errors.

    Raises BadCutout where it is damaged or of another pixel type, OddShape where it has another shape than those of
    packs.
    """
    try:
        frame = read_frame(data)
    except NotFits as error:
        raise BadCutout(f"{where}: {error}") from error
    side_of_band(frame.shape, band, where)
    return frame


def side_of_band(shape: tuple[int, ...], band: str, where: object) -> int:
    """Return the side in VIS pixels of the packs whose frames have this shape in a band; OddShape for any other."""
    sides = {band_shapes(side)[band]: side for side in SIDES}
    if shape not in sides:
        expected = " or ".join(map(str, sides))
        raise OddShape(
            f"{where}: image shape is {shape}, expected {expected} (rows, columns) for {band}: the frames of a pack "
            f"are {SIZES}."
        )
    return sides[shape]


def check_side(shape: tuple[int, ...], band: str, where: object, side: int) -> None:
    """Raise OddShape unless a frame of a band has the shape that goes with a side, that of the split's others."""
    expected = band_shapes(side)[band]
    if shape != expected:
        raise OddShape(
            f"{where}: image shape is {shape}, expected {expected} (rows, columns) for {band}, since others of the "
            f"split are of {side} VIS pixels. All frames of a pack are {SIZES}: make two packs of two sizes."
        )


def read_cutout(split_folder: Path, band: str, object_id: int) -> np.ndarray:
    """Return the pixels of one file; errors as in :func:`frame_from_bytes`, and BadCutout where it is absent."""
    path = cutout_file(split_folder, band, object_id)
    return frame_from_bytes(_read(path)[0], band, path)


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """Content of a file and its status, of one open file, so that both are of the same content."""
    try:
        check_file(path)
        with path.open("rb", buffering=0) as stream:
            return stream.read(), os.fstat(stream.fileno())
    except FileNotFoundError as error:
        raise BadCutout(f"{path}: no such file") from error
    except OSError as error:
        raise BadCutout(f"{path}: cannot be read ({error.strerror})") from error


def _source_file(object_id: int, band: str, stat: os.stat_result, sha256: str) -> SourceFile:
    young = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < YOUNG
    size = UNSURE if young else stat.st_size
    return SourceFile(object_id, BANDS.index(band), size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, sha256)


@dataclass(frozen=True)
class FolderSource:
    """The FITS files of a split's folder."""

    split_folder: Path

    @property
    def bands(self) -> tuple[str, ...]:
        """VIS and the NISP bands that there is a folder of: a band that only some objects lack counts as there."""
        return tuple(b for b in BANDS if b == "VIS" or (self.split_folder / "Public" / f"EUC_{b}").is_dir())

    def frame(self, band: str, object_id: int) -> Frame:
        """Read one file; its problem where it cannot be used."""
        path, file = cutout_file(self.split_folder, band, object_id), None
        try:
            data, stat = _read(path)
            file = _source_file(object_id, band, stat, hashlib.sha256(data).hexdigest())
            return Frame(frame_from_bytes(data, band, path), file=file)
        except BadCutout as bad:
            return Frame(None, str(bad), file, is_odd=isinstance(bad, OddShape))

    def name(self, band: str, object_id: int) -> str:
        """Return the path of a file."""
        return str(cutout_file(self.split_folder, band, object_id))

    def fingerprint(self, ids: Sequence[int]) -> str:
        """Return a hash of the sizes, times and inodes of the files of these objects."""
        stats: list[list[int] | None] = []
        for object_id in ids:
            for band in BANDS:
                try:
                    found = cutout_file(self.split_folder, band, object_id).stat()
                    stats.append([found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino])
                except OSError:
                    stats.append(None)
        return digest({"folder": str(self.split_folder.resolve()), "files": stats})

    def part(self, ids: Sequence[int]) -> "FolderSource":
        """Return itself: a folder serves any objects."""
        return self

    def origin(self, files: np.ndarray) -> dict:
        """Return the folder, the number of its files that were read, and the hash of their contents."""
        place = str(self.split_folder.resolve())
        return {"kind": "folder", "path": place, "files": len(files), "sha256": content_hash(files)}


def usual_side(source: FrameSource, ids: Sequence[int]) -> int:
    """Return the side that most of the first VIS frames have and all must have; that of 20" without any.

    Raises InputError where ODD_FRAMES of them have the shape of no pack before any that has: then the whole is none.
    """
    sides: Counter[int] = Counter()
    odd = 0
    for object_id in ids:
        frame = source.frame("VIS", object_id)
        if frame.pixels is not None:
            sides[len(frame.pixels)] += 1
        elif frame.is_odd and not sides:
            odd += 1
            if odd == ODD_FRAMES:
                raise InputError(frame.problem)
        if sides.total() == JUDGED:
            break
    return sides.most_common(1)[0][0] if sides else SIDES[0]


def common_side(source: FrameSource, where: Path, ids: Sequence[int], expected: int | None) -> int:
    """Return the side of a source's frames; InputError where the pack's other splits have another one."""
    side = usual_side(source, ids)
    if expected not in (None, side):
        raise InputError(
            f"{where}: VIS frames of {side} pixels ({side // 10}\"), and the pack's other splits have {expected} "
            f'({expected // 10}"). All splits of a pack are {SIZES}: make two packs of two sizes.'
        )
    return side


def table_of(files: Iterable[Sequence]) -> np.ndarray:
    """Return rows of TABLE, sorted by ID and band, of (ID, band number, size, mtime, ctime, inode, sha256) each."""
    rows = [(*row[:6], row[6].encode()) for row in files]
    return np.sort(np.array(rows, dtype=TABLE), order=["id", "band"])


def content_hash(table: np.ndarray) -> str:
    """Return the SHA-256 (hex) of which files there are and what they contain, whatever their times."""
    columns = (np.ascontiguousarray(table[name]).tobytes() for name in ("id", "band", "sha256"))
    return hashlib.sha256(b"\0".join(columns)).hexdigest()


def list_files(split_folder: Path) -> np.ndarray:
    """Return a row of TABLE, without its sha256, of every cutout in a split's folder, sorted by ID and band.

    One look a file: about two seconds for 400,000 files of a local disk.
    """
    rows = []
    for number, band in enumerate(BANDS):
        folder = split_folder / "Public" / f"EUC_{band}"
        for entry in os.scandir(folder) if folder.is_dir() else ():
            match = _FILES[band].fullmatch(entry.name)
            if match and entry.is_file():
                stat = entry.stat()
                rows.append((int(match[1]), number, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, b""))
    return np.sort(np.array(rows, dtype=TABLE), order=["id", "band"])


def object_ids(split_folder: Path) -> list[int]:
    """Return the sorted IDs that have a file in at least one band; InputError where there is none."""
    ids: set[int] = set()
    for band in BANDS:
        folder = split_folder / "Public" / f"EUC_{band}"
        names = (entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
        ids.update(int(match[1]) for match in map(_FILES[band].fullmatch, names) if match)
    if not ids:
        raise InputError(
            f"{split_folder}: no cutouts found. Expected Public/EUC_<band>/imageEUC_<band>-<ID>.fits "
            f"for the bands {', '.join(BANDS)}."
        )
    return sorted(ids)


def folder_ids(split_folder: Path, expected_ids: Sequence[int] | None) -> tuple[list[int], dict[str, str]]:
    """Return the sorted IDs of a split's files that are as expected, and the others, each with its reason."""
    ids = object_ids(split_folder)
    refused = unexpected_ids(ids, expected_ids)
    return [object_id for object_id in ids if str(object_id) not in refused], refused


def unexpected_ids(ids: Sequence[int], expected_ids: Sequence[int] | None) -> dict[str, str]:
    """Return the objects that are in the catalog or among the files but not in both, by ID, each with its reason."""
    if expected_ids is None:
        return {}
    expected, found = set(map(int, expected_ids)), set(ids)
    refused = {str(i): "in the catalog, but no file in any band" for i in sorted(expected - found)}
    refused.update({str(i): "has files, but no catalog row with images" for i in sorted(found - expected)})
    return refused


@dataclass(frozen=True)
class Comparison:
    """What a folder is beside the rows a cache kept: the first difference in words, or the rows with today's times."""

    difference: str = ""
    table: np.ndarray | None = None


def compare_folder(
    split_folder: Path,
    kept: np.ndarray,
    unread: Iterable[int],
    deep: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Compare a split's folder with the rows that a cache kept of it.

    ``unread``: IDs with files that were left aside. A file is read only where its size, times or inode differ from its
    row, or with ``deep`` in any case. ``table`` of the result is None where the kept rows are as they should be.
    """
    found = list_files(split_folder)
    found = found[~np.isin(found["id"], np.fromiter(unread, dtype=np.int64))]
    added, gone = (_keys(a)[~np.isin(_keys(a), _keys(b))] for a, b in ((found, kept), (kept, found)))
    for keys, what in ((added, "not there when the cache was made"), (gone, "gone since the cache was made")):
        if len(keys):
            more = f" ({len(keys)} such files)" if len(keys) > 1 else ""
            return Comparison(f"{_path(split_folder, int(keys[0]))}: {what}{more}")
    unsure = np.ones(len(kept), dtype=bool) if deep else (found[_STAT] != kept[_STAT])
    return _compare_contents(split_folder, kept, found, np.flatnonzero(unsure), progress)


def _keys(table: np.ndarray) -> np.ndarray:
    return table["id"] * len(BANDS) + table["band"]


def _path(split_folder: Path, key: int) -> Path:
    return cutout_file(split_folder, BANDS[key % len(BANDS)], key // len(BANDS))


def _compare_contents(
    split_folder: Path, kept: np.ndarray, found: np.ndarray, rows: np.ndarray, progress: Progress | None
) -> Comparison:
    """Read the files of some rows; the result has new rows where any of them changed."""
    if not len(rows):
        return Comparison()
    table = kept.copy()
    for done, row in enumerate(rows.tolist(), 1):
        object_id, band = int(found["id"][row]), BANDS[int(found["band"][row])]
        path = cutout_file(split_folder, band, object_id)
        try:
            data, stat = _read(path)
        except BadCutout as bad:
            return Comparison(str(bad))
        file, before = _source_file(object_id, band, stat, hashlib.sha256(data).hexdigest()), kept["sha256"][row]
        if file.sha256.encode() != before:
            return Comparison(f"{path}: sha256 {file.sha256[:12]}, and {before.decode()[:12]} when the cache was made")
        table[row] = (*file[:6], before)
        if progress:
            progress(done, len(rows))
    return Comparison(table=table if (table != kept).any() else None)
