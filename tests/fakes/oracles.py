"""Scores by scikit-learn, against which our own are held."""

import numpy as np
from sklearn import metrics


def recall_below(y: np.ndarray, s: np.ndarray, n: int) -> float:
    """The largest recall of all cuts with fewer than ``n`` (at least one) false positives; 0 where none has."""
    false, true, _ = metrics.roc_curve(y, s, drop_intermediate=False)
    others = np.sum(np.asarray(y) == 0)
    return float(true[np.rint(false * others) < max(n, 1)].max(initial=0.0))


def f_beta_loss(y: np.ndarray, s: np.ndarray, threshold: float, beta_squared: float) -> float:
    """1 - F_beta where everything from ``threshold`` up is called a lens."""
    return 1 - float(metrics.fbeta_score(y, np.asarray(s) >= threshold, beta=beta_squared**0.5, zero_division=0))
