"""A classifier that must tell two packs apart from features of a frozen network: what it cannot tell looks alike."""

import numpy as np
from numpy.typing import NDArray

from lensfold.scoring.metrics import fold_ranks
from lensfold.scoring.score_table import auc_over_objects

#: parts that the objects are divided into; each is judged by what was learnt from the others
FOLDS = 5
#: objects of a side below which the probe is not asked
LEAST = 25
#: inverse strength of the penalty on the weights of the standardised features, of which there are more than objects
PENALTY = 1e-3


def probe(real: NDArray[np.float32], simulated: NDArray[np.float32], seed: int = 1) -> dict[str, float | None]:
    """Return the AUC with its 95 % interval over objects, ``{"value", "low", "high"}``, of telling the two apart.

    ``real``, ``simulated``: features, shape (n, features), at least LEAST objects each. Logistic regression on
    standardised features, judged on other objects than it learnt from, by ranks within each part. 0.5: it cannot.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.concatenate([real, simulated]).astype(np.float64)
    y = np.repeat([0, 1], [len(real), len(simulated)])
    part, scores = np.empty(len(y), dtype=np.int64), np.empty(len(y))
    for number, (learnt, judged) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y)):
        model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=300)
        classifier = make_pipeline(StandardScaler(), model).fit(x[learnt], y[learnt])
        part[judged], scores[judged] = number, classifier.decision_function(x[judged])
    return auc_over_objects(y, fold_ranks(scores, part))
