"""Networks in a file that can be shipped: arrays and a description in the safetensors format, without any code.

Weights are 16-bit floats; the statistics of batch normalisations, few and of a wide range, stay in 32 bits.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensfold.errors import InputError
from lensfold.files import check_file, replacing

if TYPE_CHECKING:
    import keras

#: changes with the layout of the files
FORMAT = "1"
SUFFIX = ".safetensors"
#: key of the description in the file's header
_KEY = "lensfold"
#: a header beyond this is none of ours
_LARGEST_DESCRIPTION = 1_000_000


def arrays_of(model: "keras.Model") -> dict[str, np.ndarray]:
    """Return the weights by their path in the network, as they are shipped: float16, statistics float32.

    Raises InputError where a weight does not fit into 16 bits.
    """
    arrays = {}
    for variable in model.weights:
        values = np.asarray(variable.value if hasattr(variable, "value") else variable, dtype=np.float32)
        if "moving_" not in variable.path:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16)
        if not np.isfinite(values).all():
            raise InputError(f"{variable.path}: has values that 16-bit floats cannot hold. Train with clip_norm = 1.0.")
        arrays[variable.path] = values
    return arrays


def fill(model: "keras.Model", arrays: dict[str, np.ndarray], source: str) -> None:
    """Copy shipped weights into a network of the same structure; InputError, and nothing is copied, for any other.

    ``source``: for the message.
    """
    expected = {variable.path: tuple(variable.shape) for variable in model.weights}
    found = {name: array.shape for name, array in arrays.items()}
    if expected.keys() != found.keys():
        missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        raise InputError(f"{source}: of another network: missing {missing[:3]}, not expected {extra[:3]}.")
    for name, shape in expected.items():
        if found[name] != shape:
            raise InputError(f"{source}: {name} has shape {found[name]}, expected {shape}. Of another side or bands?")
    for variable in model.weights:
        variable.assign(arrays[variable.path].astype(np.float32))


def write_shipped(path: Path, arrays: dict[str, np.ndarray], description: dict) -> None:
    """Write arrays and a description (plain values) into one file; a reader never meets a half-written one."""
    from safetensors.numpy import save

    content = save(arrays, {_KEY: json.dumps({"format": FORMAT, **description}, sort_keys=True)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_shipped(path: Path, content: bytes | None = None) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays and the description of a file; InputError where it is damaged, or not one of ours.

    ``content``: its bytes, where they were read already. Nothing in it is executed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    advice = "Take the file from the project again, or write it with `lensfold publish`."
    try:
        check_file(path)
        content = path.read_bytes() if content is None else content
        arrays = load(content)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of weights.") from error
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged, or no safetensors file ({error}). {advice}") from error
    description = _described(content)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise InputError(f"{path}: was not written by lensfold, or by another version of it. {advice}")
    wrong = [name for name, array in arrays.items() if array.dtype not in (np.float16, np.float32)]
    wrong += [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is not made of finite 16- or 32-bit floats. {advice}")
    return arrays, description


def is_shipped(content: bytes) -> bool:
    """Return whether a safetensors file of these bytes says that lensfold wrote it, in this version or another."""
    return _described(content) is not None


def _described(content: bytes) -> object:
    """Return the description in a safetensors file's header; None where there is none that can be read."""
    try:
        length = int.from_bytes(content[:8], "little")
        text = json.loads(content[8 : 8 + length])["__metadata__"][_KEY]
        return json.loads(text) if len(text) <= _LARGEST_DESCRIPTION else None
    except (ValueError, KeyError, TypeError):
        return None
