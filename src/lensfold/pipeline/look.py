"""Steps for the eye: what a pack looks like, and what an import of Euclid cutouts made."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lensfold.console import progress
from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache
from lensfold.data.cache_check import default_split
from lensfold.data.fits_reader import read_frame
from lensfold.data.folds import read_folds
from lensfold.data.objects import read_objects
from lensfold.euclid.bands import EuclidBand, read_bands
from lensfold.euclid.geometry import in_pack_units
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import Reading
from lensfold.euclid.packs import Import, Options
from lensfold.paths import Pack, Split, Workspace, cutout_file, objects_file
from lensfold.pipeline.cache import current_cache
from lensfold.report.pictures import Album, before_after

#: objects of an import that are shown before and after, of all its packs together
IMPORT_PICTURES = 8


def split_to_look_at(workspace: Workspace, pack: Pack, split: Split | None, skip_bad: bool, workers: int) -> Split:
    """Return the split that is asked for, or the train split of a pack that has one, else its test split.

    Its cache is built where it is not of the files there are now.
    """
    chosen = split or default_split(workspace, pack)
    current_cache(workspace, pack, chosen, skip_bad, workers)
    return chosen


@contextmanager
def open_album(workspace: Workspace, pack: Pack, split: Split) -> Iterator[Album]:
    """What pictures of a split are drawn from: its cache, what its objects are called where people's own cutouts have
    names, and for the train split the catalog and the folds."""
    catalog = catalogs.read_catalog(pack.catalog) if split == "train" else None
    folds = None
    if catalog is not None and workspace.folds(pack).is_file():
        folds = read_folds(workspace.folds(pack), catalog)
    objects = read_objects(pack.folder).set_index("ID") if objects_file(pack.folder).is_file() else None
    with Cache(workspace.cache(pack, split)) as cache:
        yield Album(cache, f"{pack.name}, {split}", catalog, folds, objects, pack.is_simulated)


def import_pack(paths: Sequence[Path], out: Path, reading: Reading, options: Options) -> tuple[Import, list[Path]]:
    """Turn Euclid cutouts into packs; return what was made and pictures of the first objects, before and after."""
    made = import_euclid(paths, out, reading, options, progress)
    pictures = []
    for pack in made.packs:
        shown = pack.objects[pack.objects["ID"].isin(list(pack.new))].head(IMPORT_PICTURES // len(made.packs) or 1)
        for object_id, name, ra, dec in shown[["ID", "name", "ra", "dec"]].itertuples(index=False):
            sources = read_bands(pack.new[object_id], reading)
            before = {band: (in_pack_units(source)[0], _scale(source)) for band, source in sources.items()}
            middles = {band: _middle(source, ra, dec) for band, source in sources.items()}
            after = {band: _imported(pack.folder, band, object_id) for band in pack.kind.bands}
            pictures.append(pack.folder / "look" / f"import-{object_id}.png")
            before_after(pictures[-1], before, after, f"{name}: imported as {object_id}", middles=middles)
    return made, pictures


def _scale(source: EuclidBand) -> float:
    """Return arcsec a pixel."""
    return float(source.sky.scales.mean())


def _middle(source: EuclidBand, ra: float, dec: float) -> tuple[float, float]:
    """Return where a position (ICRS degrees) is in an image: arcsec right of its middle and above."""
    rows, columns = source.image.shape
    x, y = source.sky.pixels(np.array([[ra, dec]]))[0].tolist()
    return (x - (columns - 1) / 2) * _scale(source), (y - (rows - 1) / 2) * _scale(source)


def _imported(folder: Path, band: str, object_id: int) -> tuple[np.ndarray, float]:
    """Return an image of an imported pack, and arcsec of its pixels."""
    return read_frame(cutout_file(folder, band, object_id).read_bytes()), 0.1 if band == "VIS" else 0.3
