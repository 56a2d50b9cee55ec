"""The text of a user's own ``labels.csv`` → a table as that of a catalog: every row checked, names turned into IDs.

Nothing is guessed: what a spreadsheet may have changed (long numbers, rounded) is refused with the line it is in.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.data.catalog_file import COLUMNS as CATALOG_COLUMNS
from lensfold.data.catalog_file import INDEX_COLUMN
from lensfold.data.objects import read_objects
from lensfold.errors import InputError
from lensfold.files import check_file
from lensfold.paths import Pack, objects_file

#: what names an object: the pack's ID, or what the user calls it
_KEYS = ("ID", "name")
_COLUMNS = (*_KEYS, "label", "n_pix_source", "weight", "group")
#: above it an object is a lens, below it is not; at it the graders were undecided
EVEN = 0.5
_MISSING = ("", "nan", "NaN", "NA")
_ID = re.compile(r"\d{1,18}", re.ASCII)
#: a long number as a spreadsheet shows it, and as one writes it with 15 digits and zeros behind them
_ROUNDED = re.compile(r"\d([.,]\d+)?[eE]\+?\d+|[1-9]\d{14}0{2,}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: objects that a message names
_LISTED = 5


@dataclass(frozen=True)
class _Row:
    """One line: its number from 1, and the text of each column."""

    line: int
    text: Mapping[str, str]

    @property
    def key(self) -> str:
        """What names the object."""
        return self.text["ID"] if "ID" in self.text else self.text["name"]


def read_labels(path: Path | str) -> pd.DataFrame:
    """Read a ``labels.csv``: columns ``ID`` or ``name``, ``label``, and optionally n_pix_source, weight and group.

    Returns a table indexed by ``ID`` (int64, unique, ascending), all float64 but ``group`` (int64): ``label`` (0, 1, or
    a probability), ``weight`` (1 where none is given), ``group`` (a number that objects of one group share),
    ``n_pix_source`` in pixels (NaN where unknown), and the other columns of a catalog, NaN throughout: nothing is known
    of them. ``attrs["notes"]``, a list of text, says which rows were left out because the pack has no such object.

    Raises InputError, naming file and line, for a file that cannot be read, for a row or a column that is wrong, for an
    object with two labels, for labels of one class only or of no object of the pack, and beside a catalog.
    """
    path = Path(path)
    pack = Pack(path.parent.name, path.parent)
    if pack.challenge_catalog.is_file():
        raise InputError(
            f"{path}: there is {pack.challenge_catalog.name} beside it, and a pack has either its catalog or labels of "
            "your own: move one of the two away."
        )
    rows = _rows(path)
    ids, absent = _ids(path, rows, pack.folder)
    kept = [(object_id, row) for object_id, row in zip(ids, rows, strict=True) if object_id is not None]
    if not kept:
        raise InputError(f"{path}: none of its {len(rows)} labels is of an object of the pack ({_listed(absent)}).")
    table = _table(path, kept)
    _check_classes(path, table)
    left_out = f"{path}: {len(absent)} labels are of objects that the pack does not have ({_listed(absent)}); left out"
    table.attrs["notes"] = [left_out] if absent else []
    return table


def read_texts(path: Path) -> pd.DataFrame:
    """Return the rows of a ``labels.csv`` as text by ID (int64), to be written again: its columns but ID, every value
    checked as `read_labels` does. Labels of one class are enough.

    Raises InputError as that does, and for a label of an object that the pack does not have.
    """
    rows = _rows(path)
    ids, absent = _ids(path, rows, path.parent)
    if absent:
        raise InputError(
            f"{path}: {len(absent)} labels are of objects that the pack does not have ({_listed(absent)}). Take "
            "them out first."
        )
    kept = [(object_id, row) for object_id, row in zip(ids, rows, strict=True) if object_id is not None]
    _table(path, kept)
    texts = pd.DataFrame([dict(row.text) for _, row in kept], index=pd.Index([i for i, _ in kept], name="ID"))
    return texts[~texts.index.duplicated()].drop(columns="ID", errors="ignore")


def _rows(path: Path) -> list[_Row]:
    """Return the rows of the file, each field checked to have a column."""
    lines = _lines(path)
    at = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if at is None:
        raise InputError(f"{path}: no labels in it. Expected a header such as ID,label and a row an object.")
    separator = max(",;\t", key=lines[at].count)  # a spreadsheet may have its own
    names = [name.strip() for name in next(csv.reader([lines[at]], delimiter=separator))]
    _check_header(path, at + 1, names)
    try:
        rows = list(_fields(path, at + 1, lines[at + 1 :], separator, names))
    except csv.Error as error:
        raise InputError(f"{path}: no table of labels ({error}). Write it again.") from error
    if not rows:
        raise InputError(f"{path}: no row after the header in line {at + 1}.")
    return rows


def _lines(path: Path) -> list[str]:
    try:
        check_file(path)
        return re.split(r"\r\n|\n|\r", path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}). Save it as CSV UTF-8.") from error
    except OSError as error:
        raise InputError(f"{path}: the labels cannot be read ({error.strerror}).") from error


def _check_header(path: Path, line: int, names: Sequence[str]) -> None:
    """Raise InputError unless each column is known and there once: a misspelt weight must not pass for none."""
    problems = [f"{name!r} is no column of it" for name in names if name not in _COLUMNS]
    problems += [f"{name!r} is there {n} times" for name, n in Counter(names).items() if n > 1 and name in _COLUMNS]
    if not set(_KEYS) & set(names):
        problems.append("neither ID nor name")
    if "label" not in names:
        problems.append("no label")
    if problems:
        raise InputError(
            f"{path}, line {line}: {'; '.join(problems)}. Expected ID or name (or both), label, and if you like "
            f"{', '.join(_COLUMNS[3:])}."
        )


def _fields(path: Path, start: int, lines: Sequence[str], separator: str, names: Sequence[str]) -> Iterator[_Row]:
    reader = csv.reader(lines, delimiter=separator)
    for fields in reader:
        line = start + reader.line_num
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(names):
            raise InputError(f"{path}, line {line}: {len(fields)} columns, and the header has {len(names)}.")
        yield _Row(line, dict(zip(names, (field.strip() for field in fields), strict=True)))


def _ids(path: Path, rows: Sequence[_Row], folder: Path) -> tuple[list[int | None], list[str]]:
    """Return the ID of each row, None where the pack has no such object, and what these are called in the file.

    Of a pack without a table of objects nothing is known here, and all IDs are taken.
    """
    objects = read_objects(folder) if objects_file(folder).is_file() else None
    names = set() if objects is None else set(objects["name"])
    if "ID" not in rows[0].text:
        by_name = _by_name(path, rows, objects)
        ids = [by_name.get(row.key) for row in rows]
    else:
        there = None if objects is None else set(objects["ID"].tolist())
        ids = [_id(row.key, there) for row in rows]
        _check_names(path, rows, ids, objects)
    absent = [row for row, object_id in zip(rows, ids, strict=True) if object_id is None]
    for row in absent:
        _check_absent(path, row, names)
    return ids, [row.key for row in absent]


def _check_names(path: Path, rows: Sequence[_Row], ids: Sequence[int | None], objects: pd.DataFrame | None) -> None:
    """Raise InputError where a row has an ID and the name of another object."""
    if objects is None or "name" not in rows[0].text:
        return
    own = dict(zip(objects["ID"].tolist(), objects["name"].str.strip(), strict=True))
    for row, object_id in zip(rows, ids, strict=True):
        if object_id is not None and row.text["name"] not in ("", own[object_id]):
            raise InputError(
                f"{path}, line {row.line}: ID {object_id} is {own[object_id]!r}, and the row says "
                f"{row.text['name'][:40]!r}. Correct one of the two."
            )


def _id(text: str, there: set[int] | None) -> int | None:
    """Return the ID that a text is; None where it is none, and where ``there`` is known and has it not."""
    if not _ID.fullmatch(text) or (there is None and _ROUNDED.fullmatch(text)):
        return None
    return int(text) if there is None or int(text) in there else None


def _by_name(path: Path, rows: Sequence[_Row], objects: pd.DataFrame | None) -> dict[str, int]:
    """Return the ID of each name; InputError where there are none, or a name that is asked for is of two objects."""
    table = objects_file(path.parent).name
    if objects is None:
        raise InputError(
            f"{path}: has names, and the pack has no {table} that says whose they are. Give the IDs of the objects: "
            "column ID."
        )
    names = objects["name"].str.strip()
    twice = set(names[names.duplicated()])
    for row in rows:
        if row.key in twice:
            raise InputError(
                f"{path}, line {row.line}: {row.key!r} is the name of several objects of the pack. Give their IDs, "
                f"which {table} has: column ID."
            )
    return dict(zip(names, objects["ID"].tolist(), strict=True))


def _check_absent(path: Path, row: _Row, names: Collection[str]) -> None:
    """Raise InputError where what names an object that the pack does not have is no ID, or was changed on its way."""
    if _ROUNDED.fullmatch(row.key):
        raise InputError(
            f"{path}, line {row.line}: {row.key!r} seems to be a number that a spreadsheet rounded, and its digits are "
            "lost. Export the labels again with this column as text."
        )
    if "ID" in row.text and (row.key in names or not _ID.fullmatch(row.key)):
        what = "is the name of an object" if row.key in names else "is no whole number of up to 18 digits"
        raise InputError(
            f"{path}, line {row.line}: ID {row.key[:40]!r} {what}. What you call an object belongs into a column name."
        )


def _table(path: Path, rows: Sequence[tuple[int, _Row]]) -> pd.DataFrame:
    """Return the table of rows whose objects the pack has, ascending by ID; InputError for a value that is wrong."""
    table = pd.DataFrame(
        {
            "label": [_number(path, row, "label", None, _is_probability, "from 0 to 1") for _, row in rows],
            "weight": [_number(path, row, "weight", 1.0, _is_positive, "above 0") for _, row in rows],
            "n_pix_source": [_number(path, row, "n_pix_source", np.nan, _is_size, "of pixels") for _, row in rows],
            "group": [row.text.get("group", "") for _, row in rows],
            "line": [row.line for _, row in rows],
        },
        index=pd.Index([object_id for object_id, _ in rows], name="ID", dtype=np.int64),
    ).sort_index(kind="stable")
    table = _once(path, table)
    own = pd.Series([f"\0{object_id}" for object_id in table.index], index=table.index)
    table["group"] = pd.factorize(table["group"].where(table["group"] != "", own))[0].astype(np.int64)
    unknown = [name for name in (INDEX_COLUMN, *CATALOG_COLUMNS[2:]) if name not in table]
    return table.assign(**dict.fromkeys(unknown, np.nan))


def _once(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Return each object once; InputError where its rows differ."""
    values = table.drop(columns="line").reset_index()
    again = values["ID"].duplicated().to_numpy()
    differs = again & ~values.duplicated().to_numpy()
    if differs.any():
        object_id = values["ID"][differs].iloc[0]
        lines, labels = (table.loc[[object_id], column].tolist() for column in ("line", "label"))
        raise InputError(
            f"{path}: ID {object_id} is there {len(lines)} times, in the lines {', '.join(map(str, lines))}, labelled "
            f"{', '.join(f'{label:g}' for label in labels)}, and its rows differ. Delete the wrong ones."
        )
    return table.drop(columns="line")[~again]


def _number(
    path: Path,
    row: _Row,
    column: str,
    missing: float | None,
    is_right: Callable[[float], bool],
    expected: str,
) -> float:
    """Return the number in a column, ``missing`` where that is absent or empty; InputError where it is wrong."""
    text = row.text.get(column, "")
    if missing is not None and text in _MISSING:
        return missing
    value = float(text) if _NUMBER.fullmatch(text) else np.nan
    if not is_right(value):
        raise InputError(
            f"{path}, line {row.line}, column {column}: found {text[:40]!r}, expected a number {expected}."
        )
    return value


def _is_probability(value: float) -> bool:
    return 0 <= value <= 1


def _is_positive(value: float) -> bool:
    return 0 < value < np.inf


def _is_size(value: float) -> bool:
    return 0 <= value < np.inf


def _check_classes(path: Path, table: pd.DataFrame) -> None:
    counts = int((table["label"] > EVEN).sum()), int((table["label"] < EVEN).sum())
    if not all(counts):
        raise InputError(
            f"{path}: {counts[0]} lenses (label above {EVEN:g}) and {counts[1]} non-lenses (below it); both are needed."
        )


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_LISTED]) + (", …" if len(keys) > _LISTED else "")
