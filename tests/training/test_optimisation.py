"""Loss, optimiser and averaged weights, each against a closed form or keras' own."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.special import expit, log_expit
from sklearn.metrics import fbeta_score

from lensfold.config import StageSettings, TrainSettings
from lensfold.training.optimisation import LensLoss, averaged_weights, learning_rate, optimiser_of


def stage(**fields) -> StageSettings:
    return StageSettings(**{"min_size": 20, "epochs": 1, "learning_rate": 0.01, **fields})


@settings(deadline=None, max_examples=30)
@given(
    npst.arrays(np.float32, (12, 1), elements=st.floats(-8, 8, width=32)),
    st.floats(0, 1),
    st.floats(0.25, 4),
    st.floats(0, 0.25),
)
def test_the_loss_is_cross_entropy_and_soft_f_beta_in_their_shares(values, share, beta, smoothing):
    labels = np.tile([[0.0], [1.0]], (6, 1))
    loss = LensLoss(TrainSettings(f_beta_share=share, beta=beta, label_smoothing=smoothing))
    smooth = labels * (1 - smoothing) + smoothing / 2
    entropy = -np.mean(smooth * log_expit(values) + (1 - smooth) * log_expit(-values))
    p = expit(values.astype(float))
    tp, fp, fn = (p * labels).sum(), (p * (1 - labels)).sum(), ((1 - p) * labels).sum()
    soft = (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)
    expected = (1 - share) * entropy + share * (1 - soft)
    assert float(loss(labels, keras.ops.convert_to_tensor(values))) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_of_certain_logits_the_soft_f_beta_is_f_beta(beta):
    generator = np.random.default_rng(1)
    labels, said = generator.integers(0, 2, (2, 60, 1)).astype(float)
    loss = float(
        LensLoss(TrainSettings(f_beta_share=1.0, beta=beta))(
            labels, keras.ops.convert_to_tensor((200 * said - 100).astype("float32"))
        )
    )
    assert 1 - loss == pytest.approx(fbeta_score(labels[:, 0], said[:, 0], beta=beta), abs=1e-5)


def test_weights_of_objects_enter_cross_entropy():
    labels, values = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    weighted = float(LensLoss(TrainSettings())(labels, keras.ops.convert_to_tensor(values), np.array([3.0, 1.0])))
    assert weighted == pytest.approx((3 * -log_expit(-1.0) - log_expit(2.0)) / 2, rel=1e-5)


def test_auxiliary_outputs_add_the_squared_error_of_what_is_known():
    targets = np.array([[0.0, 1.0, np.nan], [1.0, -2.0, 0.5]], dtype=np.float32)
    outputs = np.array([[1.0, 0.5, 9.0], [2.0, 0.0, 0.0]], dtype=np.float32)
    value = float(LensLoss(TrainSettings(auxiliary=0.3))(targets, keras.ops.convert_to_tensor(outputs)))
    entropy = -(log_expit(-1.0) + log_expit(2.0)) / 2
    assert value == pytest.approx(entropy + 0.3 * (0.25 + 4.0 + 0.25) / 3, rel=1e-5)


def small_model(settings: TrainSettings, chosen: StageSettings, depths: dict[str, int] | None = None) -> keras.Model:
    """Two dense layers, compiled; ``depths`` by layer name."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="deep")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head_logit")(x))
    paths = {w.path: (depths or {}).get(layer.name, 0) for layer in model.layers for w in layer.weights}
    model.compile(optimizer=optimiser_of(settings, chosen, paths), loss=LensLoss(settings))
    model.optimizer.build(model.trainable_variables)
    return model


BATCH = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
LABELS = (BATCH[:, :1] > 0).astype(np.float32)


def test_deeper_blocks_learn_at_their_fraction_of_the_rate():
    moved = {}
    for rate in (1.0, 0.1):
        model = small_model(TrainSettings(weight_decay=0.0), stage(block_rate=rate), {"deep": 2})
        before = {layer.name: layer.get_weights()[0] for layer in model.layers[1:]}
        model.train_on_batch(BATCH, LABELS)
        moved[rate] = {name: model.get_layer(name).get_weights()[0] - old for name, old in before.items()}
    # one step of Adam moves each weight by its rate, whatever the gradient
    np.testing.assert_allclose(moved[0.1]["head_logit"], moved[1.0]["head_logit"], rtol=1e-5)
    np.testing.assert_allclose(moved[0.1]["deep"], 0.01 * moved[1.0]["deep"], rtol=2e-2)


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


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_learning_rate(decay):
    rates = np.array([learning_rate(stage(decay=decay), progress) for progress in np.linspace(0, 0.999, 500)])
    if decay == "constant":
        assert set(rates) == {0.01}
    else:
        assert rates.max() == pytest.approx(0.01, rel=0.02) and rates[0] < 0.001 and rates[-1] < 0.0002
        assert np.all(np.diff(rates[50:]) < 0)
