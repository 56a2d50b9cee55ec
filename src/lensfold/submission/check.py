"""Is a file a submission? The checks that our own files and anyone's pass: form, IDs, scores, the right split.

`examine` reads a file once and returns a `Report`. `lensfold.submission.csv_file` proves what it wrote with the same
function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.submission.check_scores import check_resolution, check_scores, check_split
from lensfold.submission.finding import SCORE_KINDS, Finding, Rows, ScoreKind, short
from lensfold.submission.parse import HEADERS, read_rows

#: What our own files must not have even where others only are warned of it.
FORM = ("separator", "byte order mark", "line ends", "blank lines", "spaces", "quotes")
#: Truth of the train objects by ID for a kind of score, or None where it is unknown.
TruthOf = Callable[[ScoreKind], "pd.Series | None"]


@dataclass(frozen=True)
class Expected:
    """The IDs that a submission should have, those among them without an image, and where that is known from."""

    ids: pd.Index
    without_images: pd.Index
    source: str
    #: they are the challenge's because the pack could not be asked
    assumed: bool = False


@dataclass(frozen=True)
class Report:
    """What `examine` found: the findings in order, and the rows behind them."""

    path: Path
    kind: ScoreKind
    findings: tuple[Finding, ...]
    rows: Rows
    expected: Expected | None

    @property
    def errors(self) -> list[Finding]:
        """The findings that make the file no submission."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def values(self) -> pd.Series:
        """Scores, float64, by ID in the order of the file; rows whose ID cannot be read are left out."""
        readable = self.rows.ids >= 0
        index = pd.Index(self.rows.ids[readable], name="ID")
        return pd.Series(self.rows.scores[readable], index=index, name="score")

    def summary(self) -> dict[str, object]:
        """``rows``, ``ties_at_top`` (objects that share the highest score), ``min``, ``max``, ``absent``, ``sorted``.

        ValueError where no row has an ID.
        """
        values = self.values
        expected = values.index if self.expected is None else self.expected.ids
        return {
            "rows": len(values),
            "ties_at_top": int(np.sum(values == values.max())),
            "min": float(values.min()),
            "max": float(values.max()),
            "absent": len(expected.difference(values.index)),
            "sorted": bool(values.index.is_monotonic_increasing),
        }

    def refuse_unless_strict(self, shown: Path, header: bool) -> None:
        """InputError for the first error, for any looseness of form, and for a header unlike ``header`` says.

        The message names ``shown``. This is what our own files are held to.
        """
        wanted = HEADERS[self.kind]
        found = None if self.rows.header is None else ",".join(self.rows.header)
        bad = [f for f in self.findings if f.severity == "error" or (f.severity == "warning" and f.check in FORM)]
        first = bad[0] if bad else None
        unreadable = first is not None and first.check in ("file", "encoding", "content")
        if not unreadable and header and found != wanted:
            texts = (*self.rows.id_texts[:1], *self.rows.score_texts[:1])
            first_line = short(",".join(texts) if found is None else found, 60)
            raise InputError(f"{shown}, line 1: found {first_line}, expected the header {wanted!r}.")
        if not unreadable and not header and found is not None:
            raise InputError(f"{shown}, line 1: a header, but none is expected here (header = false).")
        if first is not None:
            raise InputError(f"{shown}, {first.text()}" if first.line else f"{shown}: {first.text()}")


def examine(
    path: Path, expected: Expected | None, kind: ScoreKind | None = None, truth_of: TruthOf | None = None
) -> Report:
    """Hold a file against everything a submission should be; never raises for its content.

    ``expected``: without it nothing is said of missing and unknown IDs. ``kind``: guessed from header and name where
    None; never "logit". ``truth_of``: of a kind, labels (1.0, 0.0, NaN) or for radii arcsec of the *train* objects by
    ID, or None where they are unknown: to recognise a file made from the wrong split.
    """
    rows = read_rows(path, None if expected is None else expected.ids)
    kind, guess = (kind, "") if kind else _guess_kind(path, rows.header)
    findings = [Finding("kind", "fine", f"{kind}{guess}"), *rows.findings]
    if len(rows.ids):
        findings += _check_ids(rows, expected)
        without_images = None if expected is None else expected.without_images
        findings += check_scores(rows, kind, without_images)
        findings += check_resolution(rows, without_images)
        findings.append(check_split(rows, kind, without_images, truth_of(kind) if truth_of else None))
    return Report(path, kind, tuple(findings), rows, expected)


def checked_kind(kind: str) -> ScoreKind:
    """Return a kind of score; InputError for an unknown one."""
    for known in get_args(ScoreKind):
        if known == kind:
            return known
    raise InputError(f"score = {kind!r} is unknown. Choose one of: {', '.join(SCORE_KINDS)}.")


def listed(ids: Sequence[int] | pd.Index) -> str:
    """The first five IDs, and whether there are more."""
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")


def _guess_kind(path: Path, header: tuple[str, ...] | None) -> tuple[ScoreKind, str]:
    for text, source in ((",".join(header or ())[:1000], "header"), (path.name, "file name")):
        if any(word in text.lower() for word in ("theta", "radius", "radii", "einstein")):
            return "radius", f", by the {source}; --kind probability if not"
        if source == "header" and "score" in text.lower():
            return "probability", ", by the header"
    return "probability", ", assumed; --kind radius for Einstein radii"


