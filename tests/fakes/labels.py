"""A pack of people's own cutouts in one place, with the labels that somebody gave them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fakes.pack import write_objects
from lensfold.paths import Pack

#: of the objects of `write_own_pack` every second one has a ring
LENSES, OTHERS = tuple(range(1, 24, 2)), tuple(range(2, 25, 2))


def write_table(folder: Path, names: Mapping[int, str]) -> None:
    """The table of a pack's objects: their names by ID."""
    table = pd.DataFrame({"ID": list(names), "name": list(names.values()), "file": "", "ra": 150.0, "dec": 2.0})
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "objects.csv", index=False)


def write_own_pack(folder: Path, unlabelled: int = 4) -> Pack:
    """A pack as an import leaves it: the objects 1 to 24 and some more, in one place, with names, and labelled."""
    ids = list(range(1, 25 + unlabelled))
    write_objects(folder, ids, [bool(number % 2) for number in ids], seed=3)
    write_table(folder, {number: f"object {number}" for number in ids})
    rows = [f"object {number},{number % 2}" for number in range(1, 25)]
    (folder / "labels.csv").write_text("\n".join(["name,label", *rows]) + "\n")
    return Pack(folder.name, folder)


def given_catalog(label: np.ndarray, **columns: object) -> pd.DataFrame:
    """A table as `read_labels` returns it, of objects from 1, with these columns in the place of what is unknown."""
    from lensfold.data.catalog import COLUMNS, INDEX_COLUMN

    index = pd.Index(np.arange(1, len(label) + 1), name="ID")
    table = pd.DataFrame(np.nan, index=index, columns=[INDEX_COLUMN, *COLUMNS[2:]])
    known = {"label": np.asarray(label, dtype=np.float64), "weight": 1.0, "group": np.arange(len(label))}
    return table.assign(**(known | columns))
