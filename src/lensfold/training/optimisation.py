"""What a network is trained with: the loss, the optimiser, the learning rate over a stage, averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from lensfold.config import Experiment, StageSettings, TrainSettings


class BlockwiseAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019) whose learning rate differs between variables by fixed factors."""

    def __init__(self, factors: dict[str, float], **arguments: Any):
        """``factors``: variable path → factor on the learning rate, 1 where it is absent."""
        super().__init__(**arguments)
        self._factors = factors

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the state for ``variables``, and look up the factor of each."""
        super().build(variables)
        self._rates = [self._factors.get(variable.path, 1.0) for variable in variables]

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """Do one step of one variable."""
        rate = self._rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate if rate == 1 else learning_rate * rate)


def loss_of(experiment: Experiment) -> keras.losses.Loss:
    """Return the loss of an experiment's task: cross-entropy of logits, or of log theta_E the squared error."""
    if experiment.task == "lens":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.MeanSquaredError()


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
