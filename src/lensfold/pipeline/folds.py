"""The folds of a pack: made from its catalog, or held against it."""

from lensfold.config import FoldSettings, read_toml
from lensfold.data import catalog as catalogs
from lensfold.data.folds import make_folds, read_folds, write_folds
from lensfold.paths import Pack, Workspace


def make_pack_folds(workspace: Workspace, pack: Pack) -> tuple:
    """Write ``folds/<pack>.csv`` from the catalog and ``folds/folds.toml``; return (catalog, folds)."""
    settings = read_toml(workspace.root / "folds" / "folds.toml", FoldSettings)
    catalog = catalogs.read_catalog(pack.catalog)
    folds = make_folds(catalog, settings.k, settings.seed, settings.group or pack.name in settings.grouped_packs)
    write_folds(workspace.folds(pack), folds)
    return catalog, folds


def check_pack_folds(workspace: Workspace, pack: Pack) -> tuple:
    """Hold ``folds/<pack>.csv`` against the catalog; return (catalog, folds). InputError where they do not match."""
    catalog = catalogs.read_catalog(pack.catalog)
    return catalog, read_folds(workspace.folds(pack), catalog)
