"""A fold's prediction of a pack's test split: where it lies, what it depends on, and its parts.

Every part is one file, kept in a folder that is named by what the logits depend on, until all parts are there and
become the fold's ``test/<pack>.csv``.
"""

import hashlib
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import PredictSettings
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, has_marker, read_marker, write_marker
from lensfold.runs.logits import read_logits, write_logits
from lensfold.runs.run import Run, aligned

#: objects whose predictions are kept together while a long prediction goes on
PART_OBJECTS = 8192


@dataclass(frozen=True)
class FoldPrediction:
    """One trained fold's prediction of a pack's test split."""

    run: Run
    fold: int
    target: Path
    #: hash of the network, the objects and pixels it scores, and the way it does so
    key: str
    #: how objects are scored, where that is not as the run's settings say
    settings: PredictSettings | None = None
    #: the objects that are scored, ascending; None: all of the split
    chosen: np.ndarray | None = None
    #: where only some are: the prediction of all objects by the same network in the same way, which may be there
    whole: "FoldPrediction | None" = None

    @property
    def way(self) -> PredictSettings:
        """How objects are scored: in batches of which size, seen in how many views."""
        return self.settings or self.run.settings.predict

    def ids(self, split: np.ndarray) -> np.ndarray:
        """Return those of a ``split``'s IDs that are scored, ascending."""
        return np.sort(split) if self.chosen is None else self.chosen

    def known(self) -> pd.Series:
        """Return the logits by ID that this network gave in the same way already: to all objects, or to others."""
        found = [pd.Series(dtype=np.float64, index=pd.Index([], dtype=np.int64, name="ID"))]
        if self.whole and self.whole.is_done():
            found.append(read_logits(self.whole.target))
        elif self.whole:
            paths = (path for path in sorted(self.target.parent.glob("*.csv")) if path != self.target)
            found += [logits for path in paths if (logits := self._of_others(self.whole, path)) is not None]
        logits = pd.concat([one for one in found if len(one)] or found)
        return logits[~logits.index.duplicated()]

    def _of_others(self, whole: "FoldPrediction", path: Path) -> pd.Series | None:
        """Logits in ``path``; None where it is damaged, or of another network or way."""
        try:
            logits = read_logits(path)
        except InputError:
            return None
        other = FoldPrediction(self.run, self.fold, path, some_key(whole.key, logits.index.to_numpy()))
        return logits if other.is_done() else None

    @property
    def parts(self) -> Path:
        """Folder of the parts that are done."""
        return self.target.with_name(f".{self.target.stem}-{self.key[:12]}")

    @property
    def marker(self) -> Path:
        """File that says what the target was made from."""
        return self.target.with_suffix(".json")

    def is_done(self) -> bool:
        """Return whether the whole prediction is there, of this very network, these pixels and settings."""
        if not self.target.is_file():
            return False
        return has_marker(self.marker, {"prediction": self.key, "logits": file_sha256(self.target)})

    def recorded(self) -> dict:
        """Return which logits the target's record says it has, and of which key; empty where there is none."""
        return read_marker(self.marker)

    def has_part(self, split: np.ndarray, number: int, count: int) -> bool:
        """Return whether part ``number`` (from 0) of ``count`` is there with each of its IDs once, or the whole is.

        ``split``: all IDs of the split.
        """
        if self.is_done():
            return True
        ids = self.ids(split)
        path = part_file(self.parts, number, count)
        return path.is_file() and kept_part(path, ids[part_slices(len(ids), count)[number]]) is not None

    def write(self, ids: np.ndarray, logits: np.ndarray) -> None:
        """Write the whole prediction and what it was made from; delete its parts."""
        write_logits(self.target, ids, logits)
        write_marker(self.marker, {"prediction": self.key, "logits": file_sha256(self.target)})
        shutil.rmtree(self.parts, ignore_errors=True)


