"""The challenge catalog: CSV to table, and the label rules. The only reader of truth columns.

Every column but ID leaks the label: nothing read here may reach a model's input.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lensfold.errors import InputError

#: The 27 names of the catalog file, in order. The first is empty in the file: a simulation index.
COLUMNS = (
    "", "ID", "x_crit", "y_crit", "source_ID", "z_source", "z_lens", "mag_source", "ein_area", "n_crit",
    "r_source", "crit_area", "n_pix_source", "source_flux", "n_pix_lens", "lens_flux", "n_source_im",
    "mag_eff", "sb_contrast", "color_diff", "n_gal_3", "n_gal_5", "n_gal_10", "halo_mass", "star_mass",
    "mag_lens", "n_sources",
)  # fmt: skip
#: What the table calls the unnamed first column.
INDEX_COLUMN = "simulation_index"
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

_NAMES = (INDEX_COLUMN, *COLUMNS[1:])
_MISSING = ("", "nan", "NaN", "-nan", "NA")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(rb'(?<![^,\n])"([^",\n]*)"(?![^,\n])')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LARGEST_ID = 2**53  # IDs pass through float64 while reading, where whole numbers below this are exact


def read_catalog(path: Path | str) -> pd.DataFrame:
    """Read a catalog file, with or without comment lines at its top.

    Returns a table indexed by ``ID`` (int64, unique, ascending) with ``simulation_index`` and the other 25
    columns, all float64 with the exact values of the file: ``x_crit`` and ``y_crit`` in radians,
    ``ein_area`` in steradians (theta_E in arcsec = sqrt(ein_area / pi) * 206265), ``n_pix_source`` in
    pixels. ``mag_eff`` may be NaN, no other column; ``sb_contrast`` keeps NO_SOURCE. Rows doubled with
    identical values, as in an early release, become one.

    Raises InputError, naming file, line and column, for a file that cannot be read or is not such a catalog.
    """
    path = Path(path)
    header, header_line, body = _split_header(path, _read_bytes(path))
    _check_header(path, header, header_line)
    lines = _check_field_counts(path, header_line, body)
    values = _parse(path, lines, body)
    _check_values(path, lines, values)
    return _one_row_per_id(path, lines, values)


def has_images(catalog: pd.DataFrame) -> pd.Series:
    """Return a bool Series by ID: False where the catalog says that there is no image."""
    return (catalog[INDEX_COLUMN] != NO_IMAGE_INDEX).rename("has_images")


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


def _read_bytes(path: Path) -> bytes:
    """Return the content of the file with plain line ends; InputError where it is not UTF-8."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such catalog. Put image_catalog2.0train.csv there.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, expected the catalog file itself.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the catalog cannot be read ({error}).") from error
    data = data.removeprefix(_BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 text (byte 0x{data[error.start]:02x}). "
            "Is it the catalog, or still a compressed file?"
        ) from error
    return data


def _split_header(path: Path, data: bytes) -> tuple[list[str], int, bytes]:
    """Return the names in the header, its line number (from 1) and everything after it."""
    start, line = 0, 0
    while start < len(data):
        line += 1
        end = at if (at := data.find(b"\n", start)) >= 0 else len(data)
        text = data[start:end].decode("utf-8").strip()
        start = end + 1
        if text and not text.startswith("#"):
            names = next(csv.reader([text], skipinitialspace=True))
            return [name.strip() for name in names], line, data[start:].rstrip(b" \t\n")
    what = "has comment lines only" if data.strip() else "is empty"
    raise InputError(f"{path}: the catalog {what}; expected a header and rows. Download or make it again.")


def _check_header(path: Path, header: list[str], line: int) -> None:
    if tuple(header) == COLUMNS:
        return
    shown = [_shown(name) for name in COLUMNS]
    found = [_shown(name) for name in header]
    problems = []
    if missing := [name for name in shown if name not in found]:
        problems.append(f"missing {', '.join(missing)}")
    if extra := [name for name in found if name not in shown]:
        problems.append(f"unexpected {', '.join(_short(name) for name in extra)}")
    if not problems:
        place = next((i for i, (a, b) in enumerate(zip(shown, found, strict=False)) if a != b), len(shown))
        wanted = shown[place] if place < len(shown) else "the end"
        problems.append(f"column {place + 1} is {found[place]}, expected {wanted}")
    raise InputError(
        f"{path}, line {line}: not the header of a catalog: {'; '.join(problems)}. "
        f"Expected these {len(COLUMNS)} names, the first one empty: {','.join(COLUMNS)}"
    )


