"""Features of anyone's network, by ID: ``<folder>/<pack>/train.npy`` beside ``train_ids.npy`` or ``train_ids.csv``.

The test split's are called ``test.npy`` and ``test_ids``. Row k of the one file is of the k-th ID of the other. There
may be rows of more objects than are asked for. Folders are a pack's own, since simulated packs have the same IDs.
"""

import hashlib
import io
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from lensfold.config import Experiment
from lensfold.errors import InputError
from lensfold.files import check_file, digest, file_sha256
from lensfold.paths import Split

#: rows that are read together
_ROWS = 4096
_SAVE = "Save an array of shape (objects, features) with numpy.save, of 16-, 32- or 64-bit floats."
_IDS = "Expected whole numbers, one for each row: a one-dimensional array of integers, or a CSV with a column ID."


class Given(NamedTuple):
    """Features that were read: ``rows``, float32, (n, features), of ``ids``, int64, (n,); ``sha256`` of both files."""

    ids: np.ndarray
    rows: np.ndarray
    sha256: str


class GivenFile(NamedTuple):
    """A file of features, and what a run's settings say of it: how many an object has, and of the train split which."""

    path: Path
    columns: int
    sha256: str | None


def given_file(config: dict, experiment: Experiment, root: Path, pack_name: str, split: Split) -> GivenFile | None:
    """Return the features of a split that a run is given, from its resolved ``config``; None where it sees pixels."""
    path = features_file(experiment, root, pack_name, split)
    if path is None:
        return None
    features = config["features"]
    return GivenFile(path, features["columns"], features["sha256"] if split == "train" else None)


def read_given(file: GivenFile, needed: np.ndarray) -> Given:
    """Do as `read_features`; InputError too where the file is not what the run's settings say."""
    given = read_features(file.path, needed)
    if given.rows.shape[1] != file.columns:
        raise InputError(
            f"{file.path}: {given.rows.shape[1]} features an object, and the run was trained with {file.columns}. Give "
            "both splits the features of one network."
        )
    if file.sha256 not in (None, given.sha256):
        raise InputError(f"{file.path}: replaced since the run's settings were resolved. Run the same command again.")
    return given


def features_file(experiment: Experiment, root: Path, pack_name: str, split: Split) -> Path | None:
    """Return where the features of a split lie that an experiment is given; None where it sees pixels.

    ``root``: the project's folder, which the setting ``learner.features`` counts from.
    """
    learner = experiment.learner
    return root / learner.features / pack_name / f"{split}.npy" if learner.kind == "given_features" else None


def features_hash(path: Path) -> str:
    """Return a SHA-256 (hex) of a file of features and its IDs; InputError where one is absent."""
    try:
        return digest({"rows": file_sha256(path), "ids": file_sha256(_ids_file(path))})
    except OSError as error:
        raise _unreadable(path, error) from error


def seen_hash(experiment: Experiment, pixels: str, root: Path, pack_name: str) -> str:
    """Return a hash of all that an experiment's network sees of a test split: ``pixels``, or given features beside."""
    path = features_file(experiment, root, pack_name, "test")
    return digest({"pixels": pixels, "features": features_hash(path)}) if path else pixels


def read_features(path: Path, needed: np.ndarray) -> Given:
    """Read the features of a file, all of them, and check that those of the ``needed`` IDs are there.

    Raises InputError where a file is absent, damaged, no array of floats or has numbers that are not finite, where an
    ID is missing or there twice, and where there are more or fewer IDs than rows.
    """
    ids, ids_sha256 = _ids(_ids_file(path))
    try:
        check_file(path)
        with path.open("rb") as stream:
            rows, rows_sha256 = _rows(stream, path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(ids) != len(rows):
        raise InputError(f"{path}: {len(rows)} rows, and {_ids_file(path).name} has {len(ids)} IDs. Write one of each.")
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{_ids_file(path)}: ID {unique[counts > 1][0]} is there {counts.max()} times, expected once.")
    missing = np.setdiff1d(needed, ids)
    if len(missing):
        raise InputError(
            f"{path}: no features of {len(missing)} of {len(needed)} objects, first ID {missing[0]}. Compute those of "
            "every object of the split."
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InputError(
            f"{path}: ID {ids[bad[0]]} (row {bad[0]}) has a feature that is not a finite 32-bit float; {len(bad)} rows "
            "have one. Compute them again, or replace them."
        )
    return Given(ids, rows, digest({"rows": rows_sha256, "ids": ids_sha256}))


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: features cannot be read ({error.strerror}). Expected {path.name}, and {path.stem}_ids.npy or "
        f"{path.stem}_ids.csv, in the folder learner.features/<pack>."
    )


def _line(error: Exception) -> str:
    """Return what is wrong in at most a line."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]


def _ids_file(path: Path) -> Path:
    table = path.with_name(f"{path.stem}_ids.csv")
    return table if table.is_file() else table.with_suffix(".npy")


def _ids(path: Path) -> tuple[np.ndarray, str]:
    """Return the IDs of a file, int64, and its SHA-256."""
    try:
        check_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the IDs of the features cannot be read ({error.strerror}). {_IDS}") from error
    try:
        if path.suffix == ".csv":
            # as text, so that 2.0e5 or an empty field is no ID
            column = pd.read_csv(io.BytesIO(content), dtype=str)["ID"].to_numpy(dtype=str)
            found = np.array([int(text) for text in column], dtype=np.int64)
        else:
            found = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # as of a header of features, or what pandas raises
        raise InputError(f"{path}: no IDs of features ({_line(error)}). {_IDS}") from error
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(f"{path}: an array of {found.dtype}, shape {found.shape}. {_IDS}")
    return found.astype(np.int64), hashlib.sha256(content).hexdigest()


def _rows(stream: BinaryIO, path: Path) -> tuple[np.ndarray, str]:
    """Return the rows as float32 and the SHA-256 of the file; what is hashed is what is read."""
    shape, dtype = _header(stream, path)
    start = stream.tell()
    stream.seek(0)
    found = hashlib.sha256(stream.read(start))
    rows = np.empty(shape, dtype=np.float32)
    for first in range(0, len(rows), _ROWS):
        part = rows[first : first + _ROWS]
        content = stream.read(part.size * dtype.itemsize)
        if len(content) != part.size * dtype.itemsize:
            raise InputError(f"{path}: ends too early, in row {first} or behind it of {len(rows)}. {_SAVE}")
        found.update(content)
        with np.errstate(over="ignore"):  # what 32 bits cannot hold becomes infinite, and is refused as such
            part[:] = np.frombuffer(content, dtype).reshape(part.shape)
    if stream.read(1):
        raise InputError(f"{path}: goes on behind its {len(rows)} rows. {_SAVE}")
    return rows, found.hexdigest()


def _header(stream: BinaryIO, path: Path) -> tuple[tuple[int, int], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream)
    except Exception as error:  # of a damaged header numpy raises what the parser of its text does
        raise InputError(f"{path}: no array of numpy's ({_line(error)}). {_SAVE}") from error
    if dtype.kind != "f" or dtype.itemsize > 8:
        what = "objects, which would be a pickle" if dtype.hasobject else str(dtype)
        raise InputError(f"{path}: an array of {what}. {_SAVE}")
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"{path}: shape {shape}. {_SAVE}")
    if is_fortran:
        raise InputError(f"{path}: its rows lie across each other. Save numpy.ascontiguousarray of it.")
    return shape, dtype