# IDs


def _check_ids(rows: Rows, expected: Expected | None) -> list[Finding]:
    found = [*_check_whole(rows), *_check_doubled(rows)]
    if expected is not None:
        present = pd.Index(mended_ids(rows)).unique()
        present = present[present >= 0]
        found = [*_check_count(rows, expected), *found, *_check_unknown(rows, present, expected)]
        found += _check_missing(present, expected)
    ordered = bool(np.all(np.diff(rows.ids) > 0))
    order = "sorted by ID" if ordered else "not sorted by ID, which nothing asks for"
    return [*found, Finding("order", "fine", order, repair="" if ordered else "sorted by ID")]


def _check_count(rows: Rows, expected: Expected) -> list[Finding]:
    found, wanted = len(rows.ids), len(expected.ids)
    findings = []
    if expected.assumed:
        advice = "Build the test cache (`lensfold cache --split test`) to check against the pack's own."
        findings.append(Finding("expected IDs", "warning", expected.source, "the pack's test split", advice))
    fits = len(expected.ids.difference(expected.without_images)) <= found <= wanted
    shown = f"{found} rows" if fits else f"{found} rows, {found / wanted:.3g} times as many as expected"
    return [*findings, Finding("rows", "fine" if fits else "warning", shown, f"{wanted} ({expected.source})")]


def _check_whole(rows: Rows) -> list[Finding]:
    wrong = np.flatnonzero(rows.ids < 0)
    if not len(wrong):
        return []
    place = int(wrong[0])
    shown = f"ID {short(rows.id_texts[place])} is not a whole number ({len(wrong)} such)"
    mended = all(_whole_id(rows.id_texts[row]) is not None for row in wrong)
    advice = "Write IDs without decimals or names, as in 200001."
    repair = "whole numbers for IDs written as decimals" if mended else ""
    return [Finding("IDs", "error", shown, "a whole number", advice, int(rows.lines[place]), repair)]


def mended_ids(rows: Rows) -> np.ndarray:
    """IDs of the rows, int64, those written as decimals made whole; -1 where there is none."""
    ids = rows.ids.copy()
    for place in np.flatnonzero(ids < 0):
        whole = _whole_id(rows.id_texts[place])
        ids[place] = -1 if whole is None else whole
    return ids


def _whole_id(text: str) -> int | None:
    """The ID behind a decimal such as 200001.0 or 2e5, exactly; None where the text is no such number."""
    try:
        value = float(text) if len(text) < 30 else np.nan
    except ValueError:
        return None
    return int(value) if 0 <= value < 2**53 and value == int(value) else None


def _check_doubled(rows: Rows) -> list[Finding]:
    ids = mended_ids(rows)
    again = np.flatnonzero(pd.Index(ids).duplicated() & (ids >= 0))
    if not len(again):
        return []
    place = int(again[0])
    before = int(np.argmax(ids == ids[place]))
    differing = doubled_with_different_scores(rows)
    how = f"{len(differing)} of them with different scores" if len(differing) else "each with the same score"
    shown = f"ID {ids[place]} again, already in line {rows.lines[before]} ({len(again)} rows too many, {how})"
    advice = "Decide which score is meant." if len(differing) else "Keep one row each."
    repair = "" if len(differing) else "doubled rows dropped"
    return [Finding("IDs doubled", "error", shown, "each ID once", advice, int(rows.lines[place]), repair)]


def doubled_with_different_scores(rows: Rows) -> pd.Index:
    """IDs that stand there more than once with different scores."""
    ids = mended_ids(rows)
    table = pd.DataFrame({"score": rows.scores}, index=ids)[ids >= 0]
    table = table[table.index.duplicated(keep=False)]
    counts = table.groupby(level=0)["score"].nunique(dropna=False)
    return counts.index[counts > 1]


def _check_unknown(rows: Rows, present: pd.Index, expected: Expected) -> list[Finding]:
    unknown = present.difference(expected.ids)
    if not len(unknown):
        return []
    line = int(rows.lines[np.argmax(mended_ids(rows) == unknown[0])])
    shown = f"{len(unknown)} IDs are not among the {len(expected.ids)} expected: {listed(unknown)}"
    needed = expected.ids.difference(expected.without_images)
    repair = "unknown IDs dropped" if needed.isin(present).all() else ""
    advice = "Does the submission belong to this pack?"
    return [Finding("IDs unknown", "error", shown, _id_range(expected), advice, line, repair)]


def _id_range(expected: Expected) -> str:
    return f"IDs {expected.ids.min()} to {expected.ids.max()}"


def _check_missing(present: pd.Index, expected: Expected) -> list[Finding]:
    missing = expected.ids.difference(present)
    if not len(missing):
        return []
    needed = missing.difference(expected.without_images)
    if not len(needed):
        shown = f"the {len(missing)} IDs missing have no image: {listed(missing)}"
        return [Finding("IDs missing", "warning", shown, "", "Some sent a row with score 0 for them, some none.")]
    shown = f"{len(needed)} IDs of {len(expected.ids)} are missing: {listed(needed)}"
    return [Finding("IDs missing", "error", shown, "every ID", "Predict them, or give them a score with --fill.")]
