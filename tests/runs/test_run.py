"""Combining folds and members."""

import json

import numpy as np
import pandas as pd
import pytest

from lensfold.ensemble.members import check_common_folds, check_oof, check_task, read_oofs
from lensfold.errors import InputError
from lensfold.runs.logits import write_logits
from lensfold.runs.run import Member, fold_folders, read_oof, read_test

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


def test_members_are_columns_over_the_same_objects(tmp_path):
    members = [Member(name, write_run(tmp_path / name, seed)) for seed, name in enumerate("ab")]
    logits, fold = read_oofs(members)
    assert logits.index.tolist() == IDS.tolist() and fold.tolist() == [0, 1, 2] * 4
    for column, member in enumerate(members):
        pd.testing.assert_series_equal(logits[column], read_oof(member.folder)["logit"], check_names=False)


def test_a_member_that_lacks_a_fold_is_refused(tmp_path):
    members = [Member(name, write_run(tmp_path / name)) for name in "ab"]
    (tmp_path / "b" / "fold1" / "oof.csv").unlink()
    with pytest.raises(InputError, match=r"b: .*4 differ, first: ID 200002.*make train EXPERIMENT=b"):
        read_oofs(members)


def test_members_with_objects_in_other_folds_are_refused(tmp_path):
    members = [Member("a", write_run(tmp_path / "a")), Member("b", write_run(tmp_path / "b"))]
    for fold, other in ((0, 1), (1, 0)):
        write_logits(tmp_path / "b" / f"fold{fold}" / "oof.csv", IDS[other::3], np.zeros(4))
    with pytest.raises(InputError, match="8 differ, first: ID 200001"):
        read_oofs(members)


def test_an_oof_must_hold_every_object_of_its_folds_once(tmp_path):
    run = write_run(tmp_path / "a")
    member, folds = Member("a", run), pd.Series([0, 1, 2] * 4, IDS)
    check_oof(member, read_oof(run), folds, IDS)
    check_oof(member, read_oof(run), folds, None)
    with pytest.raises(InputError, match="first: ID 200003"):
        check_oof(member, read_oof(run), folds, np.delete(IDS, 2))  # its images cannot be used, it has a logit
    write_logits(run / "fold1" / "oof.csv", IDS[1::3][:-1], np.zeros(3))
    with pytest.raises(InputError, match="a: out-of-fold logits do not match the folds .first: ID 200011"):
        check_oof(member, read_oof(run), folds, IDS)
    with (run / "fold1" / "oof.csv").open("a") as stream:
        stream.write("200002,1.5\n")
    with pytest.raises(InputError, match="ID 200002 stands there twice"):
        read_oof(run)


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
    names = "official-2020|any-source" if word == "label rule" else "e{12}.*[fd]{12}"  # both are shown
    with pytest.raises(InputError, match=f"its {word} .*({names})"):
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
