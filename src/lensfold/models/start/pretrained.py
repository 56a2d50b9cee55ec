"""ImageNet weights of the EfficientNets as arrays by keras' layer names, out of the files as they are published."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
from keras import layers

from lensfold.errors import InputError
from lensfold.models.backbones import LITES, keras_network
from lensfold.models.start import weights
from lensfold.models.start.torch_names import torch_tensors
from lensfold.models.start.torch_state import read_torch_state
from lensfold.models.start.weights import Tensor, Tensors


class Source(NamedTuple):
    """A weight file that was found and has the right checksum."""

    #: reads it: layer -> its tensors in keras' order; raises InputError
    read: Callable[[], Tensors]
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
        return Source(lambda: torch_tensors(name, read_torch_state(content, file, advice), file, advice), file, advice)
    path = weights.keras_path(name, weights_file)
    advice = f"Download {weights.keras_file(name).url} again."
    return Source(lambda: _tensors_of_keras(name, path, advice), str(path), advice)


def _tensors_of_keras(name: str, path: Path, advice: str) -> Tensors:
    """Let keras read its own file into its own network, for three channels."""
    reference = keras_network(name, keras.Input((32, 32, 3)))
    try:
        reference.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: keras cannot read it ({error}). {advice}") from error
    return keras_tensors(reference)


def keras_tensors(network: keras.Model, classifier: bool = True) -> dict[str, list[Tensor]]:
    """Return the tensors of every layer with weights but keras' normalisations of pictures; parts that are models too.

    A network that others trained often has the backbone as one of its layers. ``classifier``: with dense layers, of
    which an EfficientNet's backbone has none.
    """
    left_out = (layers.Normalization,) if classifier else (layers.Normalization, layers.Dense)
    found: dict[str, list[Tensor]] = {}
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found |= keras_tensors(layer, classifier)
        elif layer.weights and not isinstance(layer, left_out):
            pairs = zip(layer.weights, layer.get_weights(), strict=True)
            found[layer.name] = [Tensor(weight.path, array) for weight, array in pairs]
    return found
