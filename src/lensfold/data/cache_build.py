"""A split's FITS files → its cache, shard by shard, in several processes.

The work goes on in ``.building-<split>`` beside the cache: a finished shard has a record beside it, so a build that
was stopped goes on where it was. Only a complete build is renamed into place.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensfold.console import Progress
from lensfold.data.bad_pixels import MAX_BAD_SHARE, UnusableFrame, mended
from lensfold.data.cache import (
    FORMAT,
    SHARD_ROWS,
    SOURCES,
    OddShape,
    background_sigma,
    split_bands,
)
from lensfold.data.sources import (
    FolderSource,
    Frame,
    FrameSource,
    check_side,
    common_side,
    folder_ids,
    table_of,
    usual_side,
)
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, is_broken, replacing, sealed
from lensfold.frames import BANDS, SIDES, band_shapes, pixels_per_object
from lensfold.workers import process_pool


@dataclass(frozen=True)
class Build:
    """How a cache is built, and where.

    ``expected_ids``: the catalog's IDs that should have images; None where no catalog says. ``catalog``: SHA-256 of the
    catalog file that they come from. ``side``: of the frames of the pack's other splits; None where it has none yet.
    """

    cache_folder: Path
    expected_ids: Sequence[int] | None = None
    catalog: str | None = None
    side: int | None = None
    skip_bad: bool = False
    workers: int = 1
    progress: Progress | None = None
    max_bad_share: float = MAX_BAD_SHARE


@dataclass(frozen=True)
class ShardTask:
    """What a worker needs for one shard: paths and IDs travel, pixels do not."""

    source: FrameSource
    target: Path
    ids: tuple[int, ...]
    max_bad_share: float
    side: int
    bands: tuple[str, ...] = BANDS


def build_shard(task: ShardTask) -> dict:
    """Write one shard and its record; where the record of the same sources exists, only return it."""
    settings = {"ids": task.ids, "max_bad_share": task.max_bad_share, "side": task.side, "bands": task.bands}
    sources = digest({"of": task.source.fingerprint(task.ids), **settings})
    finished = _finished(task.target, sources)
    if finished:
        return finished
    record: dict = {"file": task.target.name, "ids": [], "refused": {}, "repaired": {}, "bad_shares": {}, "sigmas": []}
    record["files"] = []
    # one buffer for the shard: thousands of small arrays would leave the memory in pieces
    rows = np.empty((len(task.ids), pixels_per_object(task.side)), dtype="<f4")
    for object_id in task.ids:
        frames = {band: task.source.frame(band, object_id) for band in task.bands}
        record["files"] += [frame.file for frame in frames.values() if frame.file]
        problem = _fill_row(task, object_id, frames, rows[len(record["ids"])], record)
        if problem:
            record["refused"][str(object_id)] = problem
    _write_shard(task.target, rows[: len(record["ids"])])
    record |= {"sha256": file_sha256(task.target), "sources": sources}
    with replacing(_record(task.target)) as temporary:
        temporary.write_text(json.dumps(sealed(record)))
    return record


def _fill_row(task: ShardTask, object_id: int, frames: dict[str, Frame], row: np.ndarray, record: dict) -> str:
    """Put one object's bands into ``row`` and its facts into ``record``; return why it cannot be used, else ""."""
    sigmas: list[float] = []
    repaired: dict[str, int] = {}
    row.fill(np.nan)
    places = split_bands(row)
    for band, frame in frames.items():
        if frame.pixels is None:
            return frame.problem
        name = task.source.name(band, object_id)
        try:
            check_side(frame.pixels.shape, band, name, task.side)
            pixels, count = mended(frame.pixels, task.max_bad_share)
        except OddShape as error:
            return str(error)
        except UnusableFrame as error:
            return f"{name}: {error}"
        places[band][:] = pixels
        sigmas.append(background_sigma(pixels))
        if count:
            repaired[band] = count
    record["ids"].append(object_id)
    record["sigmas"].append(sigmas)
    shares = {band: frame.bad_share for band, frame in frames.items() if frame.bad_share}
    if shares:
        record["bad_shares"][str(object_id)] = shares
    if repaired:
        record["repaired"][str(object_id)] = repaired
    return ""


