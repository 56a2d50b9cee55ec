"""What people marked in galleries: their files → one label an object, and where they do not agree.

A file is one person's: the galleries of `lensfold rank` and `lensfold report` export it, and its name is the person's.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import check_file

#: what a mark says of an object, as the probability of a lens; grades as in searches of Euclid's first images: A sure,
#: B probable, C possible. Half is undecided: such an object is not learned from
VALUES = {"lens": 1.0, "A": 1.0, "B": 0.8, "C": 0.5, "unsure": 0.5, "not a lens": 0.0}
#: what a mark file needs; it may have more columns
COLUMNS = ("ID", "mark", "pixels")

_BY_WORD = {word.lower(): word for word in VALUES}
_ID = re.compile(r"\d{1,18}", re.ASCII)
#: how spreadsheets write a number that is longer than they show
_ROUNDED = re.compile(r"\d[.,]?\d*E\+?\d+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Marks:
    """One person's marks. ``values``: float64 by ID, 0 to 1 as in VALUES; ``pixels``: by ID the hash of what was shown
    (`lensfold.data.cache.row_hash`); ``notes``: objects that only have a note."""

    person: str
    path: Path
    values: pd.Series
    pixels: pd.Series
    notes: int


def read_marks(path: Path) -> Marks:
    """Read a file that a gallery exported; a byte order mark, ";" or tabs between columns are accepted.

    Objects with a note and no mark are left out. Raises InputError, naming file and line, for a file that is no such
    export, a mark that is none, an ID that a spreadsheet rounded, and an object with two marks.
    """
    table = _read(path)
    marked = table[table["mark"] != ""]
    words = marked["mark"].str.lower()
    _check(path, ~words.isin(list(_BY_WORD)), marked["mark"], f"expected one of {', '.join(VALUES)}, or nothing")
    ids = marked["ID"].astype(np.int64)
    values = pd.Series(words.map(_BY_WORD).map(VALUES).to_numpy(dtype=np.float64), index=pd.Index(ids, name="ID"))
    twice = values.groupby(level="ID").nunique() > 1
    if twice.any():
        first = int(twice.index[twice][0])
        found = " and ".join(marked.loc[ids == first, "mark"].unique())
        raise InputError(f"{path}: object {first} is marked {found}. One person gives one mark: delete the wrong row.")
    once = ~values.index.duplicated()
    pixels = pd.Series(marked["pixels"].to_numpy(), index=values.index)
    return Marks(path.stem, path, values[once].sort_index(), pixels[once].sort_index(), len(table) - len(marked))


def _read(path: Path) -> pd.DataFrame:
    """Return the rows as text, with the file's line numbers as their index."""
    try:
        check_file(path)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Export marks from a gallery (key e).") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as text ({error}). Export the marks again (key e).") from error
    head = text.partition("\n")[0]
    separator = next((one for one in (",", ";", "\t") if one in head), ",")
    try:
        table = _table(path, text, separator)
    except csv.Error as error:
        raise InputError(f"{path}: not a table ({error}). Export the marks again (key e).") from error
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InputError(
            f"{path}, line 1: no column {missing[0]!r}; found {head.strip()[:80]!r}. Expected marks as a gallery "
            "exports them (key e)."
        )
    rounded = table["ID"].map(lambda text: bool(_ROUNDED.fullmatch(text)))
    _check(path, rounded, table["ID"], "a spreadsheet rounded the ID, which cannot be undone: export the marks again")
    _check(path, ~table["ID"].map(lambda text: bool(_ID.fullmatch(text))), table["ID"], "expected an ID")
    return table


def _table(path: Path, text: str, separator: str) -> pd.DataFrame:
    """Return the rows below the first, which names the columns, as text; InputError where one has not as many."""
    rows = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    names = [name.strip() for name in next(rows, [])]
    if len(set(names)) < len(names):
        raise InputError(f"{path}, line 1: a column is there twice. Export the marks again (key e).")
    lines, found = [], []
    for row in rows:
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(names):
            raise InputError(f"{path}, line {rows.line_num}: {len(row)} columns, and the header has {len(names)}.")
        lines.append(rows.line_num)
        found.append([field.strip() for field in row])
    return pd.DataFrame(found, index=lines, columns=names, dtype=str)


def _check(path: Path, wrong: pd.Series, found: pd.Series, expected: str) -> None:
    """Raise InputError for the first row that is wrong; the index has the lines."""
    if wrong.any():
        line = wrong.index[wrong][0]
        raise InputError(f"{path}, line {line}: found {found[line][:40]!r}; {expected}.")


def merged(marks: Sequence[Marks]) -> pd.DataFrame:
    """Return one row for each object that anybody marked: ``label``, ``people``, ``disagree``; index ID, ascending.

    ``label``: the mean of their values (0 to 1, float64); ``people``: how many marked it; ``disagree``: whether one
    says lens (above a half) and another says not (below). A column of values is there for each person too, NaN where
    they did not mark it. ``marks``: one a person.
    """
    by_person = pd.DataFrame({one.person: one.values for one in marks}).rename_axis("ID").sort_index()
    values = by_person.to_numpy()
    table = pd.DataFrame(
        {
            "label": by_person.mean(axis=1),
            "people": by_person.notna().sum(axis=1),
            "disagree": (values > 0.5).any(axis=1) & (values < 0.5).any(axis=1),
        },
        index=by_person.index,
    )
    return pd.concat([table, by_person], axis=1)


def updated(old: Sequence[Marks], new: Sequence[Marks]) -> list[Marks]:
    """Return one Marks a person: of each object their last mark. ``old``: from the first round on; ``new``: the last.

    Raises InputError where two of the new files have the same name.
    """
    names = [one.person for one in new]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two files are called {twice}: a file's name is the person's. Rename one of them.")
    people: dict[str, Marks] = {}
    for one in (*old, *new):
        before = people.get(one.person, replace(one, values=one.values[:0], pixels=one.pixels[:0]))
        values, pixels = (
            last.combine_first(first) for last, first in ((one.values, before.values), (one.pixels, before.pixels))
        )
        people[one.person] = replace(one, values=values, pixels=pixels)
    return list(people.values())
