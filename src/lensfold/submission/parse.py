"""Any submission file, whoever made it, to rows of ID and score: reads what can be read, and notes what is unusual.

Nothing here raises for a strange file: what is found becomes a `Finding`. Reading is bounded in bytes.
"""

import re
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.submission.finding import _NUMBER, Rows, Severity, as_number, is_missing, short

HEADERS = {"probability": "ID,score", "logit": "ID,score", "radius": "ID,theta_E"}
#: A row is an ID of at most 18 digits, a separator and a number; the rest is room for an index column and spaces.
BYTES_A_ROW = 100
SMALLEST_LIMIT = 2**20
#: Doubled rows and blank lines are counted up to this many lines for each expected one.
LINES_A_ROW = 4
SMALLEST_LINES = 10000
#: Limit where the number of rows is not known.
UNKNOWN_LIMIT = 2**28

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", " ": "spaces"}
_ID = re.compile(r"\d{1,18}", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_ID_NAMES = ("id", "ids", "object_id", "objectid", "image_id", "imageid", "cutout_id")
_INDEX_NAMES = ("", "index", "unnamed: 0")
_ARCHIVES = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip (or an Excel sheet)", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
#: Lines from which the separator is guessed.
_SAMPLE = 200


def read_rows(path: Path, expected: pd.Index | None = None) -> Rows:
    """The rows of a file, and findings on its form. No row where it cannot be read or has not ID and score.

    ``expected``: the IDs that the file should have; with them an index column, swapped columns and a header of
    numbers are separated from data, and the file may be no larger than so many rows can be.
    """
    rows = Rows()
    limit = UNKNOWN_LIMIT if expected is None else SMALLEST_LIMIT + BYTES_A_ROW * len(expected)
    data = _read_bytes(rows, path, limit)
    text = None if data is None else _decode(rows, data)
    if text is None:
        return rows
    if expected is not None and text.count("\n") > SMALLEST_LINES + LINES_A_ROW * len(expected):
        found = f"{text.count(chr(10))} lines, not read"
        rows.add("content", "error", found, f"about {len(expected)}", "Is it the submission?")
        return rows
    numbered = _lines(rows, text)
    if not numbered:
        rows.add("content", "error", "the submission is empty", "rows ID,score", "Write it again.")
        return rows
    table = _fields(rows, numbered)
    table = _split_header(rows, table, expected)
    if not table:
        rows.add("content", "error", "no rows, only a header", "rows ID,score", "Write it again.")
        return rows
    _choose_columns(rows, table, expected)
    return rows


def _read_bytes(rows: Rows, path: Path, limit: int) -> bytes | None:
    """Content, or None with a finding; never more than ``limit`` bytes, and never from a device or pipe."""

    def refuse(found: str, advice: str, expected: str = "a text file of rows ID,score") -> bytes | None:
        rows.add("file", "error", found, expected, advice)
        return None

    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return refuse("a folder", "Give the file in it.")
        if not stat.S_ISREG(status.st_mode):
            return refuse("not a regular file", "Save it to a file first.")
        if status.st_size > limit:
            size = f"{status.st_size / 1e6:,.0f} MB"
            return refuse(f"{size}, not read", "Is it the submission?", f"at most {limit / 1e6:,.0f} MB")
        with path.open("rb") as stream:
            data = stream.read(limit)
    except FileNotFoundError:
        return refuse("no such submission", "Check its name.")
    except (OSError, ValueError) as error:
        return refuse(f"the submission cannot be read ({error})", "Check its name and permissions.")
    for magic, name in _ARCHIVES.items():
        if data.startswith(magic):
            return refuse(f"a compressed file: {name}", "Unpack it, or save the sheet as CSV.")
    return data


def _decode(rows: Rows, data: bytes) -> str | None:
    """Text without a byte order mark; undecodable bytes become U+FFFD and are noted."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        rows.add("encoding", "error", "UTF-16 text", "UTF-8", "Save it as UTF-8.", repair="UTF-8 for UTF-16")
        return data.decode("utf-16", errors="replace")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        rows.add(
            "byte order mark", "warning", "a byte order mark before the first row (Excel writes it)", "none",
            "A plain reader takes it for part of the first ID.", repair="byte order mark removed",
        )  # fmt: skip
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        rows.add("encoding", "error", "a zero byte: binary data", "UTF-8 text", "Write it again.", line)
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"the submission cannot be read as UTF-8: byte 0x{data[error.start]:02x}"
        # an ID or a score with such a byte is none: what a repair keeps is ASCII
        rows.add("encoding", "error", found, "UTF-8", "Save it as UTF-8.", line, repair="UTF-8 for another encoding")
        return data.decode("utf-8", errors="replace")
    rows.add("encoding", "fine", "ASCII" if text.isascii() else "UTF-8")
    return text


def _lines(rows: Rows, text: str) -> list[tuple[int, str]]:
    """Lines that are not empty, each with its number from 1."""
    returns = text.count("\r")
    if returns:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        rows.add(
            "line ends", "warning", f"carriage returns at {returns} line ends (Windows)", "plain line feeds",
            "Some readers keep them in the score.", repair="plain line ends",
        )  # fmt: skip
    if text and not text.endswith("\n"):
        rows.add(
            "last line", "warning", "no line end after the last line", "one", "Is the file cut off?",
            repair="last line ended",
        )  # fmt: skip
    lines = text.removesuffix("\n").split("\n")
    blank = [number for number, line in enumerate(lines, 1) if not line.strip()]
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    comments = [number for number, line in kept if line.lstrip().startswith("#")]
    if len(comments) == len(kept):
        return []
    if blank:
        found = f"{len(blank)} blank lines"
        rows.add("blank lines", "warning", found, "none", line=blank[0], repair="blank lines removed")
    if comments:
        rows.add(
            "comments", "error", f"{len(comments)} lines that begin with #", "none", "Remove them.", comments[0],
            repair="comments removed",
        )  # fmt: skip
        return [(number, line) for number, line in kept if not line.lstrip().startswith("#")]
    return kept


def _fields(rows: Rows, numbered: list[tuple[int, str]]) -> list[tuple[int, list[str]]]:
    """Each line's fields, without quotes and spaces around them."""
    separator = _guess_separator([line for _, line in numbered[:_SAMPLE]])
    if separator == ",":
        rows.add("separator", "fine", "separated by commas")
    else:
        name = _SEPARATORS[separator]
        seen = " Real submissions with spaces were seen, the challenge asks for commas." if separator == " " else ""
        severity: Severity = "warning" if separator == " " else "error"
        rows.add(
            "separator", severity, f"separated by {name}", "commas", "Write commas." + seen, numbered[0][0],
            repair=f"commas for {name}",
        )  # fmt: skip
    if separator == " ":
        table = [(number, line.split()) for number, line in numbered]
    else:
        table = [(number, line.split(separator)) for number, line in numbered]
        table = _stripped(rows, table)
    return _unquoted(rows, table)


def _guess_separator(lines: Sequence[str]) -> str:
    """The separator that gives most lines two or more fields which are all numbers, IDs or missing."""

    def fits(separator: str) -> int:
        fields = (line.split() if separator == " " else line.split(separator) for line in lines)
        return sum(len(row) > 1 and all(map(_looks_numeric, row)) for row in fields)

    best = max(_SEPARATORS, key=fits)
    return best if fits(best) else ","


def _looks_numeric(text: str) -> bool:
    text = text.strip(" \"'\t")
    return bool(_NUMBER.fullmatch(text) or _DECIMAL_COMMA.fullmatch(text)) or is_missing(text)


def _stripped(rows: Rows, table: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    padded = [number for number, row in table if any(text != text.strip() for text in row)]
    if not padded:
        return table
    found = f"spaces around the values of {len(padded)} lines"
    rows.add("spaces", "warning", found, "none", line=padded[0], repair="spaces removed")
    return [(number, [text.strip() for text in row]) for number, row in table]


def _unquoted(rows: Rows, table: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    def quoted(text: str) -> bool:
        return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"

    lines = [number for number, row in table if any(map(quoted, row))]
    if not lines:
        return table
    found = f"quotes around the values of {len(lines)} lines"
    rows.add("quotes", "warning", found, "none", line=lines[0], repair="quotes removed")
    return [(number, [text[1:-1].strip() if quoted(text) else text for text in row]) for number, row in table]


def _split_header(
    rows: Rows, table: list[tuple[int, list[str]]], expected: pd.Index | None
) -> list[tuple[int, list[str]]]:
    """The rows without their header, which is kept in ``rows``."""
    first = table[0][1]
    # pandas names columns 0, 1, ... where it was given no names
    counted = first == [str(number) for number in range(len(first))] and len(first) > 1
    counted = counted and len(table) > 1 and expected is not None and 0 not in expected
    if not (_is_header(first) or counted):
        rows.add("header", "fine", "no header")
        return table
    rows.header = tuple(first)
    shown = f"a header, {short(','.join(first))}"
    if ",".join(first) in HEADERS.values():
        rows.add("header", "fine", shown)
    else:
        rows.add("header", "warning", shown, "none, ID,score or ID,theta_E", line=table[0][0])
    return table[1:]


def _is_header(fields: list[str]) -> bool:
    numbers = [bool(_NUMBER.fullmatch(text)) for text in fields]
    if not any(numbers):
        return any(text and not is_missing(text) for text in fields)
    # ",0" and ",0,1" are pandas' own names behind an index
    return fields[0] == "" and fields[1:] == [str(number) for number in range(len(fields) - 1)]


def _choose_columns(rows: Rows, table: list[tuple[int, list[str]]], expected: pd.Index | None) -> None:
    """Fill ``rows`` from the two columns of ID and score, where that is clear."""
    width = Counter(len(row) for _, row in table).most_common(1)[0][0]
    others = [(number, row) for number, row in table if len(row) != width]
    if others:
        number, row = others[0]
        shown = f"{len(row)} columns in {short(','.join(row), 60)}, {width} in most lines ({len(others)} such lines)"
        rows.add("columns", "error", shown, "ID,score", "Is the file cut off or of two files?", number)
        table = [(number, row) for number, row in table if len(row) == width]
    columns = list(zip(*(row for _, row in table), strict=True))
    chosen = _which_columns(rows, columns, table[0], expected)
    if chosen is None:
        return
    rows.lines = np.array([number for number, _ in table], dtype=np.int64)
    rows.id_texts, rows.score_texts = list(columns[chosen[0]]), list(columns[chosen[1]])
    _decimal_commas(rows)
    rows.ids = np.array([int(text) if _ID.fullmatch(text) else -1 for text in rows.id_texts], dtype=np.int64)
    rows.scores = np.array([as_number(text) for text in rows.score_texts], dtype=np.float64)


def _which_columns(
    rows: Rows, columns: list[tuple[str, ...]], first: tuple[int, list[str]], expected: pd.Index | None
) -> tuple[int, int] | None:
    """Numbers of the ID and the score column; None, with a finding, where they are not clear."""
    line = first[0]
    if len(columns) == 2:
        if _holds_ids(columns[1], expected) and not _holds_ids(columns[0], expected):
            rows.add("columns", "error", "score before ID", "ID,score", "Swap them.", line, repair="columns swapped")
            return 1, 0
        rows.add("columns", "fine", "two columns")
        return 0, 1
    shown = f"{len(columns)} columns in {short(','.join(first[1]), 60)}"
    if len(columns) == 3:
        if not any(columns[2]):
            rows.add(
                "columns", "error", f"{shown}, the third empty", "ID,score", "Remove the last separator.", line,
                repair="empty column dropped",
            )  # fmt: skip
            return 0, 1
        if _holds_ids(columns[1], expected) and _is_index(rows.header, columns[0]):
            rows.add(
                "columns", "error", f"{shown}, the first a saved pandas index", "ID,score",
                "Write it with index=False.", line, repair="index column dropped",
            )  # fmt: skip
            return 1, 2
    named = _named_columns(rows.header, len(columns))
    if named and rows.header:
        names = [rows.header[number] for number in named]
        advice = f"Keep only {' and '.join(names)}."
        rows.add("columns", "error", shown, "ID,score", advice, line, repair=f"only {' and '.join(names)} kept")
        return named
    rows.add("columns", "error", shown, "ID,score", "Keep only these two, separated by a comma.", line)
    return None


def _named_columns(header: tuple[str, ...] | None, width: int) -> tuple[int, int] | None:
    """Where a header of ``width`` names has one ID and one score by name."""
    if header is None or len(header) != width:
        return None
    ids = [number for number, name in enumerate(header) if name.lower() in _ID_NAMES]
    scores = [number for number, name in enumerate(header) if name.lower() in ("score", "theta_e", "probability")]
    return (ids[0], scores[0]) if len(ids) == len(scores) == 1 else None


def _holds_ids(column: tuple[str, ...], expected: pd.Index | None) -> bool:
    """Whether nearly all of a column are expected IDs."""
    if expected is None:
        return False
    numbers = [int(text) if _ID.fullmatch(text) else -1 for text in column]
    return bool(np.isin(numbers, expected).mean() > 0.9)


def _is_index(header: tuple[str, ...] | None, column: tuple[str, ...]) -> bool:
    if header and header[0].lower() in _INDEX_NAMES:
        return True
    return len(set(column)) == len(column) and all(_ID.fullmatch(text) for text in column)


def _decimal_commas(rows: Rows) -> None:
    places = [place for place, text in enumerate(rows.score_texts) if _DECIMAL_COMMA.fullmatch(text)]
    if not places:
        return
    shown = f"decimal commas in {len(places)} scores, as in {short(rows.score_texts[places[0]])}"
    line = int(rows.lines[places[0]])
    rows.add("decimal point", "error", shown, "points", "Write it with points.", line, repair="points for commas")
    for place in places:
        rows.score_texts[place] = rows.score_texts[place].replace(",", ".")
