"""Is B better than A: paired tables, verdicts, grouped folds beside plain ones, and every mistake on the way."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.runs import write_catalogs, write_correlated_run, write_submission_settings
from fakes.workspace import lensfold

from lensfold.data.catalog import labels, read_catalog
from lensfold.ensemble.combine import Recipe, nested
from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.pipeline.results.compare import _verdict, compare
from lensfold.runs.run import Run
from lensfold.scoring import metrics as scores

PACK = ("--pack", "fake")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Runs of one pack: ``good`` beats ``small``, ``same`` is as good; and ``small`` on grouped folds."""
    root = tmp_path_factory.mktemp("runs")
    catalog = write_catalogs(root)
    for name, scatter in (("small", 1.6), ("good", 0.9), ("same", 1.6)):
        write_correlated_run(root, catalog, name, scatter)
    write_correlated_run(root, catalog, "small", 1.9, pack="fake-grouped", grouped=True)
    members = "".join(f'[[member]]\nexperiment = "{name}"\n' for name in ("small", "good"))
    write_submission_settings(root, f'combine = "stacking"\n{members}', "stacked")
    return root


def catalog_of(root: Path) -> pd.DataFrame:
    return read_catalog(root / "data" / "fake" / "image_catalog2.0train.csv")


def compared(root: Path, first: str, second: str, **options) -> dict:
    workspace = Workspace(root)
    return compare(workspace, workspace.pack("fake", root / "data" / "fake"), first, second, **options)


def test_a_better_run_beats_a_worse_one(runs):
    found = compared(runs, "small", "good")
    objects, haloes = found["tables"]
    assert [table["bootstrap"]["over"] for table in found["tables"]] == ["objects", "haloes"]
    assert haloes["auc"]["value"] == objects["auc"]["value"]
    y = labels(catalog_of(runs), "official-2020")
    one, other = (scores.auc(y, Run(runs / "runs" / "fake" / name).oof()["logit"]) for name in ("small", "good"))
    assert objects["auc"]["value"] == pytest.approx(other - one) and objects["auc"]["first"] == pytest.approx(one)
    auc = haloes["auc"]
    assert found["sentences"][0] == (
        f"B beats A by {auc['value']:.4f} ± {auc['error']:.4f} AUC; the difference is real "
        f"(B - A is {auc['low']:+.4f} to {auc['high']:+.4f} at 95 % over haloes)."
    )
    assert found["sentences"][1].startswith("B beats A by 0.") and "1 − F_beta" in found["sentences"][1]


def test_the_other_way_round_says_the_same(runs):
    assert compared(runs, "good", "small")["sentences"][0].startswith("A beats B by 0.")


def test_equal_runs_may_differ_by_chance(runs):
    assert "the difference may be chance" in compared(runs, "small", "same")["sentences"][0]


def test_f_beta_at_fixed_thresholds_has_to_be_confirmed():
    """The interval of fixed thresholds makes no difference real."""
    sure = {"value": -0.01, "error": 0.001, "low": -0.012, "high": -0.008}
    for best, verdict in (
        ({**sure}, "real"),
        ({**sure, "high": 0.001}, "may be chance"),
        ({**sure, "low": 0.008, "high": 0.012}, "may be chance"),
    ):
        table = {"one_minus_f_beta": sure, "one_minus_f_beta_best": best, "bootstrap": {"over": "objects"}}
        found = _verdict([table], "one_minus_f_beta", "one_minus_f_beta_best")
        assert found.startswith("B beats A by 0.01000") and verdict in found


def test_a_run_against_itself(runs):
    found = compared(runs, "small", "small")
    assert found["sentences"][:2] == ["A and B have the same AUC.", "A and B have the same 1 − F_beta."]


def test_an_ensemble_is_compared_by_its_nested_scores(runs):
    found = compared(runs, "good", "stacked")
    assert found == compared(runs, "good", "submission:stacked")
    assert found["second"] == "submission:stacked, ensemble (stacking)"
    parts = [Run(runs / "runs" / "fake" / name).oof() for name in ("small", "good")]
    y = labels(catalog_of(runs), "official-2020").to_numpy()
    columns, fold = np.stack([part["logit"] for part in parts], axis=1), parts[0]["fold"].to_numpy()
    judged = nested(Recipe("stacking", (1.0, 1.0)), y, columns, fold)
    assert found["tables"][0]["auc"]["second"] == pytest.approx(scores.auc(y, judged.logits))


def test_grouped_folds_beside_plain_ones(runs):
    found = compared(runs, "small", "fake-grouped/small")
    assert found["tables"][0]["auc"]["value"] < 0
    assert "those of A are plain, those of B grouped by halo" in found["sentences"][2]
    assert "haloes that it has seen in training" in found["sentences"][2]


def test_another_beta(runs):
    plain, other = compared(runs, "small", "good"), compared(runs, "small", "good", beta_squared=1.0)
    assert other["tables"][0]["beta_squared"] == 1.0
    losses = [table["tables"][0]["one_minus_f_beta_best"]["first"] for table in (plain, other)]
    assert losses[0] != losses[1]


def test_what_the_command_prints(runs):
    out = lensfold(runs, "compare", "small", "good", *PACK).stdout
    for word in ("good minus small", "rule official-2020", "95 % over objects", "95 % over haloes", "TPR0", "TPR10"):
        assert word in out
    assert "AUC 21-40 px (" in out and "recall >300 px (" in out and "> 150 px AUC" in out
    assert "A is small, B is good." in out and "the difference is real" in out and "not for another training" in out


def test_only_common_objects_are_compared(runs, tmp_path):
    catalog = write_catalogs(tmp_path)
    for name in ("small", "good"):
        write_correlated_run(tmp_path, catalog, name, 1.2)
    for fold in (1, 2):
        (tmp_path / "runs" / "fake" / "good" / f"fold{fold}" / "oof.csv").unlink()
    found = compared(tmp_path, "small", "good")
    assert found["tables"][0]["n"] == len(Run(tmp_path / "runs" / "fake" / "good").oof())
    (tmp_path / "runs" / "fake" / "small" / "fold0" / "oof.csv").unlink()
    with pytest.raises(InputError, match="small and good have no object in common"):
        compared(tmp_path, "small", "good")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("gone", ["no such run, nor is there a submission 'gone'", "Runs of pack fake: good, same, small"]),
        ("submission:gone", ["gone.toml", "Files there: stacked"]),
        ("fake-grouped/gone", ["no such run"]),
        ("other-data", ["its data (eeeeeeeeeeee) is not that of small (dddddddddddd)"]),
        ("other-labels", ["other-labels: trained on other labels (llllllllllll) than those of", "Train it again"]),
        ("other-rule", ["its label rule (any-source) is not that of small (official-2020)"]),
        ("sizes", ['task = "einstein-radius", expected "lens"']),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, second, words):
    catalog = catalog_of(runs)
    changed = {
        "other-data": {"data_hash": "e" * 64},
        "other-labels": {"labels_hash": "l" * 64},
        "other-rule": {"experiment": {"label_rule": "any-source"}},
        "sizes": {"experiment": {"label_rule": "official-2020", "task": "einstein-radius"}},
    }
    if second in changed:
        write_correlated_run(runs, catalog, second, 1.0, **changed[second])
    done = lensfold(runs, "compare", "small", second, *PACK, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    if second in changed:
        shutil.rmtree(runs / "runs" / "fake" / second)
