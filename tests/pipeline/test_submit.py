"""Learnt ensembles from the settings file to the CSV and its manifest, through the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import catalog_text
from fakes.oracles import f_beta_loss, recall_below
from fakes.runs import reconfigure, relabel, write_catalogs, write_correlated_run, write_submission_settings
from fakes.workspace import lensfold
from scipy.special import expit, logit

from lensfold.data.catalog import labels, read_catalog
from lensfold.runs.logits import write_logits
from lensfold.runs.run import Run
from lensfold.scoring import metrics as scores

PACK = ("--pack", "fake")
NAMES = ("small", "good", "poor")
MEMBERS = "".join(f'[[member]]\nexperiment = "{name}"\n' for name in NAMES)


@pytest.fixture
def runs(tmp_path) -> Path:
    catalog = write_catalogs(tmp_path)
    for name, scatter, scale in (("small", 1.6, 2.0), ("good", 1.3, 2.0), ("poor", 4.0, 9.0)):
        write_correlated_run(tmp_path, catalog, name, scatter, scale=scale)
    return tmp_path


def submitted(root: Path, settings: str) -> tuple[dict, pd.Series, str]:
    """The manifest, the probabilities written and the text shown."""
    write_submission_settings(root, settings + MEMBERS)
    out = lensfold(root, "submit", *PACK, "--all").stdout
    folder = root / "submissions" / "fake"
    written = pd.read_csv(folder / "default.csv", header=None, index_col=0)[1]
    return json.loads((folder / "default.json").read_text()), written, out


def columns(root: Path) -> tuple[np.ndarray, pd.Series, pd.Series, np.ndarray]:
    """Out-of-fold logits of the members, folds and labels; and test logits."""
    oof = [Run(root / "runs" / "fake" / name).oof() for name in NAMES]
    test = np.stack([Run(root / "runs" / "fake" / name).test_logits("fake") for name in NAMES], axis=1)
    y = labels(read_catalog(root / "data" / "fake" / "image_catalog2.0train.csv"), "official-2020")
    return np.stack([part["logit"] for part in oof], axis=1), oof[0]["fold"], y, test


def refused(root: Path, settings: str, members: str = MEMBERS) -> str:
    write_submission_settings(root, settings + members)
    done = lensfold(root, "submit", *PACK, check=False)
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (root / "submissions" / "fake" / "default.csv").exists()
    return done.stderr


@pytest.mark.parametrize("combine", ["stacking", "greedy"])
def test_weights_of_the_test_split_and_of_each_fold(runs, combine):
    manifest, written, out = submitted(runs, f'combine = "{combine}"\n')
    record, (oof, fold, y, test) = manifest["ensemble"], columns(runs)
    assert record["learnt_from"] == "other folds" and set(record["by_fold"]) == {"0", "1", "2"}
    weights = np.array([record["test"]["weights"][name] for name in NAMES])
    assert (weights >= 0).all() and [manifest["members"][name]["weight"] for name in NAMES] == weights.tolist()
    np.testing.assert_allclose(logit(written), test @ weights + record["test"]["offset"], rtol=1e-9)
    nested = pd.Series(0.0, fold.index)
    for number, part in record["by_fold"].items():
        own = (fold == int(number)).to_numpy()
        nested[own] = oof[own] @ np.array([part["weights"][name] for name in NAMES]) + part["offset"]
        assert combine == "greedy" or part != record["test"]
    row = manifest["scores"][-1]
    assert row["name"] == f"ensemble ({combine})"
    assert row["auc"]["value"] == pytest.approx(scores.auc(y, nested))
    assert row["tpr10"]["value"] == pytest.approx(recall_below(y, nested, 10))
    against = record["against_best"]
    best = max(NAMES, key=lambda name: scores.auc(y, Run(runs / "runs" / "fake" / name).oof()["logit"]))
    own = scores.auc(y, Run(runs / "runs" / "fake" / best).oof()["logit"])
    assert against["best"] == best and against["auc"]["value"] == pytest.approx(row["auc"]["value"] - own)
    for word in (f"weights (shares) · {combine}", "test split", "fold 2", f"best member, {best}", "TPR0", "TPR10"):
        assert word in out


def test_what_each_member_adds_is_the_ensemble_less_that_of_the_others(runs):
    weights = {"small": 3.0, "good": 1.0, "poor": 1.0}
    listed = [f'[[member]]\nexperiment = "{name}"\nweight = {weights[name]}\n' for name in NAMES]
    write_submission_settings(runs, "".join(listed))
    out = " ".join(lensfold(runs, "submit", *PACK).stdout.split())
    whole = json.loads((runs / "submissions" / "fake" / "default.json").read_text())
    oof, _, y, _ = columns(runs)
    for number, (name, row) in enumerate(zip(NAMES, whole["scores"], strict=False)):
        part, others = whole["ensemble"]["adds"][number], [other for other in range(3) if other != number]
        rest = np.average(oof[:, others], axis=1, weights=[weights[NAMES[other]] for other in others])
        assert part["name"] == row["name"] == name and part["own"] == row["auc"]
        assert part["first"] == pytest.approx(scores.auc(y, rest))
        assert part["second"] == pytest.approx(whole["scores"][-1]["auc"]["value"])
        assert part["value"] == pytest.approx(part["second"] - part["first"])
        assert f"{name} {part['value']:+.3f} ({part['low']:+.3f} to {part['high']:+.3f})" in out


def test_without_a_member_the_others_are_learnt_anew_for_each_fold(runs):
    settings = 'combine = "stacking"\ncalibrate = "platt"\n'
    whole, _, out = submitted(runs, settings)
    part = whole["ensemble"]["adds"][NAMES.index("good")]
    assert f"{part['first']:.4f}" in out and f"{part['own']['value']:.4f}" in out
    others = "".join(f'[[member]]\nexperiment = "{name}"\n' for name in NAMES if name != "good")
    write_submission_settings(runs, settings + others)
    lensfold(runs, "submit", *PACK)
    rest = json.loads((runs / "submissions" / "fake" / "default.json").read_text())
    assert part["first"] == pytest.approx(rest["scores"][-1]["auc"]["value"])
    assert part["value"] == pytest.approx(whole["scores"][-1]["auc"]["value"] - part["first"]) and part["low"] > 0


def test_a_learnt_ensemble_beats_the_plain_mean_with_a_poor_member(runs):
    plain, _, _ = submitted(runs, "")
    learnt, _, _ = submitted(runs, 'combine = "stacking"\n')
    assert plain["ensemble"]["by_fold"] == {} and plain["ensemble"]["test"]["weights"] == dict.fromkeys(NAMES, 1.0)
    assert learnt["scores"][-1]["auc"]["value"] > plain["scores"][-1]["auc"]["value"] + 0.02


@pytest.mark.parametrize("calibrate", ["temperature", "platt"])
def test_calibration_changes_probabilities_and_no_rank(runs, calibrate):
    plain, before, _ = submitted(runs, "")
    manifest, after, out = submitted(runs, f'calibrate = "{calibrate}"\n')
    record = manifest["ensemble"]
    slope, offset = record["test"]["calibration"]["slope"], record["test"]["calibration"]["offset"]
    assert slope > 0 and (offset == 0) == (calibrate == "temperature")
    np.testing.assert_allclose(logit(after), slope * logit(before) + offset, rtol=1e-6, atol=1e-9)
    assert after.rank(method="min").tolist() == before.rank(method="min").tolist()
    assert after.tolist() != before.tolist()
    calibration = record["calibration"]
    assert calibration["brier"] < calibration["brier_uncalibrated"]
    assert manifest["scores"][-1]["brier"]["value"] == pytest.approx(calibration["brier"])
    assert plain["scores"][-1]["brier"]["value"] == pytest.approx(calibration["brier_uncalibrated"])
    assert sum(row["n"] for row in calibration["reliability"]) == manifest["scores"][-1]["n"]
    assert "calibration out of fold: Brier score" in out and "slope of the calibration" in out


def test_calibration_of_a_fold_comes_from_the_others(runs):
    """Labels of fold 1 turned round in the catalog: what is applied to fold 1 stays."""
    before, _, _ = submitted(runs, 'combine = "stacking"\ncalibrate = "platt"\n')
    path = runs / "data" / "fake" / "image_catalog2.0train.csv"
    catalog, fold = read_catalog(path), columns(runs)[1]
    own = (fold == 1) & (np.arange(len(fold)) % 3 == 0)
    lens = labels(catalog, "official-2020") == 1
    catalog.loc[own & lens, "n_source_im"] = 0.0
    path.write_text(catalog_text(catalog))
    relabel(runs)
    after, _, _ = submitted(runs, 'combine = "stacking"\ncalibrate = "platt"\n')
    of_before, of_after = (manifest["ensemble"]["by_fold"] for manifest in (before, after))
    assert of_after["1"] == of_before["1"]
    assert of_after["0"] != of_before["0"] and of_after["2"] != of_before["2"]
    assert after["ensemble"]["test"] != before["ensemble"]["test"]


def test_grading_takes_probabilities_for_what_they_are(runs):
    _, written, _ = submitted(runs, 'combine = "stacking"\ncalibrate = "platt"\n')
    y = labels(read_catalog(runs / "data" / "fake" / "truth" / "image_catalog2.0test.csv"), "official-2020")
    out = lensfold(runs, "grade", *PACK, "--beta-squared", "1").stdout
    assert "beta² = 1:" in out
    row = next(line for line in out.split("readings of F_beta")[1].splitlines() if "default on the test key" in line)
    half = f_beta_loss(y, written, 0.5, 1.0)
    assert f"{half:.5f}" in row.split() and f"{scores.brier(y, written):.3f}" in row.split()
    logits, _, _ = submitted(runs, 'score = "logit"\n')
    assert logits["settings"]["score"] == "logit"
    out = lensfold(runs, "grade", *PACK).stdout
    of_logits = expit(pd.read_csv(runs / "submissions" / "fake" / "default.csv", header=None, index_col=0)[1])
    row = next(line for line in out.split("readings of F_beta")[1].splitlines() if "default on the test key" in line)
    assert f"{scores.brier(y, of_logits):.3f}" in row.split()


def test_another_beta_scores_the_members_again(runs):
    write_submission_settings(runs, MEMBERS)
    lensfold(runs, "submit", *PACK, "--beta-squared", "0.5")
    manifest = json.loads((runs / "submissions" / "fake" / "default.json").read_text())
    assert {row["beta_squared"] for row in manifest["scores"]} == {0.5}


def test_a_score_of_an_earlier_version_is_made_again(runs):
    (runs / "runs" / "fake" / "small" / "score.json").write_text(json.dumps({"name": "small", "folds": [0, 1, 2]}))
    manifest, _, _ = submitted(runs, "")
    assert manifest["scores"][0]["name"] == "small" and manifest["scores"][0]["brier"]["value"] > 0


def test_a_single_member_has_no_best_member_to_beat(runs):
    write_submission_settings(runs, '[[member]]\nexperiment = "good"\n')
    out = lensfold(runs, "submit", *PACK, "--all").stdout
    manifest = json.loads((runs / "submissions" / "fake" / "default.json").read_text())
    assert manifest["ensemble"]["against_best"] is None and "weights" not in out and "best member" not in out
    assert manifest["ensemble"]["adds"] == [] and "adds" not in out


def test_a_single_experiment_is_submitted_by_its_name(runs):
    lensfold(runs, "submit", *PACK, "--submission", "good")
    path = runs / "submissions" / "fake" / "good.csv"
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert list(manifest["members"]) == ["good"] and manifest["settings_sha256"] is None
    np.testing.assert_allclose(
        logit(pd.read_csv(path, header=None, index_col=0)[1]),
        Run(runs / "runs/fake/good").test_logits("fake"),
        rtol=1e-9,
    )
    shown = lensfold(runs, "explain-submission", str(path), "--verify", check=False).stdout
    assert "SUBMISSION=good" in shown and "good.toml" not in shown.split("compared with")[1].split("experiments")[0]
    done = lensfold(runs, "submit", *PACK, "--submission", "nobody", check=False)
    assert done.returncode == 1 and "submissions/nobody.toml" in done.stderr


# Refusals


def test_without_labels_nothing_is_learnt(runs):
    (runs / "folds" / "fake.csv").unlink()
    for settings in ('combine = "greedy"\n', 'calibrate = "platt"\n'):
        message = refused(runs, settings)
        assert "cannot be learnt" in message and "fake.csv is absent" in message and "logit-mean" in message
    manifest, _, _ = submitted(runs, "")
    assert manifest["ensemble"] is None and manifest["rows"] == 40


@pytest.mark.parametrize(
    ("settings", "members", "words"),
    [
        ('combine = "stack"\n', MEMBERS, ["'combine'", "'stack'", "stacking"]),
        ('calibrate = "isotonic"\n', MEMBERS, ["'calibrate'", "temperature"]),
        ('combine = "greedy"\nselect_by = "f1"\n', MEMBERS, ["'select_by'", "average-precision"]),
        (
            'combine = "stacking"\n',
            '[[member]]\nexperiment = "small"\nweight = 2.0\n',
            ['combine = "stacking" learns the weights', "leave weight out"],
        ),
    ],
)
def test_wrong_settings(runs, settings, members, words):
    message = refused(runs, settings, members)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("change", ["folds", "rule", "missing", "doubled", "fold"])
def test_members_that_do_not_fit_together(runs, change):
    run = runs / "runs" / "fake" / "good"
    config, oof = json.loads((run / "config.json").read_text()), pd.read_csv(run / "fold1" / "oof.csv")
    words = {
        "folds": ["its folds (aaaaaaaaaaaa) is not that of", f"({config['folds_hash'][:12]})"],
        "rule": ["its label rule (any-source)", "(official-2020)"],
        "missing": ["good: out-of-fold logits do not match the folds", f"ID {oof['ID'].iloc[-1]}"],
        "doubled": [f"ID {oof['ID'].iloc[0]} stands there twice"],
        "fold": ["good: its out-of-fold logits are not of the objects", "make train EXPERIMENT=good"],
    }[change]
    if change == "folds":
        reconfigure(run, {**config, "folds_hash": "a" * 64})
    elif change == "rule":
        reconfigure(run, {**config, "experiment": {**config["experiment"], "label_rule": "any-source"}})
    elif change == "missing":
        cache = runs / "data" / "fake" / "cache" / "train"
        cache.mkdir()
        ids = read_catalog(runs / "data" / "fake" / "image_catalog2.0train.csv").index.tolist()
        manifest = json.loads((cache.parent / "test" / "manifest.json").read_text())
        (cache / "manifest.json").write_text(
            json.dumps({**manifest, "objects": len(ids), "shards": [{"ids": ids, "sha256": "0"}]})
        )
        write_logits(run / "fold1" / "oof.csv", oof["ID"].to_numpy()[:-1], oof["logit"].to_numpy()[:-1])
        reconfigure(run)
    elif change == "doubled":
        with (run / "fold1" / "oof.csv").open("a") as stream:
            stream.write(f"{oof['ID'].iloc[0]},0.5\n")
        reconfigure(run)
    else:
        (run / "fold1" / "oof.csv").unlink()
    message = refused(runs, 'combine = "stacking"\n')
    assert all(word in message for word in words), message
