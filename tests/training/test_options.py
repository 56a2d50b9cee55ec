"""What an experiment may ask of training, each through the command line, on the fake pack."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.pack import fake_images, write_cutout
from fakes.workspace import lensfold

from lensfold.data.catalog import labels, log_einstein_radius, read_catalog
from lensfold.files import file_sha256
from lensfold.models.saved import load_model
from lensfold.models.start.weights import LITE_PACKAGES, lite_content
from lensfold.paths import cutout_file
from lensfold.runs.logits import read_logits

FOLD0 = ("runs", "fake", "tiny", "fold0")


def trained_with(workspace, changes: dict[str, str], *, check: bool = True):
    """Train fold 0 after replacing text of the tiny experiment; returns what the command printed."""
    settings = workspace / "experiments" / "tiny.toml"
    text = settings.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)
    return lensfold(workspace, "run", "train", "--experiment", "tiny", "--pack", "fake", "--fold", "0", check=check)


def oof(workspace) -> bytes:
    return workspace.joinpath(*FOLD0, "oof.csv").read_bytes()


def test_processes_that_prepare_change_nothing(workspace, trained_workspace):
    trained_with(workspace, {"batch_size = 8": "batch_size = 8\nworkers = 2"})
    assert oof(workspace) == oof(trained_workspace)


def test_processes_that_prepare_never_import_tensorflow(fake_workspace):
    from lensfold.config import Experiment, read_toml
    from lensfold.data.cache import Cache
    from lensfold.inputs.batches import Preparation, ahead
    from lensfold.workers import WorkerPool

    experiment = read_toml(fake_workspace / "experiments" / "tiny.toml", Experiment)
    constants = {"sigma": {"VIS": 1.0, "Y": 1.0, "J": 1.0, "H": 1.0}, "mean": [0.0] * 3, "scale": [1.0] * 3}
    with Cache(fake_workspace / "data" / "fake" / "cache" / "train") as cache, WorkerPool(2) as executor:
        preparation = Preparation(cache, experiment, constants)
        calls = [(cache.ids[k : k + 4], np.arange(4), 1, 2, k) for k in range(0, 40, 4)]
        there = list(ahead(preparation.augmented, calls, executor, 4))
        for call, images in zip(calls, there, strict=True):
            np.testing.assert_array_equal(images, preparation.augmented(*call))
        assert list(ahead(_has_tensorflow, [()] * 4, executor)) == [False] * 4


def _has_tensorflow() -> bool:
    import sys

    return "tensorflow" in sys.modules


def test_averaged_weights_predict_and_their_statistics_are_their_own(workspace, trained_workspace):
    trained_with(workspace, {"average_momentum = 0.0": "average_momentum = 0.9"})
    there = load_model(workspace.joinpath(*FOLD0, "model.keras"))
    last = load_model(trained_workspace.joinpath(*FOLD0, "model.keras"))
    for name in ("top_conv", "head_logit"):  # what the last stage trains
        assert not np.allclose(there.get_layer(name).get_weights()[0], last.get_layer(name).get_weights()[0])
    history = pd.read_csv(workspace.joinpath(*FOLD0, "history.csv"))
    assert history["valid_auc"].between(0, 1).all()


@pytest.mark.parametrize(
    "option",
    [
        'balance = "weights"',
        "clip_norm = 0.1",
    ],
)
def test_options_change_what_is_learnt(workspace, trained_workspace, option):
    trained_with(workspace, {"batch_size = 8": f"batch_size = 8\n{option}"})
    assert oof(workspace) != oof(trained_workspace)
    values = read_logits(workspace.joinpath(*FOLD0, "oof.csv"))
    assert np.isfinite(values).all() and values.std() > 0
    assert load_model(workspace.joinpath(*FOLD0, "model.keras")).output_shape == (None, 1)


def test_sixteen_bit_floats_train_and_answer_in_32(workspace):
    trained_with(workspace, {"batch_size = 8": "batch_size = 8\nmixed_precision = true"})
    model = load_model(workspace.joinpath(*FOLD0, "model.keras"))
    assert model.get_layer("conv3").compute_dtype == "float16" and model.output.dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}


class Touch:
    """Pickles as a call that makes a file."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.parametrize("kind", ["of another network", "truncated", "a foreign class", "absent"])
def test_a_weight_file_that_is_not_the_published_one_stops_before_an_epoch(workspace, kind):
    content, _ = lite_content("efficientnet_lite0", None)
    mark, path = workspace / "ran", workspace / "w.pth"
    written = {
        "truncated": content[:-1000],
        "a foreign class": pickle.dumps(Touch(mark)),
        "of another network": content,
    }
    if kind in written:
        path.write_bytes(written[kind])
    name = "efficientnet_lite1" if kind == "of another network" else "efficientnet_lite0"
    learner = f'name = "{name}"\nweights = "imagenet"\nweights_file = "w.pth"'
    done = trained_with(workspace, {'name = "fast_cnn"': learner}, check=False)
    expected = LITE_PACKAGES[name].sha256
    found = f"sha256 is {file_sha256(path)}, expected {expected}" if kind in written else f"Expected sha256 {expected}"
    shown = done.stderr.replace("\n", " ")
    assert done.returncode == 1 and "w.pth: " in shown and found in shown and "pip install" in shown
    assert "Traceback" not in shown and "epoch" not in done.stdout and not mark.exists()
    assert not any(workspace.joinpath(*FOLD0).glob("*.*"))


