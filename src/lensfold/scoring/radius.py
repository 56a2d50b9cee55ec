"""How well Einstein radii are predicted: squared errors in arcsec², and the factor that a network's radius needs.

Everywhere ``truth`` (positive) and ``predicted`` (not negative) are radii theta_E in arcsec, of shape (n,), only of
lenses: the radius of an object that is no lens cannot be seen in its image.

A network learns the logarithm. Where log theta_E scatters by s about a prediction mu, the mean of theta_E, which has
the least squared error, is exp(mu + s²/2) and not exp(mu). So p = exp(mu) is multiplied by the factor with the least
squared error, sum(t p) / sum(p²); for a score it comes from lenses of **other** folds, one factor a fold.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensfold.errors import InputError
from lensfold.scoring.bootstrap import DRAWS, Floats, checked_numbers, drawn_estimates, interval, ratio
from lensfold.scoring.metrics import BIN_COUNT

#: A predicted log theta_E beyond this, either way, is of no sky: the network has diverged.
LARGEST_LOG = 50.0

#: What is averaged over lenses: squared error, squared error of the best constant, squared relative error.
_SQUARES = ("mse", "mse_constant", "relative")


def radii_of_logs(logs: ArrayLike) -> Floats:
    """Return theta_E in arcsec from its natural logarithm, float64, shape (n,).

    Raises InputError for a logarithm that is not finite or beyond LARGEST_LOG.
    """
    logs = np.asarray(logs, dtype=np.float64)
    wrong = ~(np.abs(logs) <= LARGEST_LOG)
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum())} of {logs.size} predicted log Einstein radii are no radius (first: "
            f"{logs[wrong][0]:g}); expected numbers between -{LARGEST_LOG:g} and {LARGEST_LOG:g}. Did the training "
            "diverge? Train again with a lower learning_rate."
        )
    return np.exp(logs)


def correction_factor(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the factor f with the least squared error of f x predicted: sum(t p) / sum(p²).

    Raises InputError for no lens, unequal lengths, wrong radii, and where every prediction is 0.
    """
    truth, predicted = _checked(truth, predicted)
    if not predicted.any():
        raise InputError(f"all {len(predicted)} predicted Einstein radii are 0: no factor corrects them.")
    return float(truth @ predicted / (predicted @ predicted))


def fitting_parts(fold: ArrayLike, seed: int = 0) -> tuple[NDArray[np.int64], str]:
    """Return parts (int64, shape (n,)) of which each takes what it needs from the others, and their description.

    They are the folds; where all lenses are in one fold, its two halves drawn by ``seed``.
    Raises InputError for fewer than two lenses.
    """
    fold = checked_numbers("fold", fold, np.size(fold))
    if len(fold) < 2:
        raise InputError(f"{len(fold)} lenses with an Einstein radius: at least 2 are needed for a score.")
    if len(np.unique(fold)) > 1:
        return fold, "other folds"
    order = np.random.default_rng(np.random.SeedSequence([seed, 1])).permutation(len(fold))
    return order % 2, "the other half of the only fold"


def cross_fitted_radii(truth: ArrayLike, predicted: ArrayLike, parts: ArrayLike) -> Floats:
    """Return ``predicted`` times the factor of the other parts, shape (n,).

    Raises InputError as `correction_factor` does, and for a single part.
    """
    truth, predicted = _checked(truth, predicted)
    return predicted * _of_other_parts(parts, len(truth), lambda rows: correction_factor(truth[rows], predicted[rows]))


def cross_fitted_constants(truth: ArrayLike, parts: ArrayLike) -> Floats:
    """Return the mean radius of the other parts, shape (n,): the best answer of someone who looks at no image.

    Raises InputError for wrong radii and for a single part.
    """
    truth, _ = _checked(truth, truth)
    return _of_other_parts(parts, len(truth), lambda rows: float(truth[rows].mean()))


def _of_other_parts(parts: ArrayLike, n: int, statistic: Callable[[NDArray[np.bool_]], float]) -> Floats:
    """For each row the ``statistic`` of all rows outside its own part, shape (n,)."""
    parts = checked_numbers("parts", parts, n)
    numbers, place = np.unique(parts, return_inverse=True)
    if len(numbers) < 2:
        raise InputError(f"one part only ({numbers[0]}): factor and constant must come from other parts.")
    return np.array([statistic(parts != number) for number in numbers])[place]


