"""A pack of people's own cutouts in one place, with their own labels: from `lensfold run` to the submission."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.labels import write_own_pack, write_table
from fakes.workspace import SVM, lensfold, write_settings

from lensfold.data.cache import cached_ids, read_manifest
from lensfold.paths import Workspace
from lensfold.runs.run import Run
from lensfold.submission.csv_file import read_submission

STEPS = ("run", "folds", "train", "predict", "--pack", "mine")


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, str]:
    """A workspace with a labelled pack, trained and predicted by itself, and what that printed."""
    workspace = tmp_path_factory.mktemp("labelled") / "w"
    write_settings(workspace)
    (workspace / "experiments" / "few_labels.toml").write_text(SVM.replace("min_size = 20", "min_size = 0"))
    (workspace / "submissions" / "few_labels.toml").write_text('[[member]]\nexperiment = "few_labels"\n')
    write_own_pack(workspace / "data" / "mine")
    return workspace, lensfold(workspace, *STEPS).stdout


@pytest.fixture
def labelled(first, tmp_path) -> Path:
    shutil.copytree(first[0], tmp_path / "w")
    return tmp_path / "w"


def logits_of(workspace: Path) -> tuple[pd.Series, Run]:
    settings = json.loads((workspace / "submissions/mine/few_labels.json").read_text())["settings"]
    scores = read_submission(workspace / "submissions/mine/few_labels.csv", header=settings["header"])
    return np.log(scores / (1 - scores)), Run(workspace / "runs/mine/few_labels")


def test_it_runs_by_itself_and_says_what_it_took(first):
    workspace, printed = first
    assert "labels.csv gives no lens sizes: SUBMISSION=few_labels" in printed
    assert "24 of these objects are labelled" in " ".join(printed.split())
    assert "pack mine (not simulated) · rule given" in printed and "> 150 px" not in printed
    assert json.loads((workspace / "submissions/mine/few_labels.json").read_text())["out_of_fold"] == 24
    assert "up to date" in lensfold(workspace, *STEPS).stdout


def test_train_and_test_share_one_cache(first):
    workspace = Workspace(first[0])
    pack = workspace.pack("mine")
    assert [path.name for path in (first[0] / "data/mine/cache").iterdir() if path.is_dir()] == ["test"]
    assert workspace.cache(pack, "train") == workspace.cache(pack, "test")
    assert cached_ids(read_manifest(workspace.cache(pack, "train"))) == set(range(1, 29))


def test_no_network_that_learnt_a_label_scores_its_object(first):
    logits, run = logits_of(first[0])
    oof, whole = run.oof()["logit"], run.test_logits("mine")
    assert sorted(logits.index) == list(range(1, 29)) and oof.index.tolist() == list(range(1, 25))
    np.testing.assert_allclose(logits[oof.index], oof)
    np.testing.assert_allclose(logits[[25, 26, 27, 28]], whole[[25, 26, 27, 28]])
    assert not np.allclose(oof, whole[oof.index])


def test_a_fold_that_is_not_trained_leaves_no_honest_score(labelled):
    (labelled / "runs/mine/few_labels/fold1/done.json").unlink()
    done = lensfold(labelled, "submit", "--submission", "few_labels", "--pack", "mine", check=False)
    assert done.returncode and "8 labelled objects" in done.stderr and "Train all folds" in done.stderr


def test_a_submission_of_labelled_objects_is_explained_and_verified(first):
    done = lensfold(first[0], "explain-submission", "submissions/mine/few_labels.csv", "--verify")
    assert "24 objects were trained on" in done.stdout and "0 differ" in done.stdout


@pytest.mark.parametrize("command", ["score", "leaderboard", "look", "report", "folds", "compare", "show"])
def test_what_looks_at_a_pack_says_nothing_of_sizes(labelled, command):
    more = {
        "score": ["--experiment", "few_labels", "--all"],
        "folds": ["--check"],
        "compare": ["few_labels", "submission:few_labels"],
        "show": ["object 1", "object 27"],
    }
    printed = lensfold(labelled, command, *more.get(command, []), "--pack", "mine").stdout
    assert not [word for word in ("151-300", "> 150 px", "halo", "nan") if word in printed]
    assert not (labelled / "data/mine/look/train/sizes.png").exists()
    if command == "report":
        page = (labelled / "runs/mine/report/few_labels.html").read_text()
        assert "recall.png" not in page and "no source" not in page and "nan" not in page.replace("nanometre", "")


def test_an_edited_label_makes_all_of_it_again(labelled):
    before = json.loads((labelled / "runs/mine/few_labels/config.json").read_text())
    path = labelled / "data/mine/labels.csv"
    path.write_text(path.read_text().replace("object 1,1", "object 1,0.9"))
    assert "train:few_labels:0" in lensfold(labelled, "jobs", "--ids", "--pack", "mine").stdout
    refused = lensfold(labelled, "compare", "few_labels", "submission:few_labels", "--pack", "mine", check=False)
    assert "trained on other labels" in refused.stderr
    assert "up to date" not in lensfold(labelled, *STEPS).stdout
    after = json.loads((labelled / "runs/mine/few_labels/config.json").read_text())
    assert before["labels_hash"] != after["labels_hash"] and before["data_hash"] == after["data_hash"]
    assert after["experiment"]["label_rule"] == "given"


def test_other_objects_behind_the_same_names_make_the_folds_again(labelled):
    write_table(labelled / "data/mine", {number: f"object {29 - number}" for number in range(1, 29)})
    lensfold(labelled, "run", "folds", "--pack", "mine")
    assert pd.read_csv(labelled / "folds/mine.csv")["ID"].tolist() == list(range(5, 29))


def test_an_experiment_with_size_stages_says_what_it_lacks(labelled):
    done = lensfold(labelled, "run", "train", "--experiment", "tiny", "--pack", "mine", check=False)
    assert done.returncode and done.stderr.count("\n") <= 3
    for words in ("experiments/tiny.toml", "min_size = 40", "n_pix_source", "12 of 12", "few_labels"):
        assert words in " ".join(done.stderr.split())


def test_ids_of_no_cutout_are_noted_and_refused_where_there_is_nothing_else(labelled):
    pack = labelled / "data/mine"
    (pack / "objects.csv").unlink()
    rows = [f"{number},{number % 2}" for number in range(19, 35)]
    (pack / "labels.csv").write_text("\n".join(["ID,label", *rows]) + "\n")
    assert "6 labels are of IDs without a cutout (29, 30, 31, 32, 33, …)" in " ".join(
        lensfold(labelled, "run", "folds", "--pack", "mine").stdout.split()
    )
    (pack / "labels.csv").write_text("ID,label\n" + "".join(f"{number},{number % 2}\n" for number in range(90, 99)))
    done = lensfold(labelled, "run", "folds", "--pack", "mine", check=False)
    assert done.returncode and "none of its 9 IDs has a cutout" in done.stderr


def test_labels_beside_the_challenges_own_files(workspace):
    """The train split keeps its own cache, and labels of a part of it suffice."""
    pack = workspace / "data/fake"
    ids = pd.read_csv(workspace / "folds/fake.csv")["ID"].tolist()
    (pack / "image_catalog2.0train.csv").rename(workspace / "catalog.csv")
    (pack / "labels.csv").write_text("ID,label\n" + "".join(f"{i},{i % 2}\n" for i in ids[:40]))
    (workspace / "experiments" / "few_labels.toml").write_text(SVM.replace("min_size = 20", "min_size = 0"))
    (workspace / "submissions" / "few_labels.toml").write_text('[[member]]\nexperiment = "few_labels"\n')
    lensfold(workspace, "run", "folds", "train", "predict", "--pack", "fake")
    assert Run(workspace / "runs/fake/few_labels").oof().index.tolist() == ids[:40]
    assert json.loads((workspace / "submissions/fake/few_labels.json").read_text())["out_of_fold"] == 0
    assert lensfold(workspace, "grade", "--submission", "few_labels", "--pack", "fake").stdout.count("official-2020")


def test_labels_of_a_test_split_whose_ids_may_be_others(workspace):
    pack = workspace / "data/fake"
    (pack / "image_catalog2.0train.csv").unlink()
    shutil.rmtree(pack / "train")
    shutil.rmtree(pack / "cache")
    (pack / "labels.csv").write_text("ID,label\n200001,1\n200002,0\n")
    done = lensfold(workspace, "run", "folds", "--pack", "fake", check=False)
    assert done.returncode and "labels of a train split that is not here" in " ".join(done.stderr.split())
