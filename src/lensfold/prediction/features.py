"""Features of a frozen, pretrained backbone: computed once for all runs that share them, then read as pixels are.

A frozen backbone gives an object the same features in every epoch and fold, so only the head need ever see them
again. Augmentation has no effect on such a run, and neither has averaging over flips and rotations.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lensfold.config import Experiment, NetworkLearner, PixelSettings
from lensfold.data.cache import Cache
from lensfold.data.given_features import Given, GivenFile, read_given
from lensfold.errors import InputError
from lensfold.files import digest, exclusive, file_sha256, is_broken, replacing, sealed
from lensfold.inputs.batches import Preparation, ahead, slices
from lensfold.inputs.pixels import StretchConstants
from lensfold.models import network_of, split_at_head
from lensfold.prediction.forward import Inference, inference_of

Progress = Callable[[int, int], None]
BATCH = 64


class Features:
    """Rows of a features file by ID, in the place of :class:`lensfold.inputs.batches.Preparation`."""

    def __init__(self, path: Path):
        """Open ``path`` (.npy, float32, one row an object), its IDs being in the .json file beside it."""
        ids = np.array(json.loads(path.with_suffix(".json").read_text())["ids"], dtype=np.int64)
        self._place = {int(object_id): row for row, object_id in enumerate(ids)}
        self._path = path
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            (_, self._columns), _, _ = np.lib.format.read_array_header_1_0(stream)
            self._start = stream.tell()

    def plain(self, ids: np.ndarray) -> np.ndarray:
        """Return features of the given objects, float32, shape (n, features); InputError where the file is cut off."""
        rows = np.empty((len(ids), self._columns), dtype="<f4")
        with self._path.open("rb", buffering=0) as stream:
            for target, object_id in zip(rows, ids, strict=True):
                place = self._start + self._place[int(object_id)] * target.nbytes
                if os.preadv(stream.fileno(), [target.data], place) != target.nbytes:
                    raise InputError(f"{self._path}: ends too early. Delete it; the same command computes it again.")
        return rows

    def augmented(self, ids: np.ndarray, positions: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
        """Return what :meth:`plain` does: a frozen backbone's features are not augmented."""
        return self.plain(ids)


class RowsOfIds(Features):
    """Features that were given, see `lensfold.data.given_features`."""

    def __init__(self, given: Given):
        """Take what was read."""
        self._rows = given.rows
        self._place = {int(object_id): row for row, object_id in enumerate(given.ids)}

    def plain(self, ids: np.ndarray) -> np.ndarray:
        """Return features of the given objects, float32, shape (n, features)."""
        return self._rows[[self._place[int(object_id)] for object_id in ids]]


def network_input(
    cache: Cache,
    experiment: Experiment,
    constants: StretchConstants,
    progress: Progress | None = None,
    twins: Cache | None = None,
    given: GivenFile | None = None,
) -> Preparation | Features:
    """Return what the network of a run is fed with: its pixels, or, frozen, its features, kept with the cache.

    Features that are ``given`` are read, see `lensfold.data.given_features.read_given`.
    Features are computed where there are none of these pixels, settings and weights yet; the first process does it,
    others that come meanwhile wait. Every run of the same backbone and pixels reads the same file.
    """
    if given:
        return RowsOfIds(read_given(given, cache.ids))
    preparation = Preparation(cache, experiment, constants, twins)
    if experiment.learner.backbone is None:
        return preparation
    key = _key(cache, experiment.pixels, experiment.learner.backbone, constants)
    path = cache.folder / "features" / f"{key[:16]}.npy"
    path.parent.mkdir(exist_ok=True)
    with exclusive(path.with_suffix(".lock")):
        if not _is_current(path, key):
            _compute(preparation, cache.ids, experiment, path, progress)
            with replacing(path.with_suffix(".json")) as temporary:
                content = {"key": key, "ids": cache.ids.tolist(), "sha256": file_sha256(path)}
                temporary.write_text(json.dumps(sealed(content)))
    return Features(path)


def features_of(
    preparations: Sequence[tuple[Preparation, np.ndarray]], experiment: Experiment, progress: Progress | None = None
) -> list[np.ndarray]:
    """Return the features of some objects of some caches by one frozen backbone, each float32, (n, features).

    Nothing is kept: see :func:`network_input` for those of a whole cache.
    """
    backbone, _ = split_at_head(network_of(experiment))
    inference = inference_of(backbone, BATCH)
    return [np.concatenate(list(_batches(inference, one, ids, progress))) for one, ids in preparations]


def progress_lines(log: Callable[[str], None]) -> Progress:
    """Return a progress that writes a line of a fold's log at every fifth of the way."""
    shown = [0]

    def report(done: int, total: int) -> None:
        if 5 * done // total > shown[0]:
            shown[0] = 5 * done // total
            log(f"features of the frozen backbone: {done}/{total} objects")

    return report


def _key(cache: Cache, pixels: PixelSettings, backbone: NetworkLearner, constants: StretchConstants) -> str:
    """Return a hash of everything that features depend on."""
    content = {"name", "weights", "weights_file", "weights_sha256", "two_branches"}
    return digest(
        {
            "pixels": pixels.model_dump(mode="json"),
            "backbone": backbone.model_dump(mode="json", include=content),
            "constants": dict(constants),
            "shards": [shard["sha256"] for shard in cache.manifest["shards"]],
        }
    )


def _is_current(path: Path, key: str) -> bool:
    """Whether there are features of this key as they were written; those without a hash are computed again."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        return record["key"] == key and not is_broken(record) and record["sha256"] == file_sha256(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _compute(
    preparation: Preparation, ids: np.ndarray, experiment: Experiment, path: Path, progress: Progress | None
) -> None:
    backbone, _ = split_at_head(network_of(experiment))
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(ids), backbone.output_shape[1])}
    path.with_suffix(".json").unlink(missing_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for features in _batches(inference_of(backbone, BATCH), preparation, ids, progress):
            stream.write(features.tobytes())


def _batches(
    inference: Inference, preparation: Preparation, ids: np.ndarray, progress: Progress | None
) -> Iterator[np.ndarray]:
    """Yield the features of the objects, float32, batch by batch."""
    parts = slices(len(ids), BATCH)
    batches = ahead(preparation.plain, [(ids[part],) for part in parts])
    for part, images in zip(parts, batches, strict=True):
        yield inference(images).astype("<f4")
        if progress:
            progress(part.stop, len(ids))
