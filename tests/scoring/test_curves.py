"""The numbers of a report against scikit-learn, scipy and counting by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from lensfold.errors import InputError
from lensfold.scoring import curves as stats

FEW_VALUES = st.integers(-4, 4).map(float)


@st.composite
def predictions(draw):
    """Labels of both classes and logits with ties."""
    n = draw(st.integers(2, 60))
    y = draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])))
    y[0], y[-1] = 0.0, 1.0
    return y, draw(arrays(np.float64, n, elements=FEW_VALUES))


@given(predictions())
@settings(max_examples=100, deadline=None)
def test_curve_is_that_of_scikit_learn(data):
    y, s = data
    whole = stats.curve(y, s)
    false, true, thresholds = roc_curve(y, s, drop_intermediate=False)
    np.testing.assert_allclose(whole.false_rate, false[1:])
    np.testing.assert_allclose(whole.recall, true[1:])
    np.testing.assert_array_equal(whole.threshold, thresholds[1:])
    precision, recall, _ = precision_recall_curve(y, s)
    np.testing.assert_allclose(whole.precision, precision[-2::-1])
    np.testing.assert_allclose(whole.recall, recall[-2::-1])


@given(st.integers(0, 5000), st.integers(1, 5000))
@settings(max_examples=60, deadline=None)
def test_wilson_is_that_of_scipy(successes, trials):
    successes = min(successes, trials)
    low, high = stats.wilson(successes, trials)
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert (low, high) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))


def test_wilson_without_a_trial_is_nan():
    low, high = stats.wilson([0, 3], [0, 10])
    assert np.isnan([low[0], high[0]]).all() and np.isfinite([low[1], high[1]]).all()


@given(predictions(), st.integers(2, 8))
@settings(max_examples=80, deadline=None)
def test_reliability_bins_hold_every_object_once(data, bins):
    y, s = data
    rows = stats.reliability(y, expit(s), bins)
    n, predicted, observed = (np.array([row[key] for row in rows]) for key in ("n", "predicted", "observed"))
    assert n.sum() == len(y) and (n * observed).sum() == pytest.approx(y.sum())
    assert len(rows) <= bins and (n > 0).all() and (np.diff(predicted) > 0).all()
    assert (predicted * n).sum() == pytest.approx(expit(s).sum())
    for row, after in zip(rows, rows[1:], strict=False):
        assert row["from"] <= row["to"] < after["from"]


def test_reliability_bins_are_of_equal_numbers():
    s = np.random.default_rng(0).normal(size=1200)
    assert [row["n"] for row in stats.reliability(s > 0, expit(s), 12)] == [100] * 12


def test_reliability_against_scikit_learn():
    generator = np.random.default_rng(0)
    logits = generator.normal(0.3, 1.5, 2000)
    p = expit(logits)
    y = (generator.random(2000) < p).astype(float)
    rows = stats.reliability(y, p, 10)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([row["observed"] for row in rows], observed)
    np.testing.assert_allclose([row["predicted"] for row in rows], predicted)
    assert sum(row["n"] for row in rows) == 2000
    outside = [not row["low"] <= row["predicted"] <= row["high"] for row in rows]
    assert sum(outside) <= 2  # the model is calibrated: one in twenty


def test_reliability_by_hand():
    rows = stats.reliability([0, 1, 1], [0.0, 1.0, 0.5], bins=2)
    expected = binomtest(0, 1).proportion_ci(0.95, method="wilson")
    interval = {"low": pytest.approx(expected.low, abs=1e-12), "high": pytest.approx(expected.high)}
    assert rows[0] == {"from": 0.0, "to": 0.0, "n": 1, "predicted": 0.0, "observed": 0.0, **interval}
    assert rows[1]["n"] == 2 and rows[1]["predicted"] == 0.75 and (rows[1]["from"], rows[1]["to"]) == (0.5, 1.0)
    assert [row["n"] for row in stats.reliability([0, 1, 1], [0.2, 0.2, 0.2])] == [3]
    assert json.loads(json.dumps(rows)) == rows
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        stats.reliability([0, 1], [0.1, 1.2])


@given(predictions(), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_threshold_is_the_lowest_that_keeps_the_rate(data, rate):
    y, s = data
    threshold = stats.threshold_at_rate(y, s, rate)
    assert np.mean(s[y == 0] >= threshold) <= rate
    lower = s[s < threshold]
    assert not len(lower) or np.mean(s[y == 0] >= lower.max()) > rate


def test_rates_without_non_lenses_behind_them_are_left_out():
    assert stats.usable_rates(100_000) == [0.1, 0.01, 0.001]
    assert stats.usable_rates(1999) == [0.1, 0.01]
    assert stats.usable_rates(3) == [0.1]


def test_recall_in_bins_counts():
    shares = stats.recall_in_bins([3.0, 1.0, 2.0, 2.0], [0, 0, 2, 2], 4, 2.0)
    assert shares.trials.tolist() == [2, 0, 2, 0] and shares.successes.tolist() == [1, 0, 2, 0]
    assert shares.share[0] == 0.5 and np.isnan(shares.share[1]) and shares.share[2] == 1


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_cuts_are_exact(data):
    y, s = data
    told = stats.cuts(y, s)
    assert told["lenses"] == y.sum() and told["others"] == len(y) - y.sum()
    thresholds = [row[0] for row in told["cuts"]]
    assert thresholds == sorted(set(thresholds), reverse=True)
    for threshold, true, false in told["cuts"]:
        assert (true, false) == (np.sum(y[s >= threshold]), np.sum(1 - y[s >= threshold]))


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_the_best_cuts_are_the_best_of_all(data):
    y, s = data
    told = stats.cuts(y, s)
    for name, weight in (("best_f1", 1.0), ("best_f_beta", 0.001)):
        values = []
        for threshold in np.unique(s):
            true, called = y[s >= threshold].sum(), (s >= threshold).sum()
            values.append((1 + weight) * true / (weight * y.sum() + called))
        _, true, false = told["cuts"][told[name]]
        assert (1 + weight) * true / (weight * y.sum() + true + false) == pytest.approx(max(values))


def test_many_objects_are_thinned_to_few_cuts_with_the_first_and_last():
    generator = np.random.default_rng(1)
    y = (generator.random(50_000) < 0.3).astype(float)
    s = y + generator.normal(size=len(y))
    told = stats.cuts(y, s)
    assert 300 < len(told["cuts"]) <= stats.CUTS + 2
    assert told["cuts"][0][0] == s.max() and told["cuts"][-1][1:] == [y.sum(), len(y) - y.sum()]
    whole = stats.curve(y, s)
    thin = whole.thinned(600)
    assert len(thin.threshold) <= 600 and thin.threshold[-1] == s.min()
    assert thin.threshold[:200].tolist() == whole.threshold[:200].tolist()
    # what is left out is nowhere far from what is kept
    assert np.max(np.abs(np.interp(whole.false_rate, thin.false_rate, thin.recall) - whole.recall)) < 0.02
