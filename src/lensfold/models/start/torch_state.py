"""Read a PyTorch state file without PyTorch and without running anything that the file asks for.

A ``.pth`` is a pickle, and a pickle may call any function. This reader knows the few names that a state of tensors
needs and refuses every other one. It reads two layouts: a zip archive with the pickle of the tensors, ``data.pkl``,
and a file of raw numbers a storage, and what torch wrote before 1.6: three small pickles (magic number, protocol,
sizes), the pickle of the tensors, the list of storages, then their raw numbers.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from lensfold.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
#: torch's name of a storage -> type of its numbers in the file.
_STORAGE_TYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8"}
#: where a training's checkpoint has the state of its network
_PARTS = ("state_dict", "model")
#: how a zip archive begins
_ARCHIVE = b"PK\x03\x04"


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """What the pickle says of a tensor; its numbers come later in the file."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: OrderedDict


class _Refused(Exception):
    """The file asks for something, or says something, that a state of tensors has no need of."""


class _Unpickler(pickle.Unpickler):
    """Unpickler that finds a few names and no other. Tensors and storages stay plain tuples."""

    def __init__(self, stream: io.BytesIO):
        super().__init__(stream)
        #: those that were named so far, by key
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: a pickle may set attributes on what it is given.
            # What newer files have behind the six arguments describes the tensor and is no part of it.
            return lambda *arguments: _Tensor(*arguments[:6])
        if module == "torch" and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        raise _Refused(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, size, *view = pid  # archives have no views
        if kind != "storage" or dtype not in _STORAGE_TYPES.values() or view not in ([], [None]):
            raise _Refused(f"it asks for the persistent object {pid!r}")
        storage = _Storage(str(key), dtype, int(size))
        return self.storages.setdefault(storage.key, storage)


def read_torch_state(content: bytes, name: str, advice: str) -> dict[str, np.ndarray]:
    """Read the bytes of a PyTorch state file: tensor name -> array (float32, float16 or int64, C order).

    Of a training's checkpoint it is the state under "state_dict" or "model".
    ``name`` (of the file) and ``advice`` (what to do) go into the message of the InputError that is raised for
    a file that is cut short, is not such a state, or asks for any object but tensors: nothing of it is run.
    """
    try:
        return _read_archive(content) if content.startswith(_ARCHIVE) else _read(io.BytesIO(content))
    except _Refused as error:
        raise InputError(f"{name}: not a plain PyTorch state of tensors, {error}. {advice}") from error
    except Exception as error:  # unpickling garbage raises nearly anything
        found = f"{type(error).__name__}: {error}"
        raise InputError(f"{name}: cannot be read as a PyTorch state ({found}). {advice}") from error


def _read(stream: io.BytesIO) -> dict[str, np.ndarray]:
    if _Unpickler(stream).load() != _MAGIC or _Unpickler(stream).load() != _PROTOCOL:
        raise _Refused("it does not begin with torch's magic number and protocol 1001")
    if _Unpickler(stream).load()["little_endian"] is not True:
        raise _Refused("its numbers are not little-endian")
    unpickler = _Unpickler(stream)
    state = _tensors_of(unpickler.load())
    numbers = {key: _read_storage(stream, unpickler.storages[key]) for key in _Unpickler(stream).load()}
    return {key: _view(key, tensor, numbers[tensor.storage.key]) for key, tensor in state.items()}


def _read_archive(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        folders = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("data.pkl")]
        if len(folders) != 1:
            raise _Refused(f"it is an archive with {len(folders)} files data.pkl")
        (folder,) = folders
        if f"{folder}byteorder" in archive.namelist() and _stored(archive, f"{folder}byteorder") != b"little":
            raise _Refused("its numbers are not little-endian")
        state = _tensors_of(_Unpickler(io.BytesIO(_stored(archive, f"{folder}data.pkl"))).load())
        storages = {tensor.storage.key: tensor.storage for tensor in state.values()}
        numbers = {key: _numbers(_stored(archive, f"{folder}data/{key}"), storage) for key, storage in storages.items()}
    return {key: _view(key, tensor, numbers[tensor.storage.key]) for key, tensor in state.items()}


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a file of the archive; as torch stores them without compression, it is no larger than the archive."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise _Refused(f"{name} is compressed in it")
    return archive.read(name)


def _tensors_of(content: Any) -> dict[str, _Tensor]:
    """Return the state that a file holds: its content, or, of a checkpoint, the first part that is one."""
    state = dict(content)
    part = next((state[key] for key in _PARTS if isinstance(state.get(key), dict)), state)
    for key, tensor in part.items():
        if not isinstance(key, str) or not isinstance(tensor, _Tensor):
            raise _Refused(f"entry {key!r} is not a tensor")
    return dict(part)


def _read_storage(stream: io.BytesIO, storage: _Storage) -> np.ndarray:
    size = int.from_bytes(stream.read(8), "little")
    if size != storage.size:
        raise _Refused(f"a storage has {size} numbers, expected {storage.size}")
    return _numbers(stream.read(size * np.dtype(storage.dtype).itemsize), storage)


def _numbers(content: bytes, storage: _Storage) -> np.ndarray:
    numbers = np.frombuffer(content, storage.dtype)
    if numbers.size != storage.size:
        raise _Refused(f"it ends inside a storage, after {numbers.size} of {storage.size} numbers")
    return numbers


def _view(key: str, tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """Return the tensor's array, a copy; strides count numbers and may not leave the storage."""
    _, offset, shape, strides, *_ = tensor
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    inside = offset >= 0 and min((*shape, *strides), default=0) >= 0 and last < numbers.size
    # Strides of 0 would let a small file ask for any amount of memory.
    if not inside or math.prod(shape) > numbers.size:
        raise _Refused(f"tensor {key} of shape {shape}, strides {strides} leaves its {numbers.size} numbers")
    steps = [step * numbers.itemsize for step in strides]
    view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
    return np.array(view, dtype=numbers.dtype.newbyteorder("="), order="C")
