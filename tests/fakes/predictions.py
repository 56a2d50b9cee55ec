"""Made-up labels, scores and folds: drawn by hypothesis, and of a model with a known AUC."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

#: Few distinct values make ties; the others make none.
# TensorFlow, once imported in the same process, flushes subnormal numbers to zero; scores never are that small
SCORES = st.one_of(
    st.sampled_from([-2.0, -0.5, 0.0, 0.5, 3.0]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(-1e308, 1e308, allow_subnormal=False),
)


@st.composite
def predictions(draw, folds: int = 1, least: int = 2, most: int = 40):
    """Labels with both classes, scores with and without ties, fold numbers."""
    n = draw(st.integers(least, most))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    assume(0 < y.sum() < n)
    s = np.array(draw(st.lists(SCORES, min_size=n, max_size=n)))
    fold = np.array(draw(st.lists(st.integers(0, folds - 1), min_size=n, max_size=n)))
    return y, s, fold


def made(n: int, seed: int = 0, folds: int = 5, shift: float = 1.0):
    """Scores of a model with a known AUC: normal(shift) for lenses against normal(0), rounded to make ties."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    s = np.round(generator.normal(shift * y, 1.0), 2)
    return y, s, generator.integers(0, folds, n)
