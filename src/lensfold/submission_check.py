"""Is a file a submission? The checks that our own files and anyone's pass: form, IDs, scores, the right split.

`examine` reads a file once and returns a `Report`. `lensfold.submission` proves what it wrote with the same function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, spearmanr

from lensfold.errors import InputError
from lensfold.submission_rows import HEADERS, SCORE_KINDS, Finding, Rows, ScoreKind, is_missing, read_rows, short

RANGES = {
    "probability": (0.0, 1.0, "a probability in [0, 1]"),
    "logit": (-np.inf, np.inf, "a logit"),
    "radius": (0.0, np.inf, "an Einstein radius in arcsec, 0 or more"),
}
#: What our own files must not have even where others only are warned of it.
FORM = ("separator", "byte order mark", "line ends", "blank lines", "spaces", "quotes")
#: Einstein radii in arcsec between which one may lie: a VIS pixel is 0.1, half a frame is 10.
PLAUSIBLE_RADII = (0.05, 15.0)
#: Agreement with train truth by ID is no chance below this probability: one right file in a million.
CHANCE = 1e-6
#: Agreement weaker than this (of AUC from 0.5, or of a rank correlation from 0) is only warned of.
WEAK_AGREEMENT = 0.05
#: Ties at the top up to this number do not touch TPR10 and hardly F_beta.
TOLERATED_TIES = 10
#: How far above 1 or below 0 a probability may be by rounding in 32 bits.
ROUNDING = 1e-6


#: Truth of the train objects by ID for a kind of score, or None where it is unknown.
TruthOf = Callable[[ScoreKind], "pd.Series | None"]


@dataclass(frozen=True)
class Expected:
    """The IDs that a submission should hold, those among them without an image, and where that is known from."""

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
        findings += _check_scores(rows, kind, expected)
        findings += _check_resolution(rows, expected)
        findings.append(_check_split(rows, kind, expected, truth_of(kind) if truth_of else None))
    return Report(path, kind, tuple(findings), rows, expected)


def check_kind(kind: str) -> None:
    """InputError for an unknown kind of score."""
    if kind not in SCORE_KINDS:
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


# Scores


def _check_scores(rows: Rows, kind: ScoreKind, expected: Expected | None) -> list[Finding]:
    found = []
    wrong = np.flatnonzero(np.isnan(rows.scores))
    if len(wrong):
        place = int(wrong[0])
        empty = sum(is_missing(rows.score_texts[row]) for row in wrong)
        shown = f"score {short(rows.score_texts[place])} of ID {short_id(rows, place)} is not a finite number"
        shown += f" ({len(wrong)} such, {empty} of them empty or NaN)"
        advice = "Predict these objects, or give them a score with --fill."
        found.append(Finding("scores", "error", shown, "a finite number", advice, int(rows.lines[place])))
    values = rows.scores
    low, high, what = RANGES[kind]
    outside = np.flatnonzero((values < low) | (values > high))
    if len(outside):
        place = int(outside[0])
        rounding = kind == "probability" and np.all(np.abs(values[outside] - 0.5) <= 0.5 + ROUNDING)
        looks, advice = ("rounding in 32 bits", "Clip it.") if rounding else _looks_like(values, kind)
        shown = f"score {float(values[place])!r} of ID {short_id(rows, place)} is not {what} ({len(outside)} outside"
        shown += f"; all: {np.nanmin(values):.3g} to {np.nanmax(values):.3g}): it looks like {looks}"
        repair = "clipped to 0 and 1" if rounding else ""
        found.append(Finding("range", "error", shown, "", advice, int(rows.lines[place]), repair))
    elif len(wrong) < len(values):
        found.append(Finding("range", "fine", f"{np.nanmin(values):.6g} to {np.nanmax(values):.6g}"))
        found += _check_radii(rows, expected) if kind == "radius" else []
    return found


def short_id(rows: Rows, place: int) -> str:
    """The ID of a row as its file writes it."""
    return short(rows.id_texts[place])[1:-1]


def _looks_like(values: np.ndarray, kind: ScoreKind) -> tuple[str, str]:
    """What values outside their range seem to be, and what to do."""
    values = values[~np.isnan(values)]
    low, middle, high = values.min(), float(np.median(values)), values.max()
    if kind == "radius":
        return "logarithms of radii", "Write exp(value)."
    if high <= 0:
        return "logarithms of probabilities", "Write exp(value)."
    if low < 0:
        return "logits", "Repair with --convert logit, or accept logits with --kind logit."
    if high <= 20 and 0.3 < middle < 10:
        return "Einstein radii in arcsec", "If so, give --kind radius."
    if high <= 100 and (values > 1).mean() > 0.01:
        return "percentages", "Repair with --convert percent."
    return "no kind of score known here", "Write probabilities between 0 and 1."


def _check_radii(rows: Rows, expected: Expected | None) -> list[Finding]:
    """Warnings on Einstein radii that are possible numbers and yet unlikely."""
    values = rows.scores
    imaged = np.ones(len(values), dtype=bool)
    if expected is not None:
        imaged = ~np.isin(rows.ids, expected.without_images)
    shown = values[imaged & ~np.isnan(values)]
    if not len(shown):
        return []
    low, high = PLAUSIBLE_RADII
    middle = float(np.median(shown))
    expectation = f"{low} to {high} arcsec; half of the challenge's lie between 2 and 4"
    if middle < 1e-3:
        found, advice = f"median {middle:.3g}: it looks like radians", "arcsec = radians x 206265."
        return [Finding("plausible radii", "warning", found, expectation, advice)]
    if shown.max() <= 1:
        found, advice = f"none above {shown.max():.3g}: it looks like probabilities", "If so, give --kind probability."
        return [Finding("plausible radii", "warning", found, expectation, advice)]
    odd = np.flatnonzero(imaged & ((values < low) | (values > high)))
    if not len(odd):
        return [Finding("plausible radii", "fine", f"median {middle:.3g} arcsec")]
    place = int(odd[0])
    found = f"{len(odd)}, as {values[place]:.3g} arcsec of ID {short_id(rows, place)}"
    return [Finding("plausible radii", "warning", found, expectation, "", int(rows.lines[place]))]


def _check_resolution(rows: Rows, expected: Expected | None) -> list[Finding]:
    """How well the scores tell objects apart: constant, distinct values, digits, ties at the top."""
    known = ~np.isnan(rows.scores)
    if expected is not None:
        known &= ~np.isin(rows.ids, expected.without_images)
    values = rows.scores[known]
    if not len(values):
        return []
    distinct, ties = len(np.unique(values)), int(np.sum(values == values.max()))
    if distinct == 1 and len(values) > 1:
        found = f"all {len(values)} scores are {float(values[0])!r}"
        return [Finding("constant", "warning", found, "scores that rank", "Was the prediction broken?")]
    digits = max(len(_mantissa(text)) for text, taken in zip(rows.score_texts, known, strict=True) if taken)
    found = f"{distinct} distinct scores of {len(values)} objects, at most {digits} significant digits"
    findings = [Finding("digits", "fine", found)]
    if distinct < len(values) / 2:
        advice = "Write more digits: ties rank objects by chance. 17 keep every float64."
        findings = [Finding("digits", "warning", found, "nearly as many as objects", advice)]
    found = f"{ties} objects share the highest score, {float(values.max())!r}" if ties > 1 else "no ties"
    if ties <= TOLERATED_TIES:
        return [*findings, Finding("ties at the top", "fine", found)]
    advice = "The official measure counts one false positive like a thousand missed lenses. Keep more digits."
    return [*findings, Finding("ties at the top", "warning", found, "one object", advice)]


def _mantissa(text: str) -> str:
    """The significant digits of a number's text."""
    return text.lower().split("e")[0].replace(".", "").lstrip("+-0")


