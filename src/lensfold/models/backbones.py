"""EfficientNet backbones on any number of channels: B0 to B7, Lite0 to Lite2, and the V2 family.

B0 to B7 (Tan and Le 2019, arXiv:1905.11946) and the Lites are built here from one table; V2 (Tan and Le 2021,
arXiv:2104.00298) comes from keras.applications. Layer names are those of keras.applications. Unlike there nothing
divides the input by 255: the channels are expected standardised (mean about 0), as ImageNet pictures are after
that step. Stochastic depth is left out, since keras' Dropout keeps dropping in a frozen backbone and would shake
its features.
"""

import math
from string import ascii_lowercase
from typing import NamedTuple

import keras
from keras import layers

from lensfold.models import fused

#: without squeeze-and-excitation, with ReLU6; stem, top, first and last stage are as wide and deep in all of them
#: (efficientnet_lite_builder.py of the authors' code)
LITES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_STEM_FILTERS = 32
_TOP_FILTERS = 1280

#: factors on width and depth: the paper's compound scaling, with the rounded values of its authors' code
SCALES: dict[str, tuple[float, float]] = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
    "efficientnet_b0": (1.0, 1.0),
    "efficientnet_b1": (1.0, 1.1),
    "efficientnet_b2": (1.1, 1.2),
    "efficientnet_b3": (1.2, 1.4),
    "efficientnet_b4": (1.4, 1.8),
    "efficientnet_b5": (1.6, 2.2),
    "efficientnet_b6": (1.8, 2.6),
    "efficientnet_b7": (2.0, 3.1),
}


class Block(NamedTuple):
    """One inverted residual block; the name ends with "_" and begins those of its layers."""

    name: str
    kernel: int
    filters: int
    expand: int
    strides: int


class _Stage(NamedTuple):
    kernel: int
    repeats: int
    filters: int
    expand: int
    strides: int


#: Table 1 of the paper; Lite0 has the same depth and width
_STAGES = (
    _Stage(3, 1, 16, 1, 1),
    _Stage(3, 2, 24, 6, 2),
    _Stage(5, 2, 40, 6, 2),
    _Stage(3, 3, 80, 6, 2),
    _Stage(5, 3, 112, 6, 1),
    _Stage(5, 4, 192, 6, 2),
    _Stage(3, 1, 320, 6, 1),
)


def backbone(name: str, x: keras.KerasTensor, prefix: str) -> dict[str, keras.KerasTensor]:
    """Run ``x`` (None, side, side, channels) through a new backbone; ``prefix`` goes before the layers' names.

    Returns the last output of each stage by its number, "1" to "6" or "7", and the top's as "".
    """
    if name in SCALES:
        return _scaled_backbone(name, x, prefix)
    inputs = keras.Input(x.shape[1:])
    return _copied(keras_network(name, inputs), inputs, x, prefix)


def keras_network(name: str, inputs: keras.KerasTensor) -> keras.Model:
    """Return keras.applications' own network (not a Lite) with random weights and no classifier on ``inputs``.

    B0 to B7 begin with the division by 255 that is not wanted here, and with a normalisation.
    """
    make = getattr(keras.applications, "EfficientNet" + name.removeprefix("efficientnet_").replace("_", "").upper())
    # An input tensor, since keras warns of an input shape with other than one or three channels.
    options = {"include_top": False, "weights": None, "input_tensor": inputs}
    return make(**options) if name in SCALES else make(**options, include_preprocessing=False)


def block_plan(name: str) -> list[Block]:
    """Return blocks of B0 to B7 or a Lite in order, "block1a_" first, with filters and repeats scaled."""
    width, depth = SCALES[name]
    unscaled = (1, len(_STAGES)) if name in LITES else ()
    return [
        Block(
            f"block{number}{ascii_lowercase[repeat]}_",
            stage.kernel,
            scaled_filters(stage.filters, width),
            stage.expand,
            stage.strides if repeat == 0 else 1,
        )
        for number, stage in enumerate(_STAGES, start=1)
        for repeat in range(math.ceil((1.0 if number in unscaled else depth) * stage.repeats))
    ]