def fold_predictions(run: Run, pack_name: str, seen: str, only: Sequence[int] = ()) -> list[FoldPrediction]:
    """Return those of a run's complete folds, or of ``only`` some; ``seen``: hash of what its networks see of
    the test split, its cache or given features beside it.

    Raises InputError where no fold is complete, where a network is not the one that was trained, and where the run is
    of another pack than it is filed under.
    """
    found = []
    for fold in _checked_folds(run, only):
        target = run.fold_folder(fold) / "test" / f"{pack_name}.csv"
        found.append(FoldPrediction(run, fold, target, _key(run, fold, seen, run.predict)))
    return found


def one_view_predictions(run: Run, pack_name: str, pixels: str) -> list[FoldPrediction]:
    """Return the predictions of all objects seen once, without flips; those of `fold_predictions` where they are that.

    Raises InputError as that does.
    """
    if not run.predict.get("d4_average", True):
        return fold_predictions(run, pack_name, pixels)
    once = {**run.predict, "d4_average": False}
    settings, found = PredictSettings.model_validate(once), []
    for fold in _checked_folds(run):
        target = run.fold_folder(fold) / "one_view" / f"{pack_name}.csv"
        found.append(FoldPrediction(run, fold, target, _key(run, fold, pixels, once), settings))
    return found


def forget_predictions(fold_folder: Path) -> None:
    """Delete what an earlier network of a fold has predicted."""
    for name in ("test", "one_view", "kept"):
        shutil.rmtree(fold_folder / name, ignore_errors=True)


def mean_logits(predictions: Sequence[FoldPrediction]) -> pd.Series:
    """Return the mean over the folds of one run's predictions, by ID; InputError where a file is absent or damaged."""
    parts = [read_logits(prediction.target) for prediction in predictions]
    return aligned(parts, str(predictions[0].run.folder)).mean(axis=1)


def some_key(whole: str, ids: np.ndarray) -> str:
    """Return the key of a prediction of some objects, where ``whole`` is that of all; ``ids``: ascending."""
    return digest({"of": whole, "objects": hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()})


def _checked_folds(run: Run, only: Sequence[int] = ()) -> list[int]:
    run.check_pack()
    folds = [fold for fold in run.complete_folds if not only or fold in only]
    if not folds:
        raise run.no_fold()
    for fold in folds:
        run.check_network(fold)
        run.check_predict(fold)
    return folds


def _key(run: Run, fold: int, pixels: str, predict: dict) -> str:
    network = run.marker(fold)["network"]
    return digest({"network": network, "run": run.identity, "pixels": pixels, "predict": predict})


def part_slices(objects: int, count: int) -> list[slice]:
    """``count`` consecutive slices of almost equal length that together cover ``objects`` once; some may be empty."""
    edges = [objects * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def part_count(objects: int) -> int:
    """Parts that a prediction is done in where nobody asks for a number: one for every PART_OBJECTS objects."""
    return max(1, -(-objects // PART_OBJECTS))


def part_file(folder: Path, number: int, count: int) -> Path:
    """Where the logits of part ``number`` (from 0) of ``count`` are kept."""
    return folder / f"part-{number + 1}of{count}.csv"


def write_part(path: Path, ids: np.ndarray, values: np.ndarray) -> None:
    """Write the logits of a part, and beside them their hash."""
    write_logits(path, ids, values)
    write_marker(path.with_suffix(".json"), {"logits": file_sha256(path)})


def kept_part(path: Path, ids: np.ndarray) -> np.ndarray | None:
    """Logits in ``path`` of ``ids`` in their order; None where the file is absent, damaged or of other objects."""
    if not path.is_file() or not has_marker(path.with_suffix(".json"), {"logits": file_sha256(path)}):
        return None  # predicted again
    try:
        kept = read_logits(path)
    except InputError:
        return None
    return kept.reindex(ids).to_numpy() if set(kept.index) == set(ids.tolist()) else None
