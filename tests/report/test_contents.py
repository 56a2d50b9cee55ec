"""Run folders as a report finds them: whole, half-written, with wrong IDs; and where runs disagree."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import give_radii
from fakes.runs import reconfigure, write_run_with_history
from fakes.workspace import lensfold

from lensfold.data.catalog import labels, read_catalog
from lensfold.errors import InputError
from lensfold.files import sealed
from lensfold.paths import Workspace
from lensfold.report.contents import (
    Refused,
    best_first,
    disagreements,
    read_histories,
    read_run,
    read_truth,
    run_names,
)
from lensfold.runs.run import Run
from lensfold.scoring.metrics import fold_ranks

PACK = ("--pack", "fake")


@pytest.fixture
def truth(workspace):
    return truth_of(workspace)


def truth_of(workspace):
    place = Workspace(workspace)
    return read_truth(place, place.pack("fake"))


def edit(path, change):
    """Rewrite the lines of a file."""
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def test_a_whole_run_is_read(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    lensfold(workspace, "score", "--experiment", "a", *PACK)
    run = read_run(folder, truth)
    catalog = read_catalog(workspace / "data" / "fake" / "image_catalog2.0train.csv")
    assert run.table.index.equals(catalog.index) and run.folds == [0, 1, 2] and run.of_folds == 3
    assert run.table["label"].equals(labels(catalog, "official-2020"))
    assert run.score["auc"]["value"] > 0.5 and run.notes == ()
    assert run.ranks.tolist() == fold_ranks(run.table["logit"], run.table["fold"]).tolist()
    assert sorted(read_histories(run.run)) == [0, 1, 2]


def test_a_pack_with_a_key_is_synthetic(workspace, truth):
    assert truth.synthetic
    shutil.rmtree(workspace / "data" / "fake" / "truth")
    assert not truth_of(workspace).synthetic
    catalog = workspace / "data" / "fake" / "image_catalog2.0train.csv"
    catalog.write_text("# SYNTHETIC: simulated\n" + catalog.read_text())
    assert truth_of(workspace).synthetic


def test_half_written_runs_say_so(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    (folder / "config.json").rename(folder / "x")
    assert read_run(folder, truth) == Refused("a", "half-written: no config.json", True)
    (folder / "x").rename(folder / "config.json")
    for fold in range(3):
        (folder / f"fold{fold}" / "oof.csv").unlink()
    assert read_run(folder, truth).half_written and "no complete fold" in read_run(folder, truth).reason


def test_complete_folds_of_an_unfinished_run_are_shown(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    (folder / "fold1" / "oof.csv").unlink()
    run = read_run(folder, truth)
    assert run.folds == [0, 2] and "2 of 3 folds are trained" in run.notes
    assert len(run.table) == (truth.folds != 1).sum()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [*lines[:5], *lines[6:]], ["ID {5} is missing", "1 such"]),
        (lambda lines: [*lines, lines[5]], ["ID {5} stands there twice"]),
        (lambda lines: [*lines, "999999,0.5"], ["ID 999999 has an out-of-fold logit"]),
        (lambda lines: [*lines[:5], lines[5].split(",")[0] + ",nan", *lines[6:]], ["ID {5}", "finite"]),
        (lambda lines: [*lines[:5], "2000"], ["ID 2000"]),
        (lambda lines: [*lines[:5], "2000,a"], ["damaged"]),
        (lambda lines: lines[:1], ["is missing"]),
    ],
)
def test_wrong_ids_refuse_a_run(workspace, truth, change, words):
    folder = write_run_with_history(workspace, "a")
    path = folder / "fold0" / "oof.csv"
    fifth = path.read_text().splitlines()[5].split(",")[0]
    edit(path, change)
    reconfigure(folder)
    refused = read_run(folder, truth)
    assert isinstance(refused, Refused) and not refused.half_written
    assert all(word.replace("{5}", fifth) in refused.reason for word in words), refused.reason


def test_an_id_in_two_folds_refuses_a_run(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    row = (folder / "fold1" / "oof.csv").read_text().splitlines()[1]
    edit(folder / "fold0" / "oof.csv", lambda lines: [*lines, row])
    reconfigure(folder)
    assert "two folds" in read_run(folder, truth).reason


def test_objects_without_pixels_are_not_missed(workspace):
    """Left out of the cache, so out of the run too."""
    folder = write_run_with_history(workspace, "a")
    manifest = workspace / "data" / "fake" / "cache" / "train" / "manifest.json"
    content = json.loads(manifest.read_text())
    gone = content["shards"][0]["ids"].pop()
    content["objects"] -= 1
    manifest.write_text(json.dumps(sealed(content)))
    for fold in range(3):
        edit(folder / f"fold{fold}" / "oof.csv", lambda lines: [x for x in lines if not x.startswith(f"{gone},")])
    reconfigure(folder)
    assert gone not in read_run(folder, truth_of(workspace)).table.index
    write_run_with_history(workspace, "a")
    assert f"ID {gone}" in read_run(folder, truth_of(workspace)).reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"experiment": {}, "folds_hash": "a"}', "label_rule"),
        ('{"experiment": {"label_rule": "mine"}, "pack": "fake", "folds_hash": "a"}', "no task"),
        ('{"experiment": {"label_rule": "mine", "task": "lens"}, "pack": "fake", "folds_hash": "a"}', "data_hash"),
        (
            '{"experiment": {"label_rule": "mine", "task": "lens"}, "pack": "fake", "folds_hash": "a", '
            '"data_hash": "b", "labels_hash": "c"}',
            "'mine'",
        ),
    ],
)
def test_a_damaged_config_refuses_a_run(workspace, truth, content, words):
    folder = write_run_with_history(workspace, "a")
    (folder / "config.json").write_text(content)
    assert words in read_run(folder, truth).reason


def test_a_folder_that_only_looks_like_a_fold_refuses_a_run(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    (folder / "folder").mkdir()
    (folder / "folder" / "oof.csv").write_text("ID,logit\n")
    assert isinstance(read_run(folder, truth), Refused)


def test_names_of_the_reports_own_files_are_refused(workspace, truth):
    assert "taken" in read_run(write_run_with_history(workspace, "index"), truth).reason


def test_a_stale_score_is_not_shown(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    lensfold(workspace, "score", "--experiment", "a", *PACK)
    write_run_with_history(workspace, "a", seed=9)
    run = read_run(folder, truth)
    assert run.score is None and "lensfold score --experiment a" in run.notes[0]
    (folder / "score.json").write_text("{}")
    assert read_run(folder, truth).score is None


def test_damaged_histories_are_left_out(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    (folder / "fold0" / "history.csv").write_text("")
    (folder / "fold1" / "history.csv").write_text("epoch,loss\n1,0.5\n")
    assert sorted(read_histories(Run(folder))) == [2]


def test_other_folds_are_shown_but_not_compared(workspace, truth):
    run = read_run(write_run_with_history(workspace, "a", folds_hash="e" * 64), truth)
    other = read_run(write_run_with_history(workspace, "b"), truth)
    assert "other folds" in run.notes[0]
    table, left_out = disagreements(other, [run, other], 10)
    assert len(table) == 0 and left_out == {"a": "other folds"}


def test_disagreements_are_the_largest_differences_of_ranks(workspace, truth):
    names = ("a", "b", "c")
    runs = [read_run(write_run_with_history(workspace, name, seed=seed), truth) for seed, name in enumerate(names)]
    table, left_out = disagreements(runs[0], runs, 7)
    assert left_out == {} and len(table) == 7
    kept = runs[0].labelled.index
    others = pd.DataFrame({run.name: runs[0].ranks[kept] - run.ranks[kept] for run in runs[1:]})
    expected = others.abs().max(axis=1).nlargest(7)
    assert table["difference"].abs().tolist() == pytest.approx(expected.tolist())
    for row in table.itertuples():
        assert row.difference == pytest.approx(others.loc[row.Index, row.other])
        assert row.rank - row.other_rank == pytest.approx(row.difference)


def test_runs_that_are_not_alike_are_left_out_with_the_reason(workspace):
    give_radii(workspace / "data" / "fake" / "image_catalog2.0train.csv")
    truth = truth_of(workspace)
    run = read_run(write_run_with_history(workspace, "a"), truth)
    others = {
        "rule": read_run(write_run_with_history(workspace, "rule", rule="any-source"), truth),
        "data": read_run(write_run_with_history(workspace, "data", data_hash="f" * 64), truth),
        "radii": read_run(write_run_with_history(workspace, "radii", task="einstein-radius"), truth),
    }
    table, left_out = disagreements(run, [run, *others.values()], 5)
    assert table.empty and left_out["rule"] == "another label rule (any-source)"
    assert left_out["data"] == "other data" and "Einstein" in left_out["radii"]


def test_dropped_objects_are_in_no_list(workspace, truth):
    runs = [
        read_run(write_run_with_history(workspace, name, seed=seed, rule="official-2019"), truth)
        for seed, name in enumerate(("a", "b"))
    ]
    dropped = runs[0].table.index[runs[0].table["label"].isna()]
    table, _ = disagreements(runs[0], runs, 1000)
    assert len(dropped) and not table.index.isin(dropped).any()
    assert len(runs[0].labelled) == len(runs[0].table) - len(dropped)


def test_runs_are_in_order_of_their_scores(workspace, truth):
    for name, scatter in (("good", 0.3), ("poor", 2.0), ("middle", 0.8)):
        write_run_with_history(workspace, name, scatter=scatter)
        lensfold(workspace, "score", "--experiment", name, *PACK)
    runs = [read_run(workspace / "runs" / "fake" / name, truth) for name in ("poor", "middle", "good")]
    assert [run.name for run in best_first(runs)] == ["good", "middle", "poor"]


def test_run_names(workspace):
    for name in ("b", "a", "report", ".hidden"):
        (workspace / "runs" / "fake" / name).mkdir(parents=True)
    folder = workspace / "runs" / "fake"
    assert run_names(folder) == ["a", "b"] and run_names(folder, ["b", "b"]) == ["b"]
    with pytest.raises(InputError, match="Runs there: a, b"):
        run_names(folder, ["c"])
    with pytest.raises(InputError, match="no runs here"):
        run_names(workspace / "runs" / "nothing")


def test_the_key_changes_with_what_a_page_shows(workspace, truth):
    folder = write_run_with_history(workspace, "a")
    first = read_run(folder, truth).key
    assert read_run(folder, truth).key == first
    edit(folder / "fold0" / "history.csv", lambda lines: lines[:-1])
    assert read_run(folder, truth).key != first
    assert (
        np.unique([read_run(write_run_with_history(workspace, "a", seed=seed), truth).key for seed in range(3)]).size
        == 3
    )
