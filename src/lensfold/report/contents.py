"""What a report is made of: a pack's truth, its runs as their folders tell of them, and where runs disagree."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import Task
from lensfold.data import catalog as catalogs
from lensfold.data.cache import read_manifest
from lensfold.data.folds import folds_hash, read_folds
from lensfold.errors import InputError
from lensfold.files import digest
from lensfold.paths import Pack, Workspace
from lensfold.runs.provenance import file_sha256
from lensfold.runs.run import Member, fold_folders, read_oof, task_of
from lensfold.scoring.metrics import auc, fold_ranks

#: folder of a pack's runs that holds the report, and so no run
REPORT_FOLDER = "report"
#: catalog columns that captions show
SHOWN = ("n_pix_source", "mag_source", "mag_lens", "mag_eff", "n_source_im", "n_sources")


@dataclass(frozen=True)
class Truth:
    """What a pack knows of its train objects: catalog and folds, and which objects are cached (None: no cache)."""

    pack: str
    catalog: pd.DataFrame
    folds: pd.Series
    cached: frozenset[int] | None
    synthetic: bool
    catalog_sha256: str

    @cached_property
    def folds_hash(self) -> str:
        """Hash of the folds, as runs keep it."""
        return folds_hash(self.folds)

    @cached_property
    def objects(self) -> pd.DataFrame:
        """By ID: the columns SHOWN, ``theta_E`` in arcsec (NaN where it has none), ``bin`` of the size."""
        table = self.catalog[list(SHOWN)].copy()
        table["theta_E"] = np.exp(catalogs.log_einstein_radius(self.catalog))
        table["bin"] = catalogs.size_bins(self.catalog)
        return table

    def labels(self, rule: str) -> pd.Series:
        """Labels by ID, NaN where the rule drops an object."""
        return catalogs.labels(self.catalog, rule)

    @property
    def with_pixels(self) -> pd.Index:
        """IDs that a run must have scored: the cached ones, or without a cache those the catalog has images of."""
        if self.cached is None:
            return self.catalog.index[catalogs.has_images(self.catalog)]
        return self.catalog.index[self.catalog.index.isin(self.cached)]


@dataclass(frozen=True)
class Run:
    """A run that can be shown; ``table``: logit, fold and label (NaN dropped) by ID."""

    name: str
    folder: Path
    config: dict
    table: pd.DataFrame
    score: dict | None
    of_folds: int
    notes: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What the run learned."""
        return task_of(self.config)

    @property
    def rule(self) -> str:
        """Its label rule."""
        return self.config["experiment"]["label_rule"]

    @property
    def folds(self) -> list[int]:
        """Numbers of its complete folds."""
        return sorted(self.table["fold"].unique().tolist())

    @property
    def labelled(self) -> pd.DataFrame:
        """The rows of ``table`` that the rule does not drop."""
        return self.table[self.table["label"].notna()]

    @cached_property
    def ranks(self) -> pd.Series:
        """Rank of each object's logit within its fold, in (0, 1), by ID."""
        values = fold_ranks(self.table["logit"].to_numpy(), self.table["fold"].to_numpy())
        return pd.Series(values, self.table.index, name="rank")

    @cached_property
    def key(self) -> str:
        """Changes with anything of the run that its page shows."""
        files = sorted(p for name in ("oof.csv", "history.csv", "run.json") for p in self.folder.glob(f"fold*/{name}"))
        told = {str(path.relative_to(self.folder)): file_sha256(path) for path in files}
        return digest({"files": told, "config": self.config, "score": self.score})


@dataclass(frozen=True)
class Refused:
    """A run folder that cannot be shown, and why; ``half_written``: there is nothing wrong in it, it is not done."""

    name: str
    reason: str
    half_written: bool


