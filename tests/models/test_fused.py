"""The faster layers against Keras' own: numbers, statistics, gradients, saved files."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lensfold.models import build_model, fused, reestimate_statistics
from lensfold.models.saved import load_model

BATCH = (4, 5, 6, 3)


def noise(shape=BATCH, seed=1, level=1.5, spread=2.0):
    return (level + spread * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def pair(plain, faster, shape=BATCH, **options):
    """Keras' layer and ours with the same random weights (a variance is positive)."""
    layers = [kind(**options) for kind in (plain, faster)]
    for layer in layers:
        layer.build(shape)
    weights = [np.abs(noise(weight.shape, seed=7 + number)) for number, weight in enumerate(layers[0].weights)]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def normalisations(**options):
    return pair(keras.layers.BatchNormalization, fused.BatchNormalization, **options)


def gradients(layer, x, **call):
    """Output, and the gradients of a weighted sum of it with respect to the input and the weights that learn."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **call)
        total = tf.reduce_sum(tf.cast(y, "float32") * noise(y.shape, seed=3))
    variables = [weight.value for weight in layer.trainable_weights]
    return [np.asarray(array) for array in (y, *tape.gradient(total, [x, *variables]))]


def assert_same(found, expected, tolerance=2e-5):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, atol=tolerance * max(np.abs(theirs).max(), 1), rtol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [BATCH, (1, 2, 1, 3), (1, 1, 1, 3), (9, 3)])
def test_normalisation_is_that_of_keras(training, shape):
    plain, ours = normalisations(momentum=0.7, shape=shape)
    for seed in (1, 2):
        assert_same(*(gradients(layer, noise(shape, seed), training=training) for layer in (ours, plain)))
    assert_same(ours.get_weights(), plain.get_weights())


def test_a_batch_is_measured_by_the_operation_and_not_by_keras(monkeypatch):
    """The other tests would pass too if the layer always fell back on Keras."""
    monkeypatch.setattr(keras.layers.BatchNormalization, "call", None)
    monkeypatch.setattr(keras.layers.DepthwiseConv2D, "call", None)
    assert fused.BatchNormalization()(noise(), training=True).shape == BATCH
    assert fused.DepthwiseConv2D(5, use_bias=False)(noise(), training=True).shape == (4, 1, 2, 3)


def test_frozen_normalisation_uses_and_keeps_its_statistics():
    plain, ours = normalisations(trainable=False)
    before = ours.get_weights()
    x = noise()
    np.testing.assert_array_equal(ours(x, training=True), plain(x, training=False))
    np.testing.assert_array_equal(np.concatenate(ours.get_weights()), np.concatenate(before))


@pytest.mark.parametrize("options", [{"axis": 1}, {"scale": False}, {"center": False}, {"renorm": True}])
def test_other_options_are_left_to_keras(options):
    plain, ours = normalisations(**options)
    np.testing.assert_array_equal(ours(noise(), training=True), plain(noise(), training=True))


def test_half_precision_measures_in_float32():
    """Values whose squares a 16-bit float cannot hold."""
    plain, ours = normalisations(dtype="mixed_float16")
    x = noise(spread=300.0).astype("float16")
    assert_same(*(gradients(layer, x, training=True) for layer in (ours, plain)), tolerance=2e-3)
    assert ours.moving_variance.dtype == "float32"
    np.testing.assert_allclose(ours.moving_variance, plain.moving_variance, rtol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (4, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "strides"), [(3, 1), (3, 2), (5, 2), (5, 1)])
def test_depthwise_convolution_is_that_of_keras(kernel, strides, padding, size):
    if padding == "valid" and kernel > min(size):
        return
    options = {"kernel_size": kernel, "strides": strides, "padding": padding, "use_bias": False}
    shape = (2, *size, 4)
    layers = pair(keras.layers.DepthwiseConv2D, fused.DepthwiseConv2D, shape=shape, **options)
    assert_same(*(gradients(layer, noise(shape), training=True) for layer in reversed(layers)))


@pytest.mark.parametrize("options", [{"use_bias": True}, {"activation": "relu"}, {"dilation_rate": 2}])
def test_other_depthwise_convolutions_are_left_to_keras(options):
    plain, ours = pair(
        keras.layers.DepthwiseConv2D, fused.DepthwiseConv2D, **{"kernel_size": 2, "use_bias": False} | options
    )
    assert_same(gradients(ours, noise(), training=True), gradients(plain, noise()))


def test_swish_is_that_of_keras():
    x = np.linspace(-120, 120, 4801, dtype="float32").reshape(1, -1)
    expected = gradients(keras.layers.Activation("swish"), x)
    for training in (True, False):
        assert_same(gradients(fused.Swish(), x, training=training), expected, tolerance=1e-6)
        assert fused.Swish(dtype="mixed_float16")(x, training=training).dtype == "float16"


def as_keras(model):
    """The same network of Keras' own layers."""

    def plain(layer):
        settings = layer.get_config()
        if isinstance(layer, fused.Swish):
            return keras.layers.Activation("swish", name=layer.name)
        for kind in (keras.layers.BatchNormalization, keras.layers.DepthwiseConv2D):
            if isinstance(layer, kind):
                return kind.from_config(settings)
        return type(layer).from_config(settings)

    copy = keras.models.clone_model(model, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(3)
    model = build_model("efficientnet_b0", 32, 3, dropout=0.0)
    return model, as_keras(model)


def test_the_network_gives_the_logits_of_keras_layers(networks):
    x = noise((16, 32, 32, 3))
    for training in (True, False):
        ours, plain = (network(x, training=training) for network in networks)
        np.testing.assert_allclose(ours, plain, atol=1e-4)


def test_the_gradients_of_the_network_are_those_of_keras_layers(networks):
    """Of the top's averages: a maximum of two numbers that are nearly equal has either's gradient."""
    assert not any(type(layer).__module__.startswith("lensfold") for layer in networks[1].layers)
    parts = [keras.Model(network.input, network.get_layer("head_average").output) for network in networks]
    found, expected = (gradients(part, noise((16, 32, 32, 3)), training=True) for part in parts)
    norms = [np.linalg.norm(theirs) for theirs in expected]
    # the shift of a normalisation that feeds another one has no effect: its gradient is rounding alone
    matter = [norm > 1e-4 * max(norms) for norm in norms]
    assert sum(matter) > 0.6 * len(matter)
    for ours, theirs in itertools.compress(zip(found, expected, strict=True), matter):
        assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)
    statistics = [np.concatenate([weight.numpy() for weight in part.non_trainable_weights]) for part in parts]
    np.testing.assert_allclose(*statistics, rtol=1e-3, atol=1e-4)


