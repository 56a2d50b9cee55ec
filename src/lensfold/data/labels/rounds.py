"""The rounds of ranking, marking and training again: a folder each, of what was inspected and what was found."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import write_if_changed, write_json


@dataclass(frozen=True)
class Round:
    """One round. ``given``: a hash of the marks; ``inspected``: what was labelled for the first time (rank, score, ID,
    name, label, people, disagree), in the order of the ranking."""

    number: int
    given: str
    inspected: pd.DataFrame

    def folder(self, rounds: Path) -> Path:
        """Folder of the round."""
        return rounds / str(self.number)

    def marks(self, rounds: Path) -> list[Path]:
        """The files of marks that were given."""
        return sorted((self.folder(rounds) / "marks").glob("*.csv"))

    def write(self, rounds: Path) -> None:
        """Write the table, and last what says that the round is whole."""
        folder = self.folder(rounds)
        write_if_changed(folder / "inspected.csv", self.inspected.to_csv(index=False).encode())
        write_json(
            folder / "round.json", {"given": self.given, "inspected": len(self.inspected), "lenses": self.lenses}
        )

    @property
    def lenses(self) -> int:
        """Objects that more speaks for than against."""
        return int((self.inspected["label"] > 0.5).sum())


def read_rounds(folder: Path) -> list[Round]:
    """Return the whole rounds in their order; InputError where one is damaged."""
    numbers = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())
    return [_read(folder / str(number)) for number in numbers if (folder / str(number) / "round.json").is_file()]


def _read(folder: Path) -> Round:
    try:
        content = json.loads((folder / "round.json").read_text())
        table = pd.read_csv(
            folder / "inspected.csv", dtype={"name": str}, keep_default_na=False, na_values={"rank": [""]}
        )
        found = Round(int(folder.name), content["given"], table)
        if len(table) != content["inspected"] or found.lenses != content["lenses"]:
            raise ValueError(f"{len(table)} rows, {content['inspected']} in round.json")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: a damaged round ({error}). Restore it, or delete the folder.") from error
    return found


def found_lenses(rounds: Sequence[Round]) -> np.ndarray:
    """Return how many lenses were found among the first 1, 2, 3, … objects inspected, int64, over all rounds."""
    labels = [one.inspected["label"].to_numpy() > 0.5 for one in rounds]
    return np.cumsum(np.concatenate(labels)) if labels else np.empty(0, dtype=np.int64)
