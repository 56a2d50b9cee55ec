"""The steps of the pipeline, each one function of (workspace, names): what the command line and make call.

A step reads the files of the steps before it and writes its own; nothing is handed on in memory.
"""

import json
from contextlib import AbstractContextManager
from pathlib import Path

from lensfold.console import progress
from lensfold.data import catalog as catalogs
from lensfold.data.archive import build_cache_from_scan, is_scanned, scan_archive
from lensfold.data.cache import stage_cache, verify_cache
from lensfold.data.cache_build import (
    FolderSource,
    build_cache,
    build_part,
    building_folder,
    folder_ids,
    is_part_built,
    rebuild_damaged,
)
from lensfold.files import alone, is_newer, write_if_changed
from lensfold.paths import Pack, Split, Workspace


def cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    """Build the cache of one split and return its manifest; of the train split, the catalog's IDs are expected.

    One process at a time builds it; another one waits and then builds it again.
    """
    with _alone_with_cache(workspace, pack, split):
        return _cache_split(workspace, pack, split, skip_bad, workers)


def cache_split_once(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> None:
    """As :func:`cache_split`, unless the cache is complete, also by another process that this one waited for."""
    with _alone_with_cache(workspace, pack, split):
        if not is_cached(workspace, pack, split):
            _cache_split(workspace, pack, split, skip_bad, workers)


def _alone_with_cache(workspace: Workspace, pack: Pack, split: Split) -> AbstractContextManager[None]:
    lock = workspace.cache(pack, split).with_name(f".{split}.lock")
    return alone(lock, f"cache {pack.name} {split}: another process builds it; waiting for that one to end")


def _cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    expected = _expected_ids(pack, split)
    source, target = pack.split_source(split), workspace.cache(pack, split)
    scan = None
    if not source.is_dir():
        with progress(f"read {source.name}", "MB") as report:
            scan = scan_archive(source, target, report)
    with progress(f"cache {pack.name} {split}") as report:
        if scan:
            return build_cache_from_scan(scan, target, expected, skip_bad, workers, report)
        return build_cache(source, target, expected, skip_bad, workers, report)


def _expected_ids(pack: Pack, split: Split) -> list[int] | None:
    """IDs that a split should have by its catalog; None where it has none."""
    if split != "train":
        return None
    catalog = catalogs.read_catalog(pack.catalog)
    return catalog.index[catalogs.has_images(catalog)].tolist()


def plan_split(workspace: Workspace, pack: Pack, split: Split) -> list[int] | None:
    """IDs that a split's cache will hold, kept for :func:`cache_part`; None for an archive, which has to be read first.

    The folder of a split is listed anew each time.
    """
    source = pack.split_source(split)
    if not source.is_dir():
        return None
    ids, _ = folder_ids(source, _expected_ids(pack, split))
    write_if_changed(_plan_file(workspace, pack, split), json.dumps({"ids": ids}).encode())
    return ids


def _plan_file(workspace: Workspace, pack: Pack, split: Split) -> Path:
    return building_folder(workspace.cache(pack, split)) / "plan.json"


def _planned(workspace: Workspace, pack: Pack, split: Split) -> list[int] | None:
    try:
        return json.loads(_plan_file(workspace, pack, split).read_text())["ids"]
    except (OSError, ValueError, KeyError):
        return plan_split(workspace, pack, split)


def cache_part(workspace: Workspace, pack: Pack, split: Split, number: int, count: int) -> None:
    """Build the shards of part ``number`` (from 0) of ``count`` of a split, for :func:`cache_split` to put together.

    An archive is read whole by the first part, and the others have nothing to do: gzip has no other order.
    """
    ids, target = _planned(workspace, pack, split), workspace.cache(pack, split)
    if ids is None:
        if number == 0:
            source = pack.split_source(split)
            with progress(f"read {source.name}", "MB") as report:
                scan_archive(source, target, report)
        return
    with progress(f"cache {pack.name} {split}, part {number + 1} of {count}") as report:
        build_part(FolderSource(pack.split_source(split)), target, ids, number, count, report)


def is_part_cached(workspace: Workspace, pack: Pack, split: Split, number: int, count: int) -> bool:
    """Whether each planned object of a part is in the record of a shard, or the whole cache is there."""
    if is_cached(workspace, pack, split):
        return True
    ids, target = _planned(workspace, pack, split), workspace.cache(pack, split)
    if ids is None:
        return number > 0 or is_scanned(pack.split_source(split), target)
    return is_part_built(target, ids, number, count)


def verify_split(workspace: Workspace, pack: Pack, split: Split, rebuild: bool) -> dict[str, str]:
    """Damaged shards of a split's cache, each with its problem; with ``rebuild`` they are whole afterwards."""
    cache_folder = workspace.cache(pack, split)
    problems = verify_cache(cache_folder)
    if problems and rebuild:
        source = pack.split_source(split)
        frames = FolderSource(source)
        if not source.is_dir():
            with progress(f"read {source.name}", "MB") as report:
                frames = scan_archive(source, cache_folder, report).source
        rebuild_damaged(frames, cache_folder)
    return problems


def staged(workspace: Workspace, pack: Pack, split: Split, stage: Path | None) -> Path:
    """The cache folder to read from: the split's own, or its copy under ``stage``."""
    cache_folder = workspace.cache(pack, split)
    return cache_folder if stage is None else stage_cache(cache_folder, stage / pack.name / split)


def is_cached(workspace: Workspace, pack: Pack, split: Split) -> bool:
    """Whether a split's cache is complete and not older than the pack's catalog, where it has one."""
    sources = [pack.catalog] if pack.catalog.is_file() else []
    return is_newer(workspace.cache(pack, split) / "manifest.json", *sources)
