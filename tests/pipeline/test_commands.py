"""From trained folds to a graded submission, and every mistake of a user on the way, through the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.pack import write_cutout, write_pack
from fakes.workspace import lensfold
from scipy.special import expit

from lensfold.data.catalog import halo_groups, read_catalog
from lensfold.errors import InputError
from lensfold.leaderboard.history import HISTORY_COLUMNS
from lensfold.paths import Workspace, cutout_file
from lensfold.pipeline.configure import configure
from lensfold.pipeline.train import train
from lensfold.runs.logits import read_logits

PACK = ("--pack", "fake")
KERNEL = (*PACK, "--submission", "kernel")
REAL_EUCLID = Path(__file__).parents[3] / "shared" / "real_euclid"


def refused(workspace, *arguments) -> str:
    """The message of a command that must fail: exit status 1, an error, no traceback."""
    done = lensfold(workspace, *arguments, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: " in done.stderr and "Traceback" not in done.stderr
    return done.stderr


def test_predict_writes_a_valid_submission_and_shows_the_scores(trained):
    done = lensfold(trained, "run", "predict", *PACK)
    submission = pd.read_csv(trained / "submissions" / "fake" / "default.csv", header=None, index_col=0)[1]
    run = trained / "runs" / "fake" / "tiny"
    mean = sum(read_logits(run / f"fold{fold}" / "test" / "fake.csv") for fold in range(3)) / 3
    np.testing.assert_array_equal(submission.to_numpy(), expit(mean.to_numpy()))
    assert submission.index.tolist() == list(range(200001, 200009))
    words = ("tiny", "ensemble (logit-mean)", "official-2020", "AUC (95 % over haloes)", "TPR10", "> 150 px", "8 rows")
    for word in words:
        assert word in done.stdout
    manifest = json.loads((trained / "submissions" / "fake" / "default.json").read_text())
    assert manifest["rows"] == 8 and manifest["members"]["tiny"]["folds"] == [0, 1, 2]
    assert manifest["label_rule"] == "official-2020" and manifest["scores"][1]["n"] == 60

    graded = lensfold(trained, "grade", *PACK)
    assert "default on the test key" in graded.stdout
    assert (
        "predict" not in lensfold(trained, "run", "predict", *PACK).stdout.split("scores")[0]
    )  # no fold predicted again


def test_history_keeps_every_score(trained):
    lensfold(trained, "score", "--experiment", "tiny", *PACK)
    history = pd.read_csv(trained / "submissions" / "fake" / "history.csv")
    assert list(history.columns) == list(HISTORY_COLUMNS) and len(history) == 2
    assert history["auc"].nunique() == 1 and set(history["folds"]) == {"3 of 3"}


def test_a_single_fold_is_marked(trained):
    for fold in (1, 2):
        (trained / "runs" / "fake" / "tiny" / f"fold{fold}" / "oof.csv").unlink()
    assert "1 of 3 folds" in lensfold(trained, "score", "--experiment", "tiny", *PACK).stdout


def test_a_bare_public_folder_is_predicted_with_runs_of_another_pack(trained, tmp_path):
    write_pack(tmp_path / "made")
    shutil.copytree(tmp_path / "made" / "test" / "Public", tmp_path / "cutouts" / "Public")
    lensfold(trained, "run", "predict", "--data", str(tmp_path / "cutouts"), "--trained-on", "fake")
    rows = (trained / "submissions" / "cutouts" / "default.csv").read_text().splitlines()
    assert len(rows) == 8
    assert not (tmp_path / "cutouts" / "cache").exists()  # a pack's own folder may be read-only


@pytest.mark.skipif(not REAL_EUCLID.is_dir(), reason="the real Euclid cutouts are not beside the project")
def test_real_euclid_cutouts_give_two_rows(trained):
    lensfold(trained, "run", "predict", "--data", str(REAL_EUCLID), "--trained-on", "fake")
    rows = [line.split(",") for line in (trained / "submissions" / "real_euclid" / "default.csv").read_text().split()]
    assert [row[0] for row in rows] == ["900001", "900004"]
    assert all(0 <= float(row[1]) <= 1 for row in rows)


def test_objects_without_images_get_their_row(fitted):
    """IDs that the catalog marks as imageless, and test objects left out as unusable, score 0."""
    catalog = fitted / "data" / "fake" / "image_catalog2.0train.csv"
    lines = catalog.read_text().splitlines()
    extra = lines[-1].split(",")
    extra[0], extra[1] = "10000.0", "299999"
    catalog.write_text("\n".join([*lines, ",".join(extra)]) + "\n")
    folds = fitted / "folds" / "fake.csv"
    folds.write_text(folds.read_text() + "299999,0\n")
    cutout_file(fitted / "data" / "fake" / "test", "J", 200003).unlink()
    shutil.rmtree(fitted / "data" / "fake" / "cache" / "test")
    message = refused(fitted, "run", "predict", *KERNEL)
    assert "200003" in message and "imageEUC_J-200003.fits: no such file" in message
    done = lensfold(fitted, "run", "predict", *KERNEL, "--skip-bad")
    assert "200003" in done.stdout and "no such file" in done.stdout
    rows = dict(line.split(",") for line in (fitted / "submissions/fake/kernel.csv").read_text().split())
    assert len(rows) == 9 and float(rows["200003"]) == 0 and float(rows["299999"]) == 0
    manifest = json.loads((fitted / "submissions" / "fake" / "kernel.json").read_text())
    assert list(manifest["refused"]) == ["200003"] and manifest["absent"] == 2


def test_another_shape_is_refused_with_file_found_and_expected(trained, tmp_path):
    write_pack(tmp_path / "other", n_test=3)
    for object_id in (200001, 200002, 200003):
        write_cutout(cutout_file(tmp_path / "other" / "test", "VIS", object_id), np.ones((101, 101)))
    message = refused(
        trained, "run", "predict", "--data", str(tmp_path / "other"), "--trained-on", "fake", "--skip-bad"
    )
    assert "imageEUC_VIS-200001.fits: image shape is (101, 101), expected (200, 200)" in message
    assert not (trained / "submissions" / "other").exists()
    assert not (trained / "data" / "other" / "cache" / "test").exists()


def test_empty_folder_and_unknown_names(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no test split found" in refused(
        trained, "run", "predict", "--data", str(tmp_path / "empty"), "--trained-on", "fake"
    )
    assert "no such run" in refused(trained, "run", "predict", *PACK, "--trained-on", "elsewhere")
    assert "Files there: default" in refused(trained, "run", "predict", *PACK, "--submission", "other")
    assert "Files there: tiny" in refused(trained, "run", "train", *PACK, "--experiment", "other")
    assert "the folds of fake are 0 to 2" in refused(
        trained, "run", "train", *PACK, "--experiment", "tiny", "--fold", "7"
    )
    assert "image_catalog2.0train.csv" in refused(trained, "folds", "--data", str(tmp_path / "empty"))


def test_wrong_experiments_are_refused_by_key(workspace):
    settings = workspace / "experiments" / "tiny.toml"
    good = settings.read_text()
    for wrong, words in (
        ('name = "fast_cnn"\nwidth = 3', ["tiny.toml", "unknown key 'learner.width'"]),
        ('name = "fast_cnm"', ["tiny.toml", "learner.name", "'fast_cnm'"]),
        ('name = "fast_cnn"\ndropout = "much"', ["tiny.toml", "learner.dropout", "'much'"]),
    ):
        settings.write_text(good.replace('name = "fast_cnn"', wrong).replace("dropout = 0.3\n", "", "much" in wrong))
        message = refused(workspace, "run", "train", *PACK, "--experiment", "tiny")
        assert all(word in message for word in words)
    assert not (workspace / "runs").exists()


def test_a_catalog_without_a_column_and_an_id_with_two_rows(workspace):
    catalog = workspace / "data" / "fake" / "image_catalog2.0train.csv"
    good = catalog.read_text()
    catalog.write_text(good.replace(",mag_eff,", ",mag,", 1))
    assert "mag_eff" in refused(workspace, "folds", *PACK)
    lines = good.splitlines()
    lines[-1] = ",".join([lines[-1].split(",")[0], "200001", *lines[-1].split(",")[2:]])
    catalog.write_text("\n".join(lines) + "\n")
    assert "200001" in refused(workspace, "folds", *PACK)


def test_too_few_of_a_class_for_the_folds(workspace):
    settings = workspace / "folds" / "folds.toml"
    settings.write_text("k = 50\n")
    before = (workspace / "folds" / "fake.csv").read_bytes()
    message = refused(workspace, "folds", *PACK)
    assert "50 folds need at least 50 lenses" in message
    assert (workspace / "folds" / "fake.csv").read_bytes() == before


def test_a_second_name_of_a_pack_has_grouped_folds(workspace):
    """The same pixels under two names: plain folds beside folds that keep haloes together."""
    (workspace / "folds" / "folds.toml").write_text('k = 2\nseed = 1\ngrouped_packs = ["fake-grouped"]\n')
    shutil.copytree(workspace / "data" / "fake", workspace / "data" / "other")
    for name in ("other", "fake-grouped"):
        lensfold(workspace, "folds", "--pack", name, "--data", "data/other")
    catalog = read_catalog(workspace / "data" / "other" / "image_catalog2.0train.csv")
    haloes = halo_groups(catalog)
    for name, most in (("other", 2), ("fake-grouped", 1)):
        folds = pd.read_csv(workspace / "folds" / f"{name}.csv", index_col="ID")["fold"]
        assert folds.groupby(haloes).nunique().max() == most
    place = Workspace(workspace)
    configure(place, place.pack("fake-grouped", workspace / "data" / "other"), "tiny")
    assert not (workspace / "data" / "fake-grouped").exists()  # it reads the cache of the folder


def test_other_folds_than_the_run_was_configured_for(trained):
    (trained / "folds" / "folds.toml").write_text("k = 3\nseed = 9\n")
    lensfold(trained, "folds", *PACK)
    assert "other folds" in refused(trained, "score", "--experiment", "tiny", *PACK)
    place = Workspace(trained)
    with pytest.raises(InputError, match="other folds"):
        train(place, place.pack("fake"), "tiny", 0)


def test_damaged_network_and_weights(trained):
    fold0 = trained / "runs" / "fake" / "tiny" / "fold0"
    (fold0 / "model.keras").write_bytes((fold0 / "model.keras").read_bytes()[:5000])
    message = refused(trained, "run", "predict", *PACK, "--trained-on", "fake")
    assert "fold0" in message and "model.keras: damaged" in message
    out = lensfold(trained, "run", "predict", *PACK).stdout  # a run that may be trained is mended
    assert "tiny fold 0  epoch  4/4" in out and "fold 1  epoch" not in out
    settings = trained / "experiments" / "tiny.toml"
    weights = 'name = "efficientnet_b0"\nweights = "imagenet"\nweights_file = "gone.h5"'
    settings.write_text(settings.read_text().replace('name = "fast_cnn"', weights))
    assert "gone.h5" in refused(trained, "run", "train", *PACK, "--experiment", "tiny", "--fold", "0")


def test_a_place_that_cannot_be_written(workspace):
    """A file stands where a folder must be made: as root, permissions would not stop anything."""
    (workspace / "runs").write_text("")
    assert "runs" in refused(workspace, "run", "train", *PACK, "--experiment", "tiny")
    shutil.rmtree(workspace / "data" / "fake" / "cache")
    (workspace / "data" / "fake" / "cache").write_text("")
    assert "cache" in refused(workspace, "cache", "--split", "test", *PACK)


def test_grading_needs_a_key_and_a_submission(trained):
    assert "default.json" in refused(trained, "grade", *PACK)
    shutil.rmtree(trained / "data" / "fake" / "truth")
    assert "no key" in refused(trained, "grade", *PACK)
