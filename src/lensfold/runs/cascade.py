"""Which objects of a test split the members of a cascade score: a small result, bound to the first run's logits.

The first run scores every object with one view; the best of them are kept in ``runs/<pack>/<first>/kept/``, and what a
member makes of these in its own folds, under ``fold<k>/kept/``.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.config import CascadeSettings
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, has_marker, write_marker
from lensfold.runs.logits import read_logits, write_logits
from lensfold.runs.predictions import FoldPrediction, fold_predictions, mean_logits, one_view_predictions, some_key
from lensfold.runs.run import Run


@dataclass(frozen=True)
class Selection:
    """The best objects of a pack's test split by a first run."""

    run: Run
    pack_name: str
    #: hash of the test split's cache
    pixels: str
    cascade: CascadeSettings

    @property
    def name(self) -> str:
        """What decides which objects are kept, beside the run."""
        return f"{self.cascade.keep!r}-{self.cascade.least}"

    @property
    def path(self) -> Path:
        """File of the objects kept, with the first run's logits."""
        return self.run.folder / "kept" / self.pack_name / f"{self.name}.csv"

    @cached_property
    def first(self) -> list[FoldPrediction]:
        """The first run's predictions, one a fold; InputError where it has no fold or its networks are others."""
        return one_view_predictions(self.run, self.pack_name, self.pixels)

    def is_done(self) -> bool:
        """Return whether the objects kept are those of the first run's logits that there are now."""
        return self.path.is_file() and has_marker(self.path.with_suffix(".json"), self._marker())

    def _marker(self) -> dict[str, str]:
        # by their own records, since the files may be large
        made = {str(one.fold): one.recorded() for one in self.first}
        return {"first": digest(made), "selection": self.cascade.selection, "kept": file_sha256(self.path)}

    def write(self) -> None:
        """Choose the objects from the first run's logits, and say of which; InputError where one is absent."""
        logits = mean_logits(self.first)
        kept = logits[best(logits, self.cascade.count(len(logits)))]
        write_logits(self.path, kept.index.to_numpy(), kept.to_numpy())
        write_marker(self.path.with_suffix(".json"), self._marker())

    def ids(self) -> np.ndarray:
        """Return the IDs kept, int64, ascending; InputError where they are absent or of other logits."""
        if not self.is_done():
            raise InputError(
                f"{self.path}: absent, or not of the logits of {self.run.name} there are now. Predict again: make "
                f"predict PACK={self.pack_name}."
            )
        return read_logits(self.path).index.to_numpy()


def best(logits: pd.Series, count: int) -> pd.Index:
    """Return the IDs, ascending, of the ``count`` highest logits by ID; of equal ones the lower ID."""
    ordered = logits.sort_index().sort_values(ascending=False, kind="stable")
    return ordered.index[:count].sort_values()


def kept_predictions(run: Run, selection: Selection) -> list[FoldPrediction]:
    """Return the predictions of the objects kept by a member, one a fold, in its own way.

    Raises InputError where the objects are not chosen yet, and as `fold_predictions` does.
    """
    ids, found = selection.ids(), []
    for whole in fold_predictions(run, selection.pack_name, selection.pixels):
        folder = run.fold_folder(whole.fold) / "kept" / selection.pack_name
        target = folder / f"{selection.run.name}-{selection.name}.csv"
        found.append(FoldPrediction(run, whole.fold, target, some_key(whole.key, ids), None, ids, whole))
    return found
