"""Which objects a cascade keeps, and where the others stand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from lensfold.config import CascadeSettings
from lensfold.ensemble.cascade import below, cascade_oof, cascaded, survey_weights, within
from lensfold.runs.cascade import best

LOGITS = st.floats(-300, 300, allow_subnormal=False)


@st.composite
def split(draw) -> tuple[pd.Series, pd.Series]:
    """A first run's logits by ID, and the members' of the best of them."""
    n = draw(st.integers(1, 40))
    values = st.one_of(LOGITS, st.sampled_from([-1.0, 0.0, 1.0]))
    ids = draw(st.permutations(range(1, n + 1)))
    first = pd.Series(draw(st.lists(values, min_size=n, max_size=n)), index=ids)
    kept = best(first, draw(st.integers(1, n)))
    return first, pd.Series(draw(st.lists(LOGITS, min_size=len(kept), max_size=len(kept))), kept)


@given(split())
def test_those_not_kept_stand_below_in_the_first_runs_order(made):
    first, combined = made
    logits = cascaded(first, combined)
    assert logits.index.equals(first.index) and logits[combined.index].equals(combined)
    rest = first.drop(combined.index)
    if len(rest):
        assert rest.max() <= first[combined.index].min()
        probabilities = pd.Series(expit(logits.to_numpy()), logits.index)
        assert probabilities[rest.index].max() < probabilities[combined.index].min()
        assert (probabilities[rest.index] > 0).all()
        ordered = rest.sort_values(kind="stable")
        steps = np.diff(logits[ordered.index])
        assert ((steps > 0) == (np.diff(ordered) > 0)).all() and (steps >= 0).all()


@given(split(), st.integers(1, 40))
def test_more_are_kept_by_adding_to_those_kept(made, count):
    first, _ = made
    few, more = best(first, count), best(first, count + 1)
    assert few.isin(more).all() and len(few) == min(count, len(first)) and few.is_monotonic_increasing


def test_of_equal_scores_the_lower_id_is_kept():
    assert best(pd.Series([1.0, 2.0, 1.0, 1.0], index=[9, 4, 7, 3]), 2).tolist() == [3, 4]


def test_a_gap_keeps_the_two_kinds_apart_in_few_digits():
    """However certain the members are of the last object that they score."""
    for lowest in (30.0, 0.0, -30.0):
        highest = below(np.arange(1000.0), lowest).max()
        assert float(f"{expit(highest):.3g}") < float(f"{expit(lowest):.3g}")


@pytest.mark.parametrize(
    ("keep", "least", "objects", "count"),
    [
        (0.05, 1, 1000, 50),
        (0.07, 1, 100, 7),
        (0.05, 100, 1000, 100),
        (0.05, 100, 30, 30),
        (1, 1, 7, 7),
        (0.05, 1, 21, 2),
    ],
)
def test_the_share_is_rounded_up_and_has_a_least_number(keep, least, objects, count):
    assert CascadeSettings(first="a", keep=keep, least=least).count(objects) == count


def test_lenses_count_as_many_as_a_survey_has():
    y = np.array([1.0, 1, 1, 0, 0, np.nan])
    weights = survey_weights(y, 0.2)
    assert weights[:3].sum() / weights.sum() == pytest.approx(0.2) and weights[5] == 0 and (weights[3:5] == 1).all()
    assert survey_weights(np.array([0.0, 0]), 0.2).tolist() == [1, 1]


def test_a_share_of_the_weight_is_taken_from_the_top():
    scores, weights = np.array([3.0, 5, 4, 1, 2]), np.array([1.0, 1, 1, 1, 0])
    assert within(scores, weights, 0.5).tolist() == [False, True, True, False, False]
    assert within(scores, weights, 0.51).tolist() == [True, True, True, False, False]
    assert within(scores, weights, 1).all()


def made_oof(n: int = 4000) -> tuple[pd.Series, pd.DataFrame, np.ndarray]:
    """A first run that knows half of what the full ensemble knows; half of the objects are lenses."""
    generator = np.random.default_rng(0)
    y = (np.arange(n) % 2).astype(float)
    common = 3 * y + generator.normal(size=n)
    ids = pd.RangeIndex(1, n + 1)
    full = pd.DataFrame({"logit": common, "fold": np.arange(n) // 2 % 4}, index=ids)
    return pd.Series(common + generator.normal(size=n), ids), full, y


def test_the_cut_is_where_a_survey_has_it_in_every_fold():
    first, full, y = made_oof()
    found = cascade_oof(first, full, y, 0.1, 1e-6)
    for fold in range(4):
        own = (full["fold"] == fold).to_numpy()
        threshold = np.sort(first[own & (y == 0)])[-50]  # with next to no lenses a tenth of the 500 others
        assert (found.kept[own] == (first[own] >= threshold)).all()
        assert (found.top & own & (y == 0)).sum() == 5
    top = found.top & (y == 0)
    assert found.top_kept == pytest.approx((top & found.kept).sum() / top.sum(), abs=1e-3)
    assert found.logits[found.kept].equals(full["logit"][found.kept])


def test_a_cascade_that_keeps_everything_is_the_full_ensemble():
    first, full, y = made_oof(200)
    y[:10] = np.nan
    found = cascade_oof(first, full, y, 1, 1 / 2000)
    assert found.logits.equals(full["logit"]) and found.top_kept == 1 and found.kept.all()
