"""Features that see no shape, and how well they tell lenses from the rest: what a label must not be read from."""

import numpy as np
from scipy import ndimage
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from lensfold.frames import BANDS


def trivial_features(images: dict[str, np.ndarray]) -> list[float]:
    """Sums, maxima, noise levels, band ratios and the number of objects; nothing that sees a shape."""
    sums = [float(images[band].sum(dtype=float)) for band in BANDS]
    maxima = [float(images[band].max()) for band in BANDS]
    noise = [float(np.median(np.abs(images[band] - np.median(images[band])))) for band in BANDS]
    vis = images["VIS"]
    bright = ndimage.uniform_filter(vis, 3) > 1.5 * 1.48 * noise[0]
    counts = [ndimage.label(bright)[1], int(bright.sum()), int((vis > 7.4 * noise[0]).sum())]
    ratios = [sums[k] / max(sums[0], 1e-12) for k in (1, 2, 3)] + [maxima[k] / maxima[0] for k in (1, 2, 3)]
    return [*sums, *maxima, *noise, *counts, *ratios]


def leak_auc(features: np.ndarray, lens: np.ndarray) -> float:
    """The larger AUC of logistic regression and boosting, out of fold, on features (n, k) and labels (n,)."""
    normal = QuantileTransformer(n_quantiles=min(100, len(lens) // 2), output_distribution="normal")
    models = (
        make_pipeline(normal, LogisticRegression(C=0.3, max_iter=2000)),
        GradientBoostingClassifier(n_estimators=60, max_depth=3, learning_rate=0.08, subsample=0.7, random_state=0),
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = (cross_val_predict(model, features, lens, cv=folds, method="predict_proba")[:, 1] for model in models)
    return max(float(roc_auc_score(lens, score)) for score in scores)
