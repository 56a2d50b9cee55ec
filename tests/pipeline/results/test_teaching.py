"""Where the boundary is that objects are near to."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from lensfold.pipeline.results.teaching import _from_boundary

LOGITS = np.array([3.0, 1.0, 0.0, -2.0])


@pytest.mark.parametrize(
    ("purity", "expected"),
    [
        ([0.9, 0.5, 0.4, 0.1], [2, 0, 1, 3]),  # half are lenses down to the second
        ([0.3, 0.2, 0.1, 0.0], [0, 2, 3, 5]),  # never half: the first
        ([np.nan] * 4, [3, 1, 0, 2]),  # not known
    ],
)
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_distance_from_the_cut(purity, expected, score):
    content = {"settings": {"combine": "logit-mean", "score": score}, "trained_on": "p"}
    table = pd.DataFrame({"score": LOGITS if score == "logit" else expit(LOGITS), "purity_on_p": purity})
    np.testing.assert_allclose(_from_boundary(table, content), expected, atol=1e-9)
    assert _from_boundary(table, {**content, "settings": {"combine": "rank-mean"}}) is None
