"""Combining folds and members."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fakes.runs import bind_folds, write_run

from lensfold.ensemble.members import check_common_folds, check_oof, check_task, read_oofs
from lensfold.errors import InputError
from lensfold.runs.logits import write_logits
from lensfold.runs.run import Run, fold_number

IDS = np.arange(200001, 200013)


def noisy(folder, seed=0, folds=3, pack="fake", **config):
    """A run of random logits, which predicted ``pack`` too."""
    generator = np.random.default_rng(seed)
    fold_of, oof = pd.Series(np.arange(len(IDS)) % folds, IDS), pd.Series(np.nan, IDS)
    tests = []
    for fold in range(folds):
        oof[IDS[fold::folds]] = generator.normal(size=len(IDS[fold::folds]))
        tests.append(generator.normal(size=len(IDS)))
    hashes = {"folds_hash": "f" * 64, "labels_hash": "l" * 64, **config}
    write_run(folder, oof, fold_of, hashes.pop("experiment", {}), config=hashes)
    for fold, logits in enumerate(tests):
        write_logits(folder / f"fold{fold}" / "test" / f"{pack}.csv", IDS, logits)
    return folder


def test_oof_holds_each_id_once_with_its_fold(tmp_path):
    oof = Run(noisy(tmp_path / "run")).oof()
    assert oof.index.tolist() == IDS.tolist()
    assert oof["fold"].tolist() == [0, 1, 2] * 4


def test_folds_come_in_numerical_order(tmp_path):
    run = noisy(tmp_path / "run", folds=12)
    assert Run(run).complete_folds == list(range(12))


def test_an_unfinished_fold_does_not_count(tmp_path):
    run = noisy(tmp_path / "run")
    (run / "fold1" / "oof.csv").unlink()
    assert Run(run).oof()["fold"].unique().tolist() == [0, 2]


def test_one_view_is_there_where_every_fold_kept_it(tmp_path):
    run = noisy(tmp_path / "run")
    for fold in range(3):
        assert Run(run).oof().columns.tolist() == ["logit", "fold"]
        ids = IDS[fold::3]
        write_logits(run / f"fold{fold}" / "oof.csv", ids, ids / 1.0, ids / 2.0)
        bind_folds(run)
    oof = Run(run).oof()
    assert oof.index.tolist() == IDS.tolist()
    assert (oof["one_view"] == oof.index / 2).all() and (oof["logit"] == oof.index).all()


def test_an_id_in_two_folds_is_refused(tmp_path):
    run = noisy(tmp_path / "run")
    write_logits(run / "fold1" / "oof.csv", IDS[:2], np.zeros(2))
    bind_folds(run)
    with pytest.raises(InputError, match="ID 200001 is held out by two folds"):
        Run(run).oof()


def test_test_logits_are_the_mean_over_folds(tmp_path):
    run = noisy(tmp_path / "run")
    parts = [pd.read_csv(run / f"fold{fold}" / "test" / "fake.csv", index_col="ID")["logit"] for fold in range(3)]
    np.testing.assert_allclose(Run(run).test_logits("fake"), sum(parts) / 3)


def test_different_objects_are_refused(tmp_path):
    run = noisy(tmp_path / "run")
    write_logits(run / "fold1" / "test" / "fake.csv", IDS[:-1], np.zeros(len(IDS) - 1))
    with pytest.raises(InputError, match="first: ID 200012"):
        Run(run).test_logits("fake")


def test_members_are_columns_over_the_same_objects(tmp_path):
    members = [Run(noisy(tmp_path / name, seed)) for seed, name in enumerate("ab")]
    logits, fold = read_oofs(members)
    assert logits.index.tolist() == IDS.tolist() and fold.tolist() == [0, 1, 2] * 4
    for column, member in enumerate(members):
        pd.testing.assert_series_equal(logits[column], member.oof()["logit"], check_names=False)


def test_a_member_that_lacks_a_fold_is_refused(tmp_path):
    members = [Run(noisy(tmp_path / name)) for name in "ab"]
    (tmp_path / "b" / "fold1" / "oof.csv").unlink()
    with pytest.raises(InputError, match=r"b: .*4 differ, first: ID 200002.*make train EXPERIMENT=b"):
        read_oofs(members)


def test_members_with_objects_in_other_folds_are_refused(tmp_path):
    members = [Run(noisy(tmp_path / "a")), Run(noisy(tmp_path / "b"))]
    for fold, other in ((0, 1), (1, 0)):
        write_logits(tmp_path / "b" / f"fold{fold}" / "oof.csv", IDS[other::3], np.zeros(4))
    bind_folds(tmp_path / "b")
    with pytest.raises(InputError, match="8 differ, first: ID 200001"):
        read_oofs(members)


def test_an_oof_must_hold_every_object_of_its_folds_once(tmp_path):
    run = noisy(tmp_path / "a")
    member, folds = Run(run), pd.Series([0, 1, 2] * 4, IDS)
    check_oof(member, Run(run).oof(), folds, IDS)
    check_oof(member, Run(run).oof(), folds, None)
    with pytest.raises(InputError, match="first: ID 200003"):
        check_oof(member, Run(run).oof(), folds, np.delete(IDS, 2))  # its images cannot be used, it has a logit
    write_logits(run / "fold1" / "oof.csv", IDS[1::3][:-1], np.zeros(3))
    bind_folds(run)
    with pytest.raises(InputError, match="a: out-of-fold logits do not match the folds .first: ID 200011"):
        check_oof(member, Run(run).oof(), folds, IDS)
    with (run / "fold1" / "oof.csv").open("a") as stream:
        stream.write("200002,1.5\n")
    bind_folds(run)
    with pytest.raises(InputError, match="ID 200002 stands there twice"):
        Run(run).oof()


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"folds_hash": "e" * 64}, "folds"),
        ({"data_hash": "e" * 64}, "data"),
        ({"experiment": {"label_rule": "any-source"}}, "label rule"),
    ],
)
def test_members_must_share_folds_data_and_rule(tmp_path, changed, word):
    same = Run(noisy(tmp_path / "a"))
    other = Run(noisy(tmp_path / "b", **changed))
    check_common_folds([same, Run(noisy(tmp_path / "c"))])
    names = "official-2020|any-source" if word == "label rule" else "e{12}.*[fd]{12}"  # both are shown
    with pytest.raises(InputError, match=f"its {word} .*({names})"):
        check_common_folds([same, other])


def test_members_must_have_learned_what_is_asked(tmp_path):
    finds = Run(noisy(tmp_path / "finds"))
    settings = {"label_rule": "official-2020", "task": "einstein-radius"}
    measures = Run(noisy(tmp_path / "measures", experiment=settings))
    check_task([finds], "lens")
    check_task([measures], "einstein-radius")
    with pytest.raises(InputError, match=r'task = "einstein-radius", expected "lens".*radius = \["measures"\]'):
        check_task([finds, measures], "lens")
    with pytest.raises(InputError, match=r'finds: task = "lens", expected "einstein-radius".*"finds" a \[\[member\]\]'):
        check_task([measures, finds], "einstein-radius")


def test_an_absent_run_says_how_to_train_it(tmp_path):
    with pytest.raises(InputError, match="make train EXPERIMENT=small_cnn"):
        assert Run(tmp_path / "small_cnn").config
    with pytest.raises(InputError, match="no fold is trained yet"):
        Run(tmp_path).oof()


def test_a_fold_of_another_run_is_not_read(tmp_path):
    """Copied with its older times, as `cp -a` and `rsync -a` do."""
    run, other = noisy(tmp_path / "a"), noisy(tmp_path / "b", seed=5, data_hash="e" * 64)
    shutil.rmtree(run / "fold1")
    shutil.copytree(other / "fold1", run / "fold1")
    assert Run(run).complete_folds == [0, 2] and set(Run(run).oof()["fold"]) == {0, 2}
    for fold in (0, 2):
        shutil.rmtree(run / f"fold{fold}")
    own, foreign = Run(run).identity[:12], Run(other).identity[:12]
    with pytest.raises(InputError, match=f"fold 1 has settings {foreign}, and the run's are {own}.*make train"):
        Run(run).oof()


def test_logits_of_another_training_are_not_read(tmp_path):
    """Nor are those of the other folds, as if these were all there are: a run would be another one without a word."""
    run, other = noisy(tmp_path / "a"), noisy(tmp_path / "b", seed=5)
    shutil.copy2(other / "fold1" / "oof.csv", run / "fold1" / "oof.csv")
    assert [Run(run).is_complete(fold) for fold in range(3)] == [True, False, True]
    with pytest.raises(InputError, match=r"fold1/oof.csv: damaged.*make train EXPERIMENT=a"):
        Run(run).oof()


def test_a_network_of_another_fold_is_refused(tmp_path):
    run = noisy(tmp_path / "a")
    for fold in range(3):
        (run / f"fold{fold}" / "model.keras").write_text(f"network {fold}")
    bind_folds(run)
    Run(run).check_network(1)
    shutil.copy2(run / "fold0" / "model.keras", run / "fold1" / "model.keras")
    with pytest.raises(InputError, match="damaged, or of another fold"):
        Run(run).check_network(1)


def test_a_run_of_another_pack_is_refused_with_both_names(tmp_path):
    run = noisy(tmp_path / "north" / "cnn")
    Run(run).check_pack()
    shutil.copytree(run, tmp_path / "south" / "cnn")
    with pytest.raises(InputError, match="trained on pack north .*filed under pack south"):
        Run(tmp_path / "south" / "cnn").check_pack()


def test_a_score_is_kept_while_its_logits_and_labels_are_the_same(tmp_path):
    run = noisy(tmp_path / "a")
    origin = Run(run).score_origin("c" * 64, 0.001)
    (run / "score.json").write_text(json.dumps({"auc": 1, "made_from": origin}))
    assert Run(run).kept_score(origin)["auc"] == 1 and Run(run).kept_score(Run(run).score_origin(None, None))
    assert Run(run).kept_score(Run(run).score_origin("d" * 64, 0.001)) is None
    assert Run(run).kept_score(Run(run).score_origin("c" * 64, 0.5)) is None
    write_logits(run / "fold1" / "oof.csv", IDS[1::3], np.zeros(4))
    bind_folds(run)
    assert Run(run).kept_score(Run(run).score_origin("c" * 64, 0.001)) is None


@pytest.mark.parametrize("name", ["fold", "fold01", "fold-1", "fold1b", "fold٣", "Fold1", "fold1\n"])
def test_only_folds_have_numbers(tmp_path, name):
    assert [fold_number(tmp_path / f"fold{number}") for number in (0, 7, 12)] == [0, 7, 12]
    with pytest.raises(InputError, match="no fold is called so"):
        fold_number(tmp_path / name)
