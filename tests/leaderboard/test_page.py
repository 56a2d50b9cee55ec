"""Public scores beside our own: which score they are set beside, and the correlations against scipy."""

import numpy as np
import pytest
from fakes.board import board_workspace, write_scored_run, write_submission
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lensfold.leaderboard.board import build_board
from lensfold.leaderboard.page import agreement
from lensfold.leaderboard.tables import pairs_of
from lensfold.pipeline.results.leaderboard import write_leaderboard

HEADER = "submission,metric,score,date,note\n"


@pytest.fixture
def board(tmp_path):
    """Four submissions of one run, of other scores."""
    workspace, pack = board_workspace(tmp_path / "w")
    config = write_scored_run(workspace, pack, "a")
    for name, auc in (("one", 0.81), ("two", 0.83), ("three", 0.82), ("four", 0.9)):
        write_submission(workspace, pack, name, {"a": config}, auc)

    def enter(lines: str):
        workspace.submission(pack, "public_scores").write_text(HEADER + lines)
        return workspace, pack

    return enter


def test_each_is_set_beside_the_score_of_its_name(board):
    made = board("one,AUC,0.8,2026-11-20,\none,TPR10,0.2,2026-11-20,\none,f_beta,0.98,2026-11-20,hidden\n")
    pairs = pairs_of(build_board(*made, sort="f1"))
    assert [(pair.own, pair.value) for pair in pairs] == [("auc", 0.81), ("tpr10", 0.25), ("f1", 0.75)]


def test_the_newest_of_each_submission_counts(board):
    made = board(
        "one,auc,0.5,2026-11-22,newest\none,auc,0.9,2026-11-20,\ntwo,auc,0.6,2026-11-20,\nthree,auc,0.7,2026-11-20,\n"
    )
    _, (path, _) = write_leaderboard(*made)
    spearman = stats.spearmanr([0.5, 0.6, 0.7], [0.81, 0.83, 0.82]).statistic
    pearson = stats.pearsonr([0.5, 0.6, 0.7], [0.81, 0.83, 0.82]).statistic
    assert f"**auc**: Spearman {spearman:.2f}, Pearson {pearson:.2f}, n = 3" in path.read_text()
    line = next(line for line in path.read_text().splitlines() if line.startswith("| ") and "0.5 auc" in line)
    assert "| one " in line and "0.9 auc" not in line


def test_without_public_scores_nothing_is_said(board):
    workspace, pack = board("")
    text = write_leaderboard(workspace, pack)[1][0].read_text()
    assert "Public" not in text and "public |" not in text


def test_a_wrong_line_is_told(board):
    told = build_board(*board("one,auc,0.8,2026-11-20,\nfive,auc,0.8,2026-11-20,\n")).problems
    assert [problem.name for problem in told] == ["public_scores.csv"]
    assert told[0].reason.startswith("submissions/p/public_scores.csv, line 3: no submission 'five'")


def test_a_note_cannot_leave_its_cell(board):
    text = write_leaderboard(*board('one,auc,0.8,2026-11-20,"a|b <i>\nc"\n'))[1][0].read_text()
    assert "a\\|b &lt;i> c |" in text


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=12))
def test_correlations_are_those_of_scipy(points):
    told = agreement([(public / 7, own / 3) for public, own in points])
    one, two = np.array(points, dtype=float).T
    if len(set(one)) < 2 or len(set(two)) < 2:
        assert told.startswith(f"n = {len(points)}, no correlation")
        return
    spearman, pearson = stats.spearmanr(one, two).statistic, stats.pearsonr(one, two).statistic
    found = [float(part.split()[1].replace("−", "-")) for part in told.split(", ")[:2]]
    assert found == [pytest.approx(spearman, abs=0.0051), pytest.approx(pearson, abs=0.0051)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_points(count):
    assert agreement([(0.1 * i, 0.2 * i) for i in range(count)]).startswith(f"n = {count}, too few")
