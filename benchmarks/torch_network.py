"""A keras network of the kit in PyTorch, layer by layer with the same weights: what benchmarks compare with.

Only the benchmarks import this; PyTorch is no requirement of the kit.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    import keras

#: in place, since what they read are normalisations and convolutions that nothing else reads
_ACTIVATIONS = {
    "linear": nn.Identity,
    "relu": lambda: nn.ReLU(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
    "silu": lambda: nn.SiLU(inplace=True),
    "sigmoid": nn.Sigmoid,
}


class TorchNetwork(nn.Module):
    """The layers of a functional keras network in their order; images (n, channels, side, side) -> (n, outputs).

    It is made in inference mode.
    """

    def __init__(self, model: "keras.Model"):
        """Copy the weights of ``model``, whose layers must be of the kinds that fast_cnn and EfficientNets have."""
        super().__init__()
        self.layers = nn.ModuleList()
        self._plan: list[list[int]] = []
        place = {id(model.input): 0}
        for layer in model.layers[1:]:
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            self.layers.append(_torch_layer(layer))
            self._plan.append([place[id(tensor)] for tensor in inputs])
            place[id(layer.output)] = len(self._plan)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs of a batch."""
        made = [images]
        for layer, places in zip(self.layers, self._plan, strict=True):
            made.append(layer(*(made[place] for place in places)))
        return made[-1]


class _Same(nn.Module):
    """A convolution or pooling after TensorFlow's padding "same", where that differs between the two sides."""

    def __init__(self, layer: nn.Module, kernel: int, strides: int):
        super().__init__()
        self._layer, self._kernel, self._strides = layer, kernel, strides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side, strides = x.shape[-1], self._strides
        total = max((-(-side // strides) - 1) * strides + self._kernel - side, 0)
        before = total // 2
        return self._layer(functional.pad(x, (before, total - before) * 2))


class _Join(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self._kind = kind

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        if self._kind == "Concatenate":
            return torch.cat(tensors, dim=1)
        return tensors[0] * tensors[1] if self._kind == "Multiply" else tensors[0] + tensors[1]


class _Pool(nn.Module):
    def __init__(self, average: bool, keep: bool):
        super().__init__()
        self._average, self._keep = average, keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3), keepdim=self._keep) if self._average else x.amax((2, 3), keepdim=self._keep)


def _torch_layer(layer: "keras.Layer") -> nn.Module:
    kind = type(layer).__name__
    if kind in ("Conv2D", "DepthwiseConv2D"):
        return _convolution(layer, kind == "DepthwiseConv2D")
    if kind == "BatchNormalization":
        return _normalisation(layer)
    if kind == "Dense":
        made = nn.Linear(*layer.kernel.shape)
        _fill(made, weight=np.asarray(layer.kernel).T, bias=layer.bias)
        return _activated(made, layer)
    if kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        return _Pool(kind == "GlobalAveragePooling2D", layer.keepdims)
    if kind in ("Concatenate", "Multiply", "Add"):
        return _Join(kind)
    if kind == "MaxPooling2D":
        return nn.MaxPool2d(layer.pool_size[0], layer.strides[0])
    if kind == "Swish":
        return _ACTIVATIONS["swish"]()
    if kind == "Activation":
        return _ACTIVATIONS[layer.activation.__name__]()
    if kind == "ReLU":
        return nn.ReLU6(inplace=True)
    if kind == "Dropout":
        return nn.Dropout(layer.rate)
    raise ValueError(f"{layer.name}: no counterpart in PyTorch for a {kind}")


def _convolution(layer: "keras.Layer", depthwise: bool) -> nn.Module:
    kernel = np.asarray(layer.kernel)  # (rows, columns, in, out), of a depthwise one (rows, columns, in, 1)
    filters_in = kernel.shape[2]
    filters = filters_in if depthwise else kernel.shape[3]
    size, strides = layer.kernel_size[0], layer.strides[0]
    made = nn.Conv2d(
        filters_in,
        filters,
        size,
        strides,
        padding=size // 2 if strides == 1 else 0,
        groups=filters_in if depthwise else 1,
        bias=layer.use_bias,
    )
    weight = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    _fill(made, weight=weight, **({"bias": layer.bias} if layer.use_bias else {}))
    return _activated(made if strides == 1 else _Same(made, size, strides), layer)


def _normalisation(layer: "keras.Layer") -> nn.Module:
    kind = nn.BatchNorm2d if len(layer.input.shape) == 4 else nn.BatchNorm1d
    made = kind(layer.gamma.shape[0], eps=layer.epsilon, momentum=1 - layer.momentum)
    _fill(
        made,
        weight=layer.gamma,
        bias=layer.beta,
        running_mean=layer.moving_mean,
        running_var=layer.moving_variance,
    )
    return made


def _activated(made: nn.Module, layer: "keras.Layer") -> nn.Module:
    name = layer.activation.__name__
    return made if name == "linear" else nn.Sequential(made, _ACTIVATIONS[name]())


def _fill(made: nn.Module, **arrays: "keras.Variable") -> None:
    made.load_state_dict({name: torch.tensor(np.array(array)) for name, array in arrays.items()}, strict=False)
