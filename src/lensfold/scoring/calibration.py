"""Probabilities that mean what they say: logits scaled so that of objects with p = 0.8 about 80 % are lenses.

Everywhere ``y`` is labels (0 non-lens, 1 lens) and logits are float64, of shape (n,). A calibration rises with the
logit, so it never changes the ranking. It has to be fitted on other objects than it is judged on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from lensfold.errors import InputError
from lensfold.scoring.bootstrap import Floats
from lensfold.scoring.checks import both_classes

CalibrationMethod = Literal["none", "temperature", "platt"]


@dataclass(frozen=True)
class Calibration:
    """A calibrated logit is slope x logit + offset; the slope is one over the temperature."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, logits: ArrayLike) -> Floats:
        """Return calibrated logits, of the same shape."""
        return self.slope * np.asarray(logits, dtype=np.float64) + self.offset


def fit_calibration(method: CalibrationMethod, y: ArrayLike, logits: ArrayLike) -> Calibration:
    """Return the calibration with the least log loss on these objects; "none" leaves logits as they are.

    "temperature" fits the slope (Guo et al. 2017), "platt" the offset too; both with the targets of Platt 1999,
    (N1 + 1) / (N1 + 2) for lenses and 1 / (N0 + 2) for the others, which keep the slope finite where a cut separates
    the classes. Raises InputError for a single class, and where the slope would not be positive.
    """
    if method == "none":
        return Calibration()
    y, logits = both_classes(y, logits)
    lenses, others = y.sum(), (1 - y).sum()
    targets = np.where(y == 1, (lenses + 1) / (lenses + 2), 1 / (others + 2))
    slopes, offset = fit_logistic(logits[:, None], targets, with_offset=method == "platt")
    if slopes[0] <= 0:
        raise InputError(
            f'calibrate = "{method}": the logits do not rank lenses above non-lenses (the best slope is '
            f'{slopes[0]:.3g}), so calibrating would turn the ranking round. Write calibrate = "none".'
        )
    return Calibration(float(slopes[0]), offset)


def fit_logistic(
    features: Floats, targets: Floats, *, with_offset: bool = True, penalty: float = 0.0, least: float = -np.inf
) -> tuple[Floats, float]:
    """Return slopes (m,) and offset of the logistic regression with the least mean log loss + penalty x |slopes|² / 2.

    ``features``: (n, m), ``targets``: shares in [0, 1], (n,). No slope is below ``least`` (0 for a non-negative fit).
    The penalty is on slopes of features scaled to unit standard deviation, so their units do not matter.
    """
    middle = features.mean(axis=0) if with_offset else np.zeros(features.shape[1])
    scale = features.std(axis=0)
    scale[scale == 0] = 1.0
    scaled = np.append((features - middle) / scale, np.full((len(features), 1), float(with_offset)), axis=1)
    penalties = np.append(np.full(features.shape[1], penalty), 0.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = scaled @ parameters
        value = np.mean(np.logaddexp(0, z) - targets * z) + 0.5 * np.sum(penalties * parameters**2)
        return value, scaled.T @ (expit(z) - targets) / len(z) + penalties * parameters

    bounds = [(least, None)] * features.shape[1] + [(None, None)]
    found = minimize(
        loss,
        np.zeros(scaled.shape[1]),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    slopes = found.x[:-1] / scale
    return slopes, float(found.x[-1] - slopes @ middle) if with_offset else 0.0
