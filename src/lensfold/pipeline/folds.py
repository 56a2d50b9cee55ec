"""The folds of a pack: made from its catalog, or held against it."""

import pandas as pd

from lensfold.config import FoldSettings, read_toml
from lensfold.data import catalog as catalogs
from lensfold.data.folds import make_folds, read_folds, write_folds
from lensfold.files import digest, file_sha256, has_marker, write_marker
from lensfold.paths import Pack, Workspace


def make_pack_folds(workspace: Workspace, pack: Pack) -> tuple[pd.DataFrame, pd.Series]:
    """Write ``folds/<pack>.csv`` from the catalog and ``folds/folds.toml``; return (catalog, folds)."""
    settings = _settings(workspace)
    catalog = catalogs.read_catalog(pack.catalog)
    folds = make_folds(catalog, settings.k, settings.seed, _is_grouped(settings, pack))
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
    return _settings(workspace).k


def _settings(workspace: Workspace) -> FoldSettings:
    return read_toml(workspace.fold_settings(), FoldSettings)


def _is_grouped(settings: FoldSettings, pack: Pack) -> bool:
    """Return whether objects of one halo stay together; of an injected pack these are the images of one host."""
    return settings.group or pack.name in settings.grouped_packs or pack.is_injected


def _marker(workspace: Workspace, pack: Pack) -> dict[str, str]:
    """What folds are made from, and the file they were written to."""
    settings = _settings(workspace)
    chosen = {"k": settings.k, "seed": settings.seed, "group": _is_grouped(settings, pack)}
    return {
        "settings": digest(chosen),
        "catalog": file_sha256(pack.catalog),
        "folds": file_sha256(workspace.folds(pack)),
    }
