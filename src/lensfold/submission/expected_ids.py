"""Which IDs a submission must hold, from what is there of a pack, and the train truth its scores must not know."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.data.cache import read_manifest
from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.submission.check import Expected
from lensfold.submission.parse import ScoreKind

#: The challenge's test IDs, and the nine of them that have no image.
OFFICIAL_IDS = range(200001, 300001)
OFFICIAL_WITHOUT_IMAGES = (213913, 226305, 233597, 244071, 259871, 261145, 270458, 288731, 294173)

_CUTOUT = re.compile(r"imageEUC_VIS-(\d{1,18})\.fits", re.ASCII)


def cached_ids(pack: Pack, manifest: dict) -> list[int]:
    """The test split's IDs by its cache: those with files, and those the pack's catalog says have no image."""
    return sorted(_in_cache(manifest) | _without_images(pack))


def official(reason: str = "") -> Expected:
    """The 100,000 IDs of the challenge; ``reason``: why these are taken for a pack's own."""
    source = "the challenge's official IDs" + (f", because {reason}" if reason else "")
    return Expected(_index(OFFICIAL_IDS), _index(OFFICIAL_WITHOUT_IMAGES), source, bool(reason))


def expected_of(workspace: Workspace, pack: Pack) -> Expected:
    """The test IDs of a pack: by its cache, else by its files, else the official ones, which the report then tells.

    Raises InputError where the cache is damaged, or the pack's folder holds no cutout.
    """
    cache_folder = workspace.cache(pack, "test")
    if (cache_folder / "manifest.json").is_file():
        manifest = read_manifest(cache_folder)
        empty = _without_images(pack)
        ids, source = _in_cache(manifest) | empty, f"test cache of pack {pack.name}"
        return Expected(_index(ids), _index(empty | {int(object_id) for object_id in manifest["refused"]}), source)
    try:
        split = pack.split_source("test")
    except InputError:
        return official(f"{pack.folder} has neither a test cache nor a test split")
    if not split.is_dir():
        return official(f"{split} is an archive and not cached yet")
    names = (path.name for path in (split / "Public" / "EUC_VIS").glob("*.fits"))
    ids = {int(found[1]) for name in names if (found := _CUTOUT.fullmatch(name))}
    if not ids:
        raise InputError(f"{split / 'Public' / 'EUC_VIS'}: no imageEUC_VIS-<ID>.fits there. Is the pack complete?")
    empty = _without_images(pack)
    return Expected(_index(ids | empty), _index(empty), f"test files of pack {pack.name}")


def train_truth(pack: Pack, kind: ScoreKind) -> pd.Series | None:
    """Truth of a pack's *train* objects by ID, NaN where there is none; None without a catalog.

    Labels of the default rule, or for the kind "radius" Einstein radii in arcsec.
    """
    if not pack.catalog.is_file():
        return None
    catalog = catalogs.read_catalog(pack.catalog)
    if kind == "radius":
        truth = np.exp(catalogs.log_einstein_radius(catalog))
    else:
        truth = catalogs.labels(catalog, catalogs.DEFAULT_RULE)
    return truth.where(catalogs.has_images(catalog))


def _in_cache(manifest: dict) -> set[int]:
    ids = {object_id for shard in manifest["shards"] for object_id in shard["ids"]}
    return ids | {int(object_id) for object_id in manifest["refused"]}


def _without_images(pack: Pack) -> set[int]:
    if not pack.catalog.is_file():
        return set()
    catalog = catalogs.read_catalog(pack.catalog)
    return set(catalog.index[~catalogs.has_images(catalog)].tolist())


def _index(ids: Iterable[int]) -> pd.Index:
    return pd.Index(np.array(sorted(ids), dtype=np.int64), name="ID")
