"""Loss, optimiser and averaged weights, each against a closed form or keras' own."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.special import log_expit

from lensfold.config import Experiment, StageSettings, TrainSettings
from lensfold.training.optimisation import SOURCE_WEIGHT, averaged_weights, learning_rate, loss_of, optimiser_of


def stage(**fields) -> StageSettings:
    return StageSettings(**{"min_size": 20, "epochs": 1, "learning_rate": 0.01, **fields})


EXPERIMENT = Experiment(stage=(stage(),))


@settings(deadline=None, max_examples=30)
@given(npst.arrays(np.float32, (12, 1), elements=st.floats(-8, 8, width=32)))
def test_the_loss_is_cross_entropy(values):
    labels = np.tile([[0.0], [1.0]], (6, 1))
    expected = -np.mean(labels * log_expit(values) + (1 - labels) * log_expit(-values))
    loss = loss_of(EXPERIMENT)
    assert float(loss(labels, keras.ops.convert_to_tensor(values))) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_weights_of_objects_enter_cross_entropy():
    labels, values = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    weighted = float(loss_of(EXPERIMENT)(labels, keras.ops.convert_to_tensor(values), np.array([3.0, 1.0])))
    assert weighted == pytest.approx((3 * -log_expit(-1.0) - log_expit(2.0)) / 2, rel=1e-5)


def test_graders_probabilities_are_targets_of_cross_entropy():
    targets, values, weights = np.array([[0.7], [0.1]]), np.array([[0.4], [-2.0]]), np.array([0.5, 1.5])
    own = -(targets * log_expit(values) + (1 - targets) * log_expit(-values))[:, 0]
    found = float(loss_of(EXPERIMENT)(targets, keras.ops.convert_to_tensor(values), weights))
    assert found == pytest.approx(np.mean(weights * own), rel=1e-5)


@pytest.mark.parametrize("task", ["lens", "einstein-radius"])
def test_the_map_of_the_source_adds_its_weighted_cross_entropy(task):
    train = TrainSettings(source_map=0.3)
    loss = loss_of(Experiment(task=task, train=train, stage=(stage(),)))
    first = loss_of(Experiment(task=task, stage=(stage(),)))
    shown, given = np.array([[1.0], [0.0]]), np.array([[0.5], [-2.0]])
    maps, cells = (
        np.array([[0.0, 1.0, 0.0, 0.0], [0.0] * 4]),
        np.array([[-3.0, 0.7, 2.0, -1.0], [-3.0, -3.0, 1.0, 0.0]]),
    )
    each = -(SOURCE_WEIGHT * maps * log_expit(cells) + (1 - maps) * log_expit(-cells)).mean(axis=1)
    targets, outputs = np.hstack([shown, maps]), np.hstack([given, cells])
    objects = np.array([3.0, 1.0])
    alone = float(first(shown, keras.ops.convert_to_tensor(given), objects))
    both = float(loss(targets, keras.ops.convert_to_tensor(outputs), objects))
    assert both == pytest.approx(alone + 0.3 * (objects * each).mean(), rel=1e-5)


def small_model(settings: TrainSettings, chosen: StageSettings, depths: dict[str, int] | None = None) -> keras.Model:
    """Two dense layers, compiled; ``depths`` by layer name."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="deep")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head_logit")(x))
    paths = {w.path: (depths or {}).get(layer.name, 0) for layer in model.layers for w in layer.weights}
    model.compile(optimizer=optimiser_of(settings, chosen, paths), loss=loss_of(EXPERIMENT))
    model.optimizer.build(model.trainable_variables)
    return model


BATCH = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
LABELS = (BATCH[:, :1] > 0).astype(np.float32)


def test_deeper_blocks_learn_at_their_fraction_of_the_rate():
    moved = {}
    for rate in (1.0, 0.1):
        model = small_model(TrainSettings(weight_decay=0.0, average_momentum=0.0), stage(block_rate=rate), {"deep": 2})
        before = {layer.name: layer.get_weights()[0] for layer in model.layers[1:]}
        model.train_on_batch(BATCH, LABELS)
        moved[rate] = {name: model.get_layer(name).get_weights()[0] - old for name, old in before.items()}
    # one step of Adam moves each weight by its rate, whatever the gradient
    np.testing.assert_allclose(moved[0.1]["head_logit"], moved[1.0]["head_logit"], rtol=1e-5)
    np.testing.assert_allclose(moved[0.1]["deep"], 0.01 * moved[1.0]["deep"], rtol=2e-2)


def test_a_step_is_that_of_keras():
    """Five steps with decay, clipping and averages: weights, moments and averages."""
    settings = TrainSettings(weight_decay=0.3, average_momentum=0.8, clip_norm=0.5)
    ours = small_model(settings, stage())
    plain = small_model(settings, stage())
    arguments = {"weight_decay": 0.3, "global_clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.8}
    plain.compile(optimizer=keras.optimizers.AdamW(learning_rate=0.01, **arguments), loss=loss_of(EXPERIMENT))
    for step in range(5):
        for model in (ours, plain):
            model.optimizer.learning_rate = 0.01 * (step + 1)
            model.train_on_batch(BATCH, LABELS)
    for found, expected in zip(
        (*ours.trainable_variables, *ours.optimizer.variables),
        (*plain.trainable_variables, *plain.optimizer.variables),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)


def test_gradients_are_clipped_to_the_norm():
    settings = TrainSettings(clip_norm=1e-3)
    assert optimiser_of(settings, stage(), {}).global_clipnorm == 1e-3
    assert optimiser_of(TrainSettings(), stage(), {}).global_clipnorm is None


def test_averaged_weights_are_the_moving_average_and_only_for_a_while():
    momentum, model = 0.8, small_model(TrainSettings(average_momentum=0.8), stage())
    expected = None
    for _ in range(5):
        model.train_on_batch(BATCH, LABELS)
        now = [np.asarray(v) for v in model.trainable_variables]
        expected = (
            now if expected is None else [momentum * e + (1 - momentum) * n for e, n in zip(expected, now, strict=True)]
        )
    with averaged_weights(model):
        for variable, average in zip(model.trainable_variables, expected, strict=True):
            np.testing.assert_allclose(variable, average, rtol=1e-4, atol=1e-6)
    for variable, value in zip(model.trainable_variables, now, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_learning_rate():
    rates = np.array([learning_rate(stage(), progress) for progress in np.linspace(0, 0.999, 500)])
    assert rates.max() == pytest.approx(0.01, rel=0.02) and rates[0] < 0.001 and rates[-1] < 0.0002
    assert np.all(np.diff(rates[50:]) < 0)
