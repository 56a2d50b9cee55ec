"""Einstein radii: closed forms, the factor against an optimiser, intervals, refusals."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from lensfold.errors import InputError
from lensfold.scoring import bootstrap, radius
from lensfold.scoring.bootstrap import INTERVAL

CASUAL = settings(deadline=None, max_examples=40)


def made(n: int = 300, seed: int = 0, scatter: float = 0.3, folds: int = 5):
    """Radii like the pack's, the exponential of what an unbiased network says of their logarithm, and folds."""
    generator = np.random.default_rng(seed)
    logs = generator.normal(1.0, 0.4, n)
    truth = np.exp(logs + generator.normal(0, scatter, n))
    return truth, np.exp(logs), generator.permutation(n) % folds


# Closed forms


def test_logs_become_radii():
    np.testing.assert_allclose(radius.radii_of_logs([0.0, 1.0, -2.0]), [1.0, np.e, np.exp(-2)])


def test_perfect_radii():
    truth, _, fold = made()
    table = radius.radius_table(truth, truth, fold)
    assert table["mse"]["value"] == pytest.approx(0, abs=1e-25)
    assert table["relative_rms"]["value"] == pytest.approx(0, abs=1e-12)
    assert table["median_error"] == pytest.approx(0, abs=1e-12)
    assert table["factor"] == pytest.approx(1)


@pytest.mark.parametrize("constant", [0.2, 1.0, 30.0])
def test_any_constant_becomes_the_best_constant(constant):
    """The factor of a constant c is mean(t) / c: what is left is the spread about the mean of the other folds."""
    truth, _, fold = made()
    table = radius.radius_table(truth, np.full(len(truth), constant), fold)
    assert table["factor"] == pytest.approx(truth.mean() / constant)
    assert table["mse"] == pytest.approx(table["mse_constant"])


def test_mse_of_the_best_constant_is_the_variance():
    """Each lens its own fold: t - mean of the others is n / (n - 1) (t - mean)."""
    truth, predicted, _ = made(n=50)
    table = radius.radius_table(truth, predicted, np.arange(50), draws=0)
    assert table["mse_constant"]["value"] == pytest.approx((50 / 49) ** 2 * truth.var())


def test_by_hand():
    """Two folds of one lens: factors 2 / 1 = 2 from the second, 1 / 2 from the first."""
    table = radius.radius_table([1.0, 2.0], [2.0, 1.0], [0, 1], sizes=[1, 3], draws=0)
    assert table["mse"]["value"] == pytest.approx(((2 * 2 - 1) ** 2 + (0.5 - 2) ** 2) / 2)
    assert table["mse_constant"]["value"] == pytest.approx(1)
    assert table["relative_rms"]["value"] == pytest.approx(np.sqrt((3**2 + 0.75**2) / 2))
    assert table["median_error"] == pytest.approx((3 + 1.5) / 2)
    assert table["factor"] == pytest.approx(4 / 5)
    assert [(cell["n"], cell["value"]) for cell in table["mse_by_size"]] == [
        (0, None),
        (1, pytest.approx(9)),
        (0, None),
        (1, pytest.approx(2.25)),
        (0, None),
        (0, None),
    ]
    assert table["mse_by_size"][1]["constant"] == pytest.approx(1)


@CASUAL
@given(st.integers(0, 10**6), st.floats(0.0, 1.0))
def test_factor_against_an_optimiser(seed, scatter):
    truth, predicted, _ = made(n=40, seed=seed, scatter=scatter)
    found = minimize_scalar(lambda factor: np.mean((truth - factor * predicted) ** 2), bracket=(0.5, 2.0))
    assert radius.correction_factor(truth, predicted) == pytest.approx(found.x, rel=1e-5)


def test_factor_of_lognormal_scatter_is_the_ratio_of_mean_and_median():
    truth, predicted, fold = made(n=200_000, scatter=0.5)
    assert radius.correction_factor(truth, predicted) == pytest.approx(np.exp(0.5**2 / 2), rel=0.01)
    fitted, plain = (radius.radius_table(truth, predicted, fold, calibrate=c, draws=0) for c in (True, False))
    assert fitted["mse"]["value"] < plain["mse"]["value"]


# Cross-fitting


def test_each_fold_takes_factor_and_constant_from_the_others():
    truth, predicted, fold = made()
    corrected, constant = radius.cross_fitted_radii(truth, predicted, fold), radius.cross_fitted_constants(truth, fold)
    for number in range(5):
        own, others = fold == number, fold != number
        factor = np.sum(truth[others] * predicted[others]) / np.sum(predicted[others] ** 2)
        np.testing.assert_allclose(corrected[own], factor * predicted[own])
        np.testing.assert_allclose(constant[own], truth[others].mean())


@CASUAL
@given(st.integers(0, 4), st.floats(0.1, 10))
def test_a_fold_never_moves_its_own_factor(number, gain):
    truth, predicted, fold = made(n=60)
    own = fold == number
    changed = np.where(own, gain * truth, truth)
    before, after = (radius.cross_fitted_radii(t, predicted, fold)[own] for t in (truth, changed))
    np.testing.assert_array_equal(before, after)


@CASUAL
@given(st.floats(1e-6, 1e6))
def test_the_scale_of_a_network_does_not_matter(scale):
    truth, predicted, fold = made(n=60)
    first, second = (radius.radius_table(truth, p, fold, draws=0) for p in (predicted, scale * predicted))
    assert first["mse"]["value"] == pytest.approx(second["mse"]["value"], rel=1e-9)
    assert first["factor"] == pytest.approx(scale * second["factor"], rel=1e-9)