def test_a_loss_that_is_no_number_stops_and_names_the_batch(workspace, monkeypatch):
    import keras

    monkeypatch.setattr(keras.Model, "train_on_batch", lambda *_, **__: np.float32("nan"))
    done = trained_with(workspace, {}, check=False)
    assert done.returncode == 1 and "loss is nan after the batch of the IDs 20" in done.stderr
    assert "set train.clip_norm" in done.stderr and not workspace.joinpath(*FOLD0, "oof.csv").exists()


def test_a_batch_too_large_for_the_memory_names_the_size_to_try(workspace, monkeypatch):
    import keras
    import tensorflow as tf

    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(keras.Model, "train_on_batch", full)
    done = trained_with(workspace, {}, check=False)
    assert done.returncode == 1 and "Set train.batch_size = 4" in done.stderr and "Traceback" not in done.stderr


def test_twins_follow_their_lenses(workspace):
    pack = workspace / "data" / "fake"
    catalog = read_catalog(pack / "image_catalog2.0train.csv")
    lenses = catalog.index[labels(catalog, "official-2020") == 1]
    for object_id in lenses:
        for band, image in fake_images(np.random.default_rng([5, object_id]), False).items():
            write_cutout(cutout_file(pack / "twins", band, object_id), image)
    done = trained_with(workspace, {"batch_size = 8": "batch_size = 8\ntwins = 0.5"})
    assert "cache fake twins" in done.stdout + done.stderr
    assert len(read_logits(workspace.joinpath(*FOLD0, "oof.csv"))) == 20
    config = json.loads((workspace / "runs" / "fake" / "tiny" / "config.json").read_text())
    assert config["twins_hash"] != config["data_hash"]
    assert "cache fake twins" not in trained_with(workspace, {}).stdout
    for band, image in fake_images(np.random.default_rng(6), False).items():  # a pack that was made again
        write_cutout(cutout_file(pack / "twins", band, lenses[0]), image)
    again = trained_with(workspace, {})
    assert "cache fake twins" in again.stdout + again.stderr


def test_twins_need_an_even_batch_and_a_pack_with_twins(workspace):
    done = trained_with(workspace, {"batch_size = 8": "batch_size = 7\ntwins = 0.5"}, check=False)
    assert done.returncode == 1 and "must be even" in done.stderr
    done = trained_with(workspace, {"batch_size = 7": "batch_size = 8"}, check=False)
    assert done.returncode == 1 and "no twins found" in done.stderr


def test_a_frozen_network_has_no_twins(workspace):
    changes = {
        'name = "fast_cnn"': 'name = "efficientnet_lite0"\nweights = "imagenet"\nfrozen = true',
        "batch_size = 8": "batch_size = 8\ntwins = 0.5",
        'trainable = "top"': 'trainable = "head"',
        "batch_size = 16": "batch_size = 16\nd4_average = false",
    }
    done = trained_with(workspace, changes, check=False)
    assert done.returncode == 1 and "set train.twins = 0" in done.stderr


def test_einstein_radii_are_learnt_of_lenses_alone(workspace):
    trained_with(workspace, {"[pixels]": 'task = "einstein-radius"\n[pixels]'})
    history = pd.read_csv(workspace.joinpath(*FOLD0, "history.csv"))
    assert (history["valid_mse"] > 0).all() and "valid_auc" not in history
    catalog = read_catalog(workspace / "data" / "fake" / "image_catalog2.0train.csv")
    known = log_einstein_radius(catalog)[labels(catalog, "official-2020") == 1]
    values = read_logits(workspace.joinpath(*FOLD0, "oof.csv"))
    assert len(values) == 20
    # it begins at the mean of the lenses, so a few steps leave it near
    assert abs(values.mean() - known.mean()) < 3 * max(known.std(), 0.3)


def test_a_network_that_answers_the_same_for_everything_is_refused(workspace, monkeypatch):
    """Large steps can kill every unit of the last dense layer; the loss stays a number, the AUC is 0.5."""
    import keras

    def die(model, *_, **__):
        model.get_layer("head_dense").bias.assign([-1e9] * 64)
        return np.float32(0.69)

    monkeypatch.setattr(keras.Model, "train_on_batch", die)
    done = trained_with(workspace, {}, check=False)
    assert done.returncode == 1 and "objects: it broke down in training. Set train.clip_norm" in done.stderr
    assert not workspace.joinpath(*FOLD0, "oof.csv").exists()
