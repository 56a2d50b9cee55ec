"""Combine fold networks and runs: out-of-fold and test logits of a run, and of several runs together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from lensfold.config import Task
from lensfold.errors import InputError
from lensfold.predict import read_logits
from lensfold.scores import fold_ranks


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


def check_task(members: Sequence[Member], task: Task) -> None:
    """InputError unless all members learned ``task``."""
    for member in members:
        found = task_of(member.config())
        if found != task:
            advice = {
                "lens": f'A [[member]] finds lenses. Write radius = ["{member.name}"] above the first [[member]].',
                "einstein-radius": f'radius lists runs that predict Einstein radii. Make "{member.name}" a [[member]].',
            }[task]
            raise InputError(f'{member.folder}: task = "{found}", expected "{task}". {advice}')


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


def combine(parts: Sequence[pd.Series], weights: Sequence[float], how: str, fold: pd.Series | None = None) -> pd.Series:
    """Weighted mean over members, as logits by ID.

    ``logit-mean`` averages the logits. ``rank-mean`` averages ranks in (0, 1), taken within each fold where
    ``fold`` is given because folds differ in scale, and returns the logit of the mean rank.
    """
    table = aligned(parts, "ensemble")
    if how == "rank-mean":
        groups = np.zeros(len(table), dtype=int) if fold is None else fold.loc[table.index].to_numpy()
        table = table.apply(lambda column: pd.Series(fold_ranks(column.to_numpy(), groups), index=column.index))
    mean = pd.Series(np.average(table.to_numpy(), axis=1, weights=list(weights)), index=table.index, name="logit")
    return pd.Series(logit(mean), index=mean.index, name="logit") if how == "rank-mean" else mean


def check_common_folds(members: Sequence[Member]) -> None:
    """InputError unless all members were trained on the same folds and the same data under the same label rule."""
    first = members[0].config()
    for member in members[1:]:
        config = member.config()
        for key, found, expected in (
            ("folds", config["folds_hash"], first["folds_hash"]),
            ("data", config["data_hash"], first["data_hash"]),
            ("label rule", config["experiment"]["label_rule"], first["experiment"]["label_rule"]),
        ):
            if found != expected:
                raise InputError(
                    f"{member.folder}: its {key} ({found[:12]}) is not that of {members[0].folder} ({expected[:12]}). "
                    "Members of one submission must share folds, data and rule: train them again."
                )
