"""A trained run on disk, and the only reader of its folder.

``runs/<pack>/<experiment>/`` has ``config.json`` (the resolved settings, with hashes of the folds, pixels and labels
they are for), ``predict.json`` and a folder a fold. A fold counts as complete where its ``done.json`` names these very
settings and the very ``oof.csv`` beside it: whatever was copied there from elsewhere is not read.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lensfold.config import Experiment, Task, validated
from lensfold.errors import InputError
from lensfold.files import SEAL, digest, file_sha256, is_broken, read_marker, write_marker
from lensfold.paths import CONFIGURED
from lensfold.runs.logits import ONE_VIEW, read_logits, read_views
from lensfold.runs.scores import FORMAT

_FOLD = re.compile(r"fold(0|[1-9][0-9]{0,8})")
#: file of what the cutouts measure that a run was trained on, and of a cache's own
STATISTICS = "statistics.json"
#: what is said of a run without folds in the place of a score
NO_SCORE = "fine-tuned on all labelled objects without folds: nothing was held out, and no score is claimed"
#: keys of config.json beside the experiment, each a text
_HASHES = ("pack", "folds_hash", "data_hash", "labels_hash")


@dataclass(frozen=True)
class Run:
    """One trained run, and its weight where it is a member of an ensemble."""

    folder: Path
    weight: float = 1.0

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.folder.name

    @cached_property
    def config(self) -> dict:
        """The run's ``config.json``; InputError where it was never configured or the file is damaged."""
        path = self.folder / "config.json"
        try:
            config = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such run. Train it first: make train EXPERIMENT={self.name}.") from error
        except ValueError as error:
            raise InputError(f"{path}: damaged ({error}). Delete it and train again.") from error
        experiment = config.get("experiment") if isinstance(config, dict) else None
        if not isinstance(experiment, dict):
            raise InputError(f"{path}: damaged, it has no experiment. Delete it and train again.")
        for key in ("label_rule", "task"):
            if not isinstance(experiment.get(key), str):
                raise InputError(f"{path}: damaged, its experiment has no {key}. Delete it and train again.")
        for key in _HASHES:
            if not isinstance(config.get(key), str):
                raise InputError(f"{path}: damaged, key {key!r} is absent or no text. Delete it and train again.")
        self._check_resolved("config")
        return config

    def _check_resolved(self, name: str) -> None:
        """Raise InputError where ``<name>.json`` is not as it was resolved from the experiment.

        A run that does not say so, of before this was kept or a network that ships, is taken as it is: its folds are
        bound to the very settings that they were trained with all the same.
        """
        path = self.folder / f"{name}.json"
        resolved, found = read_marker(self.folder / CONFIGURED).get(name), file_sha256(path)
        if resolved not in (None, found):
            raise InputError(
                f"{path}: changed since the settings were resolved (sha256 {found[:12]}, expected {str(resolved)[:12]})"
                f". Change experiments/{self.name}.toml instead; make train EXPERIMENT={self.name} writes it anew."
            )

    @property
    def experiment(self) -> dict:
        """The resolved settings that trained it, as plain values, without those of prediction."""
        return self.config["experiment"]

    @cached_property
    def settings(self) -> Experiment:
        """The resolved settings, typed, those of prediction among them; InputError where they are not valid today."""
        return validated({**self.experiment, "predict": self.predict}, Experiment, self.folder / "config.json")

    @cached_property
    def predict(self) -> dict:
        """The settings of prediction as plain values; InputError where ``predict.json`` is absent or damaged."""
        path = self.folder / "predict.json"
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: absent or damaged ({error}). Run make train EXPERIMENT={self.name} again."
            ) from error
        self._check_resolved("predict")
        return content

    @cached_property
    def identity(self) -> str:
        """SHA-256 (hex) of the resolved settings, folds, pixels and labels."""
        return digest(self.config)

    @cached_property
    def statistics(self) -> dict | None:
        """What the cutouts measure that it was trained on, see `lensfold.realism`; None where that is not known."""
        try:
            content = json.loads((self.folder / STATISTICS).read_text())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    @property
    def task(self) -> Task:
        """What the run learned."""
        return self.experiment["task"]

    @property
    def label_rule(self) -> str:
        """The rule that gave its labels."""
        return self.experiment["label_rule"]

    @property
    def is_undivided(self) -> bool:
        """Whether its one network learnt from all of its objects, so that none was held out."""
        return bool(self.config.get("undivided"))

    @property
    def is_kernel_machine(self) -> bool:
        """Whether a kernel machine was fitted in the place of a network."""
        learner = self.experiment.get("learner")
        return isinstance(learner, dict) and learner.get("kind") == "kernel"

    @property
    def learner(self) -> str:
        """The name of its network, or its kernel machine and what that sees."""
        return learner_of(self.experiment)

    def check_pack(self) -> None:
        """Raise InputError where the run was trained on another pack than it is filed under."""
        filed = self.folder.resolve().parent.name
        if self.config["pack"] != filed:
            raise InputError(
                f"{self.folder / 'config.json'}: trained on pack {self.config['pack']} (data "
                f"{self.config['data_hash'][:12]}), and filed under pack {filed}. Was the folder copied? Train it "
                f"again: make train PACK={filed} EXPERIMENT={self.name}."
            )

    def fold_folder(self, fold: int) -> Path:
        """Return the folder of a fold."""
        return self.folder / f"fold{fold}"

    @cached_property
    def complete_folds(self) -> list[int]:
        """Numbers of the folds that are complete, ascending; those of other settings do not count.

        Raises InputError where a fold of these settings has other logits than it was trained with, and where a folder
        with out-of-fold logits is not called as folds are.
        """
        own = [fold for fold in self._folds_with_logits if self.marker(fold).get("settings") == self.identity]
        for fold in own:
            if problem := self._foreign(fold):
                raise InputError(
                    f"{self.fold_folder(fold) / 'oof.csv'}: damaged, it has {problem}. "
                    f"Predict it again: make train EXPERIMENT={self.name}."
                )
        return own

    def is_complete(self, fold: int) -> bool:
        """Return whether a fold is complete; False too where it is damaged."""
        return (self.fold_folder(fold) / "oof.csv").is_file() and not self._foreign(fold)

    @property
    def _folds_with_logits(self) -> list[int]:
        numbers = []
        for path in self.folder.glob("fold*"):
            if (path / "oof.csv").is_file():
                numbers.append(fold_number(path))
        return sorted(numbers)

    def _foreign(self, fold: int) -> str:
        """What a fold's files are of, where that is not this run; "" where they are its own."""
        marker, oof = self.marker(fold), self.fold_folder(fold) / "oof.csv"
        if marker.get("settings") != self.identity:
            return f"settings {str(marker.get('settings', 'unknown'))[:12]}, and the run's are {self.identity[:12]}"
        if marker.get("oof") != file_sha256(oof):
            return f"out-of-fold logits {file_sha256(oof)[:12]}, and it was trained with {str(marker.get('oof'))[:12]}"
        return ""

    def marker(self, fold: int) -> dict:
        """Return what a fold's ``done.json`` says it was made from; empty where there is none."""
        return read_marker(self.fold_folder(fold) / "done.json")

    def no_fold(self) -> InputError:
        """Return the error that says that no fold is complete, and of what those are that are there."""
        found = [f"fold {fold} has {what}" for fold in self._folds_with_logits if (what := self._foreign(fold))]
        what = f"no fold is complete: {'; '.join(found)}" if found else "no fold is trained yet"
        return InputError(f"{self.folder}: {what}. Run `make train EXPERIMENT={self.name}`.")

    def network_file(self, fold: int) -> Path:
        """Return the file that predicts: a fold's network, or the record that a kernel machine is fitted again from."""
        return self.fold_folder(fold) / ("run.json" if self.is_kernel_machine else "model.keras")

    def is_whole(self, fold: int) -> bool:
        """Return whether what a fold has learnt, and its record, are as they were written."""
        network, record = self.network_file(fold), self.record(fold)
        if record is None or not network.is_file() or file_sha256(network) != self.marker(fold).get("network"):
            return False
        objects = self.fold_folder(fold) / "objects.csv"  # of a kernel machine
        return not self.is_kernel_machine or (objects.is_file() and record.get("learnt") == file_sha256(objects))

    def check_network(self, fold: int) -> None:
        """Raise InputError where a fold's network is not the one that gave its out-of-fold logits."""
        path, trained = self.network_file(fold), str(self.marker(fold).get("network"))
        if not path.is_file():
            raise InputError(f"{path}: no trained network here. Train the fold first (`make train`).")
        if file_sha256(path) != trained:
            raise InputError(
                f"{path}: damaged, or of another fold (sha256 {file_sha256(path)[:12]}, and {trained[:12]} when it was "
                "trained). Delete its fold folder, train again."
            )

    def check_predict(self, fold: int) -> None:
        """Raise InputError where a fold's logits are of other settings of prediction; an older one does not say."""
        found, expected = self.marker(fold).get("predict"), digest(self.predict)
        if found not in (None, expected):
            raise InputError(
                f"{self.folder / 'predict.json'}: settings {expected[:12]}, and the out-of-fold logits of fold {fold} "
                f"are of {str(found)[:12]}. Predict these again: make train EXPERIMENT={self.name}."
            )

    def oof(self) -> pd.DataFrame:
        """Return the out-of-fold logits of the complete folds: columns logit, fold; index ID, ascending.

        Where every fold kept it, the column one_view has the logits of the images as they are, seen once.
        Of a run that predicts Einstein radii the "logit" is the natural logarithm of theta_E in arcsec.
        Raises InputError where no fold is complete or an ID is in two folds, and of a run without folds.
        """
        parts = []
        for fold in self.complete_folds:
            parts.append(read_views(self.fold_folder(fold) / "oof.csv").assign(fold=fold))
        if not parts:
            raise self.no_fold()
        if self.is_undivided:
            raise InputError(f"{self.folder}: {NO_SCORE}. Label more objects, of both classes, for folds and a score.")
        kept = all(ONE_VIEW in part for part in parts)
        columns = ["logit", "fold", ONE_VIEW] if kept else ["logit", "fold"]
        table = pd.concat([part[columns] for part in parts]).sort_index()
        doubled = table.index[table.index.duplicated()]
        if len(doubled):
            raise InputError(
                f"{self.folder}: ID {doubled[0]} is held out by two folds. Delete the run and train it again."
            )
        return table

    def test_logits(self, pack_name: str) -> pd.Series:
        """Return the logits of a pack's test split, the mean over the folds' networks, by ID."""
        parts = [read_logits(self.fold_folder(fold) / "test" / f"{pack_name}.csv") for fold in self.complete_folds]
        if not parts:
            raise self.no_fold()
        return aligned(parts, str(self.folder)).mean(axis=1)

    def record(self, fold: int) -> dict | None:
        """Return a fold's ``run.json``: cost, code and versions of its training; None where it is absent or damaged."""
        record = read_marker(self.fold_folder(fold) / "run.json")
        return record if record and not is_broken(record) else None

    def history(self, fold: int) -> pd.DataFrame | None:
        """Return a fold's epochs (``history.csv``); None where they are absent or damaged."""
        path, record = self.fold_folder(fold) / "history.csv", self.record(fold) or {}
        try:
            if record.get("history") not in (None, file_sha256(path)):
                return None
            table = pd.read_csv(path)
        except (OSError, ValueError):
            return None
        numbers = ("epoch", "min_size", "loss")
        whole = set(numbers) <= set(table.columns) and all(table[n].dtype.kind in "iuf" for n in numbers)
        return table if whole else None

    @cached_property
    def oof_hashes(self) -> dict[str, str]:
        """SHA-256 (hex) of the out-of-fold logits of each complete fold, by its number as text."""
        return {str(fold): self.marker(fold)["oof"] for fold in self.complete_folds}

    def kept_score(self, made_from: dict) -> dict | None:
        """Return the row in ``score.json`` if it was made from this; None where there is none or it is of other things.

        ``made_from``: see `score_origin`.
        """
        score, logits = read_marker(self.folder / "score.json"), self.folder / "oof.csv"
        if is_broken(score) or not isinstance(score.get("made_from"), dict):
            return None
        if "logits" in score and not (logits.is_file() and file_sha256(logits) == score["logits"]):
            return None
        row = {key: value for key, value in score.items() if key != SEAL}
        return row if made_from.items() <= score["made_from"].items() else None

    def score_origin(
        self, catalog_sha256: str | None, beta_squared: float | None, prevalence: float | None = None
    ) -> dict:
        """Return what a score of this run is made from: layout, settings, logits, labels, beta², prevalence.

        A None is left out: without its catalog a run can be compared, but not its labels.
        """
        known = {"catalog": catalog_sha256, "beta_squared": beta_squared, "prevalence": prevalence}
        given = {key: value for key, value in known.items() if value is not None}
        return {"format": FORMAT, "run": self.identity, "oof": self.oof_hashes, **given}


