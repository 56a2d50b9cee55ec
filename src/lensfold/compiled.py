"""How inner loops are compiled (numba): those of the simulator, and those that prepare batches to train on.

Numba keeps compiled code on disk, and watches for each function only the file that it stands in: one that calls a
kernel, or uses a constant, of another file would stay as it was when that file changes. So the kernels of one file
neither call those of another nor share constants with them; a table's length is taken from its shape. Delete
``__pycache__`` after changing the options here.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled on first use, without Python's lock while it runs.

    It is kept on disk where numba finds a place that it can write to.
    """
    try:
        return njit(function, cache=True, fastmath=True, error_model="numpy", nogil=True)
    except RuntimeError:  # numba: no locator available
        return njit(function, fastmath=True, error_model="numpy", nogil=True)
