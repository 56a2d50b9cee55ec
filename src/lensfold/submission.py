"""The challenge CSVs, one row ``ID,score`` or ``ID,theta_E`` per object: written, read back and proven."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from lensfold.errors import InputError
from lensfold.paths import replacing

Absent = Literal["zero", "omit"]
ScoreKind = Literal["probability", "logit", "radius"]

ABSENT = ("zero", "omit")
SCORE_KINDS = ("probability", "logit", "radius")
HEADERS = {"probability": "ID,score", "logit": "ID,score", "radius": "ID,theta_E"}
#: Significant digits with which every float64 survives the text.
EXACT_DIGITS = 17

_RANGES = {
    "probability": (0.0, 1.0, "a probability in [0, 1]. For logits choose score = 'logit'."),
    "logit": (-np.inf, np.inf, "a logit."),
    "radius": (0.0, np.inf, "an Einstein radius in arcsec: expected 0 or more. Were logarithms given?"),
}
_ID = re.compile(r"\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def write_submission(
    path: Path | str,
    scores: pd.Series,
    *,
    expected_ids: Iterable[int],
    header: bool = False,
    absent: Absent = "zero",
    digits: int = EXACT_DIGITS,
    score: ScoreKind = "probability",
) -> dict[str, object]:
    """Write one row per expected ID, ascending, read the file back, and return its summary.

    ``scores``: logits (float64) indexed by ID. ``score`` writes them as they are ("logit") or through the
    logistic function into [0, 1] ("probability"; ties at 1 above a logit of 36: see ``ties_at_top``). With "radius"
    they are Einstein radii in arcsec instead, not negative, and written as they are.
    Expected IDs without a score (objects without images) get 0, or with "logit" one less than the lowest
    logit, so that they rank last (``absent="zero"``), or no row (``"omit"``).
    Returns what `validate_submission` does, with ``absent`` counting the expected IDs that have no score.
    Raises InputError for NaN or infinite scores, negative radii, doubled or unexpected IDs, no score at all, unknown
    options; the file at ``path`` is then as it was.
    """
    path = Path(path)
    _check_options(absent, score)
    if not isinstance(digits, int) or not 1 <= digits <= EXACT_DIGITS:
        raise InputError(f"digits = {digits!r}: expected a whole number from 1 to {EXACT_DIGITS}.")
    expected = _expected_index(expected_ids)
    values = _values_by_id(path, scores, expected, absent, score)
    texts = [f"{value:.{digits}g}" for value in values]
    with replacing(path) as temporary:
        rows = "".join(f"{i},{text}\n" for i, text in zip(values.index, texts, strict=True))
        temporary.write_bytes(((HEADERS[score] + "\n" if header else "") + rows).encode("ascii"))
        written = _read(temporary, path, HEADERS[score] if header else None)
        intended = pd.Series(np.array(texts, dtype=np.float64), index=values.index)
        if not written.equals(intended):
            raise InputError(f"{path}: what was read back differs from what was written. Is the disk sound?")
        summary = _summary(path, written, expected, header, absent, score)
        summary["sha256"] = _sha256(temporary)
    return {**summary, "absent": int((~expected.isin(scores.index)).sum())}


def validate_submission(
    path: Path | str,
    expected_ids: Iterable[int],
    *,
    header: bool = False,
    absent: Absent = "zero",
    score: ScoreKind = "probability",
) -> dict[str, object]:
    """Prove that a file is a submission for these IDs.

    Returns ``rows``, ``ties_at_top`` (objects that share the highest score; 1 where none do), ``min``,
    ``max``, ``absent`` (expected IDs without a row, only allowed with ``absent="omit"``), ``sorted`` (by ID),
    ``sha256``. Raises InputError, naming the line, for a missing or unwanted header, a row without exactly
    two columns, an ID or score that is no number, doubled, missing or unexpected IDs, NaN and infinity, for
    probabilities outside [0, 1] and negative radii.
    """
    path = Path(path)
    _check_options(absent, score)
    values = _read(path, path, HEADERS[score] if header else None)
    summary = _summary(path, values, _expected_index(expected_ids), header, absent, score)
    return {**summary, "sha256": _sha256(path)}


def read_submission(path: Path | str, *, header: bool = False, score: ScoreKind = "probability") -> pd.Series:
    """Scores of a submission file: a Series "score" (float64) indexed by ID, in the order of the file.

    ``score`` only tells which header is expected.

    Raises InputError as `validate_submission` does for anything one can see without the expected IDs.
    """
    return _read(Path(path), Path(path), HEADERS[score] if header else None)


def _check_options(absent: str, score: str) -> None:
    for name, value, choices in (("absent", absent, ABSENT), ("score", score, SCORE_KINDS)):
        if value not in choices:
            raise InputError(f"{name} = {value!r} is unknown. Choose one of: {', '.join(choices)}.")


def _expected_index(expected_ids: Iterable[int]) -> pd.Index:
    expected = pd.Index(np.fromiter(expected_ids, dtype=np.int64), name="ID").sort_values()
    if expected.has_duplicates:
        raise InputError(f"expected IDs doubled: {_listed(expected[expected.duplicated()])}.")
    if len(expected) == 0:
        raise InputError("no IDs expected: the test split is empty.")
    return expected


def _values_by_id(path: Path, scores: pd.Series, expected: pd.Index, absent: Absent, score: ScoreKind) -> pd.Series:
    """What the file shall say, float64 indexed by ID, ascending."""
    logits = scores.astype(np.float64)
    problems = (
        ("doubled", logits.index[logits.index.duplicated()]),
        ("not expected", logits.index.difference(expected)),
        ("NaN or infinite in score", logits.index[~np.isfinite(logits.to_numpy())]),
    )
    for problem, ids in problems:
        if len(ids):
            raise InputError(f"{path}: not written, IDs {problem}: {_listed(ids)}.")
    if len(logits) == 0:
        raise InputError(f"{path}: not written, no object has a score.")
    values = pd.Series(expit(logits.to_numpy()), index=logits.index) if score == "probability" else logits
    if absent == "zero":
        last = float(values.min()) - 1 if score == "logit" else 0.0
        return values.reindex(expected, fill_value=last)
    return values.sort_index()


def _read(path: Path, shown: Path, header: str | None) -> pd.Series:
    """Rows of a file with this header or none; errors name ``shown``."""
    lines = _read_lines(path, shown)
    first = 1
    if header:
        if lines[0] != header:
            raise InputError(f"{shown}, line 1: found {lines[0][:60]!r}, expected the header {header!r}.")
        lines, first = lines[1:], 2
    if not lines:
        raise InputError(f"{shown}: no rows.")
    rows = [_read_row(shown, number, line) for number, line in enumerate(lines, first)]
    ids = pd.Index([row[0] for row in rows], dtype=np.int64, name="ID")
    again = np.flatnonzero(ids.duplicated())
    if len(again):
        line = again[0]
        before = int(np.argmax(ids == ids[line]))
        raise InputError(f"{shown}, line {line + first}: ID {ids[line]} again, already in line {before + first}.")
    return pd.Series([row[1] for row in rows], index=ids, name="score", dtype=np.float64)


def _read_lines(path: Path, shown: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{shown}: no such submission.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{shown}: the submission cannot be read ({error}).") from error
    if not text.strip():
        raise InputError(f"{shown}: the submission is empty.")
    return text.removesuffix("\n").split("\n")


def _read_row(shown: Path, number: int, line: str) -> tuple[int, float]:
    fields = line.split(",")
    if len(fields) != 2:
        raise InputError(f"{shown}, line {number}: {len(fields)} columns in {line[:60]!r}, expected ID,score.")
    if line in HEADERS.values():
        raise InputError(f"{shown}, line {number}: a header, but none is expected here (header = false).")
    if not _ID.fullmatch(fields[0]):
        raise InputError(f"{shown}, line {number}: ID {fields[0][:60]!r} is not a whole number.")
    # Words such as nan and inf are not numbers here; digits may still overflow.
    value = float(fields[1]) if _NUMBER.fullmatch(fields[1]) else np.nan
    if not np.isfinite(value):
        raise InputError(f"{shown}, line {number}: score {fields[1][:60]!r} of ID {fields[0]} is not a finite number.")
    return int(fields[0]), value


def _summary(
    path: Path, values: pd.Series, expected: pd.Index, header: bool, absent: Absent, score: ScoreKind
) -> dict[str, object]:
    first = 2 if header else 1
    unexpected = values.index.difference(expected)
    missing = expected.difference(values.index)
    if len(unexpected):
        raise InputError(
            f"{path}, line {_place(values, unexpected[0]) + first}: {len(unexpected)} IDs are not among the "
            f"{len(expected)} expected: {_listed(unexpected)}. Does the submission belong to this pack?"
        )
    if len(missing) and absent != "omit":
        raise InputError(f"{path}: {len(missing)} IDs of {len(expected)} are missing: {_listed(missing)}.")
    _check_range(path, values, first, score)
    return {
        "rows": len(values),
        "ties_at_top": int(np.sum(values == values.max())),
        "min": float(values.min()),
        "max": float(values.max()),
        "absent": len(missing),
        "sorted": bool(values.index.is_monotonic_increasing),
    }


def _check_range(path: Path, values: pd.Series, first: int, score: ScoreKind) -> None:
    """InputError for a value that its kind cannot have; the first of ``values`` stands in line ``first``."""
    low, high, problem = _RANGES[score]
    outside = values[(values < low) | (values > high)]
    if len(outside):
        raise InputError(
            f"{path}, line {_place(values, outside.index[0]) + first}: score {float(outside.iloc[0])!r} "
            f"of ID {outside.index[0]} is not {problem}"
        )


def _place(values: pd.Series, object_id: int) -> int:
    return int(np.argmax(values.index == object_id))


def _listed(ids: pd.Index) -> str:
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