def read_truth(workspace: Workspace, pack: Pack) -> Truth:
    """What the pack's files tell; InputError where catalog or folds are absent or damaged."""
    catalog = catalogs.read_catalog(pack.catalog)
    try:
        shards = read_manifest(workspace.cache(pack, "train"))["shards"]
        cached = frozenset(i for shard in shards for i in shard["ids"])
    except InputError:
        cached = None
    return Truth(
        pack.name,
        catalog,
        read_folds(workspace.folds(pack), catalog),
        cached,
        pack.key.is_file() or catalogs.is_synthetic(pack.catalog),
        file_sha256(pack.catalog),
    )


def run_names(folder: Path, chosen: Sequence[str] = ()) -> list[str]:
    """Names of a pack's run folders, or the ``chosen`` of them; InputError where there is none or one is absent."""
    present = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    present = [name for name in present if name != REPORT_FOLDER and not name.startswith(".")]
    for name in chosen:
        if name not in present:
            raise InputError(f"{folder / name}: no such run. Runs there: {', '.join(present) or 'none'}.")
    if not present:
        raise InputError(f"{folder}: no runs here. Train one first: make train.")
    return list(dict.fromkeys(chosen)) or present


def read_run(folder: Path, truth: Truth) -> Run | Refused:
    """A run, or why it cannot be shown."""
    name = folder.name
    if name in ("index", REPORT_FOLDER):
        return Refused(name, f"the name {name!r} is taken by the report itself; rename the experiment", False)
    if not (folder / "config.json").is_file():
        return Refused(name, "half-written: no config.json", True)
    try:
        if not fold_folders(folder):
            return Refused(name, "half-written: no complete fold yet (no fold*/oof.csv)", True)
        return _read(folder, truth)
    except InputError as error:
        return Refused(name, str(error), False)
    except ValueError as error:  # a folder called fold* whose number is none
        return Refused(name, f"{folder}: {error}", False)


def _read(folder: Path, truth: Truth) -> Run:
    config = Member(folder.name, folder).config()
    _check_config(folder, config)
    oof, complete = read_oof(folder), [int(fold.name[4:]) for fold in fold_folders(folder)]
    notes = []
    if config["folds_hash"] == truth.folds_hash:
        _check_ids(folder, oof, truth, complete)
    else:
        unknown = oof.index.difference(truth.catalog.index)
        if len(unknown):
            raise InputError(f"{folder}: ID {unknown[0]} of its out-of-fold logits is not in the catalog.")
        notes.append("trained on other folds than the pack has now: left out of the disagreements")
    table = oof.assign(label=truth.labels(config["experiment"]["label_rule"]).reindex(oof.index))
    if task_of(config) == "lens" and table["label"].nunique() < 2:
        raise InputError(f"{folder}: its complete folds hold one class only; both are needed.")
    of_folds = int(truth.folds.max()) + 1
    if len(complete) < of_folds and config["folds_hash"] == truth.folds_hash:
        notes.append(f"{len(complete)} of {of_folds} folds are trained")
    score = _read_score(folder, table)
    if score is None:
        notes.append(f"no score.json of these folds: run lensfold score --experiment {folder.name}")
    return Run(folder.name, folder, config, table, score, of_folds, tuple(notes))


