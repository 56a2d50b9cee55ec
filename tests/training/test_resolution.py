"""Stages with a resolution of their own: what they are fed with, and that a stopped one loses nothing."""

import json
import shutil

import numpy as np
import pandas as pd
from fakes.workspace import lensfold

from lensfold.models.saved import load_model
from lensfold.training import network

RUN = ("runs", "fake", "tiny")


def grown(workspace) -> None:
    """Let the tiny experiment's first stage see 32 pixels, its second 64."""
    settings = workspace / "experiments" / "tiny.toml"
    text = settings.read_text().replace("crop = 64", "crop = 128")
    settings.write_text(text.replace("learning_rate = 0.002", "learning_rate = 0.002\nbin = 4"))


def trained(workspace, check: bool = True):
    return lensfold(workspace, "run-job", "train:tiny:0", "--pack", "fake", check=check)


def stopped_after(epochs: int, monkeypatch):
    """Let training die as soon as its checkpoint has so many epochs."""
    save = network.save_checkpoint

    def save_and_die(path, variables, history, config_hash):
        save(path, variables, history, config_hash)
        if len(history) == epochs:
            raise RuntimeError("killed")

    monkeypatch.setattr(network, "save_checkpoint", save_and_die)


def watching(monkeypatch) -> dict[int, list[np.ndarray]]:
    """Collect the batches that are trained on, by the side of their images."""
    seen: dict[int, list[np.ndarray]] = {}
    step = network._FoldTraining._step

    def watched(self, images, *arguments):
        seen.setdefault(images.shape[1], []).append(images)
        return step(self, images, *arguments)

    monkeypatch.setattr(network._FoldTraining, "_step", watched)
    return seen


def test_resolution_grows_and_a_stop_inside_or_between_stages_changes_no_byte(workspace, monkeypatch):
    grown(workspace)
    with monkeypatch.context() as patch:
        seen = watching(patch)
        whole = trained(workspace)
    assert list(seen) == [32, 64]
    for batches in seen.values():
        images = np.concatenate(batches)
        np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), 0, atol=0.25)
        np.testing.assert_allclose(images.std(axis=(0, 1, 2)), 1, atol=0.25)
    assert "epoch  2/4  lenses >  40 px  bin 4" in whole.stdout and "lenses >  20 px  top" in whole.stdout
    fold = workspace.joinpath(*RUN, "fold0")
    undisturbed = (fold / "oof.csv").read_bytes()
    history = pd.read_csv(fold / "history.csv")
    assert history["bin"].tolist() == [4, 4, 2, 2]
    assert load_model(fold / "model.keras").input_shape == (None, 64, 64, 3)
    config = json.loads((workspace.joinpath(*RUN) / "config.json").read_text())
    assert list(config["stage_constants"]) == ["4"]
    assert config["stage_constants"]["4"]["sigma"] == config["constants"]["sigma"]
    assert config["stage_constants"]["4"]["scale"] != config["constants"]["scale"]

    for path in fold.iterdir():
        path.unlink()
    for epochs in (1, 2, 3):
        with monkeypatch.context() as patch:
            stopped_after(epochs, patch)
            done = trained(workspace, check=False)
        assert done.returncode == 1 and not (fold / "oof.csv").exists()
        assert ("resuming" in done.stdout) == (epochs > 1)
    assert "resuming after epoch 3" in trained(workspace).stdout
    assert (fold / "oof.csv").read_bytes() == undisturbed
    columns = ["epoch", "bin", "loss", "valid_auc"]
    pd.testing.assert_frame_equal(pd.read_csv(fold / "history.csv")[columns], history[columns])


def test_a_resume_at_another_resolution_trains_anew_and_mixes_nothing(workspace, monkeypatch):
    """Killed, then the resolution of all pixels changed, killed again, then that of a stage: as if never begun."""
    grown(workspace)
    settings, fold = workspace / "experiments" / "tiny.toml", workspace.joinpath(*RUN, "fold0")

    def edited(old: str, new: str) -> None:
        text = settings.read_text()
        assert old in text
        settings.write_text(text.replace(old, new))

    with monkeypatch.context() as patch:
        stopped_after(1, patch)
        trained(workspace, check=False)
    edited("crop = 128\nbin = 2", "crop = 128\nbin = 4")
    with monkeypatch.context() as patch:
        stopped_after(3, patch)
        done = trained(workspace, check=False)
    assert "checkpoint not used (it belongs to other settings)" in done.stdout and "epoch  1/4" in done.stdout
    edited("learning_rate = 0.002\nbin = 4", "learning_rate = 0.002\nbin = 2")
    edited("crop = 128\nbin = 4", "crop = 128\nbin = 2")
    done = trained(workspace)
    assert "checkpoint not used (it belongs to other settings)" in done.stdout and "epoch  1/4" in done.stdout
    assert pd.read_csv(fold / "history.csv")["bin"].tolist() == [2] * 4
    found = (fold / "oof.csv").read_bytes()
    shutil.rmtree(fold)
    assert "checkpoint" not in trained(workspace).stdout
    assert (fold / "oof.csv").read_bytes() == found


def test_a_network_of_one_size_is_refused_before_anything_is_made(workspace):
    grown(workspace)
    settings = workspace / "experiments" / "tiny.toml"
    settings.write_text(settings.read_text().replace("fast_cnn", "paper_cnn"))
    done = trained(workspace, check=False)
    assert done.returncode == 1 and "stage.0.bin = 4: paper_cnn" in done.stderr and "Traceback" not in done.stderr
    assert not workspace.joinpath(*RUN).exists()
