"""The text of a challenge catalog → a table: every row and number checked, doubled IDs settled."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import NoFile, check_file
from lensfold.paths import Pack

#: The 27 names of the catalog file, in order. The first is empty in the file: a simulation index.
COLUMNS = (
    "", "ID", "x_crit", "y_crit", "source_ID", "z_source", "z_lens", "mag_source", "ein_area", "n_crit",
    "r_source", "crit_area", "n_pix_source", "source_flux", "n_pix_lens", "lens_flux", "n_source_im",
    "mag_eff", "sb_contrast", "color_diff", "n_gal_3", "n_gal_5", "n_gal_10", "halo_mass", "star_mass",
    "mag_lens", "n_sources",
)  # fmt: skip
#: What the table calls the unnamed first column.
INDEX_COLUMN = "simulation_index"

_NAMES = (INDEX_COLUMN, *COLUMNS[1:])
#: what pandas calls an index that it wrote without a name, and such a column that it read and wrote again
_SAVED_INDEX = re.compile(r"(Unnamed: \d+(\.\d+)?)?")
#: IDs of a chunk of the simulation
_CHUNK = 10_000
_MISSING = ("", "nan", "NaN", "-nan", "NA")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(rb'(?<![^,\n])"([^",\n]*)"(?![^,\n])')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LARGEST_ID = 2**53  # IDs pass through float64 while reading, where whole numbers below this are exact


def read_challenge_catalog(path: Path | str) -> pd.DataFrame:
    """Read a catalog file, with or without comment lines at its top.

    Returns a table indexed by ``ID`` (int64, unique, ascending) with ``simulation_index`` and the other 25
    columns, all float64 with the exact values of the file: ``x_crit`` and ``y_crit`` in radians,
    ``ein_area`` in steradians (theta_E in arcsec = sqrt(ein_area / pi) * 206265), ``n_pix_source`` in
    pixels. ``mag_eff`` may be NaN, no other column; ``sb_contrast`` keeps NO_SOURCE. Index columns that pandas saved
    before the others are left out. Of an ID twice with identical values, and of the last ID of a chunk that an early
    release has once more as the first row of the next, the first row stays; ``attrs["notes"]``, a list of text, says
    which these were.

    Raises InputError, naming file, line and column, for a file that cannot be read or is not such a catalog.
    """
    path = Path(path)
    header, header_line, body = _split_header(path, _read_bytes(path))
    names, extra = _without_saved_indices(header)
    _check_header(path, names, header_line)
    lines = _check_field_counts(path, header_line, body, extra)
    values = _parse(path, lines, body, extra)
    _check_values(path, lines, values)
    return _one_row_per_id(path, lines, values)


def _read_bytes(path: Path) -> bytes:
    """Return the content of the file with plain line ends; InputError where it is not UTF-8."""
    try:
        check_file(path)
        data = path.read_bytes()
    except FileNotFoundError as error:
        pack = Pack(path.parent.name, path.parent)
        if pack.lacks_labels:
            raise InputError(f"{path}: no such catalog. {pack.without_labels}") from error
        raise InputError(f"{path}: no such catalog. Put image_catalog2.0train.csv there.") from error
    except NoFile as error:
        raise InputError(f"{path}: {error.strerror}, expected the catalog itself.") from error
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


def _without_saved_indices(header: list[str]) -> tuple[list[str], int]:
    """Return the names without those that pandas gave to indices it saved, and how many columns these are.

    The simulation index is the last column before the ID, and "Unnamed: 0" where pandas read and wrote it.
    """
    before = header.index("ID") if "ID" in header else 0
    if not before or not all(_SAVED_INDEX.fullmatch(name) for name in header[:before]):
        return header, 0
    return ["", *header[before:]], before - 1


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


def _check_field_counts(path: Path, header_line: int, body: bytes, extra: int) -> np.ndarray:
    """Return the line number of every row (int64) but blank ones; InputError where one has not 27 + ``extra`` fields.

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
    expected = len(COLUMNS) + extra
    wrong = np.flatnonzero(filled & (fields != expected))
    if len(wrong):
        raise InputError(
            f"{path}, line {lines[wrong[0]]}: {fields[wrong[0]]} columns, expected {expected} "
            f"({len(wrong)} such lines). Is the file cut off?"
        )
    return lines[filled]


