"""What a network is trained with: the loss, the optimiser, the learning rate over a stage, averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lensfold.config import Experiment, StageSettings, TrainSettings

#: how much more a cell with a source counts than one without, of which there are about twenty times as many
SOURCE_WEIGHT = 5.0


class BlockwiseAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019) whose learning rate differs between variables by fixed factors.

    Decay, step and average of a variable are four operations of TensorFlow, which work in place. Keras composes them of
    some thirty, each with an array of its own: a tenth of a training step of EfficientNet.
    """

    def __init__(self, factors: dict[str, float], **arguments: Any):
        """``factors``: variable path → factor on the learning rate, 1 where it is absent."""
        super().__init__(**arguments)
        self._factors = factors

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the state for ``variables``, and look up the factor of each."""
        super().build(variables)
        self._rates = [self._factors.get(variable.path, 1.0) for variable in variables]

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        if not self.weight_decay:
            return
        kept = 1.0 - self.learning_rate * self.weight_decay
        for variable in variables:
            variable.assign(variable.value * kept)

    def _backend_update_step(
        self, grads: list[tf.Tensor], trainable_variables: list[keras.Variable], learning_rate: tf.Tensor
    ) -> None:
        step = tf.cast(self.iterations.value, tf.float32) + 1.0
        powers = {"beta1_power": tf.pow(self.beta_1, step), "beta2_power": tf.pow(self.beta_2, step)}
        learning_rate = tf.convert_to_tensor(learning_rate)
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            rate = self._rates[index]
            tf.raw_ops.ResourceApplyAdam(
                var=variable.value.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                **powers,
                lr=learning_rate if rate == 1 else learning_rate * rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    def _update_model_variables_moving_average(self, trainable_variables: list[keras.Variable]) -> None:
        # all of the variable at the first step
        new = tf.where(tf.equal(self.iterations.value, 0), 1.0, 1.0 - self.ema_momentum)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            change = average.value - variable.value
            tf.raw_ops.ResourceApplyGradientDescent(var=average.value.handle, alpha=new, delta=change)


class SourceMapLoss(keras.losses.Loss):
    """The loss of a network's first value, and, times a weight, the cross-entropy of the logits of a map behind it."""

    def __init__(self, first: keras.losses.Loss, weight: float):
        """``first``: of the first column of targets and outputs; ``weight``: of the mean over the others."""
        super().__init__()
        self._first = first
        self._weight = weight

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each object, (n,)."""
        cells = tf.nn.weighted_cross_entropy_with_logits(y_true[:, 1:], y_pred[:, 1:], SOURCE_WEIGHT)
        return self._first.call(y_true[:, :1], y_pred[:, :1]) + self._weight * tf.reduce_mean(cells, axis=1)


def loss_of(experiment: Experiment) -> keras.losses.Loss:
    """Return the loss of an experiment's task: cross-entropy of logits, or of log theta_E the squared error.

    Where a map of the source is learned too, its loss is added.
    """
    is_lens = experiment.task == "lens"
    first = keras.losses.BinaryCrossentropy(from_logits=True) if is_lens else keras.losses.MeanSquaredError()
    return SourceMapLoss(first, experiment.train.source_map) if experiment.train.source_map else first


def optimiser_of(settings: TrainSettings, stage: StageSettings, depths: dict[str, int]) -> BlockwiseAdamW:
    """Return a fresh optimiser for a stage; ``depths``: blocks between each variable and the head (block_depth)."""
    factors = {path: stage.block_rate**depth for path, depth in depths.items()} if stage.block_rate < 1 else {}
    return BlockwiseAdamW(
        factors,
        learning_rate=stage.learning_rate,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm or None,
        use_ema=settings.average_momentum > 0,
        ema_momentum=settings.average_momentum or None,
    )


def learning_rate(stage: StageSettings, progress: float) -> float:
    """Return the rate at ``progress`` (0 to 1) of a stage: 5 % linear warm-up times a cosine down to a hundredth."""
    warm_up = min(1.0, 0.05 + progress / 0.05)
    return stage.learning_rate * warm_up * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress)))


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Put the moving averages in the place of the trained weights for as long as the context lasts."""
    optimiser = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of 16-bit floats' loss scaling
    if not optimiser.use_ema:
        yield
        return
    kept = [np.asarray(variable) for variable in model.trainable_variables]
    optimiser.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def seed_of(*words: int) -> int:
    """Return the seed that these whole numbers stand for."""
    return int(np.random.SeedSequence([*words, 0x7261696E]).generate_state(1)[0])


def reseed_dropout(model: keras.Model, seed: int) -> None:
    """Give every dropout its state of this epoch: keras does not keep these states in a checkpoint."""
    for number, layer in enumerate(model._flatten_layers()):
        generator = getattr(layer, "seed_generator", None)
        if isinstance(layer, keras.layers.Dropout) and generator is not None:
            generator.state.assign(np.array([seed, number], dtype=generator.state.dtype))
