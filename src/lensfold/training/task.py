"""What one fold of an experiment is trained from, whatever learns it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import Experiment
from lensfold.data.folds import is_undivided
from lensfold.data.given_features import GivenFile
from lensfold.files import file_sha256, is_broken
from lensfold.inputs.pixels import StretchConstants


@dataclass(frozen=True)
class FoldTask:
    """Everything one fold needs; the arrays are IDs, the pixels stay in the cache."""

    experiment: Experiment
    constants: StretchConstants
    config_hash: str
    fold: int
    folds: pd.Series
    catalog: pd.DataFrame
    cache_folder: Path
    twins_folder: Path | None
    folder: Path
    #: by the bin of stages that have another than pixels.bin
    stage_constants: Mapping[int, StretchConstants] = field(default_factory=dict)
    #: what is given of the train split in the place of pixels; None where pixels are seen
    features: GivenFile | None = None

    def held_out(self, cached: np.ndarray) -> np.ndarray:
        """Return those of the ``cached`` IDs that this fold's network never sees, int64, in the order of the folds.

        None where there is one fold only.
        """
        if is_undivided(self.folds):
            return np.empty(0, dtype=np.int64)
        return _ids_in(self.folds[self.folds == self.fold], cached)

    def training(self, cached: np.ndarray) -> np.ndarray:
        """Return those of the ``cached`` IDs that are not held out, int64, in the order of the folds."""
        if is_undivided(self.folds):
            return _ids_in(self.folds, cached)
        return _ids_in(self.folds[self.folds != self.fold], cached)

    def is_trained(self, file: str) -> bool:
        """Return whether the fold's folder has ``file`` as its record of these very settings names it."""
        try:
            run = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError):
            return False
        path = self.folder / file
        own = isinstance(run, dict) and run.get("config_hash") == self.config_hash and not is_broken(run)
        return own and path.is_file() and run.get("learnt") == file_sha256(path)


def _ids_in(folds: pd.Series, cached: np.ndarray) -> np.ndarray:
    return folds.index.to_numpy(dtype=np.int64)[folds.index.isin(cached)]
