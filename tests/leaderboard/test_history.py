"""The history file: it grows by a line a score, and an older file gets the columns it lacks."""

import pandas as pd
import pytest

from lensfold.errors import InputError
from lensfold.leaderboard.history import HISTORY_COLUMNS, append_history, last_before, read_history
from lensfold.runs.scores import Score

OLD = (
    "time,pack,name,folds,rule,n,auc,seconds,config\r\n"
    "2026-11-24T13:59:42,sample,small_cnn,3 of 3,official-2020,9,0.8,5.0,19\r\n"
)
BASE = {"pack": "p", "rule": "official-2020", "seconds": 4.0, "folds": [0, 2], "of_folds": 3}
LENS = {**BASE, "name": "ranks", "n": 60, "auc": {"value": 0.75, "low": 0.7, "high": 0.8}}
RADIUS = {**BASE, "name": "sizes", "n": 30, "mse": {"value": 1.25, "low": 1.0, "high": 1.5}, "median_error": 0.5}


def test_a_line_a_score(tmp_path):
    path = tmp_path / "new" / "history.csv"
    append_history(path, LENS, "c" * 64)
    first = path.read_bytes()
    append_history(path, RADIUS, "d" * 64)
    assert path.read_bytes().startswith(first)
    table = pd.read_csv(path)
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert table["name"].tolist() == ["ranks", "sizes"] and set(table["folds"]) == {"2 of 3"}
    assert table["auc"].fillna(-1).tolist() == [0.75, -1] and table["mse"].fillna(-1).tolist() == [-1, 1.25]
    assert table["auc_low"].fillna(-1).tolist() == [0.7, -1] and table["mse_high"].fillna(-1).tolist() == [-1, 1.5]


def test_an_older_file_gets_the_new_columns_and_keeps_its_lines(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(OLD, newline="")
    append_history(path, RADIUS, "c" * 64)
    append_history(path, LENS, "c" * 64)
    table = pd.read_csv(path)
    old = OLD.split("\r\n")[0].split(",")
    assert list(table.columns) == [*old, *(name for name in HISTORY_COLUMNS if name not in old)]
    assert table["name"].tolist() == ["small_cnn", "sizes", "ranks"]
    assert table["auc"].fillna(-1).tolist() == [0.8, -1, 0.75] and table["mse"].notna().tolist() == [False, True, False]
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


def test_an_empty_file_is_begun_anew(tmp_path):
    path = tmp_path / "history.csv"
    path.touch()
    append_history(path, LENS, "c" * 64)
    assert len(pd.read_csv(path)) == 1


def test_a_file_that_cannot_be_read_is_kept(tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(b"time,\xff\n")
    with pytest.raises(InputError, match="history cannot be read"):
        append_history(path, LENS, "c" * 64)
    assert path.read_bytes() == b"time,\xff\n"


def scored(value: float, **others) -> dict:
    return {**LENS, "auc": {"value": value, "low": value - 0.125, "high": value + 0.125}, **others}


def test_the_last_score_before_is_of_the_same_name_rule_objects_and_folds(tmp_path):
    path = tmp_path / "history.csv"
    now = scored(0.75)
    assert last_before(read_history(path), now, "auc") is None
    for value in (0.5, 0.625):
        append_history(path, scored(value), "c" * 64)
    others = ({"name": "other"}, {"rule": "any-source"}, {"n": 61}, {"folds": [0]}, {"of_folds": 4})
    for change in others:
        append_history(path, scored(0.9, **change), "c" * 64)
    append_history(path, RADIUS | {"name": "ranks", "n": 60}, "c" * 64)
    assert last_before(read_history(path), now, "auc") == Score(value=0.625, low=0.5, high=0.75)
    for _ in range(2):  # this very score, once or scored again
        append_history(path, now, "d" * 64)
        assert last_before(read_history(path), now, "auc") == Score(value=0.625, low=0.5, high=0.75)
    append_history(path, now, "e" * 64)  # other settings that score the same: no gain on those
    assert last_before(read_history(path), now, "auc") == Score(value=0.75, low=0.625, high=0.875)
    append_history(path, scored(0.8), "e" * 64)  # the same settings, trained to another score
    assert last_before(read_history(path), scored(0.8), "auc").value == 0.75
    append_history(path, now, "d" * 64)  # back to earlier settings
    assert last_before(read_history(path), now, "auc").value == 0.8
    assert last_before(read_history(path), scored(0.75, name="third"), "auc") is None


@pytest.mark.parametrize("text", ["", "high", "nan", "inf"])
def test_a_line_without_a_number_is_passed_over(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_text(
        f"time,name,folds,rule,n,auc\n1,ranks,2 of 3,official-2020,60,0.5\n2,ranks,2 of 3,official-2020,60,{text}\n"
    )
    assert last_before(read_history(path), LENS, "auc") == Score(value=0.5)
    path.write_text("name,auc\nranks,0.5\n")  # of other columns
    assert last_before(read_history(path), LENS, "auc") is None
