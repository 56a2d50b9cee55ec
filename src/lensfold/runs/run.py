"""Runs as members of an ensemble: their out-of-fold and test logits, proven to fit together."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lensfold.config import Task
from lensfold.errors import InputError
from lensfold.prediction.logits import read_logits


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


def read_oofs(members: Sequence[Member]) -> tuple[pd.DataFrame, pd.Series]:
    """Out-of-fold logits of all members, a column each in their order, and the folds; both by ID, ascending.

    Raises InputError unless all hold the same objects in the same folds.
    """
    parts = [read_oof(member.folder) for member in members]
    for member, part in zip(members, parts, strict=True):
        different = parts[0].index.symmetric_difference(part.index)
        if not len(different):
            different = part.index[(part["fold"] != parts[0]["fold"]).to_numpy()]
        if len(different):
            raise InputError(
                f"{member.folder}: its out-of-fold logits are not of the objects and folds of {members[0].folder} "
                f"({len(different)} differ, first: ID {different[0]}). Train the folds that are missing: "
                f"make train EXPERIMENT={member.name}."
            )
    return aligned([part["logit"] for part in parts], "ensemble"), parts[0]["fold"]


def check_oof(member: Member, oof: pd.DataFrame, folds: pd.Series, present: Collection[int] | None) -> None:
    """InputError unless the out-of-fold logits are those of all objects of their folds that are ``present``.

    ``folds``: fold of every catalog ID. ``present``: IDs with usable images; None where that is not known.
    """
    expected = folds.index[folds.isin(oof["fold"].unique())]
    expected = expected.intersection(oof.index if present is None else pd.Index(present))
    missing = expected.symmetric_difference(oof.index)
    if len(missing) or not (folds.loc[oof.index] == oof["fold"]).all():
        first = missing[0] if len(missing) else oof.index[(folds.loc[oof.index] != oof["fold"]).argmax()]
        raise InputError(
            f"{member.folder}: out-of-fold logits do not match the folds (first: ID {first}). Train again."
        )


def short(text: str) -> str:
    """A hash by its first digits, and any other text as it is."""
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


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
                    f"{member.folder}: its {key} ({short(found)}) is not that of {members[0].folder} "
                    f"({short(expected)}). "
                    "Members of one submission must share folds, data and rule: train them again."
                )
