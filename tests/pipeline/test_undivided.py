"""Labels that are too few of a class for folds: one network is fine-tuned on all of them, and no score is claimed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fakes.labels import write_own_pack
from fakes.workspace import lensfold

from lensfold.errors import InputError
from lensfold.runs.logits import read_logits
from lensfold.runs.run import Run

TUNED = """
[pixels]
crop = 64
bin = 2
[learner]
weights = "lensfold"
[train]
batch_size = 4
average_momentum = 0.0
[[stage]]
min_size = 0
epochs = 1
learning_rate = 0.0005
[predict]
d4_average = false
"""
STEPS = ("run", "folds", "train", "predict", "--pack", "mine")


def label(root, lenses, others):
    names = [(f"object {2 * i + 1}", 1) for i in range(lenses)] + [(f"object {2 * i + 2}", 0) for i in range(others)]
    (root / "data/mine/labels.csv").write_text("name,label\n" + "".join(f"{name},{y}\n" for name, y in names))


@pytest.fixture(scope="module")
def tuned(trained_workspace, tmp_path_factory):
    """A workspace with a published network and two lenses and seven others labelled, and what the steps printed."""
    root = tmp_path_factory.mktemp("undivided") / "w"
    shutil.copytree(trained_workspace, root)
    lensfold(root, "publish", "--experiment", "tiny", "--fold", "0", "--name", "start", "--pack", "fake")
    (root / "experiments/few_labels.toml").write_text(TUNED)
    (root / "submissions/few_labels.toml").write_text('[[member]]\nexperiment = "few_labels"\n')
    write_own_pack(root / "data/mine")
    label(root, 2, 7)
    return root, " ".join(lensfold(root, *STEPS).stdout.split())


@pytest.fixture
def copied(tuned, tmp_path):
    shutil.copytree(tuned[0], tmp_path / "w")
    return tmp_path / "w"


NOTHING = "fine-tuned on all labelled objects without folds: nothing was held out, and no score is claimed"


def test_it_is_trained_on_all_and_says_that_there_is_no_score(tuned):
    root, printed = tuned
    assert "No folds of pack mine: 9 labelled objects, 2 of them lenses" in printed
    assert "nothing held out" in printed and "AUC" not in printed
    assert f"networks were {NOTHING}." in printed
    run = Run(root / "runs/mine/few_labels")
    assert run.is_undivided and run.complete_folds == [0] and set(pd.read_csv(root / "folds/mine.csv")["fold"]) == {0}
    assert run.history(0)["objects"].tolist() == [14]  # seven others, and as many of the two lenses
    assert len(read_logits(run.fold_folder(0) / "oof.csv")) == 0
    score = json.loads((run.folder / "score.json").read_text())
    assert score["n"] == 0 and "auc" not in score
    with pytest.raises(InputError, match=NOTHING):
        run.oof()


def test_all_objects_are_predicted_and_the_manifest_says_which_were_learnt_from(tuned):
    root, printed = tuned
    manifest = json.loads((root / "submissions/mine/few_labels.json").read_text())
    assert (manifest["undivided"], manifest["out_of_fold"], manifest["ensemble"], manifest["scores"]) == (
        9,
        0,
        None,
        [],
    )
    assert "9 of these objects are labelled, and have the scores of networks that learnt from their labels" in printed
    assert manifest["rows"] == 28
    assert "up to date" in lensfold(root, *STEPS).stdout
    explained = lensfold(root, "explain-submission", "submissions/mine/few_labels.csv", "--verify").stdout
    assert "0 differ" in explained and NOTHING in " ".join(explained.split())


def test_every_place_that_shows_scores_says_that_there_is_none(copied):
    words = " ".join(lensfold(copied, "score", "--experiment", "few_labels", "--all", "--pack", "mine").stdout.split())
    assert words == f"few_labels was {NOTHING}."
    board = " ".join(lensfold(copied, "leaderboard", "--pack", "mine").stdout.split())
    assert "without folds" in board and "nan" not in board
    lensfold(copied, "report", "--pack", "mine")
    page = (copied / "runs/mine/report/index.html").read_text()
    assert NOTHING in page and "nan" not in page
    for command in (
        ("compare", "few_labels", "few_labels", "--pack", "mine"),
        ("publish", "--experiment", "few_labels", "--fold", "0", "--name", "x", "--pack", "mine"),
    ):
        done = lensfold(copied, *command, check=False)
        assert done.returncode and NOTHING in " ".join(done.stderr.split())


def test_the_next_ranking_takes_it_and_claims_no_purity(copied):
    words = " ".join(lensfold(copied, "rank", "--pack", "mine", "--teach", "3").stdout.split())
    assert "scored by run few_labels of pack mine" in words and "fine-tuned on its own labels" in words
    assert f"purity_on_mine is empty: its networks were {NOTHING}." in words
    table = pd.read_csv(copied / "data/mine/ranked.csv")
    assert len(table) == 28 and table["purity_on_mine"].isna().all()
    assert NOTHING in (copied / "data/mine/ranked.html").read_text()
    teach = pd.read_csv(copied / "data/mine/teach.csv")  # of one network, which cannot disagree with itself
    assert len(teach) == 3 and teach["disagree"].isna().all() and teach[["near", "unseen"]].notna().all(axis=None)


def test_more_labels_make_folds_and_scores_of_it(copied):
    label(copied, 12, 12)
    printed = lensfold(copied, *STEPS).stdout
    assert "AUC" in printed and "without folds" not in printed
    run = Run(copied / "runs/mine/few_labels")
    assert not run.is_undivided and len(run.oof()) == 24 and np.isfinite(run.oof()["logit"]).all()


def test_from_nothing_is_refused_before_anything_is_made(copied):
    shutil.rmtree(copied / "runs/mine")
    (copied / "folds/mine.csv").unlink()
    path = copied / "experiments/few_labels.toml"
    path.write_text(TUNED.replace('weights = "lensfold"', ""))
    done = lensfold(copied, *STEPS, check=False)
    words = " ".join(done.stderr.split())
    assert done.returncode and "has 2 lenses and 7 non-lenses" in words and 'learner.weights = "lensfold"' in words
    assert not (copied / "runs/mine").exists() and not (copied / "folds/mine.csv").exists()


def test_weights_of_an_ensemble_cannot_be_learnt(copied):
    (copied / "submissions/few_labels.toml").write_text('combine = "stacking"\n[[member]]\nexperiment = "few_labels"\n')
    done = lensfold(copied, *STEPS, check=False)
    assert done.returncode and "too few of a class for folds" in " ".join(done.stderr.split())
