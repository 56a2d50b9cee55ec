"""Batch normalisation's statistics, measured again for the weights that a training ended with."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from lensfold.errors import InputError

if TYPE_CHECKING:
    import keras


def reestimate_statistics(model: "keras.Model", batches: Iterable[np.ndarray]) -> None:
    """Replace the moving mean and variance of every batch normalisation that learns by those over ``batches``.

    Moving averages lag behind the weights, and averaged weights were never in the network while they moved: what
    predicts then differs from what was trained. ``batches`` are inputs of the model, float32, of the size that
    training uses. Every layer sees what it saw in training, the activations under the batch's own statistics, but
    for dropout, which is off. The mean is the plain average over the batches of their means; the variance is that
    of their variances plus the variance between their means: for batches of one size the mean and variance of
    everything that came in. Frozen normalisations keep theirs and are used with them.

    Batches run one by one, outside compiled graphs: about the time and memory of a forward pass of training.
    Raises InputError, with the model as it was, where there is no batch.
    """
    import keras

    learning = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization) and x.trainable]
    if not learning:
        return
    # float64 sums over the batches of: mean, mean², variance
    sums = [np.zeros((3, *layer.moving_mean.shape)) for layer in learning]
    count = 0
    with _statistics_of_the_last_batch(model, learning):
        for batch in batches:
            model(batch, training=True)
            count += 1
            for total, layer in zip(sums, learning, strict=True):
                mean, variance = (np.asarray(array, dtype=np.float64) for array in _statistics(layer))
                total += (mean, mean**2, variance)
    if not count:
        raise InputError(f"model {model.name!r}: no batch to measure statistics on. Give at least one batch.")
    for total, layer in zip(sums, learning, strict=True):
        mean, square, variance = total / count
        layer.moving_mean.assign(mean.astype("float32"))
        layer.moving_variance.assign((variance + np.maximum(square - mean**2, 0)).astype("float32"))


@contextmanager
def _statistics_of_the_last_batch(model: "keras.Model", learning: list) -> Iterator[None]:
    """Without memory and without dropout: each call in training leaves its batch's statistics in the layers.

    Afterwards rates, momenta and statistics are what they were, whatever happened.
    """
    import keras

    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    rates = [layer.rate for layer in dropouts]
    before = [(layer.momentum, *_statistics(layer)) for layer in learning]
    try:
        for layer in dropouts:
            layer.rate = 0.0
        for layer in learning:
            layer.momentum = 0.0
        yield
    finally:
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate
        for layer, (momentum, mean, variance) in zip(learning, before, strict=True):
            layer.momentum = momentum
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)


def _statistics(layer: "keras.layers.BatchNormalization") -> tuple[np.ndarray, np.ndarray]:
    """Return copies of the moving mean and variance."""
    return np.array(layer.moving_mean.numpy()), np.array(layer.moving_variance.numpy())
