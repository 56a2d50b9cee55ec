"""What a catalog or the user's own labels say of objects: label rules, bins, haloes. The only reader of truth columns.

Every column but ID leaks the label: nothing read here may reach a model's input.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lensfold.data.catalog_file import COLUMNS as COLUMNS
from lensfold.data.catalog_file import INDEX_COLUMN, read_challenge_catalog
from lensfold.data.labels.file import EVEN, read_labels
from lensfold.errors import InputError
from lensfold.paths import LABELS

#: ``sb_contrast`` where there is no source.
NO_SOURCE = -1e130
#: ``simulation_index`` of the objects that have no image in any band.
NO_IMAGE_INDEX = 10000
ARCSEC_PER_RADIAN = 180 * 3600 / np.pi

LABEL_RULES = ("any-source", "official-2019", "official-2020")
DEFAULT_RULE = "official-2020"
#: the rule of the user's own labels, and of nothing else
GIVEN = "given"

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


def read_catalog(path: Path | str) -> pd.DataFrame:
    """Read what says which objects are lenses: a catalog, or the user's own ``labels.csv``.

    Raises InputError as `read_challenge_catalog` and `read_labels`, which say what is returned, raise it.
    """
    return read_labels(path) if Path(path).name == LABELS else read_challenge_catalog(path)


def is_given(catalog: pd.DataFrame) -> bool:
    """Return whether these are the user's own labels."""
    return "label" in catalog


def rules_of(catalog: pd.DataFrame) -> tuple[str, ...]:
    """Return the label rules that can be applied, the usual one last."""
    return (GIVEN,) if is_given(catalog) else LABEL_RULES


def has_sizes(catalog: pd.DataFrame) -> bool:
    """Return whether the size of any object is known; of the user's own labels it need not be."""
    return bool(catalog["n_pix_source"].notna().any())


def has_groups(catalog: pd.DataFrame) -> bool:
    """Return whether any two objects share a halo, or a group of the user's own labels."""
    return bool(halo_groups(catalog).duplicated().any())


def has_images(catalog: pd.DataFrame) -> pd.Series:
    """Return a bool Series by ID: False where the catalog says that there is no image.

    A first column that goes on beyond NO_IMAGE_INDEX counts rows, as pandas does, and says nothing of images.
    """
    index = catalog[INDEX_COLUMN]
    return ((index != NO_IMAGE_INDEX) | (index.max() > NO_IMAGE_INDEX)).rename("has_images")


def without_source(catalog: pd.DataFrame) -> pd.Series:
    """Return a bool Series by ID: True for objects without a background source; of given labels for non-lenses."""
    sourceless = catalog["label"] < EVEN if is_given(catalog) else catalog["n_sources"] == 0
    return sourceless.rename("without_source")


def labels(catalog: pd.DataFrame, rule: str) -> pd.Series:
    """Return labels by ID under a rule, float64: 1.0 lens, 0.0 non-lens, NaN dropped by the rule.

    ``any-source``: a background source was put in. ``official-2019``: mag_eff > 2 against mag_eff < 1.2 or no
    source, the middle dropped; without a source it is never a lens. ``official-2020``: n_source_im > 0,
    mag_eff > 1.6 and n_pix_source > 20 against everything else. A NaN mag_eff compares false. ``given``: the user's own
    label is above 0.5, against below; at 0.5 it is dropped.
    Raises InputError for an unknown rule, and for one that needs what is not there.
    """
    if rule not in (*LABEL_RULES, GIVEN):
        raise InputError(f"label rule {rule!r} is unknown. Choose one of: {', '.join(LABEL_RULES)}.")
    if rule not in rules_of(catalog):
        there, needed = (LABELS, "a catalog") if is_given(catalog) else ("a catalog", LABELS)
        raise InputError(f"label rule {rule!r} needs {needed}, and the pack has {there}.")
    if rule == GIVEN:
        return _label_series(catalog, catalog["label"] > EVEN, catalog["label"] < EVEN)
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


def taught(catalog: pd.DataFrame, labels: pd.Series) -> pd.Series:
    """Return what a network is taught of objects with these labels (0 or 1 by ID, an ID may repeat), float64.

    That is the label, or the probability that the user's graders gave where that is on the label's side of 0.5: a stage
    may call a lens a non-lens, and a twin is none.
    """
    if not is_given(catalog):
        return labels
    given = catalog["label"].loc[labels.index]
    return labels.where((given > EVEN) != (labels == 1), given)


def loss_weights(catalog: pd.DataFrame, train_ids: ArrayLike) -> pd.Series | None:
    """Return by how much each training object counts in the loss, float64 by ID, on average 1; None where all alike."""
    if not is_given(catalog):
        return None
    weights = catalog["weight"].loc[np.asarray(train_ids)]
    return None if (weights == weights.iloc[0]).all() else weights / weights.mean()


def training_hash(catalog: pd.DataFrame, rule: str, task: str = "lens") -> str:
    """Return a SHA-256 (hex) of all that training a task under a rule reads of a catalog.

    These are the IDs, the labels, the lens sizes, which objects have no source, and for the task "einstein-radius"
    theta_E; of given labels their probabilities and weights too. Another catalog with the same hash trains the same
    networks.
    """
    values = [labels(catalog, rule), catalog["n_pix_source"], without_source(catalog)]
    if is_given(catalog):
        values += [catalog["label"], catalog["weight"]]
    if task == "einstein-radius":
        values.append(log_einstein_radius(catalog))
    columns = [np.asarray(catalog.index, dtype="<i8"), *(np.asarray(column, dtype="<f8") for column in values)]
    return hashlib.sha256(b"\0".join(column.tobytes() for column in columns)).hexdigest()


def size_bins(catalog: pd.DataFrame) -> pd.Series:
    """Return the size bin of each object by ID, int64: 0 (at most 20 pixels of ``n_pix_source``) to 5 (above 300).

    -1 where the size is not known.
    """
    return pd.Series(_bins(catalog["n_pix_source"], SIZE_BINS), index=catalog.index, name="size_bin")


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
    bins = {name: _bins(value, edges) for name, (value, edges) in values.items()}
    return pd.DataFrame({"size": size_bins(catalog), **bins}, index=catalog.index).astype(np.int64)


def _bins(values: ArrayLike, edges: tuple[float, ...]) -> NDArray[np.int64]:
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="left")).astype(np.int64)


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

    The simulator re-used every halo with a random rotation, so the same halo occurs in many objects. Of given labels it
    is the group, and each object its own where that is not given.
    """
    if is_given(catalog):
        return catalog["group"].rename("halo")
    return catalog.groupby(["z_lens", "halo_mass"], sort=True).ngroup().astype(np.int64).rename("halo")


def _label_series(catalog: pd.DataFrame, lens: pd.Series, non_lens: pd.Series) -> pd.Series:
    values = np.where(lens, 1.0, np.where(non_lens, 0.0, np.nan))
    return pd.Series(values, index=catalog.index, name="label")
