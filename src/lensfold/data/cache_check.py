"""Does a cache stand for the files and the catalog that there are now?

`is_cached` looks at the catalog, `stale_reason` at every file of the split too. What they find to be the same is kept
with the cache, so that the next look is short.
"""

import json
from pathlib import Path

import numpy as np

from lensfold.console import progress
from lensfold.data.cache import SOURCES, cached_ids, read_manifest, read_sources
from lensfold.data.objects import read_objects
from lensfold.data.sources import compare_folder
from lensfold.errors import InputError
from lensfold.files import file_sha256, replacing, sealed
from lensfold.paths import Pack, Split, Workspace, objects_file

#: files that are looked at again without a word
QUIET = 5000


def expected_ids(pack: Pack, split: Split) -> list[int] | None:
    """Return the IDs that a split should have by its catalog; None where no catalog says.

    The user's own labels do not: of a split some objects may have none.
    """
    if split != "train" or pack.labels.is_file():
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


def default_split(workspace: Workspace, pack: Pack) -> Split:
    """Return the train split where a pack has one, as files or as a cache, else the test split.

    Raises InputError where it has neither.
    """
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        if has_manifest(workspace, pack, split) or pack.has_files(split):
            return split
    pack.split_source("train")  # says what is expected where
    return "train"


def stale_reason(workspace: Workspace, pack: Pack, split: Split, deep: bool = False) -> str:
    """Return why the cache of a split does not stand for its files and its catalog; "" where it does.

    Files whose size, times and inode are as they were are taken to be the same; with ``deep`` every file is read. Where
    the split's files are gone, the cache stands for them, as one that was cut out of mosaics always does. Raises
    InputError where there is no cache, and where it is of another folder that the pack's name was used for.
    """
    folder = workspace.cache(pack, split)
    manifest = read_manifest(folder)
    origin = manifest["made_from"]
    if is_cut(origin) and not pack.has_files(split):
        _check_table(pack, manifest)
        return ""
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


def is_cut(origin: dict) -> bool:
    """Return whether a cache was cut out of mosaics: it is then all there is of its objects' pixels."""
    return origin["kind"] == "tiles"


def _check_table(pack: Pack, manifest: dict) -> None:
    """Raise InputError unless the pack's table has the objects that were cut: the folder's name says less than that."""
    try:
        found = set(read_objects(pack.folder)["ID"].tolist())
    except InputError:
        found = set()
    if found != cached_ids(manifest):
        raise InputError(
            f"{objects_file(pack.folder)}: lists {len(found)} objects, not the {manifest['objects']} that were cut "
            f"from {manifest['made_from']['path']}. Give the same `lensfold cut` command once more."
        )


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
    if split != "train" or not _has_catalog(pack) or file_sha256(pack.catalog) == origin["catalog"]:
        return ""
    from lensfold.data.cache_build import ids_hash

    found = ids_hash(expected_ids(pack, split) or ())
    if found == origin["expected"]:
        return ""
    return (
        f"{pack.catalog}: lists other objects with images ({found[:12]}) than when the cache was made "
        f"({str(origin['expected'])[:12]})"
    )


def _has_catalog(pack: Pack) -> bool:
    return pack.catalog.is_file() and not pack.labels.is_file()


def _remember(pack: Pack, split: Split, source: Path, folder: Path, manifest: dict, table: np.ndarray | None) -> None:
    """Keep what a comparison found to be the same, so that the next one need not read it again."""
    seen: dict = {"path": str(source.resolve())}
    if split == "train" and _has_catalog(pack):
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
            temporary.write_text(json.dumps(sealed(content)))


def discard_cache(workspace: Workspace, pack: Pack, split: Split) -> None:
    """Take a cache that no longer stands for its files out of use; nothing is made from it any more."""
    (workspace.cache(pack, split) / "manifest.json").unlink(missing_ok=True)
