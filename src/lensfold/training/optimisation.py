"""What a network is trained with: the loss, the optimiser, the learning rate over a stage, averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from lensfold.config import Experiment, StageSettings, TrainSettings


class LensLoss(keras.losses.Loss):
    """Cross-entropy of logits, with a share of a soft F_beta loss over the batch.

    The soft F_beta counts probabilities in the place of objects: with TP, FP and FN their sums,
    F = (1 + b²) TP / ((1 + b²) TP + b² FN + FP), which is the Tversky index (Salehi et al. 2017, arXiv:1706.05721)
    under other names of its weights. Being a property of the batch, it takes no weights of single objects.
    """

    def __init__(self, settings: TrainSettings):
        """Take ``label_smoothing``, ``f_beta_share`` and ``beta`` of the settings."""
        super().__init__(name="lens_loss")
        self._cross_entropy = keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        )
        self._auxiliary = settings.auxiliary
        self._share = settings.f_beta_share
        self._squared_beta = settings.beta**2

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Loss of a batch: a scalar, from labels (n, 1) in 0 and 1 and logits (n, 1).

        With auxiliary outputs (n, 1 + count): the mean squared error of those that are known (not NaN) is added.
        """
        if self._auxiliary:
            more = self._auxiliary * _known_squared_error(y_true[:, 1:], y_pred[:, 1:])
            return self._lens_loss(y_true[:, :1], y_pred[:, :1], sample_weight) + more
        return self._lens_loss(y_true, y_pred, sample_weight)

    def _lens_loss(self, y_true, y_pred, sample_weight):
        loss = self._cross_entropy(y_true, y_pred, sample_weight)
        if self._share:
            loss = (1 - self._share) * loss + self._share * (1 - self._soft_f_beta(y_true, y_pred))
        return loss

    def _soft_f_beta(self, y_true, y_pred):
        # not keras.losses.Tversky: that of keras 3.15 takes false positives for false negatives
        labels, probabilities = ops.cast(y_true, y_pred.dtype), ops.sigmoid(y_pred)
        hits = (1 + self._squared_beta) * ops.sum(labels * probabilities)
        missed, wrong = ops.sum(labels * (1 - probabilities)), ops.sum((1 - labels) * probabilities)
        return hits / (hits + self._squared_beta * missed + wrong + keras.config.epsilon())


def _known_squared_error(targets, outputs):
    targets = ops.cast(targets, outputs.dtype)
    known = ops.logical_not(ops.isnan(targets))
    errors = ops.where(known, ops.square(ops.where(known, targets, 0.0) - outputs), 0.0)
    return ops.sum(errors) / ops.maximum(ops.sum(ops.cast(known, outputs.dtype)), 1.0)


class BlockwiseAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019) whose learning rate differs between variables by fixed factors."""

    def __init__(self, factors: dict[str, float], **arguments):
        """``factors``: variable path → factor on the learning rate, 1 where it is absent."""
        super().__init__(**arguments)
        self._factors = factors

    def build(self, variables):
        """Take on the variables that it will be asked to move."""
        super().build(variables)
        self._rates = [self._factors.get(variable.path, 1.0) for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        """One step of one variable."""
        rate = self._rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate if rate == 1 else learning_rate * rate)


def loss_of(experiment: Experiment) -> keras.losses.Loss:
    """The loss of an experiment's task: of log theta_E the squared error."""
    return LensLoss(experiment.train) if experiment.task == "lens" else keras.losses.MeanSquaredError()


def optimiser_of(settings: TrainSettings, stage: StageSettings, depths: dict[str, int]) -> BlockwiseAdamW:
    """A fresh optimiser for a stage; ``depths``: blocks between each variable and the head (models.block_depth)."""
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
    """Rate at ``progress`` (0 to 1) of a stage: constant, or 5 % linear warm-up then a cosine to a hundredth."""
    if stage.decay == "constant":
        return stage.learning_rate
    warm_up = min(1.0, 0.05 + progress / 0.05)
    return stage.learning_rate * warm_up * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress)))


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """The moving averages in the place of the trained weights, for as long as the context lasts."""
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