def _check_field_counts(path: Path, header_line: int, body: bytes) -> np.ndarray:
    """Return the line number of every row (int64) but blank ones; InputError where one has not 27 fields.

    Counted on the bytes, because pandas pads short rows and moves long ones without a word.
    """
    if not body:
        raise InputError(f"{path}: no rows after the header in line {header_line}. Download or make it again.")
    characters = np.frombuffer(body, dtype=np.uint8)
    ends = np.append(np.flatnonzero(characters == ord("\n")), len(body))
    commas = np.flatnonzero(characters == ord(","))
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    filled = np.diff(ends, prepend=-1) > 1
    lines = np.arange(len(ends)) + header_line + 1
    wrong = np.flatnonzero(filled & (fields != len(COLUMNS)))
    if len(wrong):
        raise InputError(
            f"{path}, line {lines[wrong[0]]}: {fields[wrong[0]]} columns, expected {len(COLUMNS)} "
            f"({len(wrong)} such lines). Is the file cut off?"
        )
    return lines[filled]


def _parse(path: Path, lines: np.ndarray, body: bytes) -> np.ndarray:
    """Return the values as float64, shape (rows, 27)."""
    if b'"' in body:
        body = _QUOTED.sub(rb"\1", body)
    try:
        table = pd.read_csv(
            io.BytesIO(body), header=None, names=list(_NAMES), index_col=False, dtype=np.float64,
            keep_default_na=False, na_values=list(_MISSING), skipinitialspace=True, quoting=csv.QUOTE_NONE,
            lineterminator="\n", engine="c",
        )  # fmt: skip
    except (ValueError, OverflowError) as error:
        raise _first_non_number(path, lines, body) from error
    return table.to_numpy()


def _first_non_number(path: Path, lines: np.ndarray, body: bytes) -> InputError:
    """Return the error that names the first field neither a number nor missing. Slow: only for bad files."""
    rows = (row for row in body.decode("utf-8").split("\n") if row)
    for line, row in zip(lines, rows, strict=True):
        for name, field in zip(_NAMES, row.split(","), strict=True):
            text = field.lstrip(" ")
            if text not in _MISSING and not _NUMBER.fullmatch(text.rstrip(" ")):
                return _value_error(path, line, name, _short(text), "a number")
    return InputError(f"{path}: not readable as numbers, though no field looks wrong. Write the file again.")


def _check_values(path: Path, lines: np.ndarray, values: np.ndarray) -> None:
    """Raise InputError unless all is finite (``mag_eff`` may be NaN) and IDs are whole and not negative."""
    may_be_missing = np.array([name == "mag_eff" for name in _NAMES])
    ids = values[:, _NAMES.index("ID")]
    checks: tuple[tuple[Callable[[], np.ndarray], str], ...] = (
        (lambda: np.isinf(values), "a finite number"),
        (lambda: np.isnan(values) & ~may_be_missing, "a number (only mag_eff may be empty)"),
        (
            lambda: _column_mask("ID", (ids < 0) | (ids != np.floor(ids)) | (ids >= _LARGEST_ID)),
            "a whole number that is not negative",
        ),
    )
    for bad_values, expected in checks:
        rows, columns = np.nonzero(bad_values())
        if len(rows):
            found = repr(float(values[rows[0], columns[0]]))
            raise _value_error(path, lines[rows[0]], _NAMES[columns[0]], found, expected)


def _column_mask(name: str, bad_rows: np.ndarray) -> np.ndarray:
    mask = np.zeros((len(bad_rows), len(_NAMES)), dtype=bool)
    mask[:, _NAMES.index(name)] = bad_rows
    return mask


def _one_row_per_id(path: Path, lines: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """Return the table sorted by ID; identical doubles become one row, different ones raise InputError."""
    ids = values[:, _NAMES.index("ID")].astype(np.int64)
    order = np.argsort(ids, kind="stable")
    ids, values, lines = ids[order], values[order], lines[order]
    again = np.append(False, ids[1:] == ids[:-1])
    second = np.flatnonzero(again)
    before, after = values[second - 1], values[second]
    differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
    rows, columns = np.nonzero(differs)
    if len(rows):
        row, column = second[rows[0]], columns[0]
        raise InputError(
            f"{path}: ID {ids[row]} twice, in lines {lines[row - 1]} and {lines[row]}, with different rows: "
            f"{_shown(_NAMES[column])} is {float(values[row - 1, column])!r} and then "
            f"{float(values[row, column])!r}. Delete the wrong one."
        )
    index = pd.Index(ids[~again], name="ID")
    table = pd.DataFrame(values[~again], index=index, columns=list(_NAMES))
    return table.drop(columns="ID")


def _value_error(path: Path, line: int, name: str, found: str, expected: str) -> InputError:
    return InputError(f"{path}, line {line}, column {_shown(name)}: found {found}, expected {expected}.")


def _shown(name: str) -> str:
    return f"{INDEX_COLUMN} (the unnamed first)" if name in ("", INDEX_COLUMN) else name


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
