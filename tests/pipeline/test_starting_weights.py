"""A run is bound to the content of the file that its network starts from."""

import shutil

import numpy as np
import pytest
from fakes.labels import write_own_pack
from fakes.workspace import TINY, lensfold
from safetensors.numpy import save

from lensfold.errors import InputError
from lensfold.files import file_sha256
from lensfold.models import network_of
from lensfold.models.saved import load_model
from lensfold.models.shipped import read_shipped, write_shipped
from lensfold.paths import SHIPPED, Workspace
from lensfold.pipeline.configure import configure, is_configured
from lensfold.pipeline.predict import predict_folds
from lensfold.pipeline.shipped import unpack_shipped
from lensfold.runs.run import Run


@pytest.fixture
def started(workspace):
    """A workspace whose experiment starts from a file; nothing reads it before a network is built."""
    path = workspace / "start.keras"
    path.write_bytes(b"first")
    experiment = workspace / "experiments" / "tiny.toml"
    experiment.write_text(TINY.replace("dropout = 0.3", f'weights = "file"\nweights_file = "{path}"'))
    return Workspace(workspace), path, experiment


def test_another_file_of_the_same_name_is_another_run(started):
    place, path, _ = started
    pack = place.pack("fake")
    first = Run(configure(place, pack, "tiny"))
    assert first.settings.learner.weights_sha256 == file_sha256(path)
    assert is_configured(place, pack, "tiny")
    path.write_bytes(b"second")
    assert not is_configured(place, pack, "tiny")
    second = Run(configure(place, pack, "tiny"))
    assert second.settings.learner.weights_sha256 == file_sha256(path)
    assert second.identity != first.identity
    path.write_bytes(b"first")
    assert Run(configure(place, pack, "tiny")).identity == first.identity


def test_a_file_that_is_gone_or_is_not_the_one_that_was_meant(started):
    place, path, experiment = started
    text = experiment.read_text()
    experiment.write_text(text.replace("[train]", f'weights_sha256 = "{64 * "0"}"\n[train]'))
    with pytest.raises(InputError, match=rf"start\.keras' has sha256 {file_sha256(path)}, and learner.weights_sha256"):
        configure(place, place.pack("fake"), "tiny")
    experiment.write_text(text)
    path.unlink()
    with pytest.raises(InputError, match=r"tiny\.toml: learner.weights_file = .*cannot be read \(No such file"):
        configure(place, place.pack("fake"), "tiny")
    experiment.write_text(text.replace('weights = "file"', "weights_head = true"))
    with pytest.raises(InputError, match='weights_sha256 and weights_head need weights = "lensfold" or "file"'):
        configure(place, place.pack("fake"), "tiny")


# A published network as a start: `weights = "lensfold"`.

MINE = """
[pixels]
crop = 64
bin = 2
[learner]
name = "fast_cnn"
dropout = 0.3
weights = "lensfold"
[train]
batch_size = 8
average_momentum = 0.0
[[stage]]
min_size = 0
epochs = 1
learning_rate = 1e-9
[predict]
d4_average = false
"""


@pytest.fixture(scope="module")
def published(trained_workspace, tmp_path_factory):
    """A workspace with two networks of another pack in weights/, the second with the better score, and labels."""
    root = tmp_path_factory.mktemp("started") / "w"
    shutil.copytree(trained_workspace, root)
    for fold, name in enumerate(("a", "b")):
        lensfold(root, "publish", "--experiment", "tiny", "--fold", str(fold), "--name", name, "--pack", "fake")
    for name, auc in (("a", 0.7), ("b", 0.8)):
        described(root / "weights" / f"{name}.safetensors", lambda d, auc=auc: d["scores"]["auc"].update(value=auc))
    (root / "experiments" / "mine.toml").write_text(MINE)
    write_own_pack(root / "data" / "mine")
    lensfold(root, "run", "folds", "cache", "--pack", "mine")
    return root


def described(path, change):
    """Change what a published file says of itself."""
    arrays, description = read_shipped(path)
    change(description)
    write_shipped(path, arrays, description)


@pytest.fixture
def ours(published, tmp_path):
    shutil.copytree(published, tmp_path / "w")
    return Workspace(tmp_path / "w")


def settled(place, text=MINE):
    """Return the run of `mine` as it is resolved with these settings."""
    place.experiment("mine").write_text(text)
    return Run(configure(place, place.pack("mine"), "mine"))


def test_the_best_published_network_that_fits_with_its_classifier_and_its_stretch(ours):
    run = settled(ours)
    learner, (_, description) = run.settings.learner, read_shipped(ours.shipped("b"))
    assert (learner.weights_file, learner.weights_head) == ("weights/b.safetensors", True)
    assert learner.weights_sha256 == file_sha256(ours.shipped("b"))
    assert run.config["constants"] == description["config"]["constants"]
    assert run.config["start_packs"] == {"fake": description["config"]["data_hash"]}
    named = settled(
        ours, MINE.replace("[train]", 'weights_file = "weights/a.safetensors"\nweights_head = false\n[train]')
    )
    assert named.settings.learner.weights_sha256 == file_sha256(ours.shipped("a"))
    assert not named.settings.learner.weights_head and named.identity != run.identity
    fresh = settled(ours, MINE.replace('weights = "lensfold"', ""))
    assert fresh.config["constants"] != run.config["constants"] and "start_packs" not in fresh.config


