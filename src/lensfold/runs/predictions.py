"""A fold's prediction of a pack's test split: where it lies, what it depends on, and its parts.

Every part is one file, kept in a folder that is named by what the logits depend on, until all parts are there and
become the fold's ``test/<pack>.csv``.
"""

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, has_marker, write_marker
from lensfold.runs.logits import read_logits, write_logits
from lensfold.runs.run import Run

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

    def has_part(self, ids: np.ndarray, number: int, count: int) -> bool:
        """Return whether part ``number`` (from 0) of ``count`` is there with each of its IDs once, or the whole is.

        ``ids``: of the whole prediction, ascending.
        """
        if self.is_done():
            return True
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
    run.check_pack()
    found = []
    for fold in run.complete_folds:
        if not only or fold in only:
            run.check_network(fold)
            network = run.marker(fold)["network"]
            key = digest({"network": network, "run": run.identity, "pixels": seen, "predict": run.predict})
            found.append(FoldPrediction(run, fold, run.fold_folder(fold) / "test" / f"{pack_name}.csv", key))
    if not found:
        raise run.no_fold()
    return found


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


def kept_part(path: Path, ids: np.ndarray) -> np.ndarray | None:
    """Logits in ``path`` of ``ids`` in their order; None where the file is absent, damaged or of other objects."""
    try:
        kept = read_logits(path)
    except InputError:  # absent, or damaged: predicted again
        return None
    return kept.reindex(ids).to_numpy() if set(kept.index) == set(ids.tolist()) else None
