"""Inference: the outputs are those of keras, whatever the batch and however little memory there is."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from fakes.workspace import environment

from lensfold.errors import InputError
from lensfold.inputs.batches import slices
from lensfold.models import build_model, fused, split_at_head, with_source_map, without_source_map
from lensfold.models.saved import load_model
from lensfold.prediction.forward import Inference, inference_of
from lensfold.prediction.logits import logits

NETWORKS = {
    "paper_cnn": ("paper_cnn", 48, 2, {}),
    "fast_cnn": ("fast_cnn", 64, 3, {}),
    "wide_cnn": ("wide_cnn", 100, 4, {}),
    "b0": ("efficientnet_b0", 40, 3, {"dense": (8,)}),
    "lite0": ("efficientnet_lite0", 40, 3, {}),
    "two_branches": ("efficientnet_lite0", 100, 4, {"two_branches": True}),
    "v2": ("efficientnet_v2_b0", 40, 3, {}),
}


def trained_like(model: keras.Model) -> keras.Model:
    """The network with normalisations that do something, as after training, and logits of up to five."""
    generator = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(generator.uniform(0.8, 1.2, layer.gamma.shape))
            layer.beta.assign(generator.normal(0, 0.1, layer.beta.shape))
            layer.moving_mean.assign(generator.normal(0, 0.1, layer.beta.shape))
            layer.moving_variance.assign(generator.uniform(0.8, 1.2, layer.beta.shape))
    logit, values = model.get_layer("head_logit"), np.asarray(model(images_for(model, 8), training=False))
    logit.kernel.assign(logit.kernel * 5 / abs(values).max())
    return model


def images_for(model: keras.Model, count: int) -> np.ndarray:
    """Noise of a level of its own in each image."""
    generator = np.random.default_rng(3)
    levels = generator.uniform(0.5, 1.5, (count, 1, 1, 1))
    return (levels * generator.standard_normal((count, *model.input_shape[1:]))).astype(np.float32)


@pytest.fixture(scope="module")
def fast_cnn() -> keras.Model:
    return trained_like(build_model("fast_cnn", 64, 3))


@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_are_those_of_keras(network):
    name, pixels, channels, options = NETWORKS[network]
    model = trained_like(build_model(name, pixels, channels, **options))
    images = images_for(model, 7)
    expected = np.asarray(model(images, training=False))
    assert np.ptp(expected) > 0.01 and 1 < abs(expected).max() < 20
    np.testing.assert_allclose(inference_of(model, 4)(images), expected, rtol=0, atol=1e-4)


def test_an_output_does_not_depend_on_its_batch(fast_cnn):
    images = images_for(fast_cnn, 64)
    together = inference_of(fast_cnn, 64)(images)
    alone, of_ten = inference_of(fast_cnn, 1), inference_of(fast_cnn, 10)
    np.testing.assert_allclose(np.concatenate([alone(images[i : i + 1]) for i in range(64)]), together, atol=1e-5)
    np.testing.assert_allclose(of_ten(images), together, atol=1e-5)
    np.testing.assert_array_equal(of_ten(images[:3]), of_ten(images)[:3])
    np.testing.assert_array_equal(of_ten(images[::-1])[::-1], of_ten(images))


def test_without_openvino_tensorflow_computes_the_same(fast_cnn, monkeypatch):
    images = images_for(fast_cnn, 5)
    expected = inference_of(fast_cnn, 2)(images)
    monkeypatch.setitem(sys.modules, "openvino", None)
    np.testing.assert_allclose(inference_of(fast_cnn, 2)(images), expected, atol=1e-4)


CODE = """
import json
import resource
import sys
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf
from lensfold.prediction.forward import Inference, _openvino_function, inference_of
from lensfold.models.saved import load_model
tf.config.threading.set_intra_op_parallelism_threads(1)
folder, found = Path(sys.argv[1]), {}

model, images = load_model(folder / "model.keras"), np.load(folder / "images.npy")
inference = inference_of(model, 8)
first = inference(images)
assert all(np.array_equal(again(images), first) for again in [inference] * 5 + [inference_of(model, 8)])
assert sys.modules["openvino"] and sys.modules["openvino_telemetry"] is None
found["logits"] = first.tobytes().hex()

found["faster"] = np.asarray(load_model(folder / "faster.keras")(np.load(folder / "faster.npy"))).tolist()

if sys.platform == "linux":  # address space is limited on Linux only
    image = keras.Input((256, 256, 1))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(64, 3)(image)))
    inputs = np.random.default_rng(1).standard_normal((64, 256, 256, 1)).astype(np.float32)
    expected = inference_of(model, 4)(inputs)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (900 << 20), resource.RLIM_INFINITY))
    inference = Inference(lambda size: _openvino_function(model, size), 64)
    assert np.allclose(inference(inputs), expected, atol=1e-5)
    found["batch size"] = inference._batch_size
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def faster_layers() -> keras.Model:
    """A network of the layers that lensfold brings, and nothing else, with statistics of some noise."""
    inputs = keras.Input((5, 6, 3))
    y = fused.DepthwiseConv2D(3, padding="same", use_bias=False)(inputs)
    y = fused.Swish()(fused.BatchNormalization(momentum=0.5)(y))
    model = keras.Model(inputs, y)
    model(images_for(model, 4), training=True)
    return model


@pytest.fixture(scope="module")
def another_process(fast_cnn, faster_layers, tmp_path_factory) -> dict:
    """What one new process computes of saved networks, and the batch size that it comes to with little memory."""
    folder = tmp_path_factory.mktemp("another")
    fast_cnn.save(folder / "model.keras")
    np.save(folder / "images.npy", images_for(fast_cnn, 20))
    faster_layers.save(folder / "faster.keras", include_optimizer=False)
    np.save(folder / "faster.npy", images_for(faster_layers, 4))
    done = subprocess.run([sys.executable, "-c", CODE, folder], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "folder": folder}


