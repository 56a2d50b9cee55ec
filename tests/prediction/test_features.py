"""Features of a frozen backbone: the same numbers as the whole network's, computed once, kept apart by settings."""

import shutil

import numpy as np
import pytest
from fakes.workspace import lensfold

from lensfold.config import Experiment, validated
from lensfold.data.cache import Cache
from lensfold.errors import InputError
from lensfold.inputs.batches import Preparation
from lensfold.inputs.pixels import fit_constants
from lensfold.models import build_model, split_at_head
from lensfold.prediction import features
from lensfold.prediction.features import network_input

FROZEN = """
[pixels]
crop = 64
bin = 2
[learner]
name = "efficientnet_lite0"
weights = "imagenet"
frozen = true
[[stage]]
min_size = 20
epochs = 3
learning_rate = 0.01
trainable = "head"
[predict]
d4_average = false
"""


def experiment(**learner) -> Experiment:
    content = {
        "pixels": {"crop": 64, "bin": 2},
        "learner": {"name": "efficientnet_lite0", "weights": "imagenet", "frozen": True, **learner},
        "stage": [{"min_size": 20, "epochs": 1, "learning_rate": 0.01, "trainable": "head"}],
        "predict": {"d4_average": False},
    }
    return validated(content, Experiment, "here.toml")


@pytest.fixture
def cache(fake_workspace, tmp_path):
    folder = shutil.copytree(fake_workspace / "data" / "fake" / "cache" / "train", tmp_path / "cache")
    with Cache(folder) as cache:
        yield cache


@pytest.fixture
def constants(cache):
    from lensfold.data.cache import split_bands

    return fit_constants([split_bands(row) for row in cache.read(cache.ids[:8])], experiment().pixels, cache.sigma)


def test_features_are_those_of_the_whole_network(cache, constants):
    settings = experiment()
    rows = network_input(cache, settings, constants)
    model = build_model("efficientnet_lite0", 32, 3, weights="imagenet")
    backbone, head = split_at_head(model)
    ids = cache.ids[[7, 0, 59]]
    images = Preparation(cache, settings, constants).plain(ids)
    found = rows.plain(ids)
    assert found.shape == (3, 2 * (40 + 80 + 112 + 192 + 1280)) and found.dtype == np.float32
    np.testing.assert_allclose(found, backbone.predict_on_batch(images), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(head.predict_on_batch(found), model.predict_on_batch(images), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(rows.augmented(ids, np.arange(3), 1, 0, 0), found)


def test_they_are_computed_once_and_again_for_other_settings(cache, constants, monkeypatch):
    computed = []

    def compute(preparation, ids, settings, path, progress):
        computed.append(settings.pixels.crop)
        np.save(path, np.zeros((len(ids), 3), dtype="<f4"))

    monkeypatch.setattr(features, "_compute", compute)
    network_input(cache, experiment(), constants)
    (path,) = (cache.folder / "features").glob("*.npy")
    network_input(cache, experiment(dropout=0.5), constants)
    assert computed == [64]
    network_input(cache, experiment(), {**constants, "mean": [0.0] * 3})
    assert len(computed) == 2
    path.with_suffix(".json").write_text("{")
    rows = network_input(cache, experiment(), constants)
    assert len(computed) == 3
    assert (rows.plain(cache.ids) == 0).all()
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"\.npy: ends too early"):
        rows.plain(cache.ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learner": {"name": "fast_cnn", "frozen": True}}, "imagenet"),
        ({"stage": [{"min_size": 20, "epochs": 1, "learning_rate": 0.01, "trainable": "top"}]}, "trainable"),
        ({"predict": {"d4_average": True}}, "d4_average = false"),
    ],
)
def test_settings_that_contradict_a_frozen_backbone(change, words):
    content = experiment().model_dump(mode="json") | change
    with pytest.raises(InputError, match=words):
        validated(content, Experiment, "here.toml")


def test_a_network_without_named_features_cannot_be_split():
    with pytest.raises(InputError, match="no layer head_features"):
        split_at_head(build_model("paper_cnn", 64, 2))


def test_a_frozen_experiment_from_training_to_submission(workspace):
    (workspace / "experiments" / "tiny.toml").write_text(FROZEN)
    options = ("--experiment", "tiny", "--pack", "fake")
    first = lensfold(workspace, "run", "train", *options)
    assert first.stdout.count("60/60 objects") == 1 and "fold 2  epoch  3/3" in first.stdout
    run = workspace / "runs" / "fake" / "tiny"
    before = (run / "fold1" / "oof.csv").read_bytes()
    lensfold(workspace, "run", "predict", "--pack", "fake")
    assert len((workspace / "submissions" / "fake" / "default.csv").read_text().splitlines()) == 8
    shutil.rmtree(run / "fold1")
    lensfold(workspace, "run", "train", *options)
    assert (run / "fold1" / "oof.csv").read_bytes() == before
