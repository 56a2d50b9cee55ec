"""What a challenge catalog says of its objects: label rules, bins, haloes. The only reader of truth columns.

Every column but ID leaks the label: nothing read here may reach a model's input.
"""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lensfold.data.catalog_file import COLUMNS as COLUMNS
from lensfold.data.catalog_file import INDEX_COLUMN
from lensfold.data.catalog_file import read_catalog as read_catalog
from lensfold.errors import InputError

#: ``sb_contrast`` where there is no source.
NO_SOURCE = -1e130
#: ``simulation_index`` of the objects that have no image in any band.
NO_IMAGE_INDEX = 10000
ARCSEC_PER_RADIAN = 180 * 3600 / np.pi

LABEL_RULES = ("any-source", "official-2019", "official-2020")
DEFAULT_RULE = "official-2020"

#: Upper edges, inclusive, of the size bins in pixels of ``n_pix_source``; the last bin is open.
SIZE_BINS = (20, 40, 70, 150, 300)
SIZE_BIN_NAMES = ("<=20", "21-40", "41-70", "71-150", "151-300", ">300")
#: Upper edges, inclusive, of the other quantities that scores are given by: theta_E in arcsec, AB magnitudes.
RADIUS_BINS = (1.5, 2.0, 3.0, 4.0, 5.0)
LENS_MAGNITUDE_BINS = (18.0, 19.0, 20.0, 21.0, 22.0)
SOURCE_MAGNITUDE_BINS = (23.0, 24.0, 25.0, 26.0, 27.0)
#: Names of the bins of each quantity in `score_bins`.
BIN_NAMES = {
    "size": SIZE_BIN_NAMES,
    "radius": ("<=1.5", "1.5-2", "2-3", "3-4", "4-5", ">5"),
    "lens_magnitude": ("<=18", "18-19", "19-20", "20-21", "21-22", ">22"),
    "source_magnitude": ("<=23", "23-24", "24-25", "25-26", "26-27", ">27"),
}


def has_images(catalog: pd.DataFrame) -> pd.Series:
    """Return a bool Series by ID: False where the catalog says that there is no image.

    A first column that goes on beyond NO_IMAGE_INDEX counts rows, as pandas does, and says nothing of images.
    """
    index = catalog[INDEX_COLUMN]
    return ((index != NO_IMAGE_INDEX) | (index.max() > NO_IMAGE_INDEX)).rename("has_images")


def without_source(catalog: pd.DataFrame) -> pd.Series:
    """Return a bool Series by ID: True for objects without a background source."""
    return (catalog["n_sources"] == 0).rename("without_source")


def labels(catalog: pd.DataFrame, rule: str) -> pd.Series:
    """Return labels by ID under a rule, float64: 1.0 lens, 0.0 non-lens, NaN dropped by the rule.

    ``any-source``: a background source was put in. ``official-2019``: mag_eff > 2 against mag_eff < 1.2 or no
    source, the middle dropped; without a source it is never a lens. ``official-2020``: n_source_im > 0,
    mag_eff > 1.6 and n_pix_source > 20 against everything else. A NaN mag_eff compares false.
    Raises InputError for an unknown rule.
    """
    if rule not in LABEL_RULES:
        raise InputError(f"label rule {rule!r} is unknown. Choose one of: {', '.join(LABEL_RULES)}.")
    magnification, sourceless = catalog["mag_eff"], without_source(catalog)
    if rule == "any-source":
        lens = catalog["n_sources"] > 0
        non_lens = sourceless
    elif rule == "official-2019":
        non_lens = (magnification < 1.2) | sourceless
        lens = (magnification > 2) & ~non_lens
    else:
        lens = (catalog["n_source_im"] > 0) & (magnification > 1.6) & (catalog["n_pix_source"] > 20)
        non_lens = ~lens
    return _label_series(catalog, lens, non_lens)