def test_another_process_gives_the_same_bytes_and_reports_to_nobody(fast_cnn, another_process):
    model = load_model(another_process["folder"] / "model.keras")
    here = inference_of(model, 8)(images_for(fast_cnn, 20))  # one thread: see conftest
    assert bytes.fromhex(another_process["logits"]) == here.tobytes()


def test_a_network_of_the_faster_layers_gives_the_same_in_a_new_process(faster_layers, another_process):
    expected = faster_layers(images_for(faster_layers, 4))
    np.testing.assert_allclose(another_process["faster"], expected, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_a_real_lack_of_memory(another_process):
    """1 GB for the convolution's result alone where 900 MB are left."""
    assert another_process["batch size"] in (8, 16, 32)


def test_the_weights_are_those_of_the_moment(fast_cnn):
    images, model = images_for(fast_cnn, 3), keras.models.clone_model(fast_cnn)
    model.set_weights(fast_cnn.get_weights())
    before = inference_of(model, 3)(images)
    bias = model.get_layer("head_logit").bias
    bias.assign(bias + 2)
    np.testing.assert_allclose(inference_of(model, 3)(images), before + 2, atol=1e-5)


def test_sixteen_bit_networks():
    # what 16 bits cost depends on the weights: 0.01 with those of this seed, up to 0.05 with others
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = trained_like(build_model("efficientnet_lite0", 40, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    images = images_for(model, 6)
    found = inference_of(model, 4)(images)
    assert found.dtype == np.float32
    # three digits are what 16 bits leave of the expected ones
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=0.05)


def test_heads_on_features_and_maps_of_the_source(fast_cnn):
    backbone, head = split_at_head(fast_cnn)
    images = images_for(fast_cnn, 5)
    features = inference_of(backbone, 4)(images)
    assert features.shape == (5, 256)
    whole = inference_of(fast_cnn, 4)(images)
    np.testing.assert_allclose(inference_of(head, 4)(features), whole, atol=1e-4)
    model = with_source_map(fast_cnn)
    outputs = inference_of(model, 4)(images)
    assert outputs.shape[0] == 5 and outputs.shape[1] > 2
    np.testing.assert_allclose(outputs[:, :1], whole, atol=1e-5)
    np.testing.assert_allclose(inference_of(without_source_map(model), 4)(images), whole, atol=1e-5)


class LittleMemory:
    """Functions of a network, whose memory ends at ``limit`` inputs a batch."""

    def __init__(self, limit: int, error: Exception):
        self._limit, self._error, self.asked = limit, error, []

    def function(self, size: int):
        def run(inputs: np.ndarray) -> np.ndarray:
            assert len(inputs) == size
            self.asked.append(size)
            if size > self._limit:
                raise self._error
            return inputs.reshape(size, -1).sum(axis=1, keepdims=True)

        return run


ERRORS = [
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
    MemoryError(),
    RuntimeError("Exception from cpu_memory.cpp:257:\nFailed to allocate 26843545600 bytes of memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("limit", [1, 3, 10, 32])
def test_batches_are_halved_until_they_fit(error, limit):
    inputs = np.random.default_rng(4).standard_normal((75, 4, 4, 1)).astype(np.float32)
    plenty, little = LittleMemory(100, error), LittleMemory(limit, error)
    inference = Inference(little.function, 32)
    found = np.concatenate([inference(inputs[part]) for part in slices(75, 30)])
    np.testing.assert_array_equal(found, Inference(plenty.function, 32)(inputs))
    size = {1: 1, 3: 2, 10: 8, 32: 32}[limit]
    # each size that is too large is tried once, and never again
    assert little.asked[: little.asked.index(size)] == [n for n in (32, 16, 8, 4, 2, 1) if n > size]
    assert set(little.asked[little.asked.index(size) :]) == {size}


def test_a_single_input_that_does_not_fit_is_told():
    inference = Inference(LittleMemory(0, ERRORS[0]).function, 5)
    with pytest.raises(InputError, match="a batch of 1 input of 4 x 4 x 2 does not fit into memory"):
        inference(np.zeros((9, 4, 4, 2), dtype=np.float32))


def test_other_errors_are_not_taken_for_memory():
    for error in (RuntimeError("no such kernel"), ValueError("Failed to allocate")):
        with pytest.raises(type(error), match=str(error)):
            Inference(LittleMemory(0, error).function, 4)(np.zeros((4, 2), dtype=np.float32))


def test_logits_of_a_network_are_those_of_keras(fast_cnn):
    """Through `logits`: order, the last incomplete batch, the mean over eight views."""
    images = images_for(fast_cnn, 11)

    class Preparation:
        def plain(self, ids):
            return images[ids]

    ids = np.array([10, 3, 7, 0, 5])
    expected = fast_cnn.predict(images[ids], verbose=0)[:, 0]
    np.testing.assert_allclose(logits(fast_cnn, Preparation(), ids, 2, False), expected, atol=1e-4)
    turned = [np.rot90(images[ids], k, axes=(1, 2)) for k in range(4)]
    views = [view for image in turned for view in (image, image[:, ::-1])]
    expected = np.mean([fast_cnn.predict(view, verbose=0)[:, 0] for view in views], axis=0)
    np.testing.assert_allclose(logits(fast_cnn, Preparation(), ids, 2, True), expected, atol=1e-4)
