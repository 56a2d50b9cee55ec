"""What a report is made of: a pack's truth, its runs as their folders have them, and where runs disagree."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import Task
from lensfold.data import catalog as catalogs
from lensfold.data.cache import cached_ids, read_manifest
from lensfold.data.folds import folds_hash, read_folds
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import Run
from lensfold.scoring.metrics import fold_ranks

#: folder of a pack's runs in which the report lies, and so no run
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
class ShownRun:
    """A run that can be shown; ``table``: logit, fold and label (NaN dropped) by ID."""

    run: Run
    table: pd.DataFrame
    score: dict | None
    of_folds: int
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def task(self) -> Task:
        """What the run learned."""
        return self.run.task

    @property
    def rule(self) -> str:
        """Its label rule."""
        return self.run.label_rule

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
        """A hash of everything of the run that its page shows."""
        folder = self.run.folder
        files = sorted(p for name in ("oof.csv", "history.csv", "run.json") for p in folder.glob(f"fold*/{name}"))
        hashes = {str(path.relative_to(folder)): file_sha256(path) for path in files}
        return digest({"files": hashes, "config": self.run.config, "score": self.score})


@dataclass(frozen=True)
class Refused:
    """A run folder that cannot be shown, and why; ``half_written``: there is nothing wrong in it, it is not done."""

    name: str
    reason: str
    half_written: bool


def read_truth(workspace: Workspace, pack: Pack) -> Truth:
    """Read a pack's truth from its files; InputError where catalog or folds are absent or damaged."""
    catalog = catalogs.read_catalog(pack.catalog)
    try:
        cached = frozenset(cached_ids(read_manifest(workspace.cache(pack, "train"))))
    except InputError:
        cached = None
    return Truth(
        pack.name,
        catalog,
        read_folds(workspace.folds(pack), catalog),
        cached,
        pack.is_simulated,
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


def read_run(folder: Path, truth: Truth) -> ShownRun | Refused:
    """Return a run, or why it cannot be shown."""
    name = folder.name
    if name in ("index", REPORT_FOLDER):
        return Refused(name, f"the name {name!r} is taken by the report itself; rename the experiment", False)
    if not (folder / "config.json").is_file():
        return Refused(name, "half-written: no config.json", True)
    try:
        if not any(folder.glob("fold*/oof.csv")):
            return Refused(name, "half-written: no complete fold yet (no fold*/oof.csv)", True)
        return _read(Run(folder), truth)
    except InputError as error:
        return Refused(name, str(error), False)


def _read(run: Run, truth: Truth) -> ShownRun:
    folder, config = run.folder, run.config
    run.check_pack()
    if run.label_rule not in catalogs.rules_of(truth.catalog):
        raise InputError(f"{folder / 'config.json'}: the pack has no labels by rule {run.label_rule!r}. Train again.")
    oof, notes = run.oof(), []
    if config["folds_hash"] == truth.folds_hash:
        _check_ids(folder, oof, truth, run.complete_folds)
    else:
        unknown = oof.index.difference(truth.catalog.index)
        if len(unknown):
            raise InputError(f"{folder}: ID {unknown[0]} of its out-of-fold logits is not in the catalog.")
        notes.append("trained on other folds than the pack has now: left out of the disagreements")
    table = oof.assign(label=truth.labels(run.label_rule).reindex(oof.index))
    if run.task == "lens" and table["label"].nunique() < 2:
        raise InputError(f"{folder}: its complete folds have one class only; both are needed.")
    of_folds = int(truth.folds.max()) + 1
    if len(run.complete_folds) < of_folds and config["folds_hash"] == truth.folds_hash:
        notes.append(f"{len(run.complete_folds)} of {of_folds} folds are trained")
    score = run.kept_score(run.score_origin(truth.catalog_sha256, None))
    if score is None:
        notes.append(f"no score.json of these folds and labels: run lensfold score --experiment {folder.name}")
    return ShownRun(run, table, score, of_folds, tuple(notes))


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


def read_histories(run: Run) -> dict[int, pd.DataFrame]:
    """Return the epochs of each complete fold by its number; a fold without any is left out."""
    histories = {fold: run.history(fold) for fold in run.complete_folds}
    return {fold: table for fold, table in histories.items() if table is not None}


def best_first(runs: Sequence[ShownRun]) -> list[ShownRun]:
    """Runs that find lenses, of each rule the higher AUC first; then those of Einstein radii, by their error."""

    def place(run: ShownRun) -> tuple:
        value = ((run.score or {}).get("auc") or {}).get("value")
        error = ((run.score or {}).get("mse") or {}).get("value")
        return run.task != "lens", run.rule, -(value or 0), error if error is not None else np.inf, run.name

    return sorted(runs, key=place)


def disagreements(run: ShownRun, others: Sequence[ShownRun], count: int) -> tuple[pd.DataFrame, dict[str, str]]:
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


def _unlike(run: ShownRun, other: ShownRun) -> str | None:
    """Why two runs' ranks are not set side by side; None where they may be."""
    if run.task != "lens" or other.task != "lens":
        return "it predicts Einstein radii" if run.task == "lens" else "it finds lenses"
    for what, own, found in (
        ("another label rule", run.rule, other.rule),
        ("other folds", run.run.config["folds_hash"], other.run.config["folds_hash"]),
        ("other data", run.run.config["data_hash"], other.run.config["data_hash"]),
    ):
        if own != found:
            return f"{what} ({found})" if what == "another label rule" else what
    return None


def relative(path: Path, start: Path) -> str:
    """A path as a page in ``start`` names it."""
    return Path(os.path.relpath(path, start)).as_posix()
