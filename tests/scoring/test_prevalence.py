"""A searcher's scores: closed forms, resampled populations, counting by hand, exact limits, invariances."""

import json

import numpy as np
import pytest
from fakes.predictions import made, predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from lensfold.errors import InputError
from lensfold.scoring.curves import cuts
from lensfold.scoring.prevalence import OBJECTS, purity_down_to, rate_limit, searcher_table, sky_curve

CASUAL = settings(deadline=None, max_examples=50)
SHARES = st.floats(1e-5, 0.5)


def values(table: dict) -> list[float]:
    """Every number of a table that is no interval."""
    first = [row[name]["value"] for row in table["first"] for name in ("purity", "completeness")]
    return first + [row[name]["value"] for row in table["recalls"] for name in ("false_rate", "inspect")]


@pytest.mark.parametrize("n", [1, 7, 2000, 100_000])
def test_the_rule_of_three_is_that_of_clopper_and_pearson(n):
    limits = binomtest(0, n, alternative="less").proportion_ci(0.95, "exact")
    assert rate_limit(n) == pytest.approx(limits.high, rel=1e-9) and rate_limit(n) < 3 / n
    assert rate_limit(0) == 1


def test_a_perfect_ranking_is_as_good_as_the_test_can_tell():
    y = np.repeat([1.0, 0.0], [400, 2000])
    table = searcher_table(y, y + np.linspace(0, 0.1, 2400), 1 / 2000, draws=20)
    limit = rate_limit(2000)
    for row in table["first"]:
        assert row["completeness"]["value"] <= 1 and row["purity"]["value"] == pytest.approx(min(1, 50 / row["n"]))
    first, second = table["first"]  # behind 50 lenses comes the first non-lens, which stands for 49.975 objects
    assert second["false"] == pytest.approx((1000 - 50) / 49.975) and not second["is_limit"]
    least = 0.0005 / (0.0005 + 0.9995 * limit)  # of fewer than about three non-lenses that no lens stands behind
    assert first["purity"]["low"] == pytest.approx(least) and second["purity"]["low"] == pytest.approx(0.05)
    assert first["false"] == pytest.approx(1.0005) and table["unresolved"] == pytest.approx(50 + 49.975)
    for row in table["recalls"]:
        assert row["is_limit"] and row["false"] == 0 and row["false_rate"]["value"] == 0
        assert row["false_rate"]["high"] == pytest.approx(limit)
        expected = 50 * row["recall"]
        assert row["inspect"]["value"] == pytest.approx(expected)
        assert row["inspect"]["high"] == pytest.approx(expected + 99_950 * limit)


def test_a_purity_without_a_false_positive_is_a_lower_limit():
    y = np.repeat([1.0, 0.0], [400, 500])  # a non-lens stands for 199.9 objects
    table = searcher_table(y, y, 1 / 2000, draws=20)
    row = table["first"][0]
    least = 0.0005 / (0.0005 + 0.9995 * rate_limit(500))
    assert row["is_limit"] and row["purity"]["low"] == pytest.approx(least) and row["purity"]["low"] < 0.1
    assert row["completeness"]["low"] == pytest.approx(least * 100 / 50)
    assert searcher_table(y, y, 1 / 2000, draws=0)["first"][0]["purity"]["low"] == pytest.approx(least)
    json.dumps(table, allow_nan=False)


@pytest.mark.parametrize("share", [1 / 2000, 0.3])
def test_a_ranking_that_knows_nothing_has_the_purity_of_the_sky(share):
    y, ties = made(500)[0], np.zeros(500)
    table = searcher_table(y, ties, share, draws=0)
    for row in table["first"]:
        assert row["purity"]["value"] == pytest.approx(share)
        assert row["completeness"]["value"] == pytest.approx(row["n"] / OBJECTS)
    assert [row["inspect"]["value"] for row in table["recalls"]] == pytest.approx([OBJECTS, OBJECTS])  # ties never help
    y, s = np.arange(200_000) % 2, np.random.default_rng(0).normal(size=200_000)
    row = searcher_table(y, s, 0.3, draws=0)["first"][1]
    assert row["purity"]["value"] == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 2000))


@CASUAL
@given(predictions(), st.integers(1, 30))
def test_weights_reproduce_a_population_with_more_non_lenses(prediction, more):
    """A sky in which every non-lens is there so many times, and whose own share of lenses is the prevalence."""
    y, s, _ = prediction
    count = np.where(y == 1, 1, more)
    whole_y, whole_s = np.repeat(y, count), np.repeat(s, count)
    share = float(whole_y.mean())
    weighted, whole = (searcher_table(*both, share, draws=0) for both in ((y, s), (whole_y, whole_s)))
    assert values(weighted) == pytest.approx(values(whole), rel=1e-9, abs=1e-12)


@CASUAL
@given(predictions(), SHARES, st.integers(2, 5))
def test_how_many_of_a_class_the_test_has_does_not_matter(prediction, share, times):
    y, s, _ = prediction
    table = searcher_table(y, s, share, draws=0)
    for label in (0, 1):
        count = np.where(y == label, times, 1)
        again = searcher_table(np.repeat(y, count), np.repeat(s, count), share, draws=0)
        assert values(again) == pytest.approx(values(table), rel=1e-9, abs=1e-12)
    order = np.random.default_rng(times).permutation(len(y))
    lacking = np.append(y[order].astype(float), np.nan), np.append(s[order], 1e300)
    assert values(searcher_table(*lacking, share, draws=0)) == pytest.approx(values(table), rel=1e-9)


