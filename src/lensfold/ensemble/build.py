"""Members become one ensemble, learnt from their out-of-fold logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lensfold.config import SubmissionSettings
from lensfold.data import catalog as catalogs
from lensfold.data.cache import read_manifest
from lensfold.data.folds import read_folds
from lensfold.ensemble.combine import Combiner, Nested, Recipe, fit_combiner, nested
from lensfold.ensemble.members import check_oof, read_oofs
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import Member, read_oof, task_of
from lensfold.scoring.out_of_fold import folds_are_grouped


@dataclass(frozen=True)
class Source:
    """The pack behind the runs, with the labels that scores and learnt weights need."""

    pack: Pack
    catalog: pd.DataFrame
    folds: pd.Series
    present: frozenset[int] | None

    @classmethod
    def of(cls, workspace: Workspace, pack: Pack) -> "Source | None":
        """None where the catalog or the folds are absent: runs that were brought along without their pack."""
        path = workspace.folds(pack)
        if not (pack.catalog.is_file() and path.is_file()):
            return None
        catalog = catalogs.read_catalog(pack.catalog)
        cache = workspace.cache(pack, "train")
        present = None
        if (cache / "manifest.json").is_file():
            present = frozenset(i for shard in read_manifest(cache)["shards"] for i in shard["ids"])
        return cls(pack, catalog, read_folds(path, catalog), present)

    @property
    def grouped(self) -> bool:
        """Whether the folds keep every halo together."""
        return folds_are_grouped(self.catalog, self.folds)


@dataclass(frozen=True)
class Ensemble:
    """Members together: what all out-of-fold objects taught (for the test split), and nested out-of-fold logits."""

    name: str
    members: Sequence[Member]
    combiner: Combiner
    nested: Nested
    oof: pd.DataFrame

    @property
    def rule(self) -> str:
        """The label rule that all members learned."""
        return self.members[0].config()["experiment"]["label_rule"]


def recipe_of(settings: SubmissionSettings) -> Recipe:
    """How a submission's settings combine its members."""
    weights = tuple(member.weight for member in settings.member)
    return Recipe(settings.combine, weights, settings.calibrate, settings.select_by)


def build_ensemble(source: Source, members: Sequence[Member], recipe: Recipe) -> Ensemble:
    """Learn a recipe from the members' out-of-fold logits, for the test split and, nested, for every fold.

    Raises InputError unless the members' logits are those of all objects of the pack's folds, each once.
    """
    for member in members:
        check_oof(member, read_oof(member.folder), source.folds, source.present)
    logits, fold = read_oofs(members)
    config = members[0].config()
    labels = catalogs.labels(source.catalog, config["experiment"]["label_rule"]).loc[logits.index].to_numpy()
    columns, folds = logits.to_numpy(), fold.to_numpy()
    judged = nested(recipe, labels, columns, folds)
    how = recipe.how if task_of(config) == "lens" else "log-mean"
    told = how if recipe.calibrate == "none" else f"{how}, {recipe.calibrate}"
    oof = pd.DataFrame({"logit": judged.logits, "fold": fold}, index=logits.index)
    return Ensemble(f"ensemble ({told})", members, fit_combiner(recipe, labels, columns, folds), judged, oof)
