"""What sets two rows apart: paired differences against the full comparison and closed forms, settings, code."""

import json

import numpy as np
import pytest
from fakes.board import board_workspace, code, lens_scores, rescore, write_scored_run, write_submission

from lensfold.data.catalog import BIN_NAMES, read_catalog
from lensfold.leaderboard import differences
from lensfold.leaderboard.differences import DRAWS, code_changes, paired_differences, settings_changes
from lensfold.leaderboard.rows import read_board
from lensfold.runs.run import Run
from lensfold.scoring.out_of_fold import lens_task
from lensfold.scoring.score_table import paired_table


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Two runs that rank, one of a single fold, two that measure, and a submission of the first two."""
    workspace, pack = board_workspace(tmp_path_factory.mktemp("differences") / "w")
    members = {
        name: write_scored_run(workspace, pack, name, noise=noise, seed=seed)
        for name, noise, seed in (("a", 1.0, 0), ("b", 1.3, 1))
    }
    write_scored_run(workspace, pack, "part", noise=0.5, seed=2, folds=(1,))
    write_scored_run(workspace, pack, "r1", mse=0.3, noise=0.1, seed=3)
    write_scored_run(workspace, pack, "r2", mse=0.4, noise=0.3, seed=4)
    write_submission(workspace, pack, "mean", members)
    return workspace, pack, {row.name: row for row in read_board(workspace, pack)[0]}


def difference(board, above, own, score, tmp_path):
    _, pack, rows = board
    found, problems = paired_differences(pack, [rows[above], rows[own]], score, tmp_path / "store.json")
    assert problems == [] and found[0] is None
    return found[1]


def expected(board, above, own, **options):
    """Both rows through the function behind `lensfold compare`."""
    _, pack, rows = board
    tables = [rows[name].members[0].oof() for name in (above, own)]
    asked = lens_task(read_catalog(pack.catalog), tables[0].index.intersection(tables[1].index), "official-2020")
    sides = [tuple(table.loc[asked.ids, key] for key in ("logit", "fold")) for table in tables]
    return paired_table(asked.labels, *sides, asked.bins, asked.large, draws=DRAWS, **options)


@pytest.mark.parametrize("pair", [("a", "b"), ("b", "a"), ("a", "part")])
@pytest.mark.parametrize("score", ["auc", "mean_fold_auc", "f1", "one_minus_f_beta", "tpr10", "auc_large"])
def test_a_difference_is_that_of_the_full_comparison(board, tmp_path, pair, score):
    found, told = difference(board, *pair, score, tmp_path), expected(board, *pair)
    assert found.value == pytest.approx(told[score]["value"], abs=1e-12)
    assert found.error == pytest.approx(told[score]["error"], rel=1e-9)
    assert found.n == (told["auc_large"]["n"] if score == "auc_large" else told["n"])


@pytest.mark.parametrize("place", [2, 3, 5])
def test_a_difference_of_a_size_bin(board, tmp_path, place):
    found = difference(board, "a", "b", BIN_NAMES["size"][place], tmp_path)
    told = expected(board, "a", "b")["auc_by_size"][place]
    assert (found.value, found.error) == (pytest.approx(told["value"], abs=1e-12), pytest.approx(told["error"]))


def test_of_haloes_where_the_intervals_are_over_haloes(board, tmp_path):
    workspace, pack, _ = board
    path = workspace.run("p", "b") / "score.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "bootstrap": {"over": "haloes"}}))
    rows = {row.name: row for row in read_board(workspace, pack)[0]}
    path.write_text(kept)
    found = difference((workspace, pack, rows), "a", "b", "auc", tmp_path)
    haloes = lens_task(read_catalog(pack.catalog), Run(workspace.run("p", "a")).oof().index, "official-2020").haloes
    assert found.error == pytest.approx(expected(board, "a", "b", groups=haloes)["auc"]["error"])


def test_of_squared_errors(board, tmp_path):
    _, pack, rows = board
    catalog = read_catalog(pack.catalog)
    lens = (catalog["n_source_im"] > 0) & (catalog["mag_eff"] > 1.6) & (catalog["n_pix_source"] > 20)
    truth = np.sqrt(catalog["ein_area"] / np.pi)[lens] * 206264.80624709636
    means = []
    for name in ("r1", "r2"):
        oof = rows[name].members[0].oof()[lens]
        predicted, squares = np.exp(oof["logit"]), 0.0
        for fold in range(3):
            own, others = oof["fold"] == fold, oof["fold"] != fold
            factor = (truth[others] * predicted[others]).sum() / (predicted[others] ** 2).sum()
            squares += ((factor * predicted[own] - truth[own]) ** 2).sum()
        means.append(squares / lens.sum())
    found = difference(board, "r1", "r2", "mse", tmp_path)
    assert found.value == pytest.approx(means[1] - means[0]) and found.n == lens.sum()
    assert 0 < found.error < found.value


def test_of_a_submission_it_is_that_of_its_combined_logits(board, tmp_path):
    _, pack, rows = board
    found = difference(board, "a", "mean", "auc", tmp_path)
    one, two = (rows[name].members[0].oof() for name in ("a", "b"))
    asked = lens_task(read_catalog(pack.catalog), one.index, "official-2020")
    first = one.loc[asked.ids, "logit"].to_numpy()
    mean = (first + two.loc[asked.ids, "logit"].to_numpy()) / 2
    fold = one.loc[asked.ids, "fold"]
    told = paired_table(asked.labels, (first, fold), (mean, fold), draws=DRAWS)["auc"]
    assert (found.value, found.error) == (pytest.approx(told["value"]), pytest.approx(told["error"]))


def test_what_is_known_is_not_computed_again(board, tmp_path, monkeypatch):
    known = difference(board, "a", "b", "auc", tmp_path)
    monkeypatch.setattr(differences, "_difference", None)
    assert difference(board, "a", "b", "auc", tmp_path) == known
    with pytest.raises(TypeError):
        difference(board, "a", "b", "f1", tmp_path)


@pytest.mark.parametrize("change", ["oof", "catalog"])
def test_other_files_are_computed_again(tmp_path, change):
    workspace, pack = board_workspace(tmp_path / "w")
    for name, seed in (("a", 0), ("b", 1)):
        write_scored_run(workspace, pack, name, seed=seed)
    store = tmp_path / "store.json"

    def now():
        return paired_differences(pack, read_board(workspace, pack)[0], "auc", store)[0][1]

    before = now()
    if change == "oof":
        path = workspace.run("p", "b") / "fold0" / "oof.csv"
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([head, *(f"{line.split(',')[0]},{n % 7}" for n, line in enumerate(lines))]) + "\n")
    else:
        lines = pack.catalog.read_text().splitlines()
        pack.catalog.write_text("\n".join(lines[:40]) + "\n")
    for name in ("a", "b"):
        rescore(workspace, pack, name)
    assert now() != before


def test_a_damaged_store_is_begun_anew(board, tmp_path):
    for text in ("{", "[]", '{"x": 1}', '{"x": {"value": 1}}'):
        (tmp_path / "store.json").write_text(text)
        assert difference(board, "a", "b", "auc", tmp_path).n == 120
        kept = json.loads((tmp_path / "store.json").read_text())
        assert len(kept) == 2 and kept.pop("seal")
        (one,) = kept.values()
        (tmp_path / "store.json").write_text((tmp_path / "store.json").read_text().replace('"n": 120', '"n": 121'))
        assert one["n"] == 120 and difference(board, "a", "b", "auc", tmp_path).n == 120


def test_a_broken_oof_is_told_and_the_others_are_compared(tmp_path):
    workspace, pack = board_workspace(tmp_path / "w")
    for name, seed in (("a", 0), ("b", 1), ("c", 2), ("d", 3)):
        write_scored_run(workspace, pack, name, seed=seed)
    (workspace.run("p", "b") / "fold0" / "oof.csv").write_text("ID,logit\n1,nan\n")
    rescore(workspace, pack, "b")
    found, problems = paired_differences(pack, read_board(workspace, pack)[0], "auc", tmp_path / "store.json")
    assert [d is None for d in found] == [True, True, True, False]
    assert [problem.name for problem in problems] == ["b", "c"] and "logit of ID 1 is not" in problems[0].reason


def test_runs_without_a_common_object(tmp_path):
    workspace, pack = board_workspace(tmp_path / "w")
    write_scored_run(workspace, pack, "a", folds=(0,))
    write_scored_run(workspace, pack, "b", folds=(1,))
    _, problems = paired_differences(pack, read_board(workspace, pack)[0], "auc", tmp_path / "store.json")
    assert "no object in common" in problems[0].reason


def test_folds_finished_since_the_score_are_left_out(tmp_path):
    workspace, pack = board_workspace(tmp_path / "w")
    write_scored_run(workspace, pack, "a")
    write_scored_run(workspace, pack, "b", seed=1, scores=lens_scores("b", 0.8, (0, 2), 80))
    rows, _ = read_board(workspace, pack)
    assert rows[1].notes == ("fold 1 finished since: not in the score yet",) and not rows[1].is_complete
    assert paired_differences(pack, rows, "auc", tmp_path / "store.json")[0][1].n == 80


BASE = {"learner": {"name": "fast_cnn", "dense": []}, "stage": [{"epochs": 2}, {"epochs": 9}], "seed": 1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"seed": 2}, ["seed 1 → 2"]),
        ({"learner": {"name": "cnn", "dense": [64, 8]}}, ["learner.name fast_cnn → cnn", "learner.dense [] → [64, 8]"]),
        ({"stage": [{"epochs": 3}, {"epochs": 9}]}, ["stage.0.epochs 2 → 3"]),
        ({"stage": [{"epochs": 3}]}, ["stages 2 → 1", "stage.0.epochs 2 → 3"]),
        ({"twins": 0.5}, ["twins absent → 0.5"]),
        ({"train": {"workers": 3}, "predict": {"batch_size": 9}}, []),
        ({"weights": None, "frozen": True}, ["frozen absent → true"]),
    ],
)
def test_settings_that_differ(change, told):
    assert settings_changes(BASE, {**BASE, **change}) == told


def test_a_setting_that_a_run_does_not_know_has_its_default(tmp_path):
    workspace, pack = board_workspace(tmp_path / "w")
    for name in ("a", "b"):
        write_scored_run(workspace, pack, name)
    path = workspace.run("p", "b") / "config.json"
    content = json.loads(path.read_text())
    del content["experiment"]["seed"], content["experiment"]["train"]["twins"]
    path.write_text(json.dumps(content))
    rescore(workspace, pack, "b")
    for fold in range(3):
        run = workspace.run("p", "b") / f"fold{fold}" / "run.json"
        run.write_text('{"seconds": 1.0, "parameters": 7}')
    one, two = read_board(workspace, pack)[0]
    assert settings_changes(one.settings, two.settings) == []
    assert two.core_seconds is None and two.code is None


def test_code_that_differs():
    states = [code(**modules)["code"] for modules in ({"train": "1"}, {"train": "2"}, {"train": "1", "new": "1"})]
    assert code_changes(states[0], dict(states[0])) is None and code_changes(None, None) is None
    assert code_changes(states[0], states[1]) == "code changed: train"
    assert code_changes(states[0], states[2]) == "code changed: new"
    assert code_changes(None, states[0]) == "code of one of them not recorded"
    many = {"modules": dict.fromkeys("abcdefg", "1")}
    assert code_changes(states[0], many) == "code changed: a, b, c, d, and 4 more modules"


def test_folds_of_different_code_are_told(tmp_path):
    workspace, pack = board_workspace(tmp_path / "w")
    write_scored_run(workspace, pack, "a", record=code(train="1"))
    path = workspace.run("p", "a") / "fold2" / "run.json"
    path.write_text(path.read_text().replace('"train": "1"', '"train": "2"'))
    (workspace.run("p", "a") / "fold0" / "run.json").write_text("{")
    (row,), _ = read_board(workspace, pack)
    assert row.core_seconds is None and row.notes == (
        "fold0/run.json is absent or damaged",
        "its folds were trained with different states of the code",
    )
