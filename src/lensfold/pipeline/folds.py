"""The folds of a pack: made from its catalog, or held against it."""

import pandas as pd

from lensfold.config import FoldSettings, read_toml
from lensfold.data import catalog as catalogs
from lensfold.data.cache import cached_ids, read_manifest
from lensfold.data.cache_check import has_manifest
from lensfold.data.folds import make_folds, read_folds, too_few, write_folds
from lensfold.data.sources import object_ids
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, has_marker, write_marker
from lensfold.paths import Pack, Workspace, objects_file


def make_pack_folds(workspace: Workspace, pack: Pack) -> tuple[pd.DataFrame, pd.Series]:
    """Write ``folds/<pack>.csv`` from the catalog and ``folds/folds.toml``; return (catalog, folds)."""
    settings = _settings(workspace)
    catalog = catalogs.read_catalog(pack.catalog)
    _note_absent(workspace, pack, catalog)
    grouped = _keeps_together(settings, pack, catalog)
    folds = make_folds(catalog, settings.k, settings.seed, grouped)
    write_folds(workspace.folds(pack), folds)
    write_marker(workspace.folds_marker(pack), _marker(workspace, pack))
    return catalog, folds


def check_pack_folds(workspace: Workspace, pack: Pack) -> tuple[pd.DataFrame, pd.Series]:
    """Return (catalog, folds) as they are; InputError where ``folds/<pack>.csv`` does not fit the catalog."""
    catalog = catalogs.read_catalog(pack.catalog)
    return catalog, read_folds(workspace.folds(pack), catalog)


def are_folds_made(workspace: Workspace, pack: Pack) -> bool:
    """Return whether ``folds/<pack>.csv`` is what this catalog and these fold settings gave."""
    if not workspace.folds(pack).is_file() or not pack.catalog.is_file():
        return False
    return has_marker(workspace.folds_marker(pack), _marker(workspace, pack))


def ensure_folds(workspace: Workspace, pack: Pack) -> int:
    """Make a pack's folds unless they are those of its catalog and fold settings; return how many there are."""
    if not are_folds_made(workspace, pack):
        make_pack_folds(workspace, pack)
    if pack.labels.is_file():  # there may be too few of a class to divide
        return int(pd.read_csv(workspace.folds(pack))["fold"].max()) + 1
    return _settings(workspace).k


def undivided(workspace: Workspace, pack: Pack, catalog: pd.DataFrame) -> str:
    """Return in words why labels of the user's own are not divided into folds; "" where they are."""
    settings = _settings(workspace)
    return too_few(catalog, settings.k, _keeps_together(settings, pack, catalog))


def _settings(workspace: Workspace) -> FoldSettings:
    return read_toml(workspace.fold_settings(), FoldSettings)


def _keeps_together(settings: FoldSettings, pack: Pack, catalog: pd.DataFrame) -> bool:
    return catalogs.has_groups(catalog) if catalogs.is_given(catalog) else _is_grouped(settings, pack)


def _is_grouped(settings: FoldSettings, pack: Pack) -> bool:
    """Return whether objects of one halo stay together; of an injected pack these are the images of one host."""
    return settings.group or pack.name in settings.grouped_packs or pack.is_injected


def _note_absent(workspace: Workspace, pack: Pack, catalog: pd.DataFrame) -> None:
    """Note which of the user's own labels are of IDs without cutouts; InputError where all of them are.

    Of a pack with a table of objects they were left out already; of an archive nothing is known before it is read.
    """
    if not catalogs.is_given(catalog):
        return
    if has_manifest(workspace, pack, "train"):
        there = cached_ids(read_manifest(workspace.cache(pack, "train")))
    elif (source := pack.split_source("train")).is_dir():
        there = set(object_ids(source))
    else:
        return
    absent = catalog.index[~catalog.index.isin(there)]
    shown = ", ".join(map(str, absent[:5])) + (", …" if len(absent) > 5 else "")
    if len(absent) == len(catalog):
        raise InputError(f"{pack.labels}: none of its {len(absent)} IDs has a cutout in the pack ({shown}).")
    if len(absent):
        note = f"{pack.labels}: {len(absent)} labels are of IDs without a cutout ({shown}); nothing is learnt from them"
        catalog.attrs["notes"] = [*catalog.attrs["notes"], note]


def _marker(workspace: Workspace, pack: Pack) -> dict[str, str]:
    """What folds are made from, and the file they were written to."""
    settings = _settings(workspace)
    chosen = {"k": settings.k, "seed": settings.seed, "group": _is_grouped(settings, pack)}
    # names are turned into IDs by the table of objects
    objects = objects_file(pack.folder)
    own = {"objects": file_sha256(objects)} if pack.labels.is_file() and objects.is_file() else {}
    return {
        **own,
        "settings": digest(chosen),
        "catalog": file_sha256(pack.catalog),
        "folds": file_sha256(workspace.folds(pack)),
    }
