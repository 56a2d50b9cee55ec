"""The reproduction of the paper without its trainings: plan, measures on made-up runs, page."""

import json
import re
import shutil
import tomllib

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import catalog_text, fake_catalog
from fakes.runs import reconfigure, write_catalogs, write_correlated_run
from hypothesis import given
from hypothesis import strategies as st

from lensfold.config import Experiment, validated
from lensfold.data.catalog import large_lens_labels, read_catalog
from lensfold.errors import InputError
from lensfold.paper import measures, page, plan
from lensfold.paper.figures import CURVES
from lensfold.paper.reproduction import ENTRY, as_toml, reproduce_paper
from lensfold.paper.results import COMPARED_ON_TASK, COMPARED_ON_WHOLE, RULE_RUNS, TESTED
from lensfold.paths import Pack, Workspace
from lensfold.scoring.metrics import best_accuracy_threshold

NETWORKS = ("efficientnet_lite0", "efficientnet_lite2")
SCORE = {"value": 0.8123, "low": 0.79, "high": 0.83}


def experiments(scale: plan.Scale) -> dict[str, dict]:
    return {**plan.task_experiments(scale, *NETWORKS), **plan.whole_experiments(scale, NETWORKS[0])}


@pytest.mark.parametrize("name", plan.SCALES)
def test_every_experiment_is_valid_and_survives_its_file(name, tmp_path):
    scale = plan.scale_of(name)
    for experiment, content in experiments(scale).items():
        again = tomllib.loads(as_toml(content))
        assert again == json.loads(json.dumps(content)), experiment
        validated(again, Experiment, tmp_path / experiment)


def test_runs_that_the_page_needs_are_planned():
    for scale in plan.SCALES.values():
        on_task, on_whole = plan.task_experiments(scale, *NETWORKS), plan.whole_experiments(scale, NETWORKS[0])
        assert {*TESTED, *CURVES.values(), *(name for pair in COMPARED_ON_TASK for name in pair)} <= set(on_task)
        assert {*ENTRY, *RULE_RUNS, *(name for pair in COMPARED_ON_WHOLE for name in pair)} <= set(on_whole)
        assert set(plan.task_experiments(scale, NETWORKS[0], None)) == set(on_task) - {"later-larger"}


def test_an_efficientnet_sees_large_lenses_first_and_finer_pixels_last():
    for scale in plan.SCALES.values():
        stages = plan.transfer(scale, NETWORKS[0], [32, 16])["stage"]
        assert [stage["min_size"] for stage in stages] == [150, 300, 150, 150]
        assert [stage.get("bin") for stage in stages] == [2 * scale.bin] * 3 + [None]
        assert [stage.get("trainable", "all") for stage in stages] == ["head", "all", "all", "all"]


def test_an_unknown_scale_is_named():
    with pytest.raises(InputError, match="SCALE=huge: expected one of smoke, default, full"):
        plan.scale_of("huge")


def test_all_curricula_see_as_many_epochs():
    for scale in plan.SCALES.values():
        falling, restarts, at_once, _ = plan.all_lenses(scale, NETWORKS[0]).values()
        epochs = [[stage["epochs"] for stage in run["stage"]] for run in (falling, restarts, at_once)]
        assert epochs[0] == epochs[1] and {stage["min_size"] for stage in restarts["stage"]} == {20}
        assert sum(epochs[0]) == max(sum(epochs[2]), 4)  # four stages need four epochs


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.integers() | st.booleans() | st.text(
    st.characters(codec="ascii", exclude_characters="\x7f"))))  # fmt: skip
def test_toml_keeps_values(table):
    assert tomllib.loads(as_toml({"table": table}))["table"] == table


