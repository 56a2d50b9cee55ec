"""Steps for the eye: what a pack looks like, and what an import of Euclid cutouts made."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.wcs.utils import proj_plane_pixel_scales

from lensfold.console import progress
from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache
from lensfold.data.folds import read_folds
from lensfold.euclid.geometry import read_object
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import EuclidBand, Reading, find_objects, read_bands
from lensfold.paths import Pack, Split, Workspace
from lensfold.report.pictures import Album, before_after

#: objects of an import that are shown before and after
IMPORT_PICTURES = 8


@contextmanager
def open_album(workspace: Workspace, pack: Pack, split: Split) -> Iterator[Album]:
    """What pictures of a split are drawn from: its cache, and for the train split the catalog and the folds."""
    catalog = catalogs.read_catalog(pack.catalog) if split == "train" else None
    folds = None
    if catalog is not None and workspace.folds(pack).is_file():
        folds = read_folds(workspace.folds(pack), catalog)
    with Cache(workspace.cache(pack, split)) as cache:
        yield Album(cache, f"{pack.name}, {split}", catalog, folds, synthetic=pack.is_simulated)


def import_pack(
    files: Sequence[Path], out: Path, overwrite: bool, side: int | None = None
) -> tuple[pd.DataFrame, list[Path]]:
    """Turn Euclid cutouts into a pack; return its objects and a picture of each of the first, before and after.

    ``side``: of the frames in VIS pixels; None for the largest that all of the files have.
    """
    with progress("import") as report:
        table = import_euclid(files, out, overwrite, report, side)
    pictures = []
    reading = Reading()
    objects = {found.bands["VIS"].path.name: found for found in find_objects(files, reading)[0]}
    for object_id, file in table.head(IMPORT_PICTURES)[["ID", "file"]].to_numpy().tolist():
        sources, frames = read_bands(objects[file], reading), read_object(objects[file], reading, side)
        before = {band: _in_pack_units(source) for band, source in sources.items()}
        after = {band: (frame.image, 0.1 if band == "VIS" else 0.3) for band, frame in frames.items()}
        pictures.append(out / "look" / f"import-{object_id}.png")
        before_after(pictures[-1], before, after, f"{file}: imported as {object_id}")
    return table, pictures


def _in_pack_units(source: EuclidBand) -> tuple[np.ndarray, float]:
    image = np.where(source.rms_bad, np.nan, source.image * 10 ** (-0.4 * source.magzero))
    return image, float(proj_plane_pixel_scales(source.wcs).mean() * 3600)
