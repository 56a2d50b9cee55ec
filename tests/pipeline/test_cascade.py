"""What a cascade's out-of-fold measure takes of its first run, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from fakes.runs import RULE, known, write_catalogs, write_run

from lensfold.config import CascadeSettings
from lensfold.data.catalog import read_catalog
from lensfold.data.folds import make_folds, read_folds
from lensfold.ensemble.build import TrainingData, build_ensemble
from lensfold.ensemble.combine import Recipe
from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.pipeline.cascade import cascade_cost, cascaded_ensemble, one_view_oof
from lensfold.runs.cascade import Selection
from lensfold.runs.run import Run
from lensfold.scoring.metrics import auc


@pytest.fixture
def runs(tmp_path):
    """A member that knows the answer up to a scatter, and a first run whose one view knows less."""
    catalog = write_catalogs(tmp_path)
    generator = np.random.default_rng(4)
    truth, folds = known(catalog), make_folds(catalog, 3, 1)
    member, one = (truth + generator.normal(0, scatter, len(truth)) for scatter in (0.5, 0.8))
    folder = Workspace(tmp_path).runs("fake")
    write_run(folder / "member", member, folds, {})
    write_run(folder / "first", (one + member) / 2, folds, {}, one_view=one)
    return tmp_path


def judged(root, first: str = "first", share: float = 0.2, prevalence: float = 0.01):
    workspace = Workspace(root)
    pack = workspace.pack("fake")
    source = TrainingData.of(workspace, pack)
    assert source is not None
    ensemble = build_ensemble(source, [Run(workspace.run("fake", "member"))], Recipe("logit-mean", (1.0,)))
    settings = CascadeSettings(first=first, prevalence=prevalence)
    chosen = Selection(Run(workspace.run("fake", first)), "fake", "", settings)
    return cascaded_ensemble(source, chosen, ensemble, share)


def test_the_cost_is_that_of_the_cut_by_one_view(runs):
    made, cost = judged(runs)
    catalog = read_catalog(Workspace(runs).pack("fake").catalog)
    y = known(catalog, rule=RULE)
    one, full = one_view_oof(Run(runs / "runs/fake/first")), Run(runs / "runs/fake/member").oof()
    lost = 0
    for fold in range(3):
        own = full.index[full["fold"] == fold]
        weights = pd.Series(np.where(y[own] == 1, (y[own] == 0).sum() / (y[own] == 1).sum() / 99, 1.0), own)
        order = one[own].sort_values(ascending=False).index
        kept = order[(weights[order].cumsum() - weights[order] < 0.2 * weights.sum()).to_numpy()]
        assert made.oof.loc[kept, "logit"].equals(full.loc[kept, "logit"])
        lost += int((y[own.difference(kept)] == 1).sum())
    assert cost["kept"]["lenses"]["n"] - cost["kept"]["lenses"]["kept"] == lost > 0
    assert cost["auc"]["first"] == pytest.approx(auc(y, full["logit"]))
    assert cost["auc"]["second"] == pytest.approx(auc(y, made.oof["logit"])) and cost["auc"]["value"] < 0
    assert 0 < cost["top_kept"] <= 1
    text = cascade_cost(cost)
    assert "cut at 20 % of a survey in which one object in 100 is a lens" in text and "best 1 %" in text


def test_a_first_run_that_kept_no_single_view_is_refused(runs):
    with pytest.raises(InputError, match="means of eight views"):
        judged(runs, first="member")


def test_a_first_run_of_other_folds_is_refused(runs):
    catalog = read_catalog(Workspace(runs).pack("fake").catalog)
    folds = read_folds(runs / "folds" / "fake.csv", catalog)
    write_run(runs / "runs/fake/other", known(catalog), (folds + 1) % 3, {}, one_view=known(catalog))
    with pytest.raises(InputError, match="other folds"):
        judged(runs, first="other")
