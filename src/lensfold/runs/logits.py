"""Files of logits: ``ID,logit``."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import replacing

if TYPE_CHECKING:
    pass


def write_logits(path: Path, ids: np.ndarray, values: np.ndarray) -> None:
    """``ID,logit`` with every digit of a float64, in ascending ID."""
    with replacing(path) as temporary:
        pd.Series(values, index=pd.Index(ids, name="ID"), name="logit").sort_index().to_csv(temporary)


def read_logits(path: Path) -> pd.Series:
    """Series of float64 logits indexed by ID from an ``ID,logit`` file.

    Raises InputError on an absent or damaged file, a repeated ID, and a logit that is not a finite number.
    """
    try:
        table = pd.read_csv(path, dtype={"ID": np.int64, "logit": np.float64})
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Train or predict this fold first.") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}). Delete it and predict again.") from error
    if list(table.columns) != ["ID", "logit"]:
        raise InputError(f"{path}: columns are {list(table.columns)}, expected ID,logit. Delete it and predict again.")
    doubled = table["ID"][table["ID"].duplicated()]
    if len(doubled):
        raise InputError(f"{path}: ID {doubled.iloc[0]} stands there twice. Delete the file and predict again.")
    broken = table["ID"][~np.isfinite(table["logit"])]
    if len(broken):
        raise InputError(f"{path}: the logit of ID {broken.iloc[0]} is not a finite number. Predict again.")
    return table.set_index("ID")["logit"]
