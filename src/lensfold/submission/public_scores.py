"""Scores that the organisers published, entered by hand: ``submissions/<pack>/public_scores.csv``."""

import csv
import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensfold.errors import InputError
from lensfold.files import check_file

COLUMNS = ("submission", "metric", "score", "date", "note")


@dataclass(frozen=True)
class PublicScore:
    """One line: what the organisers said of one of our submissions."""

    submission: str
    metric: str
    score: float
    date: datetime.date
    note: str


def known_submissions(folder: Path) -> list[str]:
    """Names of the submissions made in ``submissions/<pack>/``: those with a manifest."""
    return sorted(path.stem for path in folder.glob("*.json") if path.with_suffix(".csv").is_file())


def read_public_scores(path: Path, known: Iterable[str]) -> list[PublicScore]:
    """The scores of a file, in its order; none where there is no file.

    ``known``: names of our submissions. The columns are submission, metric, score (a finite number), date
    (YYYY-MM-DD) and note (may be empty).
    Raises InputError naming the line for a wrong header or number of columns, an unknown submission, an empty metric,
    a score or date that is none, and for the same submission, metric and date twice.
    """
    rows = _read_lines(path)
    if not rows:
        return []
    line, header = rows[0]
    if tuple(name.strip() for name in header) != COLUMNS:
        raise InputError(f"{path}, line {line}: found {','.join(header)[:80]!r}, expected {','.join(COLUMNS)!r}.")
    names = sorted(known)
    scores: list[PublicScore] = []
    places: dict[tuple[str, str, datetime.date], int] = {}
    for line, fields in rows[1:]:
        score = _parse(f"{path}, line {line}", fields, names)
        key = (score.submission, score.metric, score.date)
        if key in places:
            raise InputError(
                f"{path}, line {line}: {score.metric} of {score.submission!r} on {score.date} again, already in line "
                f"{places[key]}. Delete the wrong one."
            )
        places[key] = line
        scores.append(score)
    return scores


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Fields of each line that is not empty, with the number of its last line from 1."""
    try:
        check_file(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            return [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}). Expected CSV with {','.join(COLUMNS)}.") from error


def _parse(place: str, fields: list[str], known: list[str]) -> PublicScore:
    if len(fields) != len(COLUMNS):
        raise InputError(
            f"{place}: {len(fields)} columns, expected {len(COLUMNS)}: {','.join(COLUMNS)}. A note with a comma needs "
            "quotes around it."
        )
    name, metric, score, date, note = (field.strip() for field in fields)
    if name not in known:
        raise InputError(f"{place}: no submission {name[:60]!r} here. Known: {', '.join(known) or 'none'}.")
    if not metric:
        raise InputError(f"{place}: the metric is empty. Write what was measured, as in auc or f_beta.")
    return PublicScore(name, metric, _score(place, score), _date(place, date), note)


def _score(place: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{place}: score {text[:60]!r}, expected a finite number, as in 0.912.")
    return value


def _date(place: str, text: str) -> datetime.date:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise InputError(f"{place}: date {text[:60]!r}, expected year-month-day, as in 2026-07-28.") from error
