"""ImageNet weights of the EfficientNets as arrays by keras' layer names, out of the files as they are published."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from lensfold.errors import InputError
from lensfold.models import weights
from lensfold.models.backbones import LITES, block_plan, keras_network
from lensfold.models.torch_state import read_torch_state


class Source(NamedTuple):
    """A weight file that was found and has the right checksum."""

    #: reads it: layer of the backbone -> arrays in keras' order, for three channels; raises InputError
    read: Callable[[], dict[str, list[np.ndarray]]]
    name: str
    #: what to do if something is wrong with it
    advice: str


def find_source(name: str, weights_file: str | None) -> Source:
    """Find the weight file of an EfficientNet: ``weights_file``, keras' own folder, or a Lite's installed package.

    Raises InputError as weights.keras_path and weights.lite_content do. Nothing is downloaded.
    """
    if name in LITES:
        content, file = weights.lite_content(name, weights_file)
        advice = weights.LITE_PACKAGES[name].advice
        return Source(lambda: _lite_arrays(name, content, file, advice), file, advice)
    path = weights.keras_path(name, weights_file)
    advice = f"Download {weights.keras_file(name).url} again."
    return Source(lambda: _arrays_of_keras(name, path, advice), str(path), advice)


def _arrays_of_keras(name: str, path: Path, advice: str) -> dict[str, list[np.ndarray]]:
    """Let keras read its own file into its own network, for three channels: layer -> arrays."""
    reference = keras_network(name, keras.Input((32, 32, 3)))
    try:
        reference.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: keras cannot read it ({error}). {advice}") from error
    return {
        layer.name: layer.get_weights()
        for layer in reference.layers
        if layer.weights and not isinstance(layer, layers.Normalization)
    }


def _lite_arrays(name: str, content: bytes, file: str, advice: str) -> dict[str, list[np.ndarray]]:
    """Rename and transpose the PyTorch tensors: keras layer -> arrays. The classifier ``_fc`` is left out."""
    state = read_torch_state(content, file, advice)
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    for number, block in enumerate(block_plan(name)):
        pairs = {"dwconv": "_depthwise_conv", "bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2"}
        if block.expand != 1:
            pairs |= {"expand_conv": "_expand_conv", "expand_bn": "_bn0"}
        names |= {block.name + layer: f"_blocks.{number}.{torch_name}" for layer, torch_name in pairs.items()}
    try:
        return {layer: _keras_arrays(state, layer, torch_name) for layer, torch_name in names.items()}
    except KeyError as error:
        raise InputError(f"{file}: tensor {error} is missing. {advice}") from error


def _keras_arrays(state: dict[str, np.ndarray], layer: str, torch_name: str) -> list[np.ndarray]:
    if layer.endswith("bn"):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{torch_name}.{part}"] for part in parts]
    kernel = state[f"{torch_name}.weight"]
    # torch: (out, in, rows, columns). A depthwise kernel has in = 1 there and is (rows, columns, in, 1) here.
    axes = (2, 3, 0, 1) if layer.endswith("dwconv") else (2, 3, 1, 0)
    return [kernel.transpose(axes)] if kernel.ndim == 4 else [kernel]
