"""The caches of a pack's splits: built once, and held against the files they were made from."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from lensfold.console import progress
from lensfold.data.cache import SOURCES, read_manifest, read_sources, stage_cache, verify_cache
from lensfold.data.sources import compare_folder
from lensfold.errors import InputError
from lensfold.files import exclusive, file_sha256, replacing, write_if_changed
from lensfold.paths import Pack, Split, Workspace

#: files that are looked at again without a word
QUIET = 5000


def cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    """Build the cache of one split and return its manifest; of the train split, the catalog's IDs are expected.

    One process at a time builds it; another one waits and then builds it again.
    """
    with _exclusive_cache(workspace, pack, split):
        return _cache_split(workspace, pack, split, skip_bad, workers)


def cache_split_once(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> None:
    """Build the cache of one split unless it is there, also by another process that this one waited for."""
    with _exclusive_cache(workspace, pack, split):
        if not is_cached(workspace, pack, split):
            _cache_split(workspace, pack, split, skip_bad, workers)


def _exclusive_cache(workspace: Workspace, pack: Pack, split: Split) -> AbstractContextManager[None]:
    lock = workspace.cache(pack, split).with_name(f".{split}.lock")
    return exclusive(lock, f"cache {pack.name} {split}: another process builds it; waiting for that one to end")


def _cache_split(workspace: Workspace, pack: Pack, split: Split, skip_bad: bool, workers: int) -> dict:
    from lensfold.data.archive import build_cache_from_scan, scan_archive
    from lensfold.data.cache_build import Build, build_cache

    source, target = pack.split_source(split), workspace.cache(pack, split)
    expected = _expected_ids(pack, split)
    catalog = None if expected is None else file_sha256(pack.catalog)
    scan = None
    if not source.is_dir():
        with progress(f"read {source.name}", "MB") as report:
            scan = scan_archive(source, target, report)
    with progress(f"cache {pack.name} {split}") as report:
        build = Build(target, expected, catalog, skip_bad, workers, report)
        return build_cache_from_scan(scan, build) if scan else build_cache(source, build)


def _expected_ids(pack: Pack, split: Split) -> list[int] | None:
    """IDs that a split should have by its catalog; None where it has none."""
    if split != "train":
        return None
    from lensfold.data import catalog as catalogs

    catalog = catalogs.read_catalog(pack.catalog)
    return catalog.index[catalogs.has_images(catalog)].tolist()


def is_cached(workspace: Workspace, pack: Pack, split: Split) -> bool:
    """Return whether a split has a complete cache of the objects that its catalog says have images.

    The FITS files are not looked at: `stale_reason` does that, once a plan.
    """
    try:
        manifest = read_manifest(workspace.cache(pack, split))
    except InputError:  # absent, damaged, or of an earlier layout: it is built anew
        return False
    return not _catalog_difference(pack, split, manifest["made_from"])


def has_manifest(workspace: Workspace, pack: Pack, split: Split) -> bool:
    """Return whether a split has a cache of today's layout, whatever it was made from."""
    try:
        read_manifest(workspace.cache(pack, split))
    except InputError:
        return False
    return True


def stale_reason(workspace: Workspace, pack: Pack, split: Split, deep: bool = False) -> str:
    """Return why the cache of a split does not stand for its files and its catalog; "" where it does.

    Files whose size, times and inode are as they were are taken to be the same; with ``deep`` every file is read. Where
    the split's files are gone, the cache stands for them. Raises InputError where there is no cache, and where the
    cache is of another folder that the pack's name was used for.
    """
    folder = workspace.cache(pack, split)
    manifest = read_manifest(folder)
    origin = manifest["made_from"]
    inside = Path(origin["path"]).is_relative_to(pack.folder.resolve())
    try:
        source = pack.split_source(split)
    except InputError:
        if inside:
            return _catalog_difference(pack, split, origin)
        raise
    difference, table = _compare(source, folder, origin, deep, f"look at {pack.name} {split}")
    own_cache = folder.resolve().is_relative_to(pack.folder.resolve())
    if difference and not inside and not own_cache:
        raise InputError(
            f"pack {pack.name}: its cache {folder} was made from {origin['path']} (sha256 {origin['sha256'][:12]}), "
            f"and {source.resolve()} is another one ({difference}). Give one of the two folders a name of its own: "
            f"PACK=<name> (make) or --pack <name>."
        )
    difference = difference or _catalog_difference(pack, split, origin)
    if not difference:
        _remember(pack, split, source, folder, manifest, table)
    return difference


