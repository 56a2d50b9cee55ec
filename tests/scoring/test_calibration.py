"""Calibration: known temperatures, scikit-learn and scipy as oracles, rankings that stay."""

import numpy as np
import pytest
from fakes.predictions import predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from lensfold.errors import InputError
from lensfold.scoring.calibration import (
    Calibration,
    fit_calibration,
    fit_logistic,
)

CASUAL = settings(deadline=None, max_examples=50)


def honest(n: int = 100_000, seed: int = 0):
    """Labels drawn with the probability that a logit says."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0.3, 1.5, n)
    return (generator.random(n) < expit(logits)).astype(float), logits


def test_known_temperature_and_offset_are_found():
    y, logits = honest()
    temperature = fit_calibration("temperature", y, 4 * logits)
    assert temperature.slope == pytest.approx(0.25, rel=0.02) and temperature.offset == 0
    platt = fit_calibration("platt", y, 4 * logits + 2)
    assert platt.slope == pytest.approx(0.25, rel=0.02) and platt.offset == pytest.approx(-0.5, abs=0.03)
    np.testing.assert_allclose(platt.apply([2.0, 6.0]), platt.slope * np.array([2.0, 6.0]) + platt.offset)


def test_none_changes_nothing():
    assert fit_calibration("none", [0, 0], [1.0, 2.0]) == Calibration(1.0, 0.0)
    assert Calibration().apply([0.1, 1e300]).tolist() == [0.1, 1e300]


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_against_scikit_learn_with_platts_targets(method):
    """A soft target is a weight on each class."""
    y, logits = honest(300, seed=3)
    lenses, others = y.sum(), (1 - y).sum()
    targets = np.where(y == 1, (lenses + 1) / (lenses + 2), 1 / (others + 2))
    model = LogisticRegression(C=np.inf, fit_intercept=method == "platt", tol=1e-10, max_iter=1000)
    doubled = np.tile(logits, 2)[:, None]
    model.fit(doubled, np.repeat([1, 0], 300), sample_weight=np.append(targets, 1 - targets))
    found = fit_calibration(method, y, logits)
    assert found.slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert found.offset == pytest.approx(model.intercept_[0] if method == "platt" else 0, abs=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_of_the_logit_do_not_matter(scale):
    y, logits = honest(500)
    plain, scaled = fit_calibration("platt", y, logits), fit_calibration("platt", y, scale * logits)
    np.testing.assert_allclose(scaled.apply(scale * logits), plain.apply(logits), rtol=1e-4, atol=1e-6)


def test_a_far_away_zero_does_not_matter():
    y, logits = honest(500)
    plain, moved = fit_calibration("platt", y, logits), fit_calibration("platt", y, logits + 1e5)
    np.testing.assert_allclose(moved.apply(logits + 1e5), plain.apply(logits), atol=1e-4)


def test_separated_classes_give_a_finite_slope():
    found = fit_calibration("platt", np.arange(40) >= 20, np.arange(40.0))
    assert 0 < found.slope < 100
    assert expit(found.apply([39.0]))[0] == pytest.approx(21 / 22, abs=0.05)


@CASUAL
@given(predictions(least=4), st.sampled_from(["temperature", "platt"]))
def test_the_ranking_stays(data, method):
    y, s, _ = data
    s = np.clip(s, -30, 30)
    try:
        found = fit_calibration(method, y, s)
    except InputError as error:
        assert "do not rank lenses above" in str(error)
        return
    assert found.slope > 0
    values = np.unique(s)
    assert (np.diff(expit(found.apply(values))) >= 0).all()
    apart = values[np.append(True, np.diff(values) > 1e-6)]
    assert rankdata(found.apply(apart)).tolist() == rankdata(apart).tolist()


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_a_ranking_the_wrong_way_round_is_refused(method):
    y, logits = honest(500)
    with pytest.raises(InputError, match=f'calibrate = "{method}".*ranking round.*calibrate = "none"'):
        fit_calibration(method, y, -logits)
    with pytest.raises(InputError, match="both classes are needed"):
        fit_calibration(method, np.ones(5), np.arange(5.0))


# The logistic fit behind it


def test_penalised_fit_against_scikit_learn():
    generator = np.random.default_rng(4)
    features = generator.normal(size=(400, 3))
    y = (generator.random(400) < expit(features @ [1.0, 0.5, 2.0] - 0.7)).astype(float)
    features /= features.std(axis=0)
    model = LogisticRegression(C=0.1, tol=1e-10).fit(features, y)
    for least in (-np.inf, 0.0):
        slopes, offset = fit_logistic(features, y, penalty=10 / 400, least=least)
        np.testing.assert_allclose(slopes, model.coef_[0], rtol=1e-4)
        assert offset == pytest.approx(model.intercept_[0], abs=1e-4)


def test_bounded_fit_is_the_best_of_all_subsets():
    """Of a convex loss the best non-negative fit is the best of the unbounded fits that are non-negative."""
    generator = np.random.default_rng(5)
    features = generator.normal(size=(300, 4))
    y = (generator.random(300) < expit(features @ [1.0, -0.8, 0.5, -0.3])).astype(float)
    features /= features.std(axis=0)

    def loss(slopes, offset):
        z = features @ slopes + offset
        return np.mean(np.logaddexp(0, z) - y * z) + 0.5 * 0.01 * slopes @ slopes

    best = np.inf
    for chosen in range(1, 16):
        columns = [i for i in range(4) if chosen >> i & 1]
        model = LogisticRegression(C=1 / 3, tol=1e-10).fit(features[:, columns], y)
        slopes = np.zeros(4)
        slopes[columns] = model.coef_[0]
        if (slopes >= 0).all():
            best = min(best, loss(slopes, model.intercept_[0]))
    slopes, offset = fit_logistic(features, y, penalty=0.01, least=0.0)
    assert (slopes >= 0).all() and slopes[1] == 0
    assert loss(slopes, offset) == pytest.approx(best, rel=1e-8)


def test_a_constant_member_does_not_break_the_fit():
    y, logits = honest(300)
    slopes, _ = fit_logistic(np.stack([logits, np.full(300, 7.0)], axis=1), y, penalty=1 / 300, least=0.0)
    assert np.isfinite(slopes).all() and slopes[0] > 0.5