def test_the_task_is_balanced_and_the_same_each_time():
    catalog = fake_catalog(400)
    labels = measures.paper_task(catalog)
    counts = labels.value_counts()
    assert counts[0.0] == counts[1.0] > 0 and labels.index.is_monotonic_increasing
    whole = large_lens_labels(catalog, "official-2020", 150)
    assert (labels == whole[labels.index]).all()
    assert counts[1.0] == whole.value_counts().min()
    assert measures.paper_task(catalog.sample(frac=1, random_state=1)).equals(labels)


def test_a_pack_without_the_task_is_refused():
    catalog = fake_catalog(400)
    with pytest.raises(InputError, match="0 lenses of more than 150 px and .* task needs 20 of each"):
        measures.paper_task(catalog.assign(n_pix_source=catalog["n_pix_source"].clip(upper=100)))


def test_a_test_split_without_the_task_is_not_judged(tmp_path):
    pack = Pack("p", tmp_path)
    assert measures.fresh_task(pack) is None
    pack.key.parent.mkdir(parents=True)
    catalog = fake_catalog(400)
    pack.key.write_text(catalog_text(catalog))
    assert measures.fresh_task(pack).equals(measures.paper_task(read_catalog(pack.key)))
    pack.key.write_text(catalog_text(catalog.head(30)))
    assert measures.fresh_task(pack) is None


def test_a_pack_of_another_number_of_objects_is_not_taken_for_the_scales_own(tmp_path):
    pack = Workspace(tmp_path).pack("paper-smoke-task")
    pack.folder.mkdir(parents=True)
    pack.catalog.write_text(catalog_text(fake_catalog(30)))
    with pytest.raises(InputError, match="has 30 train objects, scale smoke has 200. Delete the folder"):
        reproduce_paper(tmp_path, "smoke", None, None, 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("paper")
    catalog = write_catalogs(root)
    for name, scatter in (("good", 0.5), ("bad", 2.0), ("better", 0.4), ("worse", 2.2)):
        write_correlated_run(root, catalog, name, scatter)
    return Workspace(root), Pack("fake", root / "data" / "fake")


def test_scores_are_those_of_the_task_alone(runs):
    from sklearn.metrics import roc_auc_score

    from lensfold.runs.run import Run

    workspace, pack = runs
    labels = measures.paper_task(read_catalog(pack.catalog))
    found = measures.task_scores(measures.on_task(workspace, pack, "good", labels))
    logits = Run(workspace.run("fake", "good")).oof()["logit"][labels.index]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(labels, logits))
    assert found["n"] == len(labels) and found["accuracy"]["value"] > 0.8


def test_accuracy_is_judged_on_other_folds_than_its_threshold_and_has_the_binomial_error(runs):
    workspace, pack = runs
    labels = measures.paper_task(read_catalog(pack.catalog))
    scored = measures.on_task(workspace, pack, "good", labels)
    right = 0
    for fold, rows in scored.groupby("fold"):
        others = scored[scored["fold"] != fold]
        cuts = np.append(others["logit"], np.inf)
        best = max(((others["logit"] >= cut) == (others["label"] == 1)).sum() for cut in cuts)
        cut = best_accuracy_threshold(others["label"], others["logit"])
        assert ((others["logit"] >= cut) == (others["label"] == 1)).sum() == best
        right += int(((rows["logit"] >= cut) == (rows["label"] == 1)).sum())
    found = measures.task_scores(scored)["accuracy"]
    assert found["value"] == pytest.approx(right / len(scored))
    shares = [scored["right"][scored["label"] == label].mean() for label in (0, 1)]
    error = np.sqrt(sum(share * (1 - share) for share in shares) / len(scored) / 2)  # as many of each class
    assert found["high"] - found["value"] == pytest.approx(1.959964 * error)


