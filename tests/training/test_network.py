"""Training a fold: what it writes, that it repeats, and that a stopped one loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
from fakes.workspace import environment, lensfold

from lensfold.data.cache import Cache
from lensfold.data.folds import read_folds
from lensfold.runs.logits import read_logits, read_views
from lensfold.scoring.metrics import auc
from lensfold.training import network

TRAIN = ("run", "train", "--experiment", "tiny", "--pack", "fake")
RUN = ("runs", "fake", "tiny")


def oof_bytes(workspace) -> list[bytes]:
    return [(workspace.joinpath(*RUN) / f"fold{fold}" / "oof.csv").read_bytes() for fold in range(3)]


def test_each_object_is_held_out_once_and_never_trained_on(trained_workspace):
    from lensfold.data.catalog import read_catalog

    folds = read_folds(
        trained_workspace / "folds" / "fake.csv",
        read_catalog(trained_workspace / "data" / "fake" / "image_catalog2.0train.csv"),
    )
    seen = []
    for fold in range(3):
        ids = read_logits(trained_workspace.joinpath(*RUN) / f"fold{fold}" / "oof.csv").index
        assert set(ids) == set(folds.index[folds == fold])
        seen.extend(ids)
    with Cache(trained_workspace / "data" / "fake" / "cache" / "train") as cache:
        assert sorted(seen) == cache.ids.tolist()


def test_the_network_learns_the_rings(trained_workspace):
    score = json.loads((trained_workspace.joinpath(*RUN) / "score.json").read_text())
    assert score["auc"]["value"] > 0.9 and score["n"] == 60 and score["folds"] == [0, 1, 2]
    assert score["one_view"]["second"] == score["auc"]["value"]


def test_one_view_is_kept_and_has_the_score_of_the_last_epoch(trained_workspace):
    from lensfold.data.catalog import labels, read_catalog

    known = labels(read_catalog(trained_workspace / "data" / "fake" / "image_catalog2.0train.csv"), "official-2020")
    for fold in range(3):
        folder = trained_workspace.joinpath(*RUN) / f"fold{fold}"
        views = read_views(folder / "oof.csv")
        assert (views["one_view"] != views["logit"]).any()
        last = pd.read_csv(folder / "history.csv")["valid_auc"].iloc[-1]
        assert abs(auc(known[views.index], views["one_view"]) - last) < 1e-9


def test_history_follows_the_curriculum(trained_workspace):
    folder = trained_workspace.joinpath(*RUN) / "fold1"
    history = pd.read_csv(folder / "history.csv")
    assert history["min_size"].tolist() == [40, 40, 20, 20]
    assert history["trainable"].tolist() == ["all", "all", "top", "top"]
    assert history["loss"].between(0, 10).all() and history["valid_auc"].between(0, 1).all()
    run = json.loads((folder / "run.json").read_text())
    assert run["versions"]["keras"] and run["code"]["modules"]["training.network"] and "dirty" in run["code"]
    spent = history["core_seconds_so_far"]
    assert (spent.diff().dropna() > 0).all() and run["core_seconds"] >= spent.iloc[-1] > 0
    assert sorted(path.name for path in folder.iterdir()) == [
        *("done.json", "history.csv", "model.keras", "oof.csv", "run.json")
    ]


def test_killed_in_fold_1_it_finishes_with_the_same_oof(trained, trained_workspace):
    fold1 = trained.joinpath(*RUN) / "fold1"
    for fold in (fold1, fold1.with_name("fold2")):
        shutil.rmtree(fold)
    command = [sys.executable, "-m", "lensfold", "run-job", "train:tiny:1", "--pack", "fake"]
    with subprocess.Popen(command, cwd=trained, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        for line in process.stdout:
            if "fold 1" in line and "epoch  3/4" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (fold1 / "oof.csv").exists() and (fold1 / "checkpoint.npz").exists()
    done = lensfold(trained, *TRAIN)
    assert "tiny fold 1  resuming after epoch" in done.stdout and "fold 0" not in done.stdout
    assert oof_bytes(trained) == oof_bytes(trained_workspace)
    assert not (fold1 / "checkpoint.npz").exists()


def test_a_stage_that_goes_on_with_the_step_of_the_one_before_begins_anew(workspace, monkeypatch):
    """Its optimiser is as fresh as that of a stage with a step of its own, averaged weights and all."""
    settings = workspace / "experiments" / "tiny.toml"
    text = settings.read_text().replace('trainable = "top"\n', "").replace("momentum = 0.0", "momentum = 0.5")
    settings.write_text(text)
    begins, kept = network._FoldTraining._start_stage, []

    def compiled_again(self, stage):
        kept.append(self._learns)
        self._learns = None
        begins(self, stage)

    lensfold(workspace, *TRAIN, "--fold", "0")
    fold0 = workspace.joinpath(*RUN) / "fold0"
    once = (fold0 / "oof.csv").read_bytes()
    shutil.rmtree(fold0)
    monkeypatch.setattr(network._FoldTraining, "_start_stage", compiled_again)
    lensfold(workspace, *TRAIN, "--fold", "0")
    assert kept[1] is not None and (fold0 / "oof.csv").read_bytes() == once


def test_a_damaged_checkpoint_is_not_believed(workspace, trained_workspace):
    fold0 = workspace.joinpath(*RUN) / "fold0"
    fold0.mkdir(parents=True)
    (fold0 / "checkpoint.npz").write_bytes(b"PK nothing")
    done = lensfold(workspace, *TRAIN, "--fold", "0")
    assert "checkpoint not used" in done.stdout
    assert oof_bytes(trained_workspace)[0] == (fold0 / "oof.csv").read_bytes()


def test_a_second_train_does_nothing(trained):
    out = lensfold(trained, *TRAIN).stdout
    assert "epoch" not in out and "done" not in out and "folds ·" not in out


def test_prediction_settings_do_not_retrain_but_training_settings_do(trained):
    settings = trained / "experiments" / "tiny.toml"
    before = oof_bytes(trained)
    settings.write_text(settings.read_text() + "d4_average = false\n")
    done = lensfold(trained, *TRAIN, "--fold", "0")
    assert "epoch" not in done.stdout
    after = oof_bytes(trained)
    assert after[0] != before[0] and after[1:] == before[1:]
    settings.write_text(settings.read_text().replace("dropout = 0.3", "dropout = 0.1"))
    assert "fold 0  epoch  4/4" in lensfold(trained, *TRAIN, "--fold", "0").stdout


def test_a_comment_in_an_experiment_retrains_nothing(trained):
    settings = trained / "experiments" / "tiny.toml"
    settings.write_text("# a thought\n" + settings.read_text())
    out = lensfold(trained, *TRAIN).stdout
    assert "epoch" not in out and "done" not in out


def test_truth_columns_do_not_reach_the_network(trained):
    """Other truth values in the catalog, same images: the same logits from the same network."""
    catalog = trained / "data" / "fake" / "image_catalog2.0train.csv"
    lines = catalog.read_text().splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith(",ID"))
    columns = lines[header].split(",")
    for number in range(header + 1, len(lines)):
        cells = lines[number].split(",")
        for name in ("z_source", "mag_source", "ein_area", "mag_lens", "color_diff", "n_gal_3"):
            cells[columns.index(name)] = "7.5"
        lines[number] = ",".join(cells)
    catalog.write_text("\n".join(lines) + "\n")
    before = oof_bytes(trained)
    for fold in range(3):
        (trained.joinpath(*RUN) / f"fold{fold}" / "oof.csv").unlink()
    done = lensfold(trained, *TRAIN)
    assert "epoch" not in done.stdout
    assert oof_bytes(trained) == before


def test_a_stage_without_lenses_is_refused_with_its_counts(workspace):
    settings = workspace / "experiments" / "tiny.toml"
    settings.write_text(settings.read_text().replace("min_size = 40", "min_size = 100000"))
    done = lensfold(workspace, *TRAIN, check=False)
    assert done.returncode == 1 and "100000" in done.stderr and "Traceback" not in done.stderr