@CASUAL
@given(predictions(), SHARES)
def test_against_counting_by_hand(prediction, share):
    """Every object in turn, weighed; of equal scores each takes its part of the block."""
    y, s, _ = prediction
    weight = np.where(y == 1, share / y.sum(), (1 - share) / (1 - y).sum()) * OBJECTS
    table = searcher_table(y, s, share, draws=0)
    for row in table["first"]:
        left, found = float(row["n"]), 0.0
        for score in sorted(set(s), reverse=True):
            block = weight[s == score]
            taken = min(1.0, left / block.sum())
            found += taken * float((block * y[s == score]).sum())
            left -= taken * block.sum()
        assert row["purity"]["value"] == pytest.approx(found / row["n"], rel=1e-6, abs=1e-9)
        assert row["completeness"]["value"] == pytest.approx(found / (share * OBJECTS), rel=1e-6, abs=1e-9)
    for row in table["recalls"]:
        needed = int(np.ceil(row["recall"] * y.sum() - 1e-9))
        threshold = np.sort(s[y == 1])[::-1][needed - 1]
        assert row["false_rate"]["value"] == pytest.approx(np.mean(s[y == 0] >= threshold))
        assert row["inspect"]["value"] == pytest.approx(weight[s >= threshold].sum())


@CASUAL
@given(predictions(), SHARES, st.integers(0, 99))
def test_more_objects_and_more_lenses_cost_more(prediction, share, seed):
    y, s, _ = prediction
    table = searcher_table(y, s, share, draws=10, seed=seed)
    fewer, more = table["first"]
    assert fewer["completeness"]["value"] <= more["completeness"]["value"] + 1e-12
    half, most = table["recalls"]
    assert half["inspect"]["value"] <= most["inspect"]["value"] and half["false"] <= most["false"]
    for row in table["recalls"]:
        assert rate_limit(table["n_others"]) <= row["false_rate"]["high"] <= 1
    for row in table["first"]:
        assert row["is_limit"] == (row["false"] < 1 - 1e-9) and 0 <= row["purity"]["value"] <= 1 + 1e-12
        assert row["purity"]["low"] is None or row["purity"]["low"] <= row["purity"]["value"] + 1e-12
        assert row["purity"]["value"] * row["n"] == pytest.approx(row["completeness"]["value"] * share * OBJECTS)
    inspected, purity, completeness = sky_curve(y, s, share)
    assert np.all(np.diff(inspected) > 0) and np.all(np.diff(completeness) >= 0)
    assert (inspected[-1], purity[-1], completeness[-1]) == pytest.approx((OBJECTS, share, 1))


def test_intervals_hold_the_truth_and_groups_make_them_wider():
    """Of many tests of one sky; and objects that all come four at a time are worth a quarter."""
    y, s, _ = made(200_000, seed=1, shift=2.0)
    truth = searcher_table(y, s, 0.01, draws=0)
    hits = []
    for seed in range(40):
        part = slice(5000 * seed, 5000 * (seed + 1))
        table = searcher_table(y[part], s[part], 0.01, draws=200)
        rows = zip(table["first"][1:] + table["recalls"], truth["first"][1:] + truth["recalls"], strict=True)
        pairs = [(own[key], whole[key]["value"]) for own, whole in rows for key in own.keys() & {"purity", "inspect"}]
        hits += [own["low"] <= value <= own["high"] for own, value in pairs]
    assert len(hits) == 120 and np.mean(hits) > 0.88
    groups = np.repeat(np.arange(500), 4)
    y, s = np.repeat(y[:500], 4), np.repeat(s[:500], 4)
    apart, together = (searcher_table(y, s, 0.01, 300, groups=one)["recalls"][1]["inspect"] for one in (None, groups))
    assert together["high"] - together["low"] > 1.3 * (apart["high"] - apart["low"])
    assert searcher_table(y, s, 0.01, 30) == searcher_table(y, s, 0.01, 30)


@CASUAL
@given(predictions(), SHARES)
def test_the_purity_down_to_a_score_falls_with_it_and_is_never_sure(prediction, share):
    y, s, _ = prediction
    known = cuts(y, s)
    at = np.sort(np.append(s, [-1e308, 1e308]))[::-1]
    purity = purity_down_to(known, at, share)
    assert np.all(np.diff(purity) <= 0) and np.all((purity > 0) & (purity < 1))
    assert purity[-1] == pytest.approx(share)  # of everything


def test_the_purity_down_to_a_score_is_that_of_other_objects_of_the_sky():
    """Learnt from some objects, it is right of others, whatever share of lenses these are listed with."""
    y, s, _ = made(200_000, seed=2, shift=3.0)
    known = cuts(y[:100_000], s[:100_000])
    y, s = y[100_000:], s[100_000:]
    for threshold in (1.0, 2.5, 4.0):
        recall, false_rate = (np.mean(s[y == label] >= threshold) for label in (1, 0))
        expected = 0.01 * recall / (0.01 * recall + 0.99 * false_rate)
        assert purity_down_to(known, [threshold], 0.01) == pytest.approx(expected, rel=0.15)
    few = cuts([1, 1, 0, 0, 0, 0], [6.0, 5.0, 3.0, 2.0, 1.0, 0.0])
    # two lenses and no false positive: the rate of the next non-lens is expected to be 1 / 5
    assert purity_down_to(few, [9.0, 5.0], 0.5) == pytest.approx([5 / 6, 5 / 6])
    assert purity_down_to(few, [3.0], 0.5) == pytest.approx(1 / (1 + 2 / 5))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_prevalence_is_a_share(share):
    with pytest.raises(InputError, match="expected a share between 0 and 1, as 0.0005 for 1 lens in 2,000"):
        searcher_table([0, 1], [0, 1], share)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="both classes are needed"):
        searcher_table([0, 0, np.nan], [0, 1, 2], draws=0)