def test_ranks_within_folds_do_not_see_their_scales(runs, tmp_path):
    from lensfold.runs.logits import read_logits, write_logits

    labels = measures.paper_task(read_catalog(runs[1].catalog))
    workspace = Workspace(shutil.copytree(runs[0].root, tmp_path / "w"))
    pack, folder = workspace.pack("fake"), workspace.run("fake", "good")
    before = measures.task_scores(measures.on_task(workspace, pack, "good", labels, ranked=True))
    unranked = measures.task_scores(measures.on_task(workspace, pack, "good", labels))
    for fold, scale in enumerate((1.0, 50.0, 0.01)):
        path = folder / f"fold{fold}" / "oof.csv"
        values = read_logits(path)
        write_logits(path, values.index.to_numpy(), scale * values.to_numpy() + fold)
    reconfigure(folder)
    assert measures.task_scores(measures.on_task(workspace, pack, "good", labels, ranked=True)) == before
    assert measures.task_scores(measures.on_task(workspace, pack, "good", labels)) != unranked


def test_an_improvement_holds_the_error_of_objects_and_seeds(runs):
    workspace, pack = runs
    labels = measures.paper_task(read_catalog(pack.catalog))
    good, bad, better, worse = (
        measures.on_task(workspace, pack, name, labels) for name in ("good", "bad", "better", "worse")
    )
    pairs = [(bad, good), (worse, better)]
    one, two = (measures.improvement(some, "auc") for some in (pairs[:1], pairs))
    parts = [measures.improvement([pair], "auc") for pair in pairs]
    assert one["low"] < one["value"] < one["high"] and one["value"] > 0 and two["seeds"] == 2
    assert one["n"] == len(good)
    assert two["value"] == pytest.approx(np.mean([part["value"] for part in parts]))
    of_objects = np.mean([part["high"] - part["value"] for part in parts])
    of_seeds = 12.706 * np.std([part["value"] for part in parts], ddof=1) / np.sqrt(2)  # Student's t, one degree
    assert two["high"] - two["value"] == pytest.approx(np.hypot(of_objects, of_seeds), rel=1e-4)
    nothing = measures.improvement([(good, good)])
    assert nothing["value"] == nothing["low"] == nothing["high"] == 0


def test_a_fresh_test_is_judged_at_the_threshold_of_the_train_split(runs, monkeypatch):
    from lensfold.runs.run import Run

    workspace, pack = runs
    labels = measures.paper_task(read_catalog(pack.catalog))
    known = measures.on_task(workspace, pack, "good", labels)
    cut = best_accuracy_threshold(known["label"], known["logit"])
    logits = pd.Series([cut - 1, cut + 1, cut - 1, cut + 1, 9.0], index=[1, 2, 3, 4, 5])
    monkeypatch.setattr(Run, "test_logits", lambda run, pack_name: logits)
    key = pd.Series([0.0, 0.0, 1.0, 1.0, 1.0], index=[1, 2, 3, 4, 6])
    table = measures.on_test(workspace, pack, "good", labels, key)
    assert table.index.tolist() == [1, 2, 3, 4] and table["right"].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert measures.task_scores(table)["accuracy"]["value"] == 0.5


def test_what_a_learning_curve_says():
    rising = pd.DataFrame({"valid_auc": np.linspace(0.61, 0.7, 10), "loss": np.linspace(0.6, 0.51, 10)})
    flat = pd.DataFrame({"valid_auc": np.full(10, 0.8), "loss": np.full(10, 0.4)})
    found = measures.learning({0: rising, 1: flat})
    assert found["epochs"] == 10
    assert found["auc"] == pytest.approx([(0.65 + 0.8) / 2, (0.68 + 0.8) / 2, (0.7 + 0.8) / 2])
    assert found["loss"] == pytest.approx([(0.56 + 0.4) / 2, (0.53 + 0.4) / 2, (0.51 + 0.4) / 2])
    assert found["rises"] == pytest.approx([0.02, 0.0])


