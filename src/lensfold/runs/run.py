"""Runs as members of an ensemble: their out-of-fold and test logits, proven to fit together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lensfold.config import Experiment, Task, validated
from lensfold.errors import InputError
from lensfold.runs.logits import read_logits


@dataclass(frozen=True)
class Member:
    """One trained run and its weight in a combination."""

    name: str
    folder: Path
    weight: float = 1.0

    def config(self) -> dict:
        """The run's resolved settings; InputError where it was never configured or the file is damaged."""
        path = self.folder / "config.json"
        try:
            return json.loads(path.read_text())
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such run. Train it first: make train EXPERIMENT={self.name}.") from error
        except ValueError as error:
            raise InputError(f"{path}: damaged ({error}). Delete it and train again.") from error


def task_of(config: dict) -> Task:
    """What a run with these settings learns; runs of before there were tasks find lenses."""
    return config["experiment"].get("task", "lens")


def learner_of(experiment: dict) -> str:
    """What a run with these resolved settings is: the name of its network, or its kernel machine and what that sees."""
    model, kernel = experiment.get("model"), experiment.get("kernel")
    name = str(model.get("name", "–")) if isinstance(model, dict) else "–"
    if not isinstance(kernel, dict):
        return name
    approximation = kernel.get("approximation", "none")
    of = "" if approximation == "none" else f", {approximation}"
    return f"{kernel.get('method', '–')} ({kernel.get('kernel', '–')}{of}) on {name}"


def fold_folders(run_folder: Path) -> list[Path]:
    """Folders of a run's complete folds (those with ``oof.csv``), in order of their number."""
    numbers = [int(path.name[4:]) for path in run_folder.glob("fold*") if (path / "oof.csv").is_file()]
    return [run_folder / f"fold{number}" for number in sorted(numbers)]


def read_oof(run_folder: Path) -> pd.DataFrame:
    """Out-of-fold logits of a run's complete folds: columns logit, fold; index ID.

    Of a run that predicts Einstein radii the "logit" is the natural logarithm of theta_E in arcsec.

    Raises InputError where no fold is complete or an ID is in two folds.
    """
    parts = []
    for folder in fold_folders(run_folder):
        values = read_logits(folder / "oof.csv")
        parts.append(pd.DataFrame({"logit": values, "fold": int(folder.name[4:])}))
    if not parts:
        raise InputError(f"{run_folder}: no fold is trained yet. Run `make train EXPERIMENT={run_folder.name}`.")
    table = pd.concat(parts).sort_index()
    doubled = table.index[table.index.duplicated()]
    if len(doubled):
        raise InputError(f"{run_folder}: ID {doubled[0]} is held out by two folds. Delete the run and train it again.")
    return table


def read_test(run_folder: Path, pack_name: str) -> pd.Series:
    """A run's test logits: the mean over its folds' networks, by ID."""
    parts = [read_logits(folder / "test" / f"{pack_name}.csv") for folder in fold_folders(run_folder)]
    if not parts:
        raise InputError(f"{run_folder}: no fold is trained yet. Run `make train EXPERIMENT={run_folder.name}`.")
    return aligned(parts, str(run_folder)).mean(axis=1)


def aligned(parts: Sequence[pd.Series], source: str) -> pd.DataFrame:
    """Columns of series over the same IDs; InputError where their IDs differ."""
    for part in parts[1:]:
        missing = parts[0].index.symmetric_difference(part.index)
        if len(missing):
            raise InputError(f"{source}: predictions cover different objects (first: ID {missing[0]}). Predict again.")
    return pd.concat(list(parts), axis=1, keys=range(len(parts)))


def run_settings(run_folder: Path) -> tuple[Experiment, dict]:
    """The resolved experiment of a run, and the rest of its ``config.json``."""
    config = Member(run_folder.name, run_folder).config()
    path = run_folder / "predict.json"
    try:
        predict = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: absent or damaged ({error}). Run `lensfold configure` again.") from error
    source = run_folder / "config.json"
    return validated({**config["experiment"], "predict": predict}, Experiment, source), config
