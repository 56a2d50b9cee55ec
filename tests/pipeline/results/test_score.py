"""Einstein radii from the predictions of runs to a graded second file, through the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import catalog_text, give_lenses, give_radii
from fakes.runs import RULE, reconfigure, relabel, write_predicting_run, write_submission_settings
from fakes.workspace import lensfold

from lensfold.data.catalog import labels, read_catalog
from lensfold.data.folds import folds_hash, read_folds
from lensfold.files import sealed
from lensfold.paths import Workspace
from lensfold.runs.logits import read_logits
from lensfold.runs.run import Run

PACK = ("--pack", "fake")
#: lenses of the test split; the others are none
KEY_LENSES = [200001, 200002, 200003, 200004]


@pytest.fixture
def runs(workspace) -> Path:
    """A workspace with a run that ranks, and two that measure."""
    pack = Workspace(workspace).pack("fake")
    give_radii(pack.catalog, 1)
    give_radii(pack.key, 2)
    give_lenses(pack.key, KEY_LENSES)
    write_predicting_run(workspace, "ranks", "lens", 3)
    write_predicting_run(workspace, "sizes", "einstein-radius", 4)
    write_predicting_run(workspace, "sizes2", "einstein-radius", 5)
    write_submission_settings(workspace, 'radius = ["sizes", "sizes2"]\n[[member]]\nexperiment = "ranks"\n')
    return workspace


def known(path: Path) -> tuple[pd.Series, pd.Series]:
    """True radii in arcsec, and which objects are lenses."""
    catalog = read_catalog(path)
    return np.sqrt(catalog["ein_area"] / np.pi) * 206264.806247, labels(catalog, RULE) == 1


def oof_logs(workspace: Path, name: str) -> pd.Series:
    folder = workspace / "runs" / "fake" / name
    return pd.concat([read_logits(folder / f"fold{fold}" / "oof.csv") for fold in range(3)]).sort_index()


def refused(workspace: Path, *arguments: str) -> str:
    done = lensfold(workspace, *arguments, check=False)
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_a_run_is_scored_on_the_lenses_of_its_rule(runs):
    out = lensfold(runs, "score", "--experiment", "sizes", *PACK, "--all").stdout
    for word in ("out-of-fold Einstein radii", "lenses of rule official-2020", "MSE of a constant", "sizes", "3.0 min"):
        assert word in out
    truth, lens = known(runs / "data" / "fake" / "image_catalog2.0train.csv")
    predicted, folds = np.exp(oof_logs(runs, "sizes")), pd.read_csv(runs / "folds" / "fake.csv", index_col="ID")["fold"]
    squares, constant = [], []
    for fold in range(3):
        own, others = lens & (folds == fold), lens & (folds != fold)
        factor = (truth[others] * predicted[others]).sum() / (predicted[others] ** 2).sum()
        squares += list((factor * predicted[own] - truth[own]) ** 2)
        constant += list((truth[others].mean() - truth[own]) ** 2)
    scores = json.loads((runs / "runs" / "fake" / "sizes" / "score.json").read_text())
    assert scores["task"] == "einstein-radius" and scores["n"] == lens.sum() == len(squares)
    assert scores["mse"]["value"] == pytest.approx(np.mean(squares))
    assert scores["mse_constant"]["value"] == pytest.approx(np.mean(constant))
    assert sum(cell["n"] for cell in scores["mse_by_size"]) == lens.sum()


def test_both_tasks_share_a_history(runs):
    for name in ("ranks", "sizes"):
        lensfold(runs, "score", "--experiment", name, *PACK)
    history = pd.read_csv(runs / "submissions" / "fake" / "history.csv")
    assert history["auc"].notna().tolist() == [True, False] and history["mse"].notna().tolist() == [False, True]


def test_where_haloes_repeat_they_are_drawn_and_points_stay(runs):
    """Plain folds and the key too; with a halo for each object, or one for all, objects are drawn."""
    out = lensfold(runs, "score", "--experiment", "sizes", *PACK, "--all").stdout
    assert "bootstrap over haloes" in out and "MSE (95 % over haloes)" in out
    lensfold(runs, "score", "--experiment", "ranks", *PACK)
    with_haloes = json.loads((runs / "runs" / "fake" / "ranks" / "score.json").read_text())
    assert with_haloes["bootstrap"]["over"] == "haloes" and set(with_haloes["auc_by_draws"]) == {"objects", "haloes"}
    lensfold(runs, "submit", *PACK)
    assert lensfold(runs, "grade", *PACK).stdout.count("bootstrap over objects") == 2  # the key has one halo
    key = runs / "data" / "fake" / "truth" / "image_catalog2.0test.csv"
    key.write_text(catalog_text(read_catalog(key).assign(halo_mass=[1.0, 2.0] * 4)))
    lensfold(runs, "submit", *PACK)
    assert lensfold(runs, "grade", *PACK).stdout.replace("\n", " ").count("over haloes") == 2
    path = runs / "data" / "fake" / "image_catalog2.0train.csv"
    for masses in (np.arange(60.0), np.zeros(60)):
        path.write_text(catalog_text(read_catalog(path).assign(halo_mass=masses, z_lens=0.5)))
        relabel(runs)
        assert "AUC (95 % over objects)" in lensfold(runs, "score", "--experiment", "ranks", *PACK).stdout
        scores = json.loads((runs / "runs" / "fake" / "ranks" / "score.json").read_text())
        assert scores["auc"] == with_haloes["auc_by_draws"]["objects"] != with_haloes["auc"]
        assert "auc_by_draws" not in scores
        for name in ("auc", "f1", "tpr10", "one_minus_f_beta"):
            assert scores[name]["value"] == with_haloes[name]["value"]


def test_the_prevalence_of_a_searchers_scores_is_asked_for_and_kept(runs):
    printed = lensfold(runs, "score", "--experiment", "ranks", *PACK, "--prevalence", "0.01", "--all").stdout
    assert "With 1 lens in 100, of 100,000 objects, the first 100 hold" in " ".join(printed.split())
    assert "what a searcher gets with 1 lens in 100, of 100,000 objects (95 %)" in printed
    path = runs / "runs" / "fake" / "ranks" / "score.json"
    score = json.loads(path.read_text())
    assert score["searcher"]["prevalence"] == score["made_from"]["prevalence"] == 0.01
    assert (
        score["searcher"]["n_lenses"] == score["n_lenses"]
        and score["searcher"]["n_others"] == score["n"] - score["n_lenses"]
    )
    run = Run(path.parent)
    assert (
        run.kept_score(run.score_origin(None, None, 0.01)) and run.kept_score(run.score_origin(None, None, 0.5)) is None
    )


def test_a_score_of_another_meaning_is_made_again(runs):
    lensfold(runs, "score", "--experiment", "ranks", *PACK)
    path = runs / "runs" / "fake" / "ranks" / "score.json"
    old = json.loads(path.read_text())
    old["made_from"].pop("format")
    path.write_text(json.dumps(sealed(old)))
    assert "ranks: score.json is of an earlier version" in lensfold(runs, "leaderboard", *PACK).stdout
    run = Run(path.parent)
    assert run.kept_score(run.score_origin(None, None)) is None


def test_second_file_of_a_submission(runs):
    out = lensfold(runs, "submit", *PACK, "--all").stdout
    folder = runs / "submissions" / "fake"
    written = pd.read_csv(folder / "default_radius.csv", header=None, index_col=0)[1]
    truth, lens = known(runs / "data" / "fake" / "image_catalog2.0train.csv")
    mean = np.exp((oof_logs(runs, "sizes") + oof_logs(runs, "sizes2")) / 2)
    factor = (truth * mean)[lens].sum() / (mean[lens] ** 2).sum()
    files = [path for name in ("sizes", "sizes2") for path in (runs / "runs/fake" / name).glob("fold*/test/fake.csv")]
    logs = sum(read_logits(path) for path in files) / 6
    assert written.index.tolist() == list(range(200001, 200009))
    np.testing.assert_allclose(written, factor * np.exp(logs), rtol=1e-12)

    manifest = json.loads((folder / "default.json").read_text())
    second = manifest["radius"]
    assert second["file"] == "default_radius.csv" and second["rows"] == 8 and second["label_rule"] == RULE
    assert second["factor"] == pytest.approx(factor) and list(second["members"]) == ["sizes", "sizes2"]
    assert second["scores"][-1]["name"] == "ensemble (log-mean)" and second["scores"][-1]["mse"] == second["oof_mse"]
    assert 0 < second["oof_mse"]["value"] < second["scores"][-1]["mse_constant"]["value"]
    assert list(manifest["members"]) == ["ranks"] and "auc" in manifest["scores"][-1]
    assert "ensemble (logit-mean)" in out and "default_radius.csv: 8 rows, theta_E" in out


def test_grading_scores_the_second_file_too(runs):
    lensfold(runs, "submit", *PACK)
    out = lensfold(runs, "grade", *PACK).stdout
    assert "test scores" in out and "test Einstein radii" in out
    truth, lens = known(runs / "data" / "fake" / "truth" / "image_catalog2.0test.csv")
    written = pd.read_csv(runs / "submissions" / "fake" / "default_radius.csv", header=None, index_col=0)[1]
    row = next(line for line in out.split("test Einstein radii")[1].splitlines() if "default on the test key" in line)
    assert f"{((written - truth)[lens] ** 2).mean():.3f}" in row.split() and str(lens.sum()) in row.split()


def test_grading_names_what_is_taken_for_a_lens(runs):
    lensfold(runs, "submit", *PACK)
    key = read_catalog(runs / "data" / "fake" / "truth" / "image_catalog2.0test.csv")
    bare = labels(key, RULE).eq(0)
    rows = "".join(f"test,{k},{'ring' if bare[k] else 'early'}\n" for k in key.index)
    (runs / "data" / "fake" / "truth" / "classes.csv").write_text("split,ID,class\n" + rows)
    table = lensfold(runs, "grade", *PACK).stdout.split("false positives by class")[1].splitlines()
    assert [line.split()[:2] for line in table if line.startswith(("ring", "early"))] == [["ring", str(bare.sum())]]


def test_header_digits_and_absent_objects_are_those_of_the_first_file(runs):
    """The catalog says that 299999 has no image in either split."""
    catalog = read_catalog(runs / "data" / "fake" / "image_catalog2.0train.csv")
    extra = catalog.iloc[[-1]].set_axis([299999]).assign(simulation_index=10000.0)
    text = catalog_text(pd.concat([catalog, extra]).rename_axis("ID"))
    (runs / "data" / "fake" / "image_catalog2.0train.csv").write_text(text)
    with (runs / "folds" / "fake.csv").open("a") as stream:
        stream.write("299999,0\n")
    for path in (runs / "runs" / "fake").glob("*/config.json"):
        folds = read_folds(runs / "folds" / "fake.csv", read_catalog(runs / "data/fake/image_catalog2.0train.csv"))
        reconfigure(path.parent, json.loads(path.read_text()) | {"folds_hash": folds_hash(folds)})
    relabel(runs)
    settings = (runs / "submissions" / "default.toml").read_text()
    write_submission_settings(runs, "header = true\ndigits = 4\n" + settings)
    lensfold(runs, "submit", *PACK)
    header, *rows = (runs / "submissions" / "fake" / "default_radius.csv").read_text().splitlines()
    assert header == "ID,theta_E" and len(rows) == 9 and rows[-1] == "299999,0"
    assert all(len(row.split(",")[1]) <= 6 for row in rows)
    lensfold(runs, "grade", *PACK)
    write_submission_settings(runs, 'absent = "omit"\n' + settings)
    lensfold(runs, "submit", *PACK)
    assert len((runs / "submissions" / "fake" / "default_radius.csv").read_text().splitlines()) == 8


def test_without_radius_there_is_no_second_file(runs):
    write_submission_settings(runs, '[[member]]\nexperiment = "ranks"\n')
    out = lensfold(runs, "submit", *PACK).stdout
    assert "Einstein" not in out and not (runs / "submissions" / "fake" / "default_radius.csv").exists()
    assert json.loads((runs / "submissions" / "fake" / "default.json").read_text())["radius"] is None
    assert "Einstein" not in lensfold(runs, "grade", *PACK).stdout


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('[[member]]\nexperiment = "sizes"\n', ['task = "einstein-radius", expected "lens"', 'radius = ["sizes"]']),
        (
            'radius = ["ranks"]\n[[member]]\nexperiment = "other"\n',
            ['task = "lens", expected "einstein-radius"', 'Make "ranks" a [[member]]'],
        ),
        ('radius = ["gone"]\n[[member]]\nexperiment = "ranks"\n', ["no such run", "make train EXPERIMENT=gone"]),
        ('radius = "sizes"\n[[member]]\nexperiment = "ranks"\n', ["'radius'", "'sizes'"]),
        ('[[member]]\nexperiment = "ranks"\nradius = ["sizes"]\n', ["unknown key 'member.0.radius'"]),
    ],
)
def test_wrong_members_are_refused_before_anything_is_written(runs, settings, words):
    write_predicting_run(runs, "other", "lens", 6)
    write_submission_settings(runs, settings)
    message = refused(runs, "submit", *PACK)
    assert all(word in message for word in words), message
    assert not (runs / "submissions" / "fake").exists()


def test_a_submission_of_the_second_files_name_is_refused(runs):
    write_submission_settings(runs, '[[member]]\nexperiment = "ranks"\n', "default_radius")
    assert "default_radius.toml" in refused(runs, "submit", *PACK)


def test_a_diverged_network_is_refused(runs):
    write_predicting_run(runs, "sizes", "einstein-radius", 4, scatter=1e4)
    assert "between -50 and 50" in refused(runs, "score", "--experiment", "sizes", *PACK)
    assert "between -50 and 50" in refused(runs, "submit", *PACK)


def test_without_the_catalog_the_factor_is_that_of_the_score(runs):
    """Runs that were brought along to predict another pack."""
    lensfold(runs, "score", "--experiment", "sizes", *PACK)
    (runs / "data" / "fake" / "image_catalog2.0train.csv").unlink()
    message = refused(runs, "submit", *PACK)
    assert "factor" in message and "image_catalog2.0train.csv" in message
    write_submission_settings(runs, 'radius = ["sizes"]\n[[member]]\nexperiment = "ranks"\n')
    lensfold(runs, "submit", *PACK)
    second = json.loads((runs / "submissions" / "fake" / "default.json").read_text())["radius"]
    assert second["factor"] == json.loads((runs / "runs/fake/sizes/score.json").read_text())["factor"]
