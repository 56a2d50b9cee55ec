"""The challenge CSVs, one row ``ID,score`` or ``ID,theta_E`` per object: written, read back and proven."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from lensfold.errors import InputError
from lensfold.files import file_sha256, replacing
from lensfold.submission.check import Expected, checked_kind, examine, listed
from lensfold.submission.finding import ScoreKind
from lensfold.submission.parse import HEADERS

Absent = Literal["zero", "omit"]

ABSENT = ("zero", "omit")
#: Significant digits with which every float64 survives the text.
EXACT_DIGITS = 17


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
        report = examine(temporary, _held_against(expected, absent), score)
        report.refuse_unless_strict(path, header)
        intended = pd.Series(np.array(texts, dtype=np.float64), index=values.index)
        if not report.values.equals(intended):
            raise InputError(f"{path}: what was read back differs from what was written. Is the disk sound?")
        summary = {**report.summary(), "sha256": file_sha256(temporary)}
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
    report = examine(path, _held_against(_expected_index(expected_ids), absent), score)
    report.refuse_unless_strict(path, header)
    return {**report.summary(), "sha256": file_sha256(path)}


def read_submission(path: Path | str, *, header: bool = False, score: ScoreKind = "probability") -> pd.Series:
    """Scores of a submission file: a Series "score" (float64) indexed by ID, in the order of the file.

    ``score`` only says which header is expected, and that radii are not negative.

    Raises InputError as `validate_submission` does for anything one can see without the expected IDs.
    """
    # logits have no range: only the header depends on what the scores are
    report = examine(Path(path), None, "radius" if score == "radius" else "logit")
    report.refuse_unless_strict(Path(path), header)
    return report.values


def _check_options(absent: str, score: str) -> None:
    if absent not in ABSENT:
        raise InputError(f"absent = {absent!r} is unknown. Choose one of: {', '.join(ABSENT)}.")
    checked_kind(score)


def _held_against(expected: pd.Index, absent: Absent) -> Expected:
    """With "omit" any ID may be missing, as if it had no image."""
    return Expected(expected, expected if absent == "omit" else expected[:0], "the test split")


def _expected_index(expected_ids: Iterable[int]) -> pd.Index:
    expected = pd.Index(np.fromiter(expected_ids, dtype=np.int64), name="ID").sort_values()
    if expected.has_duplicates:
        raise InputError(f"expected IDs doubled: {listed(expected[expected.duplicated()])}.")
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
            raise InputError(f"{path}: not written, IDs {problem}: {listed(ids)}.")
    if len(logits) == 0:
        raise InputError(f"{path}: not written, no object has a score.")
    values = pd.Series(expit(logits.to_numpy()), index=logits.index) if score == "probability" else logits
    if absent == "zero":
        last = float(values.min()) - 1 if score == "logit" else 0.0
        return values.reindex(expected, fill_value=last)
    return values.sort_index()
