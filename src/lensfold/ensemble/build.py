"""Members become one ensemble, learnt from their out-of-fold logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import SubmissionSettings
from lensfold.data import catalog as catalogs
from lensfold.data.cache import cached_ids, read_manifest
from lensfold.data.folds import read_folds
from lensfold.ensemble.combine import Combiner, Nested, Recipe, fit_combiner, nested
from lensfold.ensemble.members import check_oof, read_oofs
from lensfold.files import file_sha256
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import Run


@dataclass(frozen=True)
class TrainingData:
    """The pack behind the runs, with the labels that scores and learnt weights need."""

    pack: Pack
    catalog: pd.DataFrame
    folds: pd.Series
    present: frozenset[int] | None
    folds_file: Path
    catalog_sha256: str

    @classmethod
    def of(cls, workspace: Workspace, pack: Pack) -> "TrainingData | None":
        """Read them; None where catalog or folds are absent: runs that were brought along without their pack."""
        path = workspace.folds(pack)
        if not (pack.catalog.is_file() and path.is_file()):
            return None
        catalog = catalogs.read_catalog(pack.catalog)
        cache = workspace.cache(pack, "train")
        present = None
        if (cache / "manifest.json").is_file():
            present = frozenset(cached_ids(read_manifest(cache)))
        return cls(pack, catalog, read_folds(path, catalog), present, path, file_sha256(pack.catalog))


@dataclass(frozen=True)
class Ensemble:
    """Members together: what all out-of-fold objects taught (for the test split), and nested out-of-fold logits."""

    name: str
    members: Sequence[Run]
    combiner: Combiner
    nested: Nested
    oof: pd.DataFrame

    @property
    def rule(self) -> str:
        """The label rule that all members learned."""
        return self.members[0].label_rule


def recipe_of(settings: SubmissionSettings) -> Recipe:
    """How a submission's settings combine its members."""
    weights = tuple(member.weight for member in settings.member)
    return Recipe(settings.combine, weights, settings.calibrate, settings.select_by)


def build_ensemble(training: TrainingData, members: Sequence[Run], recipe: Recipe) -> Ensemble:
    """Learn a recipe from the members' out-of-fold logits, for the test split and, nested, for every fold.

    Raises InputError unless the members' logits are those of all objects of the pack's folds, each once.
    """
    for member in members:
        check_oof(member, member.oof(), training.folds, training.present)
    logits, fold, labels = _read(training, members)
    columns, folds = logits.to_numpy(), fold.to_numpy()
    judged = nested(recipe, labels, columns, folds)
    how = recipe.how if members[0].task == "lens" else "log-mean"
    name = f"ensemble ({how})" if recipe.calibrate == "none" else f"ensemble ({how}, {recipe.calibrate})"
    oof = pd.DataFrame({"logit": judged.logits, "fold": fold}, index=logits.index)
    return Ensemble(name, members, fit_combiner(recipe, labels, columns, folds), judged, oof)


def without_each(training: TrainingData, members: Sequence[Run], recipe: Recipe) -> list[pd.Series]:
    """Return nested out-of-fold logits by ID of the same recipe without each of two or more members in turn."""
    logits, fold, labels = _read(training, members)
    found = []
    for left_out in range(len(members)):
        kept = [number for number in range(len(members)) if number != left_out]
        rest = replace(recipe, weights=tuple(recipe.weights[number] for number in kept))
        judged = nested(rest, labels, logits[kept].to_numpy(), fold.to_numpy())
        found.append(pd.Series(judged.logits, logits.index))
    return found


def _read(training: TrainingData, members: Sequence[Run]) -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """Return the members' out-of-fold logits, a column each, folds and labels (NaN dropped), all by ID."""
    logits, fold = read_oofs(members)
    return logits, fold, catalogs.labels(training.catalog, members[0].label_rule).loc[logits.index].to_numpy()