def test_weights_keep_the_names_of_keras(networks):
    paths = [[(weight.path, weight.shape) for weight in network.weights] for network in networks]
    assert paths[0] == paths[1]


def test_a_saved_network_gives_the_same(tmp_path):
    x = noise()
    inputs = keras.Input(BATCH[1:])
    y = fused.DepthwiseConv2D(3, padding="same", use_bias=False)(inputs)
    y = fused.Swish()(fused.BatchNormalization(momentum=0.5)(y))
    model = keras.Model(inputs, y)
    model(x, training=True)
    for name, network in (("ours", model), ("plain", as_keras(model))):
        network.save(tmp_path / f"{name}.keras", include_optimizer=False)
        loaded = load_model(tmp_path / f"{name}.keras")
        np.testing.assert_array_equal(loaded(x), network(x))
        assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in network.layers]


def test_statistics_are_estimated_again(networks):
    model, plain = networks
    batches = [noise((16, 32, 32, 3), seed, spread=seed) for seed in (1, 2)]
    for network in networks:
        reestimate_statistics(network, batches)
    for ours, theirs in zip(model.non_trainable_weights, plain.non_trainable_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max() + 1e-5)


def test_the_copied_network_has_the_faster_layers():
    kinds = {type(layer) for layer in build_model("efficientnet_v2_b0", 32, 3).layers if "head" not in layer.name}
    assert {fused.BatchNormalization, fused.DepthwiseConv2D, fused.Swish} <= kinds
    assert not kinds & {keras.layers.BatchNormalization, keras.layers.DepthwiseConv2D}
