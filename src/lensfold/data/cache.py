"""The cache of a split: plain ``.npy`` shards and a manifest. Reading, checking and staging; cache_build.py makes it.

A cached object is one row of float32: its VIS frame followed by Y, J and H, all in the pack's flux units
(zero point 0 AB). The pixels of NISP bands that the pack lacks are NaN, and its manifest does not list these bands.
Rows are read by ``pread`` into a buffer, without memory maps: memory does not grow with the pack, a truncated shard is
an error with a name, and network file systems are no slower than they must be.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, is_broken, replacing
from lensfold.frames import SIDES, band_shapes, pixels_per_object

#: number of the cache's layout; a cache of another one is built again
FORMAT = 3
#: file of a cache with a row for each FITS file it was made from, see sources.py
SOURCES = "sources.npy"
SHARD_ROWS = 128
#: numpy pads the header of a .npy file of this shape to 128 bytes
NPY_HEADER_BYTES = 128
#: shards a reader holds open: below any limit on open files, whatever the size of the pack
MOST_OPEN = 256
#: the background is measured in a border whose width is this part of the frame's side: 2" of 20". In one of 10" the
#: same width would see more of the lens, and the median sigma of `euclid` would be 4 to 16 % higher; this way 1 to 5 %
BORDER = 10


class BadCutout(Exception):
    """One file cannot be used; the message names it and says why."""


class OddShape(BadCutout):
    """The shape of a frame is that of no pack, or not that of the split's others."""


def split_bands(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Views of cached rows by band: ``(..., pixels)`` → ``(..., height, width)`` each; their number says the side."""
    bands, start = {}, 0
    side = next(side for side in SIDES if pixels_per_object(side) == rows.shape[-1])
    for band, (height, width) in band_shapes(side).items():
        stop = start + height * width
        bands[band] = rows[..., start:stop].reshape(*rows.shape[:-1], height, width)
        start = stop
    return bands


def central(image: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of square images, (..., side, side), a view."""
    edge = (image.shape[-1] - side) // 2
    return image[..., edge : edge + side, edge : edge + side]


def central_rows(rows: np.ndarray, side: int) -> np.ndarray:
    """Return cached rows as they would be of frames of ``side`` VIS pixels, not more than theirs."""
    shapes = band_shapes(side)
    parts = [central(image, shapes[band][0]) for band, image in split_bands(rows).items()]
    return np.concatenate([part.reshape(*rows.shape[:-1], -1) for part in parts], axis=-1)


def background_sigma(image: np.ndarray) -> float:
    """Background noise of one frame: 1.4826 × the median absolute deviation of its border, in flux units."""
    border = round(len(image) / BORDER)
    ring = np.concatenate(
        [image[:border].ravel(), image[-border:].ravel(), image[:, :border].ravel(), image[:, -border:].ravel()]
    )
    return float(1.4826 * np.median(np.abs(ring - np.median(ring))))


def read_manifest(cache_folder: Path) -> dict:
    """The manifest of a built cache; InputError where it is absent, damaged or of another layout."""
    path = cache_folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no cache here yet. Build it with `make cache` or `lensfold cache`.") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}). Delete the folder {cache_folder} and build it again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: of another layout than {FORMAT}. Delete the folder {cache_folder}, build it again.")
    if is_broken(manifest):
        raise InputError(f"{path}: damaged, not as it was written. Delete the folder {cache_folder}, build it again.")
    if problem := _damage(manifest):
        raise InputError(f"{path}: damaged ({problem}). Delete the folder {cache_folder} and build it again.")
    return manifest


def _damage(manifest: dict) -> str:
    """Return what is wrong with the IDs of a manifest; "" where they are what they should be, 64 bits each."""
    try:
        ids = [object_id for shard in manifest["shards"] for object_id in shard["ids"]]
        others = [*manifest["made_from"].get("unread", ()), *(int(text) for text in manifest["refused"])]
        if manifest["objects"] != len(ids):
            return f"it has {str(manifest['objects'])[:20]} objects, and its shards have {len(ids)}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    wrong = [one for one in (*ids, *others) if type(one) is not int or not 0 <= one < 2**63]
    return f"ID {str(wrong[0])[:40]}, expected a whole number below 2^63" if wrong else ""


def bands_of(manifest: dict) -> tuple[str, ...]:
    """Return the bands that a cache's objects have; in the rows the pixels of the others are NaN."""
    return tuple(manifest["bands"])


def frame_side(manifest: dict) -> int:
    """Return the side of a cache's frames in VIS pixels."""
    return int(manifest["bands"]["VIS"][0])


def row_bytes(side: int) -> int:
    """Return the bytes of one object's row."""
    return 4 * pixels_per_object(side)


def pixels_hash(manifest: dict) -> str:
    """Return a hash of which objects a cache has and of their pixels: IDs and sha256 of its shards in their order."""
    return digest({"shards": [[shard["ids"], shard["sha256"]] for shard in manifest["shards"]]})


def row_hash(row: np.ndarray) -> str:
    """Return what tells one object's pixels from any others: the first 16 hex digits of the sha256 of its row."""
    return hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()[:16]


def cached_ids(manifest: dict) -> set[int]:
    """Return the IDs whose pixels a cache has."""
    return {object_id for shard in manifest["shards"] for object_id in shard["ids"]}


