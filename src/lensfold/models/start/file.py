"""Starting weights out of a file: keras' own format, a published network of ours, or a state of PyTorch tensors.

Nothing in such a file is executed: keras reads its own in safe mode, PyTorch's pickles are read by a reader that knows
tensors and nothing else, and safetensors have no code. What a file has is copied tensor by tensor into a network of our
own, or nothing of it is.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import NamedTuple

import keras
from safetensors.numpy import load as load_safetensors

from lensfold.config import channel_count
from lensfold.errors import InputError
from lensfold.files import check_file
from lensfold.models.saved import load_model
from lensfold.models.shipped import is_shipped, read_shipped
from lensfold.models.start import weights
from lensfold.models.start.pretrained import keras_tensors
from lensfold.models.start.published import published
from lensfold.models.start.torch_names import torch_tensors
from lensfold.models.start.torch_state import read_torch_state

SUFFIXES = (".keras", ".pth", ".pt", ".bin", ".safetensors")
_ADVICE = "Name a file of the experiment's own network in learner.weights_file."
#: keras' order of a layer's weights
_ORDER = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
_STATE_ADVICE = "Save the network's state_dict() alone, or as safetensors."


class Start(NamedTuple):
    """A file that was read."""

    file: Path
    tensors: weights.Tensors
    #: side and channels of the images that a network of lensfold was trained on; None for a network of others
    own_input: tuple[int, int] | None

    def fill(self, model: keras.Model, head: bool) -> None:
        """Copy the file's weights into a network of `build_model`, with ``head`` its classifier's too.

        Networks of others saw pictures: the first kernel is inflated to the channels of ``model``. The channels of our
        own are bands, each with kernels of its own. Raises InputError, and copies nothing of a part, where the file is
        of another network, other channels or shapes, or has no such classifier.
        """
        advice, (_, side, _, channels) = _ADVICE, model.input_shape
        if self.own_input and self.own_input[1] != channels:
            raise InputError(
                f"{self.file}: its network sees {self.own_input[1]} channels, and the experiment's pixels.mix gives "
                f"{channels}, so they are other bands. Set pixels.mix as it was trained with, or name another file."
            )
        if self.own_input and self.own_input[0] != side:
            advice = f"It was trained on images of {self.own_input[0]} pixels a side, the experiment's have {side}."
        if head and not any(name.startswith("head_") for name in self.tensors):
            raise InputError(
                f"{self.file}: no classifier of lensfold's in it. Set learner.weights_head = false: the experiment's "
                "own is trained from nothing."
            )
        weights.fill(model, self.tensors, str(self.file), advice, inflate=self.own_input is None)
        if head:
            weights.fill_head(model, self.tensors, str(self.file), advice)


def read_start(name: str, weights_file: str, sha256: str | None) -> Start:
    """Read the weights of a network of this ``name`` from a file.

    ``sha256``: what the file's must be; None: anything. Raises InputError where the file is absent, damaged, of another
    format, content or network, and where it asks for anything to be executed.
    """
    path = Path(weights_file)
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: no format that weights are read from. Expected {', '.join(SUFFIXES)}: save a keras network with "
            'model.save("name.keras"), that of PyTorch as safetensors.'
        )
    content = _content(path, sha256)
    if path.suffix == ".keras":
        return _of_keras(name, path, content)
    if path.suffix == ".safetensors" and is_shipped(content):
        return _of_shipped(name, path, content)
    if path.suffix == ".safetensors":
        try:
            state = load_safetensors(content)
        except Exception as error:  # the package raises its own, and KeyError for numbers that numpy lacks
            raise InputError(f"{path}: cannot be read as safetensors ({error}). {_ADVICE}") from error
    else:
        state = read_torch_state(content, str(path), _STATE_ADVICE)
    return Start(path, torch_tensors(name, state, str(path), _ADVICE), None)


def _content(path: Path, sha256: str | None) -> bytes:
    """Return the bytes of a file, which are those that are then read, whatever happens to it meanwhile."""
    try:
        check_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the weight file cannot be read ({error.strerror}). {_ADVICE}") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise InputError(
            f"{path}: sha256 is {found}, expected {sha256}: replaced since the settings were resolved, or not the "
            "file of learner.weights_sha256. Put it back, or train again."
        )
    return content


def _of_keras(name: str, path: Path, content: bytes) -> Start:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "network.keras"
        copy.write_bytes(content)
        network = load_model(copy, path, _ADVICE)
    own = any(layer.name == "head_logit" for layer in network.layers)
    if own:
        _check_name(name, network.name, path)
    tensors = keras_tensors(network, classifier=own)
    return Start(path, tensors, (network.input_shape[1], network.input_shape[3]) if own else None)


def _of_shipped(name: str, path: Path, content: bytes) -> Start:
    arrays, description = read_shipped(path, content)
    network = published(path, description)
    _check_name(name, network.learner.name, path)
    found: dict[str, list[weights.Tensor]] = {}
    for key in sorted(arrays, key=lambda key: _ORDER.index(key.rpartition("/")[2])):
        found.setdefault(key.rpartition("/")[0], []).append(weights.Tensor(key, arrays[key].astype("f4")))
    pixels = network.experiment.pixels
    return Start(path, found, (pixels.side, channel_count(pixels)))


def _check_name(expected: str, found: str, path: Path) -> None:
    if found != expected:
        raise InputError(f"{path}: the network in it is {found}, and the experiment's {expected}. {_ADVICE}")
