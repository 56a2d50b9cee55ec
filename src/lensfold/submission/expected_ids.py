"""Which IDs a submission must have, from what is there of a pack, and the train truth its scores must not know."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.data.cache import cached_ids, read_manifest
from lensfold.data.sources import object_ids
from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.submission.check import Expected
from lensfold.submission.finding import ScoreKind

#: The challenge's test IDs, and the nine of them that have no image.
OFFICIAL_IDS = range(200001, 300001)
OFFICIAL_WITHOUT_IMAGES = (213913, 226305, 233597, 244071, 259871, 261145, 270458, 288731, 294173)


def split_ids(pack: Pack, manifest: dict) -> list[int]:
    """Return the test split's IDs by its cache: those with files, and those the pack's catalog says have no image."""
    return sorted(_in_cache(manifest) | _without_images(pack))


def official(reason: str = "") -> Expected:
    """The 100,000 IDs of the challenge; ``reason``: why these are taken for a pack's own."""
    source = "the challenge's official IDs" + (f", because {reason}" if reason else "")
    return Expected(_index(OFFICIAL_IDS), _index(OFFICIAL_WITHOUT_IMAGES), source, bool(reason))


def expected_of(workspace: Workspace, pack: Pack) -> Expected:
    """Return the test IDs of a pack: by its files, else by its cache, else the official ones, which the report says.

    The files come first, because a cache may be of earlier ones. Raises InputError where the pack's folder has no
    cutout.
    """
    empty = _without_images(pack)
    cache_folder = workspace.cache(pack, "test")
    refused, cached = set(), None
    if (cache_folder / "manifest.json").is_file():
        cached = read_manifest(cache_folder)
        refused = {int(object_id) for object_id in cached["refused"]}
    try:
        split = pack.split_source("test")
    except InputError:
        split = None
    if split is not None and split.is_dir():
        ids = set(object_ids(split))
        source = f"test files of pack {pack.name}"
    elif cached is not None:
        ids, source = _in_cache(cached), f"test cache of pack {pack.name}"
    elif split is not None:
        return official(f"{split} is an archive and not cached yet")
    else:
        return official(f"{pack.folder} has neither a test cache nor a test split")
    return Expected(_index(ids | empty), _index((empty | refused) & (ids | empty)), source)


def train_truth(pack: Pack, kind: ScoreKind) -> pd.Series | None:
    """Truth of a pack's *train* objects by ID, NaN where there is none; None without a catalog.

    None too where the train objects are among those of the test split. Labels of the usual rule, or for the kind
    "radius" Einstein radii in arcsec.
    """
    if not pack.catalog.is_file() or pack.has_one_split:
        return None
    catalog = catalogs.read_catalog(pack.catalog)
    if kind == "radius":
        truth = np.exp(catalogs.log_einstein_radius(catalog))
    else:
        truth = catalogs.labels(catalog, catalogs.rules_of(catalog)[-1])
    return truth.where(catalogs.has_images(catalog))


def _in_cache(manifest: dict) -> set[int]:
    return cached_ids(manifest) | {int(object_id) for object_id in manifest["refused"]}


def _without_images(pack: Pack) -> set[int]:
    if not pack.catalog.is_file() or pack.labels.is_file():
        return set()
    catalog = catalogs.read_catalog(pack.catalog)
    return set(catalog.index[~catalogs.has_images(catalog)].tolist())


def _index(ids: Iterable[int]) -> pd.Index:
    return pd.Index(np.array(sorted(ids), dtype=np.int64), name="ID")