def read_sources(cache_folder: Path) -> np.ndarray:
    """Return the rows of the files that a cache was made from (sources.TABLE); none where it came from an archive.

    Raises InputError where they are absent or damaged.
    """
    path = cache_folder / SOURCES
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: absent or damaged ({error}). Delete {cache_folder} and build it again.") from error


def verify_cache(cache_folder: Path) -> dict[str, str]:
    """What is wrong with each damaged shard, by file name; empty where every shard is as it was written.

    A shard that changed places with another, or is of another build, differs from its recorded sha256 too.
    """
    problems = {}
    manifest = read_manifest(cache_folder)
    for shard in manifest["shards"]:
        path = cache_folder / shard["file"]
        problem = _wrong_length(path, len(shard["ids"]), frame_side(manifest))
        if problem is None and file_sha256(path) != shard["sha256"]:
            problem = "its content differs from what was written"
        if problem:
            problems[shard["file"]] = problem
    return problems


def _wrong_length(path: Path, rows: int, side: int) -> str | None:
    expected = NPY_HEADER_BYTES + rows * row_bytes(side)
    if not path.is_file():
        return "it is absent"
    found = path.stat().st_size
    return None if found == expected else f"{found} bytes, expected {expected}"


def _advice(cache_folder: Path) -> str:
    return f"Run `lensfold verify --split {cache_folder.name} --rebuild`, which builds damaged shards again."


def stage_cache(cache_folder: Path, local_folder: Path) -> Path:
    """Copy a cache to a local folder, for a cache on a slow network disk; return the copy.

    Shards that are there already and whole are not copied again. Several processes may do so at once.
    """
    manifest = read_manifest(cache_folder)
    for shard in manifest["shards"]:
        target = local_folder / shard["file"]
        problem = _wrong_length(target, len(shard["ids"]), frame_side(manifest))
        if problem is None and file_sha256(target) == shard["sha256"]:
            continue
        with replacing(target) as temporary:
            shutil.copyfile(cache_folder / shard["file"], temporary)
        if file_sha256(target) != shard["sha256"]:
            raise InputError(f"{cache_folder / shard['file']}: damaged. {_advice(cache_folder)}")
    with replacing(local_folder / "manifest.json") as temporary:
        temporary.write_bytes((cache_folder / "manifest.json").read_bytes())
    return local_folder


class Cache:
    """Random access to a built cache, by ID. Holds the IDs and open files, never the pixels."""

    def __init__(self, folder: Path):
        """Open ``folder``; InputError where the manifest is absent or damaged."""
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.side = frame_side(self.manifest)
        """Side of the frames in VIS pixels."""
        shards = self.manifest["shards"]
        counts = [len(shard["ids"]) for shard in shards]
        ids = np.array([object_id for shard in shards for object_id in shard["ids"]], dtype=np.int64)
        order = np.argsort(ids)
        self.ids = ids[order]
        """All cached IDs, int64, sorted."""
        self._shard = np.repeat(np.arange(len(shards), dtype=np.int32), counts)[order]
        self._row = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])[order]
        self._files: dict[int, int] = {}
        # shards whose content was held against the manifest, with the state that their files had then
        self._checked: dict[int, tuple[int, ...]] = {}

    @property
    def sigma(self) -> dict[str, float]:
        """Median background sigma of the split in each band that its objects have, in flux units."""
        return self.manifest["sigma"]

    def read(self, ids: Iterable[int]) -> np.ndarray:
        """Rows of the given IDs, in that order: float32, shape (n, pixels of all bands).

        Raises InputError naming a shard that is not what its manifest says, and KeyError for an ID that is not cached.
        Each shard that is read is hashed, once: 20 ms for 128 objects, 2 % of what the logits of these cost.
        """
        wanted = np.fromiter(ids, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        absent = wanted[self.ids[places] != wanted]
        if len(absent):
            raise KeyError(int(absent[0]))
        rows = np.empty((len(wanted), pixels_per_object(self.side)), dtype="<f4")
        size = row_bytes(self.side)
        for target, place in zip(rows, places.tolist(), strict=True):
            number = int(self._shard[place])
            got = os.preadv(self._open(number), [target.data], NPY_HEADER_BYTES + int(self._row[place]) * size)
            if got != size:
                raise InputError(f"{self._path(number)}: ends too early. {_advice(self.folder)}")
        return rows

    def _path(self, number: int) -> Path:
        return self.folder / self.manifest["shards"][number]["file"]

    def _open(self, number: int) -> int:
        """Descriptor of a shard, opened at first use after its length and content were checked."""
        if number not in self._files:
            path, shard = self._path(number), self.manifest["shards"][number]
            if problem := _wrong_length(path, len(shard["ids"]), self.side):
                raise InputError(f"{path}: {problem}. {_advice(self.folder)}")
            if len(self._files) >= MOST_OPEN:
                os.close(self._files.pop(next(iter(self._files))))
            self._files[number] = self._opened(number, path, shard["sha256"])
        return self._files[number]

    def _opened(self, number: int, path: Path, expected: str) -> int:
        """Descriptor of a shard that has the bytes that were written: they are hashed once for each state of a file.

        Raises InputError where it has others.
        """
        with path.open("rb") as stream:
            stat = os.fstat(stream.fileno())
            state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            if self._checked.get(number) != state:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
                if found != expected:
                    problem = f"damaged (sha256 {found[:12]}, and {expected[:12]} when it was written)"
                    raise InputError(f"{path}: {problem}. {_advice(self.folder)}")
                self._checked[number] = state
            return os.dup(stream.fileno())

    def close(self) -> None:
        """Close the shard files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
