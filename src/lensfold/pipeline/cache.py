"""The caches of a pack's splits: built once, and held against the files they were made from."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import get_args

from lensfold.console import progress
from lensfold.data.cache import frame_side, read_manifest, stage_cache, verify_cache
from lensfold.data.cache_check import discard_cache, expected_ids, has_manifest, is_cached, is_cut, stale_reason
from lensfold.files import exclusive, file_sha256, write_if_changed
from lensfold.paths import Pack, Split, Workspace
from lensfold.pipeline.statistics import cache_statistics


def cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    """Build the cache of one split and return its manifest; of the train split, the catalog's IDs are expected.

    One process at a time builds it; another one waits and then builds it again.
    """
    with exclusive_cache(workspace, pack, split):
        return _cache_split(workspace, pack, split, skip_bad, workers)


def cache_split_once(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> None:
    """Build the cache of one split unless it is there, also by another process that this one waited for."""
    with exclusive_cache(workspace, pack, split):
        if not is_cached(workspace, pack, split):
            _cache_split(workspace, pack, split, skip_bad, workers)


def cache_and_show(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> None:
    """Build the cache of one split unless it is there; print what is in it then, and what was left out and why."""
    if is_cached(workspace, pack, split):
        return
    from lensfold.report.packs import show_cache

    cache_split_once(workspace, pack, split, skip_bad, workers)
    show_cache(pack.name, split, read_manifest(workspace.cache(pack, split)))


def exclusive_cache(workspace: Workspace, pack: Pack, split: Split) -> AbstractContextManager[None]:
    """Lock the cache of a split: one process at a time builds it."""
    folder = workspace.cache(pack, split)
    lock = folder.with_name(f".{folder.name}.lock")
    return exclusive(lock, f"cache {pack.name} {split}: another process builds it; waiting for that one to end")


def _cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    from lensfold.data.archive import build_cache_from_scan, scan_archive
    from lensfold.data.cache_build import Build, build_cache

    source, target = pack.split_source(split), workspace.cache(pack, split)
    expected = expected_ids(pack, split)
    catalog = None if expected is None else file_sha256(pack.catalog)
    scan = None
    if not source.is_dir():
        with progress(f"read {source.name}", "MB") as report:
            scan = scan_archive(source, target, report)
    with progress(f"cache {pack.name} {split}") as report:
        build = Build(target, expected, catalog, _side_of_others(workspace, pack, split), skip_bad, workers, report)
        manifest = build_cache_from_scan(scan, build) if scan else build_cache(source, build)
    cache_statistics(target)
    return manifest


def _side_of_others(workspace: Workspace, pack: Pack, split: Split) -> int | None:
    """Return the side of the frames of the pack's other splits; None where none of them has a cache."""
    splits = {pack.stored_as(other) for other in get_args(Split)} - {pack.stored_as(split)}
    others = [other for other in sorted(splits) if has_manifest(workspace, pack, other)]
    return frame_side(read_manifest(workspace.cache(pack, others[0]))) if others else None


def current_cache(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> Path:
    """Return the folder of a split's cache, built where there is none of the files and the catalog there are now.

    What is in a new one, and what was left out, is printed.
    """
    if has_manifest(workspace, pack, split) and (reason := stale_reason(workspace, pack, split)):
        print(f"cache {pack.name} {split} is built again: {reason}")
        discard_cache(workspace, pack, split)
    cache_and_show(workspace, pack, split, skip_bad, workers)
    return workspace.cache(pack, split)


def plan_split(workspace: Workspace, pack: Pack, split: Split) -> list[int] | None:
    """Return the IDs that a split's cache will have, kept for :func:`cache_part`; None for an archive.

    An archive has to be read first. The folder of a split is listed anew each time.
    """
    from lensfold.data.sources import folder_ids

    source = pack.split_source(split)
    if not source.is_dir():
        return None
    ids, _ = folder_ids(source, expected_ids(pack, split))
    write_if_changed(_plan_file(workspace, pack, split), json.dumps({"ids": ids}).encode())
    return ids


def _plan_file(workspace: Workspace, pack: Pack, split: Split) -> Path:
    from lensfold.data.cache_build import building_folder

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
    from lensfold.data.archive import scan_archive
    from lensfold.data.cache_build import build_part
    from lensfold.data.sources import FolderSource

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
    """Return whether each planned object of a part is in the record of a shard, or the whole cache is there."""
    if is_cached(workspace, pack, split):
        return True
    from lensfold.data.archive import is_scanned
    from lensfold.data.cache_build import is_part_built

    ids, target = _planned(workspace, pack, split), workspace.cache(pack, split)
    if ids is None:
        return number > 0 or is_scanned(pack.split_source(split), target)
    return is_part_built(target, ids, number, count)


def verify_split(workspace: Workspace, pack: Pack, split: Split, rebuild: bool, deep: bool = False) -> dict[str, str]:
    """Return the damaged shards of a split's cache, each with its problem; with ``rebuild`` they are whole afterwards.

    With ``deep`` every file of the split is read too, and the key "files" says how they differ from the cache.
    """
    cache_folder = workspace.cache(pack, split)
    if not has_manifest(workspace, pack, split):
        pack.split_source(split)  # of a split that does not exist there is no cache to build
    problems = verify_cache(cache_folder)
    manifest = read_manifest(cache_folder)
    if is_cut(manifest["made_from"]):
        return _verify_cut(pack, cache_folder, manifest, problems, rebuild, deep)
    if problems and rebuild:
        _rebuild_damaged(pack.split_source(split), cache_folder)
    if deep and (difference := stale_reason(workspace, pack, split, deep=True)):
        problems["files"] = f"{difference}. `make cache` builds the cache again"
    return problems


def _verify_cut(
    pack: Pack, cache_folder: Path, manifest: dict, problems: dict[str, str], rebuild: bool, deep: bool
) -> dict[str, str]:
    """As `verify_split`, of a pack that was cut out of mosaics: they are read where that is asked for."""
    from lensfold.data.cache_repair import first_difference, rebuild_damaged
    from lensfold.pipeline.cut import cut_source

    if deep or (problems and rebuild):
        source = cut_source(pack, manifest["made_from"], frame_side(manifest))
        if problems and rebuild:
            rebuild_damaged(source, cache_folder)
        if deep:
            with progress(f"cut {pack.name} again", "shards") as report:
                difference = first_difference(source, cache_folder, report)
            if difference:
                problems["files"] = f"{difference}. Cut the pack again with `lensfold cut --overwrite`"
    return problems


def _rebuild_damaged(source: Path, cache_folder: Path) -> None:
    from lensfold.data.archive import scan_archive
    from lensfold.data.cache_repair import rebuild_damaged
    from lensfold.data.sources import FolderSource

    if source.is_dir():
        rebuild_damaged(FolderSource(source), cache_folder)
        return
    with progress(f"read {source.name}", "MB") as report:
        rebuild_damaged(scan_archive(source, cache_folder, report).source, cache_folder)


def staged(workspace: Workspace, pack: Pack, split: Split, stage: Path | None) -> Path:
    """Return the cache folder to read from: the split's own, or its copy under ``stage``."""
    cache_folder = workspace.cache(pack, split)
    return cache_folder if stage is None else stage_cache(cache_folder, stage / pack.name / cache_folder.name)
