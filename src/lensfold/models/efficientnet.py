"""EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) and -Lite0 on any number of channels, one logit.

Both share one backbone; layer names are those of keras.applications. Unlike there nothing divides the input by
255: the channels are expected standardised (mean about 0), as ImageNet pictures are after that step. Stochastic
depth is left out, since keras' Dropout keeps dropping in a frozen backbone and would shake its features.
"""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from lensfold.errors import InputError
from lensfold.models import weights
from lensfold.models.torch_state import read_torch_state

_STEM_FILTERS = 32
_TOP_FILTERS = 1280


class _Stage(NamedTuple):
    kernel: int
    repeats: int
    filters: int
    expand: int
    strides: int


#: Table 1 of the paper; Lite0 has the same depth and width.
_STAGES = (
    _Stage(3, 1, 16, 1, 1),
    _Stage(3, 2, 24, 6, 2),
    _Stage(5, 2, 40, 6, 2),
    _Stage(3, 3, 80, 6, 2),
    _Stage(5, 3, 112, 6, 1),
    _Stage(5, 4, 192, 6, 2),
    _Stage(3, 1, 320, 6, 1),
)
#: blocks whose last output the head sees; "" is the top convolution
_HEAD_STAGES = ("3", "4", "5", "6", "")


def efficientnet_b0(
    pixels: int, channels: int, dropout: float, pretrained: bool, weights_file: str | None
) -> keras.Model:
    """Build EfficientNet-B0: (None, pixels, pixels, channels) float32 -> (None, 1) float32 logit.

    ``pretrained`` fills the backbone from ``efficientnetb0_notop.h5`` (see weights.b0_path; InputError).
    """
    if not pretrained:
        return _build("efficientnet_b0", pixels, channels, dropout, lite=False)
    path = weights.b0_path(weights_file)
    model = _build("efficientnet_b0", pixels, channels, dropout, lite=False)
    advice = f"Download {weights.B0_URL} again."
    weights.fill_backbone(model, _b0_arrays(path, advice), str(path), advice)
    return model


def efficientnet_lite0(
    pixels: int, channels: int, dropout: float, pretrained: bool, weights_file: str | None
) -> keras.Model:
    """Build EfficientNet-Lite0: (None, pixels, pixels, channels) float32 -> (None, 1) float32 logit.

    B0 without squeeze-and-excitation and with ReLU6 for swish (tensorflow/tpu, 2020): half the time on a CPU.
    ``pretrained`` fills the backbone from the installed weight package (see weights.lite0_content; InputError).
    """
    if not pretrained:
        return _build("efficientnet_lite0", pixels, channels, dropout, lite=True)
    content, name = weights.lite0_content(weights_file)
    arrays = _lite0_arrays(read_torch_state(content, name, weights.LITE0_ADVICE), name)
    model = _build("efficientnet_lite0", pixels, channels, dropout, lite=True)
    weights.fill_backbone(model, arrays, name, weights.LITE0_ADVICE)
    return model


def _build(name: str, pixels: int, channels: int, dropout: float, lite: bool) -> keras.Model:
    inputs = keras.Input((pixels, pixels, channels), name="image")
    x = _convolution(inputs, _STEM_FILTERS, 3, 2, "stem_conv")
    x = _normalise(x, "stem_bn", lite, "stem_activation")
    ends = {}
    for prefix, stage, first in _block_plan():
        x = _block(x, prefix, stage, stage.strides if first else 1, lite)
        ends[prefix[5]] = x
    x = _convolution(x, _TOP_FILTERS, 1, 1, "top_conv")
    ends[""] = _normalise(x, "top_bn", lite, "top_activation")
    return keras.Model(inputs, _head({stage: ends[stage] for stage in _HEAD_STAGES}, dropout), name=name)


def _block_plan() -> list[tuple[str, _Stage, bool]]:
    """The 16 blocks in order: name prefix ("block1a_" to "block7a_"), stage, whether it is the stage's first."""
    return [
        (f"block{number}{'abcd'[repeat]}_", stage, repeat == 0)
        for number, stage in enumerate(_STAGES, start=1)
        for repeat in range(stage.repeats)
    ]


