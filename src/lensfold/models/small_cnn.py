"""The small networks that are trained from nothing: the paper's, and two that are cheap on a CPU."""

import keras
from keras import layers

from lensfold.frames import RATIO
from lensfold.models import bands, fused


def paper_cnn(pixels: int, channels: int, dropout: float) -> keras.Model:
    """Build the small CNN of the paper (its figure 7): five 3x3 convolutions, three poolings, three dense layers.

    Input (None, pixels, pixels, channels) float32, output (None, 1) float32 logit. The paper's input is 200 px
    with 2 channels. Unpadded with 2x2 pools the figure would have 4.0 M parameters against the 0.8 M of the
    text; padded convolutions, pools of 2, 3 and 3 and a dense 96 give 785,057. The paper drops out 0.5.
    """
    inputs = keras.Input((pixels, pixels, channels), name="image")
    x = _convolution(inputs, 16, "conv1")
    x = _convolution(x, 16, "conv2")
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Dropout(dropout, name="dropout1")(x)
    x = _convolution(x, 32, "conv3")
    x = _convolution(x, 32, "conv4")
    x = layers.MaxPooling2D(3, name="pool2")(x)
    x = layers.Dropout(dropout, name="dropout2")(x)
    x = _convolution(x, 64, "top_conv")
    # At the lowest resolution, where it costs least; on 64 channels the count is the one quoted above.
    x = fused.BatchNormalization(name="top_bn")(x)
    x = layers.MaxPooling2D(3, name="top_pool")(x)
    x = layers.Flatten(name="head_flatten")(x)
    x = layers.Dense(96, activation="relu", name="head_dense1")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    x = layers.Dense(64, activation="relu", name="head_dense2")(x)
    return keras.Model(inputs, _logit(x), name="paper_cnn")


def fast_cnn(pixels: int, channels: int, dropout: float) -> keras.Model:
    """Build a small CNN that is cheap on a CPU: a strided stem, then pooled and normalised stages.

    Input (None, pixels, pixels, channels) float32, output (None, 1) float32 logit; meant for 100-150 px and
    3-6 channels (0.15 M parameters). The stride and the early pooling spare the largest maps, where a network of
    this size spends most of its time. Batch normalisation, whose cost goes with the area, follows each pooling:
    without it behind the first one the network needs about twice the epochs. Its momentum suits epochs of a few
    hundred steps (keras' 0.99 lags behind for the first ones).
    """
    inputs = keras.Input((pixels, pixels, channels), name="image")
    x = _pooled(_convolution(inputs, 24, "stem_conv", kernel=5, strides=2), 1)
    x = _pooled(_convolution(x, 32, "conv2"), 2)
    x = _convolution(x, 64, "conv3")
    x = _pooled(_convolution(x, 64, "conv4"), 3)
    x = layers.Dropout(dropout, name="dropout3")(x)
    return keras.Model(inputs, _classified(x, dropout), name="fast_cnn")


def wide_cnn(pixels: int, channels: int, dropout: float) -> keras.Model:
    """Build a small CNN for the whole field: VIS reduced to the pixels of NISP, then both together.

    Input (None, pixels, pixels, 4) float32 of mix "bands", output (None, 1) float32 logit; meant for the 200 px
    frame (0.27 M parameters). VIS goes through one 7x7 convolution in steps of a NISP pixel, Y, J and H at their
    own 66 x 66 pixels through a 3x3: no enlarged pixel is computed with, and the largest map has a tenth of the
    frame's pixels. Then stages as in ``fast_cnn``. Raises InputError for other channels or no central crop.
    """
    bands.check_bands("wide_cnn", pixels, channels)
    inputs = keras.Input((pixels, pixels, channels), name="image")
    # so that the middle of the first window is the centre of the first NISP pixel, and the last one's of the last
    x = layers.ZeroPadding2D(7 // 2 - bands.first_centre(pixels), name="vis_pad")(bands.vis_band(inputs))
    vis = _convolution(x, 24, "vis_conv", kernel=7, strides=RATIO, padding="valid")
    nisp = _convolution(bands.nisp_pixels(inputs), 16, "nisp_conv")
    x = _pooled(layers.Concatenate(name="bands")([vis, nisp]), 1)
    x = _pooled(_convolution(x, 48, "conv2"), 2)
    x = _convolution(x, 64, "conv3")
    x = _pooled(_convolution(x, 64, "conv4"), 3)
    x = layers.Dropout(dropout, name="dropout3")(x)
    x = _convolution(x, 96, "conv5")
    return keras.Model(inputs, _classified(x, dropout), name="wide_cnn")


def _classified(x: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """Return the logit: last convolution, average and maximum of it, one dense layer."""
    x = _convolution(x, 128, "top_conv")
    x = fused.BatchNormalization(momentum=0.9, name="top_bn")(x)
    # The average says how much of a feature there is, the maximum whether it is anywhere: an arc is small.
    x = layers.Concatenate(name="head_features")(
        [
            layers.GlobalAveragePooling2D(name="head_average")(x),
            layers.GlobalMaxPooling2D(name="head_maximum")(x),
        ]
    )
    x = layers.Dropout(dropout, name="head_dropout")(x)
    return _logit(layers.Dense(64, activation="relu", name="head_dense")(x))


def _logit(x: keras.KerasTensor) -> keras.KerasTensor:
    # float32 also where the network computes in 16 bits: a logit of those has three digits
    return layers.Dense(1, dtype="float32", name="head_logit")(x)


def _pooled(x: keras.KerasTensor, number: int) -> keras.KerasTensor:
    """Return the maximum of 2 x 2, normalised."""
    x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return fused.BatchNormalization(momentum=0.9, name=f"bn{number}")(x)


def _convolution(
    x: keras.KerasTensor, filters: int, name: str, kernel: int = 3, strides: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    """Convolve, with a ReLU; He initialisation keeps the variance through ReLUs."""
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
