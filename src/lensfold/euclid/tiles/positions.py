"""A catalog of positions → the objects to cut out: name, RA, Dec and ID of each row.

FITS tables, CSV, ECSV, VOTables and parquet, as astropy.table reads them. Columns are found by their usual names,
upper or lower case. Of a CSV names stay as they are written ("007", 19 digits); integers of other files are exact too.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy import units
from astropy.table import Column, MaskedColumn, Table

from lensfold.errors import InputError
from lensfold.euclid.names import id_of

#: usual names of the columns, in lower case; the first that a catalog has is taken
_USUAL = {
    "ra": ("right_ascension", "ra", "alpha_j2000", "alphawin_j2000", "raj2000", "_raj2000", "ra_icrs", "ra_deg"),
    "dec": ("declination", "dec", "delta_j2000", "deltawin_j2000", "dej2000", "decj2000", "_dej2000", "de_icrs",
            "dec_icrs", "dec_deg"),
    "id": ("object_id", "id", "objid", "obj_id", "source_id", "id_str", "name", "target", "iauname"),
}  # fmt: skip
_EXACT = 2.0**53  # whole numbers up to here are exact in 64-bit floats


@dataclass(frozen=True)
class Positions:
    """The rows of a catalog: ``table`` has ID (int64), name (text), ra, dec (degrees) of those that can be looked for;
    ``skipped`` has name and reason of the others; ``columns`` says which columns they come from."""

    table: pd.DataFrame
    skipped: pd.DataFrame
    columns: str


@dataclass(frozen=True)
class Columns:
    """Names of a catalog's columns; None: found by the usual names."""

    ra: str | None = None
    dec: str | None = None
    id: str | None = None


def read_positions(path: Path, columns: Columns) -> Positions:
    """Return the objects of a catalog.

    Names are those of the ID column; without one, the positions. Raises InputError where the file cannot be read or is
    empty, and where a column is absent or not of numbers.
    """
    table = _read(path)
    if not len(table):
        raise InputError(f"{path}: has no rows, expected one an object. Give a catalog with positions.")
    ra_name, dec_name = _column(path, table, "ra", columns.ra), _column(path, table, "dec", columns.dec)
    id_name = _column(path, table, "id", columns.id)
    if not ra_name or not dec_name:
        missing = "right ascension" if not ra_name else "declination"
        raise InputError(
            f"{path}: no column of {missing} by a usual name; its columns are {_listed(table)}. Name them with --ra "
            "and --dec."
        )
    ra, dec = _degrees(path, table[ra_name]), _degrees(path, table[dec_name])
    names = _names(path, table[id_name]) if id_name else _by_position(ra, dec)
    found = f"positions from the columns {ra_name} and {dec_name}, names from {id_name or 'them (no column of IDs)'}"
    return _sorted_out(pd.DataFrame({"name": names, "ra": ra, "dec": dec}), found)


def _sorted_out(rows: pd.DataFrame, columns: str) -> Positions:
    """Return rows with a usable position, each object once, with their IDs, and the others with the reason."""
    reasons = pd.Series("", index=rows.index)
    reasons[rows["dec"].abs() > 90] = "its Dec is beyond ±90 degrees"
    reasons[(rows["ra"] < -360) | (rows["ra"] > 720)] = "its RA is no angle in degrees"
    reasons[rows["ra"].isna() | rows["dec"].isna()] = "its RA or Dec is not a number"
    good = rows[reasons == ""].copy()
    good.insert(0, "ID", [id_of(*row) for row in zip(good["name"], good["ra"], good["dec"], strict=True)])
    good["ID"] = good["ID"].astype(np.int64)
    doubled = good["ID"].duplicated()
    reasons[doubled.index[doubled]] = "its name and position are those of an earlier row"
    skipped = pd.DataFrame({"name": rows["name"], "reason": reasons})[reasons != ""]
    return Positions(good[~doubled].reset_index(drop=True), skipped.reset_index(drop=True), columns)


def _read(path: Path) -> Table:
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a catalog: FITS, CSV, ECSV, VOTable or parquet.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual units and header cards
            if re.search(r"\.(csv|csv\.gz)$", path.name, re.IGNORECASE):
                return Table.from_pandas(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig"))
            return Table.read(path)
    except ImportError as error:
        raise InputError(f"{path}: reading it needs another package ({error}). Install it, or give a CSV.") from error
    except Exception as error:  # astropy's readers and pandas raise many kinds; each is the same to us
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not readable as a table ({reason}). Give FITS, CSV, ECSV or parquet.") from error


def _column(path: Path, table: Table, what: str, given: str | None) -> str | None:
    """Return the name of a column as it stands in the table; None where none has a usual name."""
    if given is not None:
        if given not in table.colnames:
            raise InputError(f"{path}: --{what} {given}: no such column; its columns are {_listed(table)}.")
        return given
    by_name: dict[str, str] = {}
    for name in table.colnames:
        by_name.setdefault(name.strip().lower(), name)
    return next((by_name[usual] for usual in _USUAL[what] if usual in by_name), None)


def _listed(table: Table) -> str:
    names = table.colnames
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _degrees(path: Path, column: Column) -> np.ndarray:
    """Return a column as float64 degrees, NaN where there is none; InputError where it is of something else."""
    try:
        if column.dtype.kind in "OSU":
            texts = pd.Series(_texts(column))
            values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
            written = np.isnan(values) & ~texts.str.fullmatch(r"|-|nan|null|none|n/?a", case=False).to_numpy(bool)
            if written.any():
                row = int(written.argmax())
                raise ValueError(f"{texts[row]!r} in row {row + 1}")
        else:
            values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
        if values.ndim != 1:
            raise ValueError(f"arrays of the shape {values.shape[1:]}")
        unit = column.unit
        return values if unit is None or unit == units.deg else (values * units.Unit(unit)).to_value(units.deg)
    except (ValueError, TypeError, units.UnitsError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: column {column.name}: found {reason}, expected degrees as plain numbers.") from error


def _names(path: Path, column: Column) -> Sequence[str]:
    """Return a column as text; whole numbers keep all their digits. InputError where floats have lost them."""
    if column.dtype.kind != "f":
        return _texts(column)
    values = np.ma.filled(np.ma.asarray(column), np.nan)
    if not np.all(np.isnan(values) | ((values == np.rint(values)) & (np.abs(values) < _EXACT))):
        raise InputError(
            f"{path}: column {column.name} holds floating-point numbers, in which IDs lose digits (such as "
            f"{float(values.flat[0])!r}). Save it as integers or text, or name another column with --id."
        )
    return ["" if np.isnan(value) else str(int(value)) for value in values]


def _texts(column: Column) -> list[str]:
    values = column.filled("" if column.dtype.kind in "OSU" else 0) if isinstance(column, MaskedColumn) else column
    return [
        (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
        for value in values.tolist()
    ]


def _by_position(ra: np.ndarray, dec: np.ndarray) -> list[str]:
    """Return names of objects that have none: their positions to 0.04 arcsec."""
    return [f"{one:.5f}{other:+.5f}" for one, other in zip(ra, dec, strict=True)]
