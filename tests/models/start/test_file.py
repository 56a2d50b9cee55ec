"""Weights out of a user's file: the same numbers as the network they came from, or one sentence and nothing copied."""

import hashlib
import json
import pickle
import re
import zipfile

import numpy as np
import pytest
from fakes.timm import timm_features, timm_state, torch_archive

from lensfold.errors import InputError
from lensfold.models import build_model
from lensfold.models.start.file import read_start

SIDE = 40


def images(channels=3):
    return np.random.default_rng(1).normal(size=(2, SIDE, SIDE, channels)).astype("f4")


def averages(model, batch):
    import keras

    return np.asarray(keras.Model(model.input, model.get_layer("head_average").output)(batch))


@pytest.fixture(scope="module")
def lite_state():
    return timm_state(lite=True)


@pytest.fixture(scope="module")
def lite():
    """A network to fill, built once: that takes seconds."""
    return build_model("efficientnet_lite0", SIDE, 3)


def started(name, path, channels=3, **options):
    return build_model(name, SIDE, channels, weights="file", weights_file=str(path), **options)


def write(path, state):
    from safetensors.numpy import save_file

    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        path.write_bytes(torch_archive(state))
    return path


@pytest.mark.parametrize(
    ("name", "file"), [("efficientnet_lite0", "a.pth"), ("efficientnet_b0", "a.safetensors")], ids=["lite0", "b0"]
)
def test_features_are_those_that_timm_computes_of_its_tensors(tmp_path, name, file):
    state = timm_state(lite="lite" in name)
    model = started(name, write(tmp_path / file, state))
    expected = timm_features(state, images())
    np.testing.assert_allclose(averages(model, images()), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


def test_a_greyscale_encoder_in_a_checkpoint_sees_a_grey_picture_alike(tmp_path):
    """As Zoobot saves them: one channel, a prefix before each name, other things beside the state."""
    grey, path = timm_state(lite=True, channels=1), tmp_path / "last.bin"
    encoder = {f"encoder.{name}": array.astype("f2") if name == "bn2.bias" else array for name, array in grey.items()}
    path.write_bytes(torch_archive({**encoder, "head.weight": np.zeros(3, "f4")}, under="state_dict"))
    batch = images(1)
    found = averages(started("efficientnet_lite0", path, channels=4), np.repeat(batch, 4, axis=-1))
    np.testing.assert_allclose(found, timm_features(grey, batch), rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A network of lensfold with weights of its own, and its file."""
    model, path = build_model("fast_cnn", SIDE, 3), tmp_path_factory.mktemp("own") / "model.keras"
    generator = np.random.default_rng(2)
    model.set_weights([generator.uniform(0.1, 0.9, w.shape).astype("f4") for w in model.get_weights()])
    model.save(path)
    return model, path


def test_a_network_of_lensfold_goes_on_with_or_without_its_classifier(own):
    before, path = own
    fresh, whole = started("fast_cnn", path), started("fast_cnn", path, weights_head=True)
    for layer in before.layers:
        for array, one, other in zip(
            layer.get_weights(),
            whole.get_layer(layer.name).get_weights(),
            fresh.get_layer(layer.name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, array)
            assert np.array_equal(other, array) is not layer.name.startswith("head_")
    np.testing.assert_allclose(np.asarray(whole(images())), np.asarray(before(images())), rtol=1e-6)


def test_two_branches_start_from_one_and_other_sides_from_the_same(tmp_path, lite_state, own):
    path = write(tmp_path / "a.pt", lite_state)
    model = started("efficientnet_lite0", path, channels=4, two_branches=True)
    stem = lite_state["conv_stem.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("nisp_stem_conv").get_weights()[0], stem)
    np.testing.assert_allclose(model.get_layer("vis_stem_conv").get_weights()[0], stem.sum(axis=2, keepdims=True), 1e-5)
    larger = build_model("fast_cnn", 2 * SIDE, 3, weights="file", weights_file=str(own[1]))
    for found, expected in zip(*(m.get_layer("conv2").get_weights() for m in (larger, own[0])), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_classifier_of_others_around_keras_own_network(tmp_path):
    """keras.applications' backbone as one layer, behind a layer of pictures and before a classifier of five classes."""
    import keras

    inside = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
    picture = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D()(inside(picture))
    keras.Model(picture, keras.layers.Dense(5)(x)).save(tmp_path / "b0.keras")
    model = started("efficientnet_b0", tmp_path / "b0.keras")
    for name in ("stem_conv", "block4b_se_reduce", "top_bn"):
        for found, expected in zip(
            model.get_layer(name).get_weights(), inside.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.0.bn2.running_var"), "tensor 'blocks.1.0.bn2.running_var' is missing"),
        (
            lambda s: s.update({"blocks.1.0.conv_dw.weight": np.zeros((90, 1, 3, 3), "f4")}),
            "blocks.1.0.conv_dw.weight has shape (90, 1, 3, 3), expected (96, 1, 3, 3) for layer block2a_dwconv",
        ),
        (
            lambda s: s.update({"conv_head.weight": np.zeros((1280, 320), "f4")}),
            "conv_head.weight has shape (1280, 320), expected (1280, 320, 1, 1) for layer top_conv",
        ),
        (lambda s: s.update({"blocks.1.2.conv_pw.weight": np.zeros(1, "f4")}), "'blocks.1.2.conv_pw.weight' has no"),
        (lambda s: s.update({"bn2.bias": np.full(1280, np.nan, "f4")}), "bn2.bias has numbers that are not finite"),
        (lambda s: s.clear() or s.update({"layer1.weight": np.zeros(1, "f4")}), "found layer1.weight"),
    ],
)
def test_a_tensor_that_is_not_as_expected_is_named_and_nothing_is_copied(tmp_path, lite, lite_state, change, message):
    state, before = dict(lite_state), lite.get_weights()
    change(state)
    path = write(tmp_path / "a.safetensors", state)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"):
        read_start("efficientnet_lite0", str(path), None).fill(lite, head=False)
    for found, expected in zip(lite.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


class Call:
    """Pickles as a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def keras_file_of(layer: dict) -> bytes:
    """A keras archive whose network is one layer of this configuration."""
    import io

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(layer))
        archive.writestr("model.weights.h5", b"")
    return stream.getvalue()


def test_nothing_in_a_file_is_run(tmp_path):
    mark = tmp_path / "ran"
    foreign = {"module": "os", "class_name": "system", "config": {"command": f"touch {mark}"}, "registered_name": None}
    pickled = io_zip({"net/data.pkl": pickle.dumps(Call(mark))})
    for file, content, words in (
        ("a.pth", pickle.dumps(Call(mark)), "it asks for "),
        ("b.pt", pickled, "it asks for "),
        ("c.keras", keras_file_of(foreign), "not a Keras network"),
        ("d.keras", keras_file_of(foreign | {"module": "keras", "class_name": "layers.Lambda"}), "not a Keras network"),
    ):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(InputError, match=f"{file}: .*{words}") as caught:
            read_start("efficientnet_lite0", str(tmp_path / file), None)
        assert "\n" not in str(caught.value)
    assert not mark.exists()


def io_zip(files: dict[str, bytes]) -> bytes:
    import io

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_damaged_files_other_formats_and_other_content(tmp_path, lite_state, own):
    whole = {
        ".pth": torch_archive({"conv_stem.weight": lite_state["conv_stem.weight"]}),
        ".keras": own[1].read_bytes(),
        ".safetensors": write(tmp_path / "w.safetensors", lite_state).read_bytes(),
    }
    for suffix, content in whole.items():
        for cut in (0, 7, len(content) // 2, len(content) - 5):
            path = tmp_path / f"cut{suffix}"
            path.write_bytes(content[:cut])
            with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
                read_start("efficientnet_lite0", str(path), None)
    compressed = torch_archive(lite_state, compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "z.pth").write_bytes(compressed)
    expected = hashlib.sha256(b"another").hexdigest()
    for file, sha256, words in (
        ("z.pth", None, "compressed"),
        ("w.h5", None, "Expected .keras, .pth"),
        ("gone.keras", None, "cannot be read (No such file"),
        ("w.safetensors", expected, f"expected {expected}"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            read_start("efficientnet_lite0", str(tmp_path / file), sha256)


@pytest.mark.parametrize(
    ("name", "channels", "options", "message"),
    [
        ("wide_cnn", 4, {}, "the network in it is fast_cnn, and the experiment's wide_cnn"),
        ("fast_cnn", 4, {}, "its network sees 3 channels, and the experiment's pixels.mix gives 4"),
    ],
)
def test_another_network_or_other_bands_of_our_own(own, name, channels, options, message):
    with pytest.raises(InputError, match=message):
        started(name, own[1], channels, **options)


def test_what_a_file_cannot_give(tmp_path, lite, lite_state):
    path = write(tmp_path / "a.pth", lite_state)
    with pytest.raises(InputError, match="tensor 'blocks.0.0.se.conv_reduce.weight' is missing, so it is no eff"):
        started("efficientnet_b0", path)
    with pytest.raises(InputError, match="fast_cnn takes none"):
        started("fast_cnn", path)
    with pytest.raises(InputError, match="no classifier of lensfold's in it"):
        read_start("efficientnet_lite0", str(path), None).fill(lite, head=True)
    small = build_model("paper_cnn", SIDE, 1)
    small.save(tmp_path / "p.keras")
    with pytest.raises(InputError, match="head_dense1.*trained on images of 40 pixels a side, .* have 80"):
        build_model("paper_cnn", 80, 1, weights="file", weights_file=str(tmp_path / "p.keras"), weights_head=True)
