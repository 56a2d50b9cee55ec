"""Where in an image a network sees a lens: occlusion maps and Grad-CAM."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lensfold.errors import InputError
from lensfold.inputs.batches import slices
from lensfold.inputs.pixels import StretchConstants

if TYPE_CHECKING:
    import keras


#: the occluding square's side and its step, as shares of the image's side
PATCH, STEP = 1 / 8, 1 / 16


BATCH = 64


#: images (n, side, side, channels), standardised, to outputs (n,)
Score = Callable[[np.ndarray], np.ndarray]


def background_value(constants: StretchConstants) -> np.ndarray:
    """Return network input where there is no light, a value a channel, float32."""
    mean, scale = (np.asarray(constants[name], dtype=np.float64) for name in ("mean", "scale"))
    return (-mean / scale).astype(np.float32)


def occlusion_map(score: Score, image: np.ndarray, fill: np.ndarray, patch: int, step: int) -> np.ndarray:
    """Return how far ``score`` falls where squares of ``patch`` pixels become ``fill``: float64, (side, side).

    ``image``: (side, side, channels); ``fill``: a value a channel. The squares stand ``step`` pixels apart, the last
    ones at the edge; a pixel's value is the mean over the squares that cover it.
    """
    side = len(image)
    if not 0 < step <= patch <= side:
        raise InputError(f"occlusion by {patch} px in steps of {step}: expected 0 < step <= patch <= {side}.")
    places = np.unique(np.append(np.arange(0, side - patch + 1, step), side - patch))
    corners = [(row, column) for row in places for column in places]
    whole = float(score(image[None])[0])
    total, count = np.zeros((side, side)), np.zeros((side, side))
    for part in slices(len(corners), BATCH):
        hidden = np.repeat(image[None], len(corners[part]), axis=0)
        for copy, (row, column) in zip(hidden, corners[part], strict=True):
            copy[row : row + patch, column : column + patch] = fill
        for fall, (row, column) in zip(whole - score(hidden), corners[part], strict=True):
            total[row : row + patch, column : column + patch] += fall
            count[row : row + patch, column : column + patch] += 1
    return total / count


def grad_cam(model: "keras.Model", image: np.ndarray) -> np.ndarray:
    """Return Grad-CAM of the last convolution for one image (side, side, channels): float64, (side, side), >= 0.

    Raises InputError for a model without a convolution.
    """
    import keras
    import tensorflow as tf

    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    convolutions = [layer for layer in model.layers if isinstance(layer, kinds)]
    if not convolutions:
        raise InputError(f"model {model.name!r} has no convolution: use --method occlusion.")
    both = keras.Model(model.input, [convolutions[-1].output, model.output])
    pixels = tf.convert_to_tensor(image[None], dtype=tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pixels)  # a tape follows only what begins at something watched, and weights may be frozen
        maps, output = both(pixels, training=False)
        output = output[:, 0]
    weights = tf.reduce_mean(tape.gradient(output, maps), axis=(1, 2), keepdims=True)
    found = np.maximum(np.asarray(tf.reduce_sum(maps * weights, axis=-1)[0], dtype=np.float64), 0)
    return cv2.resize(found, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)


def scored_by(model: "keras.Model") -> Score:
    """Return a model's first output, by batches of BATCH so that TensorFlow compiles it for one shape only."""

    def score(images: np.ndarray) -> np.ndarray:
        results = np.empty(len(images))
        for part in slices(len(images), BATCH):
            filled = np.zeros((BATCH, *images.shape[1:]), dtype=np.float32)
            filled[: len(images[part])] = images[part]
            outputs = np.asarray(model.predict_on_batch(filled), dtype=np.float64)
            results[part] = outputs[: len(images[part]), 0]
        return results

    return score
