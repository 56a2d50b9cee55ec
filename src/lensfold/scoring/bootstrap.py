"""Bootstrap: how often each object is drawn, intervals of what many draws give, and the difference of two scores.

A draw is a row of weights: how often each object was drawn. Two predictions of the same objects are compared on the
same draws, so that what both find hard moves neither (paired bootstrap, Efron & Tibshirani 1993).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensfold.errors import InputError

Floats = NDArray[np.float64]
Estimates = dict[str, Floats]

#: limits of an interval in per cent: the central 95 %
INTERVAL = (2.5, 97.5)
#: draws behind a reported interval
DRAWS = 1000
# weights in memory at once: 4 MiB an array, so that they stay in the processor's cache
_VALUES_AT_ONCE = 500_000


def drawn_estimates(
    estimates: Callable[[Floats], Estimates],
    strata: Sequence[NDArray[np.int64]],
    units: NDArray[np.int64] | None,
    n: int,
    draws: int,
    seed: int,
) -> Estimates:
    """Return ``estimates`` of ``draws`` bootstrap draws of ``n`` objects: each name with an array of shape (draws,).

    ``estimates`` gets weights (float64, shape (some draws, n)). Each of ``strata`` (row numbers) is drawn separately,
    as many objects as it has; where ``units`` (unit of each row, 0, 1, ...) is given, whole units are drawn instead. An
    empty dict for no draws. How much is computed at once only changes rounding.
    """
    if draws < 1:
        return {}
    # One generator a stratum, so that the draws do not depend on how many are computed at once.
    count = 1 if units is not None else len(strata)
    generators = [np.random.default_rng(np.random.SeedSequence([seed, 0, number])) for number in range(count)]
    at_once = max(1, _VALUES_AT_ONCE // n)
    parts = []
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        if units is not None:
            weights = _counts(generators[0], size, int(units.max()) + 1)[:, units].astype(np.float64)
        else:
            weights = np.zeros((size, n))
            for rows, generator in zip(strata, generators, strict=True):
                weights[:, rows] = _counts(generator, size, len(rows))
        parts.append(estimates(weights))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _counts(generator: np.random.Generator, draws: int, n: int) -> NDArray[np.int64]:
    """How often each of ``n`` is among ``n`` drawn with replacement, shape (draws, n)."""
    drawn = generator.integers(0, n, size=(draws, n))
    drawn += n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n)


def interval(value: Floats, drawn: Floats | None) -> dict[str, float | None]:
    """Return ``value`` (shape (1,)) with the INTERVAL of ``drawn`` (shape (draws,)), ready for JSON; None for NaN."""
    if np.isnan(value[0]):
        return {"value": None, "low": None, "high": None}
    defined = np.empty(0) if drawn is None else drawn[np.isfinite(drawn)]
    low, high = np.percentile(defined, INTERVAL).tolist() if len(defined) else (None, None)
    return {"value": float(value[0]), "low": low, "high": high}


def difference(value: Floats, drawn: Floats | None) -> dict[str, float | None]:
    """Return the `interval` of a difference, its standard error and ``above``, the share of draws above 0 (ties half).

    The standard error is the standard deviation of the draws; both are None without draws that are defined.
    """
    defined = np.empty(0) if drawn is None else drawn[np.isfinite(drawn)]
    if np.isnan(value[0]) or not len(defined):
        return {**interval(value, drawn), "error": None, "above": None}
    above = float(np.mean(defined > 0) + 0.5 * np.mean(defined == 0))
    return {**interval(value, drawn), "error": float(defined.std()), "above": above}


def ratio(above: Floats, below: Floats) -> Floats:
    """Return the quotient, NaN where ``below`` is 0."""
    result = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    return np.divide(above, below, out=result, where=np.broadcast_to(below, result.shape) != 0)


def checked_numbers(name: str, numbers: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return ``numbers`` as int64; raise InputError, calling them ``name``, unless they are ``n`` whole numbers."""
    values = np.asarray(numbers)
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and np.all(values == np.floor(values)))
    if values.shape != (n,) or not whole:
        raise InputError(f"{name} of shape {values.shape}, dtype {values.dtype}: expected {n} whole numbers.")
    return values.astype(np.int64)