def _check_config(folder: Path, config: object) -> None:
    try:
        found = [config["folds_hash"], config["data_hash"], config["experiment"]["label_rule"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'config.json'}: damaged ({error!r} is absent). Train again.") from error
    if found[2] not in catalogs.LABEL_RULES:
        raise InputError(f"{folder / 'config.json'}: label rule {found[2]!r} is unknown. Train again.")


def _check_ids(folder: Path, oof: pd.DataFrame, truth: Truth, complete: list[int]) -> None:
    """Every object with pixels of the complete folds once, in the fold that held it out."""
    known = truth.folds.loc[truth.with_pixels]
    expected = known.index[known.isin(complete)]
    for wrong, problem in (
        (expected.difference(oof.index), "is missing from its out-of-fold logits"),
        (oof.index.difference(expected), "has an out-of-fold logit, but is not held out by these folds"),
    ):
        if len(wrong):
            raise InputError(f"{folder}: ID {wrong[0]} {problem} ({len(wrong)} such IDs). Train it again.")
    moved = oof.index[(truth.folds.loc[oof.index] != oof["fold"]).to_numpy()]
    if len(moved):
        raise InputError(f"{folder}: ID {moved[0]} is scored by another fold than holds it out. Train it again.")


def _read_score(folder: Path, table: pd.DataFrame) -> dict | None:
    """The run's ``score.json``, where it is of these logits."""
    kept = table[table["label"].notna()]
    try:
        score = json.loads((folder / "score.json").read_text())
        same = score["folds"] == sorted(set(table["fold"].tolist()))
        if score.get("task", "lens") == "lens":
            same = same and abs(score["auc"]["value"] - auc(kept["label"], kept["logit"])) < 1e-9
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return score if same else None


def read_histories(folder: Path) -> dict[int, pd.DataFrame]:
    """Epochs of each complete fold by its number; a fold whose ``history.csv`` is absent or damaged is left out."""
    found = {}
    for fold in fold_folders(folder):
        try:
            table = pd.read_csv(fold / "history.csv")
        except (OSError, ValueError):
            continue
        numbers = ("epoch", "min_size", "loss")
        if set(numbers) <= set(table.columns) and all(table[n].dtype.kind in "iuf" for n in numbers):
            found[int(fold.name[4:])] = table
    return found


def best_first(runs: Sequence[Run]) -> list[Run]:
    """Runs that find lenses, of each rule the higher AUC first; then those of Einstein radii, by their error."""

    def place(run: Run) -> tuple:
        value = ((run.score or {}).get("auc") or {}).get("value")
        error = ((run.score or {}).get("mse") or {}).get("value")
        return run.task != "lens", run.rule, -(value or 0), error if error is not None else np.inf, run.name

    return sorted(runs, key=place)


def disagreements(run: Run, others: Sequence[Run], count: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Objects that other runs rank most differently, and which runs were left out and why.

    The table, largest difference first, by ID: ``difference`` of the ranks within a fold (in -1 to 1: this run's less
    the other's), ``other`` (its name), ``rank`` and ``other_rank``. Only labelled objects, of lens runs that share
    folds, data and label rule with ``run`` and have scored the object.
    """
    left_out = {other.name: why for other in others if other.name != run.name and (why := _unlike(run, other))}
    partners = [other for other in others if other.name != run.name and other.name not in left_out]
    ids = run.labelled.index
    best = pd.DataFrame({"difference": 0.0, "other": "", "rank": run.ranks.loc[ids], "other_rank": np.nan}, index=ids)
    best["other"] = best["other"].astype(object)
    for other in partners:
        ranks = other.ranks.reindex(ids)
        difference = best["rank"] - ranks
        more = (difference.abs() > best["difference"].abs()).to_numpy()
        best.loc[more, "difference"], best.loc[more, "other_rank"] = difference[more], ranks[more]
        best.loc[more, "other"] = other.name
    best = best[best["other"] != ""]
    order = np.argsort(-best["difference"].abs().to_numpy(), kind="stable")[:count]
    return best.iloc[order], left_out


def _unlike(run: Run, other: Run) -> str | None:
    """Why two runs' ranks are not set side by side; None where they may be."""
    if run.task != "lens" or other.task != "lens":
        return "it predicts Einstein radii" if run.task == "lens" else "it finds lenses"
    for what, own, found in (
        ("another label rule", run.rule, other.rule),
        ("other folds", run.config["folds_hash"], other.config["folds_hash"]),
        ("other data", run.config["data_hash"], other.config["data_hash"]),
    ):
        if own != found:
            return f"{what} ({found})" if what == "another label rule" else what
    return None


def relative(path: Path, start: Path) -> str:
    """A path as a page in ``start`` names it."""
    return Path(os.path.relpath(path, start)).as_posix()