def _write_shard(path: Path, rows: np.ndarray) -> None:
    """A .npy file; not by np.save, which on a full disk does not say that it was full."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(rows))
        stream.write(rows.data)


def _record(shard: Path) -> Path:
    return shard.with_suffix(".json")


def _finished(shard: Path, sources: str) -> dict | None:
    try:
        record = json.loads(_record(shard).read_text())
    except (OSError, ValueError):
        return None
    if record.get("sources") != sources or is_broken(record) or not shard.is_file():
        return None
    return record if file_sha256(shard) == record["sha256"] else None


def build_cache(split_folder: Path, build: Build) -> dict:
    """Read every cutout of a split once and write the cache (shards and ``manifest.json``); return the manifest.

    An expected object without any file counts as bad, and so does a file whose ID is not expected. Small gaps in a
    frame are mended (bad_pixels.py) and counted under ``repaired``. Bad objects are listed by ID and reason and never
    replaced by something else: without ``skip_bad`` they stop the build and InputError is raised; with it they are left
    out and recorded under ``refused``. A build that was stopped, or refused, goes on with the shards it had, where
    their files have not changed.
    """
    wanted, refused = folder_ids(split_folder, build.expected_ids)
    return assemble(FolderSource(split_folder), split_folder, wanted, refused, build)


def build_part(
    source: FrameSource,
    cache_folder: Path,
    ids: Sequence[int],
    number: int,
    count: int,
    progress: Progress | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
) -> None:
    """Build the shards of part ``number`` (from 0) of ``count``, which :func:`build_cache` then finds finished.

    ``ids``: of the whole cache, in order. Objects that cannot be used are named when the cache is put together.
    """
    building = building_folder(cache_folder)
    try:
        building.mkdir(parents=True, exist_ok=True)
        tasks = _tasks(source, building, ids, max_bad_share, usual_side(source, ids), (number, count))
        _collected(map(build_shard, tasks), sum(len(task.ids) for task in tasks), progress)
    except OSError as error:
        raise InputError(f"{cache_folder}: the cache cannot be written: {error}.") from error


def is_part_built(cache_folder: Path, ids: Sequence[int], number: int, count: int) -> bool:
    """Whether every ID of a part stands in its shard's record."""
    tasks = _tasks(FolderSource(cache_folder), building_folder(cache_folder), ids, 0.0, SIDES[0], (number, count))
    return all(_recorded_ids(task.target) == set(task.ids) for task in tasks)


def _recorded_ids(shard: Path) -> set[int]:
    try:
        record = json.loads(_record(shard).read_text())
        if is_broken(record):
            return set()
        return {*record["ids"], *map(int, record["refused"])}
    except (OSError, ValueError, KeyError):
        return set()


def assemble(source: FrameSource, where: Path, ids: Sequence[int], refused: dict[str, str], build: Build) -> dict:
    """Build shards of ``ids`` from a source, in order, then the manifest, as `build_cache` does; ``where``: them."""
    cache_folder, building = build.cache_folder, building_folder(build.cache_folder)
    unread = sorted(int(object_id) for object_id in refused)
    try:
        side = common_side(source, where, ids, build.side)
        building.mkdir(parents=True, exist_ok=True)
        tasks = _tasks(source, building, ids, build.max_bad_share, side)
        records = _collected(_run(tasks, build.workers), len(ids), build.progress)
        for record in records:
            refused.update(record["refused"])
        if refused and not build.skip_bad:
            raise InputError(_refusal(where, refused))
        _check_complete(ids, records)
        files = table_of(file for record in records for file in record["files"])
        origin = {**source.origin(files), **_expectation(build), "unread": unread}
        manifest = _manifest(records, refused, build.max_bad_share, side, source.bands, origin)
        with replacing(building / SOURCES) as temporary, temporary.open("wb") as stream:
            np.save(stream, files, allow_pickle=False)
        with replacing(building / "manifest.json") as temporary:
            temporary.write_text(json.dumps(sealed(manifest)))
        _remove_all_but(building, {"manifest.json", SOURCES, *(shard["file"] for shard in manifest["shards"])})
        (cache_folder / "manifest.json").unlink(missing_ok=True)  # whoever is stopped now leaves none, not half of one
        shutil.rmtree(cache_folder, ignore_errors=True)
        building.replace(cache_folder)
    except OSError as error:
        raise InputError(f"{cache_folder}: the cache cannot be written: {error}.") from error
    finally:
        with suppress(OSError):
            building.rmdir()  # only where nothing was done
    return manifest