def made_up_results() -> dict:
    scale = plan.scale_of("smoke")
    own = {"n": 200, "accuracy": SCORE, "auc": SCORE}
    gain = {"n": 200, "value": 0.031, "low": -0.012, "high": 0.074, "seeds": 3}
    rule = {"n": 600, "auc": SCORE, "auc_large": SCORE, "mean_fold_auc": SCORE}
    rule["auc_by_size"] = [{"bin": i, "n": 40 + i, **SCORE} for i in range(6)]
    rule["auc_by_size"][1]["value"] = None
    curve = {"epochs": 12, "auc": [0.7, 0.75, 0.7612], "loss": [0.5, 0.4, 0.38], "rises": [0.031, -0.002]}
    layers = [["image", [None, 64, 64, 2], 0], ["conv1", [None, 64, 64, 16], 304]]
    wins = {"auc": gain, "accuracy": gain}
    return {
        "scale": "smoke", "says": scale.says, "task_pack": "paper-smoke-task", "whole_pack": "paper-smoke-all",
        "synthetic": True, "objects": 12345, "task_objects": 200, "whole_task_objects": 60, "folds": 2, "seeds": 1,
        "step_epochs": 1, "step_pixels": 64, "pixels": 64, "kernel_objects": 100,
        "efficientnet": NETWORKS[0], "larger": NETWORKS[1],
        "task": dict.fromkeys(experiments(scale), own),
        "spectra": {
            f"{source}, {kernel}": [0.5, 0.2, 0.1, 0.05]
            for source in ("pixels", "embeddings")
            for kernel in plan.KERNELS
        },
        "table2": {step: {**own, "seeds": 1, "gain": None if step == "none" else gain} for step in plan.PREPROCESSING},
        "fresh": {"task": dict.fromkeys(TESTED, {**own, "n": 3000}), "wins": wins},
        "wins": wins,
        "learning": dict.fromkeys(TESTED, curve),
        "rule": dict.fromkeys((*TESTED, *RULE_RUNS), rule),
        "gains": {f"{first} → {second}": gain for first, second in (*COMPARED_ON_TASK, *COMPARED_ON_WHOLE)},
        "layers": {"small_cnn": layers, "efficientnet_head": layers, "efficientnet_body_parameters": 3412345},
        "grade": {"n": 120, "auc": SCORE, "auc_large": SCORE},
    }  # fmt: skip


def test_the_page_shows_every_table_beside_the_papers_numbers():
    found = page.render(made_up_results())
    for text in ("12,345 train objects", "< 50 %", "+3.08 %", "91.733 %", "0.909", "+3.1 (-1.2 to +7.4) points",
                 "+0.031 (-0.012 to +0.074)", "0.812 (0.790–0.830)", "81.2% (79.0%–83.0%)", "3,412,345",
                 "64 × 64 × 16", "proves that everything runs, and nothing else", "Simulated packs",
                 "fresh test, n = 3,000", "0.7612 | +0.0310, -0.0020 | 0.400 → 0.380", "0.812 ± 0.020",
                 ">300 px, n = 45", "efficientnet_lite2, dense 32 and 16"):  # fmt: skip
        assert text in found
    assert "undefined" not in found and "{" not in found
    tables = re.findall(r"(?:^\|.*\|\n)+", found, re.M)
    assert len(tables) == 10
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_page_says_which_network_wins():
    results = made_up_results()
    for low, high, words in ((0.01, 0.02, "EfficientNet wins"), (-0.02, -0.01, "small CNN wins, other"),
                             (-0.01, 0.01, "Neither wins")):  # fmt: skip
        results["wins"]["auc"] = {"n": 200, "value": (low + high) / 2, "low": low, "high": high, "seeds": 1}
        found = page.render(results).replace("**", "")
        assert words in found and f"AUC {(low + high) / 2:+.3f} ({low:+.3f} to {high:+.3f})" in found


def test_the_page_of_a_pack_without_a_key_and_without_larger_weights():
    results = made_up_results()
    results["grade"], results["synthetic"], results["fresh"], results["larger"] = None, False, None, None
    del results["gains"]["table3-efficientnet → later-larger"]
    found = page.render(results)
    assert "no key" in found and "Simulated pack" not in found and "on the fresh test." not in found
    assert "lite2" not in found and '".[lite]"' in found