def fold_number(folder: Path) -> int:
    """Return the number of a fold from the name of its folder: fold0, fold1, …; InputError for any other name."""
    match = _FOLD.fullmatch(folder.name)
    if match is None:
        raise InputError(f"{folder}: no fold is called so. Move it out of the run folder.")
    return int(match[1])


def learner_of(experiment: dict) -> str:
    """Return the name of an experiment's network, or its kernel machine and what that sees; from plain values."""
    learner = experiment.get("learner")
    if not isinstance(learner, dict):
        return "–"
    if learner.get("kind") == "given_features":
        return f"given features ({learner.get('features', '–')})"
    if learner.get("kind") != "kernel":
        return str(learner.get("name", "–"))
    approximation = learner.get("approximation", "none")
    of = "" if approximation == "none" else f", {approximation}"
    return f"{learner.get('method', '–')} ({learner.get('kernel', '–')}{of}) on {learner.get('sees', '–')}"


def mark_complete(fold_folder: Path, marker: dict[str, str], network: Path) -> None:
    """Write a fold's ``done.json``: ``marker``, and which logits and which network belong to it."""
    found = {"oof": file_sha256(fold_folder / "oof.csv"), "network": file_sha256(network) if network.is_file() else ""}
    write_marker(fold_folder / "done.json", {**marker, **found})


def aligned(parts: Sequence[pd.Series], source: str) -> pd.DataFrame:
    """Return series over the same IDs as columns 0, 1, …; InputError where their IDs differ."""
    for part in parts[1:]:
        missing = parts[0].index.symmetric_difference(part.index)
        if len(missing):
            raise InputError(f"{source}: predictions cover different objects (first: ID {missing[0]}). Predict again.")
    return pd.concat(list(parts), axis=1, keys=range(len(parts)))
