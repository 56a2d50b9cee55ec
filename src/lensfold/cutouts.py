"""FITS cutouts → one cache a split: plain ``.npy`` shards and a manifest.

A cached object is one row of float32: its VIS frame followed by Y, J and H, all in the pack's flux units
(zero point 0 AB). Rows are read by ``pread`` into a buffer, so memory does not grow with the pack.
"""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from lensfold.errors import InputError
from lensfold.paths import BAND_SHAPES, BANDS, cutout_file, replacing

SHARD_ROWS = 128
#: numpy pads the header of a .npy file of this shape to 128 bytes
NPY_HEADER_BYTES = 128
PIXELS_PER_OBJECT = sum(rows * columns for rows, columns in BAND_SHAPES.values())
#: width in pixels of the frame's border in which the background is measured
BORDER = {"VIS": 20, "Y": 7, "J": 7, "H": 7}

Progress = Callable[[int, int], None]


class BadCutout(Exception):
    """One file cannot be used; the message names it and says why."""


def read_cutout(path: Path, band: str) -> np.ndarray:
    """Pixels of one FITS file, float32, shape ``BAND_SHAPES[band]``.

    Raises BadCutout where the file is absent, truncated, not float32 or has no finite pixel, and InputError
    where the frame has another shape than the challenge's (then the whole pack is of another kind).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # astropy only warns of a truncated file
            with path.open("rb") as stream, fits.open(stream, memmap=False) as hdus:
                found, pixels = hdus[0].header.get("BITPIX"), hdus[0].data
    except FileNotFoundError as error:
        raise BadCutout(f"{path}: no such file") from error
    except Exception as error:  # astropy raises many kinds on damaged files; each is the same to us
        raise BadCutout(f"{path}: not readable as FITS ({error})") from error
    if pixels is None or pixels.shape != BAND_SHAPES[band]:
        shape = None if pixels is None else pixels.shape
        raise InputError(f"{path}: image shape is {shape}, expected {BAND_SHAPES[band]} (rows, columns) for {band}.")
    if found != -32:
        raise BadCutout(f"{path}: BITPIX is {found}, expected -32 (32-bit floats)")
    broken = int(np.count_nonzero(~np.isfinite(pixels)))
    if broken:
        raise BadCutout(f"{path}: {broken} of {pixels.size} pixels are not finite")
    return pixels.astype(np.float32)


def read_object(split_folder: Path, object_id: int) -> np.ndarray:
    """One object's four bands in a row of PIXELS_PER_OBJECT float32; errors as in :func:`read_cutout`."""
    return np.concatenate([read_cutout(cutout_file(split_folder, band, object_id), band).ravel() for band in BANDS])