def scaled_filters(filters: int, width: float) -> int:
    """Return ``filters`` x ``width`` as a multiple of 8: the nearest, or the next if that takes away over a tenth."""
    wanted = filters * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


def _scaled_backbone(name: str, x: keras.KerasTensor, prefix: str) -> dict[str, keras.KerasTensor]:
    lite = name in LITES
    width = 1.0 if lite else SCALES[name][0]
    x = _convolution(x, scaled_filters(_STEM_FILTERS, width), 3, 2, f"{prefix}stem_conv")
    x = _normalise(x, f"{prefix}stem_bn", lite, f"{prefix}stem_activation")
    ends = {}
    for block in block_plan(name):
        x = _block(x, block, prefix + block.name, lite)
        ends[block.name[5]] = x
    x = _convolution(x, scaled_filters(_TOP_FILTERS, width), 1, 1, f"{prefix}top_conv")
    ends[""] = _normalise(x, f"{prefix}top_bn", lite, f"{prefix}top_activation")
    return ends


def _block(inputs: keras.KerasTensor, block: Block, prefix: str, lite: bool) -> keras.KerasTensor:
    """Widen, convolve depthwise, squeeze and excite (not Lite), narrow, add the input: an inverted residual."""
    filters_in = inputs.shape[-1]
    x = inputs
    if block.expand != 1:
        x = _convolution(x, filters_in * block.expand, 1, 1, f"{prefix}expand_conv")
        x = _normalise(x, f"{prefix}expand_bn", lite, f"{prefix}expand_activation")
    x = fused.DepthwiseConv2D(
        block.kernel,
        strides=block.strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{prefix}dwconv",
    )(x)
    x = _normalise(x, f"{prefix}bn", lite, f"{prefix}activation")
    if not lite:
        x = _squeeze_excite(x, prefix, filters_in // 4)
    x = _convolution(x, block.filters, 1, 1, f"{prefix}project_conv")
    x = fused.BatchNormalization(name=f"{prefix}project_bn")(x)
    if block.strides == 1 and filters_in == block.filters:
        x = layers.Add(name=f"{prefix}add")([x, inputs])
    return x


def _squeeze_excite(x: keras.KerasTensor, prefix: str, squeezed: int) -> keras.KerasTensor:
    """Scale each channel by a number in 0..1 computed from the averages of all channels."""
    filters = x.shape[-1]
    scale = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}se_squeeze")(x)
    for width, activation, name in ((squeezed, "swish", "se_reduce"), (filters, "sigmoid", "se_expand")):
        scale = layers.Conv2D(
            width, 1, activation=activation, kernel_initializer=_initializer(), name=f"{prefix}{name}"
        )(scale)
    return layers.Multiply(name=f"{prefix}se_excite")([x, scale])


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, strides: int, name: str) -> keras.KerasTensor:
    # "same" is TensorFlow's padding in every backend, and what the weight files were trained with.
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=name,
    )(x)


def _normalise(x: keras.KerasTensor, name: str, lite: bool, activation_name: str) -> keras.KerasTensor:
    # keras' defaults, epsilon 1e-3 and momentum 0.99, are those of the weight files.
    x = fused.BatchNormalization(name=name)(x)
    if lite:
        return layers.ReLU(max_value=6, name=activation_name)(x)
    return fused.Swish(name=activation_name)(x)


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def _copied(
    network: keras.Model, inputs: keras.KerasTensor, x: keras.KerasTensor, prefix: str
) -> dict[str, keras.KerasTensor]:
    """Repeat a network on another tensor, its layers new ones with other names, without its stochastic depth."""
    made, ends = {id(inputs): x}, {}
    for layer in network.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        y = keras.tree.map_structure(lambda tensor: made[id(tensor)], layer.input)
        if not isinstance(layer, layers.Dropout):
            y = fused.faster(layer, prefix + layer.name)(y)
        made[id(layer.output)] = y
        if layer.name.startswith("block"):
            ends[layer.name[5]] = y
    return ends | {"": made[id(network.get_layer("top_activation").output)]}