def radius_table(
    truth: ArrayLike,
    predicted: ArrayLike,
    fold: ArrayLike,
    *,
    sizes: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    calibrate: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, object]:
    """Return all scores of predicted Einstein radii, ready for JSON.

    ``fold``, ``sizes`` (size bins), ``groups`` (halo numbers), ``draws``, ``seed``: as in `score_table`.
    ``calibrate``: multiply each fold by the factor of the other folds; not for radii that were multiplied before.

    ``mse`` is the mean squared error in arcsec²; ``mse_constant`` that of the mean radius of the other folds, and
    ``relative_rms`` the root of the mean squared (predicted - truth) / truth: each ``{"value", "low", "high"}`` with
    the central 95 % of the bootstrap over objects or groups, factors and constants held fixed. ``median_error`` is the
    median of abs(predicted - truth) in arcsec. ``mse_by_size``: a list of the same MSE and constant (``n`` lenses) by
    bin. ``factor`` is that of all lenses, for objects of no fold. ``fitted_on`` says where factors and constants are
    from: where all lenses are in one fold, its other half.
    Raises InputError for fewer than two lenses, unequal lengths, and radii that are wrong.
    """
    fold = checked_numbers("fold", fold, np.size(truth))
    parts, fitted_on = fitting_parts(fold, seed)
    truth, predicted = _checked(truth, predicted)
    factor = correction_factor(truth, predicted) if calibrate else None
    if calibrate:
        predicted = cross_fitted_radii(truth, predicted, parts)
    sizes = None if sizes is None else checked_numbers("sizes", sizes, len(truth))
    squares = _squares(truth, predicted, cross_fitted_constants(truth, parts))
    scores = _scores(_unit_sums(squares, sizes, groups), draws, seed)
    return {
        "n": len(truth),
        "folds": np.unique(fold).tolist(),
        "fitted_on": fitted_on,
        "bootstrap": {"draws": draws, "seed": seed, "over": "objects" if groups is None else "haloes"},
        "factor": factor,
        **scores,
        "mse_by_size": None if sizes is None else scores["mse_by_size"],
        "median_error": float(np.median(np.abs(predicted - truth))),
    }


def _squares(truth: Floats, predicted: Floats, constant: Floats) -> Floats:
    """What is summed for each lens, shape (n, 4): one, and the _SQUARES."""
    return np.stack(
        [np.ones(len(truth)), (predicted - truth) ** 2, (constant - truth) ** 2, (predicted / truth - 1) ** 2], axis=1
    )


def _unit_sums(squares: Floats, sizes: NDArray[np.int64] | None, groups: ArrayLike | None) -> Floats:
    """Sums over the lenses of each unit that is drawn, shape (units, selections, 4); selections: all, each size bin."""
    n = len(squares)
    chosen = np.ones((n, 1 + BIN_COUNT))
    chosen[:, 1:] = 0.0 if sizes is None else sizes[:, None] == np.arange(BIN_COUNT)
    units = np.arange(n) if groups is None else np.unique(checked_numbers("groups", groups, n), return_inverse=True)[1]
    sums = np.zeros((int(units.max()) + 1, chosen.shape[1], squares.shape[1]))
    np.add.at(sums, units, chosen[:, :, None] * squares[:, None, :])
    return sums


def _scores(sums: Floats, draws: int, seed: int) -> dict[str, object]:
    """Means with their intervals, of all lenses and of each size bin."""
    value, drawn = _means(sums, np.ones((1, len(sums)))), _drawn_means(sums, draws, seed)
    table = [
        {name: interval(value[:, i, j], drawn[:, i, j]) for j, name in enumerate(_SQUARES)}
        for i in range(sums.shape[1])
    ]
    relative = {key: None if square is None else square**0.5 for key, square in table[0]["relative"].items()}
    counts = sums[:, 1:, 0].sum(axis=0)
    bins = [
        {"bin": i, "n": int(counts[i]), **row["mse"], "constant": row["mse_constant"]["value"]}
        for i, row in enumerate(table[1:])
    ]
    return {
        "mse": table[0]["mse"],
        "mse_constant": table[0]["mse_constant"],
        "relative_rms": relative,
        "mse_by_size": bins,
    }


def _means(sums: Floats, weights: Floats) -> Floats:
    """Means, shape (draws, selections, 3), from the sums of each unit and how often each is drawn, (draws, units)."""
    total = np.tensordot(weights, sums, axes=1)
    return ratio(total[..., 1:], total[..., :1])


def _drawn_means(sums: Floats, draws: int, seed: int) -> Floats:
    """The means of ``draws`` draws of all units with replacement, shape (draws, selections, 3)."""
    units = [np.arange(len(sums))]
    drawn = drawn_estimates(lambda weights: {"means": _means(sums, weights)}, units, None, len(sums), draws, seed)
    return drawn.get("means", np.empty((0, sums.shape[1], len(_SQUARES))))


def _checked(truth: ArrayLike, predicted: ArrayLike) -> tuple[Floats, Floats]:
    truth, predicted = (np.asarray(values, dtype=np.float64) for values in (truth, predicted))
    if truth.ndim != 1 or truth.size == 0 or truth.shape != predicted.shape:
        raise InputError(f"{predicted.size} predicted radii for {truth.size} lenses: expected one each, at least one.")
    for name, values, possible, expected in (
        ("true", truth, truth > 0, "more than 0"),
        ("predicted", predicted, predicted >= 0, "at least 0"),
    ):
        wrong = ~(possible & np.isfinite(values))
        if wrong.any():
            raise InputError(
                f"{int(wrong.sum())} of {values.size} {name} Einstein radii are wrong (first: {values[wrong][0]:g}); "
                f"expected {expected} arcsec and finite. Leave objects without a radius out first."
            )
    return truth, predicted
