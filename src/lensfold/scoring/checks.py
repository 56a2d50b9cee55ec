"""Labels and scores as float64, or an InputError that says what is wrong with them.

Everywhere ``y`` is labels (0 non-lens, 1 lens) and ``s`` scores, each of shape (n,).
"""

import numpy as np
from numpy.typing import ArrayLike

from lensfold.errors import InputError
from lensfold.scoring.bootstrap import Floats


def checked_probabilities(p: ArrayLike) -> Floats:
    """Return ``p`` as float64; raise InputError unless all lie in [0, 1]."""
    p = checked_scores(p)
    wrong = p[(p < 0) | (p > 1)]
    if len(wrong):
        raise InputError(f"{len(wrong)} of {len(p)} probabilities lie outside [0, 1] (first: {wrong[0]:g}).")
    return p


def checked(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    """Return both as float64; raise InputError for unequal lengths, scores that are not finite, other labels."""
    s = checked_scores(s)
    y = np.asarray(y, dtype=np.float64)
    if y.shape != s.shape:
        raise InputError(f"{y.size} labels for {s.size} scores.")
    if not np.isin(y, (0, 1)).all():
        raise InputError("labels must be 0 or 1; leave dropped objects out first.")
    return y, s


def both_classes(y: ArrayLike, s: ArrayLike) -> tuple[Floats, Floats]:
    """Return what `checked` does; raise InputError for a single class."""
    y, s = checked(y, s)
    lenses = int(y.sum())
    if lenses in (0, len(y)):
        raise InputError(f"{lenses} lenses and {len(y) - lenses} non-lenses: both classes are needed.")
    return y, s


def checked_scores(s: ArrayLike) -> Floats:
    """Return ``s`` as float64; raise InputError unless it is a row of at least one finite number."""
    s = np.asarray(s, dtype=np.float64)
    if s.ndim != 1 or s.size == 0:
        raise InputError(f"scores of shape {s.shape}: expected one number per object, at least one.")
    if wrong := int(np.sum(~np.isfinite(s))):
        raise InputError(f"{wrong} of {s.size} scores are NaN or infinite. Was the model trained?")
    return s
