"""Are the scores of a submission scores: numbers in their range, distinct, and not those of the train split."""

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, norm, spearmanr

from lensfold.submission.finding import Finding, Rows, ScoreKind, Severity, is_missing, short

RANGES = {
    "probability": (0.0, 1.0, "a probability in [0, 1]"),
    "logit": (-np.inf, np.inf, "a logit"),
    "radius": (0.0, np.inf, "an Einstein radius in arcsec, 0 or more"),
}
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


def check_scores(rows: Rows, kind: ScoreKind, without_images: pd.Index | None) -> list[Finding]:
    """Whether every score is a finite number in the range of its kind, and a radius plausible."""
    found = _check_finite(rows)
    if np.isnan(rows.scores).all():
        return found
    outside = _check_range(rows, kind)
    if outside.severity == "fine" and kind == "radius":
        return [*found, outside, *_check_radii(rows, without_images)]
    return [*found, outside]


def _check_finite(rows: Rows) -> list[Finding]:
    wrong = np.flatnonzero(np.isnan(rows.scores))
    if not len(wrong):
        return []
    place = int(wrong[0])
    empty = sum(is_missing(rows.score_texts[row]) for row in wrong)
    shown = f"score {short(rows.score_texts[place])} of ID {_shown_id(rows, place)} is not a finite number"
    shown += f" ({len(wrong)} such, {empty} of them empty or NaN)"
    advice = "Predict these objects, or give them a score with --fill."
    return [Finding("scores", "error", shown, "a finite number", advice, int(rows.lines[place]))]


def _check_range(rows: Rows, kind: ScoreKind) -> Finding:
    values = rows.scores
    low, high, what = RANGES[kind]
    outside = np.flatnonzero((values < low) | (values > high))
    extent = f"{np.nanmin(values):.6g} to {np.nanmax(values):.6g}"
    if not len(outside):
        return Finding("range", "fine", extent)
    place = int(outside[0])
    rounding = kind == "probability" and bool(np.all(np.abs(values[outside] - 0.5) <= 0.5 + ROUNDING))
    looks, advice = ("rounding in 32 bits", "Clip it.") if rounding else _looks_like(values, kind)
    shown = f"score {float(values[place])!r} of ID {_shown_id(rows, place)} is not {what} ({len(outside)} outside; "
    shown += f"all: {extent}): it looks like {looks}"
    repair = "clipped to 0 and 1" if rounding else ""
    return Finding("range", "error", shown, "", advice, int(rows.lines[place]), repair)


def _shown_id(rows: Rows, place: int) -> str:
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


def _check_radii(rows: Rows, without_images: pd.Index | None) -> list[Finding]:
    """Warnings on Einstein radii that are possible numbers and yet unlikely."""
    values = rows.scores
    imaged = np.ones(len(values), dtype=bool)
    if without_images is not None:
        imaged = ~np.isin(rows.ids, without_images)
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
    found = f"{len(odd)}, as {values[place]:.3g} arcsec of ID {_shown_id(rows, place)}"
    return [Finding("plausible radii", "warning", found, expectation, "", int(rows.lines[place]))]


def check_resolution(rows: Rows, without_images: pd.Index | None) -> list[Finding]:
    """How well the scores separate objects: constant, distinct values, digits, ties at the top."""
    known = ~np.isnan(rows.scores)
    if without_images is not None:
        known &= ~np.isin(rows.ids, without_images)
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


def check_split(rows: Rows, kind: ScoreKind, without_images: pd.Index | None, truth: pd.Series | None) -> Finding:
    """Whether the scores know the *train* objects of the same IDs: test objects are others, so chance is expected."""
    check = "right split"
    if truth is None:
        return Finding(check, "unchecked", "no train catalog to hold the scores against")
    readable = (rows.ids >= 0) & ~np.isnan(rows.scores)
    values = pd.Series(rows.scores[readable], index=rows.ids[readable])
    values = values[~values.index.duplicated()]
    if without_images is not None:
        values = values[~values.index.isin(without_images)]
    known = truth.reindex(values.index)
    values, known = values[known.notna()], known[known.notna()]
    if known.nunique() < 2 or values.nunique() < 2:
        return Finding(check, "unchecked", "too few scores of IDs that the train catalog knows")
    strength, chance, shown = train_agreement(values, known, kind)
    shown = f"against the train objects of the same IDs {shown}, p = {chance:.2g}"
    if chance >= CHANCE:
        return Finding(check, "fine", f"{shown}: chance, as it should be")
    severity: Severity = "error" if strength >= WEAK_AGREEMENT else "warning"
    advice = "These scores seem to be of the train split, whose IDs are the same numbers. Predict the test split."
    return Finding(check, severity, shown, "chance", advice)


def train_agreement(values: pd.Series, truth: pd.Series, kind: ScoreKind) -> tuple[float, float, str]:
    """How strongly scores agree with truth by ID, the two-sided probability of so much by chance, and words for it.

    For labels |AUC - 0.5| with the normal limit of Mann and Whitney's U, ties corrected; for radii the absolute rank
    correlation of Spearman, whose variance without agreement is 1 / (n - 1). For few objects the tails of both limits
    are too fat, so that they do not cry wolf.
    """
    if kind == "radius":
        correlation = float(spearmanr(values, truth).statistic)
        chance = 2 * norm.sf(abs(correlation) * np.sqrt(len(values) - 1))
        return abs(correlation), float(chance), f"the rank correlation is {correlation:.3f}"
    lenses, others = values[truth == 1], values[truth == 0]
    result = mannwhitneyu(lenses, others, alternative="two-sided", method="asymptotic")
    area = result.statistic / (len(lenses) * len(others))
    return abs(area - 0.5), float(result.pvalue), f"the AUC is {area:.3f}"
