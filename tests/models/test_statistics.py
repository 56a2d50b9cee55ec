"""Batch normalisation's statistics, measured anew."""

import numpy as np
import pytest

from lensfold.errors import InputError
from lensfold.models import build_model, reestimate_statistics, set_trainable


def normalised(inputs_shape, *layers):
    import keras

    inputs = keras.Input(inputs_shape, name="x")
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def batches_of(count, shape, seed=4):
    """Batches that differ in level and in spread."""
    generator = np.random.default_rng(seed)
    scales = generator.uniform(0.5, 2, size=(count, 2))
    return [(level + spread * generator.normal(size=shape)).astype("float32") for level, spread in scales]


def statistics_of(layer):
    return layer.moving_mean.numpy().copy(), layer.moving_variance.numpy().copy()


def all_statistics(model):
    return {layer.name: statistics_of(layer) for layer in model.layers if hasattr(layer, "moving_mean")}


def test_equal_batches_give_the_statistics_of_everything():
    import keras

    model = normalised((5, 6, 3), keras.layers.BatchNormalization(name="bn"))
    batches = batches_of(7, (8, 5, 6, 3))
    reestimate_statistics(model, batches)
    everything = np.concatenate(batches).astype(np.float64)
    mean, variance = statistics_of(model.get_layer("bn"))
    np.testing.assert_allclose(mean, everything.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, everything.var(axis=(0, 1, 2)), rtol=1e-5)


def test_batches_count_alike_whatever_their_size():
    import keras

    model = normalised((3,), keras.layers.BatchNormalization(name="bn"))
    batches = [*batches_of(2, (8, 3)), *batches_of(1, (4, 3), seed=9)]
    reestimate_statistics(model, iter(batches))
    means = np.array([batch.mean(axis=0) for batch in batches])
    mean, variance = statistics_of(model.get_layer("bn"))
    np.testing.assert_allclose(mean, means.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, np.mean([b.var(axis=0) for b in batches], axis=0) + means.var(0), rtol=1e-5)


def test_a_layer_sees_what_the_batch_statistics_below_make():
    import keras

    first = keras.layers.BatchNormalization(name="first", gamma_initializer=keras.initializers.Constant(3.0))
    model = normalised((4,), first, keras.layers.BatchNormalization(name="second"))
    batches = batches_of(5, (16, 4))
    reestimate_statistics(model, batches)
    mean, variance = statistics_of(model.get_layer("second"))
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    spreads = [batch.astype(np.float64).var(axis=0) for batch in batches]
    np.testing.assert_allclose(variance, np.mean([9 * v / (v + 1e-3) for v in spreads], axis=0), rtol=1e-4)


def test_dropout_is_off_and_back_again():
    import keras

    layers = keras.layers.Dropout(0.5, name="drop"), keras.layers.BatchNormalization(momentum=0.7, name="bn")
    model = normalised((3,), *layers)
    batch = np.full((8, 3), 2.0, dtype="float32")
    reestimate_statistics(model, [batch])
    mean, variance = statistics_of(model.get_layer("bn"))
    np.testing.assert_array_equal(mean, 2)
    np.testing.assert_array_equal(variance, 0)
    assert model.get_layer("drop").rate == 0.5 and model.get_layer("bn").momentum == 0.7
    dropped = keras.Model(model.input, model.get_layer("drop").output)(batch, training=True)
    assert set(np.unique(dropped)) == {0, 4}


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        ([], InputError, "no batch to measure statistics on"),
        ([np.ones((2, 3), "float32"), np.ones((2, 5), "float32")], ValueError, "incompatible"),
    ],
)
def test_a_failure_leaves_the_model_as_it_was(batches, error, message):
    import keras

    layers = keras.layers.Dropout(0.5, name="drop"), keras.layers.BatchNormalization(momentum=0.7, name="bn")
    model = normalised((3,), *layers)
    model.get_layer("bn").moving_mean.assign([1.0, 2.0, 3.0])
    with pytest.raises(error, match=message):
        reestimate_statistics(model, batches)
    np.testing.assert_array_equal(statistics_of(model.get_layer("bn")), [[1, 2, 3], [1, 1, 1]])
    assert model.get_layer("drop").rate == 0.5 and model.get_layer("bn").momentum == 0.7


@pytest.mark.parametrize("name", ["fast_cnn", "efficientnet_lite0"])
def test_one_predicts_as_among_many(name):
    model = build_model(name, 32, 3, dropout=0.5)
    model.compile(run_eagerly=True)  # two batch sizes: compiling twice takes longer
    batches = batches_of(3, (64, 32, 32, 3))
    first = np.asarray(model(batches[0]))
    reestimate_statistics(model, batches)
    among_many = model.predict_on_batch(batches[0])
    alone = np.concatenate([model.predict_on_batch(batches[0][i : i + 1]) for i in (0, 5, 63)])
    np.testing.assert_allclose(alone, among_many[[0, 5, 63]], atol=1e-4 * np.abs(among_many).max())
    assert np.abs(among_many - first).max() > 0.01 * np.abs(first).max()
    assert all(np.isfinite(array).all() for pair in all_statistics(model).values() for array in pair)


def test_predictions_follow_the_statistics_of_training():
    """With one batch the network predicts as it ran in training, layer after layer."""
    model = build_model("fast_cnn", 32, 3, dropout=0.0)
    batch = batches_of(1, (64, 32, 32, 3))[0]
    trained = np.asarray(model(batch, training=True))
    reestimate_statistics(model, [batch])
    np.testing.assert_allclose(model(batch), trained, atol=1e-4 * np.abs(trained).max())


def test_frozen_statistics_stay():
    model = build_model("efficientnet_lite0", 32, 3)
    set_trainable(model, "block7")
    before = all_statistics(model)
    reestimate_statistics(model, batches_of(2, (8, 32, 32, 3)))
    after = all_statistics(model)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith(("head_", "top_", "block7"))}
    set_trainable(model, "head")
    model.get_layer("head_bn").trainable = False
    reestimate_statistics(model, [])  # nothing learns: nothing to measure