# The right split


def _check_split(rows: Rows, kind: ScoreKind, expected: Expected | None, truth: pd.Series | None) -> Finding:
    """Whether the scores know the *train* objects of the same IDs: test objects are others, so chance is expected."""
    check = "right split"
    if truth is None:
        return Finding(check, "unchecked", "no train catalog to hold the scores against")
    readable = (rows.ids >= 0) & ~np.isnan(rows.scores)
    values = pd.Series(rows.scores[readable], index=rows.ids[readable])
    values = values[~values.index.duplicated()]
    if expected is not None:
        values = values[~values.index.isin(expected.without_images)]
    known = truth.reindex(values.index)
    values, known = values[known.notna()], known[known.notna()]
    if known.nunique() < 2 or values.nunique() < 2:
        return Finding(check, "unchecked", "too few scores of IDs that the train catalog knows")
    strength, chance, shown = train_agreement(values, known, kind)
    shown = f"against the train objects of the same IDs {shown}, p = {chance:.2g}"
    if chance >= CHANCE:
        return Finding(check, "fine", f"{shown}: chance, as it should be")
    severity = "error" if strength >= WEAK_AGREEMENT else "warning"
    advice = "These scores seem to be of the train split, whose IDs are the same numbers. Predict the test split."
    return Finding(check, severity, shown, "chance", advice)


def train_agreement(values: pd.Series, truth: pd.Series, kind: ScoreKind) -> tuple[float, float, str]:
    """How strongly scores agree with truth by ID, the two-sided probability of so much by chance, and words for it.

    For labels |AUC - 0.5| with the normal limit of Mann and Whitney's U, ties corrected (for few objects its tail is
    too fat, so it does not cry wolf); for radii the absolute rank correlation of Spearman.
    """
    if kind == "radius":
        result = spearmanr(values, truth)
        return abs(result.statistic), float(result.pvalue), f"the rank correlation is {result.statistic:.3f}"
    lenses, others = values[truth == 1], values[truth == 0]
    result = mannwhitneyu(lenses, others, alternative="two-sided", method="asymptotic")
    area = result.statistic / (len(lenses) * len(others))
    return abs(area - 0.5), float(result.pvalue), f"the AUC is {area:.3f}"
