"""A clean submission from a file that is none yet: each repair is listed, and nothing is guessed."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from lensfold.errors import InputError
from lensfold.files import replacing
from lensfold.submission.check import (
    Expected,
    Report,
    TruthOf,
    doubled_with_different_scores,
    examine,
    listed,
    mended_ids,
)
from lensfold.submission.check_scores import RANGES, ROUNDING
from lensfold.submission.finding import is_missing
from lensfold.submission.parse import HEADERS

CONVERSIONS = ("logit", "percent")
#: Checks without which there are no rows to write.
UNREADABLE = ("file", "encoding", "content", "columns", "IDs")


def repair(
    report: Report,
    target: Path,
    expected: Expected,
    *,
    fill: float | None = None,
    convert: str | None = None,
    header: bool = False,
    truth_of: TruthOf | None = None,
) -> list[str]:
    """Write a clean CSV of what ``report`` found to ``target``, sorted by ID; return the repairs, in words.

    Scores keep their text unless ``convert`` says that they are logits or percentages. ``fill`` is the score of
    objects without one. ``truth_of`` as in `examine`: a file of the wrong split is not made to look right.
    Raises InputError, with nothing written, where a repair would be a guess, and where ``target`` exists.
    """
    if target.exists():
        raise InputError(f"{target}: exists already. Give --repair another name, or delete it.")
    done = [finding.repair for finding in report.findings if finding.repair]
    if convert:
        done = [words for words in done if words != "clipped to 0 and 1"]
    texts = _one_text_an_id(report, fill, done)
    _fill_missing(report, texts, expected, fill, done)
    texts = _in_range(report, texts, convert, done)
    if header or report.rows.header is not None:
        done = [words for words in done if not words.startswith("header")]
        done.append(f"header {HEADERS[report.kind]}" if header else "header removed")
    names = [str(path) for path in (report.path, target)]
    with replacing(target) as temporary:
        rows = "".join(f"{object_id},{texts[object_id]}\n" for object_id in sorted(texts))
        temporary.write_bytes(((HEADERS[report.kind] + "\n" if header else "") + rows).encode("ascii"))
        left = examine(temporary, expected, report.kind, truth_of).errors
        if left:
            raise InputError(f"{names[1]}: not written; no repair mends {names[0]}: {left[0].check}: {left[0].text()}")
    return done or ["none was needed"]


def _one_text_an_id(report: Report, fill: float | None, done: list[str]) -> dict[int, str]:
    """The text of each ID's score; InputError for what cannot be decided."""
    unclear = [found for found in report.errors if not found.repair and found.check in UNREADABLE]
    if unclear or not len(report.rows.ids):
        problem = f"{unclear[0].check}: {unclear[0].text()}" if unclear else "no rows."
        raise InputError(f"{report.path}: not repaired. {problem}")
    differing = doubled_with_different_scores(report.rows)
    if len(differing):
        raise InputError(
            f"{report.path}: not repaired. {len(differing)} IDs stand there with different scores: "
            f"{listed(differing)}. Which one is meant cannot be known."
        )
    texts, filled = {}, []
    rows = report.rows
    for object_id, text, score in zip(mended_ids(rows), rows.score_texts, rows.scores, strict=True):
        if np.isnan(score):
            if fill is None or not is_missing(text):
                raise InputError(
                    f"{report.path}: not repaired. Score {text[:40]!r} of ID {object_id} is not a finite number. "
                    "Empty and NaN scores become VALUE with --fill VALUE."
                )
            filled.append(int(object_id))
            text = repr(fill)
        texts[int(object_id)] = text
    if filled:
        done.append(f"{len(filled)} empty scores became {fill!r}: {listed(filled)}")
    return texts


def _fill_missing(
    report: Report, texts: dict[int, str], expected: Expected, fill: float | None, done: list[str]
) -> None:
    """Drop unknown IDs where no known one is missing, and give missing ones their score where one is given."""
    present = pd.Index(texts)
    unknown = present.difference(expected.ids)
    missing = expected.ids.difference(present)
    needed = missing.difference(expected.without_images)
    if len(unknown) and len(needed):
        raise InputError(
            f"{report.path}: not repaired. {len(unknown)} IDs are unknown ({listed(unknown)}) and {len(needed)} are "
            f"missing ({listed(needed)}): it seems to be of another pack."
        )
    if len(needed) and fill is None:
        raise InputError(
            f"{report.path}: not repaired. {len(needed)} IDs are missing: {listed(needed)}. Give them a score with "
            "--fill VALUE, as in --fill 0."
        )
    for object_id in unknown:
        del texts[object_id]
    if len(missing) and fill is not None:
        texts.update(dict.fromkeys(missing.tolist(), repr(fill)))
        done.append(f"{len(missing)} missing IDs got {fill!r}: {listed(missing)}")


def _in_range(report: Report, texts: dict[int, str], convert: str | None, done: list[str]) -> dict[int, str]:
    """Scores converted where that was asked for, or clipped where only rounding took them out of [0, 1]."""
    if convert:
        if convert not in CONVERSIONS or report.kind != "probability":
            raise InputError(
                f"--convert {convert}: expected {' or '.join(CONVERSIONS)}, of a file of probabilities; "
                f"this one is taken for {report.kind}."
            )
        change = expit if convert == "logit" else (lambda value: value / 100)
        done.append("logits through the logistic function" if convert == "logit" else "percentages divided by 100")
        return {object_id: f"{change(float(text)):.17g}" for object_id, text in texts.items()}
    if report.kind != "probability":
        return texts
    low, high, _ = RANGES["probability"]
    return {
        object_id: repr(min(max(float(text), low), high)) if _is_rounding(float(text)) else text
        for object_id, text in texts.items()
    }


def _is_rounding(value: float) -> bool:
    return 0.5 < abs(value - 0.5) <= 0.5 + ROUNDING