def _block(inputs, prefix: str, stage: _Stage, strides: int, lite: bool):
    """Inverted residual: widen, depthwise convolution, squeeze-and-excitation (B0), narrow, add the input."""
    filters_in = inputs.shape[-1]
    x = inputs
    if stage.expand != 1:
        x = _convolution(x, filters_in * stage.expand, 1, 1, f"{prefix}expand_conv")
        x = _normalise(x, f"{prefix}expand_bn", lite, f"{prefix}expand_activation")
    x = layers.DepthwiseConv2D(
        stage.kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{prefix}dwconv",
    )(x)
    x = _normalise(x, f"{prefix}bn", lite, f"{prefix}activation")
    if not lite:
        x = _squeeze_excite(x, prefix, filters_in // 4)
    x = _convolution(x, stage.filters, 1, 1, f"{prefix}project_conv")
    x = layers.BatchNormalization(name=f"{prefix}project_bn")(x)
    if strides == 1 and filters_in == stage.filters:
        x = layers.Add(name=f"{prefix}add")([x, inputs])
    return x


def _squeeze_excite(x, prefix: str, squeezed: int):
    """Scale each channel by a number in 0..1 computed from the averages of all channels."""
    filters = x.shape[-1]
    scale = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}se_squeeze")(x)
    for width, activation, name in ((squeezed, "swish", "se_reduce"), (filters, "sigmoid", "se_expand")):
        scale = layers.Conv2D(
            width, 1, activation=activation, kernel_initializer=_initializer(), name=f"{prefix}{name}"
        )(scale)
    return layers.Multiply(name=f"{prefix}se_excite")([x, scale])


def _convolution(x, filters: int, kernel: int, strides: int, name: str):
    # "same" is TensorFlow's padding in every backend, and what both weight files were trained with.
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=name,
    )(x)


def _normalise(x, name: str, lite: bool, activation_name: str):
    # keras' defaults, epsilon 1e-3 and momentum 0.99, are those of both weight files.
    x = layers.BatchNormalization(name=name)(x)
    if lite:
        return layers.ReLU(max_value=6, name=activation_name)(x)
    return layers.Activation("swish", name=activation_name)(x)


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def _head(ends: dict[str, object], dropout: float):
    """Average and maximum of each feature of several stages, normalised, then one dense unit.

    The later stages of a frozen backbone know animals and furniture; an arc is told by the middle ones. Features
    differ in scale by factors of a hundred; normalised, the logit learns in a few epochs. Momentum 0.9, since the
    default needs 500 steps before predictions use the right statistics.
    """
    pooled = []
    for stage, x in ends.items():
        pooled.append(layers.GlobalAveragePooling2D(name=f"head_average{stage}")(x))
        pooled.append(layers.GlobalMaxPooling2D(name=f"head_maximum{stage}")(x))
    x = layers.Concatenate(name="head_features")(pooled)
    x = layers.BatchNormalization(momentum=0.9, name="head_bn")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    return layers.Dense(1, name="head_logit")(x)


def _b0_arrays(path: Path, advice: str) -> dict[str, list[np.ndarray]]:
    """Let keras read its own file into its own network, for three channels: layer -> arrays."""
    reference = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    try:
        reference.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: keras cannot read it ({error}). {advice}") from error
    return {
        layer.name: layer.get_weights()
        for layer in reference.layers
        if layer.weights and not isinstance(layer, layers.Normalization)
    }


def _lite0_arrays(state: dict[str, np.ndarray], name: str) -> dict[str, list[np.ndarray]]:
    """Rename and transpose the PyTorch tensors: keras layer -> arrays. The classifier ``_fc`` is left out."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    for number, (prefix, stage, _) in enumerate(_block_plan()):
        block = f"_blocks.{number}."
        if stage.expand != 1:
            names |= {f"{prefix}expand_conv": f"{block}_expand_conv", f"{prefix}expand_bn": f"{block}_bn0"}
        names |= {f"{prefix}dwconv": f"{block}_depthwise_conv", f"{prefix}bn": f"{block}_bn1"}
        names |= {f"{prefix}project_conv": f"{block}_project_conv", f"{prefix}project_bn": f"{block}_bn2"}
    try:
        return {layer: _keras_arrays(state, layer, torch_name) for layer, torch_name in names.items()}
    except KeyError as error:
        raise InputError(f"{name}: tensor {error} is missing. {weights.LITE0_ADVICE}") from error


def _keras_arrays(state: dict[str, np.ndarray], layer: str, torch_name: str) -> list[np.ndarray]:
    if layer.endswith("bn"):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{torch_name}.{part}"] for part in parts]
    kernel = state[f"{torch_name}.weight"]
    # torch: (out, in, rows, columns). A depthwise kernel has in = 1 there and is (rows, columns, in, 1) here.
    axes = (2, 3, 0, 1) if layer.endswith("dwconv") else (2, 3, 1, 0)
    return [kernel.transpose(axes)] if kernel.ndim == 4 else [kernel]
