"""Combining folds and members."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from lensfold.ensemble import Member, check_common_folds, check_task, combine, fold_folders, read_oof, read_test
from lensfold.errors import InputError
from lensfold.predict import write_logits

IDS = np.arange(200001, 200013)


def write_run(folder, seed=0, folds=3, pack="fake", **config):
    generator = np.random.default_rng(seed)
    for fold in range(folds):
        write_logits(folder / f"fold{fold}" / "oof.csv", IDS[fold::folds], generator.normal(size=len(IDS[fold::folds])))
        write_logits(folder / f"fold{fold}" / "test" / f"{pack}.csv", IDS, generator.normal(size=len(IDS)))
    content = {"folds_hash": "f" * 64, "data_hash": "d" * 64, "experiment": {"label_rule": "official-2020"}, **config}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_oof_holds_each_id_once_with_its_fold(tmp_path):
    oof = read_oof(write_run(tmp_path / "run"))
    assert oof.index.tolist() == IDS.tolist()
    assert oof["fold"].tolist() == [0, 1, 2] * 4


def test_folds_come_in_numerical_order(tmp_path):
    run = write_run(tmp_path / "run", folds=12)
    assert [folder.name for folder in fold_folders(run)] == [f"fold{number}" for number in range(12)]


def test_an_unfinished_fold_does_not_count(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "fold1" / "oof.csv").unlink()
    assert read_oof(run)["fold"].unique().tolist() == [0, 2]


def test_an_id_in_two_folds_is_refused(tmp_path):
    run = write_run(tmp_path / "run")
    write_logits(run / "fold1" / "oof.csv", IDS[:2], np.zeros(2))
    with pytest.raises(InputError, match="ID 200001 is held out by two folds"):
        read_oof(run)


def test_test_logits_are_the_mean_over_folds(tmp_path):
    run = write_run(tmp_path / "run")
    parts = [pd.read_csv(run / f"fold{fold}" / "test" / "fake.csv", index_col="ID")["logit"] for fold in range(3)]
    np.testing.assert_allclose(read_test(run, "fake"), sum(parts) / 3)


def test_different_objects_are_refused(tmp_path):
    run = write_run(tmp_path / "run")
    write_logits(run / "fold1" / "test" / "fake.csv", IDS[:-1], np.zeros(len(IDS) - 1))
    with pytest.raises(InputError, match="first: ID 200012"):
        read_test(run, "fake")


def test_logit_mean_is_weighted():
    first, second = pd.Series([1.0, 2.0], IDS[:2]), pd.Series([4.0, -1.0], IDS[:2])
    np.testing.assert_allclose(combine([first, second], [3, 1], "logit-mean"), [1.75, 1.25])


def test_rank_mean_does_not_see_scale_and_ranks_within_folds():
    generator = np.random.default_rng(2)
    fold = pd.Series(np.arange(12) % 3, IDS)
    values = pd.Series(generator.normal(size=12), IDS)
    shifted = values * 10.0**fold + 5 * fold
    first = combine([values, values], [1, 1], "rank-mean", fold)
    np.testing.assert_allclose(first, combine([shifted, values], [1, 1], "rank-mean", fold))
    for number in range(3):
        part = fold == number
        assert first[part].argsort().tolist() == values[part].argsort().tolist()
    assert ((expit(first) > 0) & (expit(first) < 1)).all()


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"folds_hash": "e" * 64}, "folds"),
        ({"data_hash": "e" * 64}, "data"),
        ({"experiment": {"label_rule": "any-source"}}, "label rule"),
    ],
)
def test_members_must_share_folds_data_and_rule(tmp_path, changed, word):
    same = Member("a", write_run(tmp_path / "a"))
    other = Member("b", write_run(tmp_path / "b", **changed))
    check_common_folds([same, Member("c", write_run(tmp_path / "c"))])
    with pytest.raises(InputError, match=f"its {word} "):
        check_common_folds([same, other])


def test_members_must_have_learned_what_is_asked(tmp_path):
    finds = Member("finds", write_run(tmp_path / "finds"))  # its settings are older than tasks
    settings = {"label_rule": "official-2020", "task": "einstein-radius"}
    measures = Member("measures", write_run(tmp_path / "measures", experiment=settings))
    check_task([finds], "lens")
    check_task([measures], "einstein-radius")
    with pytest.raises(InputError, match=r'task = "einstein-radius", expected "lens".*radius = \["measures"\]'):
        check_task([finds, measures], "lens")
    with pytest.raises(InputError, match=r'finds: task = "lens", expected "einstein-radius".*"finds" a \[\[member\]\]'):
        check_task([measures, finds], "einstein-radius")


def test_an_absent_run_says_how_to_train_it(tmp_path):
    with pytest.raises(InputError, match="make train EXPERIMENT=small_cnn"):
        Member("small_cnn", tmp_path / "small_cnn").config()
    with pytest.raises(InputError, match="no fold is trained yet"):
        read_oof(tmp_path)
