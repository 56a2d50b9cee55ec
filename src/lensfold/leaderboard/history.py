"""A pack's history: one line a finished score, so that editing an experiment loses no past result."""

import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path

from lensfold.errors import InputError
from lensfold.files import check_file, replacing
from lensfold.runs.scores import Score

#: begins the name of an ensemble's line, where a run's has its own
ENSEMBLE = "submission:"
#: columns of a line; a run of one task leaves the scores of the other empty
HISTORY_COLUMNS = (
    "time",
    "pack",
    "name",
    "folds",
    "rule",
    "n",
    "auc",
    "f1",
    "accuracy",
    "one_minus_f_beta",
    "tpr0",
    "tpr10",
    "auc_large",
    "seconds",
    "config",
    "mse",
    "mse_constant",
    "auc_low",
    "auc_high",
    "mse_low",
    "mse_high",
)


def append_history(path: Path, scores: dict, config_hash: str) -> None:
    """Add a line for the scores of a run, or of a submission's ensemble, to ``path``; make the file where it is absent.

    A file that lacks a column gets it, empty in its lines so far.
    Raises InputError where the file cannot be read or written.
    """
    values = {name: scores[name]["value"] for name in HISTORY_COLUMNS if isinstance(scores.get(name), dict)}
    for name in ("auc", "mse"):
        if isinstance(scores.get(name), dict):
            values |= {f"{name}_{limit}": scores[name][limit] for limit in ("low", "high")}
    row = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "config": config_hash[:12],
        **{name: scores[name] for name in ("pack", "name", "rule", "n", "seconds")},
        **values,
        "folds": f"{len(scores['folds'])} of {scores['of_folds']}",
    }
    columns, rows = _read(path)
    wanted = [*columns, *(name for name in HISTORY_COLUMNS if name not in columns)]
    if wanted != columns:
        _write(path, wanted, [*rows, row])
        return
    with path.open("a", newline="") as stream:
        csv.DictWriter(stream, wanted).writerow(row)


def of_ensemble(line: dict) -> bool:
    """Return whether a line is of a submission's ensemble and not of a run."""
    return str(line.get("name")).startswith(ENSEMBLE)


def last_before(lines: Sequence[dict], scores: dict, key: str) -> Score | None:
    """Return the last other score, from lines of the same name, rule, objects and folds; None without one.

    ``key``: "auc" or "mse". Where the last line has the value of ``scores``, it and all lines of the same settings and
    value are of this very score, however often that was made again. What is returned is the last of other settings, be
    its value the same, or of the same settings trained to another value. Lines without a readable value are passed
    over; lines of an older file have no limits.
    """
    folds = f"{len(scores['folds'])} of {scores['of_folds']}"
    same = {"name": scores["name"], "rule": scores["rule"], "n": str(scores["n"]), "folds": folds}
    own = [line for line in lines if all(line.get(column) == expected for column, expected in same.items())]
    values = [(line, value) for line in own if (value := _number(line.get(key))) is not None]
    this = values[-1][0].get("config") if values and values[-1][1] == scores[key]["value"] else None
    for line, value in reversed(values):
        if value != scores[key]["value"] or line.get("config") != this:
            return Score(value=value, low=_number(line.get(f"{key}_low")), high=_number(line.get(f"{key}_high")))
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_history(path: Path) -> list[dict]:
    """Return the lines of a history, texts by column, oldest first; none where there is no file.

    Raises InputError where the file cannot be read.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[list[str], list[dict]]:
    """Columns and rows; neither where there is no file yet."""
    try:
        check_file(path)
        with path.open(newline="") as stream:
            reader = csv.DictReader(stream)
            return list(reader.fieldnames or []), list(reader)
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: the history cannot be read ({error}). Move it away; a new one is made.") from error


def _write(path: Path, columns: list[str], rows: list[dict]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
