"""Two runs, or a run and the ensemble of a submission, compared on the same objects."""

from dataclasses import dataclass

import pandas as pd

from lensfold.config import CHALLENGE_BETA_SQUARED, SubmissionSettings, read_toml
from lensfold.data import catalog as catalogs
from lensfold.data.folds import folds_hash
from lensfold.ensemble.build import TrainingData, build_ensemble, recipe_of
from lensfold.ensemble.members import check_common_folds, check_task, short
from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.results.score import check_labels
from lensfold.runs.run import Run
from lensfold.runs.scores import SCORE_NAMES
from lensfold.scoring.out_of_fold import drawn_haloes, folds_are_grouped, lens_task
from lensfold.scoring.score_table import paired_table

#: marks a submission, beside a run, on the command line
SUBMISSION_PREFIX = "submission:"

_LIMITS = "The intervals are for other objects, not for another training: another seed moves a run too."


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: its name, its runs, and its out-of-fold logits."""

    name: str
    runs: tuple[Run, ...]
    oof: pd.DataFrame

    @property
    def config(self) -> dict:
        """The settings of its first run."""
        return self.runs[0].config

    def grouped(self, catalog: pd.DataFrame) -> bool:
        """Whether its folds keep every halo together."""
        return folds_are_grouped(catalog.loc[self.oof.index], self.oof["fold"])


def compare(
    workspace: Workspace, pack: Pack, first: str, second: str, beta_squared: float = CHALLENGE_BETA_SQUARED
) -> dict:
    """Paired differences, second minus first, over objects and, where haloes repeat, over haloes; and what they say.

    A side is a run of the pack, ``name``; a run of the same data under another pack name, ``pack/name`` (so runs on
    plain and on halo-grouped folds can be set side by side); or the nested out-of-fold scores of a submission's
    ensemble, ``submission:name``. Both are scored on the objects that both have.
    Raises InputError for absent runs, other data, another label rule, another task, no common object, and for runs that
    were trained on other labels than the catalog has now.
    """
    sides = [_contender(workspace, pack, text) for text in (first, second)]
    _check_comparable(*sides)
    catalog = catalogs.read_catalog(pack.catalog)
    for run in (run for side in sides for run in side.runs):
        check_labels(run, catalog, pack.catalog)
    common = sides[0].oof.index.intersection(sides[1].oof.index).intersection(catalog.index)
    if not len(common):
        raise InputError(f"{first} and {second} have no object in common. Train the same folds of both.")
    rule = sides[0].config["experiment"]["label_rule"]
    asked = lens_task(catalog, common, rule)
    one, two = ((side.oof.loc[asked.ids, "logit"], side.oof.loc[asked.ids, "fold"]) for side in sides)
    haloes = drawn_haloes(asked.haloes)
    groups = [None] if haloes is None else [None, haloes]
    tables = [
        paired_table(asked.labels, one, two, asked.bins, asked.large, groups=drawn, beta_squared=beta_squared)
        for drawn in groups
    ]
    sentences = [_verdict(tables, "auc"), _verdict(tables, "one_minus_f_beta", "one_minus_f_beta_best")]
    names = [side.name for side in sides]
    return {
        "pack": pack.name,
        "rule": rule,
        "first": names[0],
        "second": names[1],
        "tables": tables,
        "sentences": [*filter(None, sentences), *_about_folds(sides, catalog), _LIMITS],
    }


def _contender(workspace: Workspace, pack: Pack, text: str) -> Contender:
    """The side that a user means by ``text``."""
    name = text.removeprefix(SUBMISSION_PREFIX)
    pack_name, _, name = name.rpartition("/")
    run = workspace.run(pack_name or pack.name, name)
    if not pack_name and (name != text or (not run.is_dir() and workspace.submission_settings(name).is_file())):
        return _ensemble_contender(workspace, pack, name)
    if not pack_name and not run.is_dir():
        present = ", ".join(sorted(path.name for path in run.parent.glob("*/"))) or "none"
        raise InputError(
            f"{run}: no such run, nor is there a submission {name!r}. Runs of pack {pack.name}: {present}. Train it "
            f"first: make train EXPERIMENT={name}."
        )
    member = Run(run)
    check_task([member], "lens")
    return Contender(text, (member,), member.oof())


def _ensemble_contender(workspace: Workspace, pack: Pack, name: str) -> Contender:
    settings = read_toml(workspace.submission_settings(name), SubmissionSettings)
    members = [Run(workspace.run(pack.name, m.experiment), m.weight) for m in settings.member]
    check_task(members, "lens")
    check_common_folds(members)
    training = TrainingData.of(workspace, pack)
    if training is None:
        raise InputError(
            f"{pack.catalog} or {workspace.folds(pack)} is absent: an ensemble's out-of-fold scores need both."
        )
    ensemble = build_ensemble(training, members, recipe_of(settings))
    return Contender(f"{SUBMISSION_PREFIX}{name}, {ensemble.name}", tuple(members), ensemble.oof)


def _check_comparable(first: Contender, second: Contender) -> None:
    for key, one, two in (
        ("data", first.config["data_hash"], second.config["data_hash"]),
        ("label rule", first.config["experiment"]["label_rule"], second.config["experiment"]["label_rule"]),
    ):
        if one != two:
            raise InputError(
                f"{second.name}: its {key} ({short(two)}) is not that of {first.name} ({short(one)}). Only scores "
                f"of the same {key} can be compared."
            )


def _verdict(tables: list[dict], key: str, confirmed_by: str | None = None) -> str | None:
    """A sentence on one score, over haloes where these repeat. Real is a difference whose interval leaves 0 out.

    ``confirmed_by`` has to agree: thresholds of other folds are held fixed while drawing, so that their own noise shows
    only where each draw chooses its best one.
    """
    difference = tables[-1][key]
    if difference["value"] is None or difference["error"] is None:
        return None
    over = tables[-1]["bootstrap"]["over"]
    name, digits, better = SCORE_NAMES[key].label, SCORE_NAMES[key].digits + 1, "A" if SCORE_NAMES[key].is_loss else "B"
    if difference["value"] == 0 and difference["error"] == 0:
        return f"A and B have the same {name}."
    winner = better if difference["value"] > 0 else {"A": "B", "B": "A"}[better]
    loser = {"A": "B", "B": "A"}[winner]
    real = _side_of_zero(difference) != 0 and _side_of_zero(tables[-1][confirmed_by or key]) == _side_of_zero(
        difference
    )
    limits = f"{difference['low']:+.{digits}f} to {difference['high']:+.{digits}f}"
    if confirmed_by:
        best = tables[-1][confirmed_by]
        limits += f", at the best thresholds {best['low']:+.{digits}f} to {best['high']:+.{digits}f},"
    verdict = "the difference is real" if real else "the difference may be chance"
    return (
        f"{winner} beats {loser} by {abs(difference['value']):.{digits}f} ± {difference['error']:.{digits}f} {name}; "
        f"{verdict} "
        f"(B - A is {limits} at 95 % over {over})."
    )


def _side_of_zero(difference: dict) -> int:
    """1 or -1 where the whole interval of a difference lies above or below 0, else 0."""
    return int(difference["low"] > 0) - int(difference["high"] < 0)


def _about_folds(sides: list[Contender], catalog: pd.DataFrame) -> list[str]:
    """What a reader must know where the sides were trained on different folds."""
    if folds_hash(sides[0].oof["fold"]) == folds_hash(sides[1].oof["fold"]):
        return []
    kinds = ["grouped by halo" if side.grouped(catalog) else "plain" for side in sides]
    sentence = f"The folds differ: those of A are {kinds[0]}, those of B {kinds[1]}."
    if len(set(kinds)) == 2:
        sentence += " The difference contains what a network gains from haloes that it has seen in training."
    return [sentence]