def test_one_fold_takes_them_from_its_halves():
    truth, predicted, _ = made(n=101)
    parts, told = radius.fitting_parts(np.full(101, 7), seed=3)
    assert np.bincount(parts).tolist() == [51, 50] and told == "the other half of the only fold"
    table = radius.radius_table(truth, predicted, np.full(101, 7), seed=3)
    assert (table["folds"], table["fitted_on"]) == ([7], told)
    corrected = radius.cross_fitted_radii(truth, predicted, parts)
    assert table["mse"]["value"] == pytest.approx(np.mean((corrected - truth) ** 2))
    assert radius.fitting_parts([0, 0, 1])[1] == "other folds"


def test_radii_that_are_final_are_not_fitted_again():
    """As of a submission, where objects without images have 0."""
    truth = np.array([1.0, 2.0, 3.0])
    table = radius.radius_table(truth, np.zeros(3), [0, 0, 0], calibrate=False)
    assert table["factor"] is None
    assert table["mse"]["value"] == pytest.approx(14 / 3) and table["relative_rms"]["value"] == pytest.approx(1)


# Intervals


def test_interval_by_plain_resampling():
    truth, predicted, fold = made()
    table = radius.radius_table(truth, predicted, fold, draws=4000)
    squares = (radius.cross_fitted_radii(truth, predicted, fold) - truth) ** 2
    generator = np.random.default_rng(8)
    means = [squares[generator.integers(0, len(squares), len(squares))].mean() for _ in range(4000)]
    low, high = np.percentile(means, INTERVAL)
    width = high - low
    assert table["mse"]["low"] == pytest.approx(low, abs=0.1 * width)
    assert table["mse"]["high"] == pytest.approx(high, abs=0.1 * width)


def test_haloes_that_agree_widen_the_interval():
    truth, predicted, fold = (np.repeat(values, 10) for values in made(n=40))
    groups = np.repeat(np.arange(40), 10)
    alone, together = (radius.radius_table(truth, predicted, fold, groups=g) for g in (None, groups))
    widths = [table["mse"]["high"] - table["mse"]["low"] for table in (alone, together)]
    assert alone["mse"]["value"] == pytest.approx(together["mse"]["value"])
    assert 2 < widths[1] / widths[0] < 4.5  # in theory the root of 10
    assert [table["bootstrap"]["over"] for table in (alone, together)] == ["objects", "haloes"]


def test_haloes_of_one_lens_are_a_plain_bootstrap():
    truth, predicted, fold = made(n=50)
    plain, grouped = (radius.radius_table(truth, predicted, fold, groups=g) for g in (None, np.arange(50) * 3))
    assert plain["mse"] == pytest.approx(grouped["mse"])


def test_draws_are_the_same_in_one_piece_or_many(monkeypatch):
    truth, predicted, fold = made(n=50)
    whole = radius.radius_table(truth, predicted, fold)
    monkeypatch.setattr(bootstrap, "_VALUES_AT_ONCE", 170)
    assert radius.radius_table(truth, predicted, fold)["mse"] == pytest.approx(whole["mse"])


def test_any_table_is_ready_for_json():
    truth, predicted, fold = made(n=30)
    sizes = np.arange(30) % 4
    table = json.loads(json.dumps(radius.radius_table(truth, predicted, fold, sizes=sizes)))
    assert table["n"] == 30 and table["folds"] == [0, 1, 2, 3, 4]
    assert [cell["n"] for cell in table["mse_by_size"]] == [8, 8, 7, 7, 0, 0]
    total = sum(cell["n"] * (cell["value"] or 0) for cell in table["mse_by_size"])
    assert total / 30 == pytest.approx(table["mse"]["value"])
    assert table["mse"]["low"] < table["mse"]["value"] < table["mse"]["high"]
    assert radius.radius_table(truth, predicted, fold)["mse_by_size"] is None
    assert radius.radius_table(truth, predicted, fold, draws=0)["mse"]["low"] is None


# Refusals


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 50.5, -800.0])
def test_logs_of_no_radius(bad):
    with pytest.raises(InputError, match=r"1 of 2 predicted log Einstein radii.*between -50 and 50"):
        radius.radii_of_logs([1.0, bad])


@pytest.mark.parametrize(
    ("truth", "predicted", "words"),
    [
        ([1.0, 2.0], [1.0], "1 predicted radii for 2 lenses"),
        ([1.0, 0.0], [1.0, 1.0], r"1 of 2 true Einstein radii are wrong \(first: 0\); expected more than 0"),
        ([1.0, np.nan], [1.0, 1.0], "true Einstein radii are wrong"),
        ([1.0, 2.0], [1.0, -1.0], r"predicted Einstein radii are wrong \(first: -1\); expected at least 0"),
        ([1.0, 2.0], [np.inf, 1.0], "predicted Einstein radii are wrong"),
        ([1.0, 2.0], [0.0, 0.0], "Einstein radii are 0: no factor"),
    ],
)
def test_wrong_radii(truth, predicted, words):
    with pytest.raises(InputError, match=words):
        radius.radius_table(truth, predicted, np.arange(len(truth)))


def test_too_few_lenses_and_parts():
    with pytest.raises(InputError, match="1 lenses with an Einstein radius: at least 2"):
        radius.radius_table([1.0], [1.0], [0])
    with pytest.raises(InputError, match="0 lenses with an Einstein radius"):
        radius.radius_table([], [], [])
    with pytest.raises(InputError, match="one part only"):
        radius.cross_fitted_radii([1.0, 2.0], [1.0, 2.0], [0, 0])
    with pytest.raises(InputError, match="fold of shape"):
        radius.radius_table([1.0, 2.0], [1.0, 2.0], [0])