def test_a_better_network_in_weights_is_another_run_and_one_that_does_not_fit_is_none(ours):
    pack, first = ours.pack("mine"), settled(ours)
    shutil.copy(ours.shipped("b"), ours.shipped("c"))
    described(ours.shipped("c"), lambda d: d["scores"]["auc"].update(value=0.9))
    assert not is_configured(ours, pack, "mine")
    assert settled(ours).settings.learner.weights_file == "weights/c.safetensors"
    described(ours.shipped("c"), lambda d: d["config"]["experiment"]["pixels"].update(mix="vis"))
    assert not is_configured(ours, pack, "mine")
    assert settled(ours).identity == first.identity


def test_training_begins_with_what_the_file_has(ours):
    """At a rate of nothing the fine-tuned network answers as the published one does."""
    unpack_shipped(ours)
    lensfold(ours.root, "run", "train", "--experiment", "mine", "--fold", "0", "--pack", "mine")
    predict_folds(ours, ours.pack("mine"), "mine", "mine", only=(0,))
    predict_folds(ours, ours.pack("mine"), SHIPPED, "b")
    tuned = load_model(ours.run("mine", "mine") / "fold0" / "model.keras")
    began = load_model(ours.run(SHIPPED, "b") / "fold0" / "model.keras")
    for layer in began.layers:
        for array, found, name in zip(
            layer.get_weights(), tuned.get_layer(layer.name).get_weights(), layer.weights, strict=True
        ):
            if "moving_" not in name.path:  # statistics are those of the new objects
                np.testing.assert_allclose(found, array, atol=1e-6)


def test_a_published_file_by_its_path_through_the_same_reader(ours):
    path = ours.shipped("a").resolve()
    file = MINE.replace('weights = "lensfold"', f'weights = "file"\nweights_file = "{path}"\nweights_head = true')
    settings = settled(ours, file).settings
    assert settings.learner.weights_sha256 == file_sha256(path)
    arrays, _ = read_shipped(path)
    model = network_of(settings)
    for variable in model.weights:
        np.testing.assert_array_equal(np.asarray(variable.value), arrays[variable.path].astype("f4"))
    with pytest.raises(InputError, match="its network sees 3 channels, and the experiment's pixels.mix gives 1"):
        network_of(settled(ours, file.replace("crop = 64", 'crop = 64\nmix = "vis"')).settings)
    with pytest.raises(InputError, match="the network in it is fast_cnn, and the experiment's paper_cnn"):
        network_of(settled(ours, file.replace('"fast_cnn"', '"paper_cnn"')).settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINE.replace("crop = 64", "crop = 80"), "a.safetensors: its pixels.crop is 64, not 80; b.safetensors: its"),
        (MINE.replace("crop = 64", 'crop = 64\nmix = "vis"'), 'its pixels.mix is "paper-rgb", not "vis"'),
        (MINE.replace('"fast_cnn"', '"paper_cnn"'), 'its learner.name is "fast_cnn", not "paper_cnn"'),
        (MINE.replace("[train]", 'weights_file = "weights/z.safetensors"\n[train]'), "no such file of weights"),
        (MINE.replace("[train]", f'weights_sha256 = "{64 * "0"}"\n[train]'), "weights_sha256 is 000"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(ours, text, words):
    with pytest.raises(InputError) as caught:
        settled(ours, text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_no_network_a_damaged_one_and_one_of_others(ours):
    whole = ours.shipped("a").read_bytes()
    ours.shipped("b").unlink()
    for content, words in (
        (whole[:-100], "damaged, or no safetensors file"),
        (save({"a": np.ones(3, np.float16)}), "was not written by lensfold"),
    ):
        ours.shipped("a").write_bytes(content)
        with pytest.raises(InputError, match=rf"a\.safetensors: {words}"):
            settled(ours)
    ours.shipped("a").write_bytes(whole)
    described(ours.shipped("a"), lambda d: d["config"].pop("trained_on"))
    with pytest.raises(InputError, match=r"a\.safetensors: its description lacks 'trained_on'"):
        settled(ours)
    ours.shipped("a").unlink()
    with pytest.raises(InputError, match=r"mine\.toml: .*no network in .*weights\. Publish one with"):
        settled(ours)


def test_a_network_that_has_seen_the_pack_is_no_start_for_it(ours):
    """Nor one that was fine-tuned elsewhere after that: what folds hold out must be new to it."""

    def elsewhere(description):
        config = description["config"]
        config.update(trained_on="x", start_packs={"y": config["data_hash"]}, data_hash="0")

    ours.experiment("tiny").write_text(MINE.replace("min_size = 0", "min_size = 20"))
    with pytest.raises(InputError, match=r"b\.safetensors: it has learnt from pack fake"):
        configure(ours, ours.pack("fake"), "tiny")
    for name in ("a", "b"):
        described(ours.shipped(name), elsewhere)
    with pytest.raises(InputError, match=r"b\.safetensors: it has learnt from pack fake"):
        configure(ours, ours.pack("fake"), "tiny")