def _compare(source: Path, folder: Path, origin: dict, deep: bool, title: str) -> tuple[str, np.ndarray | None]:
    """How a split's files differ from what its cache was made from; where they do not, their rows if times changed."""
    if source.is_dir() != (origin["kind"] == "folder"):
        return (
            f"{source} is a {'folder' if source.is_dir() else 'file'}, and the cache was made from {origin['path']}",
            None,
        )
    if source.is_dir():
        with progress(title, "files", QUIET) as report:
            found = compare_folder(source, read_sources(folder), origin["unread"], deep, report)
        return found.difference, found.table
    from lensfold.data.archive import compare_archive

    with progress(title, "MB") as report:
        return compare_archive(source, origin, deep, report), None


def _catalog_difference(pack: Pack, split: Split, origin: dict) -> str:
    """How the objects that the catalog says have images differ from those that a cache was made for."""
    if split != "train" or not pack.catalog.is_file() or file_sha256(pack.catalog) == origin["catalog"]:
        return ""
    from lensfold.data.cache_build import ids_hash

    found = ids_hash(_expected_ids(pack, split) or ())
    if found == origin["expected"]:
        return ""
    return (
        f"{pack.catalog}: lists other objects with images ({found[:12]}) than when the cache was made "
        f"({str(origin['expected'])[:12]})"
    )


def _remember(pack: Pack, split: Split, source: Path, folder: Path, manifest: dict, table: np.ndarray | None) -> None:
    """Keep what a comparison found to be the same, so that the next one need not read it again."""
    seen: dict = {"path": str(source.resolve())}
    if split == "train" and pack.catalog.is_file():
        seen["catalog"] = file_sha256(pack.catalog)
    if manifest["made_from"]["kind"] == "archive":
        from lensfold.data.archive import archive_stat

        seen["stat"] = list(archive_stat(source))
    if table is not None:
        with replacing(folder / SOURCES) as temporary, temporary.open("wb") as stream:
            np.save(stream, table, allow_pickle=False)
    if manifest["made_from"] | seen != manifest["made_from"]:
        content = manifest | {"made_from": manifest["made_from"] | seen}
        with replacing(folder / "manifest.json") as temporary:
            temporary.write_text(json.dumps(content))


def discard_cache(workspace: Workspace, pack: Pack, split: Split) -> None:
    """Take a cache that no longer stands for its files out of use; nothing is made from it any more."""
    (workspace.cache(pack, split) / "manifest.json").unlink(missing_ok=True)


def plan_split(workspace: Workspace, pack: Pack, split: Split) -> list[int] | None:
    """Return the IDs that a split's cache will have, kept for :func:`cache_part`; None for an archive.

    An archive has to be read first. The folder of a split is listed anew each time.
    """
    from lensfold.data.sources import folder_ids

    source = pack.split_source(split)
    if not source.is_dir():
        return None
    ids, _ = folder_ids(source, _expected_ids(pack, split))
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
    problems = verify_cache(cache_folder)
    if problems and rebuild:
        _rebuild_damaged(pack.split_source(split), cache_folder)
    if deep and (difference := stale_reason(workspace, pack, split, deep=True)):
        problems["files"] = f"{difference}. `make cache` builds the cache again"
    return problems


def _rebuild_damaged(source: Path, cache_folder: Path) -> None:
    from lensfold.data.archive import scan_archive
    from lensfold.data.cache_build import rebuild_damaged
    from lensfold.data.sources import FolderSource

    if source.is_dir():
        rebuild_damaged(FolderSource(source), cache_folder)
        return
    with progress(f"read {source.name}", "MB") as report:
        rebuild_damaged(scan_archive(source, cache_folder, report).source, cache_folder)


def staged(workspace: Workspace, pack: Pack, split: Split, stage: Path | None) -> Path:
    """Return the cache folder to read from: the split's own, or its copy under ``stage``."""
    cache_folder = workspace.cache(pack, split)
    return cache_folder if stage is None else stage_cache(cache_folder, stage / pack.name / split)
