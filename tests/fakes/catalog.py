"""Made-up catalogs with the statistics of the real one, and catalog files as the challenge wrote them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.data.catalog import ARCSEC_PER_RADIAN, COLUMNS, INDEX_COLUMN, NO_IMAGE_INDEX, NO_SOURCE, read_catalog

#: What challenge.md says of the first five rows: ID to column to value.
REAL_FIRST_ROWS = {
    200001: {
        "z_source": 1.96, "z_lens": 0.700, "mag_source": 22.05, "ein_area": 3.71e-10, "n_crit": 19,
        "mag_eff": 2.353, "sb_contrast": 0.542, "color_diff": 1.034, "n_gal_3": 1, "n_gal_5": 2,
        "n_gal_10": 5, "halo_mass": 5.0e13, "star_mass": 6.4e11, "mag_lens": 20.23, "n_sources": 1,
    },
    200002: {
        "z_source": 1.96, "z_lens": 0.523, "mag_source": 25.48, "ein_area": 5.68e-10, "n_crit": 12,
        "mag_eff": 3.629, "sb_contrast": 1.375, "color_diff": 2.047, "n_gal_3": 0, "n_gal_5": 0,
        "n_gal_10": 4, "halo_mass": 1.0e14, "star_mass": 8.2e11, "mag_lens": 18.98, "n_sources": 1,
    },
    200003: {
        "z_source": 2.10, "z_lens": 0.685, "mag_source": 25.41, "ein_area": 1.86e-9, "n_crit": 41,
        "mag_eff": np.nan, "sb_contrast": NO_SOURCE, "color_diff": 1.259, "n_gal_3": 2, "n_gal_5": 2,
        "n_gal_10": 10, "halo_mass": 4.1e14, "star_mass": 1.2e12, "mag_lens": 19.28, "n_sources": 0,
    },
    200004: {
        "z_source": 1.93, "z_lens": 0.540, "mag_source": 25.70, "ein_area": 7.31e-10, "n_crit": 24,
        "mag_eff": 3.039, "sb_contrast": 0.357, "color_diff": 1.894, "n_gal_3": 1, "n_gal_5": 4,
        "n_gal_10": 9, "halo_mass": 1.7e14, "star_mass": 4.5e11, "mag_lens": 19.11, "n_sources": 1,
    },
    200005: {
        "z_source": 2.62, "z_lens": 0.734, "mag_source": 26.03, "ein_area": 6.98e-10, "n_crit": 23,
        "mag_eff": 1.625, "sb_contrast": 0.847, "color_diff": 1.321, "n_gal_3": 1, "n_gal_5": 3,
        "n_gal_10": 9, "halo_mass": 7.5e13, "star_mass": 8.2e11, "mag_lens": 20.31, "n_sources": 1,
    },
}  # fmt: skip
#: Their Einstein radii in arcsec, from the same page.
REAL_EINSTEIN_RADII = {200001: 2.24, 200002: 2.77, 200003: 5.02, 200004: 3.15, 200005: 3.08}


def fake_catalog(rows: int, seed: int = 0, haloes: int | None = None, absent: int = 0) -> pd.DataFrame:
    """A table as `read_catalog` returns it: IDs from 200001, about half of the rows official-2020 lenses.

    ``haloes`` (by default a tenth of the rows) are re-used at random; the last ``absent`` rows have no image.
    """
    generator = np.random.default_rng([seed, rows])
    haloes = haloes or max(1, rows // 10)
    with_source = generator.random(rows) < 0.9
    magnification = np.where(
        with_source & (generator.random(rows) < 0.98), 1 + generator.lognormal(0.6, 0.9, rows), np.nan
    )
    seen = with_source & (generator.random(rows) < 0.78)
    size = np.where(seen, np.ceil(generator.lognormal(4.4, 1.4, rows)), 0.0)
    values = {name: generator.normal(0.0, 1.0, rows) for name in (INDEX_COLUMN, *COLUMNS[2:])}
    values[INDEX_COLUMN] = np.arange(rows, dtype=np.float64) % NO_IMAGE_INDEX
    values[INDEX_COLUMN][rows - absent :] = NO_IMAGE_INDEX
    halo = generator.integers(0, haloes, rows)
    values["z_lens"] = generator.uniform(0.2, 1.2, haloes)[halo]
    values["halo_mass"] = generator.lognormal(32.0, 0.8, haloes)[halo]
    values["n_source_im"] = np.where(seen, generator.choice([1.0, 2.0, 3.0, 4.0], rows, p=[0.45, 0.43, 0.1, 0.02]), 0.0)
    values["n_sources"] = with_source.astype(np.float64)
    values["mag_eff"], values["n_pix_source"] = magnification, size
    values["sb_contrast"] = np.where(np.isnan(magnification), NO_SOURCE, values["sb_contrast"])
    index = pd.Index(200001 + np.arange(rows, dtype=np.int64), name="ID")
    return pd.DataFrame(values, index=index)


def catalog_text(catalog: pd.DataFrame, comments: int = 26, missing: str = "") -> str:
    """The file of a table: comment lines, the header with its empty first name, shortest exact numbers."""
    lines = [f"# column {number}: described in the original" for number in range(comments)]
    lines.append(",".join(COLUMNS))
    table = catalog.reset_index()[[INDEX_COLUMN, *COLUMNS[1:]]]
    for row in table.itertuples(index=False):
        lines.append(",".join(missing if value != value else repr(value) for value in row))
    return "\n".join(lines) + "\n"


def with_radii(catalog: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """The catalog with an Einstein radius of about 2.7 arcsec for every object."""
    radii = np.exp(np.random.default_rng(seed).normal(1.0, 0.4, len(catalog)))
    return catalog.assign(ein_area=np.pi * (radii / ARCSEC_PER_RADIAN) ** 2)


def give_radii(path: Path, seed: int = 1) -> None:
    """Give every object of a catalog file an Einstein radius."""
    path.write_text(catalog_text(with_radii(read_catalog(path), seed)))


def give_lenses(path: Path, lenses: Sequence[int]) -> None:
    """Make these objects of a catalog file lenses of the usual rule, and no others."""
    table = read_catalog(path)
    table["n_source_im"], table["mag_eff"], table["n_pix_source"] = 2.0 * table.index.isin(lenses), 3.0, 100.0
    path.write_text(catalog_text(table))