def training_hash(catalog: pd.DataFrame, rule: str, task: str = "lens") -> str:
    """Return a SHA-256 (hex) of all that training a task under a rule reads of a catalog.

    These are the IDs, the labels, the lens sizes, which objects have no source, and for the task "einstein-radius"
    theta_E. Another catalog with the same hash trains the same networks.
    """
    values = [labels(catalog, rule), catalog["n_pix_source"], without_source(catalog)]
    if task == "einstein-radius":
        values.append(log_einstein_radius(catalog))
    columns = [np.asarray(catalog.index, dtype="<i8"), *(np.asarray(column, dtype="<f8") for column in values)]
    return hashlib.sha256(b"\0".join(column.tobytes() for column in columns)).hexdigest()


def size_bins(catalog: pd.DataFrame) -> pd.Series:
    """Return the size bin of each object by ID, int64: 0 (at most 20 pixels of ``n_pix_source``) to 5 (above 300)."""
    bins = np.searchsorted(SIZE_BINS, catalog["n_pix_source"].to_numpy(), side="left")
    return pd.Series(bins.astype(np.int64), index=catalog.index, name="size_bin")


def radius_bins(radii: ArrayLike) -> NDArray[np.int64]:
    """Return the bin of each Einstein radius (arcsec) in the order of BIN_NAMES["radius"]; no radius may be NaN."""
    return np.searchsorted(RADIUS_BINS, np.asarray(radii, dtype=np.float64), side="left")


def score_bins(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the bins that scores are given by, int64 by ID: columns as in BIN_NAMES, 0 to 5, or -1 for no value.

    ``size`` as in `size_bins`; ``radius``: theta_E; ``lens_magnitude``: of the lens galaxy; ``source_magnitude``: of
    the background source before it is lensed.
    """
    values = {
        "radius": (np.exp(log_einstein_radius(catalog)), RADIUS_BINS),
        "lens_magnitude": (catalog["mag_lens"], LENS_MAGNITUDE_BINS),
        "source_magnitude": (catalog["mag_source"], SOURCE_MAGNITUDE_BINS),
    }
    bins = {
        name: np.where(np.isnan(value), -1, np.searchsorted(edges, value, side="left"))
        for name, (value, edges) in values.items()
    }
    return pd.DataFrame({"size": size_bins(catalog), **bins}, index=catalog.index).astype(np.int64)


def large_lens_labels(catalog: pd.DataFrame, rule: str, min_size: int = 150) -> pd.Series:
    """Return labels of the paper's task by ID, float64: large lenses against objects without a source.

    1.0 for lenses by ``rule`` with ``n_pix_source`` > ``min_size`` pixels, 0.0 without a source, else NaN (large
    images of a source that the rule does not call lensed are neither). Raises InputError for an unknown rule.
    """
    lens = (labels(catalog, rule) == 1) & (catalog["n_pix_source"] > min_size)
    return _label_series(catalog, lens, without_source(catalog))


def log_einstein_radius(catalog: pd.DataFrame) -> pd.Series:
    """Return the natural logarithm of theta_E in arcsec by ID, float64; NaN where ``ein_area`` is not positive.

    theta_E = sqrt(ein_area / pi) radians. Objects without a source have one too: it is their halo's.
    """
    area = catalog["ein_area"]
    # the difference of logarithms, because the quotient of a tiny area could become 0
    values = 0.5 * (np.log(area.where(area > 0)) - np.log(np.pi)) + np.log(ARCSEC_PER_RADIAN)
    return values.rename("log_einstein_radius")


def halo_groups(catalog: pd.DataFrame) -> pd.Series:
    """Return the halo number by ID, int64 from 0: objects with the same ``z_lens`` and ``halo_mass`` share one.

    The simulator re-used every halo with a random rotation, so the same halo occurs in many objects.
    """
    return catalog.groupby(["z_lens", "halo_mass"], sort=True).ngroup().astype(np.int64).rename("halo")


def _label_series(catalog: pd.DataFrame, lens: pd.Series, non_lens: pd.Series) -> pd.Series:
    values = np.where(lens, 1.0, np.where(non_lens, 0.0, np.nan))
    return pd.Series(values, index=catalog.index, name="label")
