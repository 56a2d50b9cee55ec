"""Files of logits: ``ID,logit``, out of fold also ``ID,logit,one_view``."""

from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import check_file, replacing

#: columns of a file of logits, beside the ID; the second is that of the image as it is, where a logit is the mean of
#: eight views
LOGIT, ONE_VIEW = "logit", "one_view"


def write_logits(path: Path, ids: np.ndarray, values: np.ndarray, one_view: np.ndarray | None = None) -> None:
    """Write ``ID,logit``, and ``one_view`` where given, with every digit of a float64, in ascending ID."""
    columns = {LOGIT: values} if one_view is None else {LOGIT: values, ONE_VIEW: one_view}
    with replacing(path) as temporary:
        pd.DataFrame(columns, index=pd.Index(ids, name="ID")).sort_index().to_csv(temporary)


def read_logits(path: Path) -> pd.Series:
    """Return the logits of a file, float64, indexed by ID; InputError as :func:`read_views` raises it."""
    return read_views(path)[LOGIT]


def read_views(path: Path) -> pd.DataFrame:
    """Return the columns of a file of logits, float64, indexed by ID: ``logit`` and, where it has one, ``one_view``.

    Raises InputError on an absent or damaged file, a repeated ID, and a logit that is not a finite number.
    """
    try:
        check_file(path)
        # an ID is what pandas takes for a whole number: told to, it would make one of 1e308 or -0.0
        table = pd.read_csv(path, dtype={LOGIT: np.float64, ONE_VIEW: np.float64}, low_memory=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Train or predict this fold first.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Delete it and predict again.") from error
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({error}). Delete it and predict again.") from error
    if list(table.columns) not in (["ID", LOGIT], ["ID", LOGIT, ONE_VIEW]):
        raise InputError(f"{path}: columns are {list(table.columns)}, expected ID,logit. Delete it and predict again.")
    if len(table) and table["ID"].dtype != np.int64:
        raise InputError(f"{path}: not every ID is a whole number of 64 bits. Delete the file and predict again.")
    table["ID"] = table["ID"].astype(np.int64)
    doubled = table["ID"][table["ID"].duplicated()]
    if len(doubled):
        raise InputError(f"{path}: ID {doubled.iloc[0]} stands there twice. Delete the file and predict again.")
    broken = np.flatnonzero(~np.isfinite(table.to_numpy()).all(axis=1))
    if len(broken):
        raise InputError(
            f"{path}: the logit of ID {table['ID'].iloc[broken[0]]} is not a finite number. Predict again."
        )
    return table.set_index("ID")
