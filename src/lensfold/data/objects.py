"""The table beside a pack of people's own cutouts: which ID is which of their objects."""

from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.errors import InputError
from lensfold.files import check_file
from lensfold.frames import BANDS
from lensfold.paths import objects_file

#: what is text, whatever it looks like: names of 18 digits are no numbers
_TEXT = ("name", "file", "flags")
#: ID; name; file (of VIS, as it was given); ra, dec (ICRS degrees of the VIS frame's middle); offset (arcsec of it from
#: the delivered image's middle); bad_<band> (share of the delivered pixels in the frame without a measurement; empty
#: where the pack lacks the band); flags (what a person should know before believing a score, "; " between them)
COLUMNS = ("ID", "name", "file", "ra", "dec", "offset", *(f"bad_{band}" for band in BANDS), "flags")


def read_objects(folder: Path) -> pd.DataFrame:
    """Return ``objects.csv`` of a pack's folder: ID int64; name, file and flags text; the others float64.

    Columns that the file lacks are empty. Raises InputError where it is absent or no such table.
    """
    path = objects_file(folder)
    try:
        # an object may be called NA or nan: only numbers may be missing
        missing = {name: [""] for name in COLUMNS if name not in (*_TEXT, "ID")}
        types = dict.fromkeys(_TEXT, str) | {"ID": np.int64}
        check_file(path)
        table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing)
        if "ID" not in table:
            raise ValueError("no column ID")
        absent = {name: "" if name in _TEXT else np.nan for name in COLUMNS if name not in table}
        return table.assign(**absent)[list(COLUMNS)]
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path}: not a table of objects ({error}), expected the columns {', '.join(COLUMNS[:5])}. Import again."
        ) from error