def _parse(path: Path, lines: np.ndarray, body: bytes, extra: int) -> np.ndarray:
    """Return the values as float64, shape (rows, 27), without the first ``extra`` columns."""
    if b'"' in body:
        body = _QUOTED.sub(rb"\1", body)
    try:
        table = pd.read_csv(
            io.BytesIO(body), header=None, names=list(_NAMES), usecols=range(extra, extra + len(_NAMES)),
            index_col=False, dtype=np.float64, keep_default_na=False, na_values=list(_MISSING), skipinitialspace=True,
            quoting=csv.QUOTE_NONE, lineterminator="\n", engine="c",
        )  # fmt: skip
    except (ValueError, OverflowError) as error:
        raise _first_non_number(path, lines, body, extra) from error
    return table.to_numpy()


def _first_non_number(path: Path, lines: np.ndarray, body: bytes, extra: int) -> InputError:
    """Return the error that names the first field neither a number nor missing. Slow: only for bad files."""
    rows = (row for row in body.decode("utf-8").split("\n") if row)
    for line, row in zip(lines, rows, strict=True):
        for name, field in zip(_NAMES, row.split(",")[extra:], strict=True):
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
    """Return the table sorted by ID, of each ID its first row; InputError where another one may not be left out."""
    ids = values[:, _NAMES.index("ID")].astype(np.int64)
    order = np.argsort(ids, kind="stable")
    ids, values, lines = ids[order], values[order], lines[order]
    again = np.append(False, ids[1:] == ids[:-1])
    second = np.flatnonzero(again)
    before, after = values[second - 1], values[second]
    differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
    other = differs.any(axis=1)
    is_chunk_start = (ids[second] % _CHUNK == 0) & (after[:, 0] == 0) & (before[:, 0] != 0) & ~again[second - 1]
    rows, columns = np.nonzero(differs & ~is_chunk_start[:, None])
    if len(rows):
        row, column = second[rows[0]], columns[0]
        raise InputError(
            f"{path}: ID {ids[row]} twice, in lines {lines[row - 1]} and {lines[row]}, with different rows: "
            f"{_shown(_NAMES[column])} is {float(values[row - 1, column])!r} and then "
            f"{float(values[row, column])!r}. Delete the wrong one."
        )
    index = pd.Index(ids[~again], name="ID")
    table = pd.DataFrame(values[~again], index=index, columns=list(_NAMES)).drop(columns="ID")
    table.attrs["notes"] = _notes(path, ids[second[other]], ids[second[~other]])
    return table


def _notes(path: Path, chunk_starts: np.ndarray, doubled: np.ndarray) -> list[str]:
    """Return what a person should know of the rows that were left out."""
    notes = []
    if len(chunk_starts):
        notes.append(
            f"{path}: {len(chunk_starts)} IDs have two different rows ({_listed(chunk_starts)}: the last of a chunk, "
            "and again as the first row of the next, as in the challenge's early release); the first row counts"
        )
    if len(doubled):
        notes.append(f"{path}: {len(doubled)} rows are there twice ({_listed(np.unique(doubled))}); one of each counts")
    return notes


def _listed(ids: np.ndarray) -> str:
    """Return the first and the last of some IDs, ascending."""
    shown = ids.tolist()
    return ", ".join(map(str, shown)) if len(shown) < 4 else f"{shown[0]}, {shown[1]}, …, {shown[-1]}"


def _value_error(path: Path, line: int, name: str, found: str, expected: str) -> InputError:
    return InputError(f"{path}, line {line}, column {_shown(name)}: found {found}, expected {expected}.")


def _shown(name: str) -> str:
    return f"{INDEX_COLUMN} (the unnamed first)" if name in ("", INDEX_COLUMN) else name


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