def _expectation(build: Build) -> dict:
    expected = None if build.expected_ids is None else ids_hash(build.expected_ids)
    return {"catalog": build.catalog, "expected": expected}


def ids_hash(ids: Sequence[int]) -> str:
    """Return a hash of IDs, whatever their order."""
    return digest({"ids": sorted(map(int, ids))})


def _check_complete(ids: Sequence[int], records: Sequence[dict]) -> None:
    """InputError unless each object arrived in one shard, once, or was refused there."""
    arrived = Counter(int(i) for record in records for i in (*record["ids"], *record["refused"]))
    expected = Counter(ids)
    strange = sorted(i for i in {*expected, *arrived} if arrived[i] != expected[i])
    if strange:
        raise InputError(
            f"ID {strange[0]} arrived {arrived[strange[0]]} times in the shards, expected once ({len(strange)} such "
            "IDs). Delete the folder .building-* beside the cache and build it again."
        )


def building_folder(cache_folder: Path) -> Path:
    """Where a cache is while it is not complete."""
    return cache_folder.with_name(f".building-{cache_folder.name}")


def _tasks(
    source: FrameSource, folder: Path, ids: Sequence[int], bad: float, side: int, part: tuple[int, int] = (0, 1)
) -> list[ShardTask]:
    """Return the shards of a part, (number from 0, count), whole ones; ``bad``: the largest share that is mended."""
    number, count = part
    shards = -(-len(ids) // SHARD_ROWS)
    tasks = []
    for shard in range(shards * number // count, shards * (number + 1) // count):
        rows = tuple(ids[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS])
        tasks.append(ShardTask(source.part(rows), folder / f"shard-{shard:05d}.npy", rows, bad, side, source.bands))
    return tasks


def _run(tasks: Sequence[ShardTask], workers: int) -> Iterator[dict]:
    """Records of the tasks, in order. A worker that dies is an error here, where a multiprocessing.Pool would hang."""
    most = min(workers, len(tasks))
    pool = process_pool(most) if most > 1 else None
    if pool is None:
        yield from map(build_shard, tasks)
        return
    try:
        yield from pool.map(build_shard, tasks)
    except BrokenProcessPool as error:
        raise InputError(
            "A process that read cutouts was killed (too little memory?). What is done is kept: run it again, with "
            "fewer --workers if it happens again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collected(records: Iterator[dict], total: int, progress: Progress | None) -> list[dict]:
    collected, done = [], 0
    for record in records:
        collected.append(record)
        done += len(record["ids"]) + len(record["refused"])
        if progress:
            progress(done, total)
    return collected


def _remove_all_but(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def _refusal(where: Path, refused: dict[str, str]) -> str:
    listed = sorted(refused.items(), key=lambda item: int(item[0]))
    shown = "\n".join(f"  {object_id}: {reason}" for object_id, reason in listed[:20])
    more = f"\n  … and {len(refused) - 20} more" if len(refused) > 20 else ""
    return (
        f"{where}: {len(refused)} objects cannot be used:\n{shown}{more}\n"
        "Mend or fetch these files again, or leave the objects out with SKIP_BAD=1 (make) or --skip-bad. "
        "What was read is kept for the next build."
    )


def _manifest(
    records: Sequence[dict],
    refused: dict[str, str],
    max_bad_share: float,
    side: int,
    bands: Sequence[str],
    origin: dict,
) -> dict:
    sigmas = np.array([row for record in records for row in record["sigmas"]])
    if not len(sigmas):
        raise InputError(
            "Every object of the split was refused:\n" + "\n".join(f"  {i}: {r}" for i, r in list(refused.items())[:20])
        )
    repaired, bad_shares = (
        {object_id: bands for record in records for object_id, bands in record.get(name, {}).items()}
        for name in ("repaired", "bad_shares")
    )
    return {
        "format": FORMAT,
        "made_from": origin,
        "bands": {band: list(shape) for band, shape in band_shapes(side).items() if band in bands},
        "objects": len(sigmas),
        "sigma": dict(zip(bands, np.median(sigmas, axis=0).tolist(), strict=True)),
        "max_bad_share": max_bad_share,
        "shards": [{key: record[key] for key in ("file", "ids", "sha256")} for record in records if record["ids"]],
        "refused": dict(sorted(refused.items(), key=lambda item: int(item[0]))),
        "repaired": repaired,
        "bad_shares": bad_shares,
    }