def split_bands(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Views of cached rows by band: ``(..., PIXELS_PER_OBJECT)`` → ``(..., height, width)`` each."""
    bands, start = {}, 0
    for band in BANDS:
        height, width = BAND_SHAPES[band]
        stop = start + height * width
        bands[band] = rows[..., start:stop].reshape(*rows.shape[:-1], height, width)
        start = stop
    return bands


def background_sigma(image: np.ndarray, border: int) -> float:
    """Background noise of one frame: 1.4826 × the median absolute deviation of its border, in flux units."""
    ring = np.concatenate(
        [image[:border].ravel(), image[-border:].ravel(), image[:, :border].ravel(), image[:, -border:].ravel()]
    )
    return float(1.4826 * np.median(np.abs(ring - np.median(ring))))


def object_ids(split_folder: Path) -> list[int]:
    """Sorted IDs that have a file in at least one band.

    Raises InputError where there is none.
    """
    ids: set[int] = set()
    for band in BANDS:
        pattern = re.compile(rf"imageEUC_{band}-([0-9]{{1,18}})\.fits")
        folder = split_folder / "Public" / f"EUC_{band}"
        names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
        ids.update(int(match[1]) for match in map(pattern.fullmatch, names) if match)
    if not ids:
        raise InputError(
            f"{split_folder}: no cutouts found. Expected Public/EUC_<band>/imageEUC_<band>-<ID>.fits "
            f"for the bands {', '.join(BANDS)}."
        )
    return sorted(ids)


@dataclass(frozen=True)
class _Shard:
    """What a worker needs for one shard, and nothing else: paths and IDs travel, pixels do not."""

    split_folder: Path
    target: Path
    ids: tuple[int, ...]


def _build_shard(shard: _Shard) -> dict:
    good, refused, sigmas, rows = [], {}, [], []
    for object_id in shard.ids:
        try:
            row = read_object(shard.split_folder, object_id)
        except BadCutout as bad:
            refused[object_id] = str(bad)
            continue
        images = split_bands(row)
        sigmas.append([background_sigma(images[band], BORDER[band]) for band in BANDS])
        good.append(object_id)
        rows.append(row)
    with shard.target.open("wb") as stream:
        np.save(stream, np.array(rows, dtype="<f4").reshape(len(rows), PIXELS_PER_OBJECT))
    return {
        "file": shard.target.name,
        "ids": good,
        "refused": refused,
        "sigmas": sigmas,
        "sha256": hashlib.sha256(shard.target.read_bytes()).hexdigest(),
    }


def build_cache(
    split_folder: Path,
    cache_folder: Path,
    expected_ids: Sequence[int] | None = None,
    skip_bad: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict:
    """Read every cutout of a split once and write ``cache_folder`` (shards and ``manifest.json``); return the manifest.

    ``expected_ids``: the catalog's IDs that should have images; one without any file counts as bad, and so does a
    file whose ID is not among them. Bad objects are listed by ID and reason and never replaced by something else:
    without ``skip_bad`` they stop the build, nothing is left behind and InputError is raised; with it they are left
    out and recorded under ``refused``.
    """
    ids = object_ids(split_folder)
    refused = _unexpected(ids, expected_ids)
    wanted = [object_id for object_id in ids if object_id not in refused]
    building = cache_folder.with_name(f".building-{cache_folder.name}")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        shards = _build_shards(split_folder, building, wanted, workers, progress)
        for shard in shards:
            refused.update(shard.pop("refused"))
        if refused and not skip_bad:
            raise InputError(_refusal(split_folder, refused))
        manifest = _manifest(shards, refused)
        with replacing(building / "manifest.json") as temporary:
            temporary.write_text(json.dumps(manifest))
        shutil.rmtree(cache_folder, ignore_errors=True)
        building.replace(cache_folder)
    except OSError as error:
        raise InputError(f"{cache_folder}: the cache cannot be written: {error}.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _unexpected(ids: list[int], expected_ids: Sequence[int] | None) -> dict[int, str]:
    if expected_ids is None:
        return {}
    expected, found = set(map(int, expected_ids)), set(ids)
    refused = dict.fromkeys(sorted(expected - found), "in the catalog, but no file in any band")
    refused.update(dict.fromkeys(sorted(found - expected), "has files, but no catalog row with images"))
    return refused


def _refusal(split_folder: Path, refused: dict[int, str]) -> str:
    shown = "\n".join(f"  {object_id}: {reason}" for object_id, reason in sorted(refused.items())[:20])
    more = f"\n  … and {len(refused) - 20} more" if len(refused) > 20 else ""
    return (
        f"{split_folder}: {len(refused)} objects cannot be used:\n{shown}{more}\n"
        "Mend or fetch these files again, or leave the objects out with SKIP_BAD=1 (make) or --skip-bad."
    )


def _build_shards(
    split_folder: Path, building: Path, ids: list[int], workers: int, progress: Progress | None
) -> list[dict]:
    tasks = [
        _Shard(split_folder, building / f"shard-{number:05d}.npy", tuple(ids[start : start + SHARD_ROWS]))
        for number, start in enumerate(range(0, len(ids), SHARD_ROWS))
    ]
    if workers == 1 or len(tasks) == 1:
        return _collect(map(_build_shard, tasks), len(ids), progress)
    with multiprocessing.get_context("spawn").Pool(min(workers, len(tasks))) as pool:
        return _collect(pool.imap(_build_shard, tasks), len(ids), progress)


def _collect(results: Iterable[dict], total: int, progress: Progress | None) -> list[dict]:
    shards, done = [], 0
    for shard in results:
        shards.append(shard)
        done += len(shard["ids"]) + len(shard["refused"])
        if progress:
            progress(done, total)
    return shards


def _manifest(shards: list[dict], refused: dict[int, str]) -> dict:
    sigmas = np.array([row for shard in shards for row in shard.pop("sigmas")])
    if not len(sigmas):
        raise InputError(
            "Every object of the split was refused:\n" + "\n".join(f"  {i}: {r}" for i, r in refused.items())
        )
    return {
        "bands": {band: list(BAND_SHAPES[band]) for band in BANDS},
        "objects": len(sigmas),
        "sigma": dict(zip(BANDS, np.median(sigmas, axis=0).tolist(), strict=True)),
        "shards": shards,
        "refused": {str(object_id): reason for object_id, reason in sorted(refused.items())},
    }


def read_manifest(cache_folder: Path) -> dict:
    """The manifest of a built cache; InputError where it is absent or damaged."""
    path = cache_folder / "manifest.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no cache here yet. Build it with `make cache` or `lensfold cache`.") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}). Delete the folder {cache_folder} and build it again.") from error


class Cache:
    """Random access to a built cache, by ID. Holds the IDs and open files, never the pixels."""

    def __init__(self, folder: Path):
        """Open ``folder``; InputError where the manifest is absent or damaged."""
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._place: dict[int, tuple[int, int]] = {}
        self._files: dict[int, int] = {}
        for number, shard in enumerate(self.manifest["shards"]):
            for row, object_id in enumerate(shard["ids"]):
                self._place[object_id] = (number, row)

    @property
    def ids(self) -> np.ndarray:
        """All cached IDs, int64, sorted."""
        return np.array(sorted(self._place), dtype=np.int64)

    @property
    def sigma(self) -> dict[str, float]:
        """Median background sigma of the split by band, in flux units."""
        return self.manifest["sigma"]

    def read(self, ids: Iterable[int]) -> np.ndarray:
        """Rows of the given IDs, in that order: float32, shape (n, PIXELS_PER_OBJECT).

        Raises InputError naming a shard that is not as long as its manifest says, and KeyError for an ID that is
        not cached.
        """
        places = [self._place[int(object_id)] for object_id in ids]
        rows = np.empty((len(places), PIXELS_PER_OBJECT), dtype="<f4")
        for target, (number, row) in zip(rows, places, strict=True):
            os.preadv(self._open(number), [target], NPY_HEADER_BYTES + row * target.nbytes)
        return rows

    def _open(self, number: int) -> int:
        """Descriptor of a shard, opened at first use after its length was checked."""
        if number not in self._files:
            shard = self.manifest["shards"][number]
            path = self.folder / shard["file"]
            expected = NPY_HEADER_BYTES + len(shard["ids"]) * PIXELS_PER_OBJECT * 4
            found = path.stat().st_size if path.exists() else 0
            if found != expected:
                raise InputError(f"{path}: {found} bytes, expected {expected}. Delete {self.folder}, build it again.")
            self._files[number] = os.open(path, os.O_RDONLY)
        return self._files[number]

    def close(self) -> None:
        """Close the shard files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
