import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lensfold import scores
from lensfold.errors import InputError

CASUAL = settings(deadline=None, max_examples=50)
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


def cuts(s: np.ndarray) -> np.ndarray:
    return np.unique(s)


def made(n: int, seed: int = 0, folds: int = 5, shift: float = 1.0):
    """Scores of a model with a known AUC: normal(shift) for lenses against normal(0), rounded to make ties."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, n)
    s = np.round(generator.normal(shift * y, 1.0), 2)
    return y, s, generator.integers(0, folds, n)


# Closed forms


def test_perfect_and_inverted_ranking():
    y, s = [0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0]
    assert scores.auc(y, s) == 1 and scores.auc(y, np.negative(s)) == 0
    assert scores.average_precision(y, s) == 1
    assert scores.one_minus_f_beta(y, s) == 0
    assert scores.tpr_at_false_positives(y, s, 0) == 1


def test_all_tied():
    y, s = [0, 1, 1, 1], [7.0] * 4
    assert scores.auc(y, s) == 0.5
    assert scores.average_precision(y, s) == 0.75
    assert scores.tpr_at_false_positives(y, s, 0) == 0
    assert scores.best_f1_threshold(y, s) == 7
    assert scores.f1(y, s, 7) == pytest.approx(6 / 7)
    assert scores.one_minus_f_beta(y, s) == pytest.approx(1 / (1.001 * 3 + 1))


def test_by_hand():
    y, s = [1, 0, 1, 0, 1], [5.0, 4.0, 3.0, 2.0, 1.0]
    assert scores.auc(y, s) == pytest.approx(3 / 6)
    assert scores.average_precision(y, s) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert scores.accuracy(y, s, 3.0) == pytest.approx(3 / 5)
    assert scores.f1(y, s, 3.0) == pytest.approx(4 / 6)
    assert scores.best_f1_threshold(y, s) == 1.0
    # One lens found without a false positive beats three with two.
    assert scores.one_minus_f_beta(y, s) == pytest.approx(0.002 / (1.001 + 0.002))
    assert scores.tpr_at_false_positives(y, s, 1) == pytest.approx(1 / 3)
    assert scores.tpr_at_false_positives(y, s, 2) == pytest.approx(2 / 3)
    assert scores.tpr_at_false_positives(y, s, 3) == 1


def test_gaussian_auc():
    """AUC of normal(shift) against normal(0) is Phi(shift / sqrt(2)): 0.76025 for a shift of 1."""
    y, s, _ = made(200_000)
    assert scores.auc(y, s) == pytest.approx(0.76025, abs=0.003)


def test_one_false_positive_costs_a_thousand_lenses():
    lenses, s = np.ones(2001, dtype=int), np.arange(2001.0)
    one_above_all = scores.one_minus_f_beta(np.append(lenses, 0), np.append(s, 1e6))
    assert one_above_all == pytest.approx(1 / (1.001 * 2001 + 1))
    thousand_missed = scores.one_minus_f_beta(np.append(lenses, 0), np.append(s, 999.5))
    assert thousand_missed == pytest.approx(min(1 / (1.001 * 2001 + 1), 1 / (1.001 * 1001 + 1)))


def test_one_minus_f_beta_keeps_its_digits():
    y, s = np.append(np.ones(10**6, dtype=int), 0), np.append(np.arange(10.0**6), 0.5)
    assert scores.one_minus_f_beta(y, s) == pytest.approx(0.001 / (1.001 * (10**6 - 1) + 0.001), rel=1e-12)


def test_f1_without_a_positive_is_zero():
    assert scores.f1([1, 0], [0.0, 1.0], 5.0) == 0
    assert scores.f1([0, 0], [0.0, 1.0], 5.0) == 0
    assert scores.f1([1], [0.0], 0.0) == 1


def test_threshold_is_half_way_and_the_highest_of_equals():
    assert scores.best_f1_threshold([0, 1, 1], [0.0, 1.0, 2.0]) == 0.5
    # Cuts above 3 and above 1 give the same F1 of 2/3.
    assert scores.best_f1_threshold([1, 0, 0, 1], [4.0, 3.0, 2.0, 1.0]) == 3.5


@pytest.mark.parametrize("low", [1.0, -1.0, 0.0, 1e308])
def test_threshold_between_neighbouring_floats_still_separates(low):
    high = np.nextafter(low, np.inf)
    threshold = scores.best_f1_threshold([0, 1], [low, high])
    assert low < threshold <= high


def test_threshold_between_extremes_is_finite():
    largest = np.finfo(float).max
    assert scores.best_f1_threshold([0, 1], [-largest, largest]) == 0


# scikit-learn and brute force


@CASUAL
@given(predictions())
def test_auc_against_scikit_learn(data):
    y, s, _ = data
    assert scores.auc(y, s) == pytest.approx(metrics.roc_auc_score(y, s))


@CASUAL
@given(predictions())
def test_average_precision_against_scikit_learn(data):
    y, s, _ = data
    assert scores.average_precision(y, s) == pytest.approx(metrics.average_precision_score(y, s))


@CASUAL
@given(predictions(), SCORES)
def test_f1_and_accuracy_against_scikit_learn(data, threshold):
    y, s, _ = data
    assert scores.f1(y, s, threshold) == pytest.approx(metrics.f1_score(y, s >= threshold, zero_division=0))
    assert scores.accuracy(y, s, threshold) == pytest.approx(metrics.accuracy_score(y, s >= threshold))


@CASUAL
@given(predictions(most=12))
def test_best_threshold_reaches_the_best_f1_of_all_cuts(data):
    y, s, _ = data
    best = max(metrics.f1_score(y, s >= cut) for cut in cuts(s))
    assert metrics.f1_score(y, s >= scores.best_f1_threshold(y, s)) == pytest.approx(best)


@CASUAL
@given(predictions(most=12), st.sampled_from([0.001, 0.01, 1.0, 4.0]))
def test_f_beta_against_scikit_learn_at_every_cut(data, beta_squared):
    y, s, _ = data
    best = max(metrics.fbeta_score(y, s >= cut, beta=beta_squared**0.5) for cut in cuts(s))
    assert scores.one_minus_f_beta(y, s, beta_squared) == pytest.approx(1 - best, abs=1e-12)


@CASUAL
@given(predictions(), st.integers(0, 12))
def test_recall_below_n_false_positives_by_brute_force(data, n):
    y, s, _ = data
    allowed = [np.mean(s[y == 1] > cut) for cut in [-np.inf, *cuts(s)] if np.sum(s[y == 0] > cut) < max(n, 1)]
    assert scores.tpr_at_false_positives(y, s, n) == pytest.approx(max(allowed))


@CASUAL
@given(predictions())
def test_tpr0_is_the_share_above_the_highest_non_lens(data):
    y, s, _ = data
    assert scores.tpr_at_false_positives(y, s, 0) == pytest.approx(np.mean(s[y == 1] > s[y == 0].max()))
    assert scores.tpr_at_false_positives(y, s, 0) == scores.tpr_at_false_positives(y, s, 1)


@CASUAL
@given(predictions(most=15))
def test_auc_is_the_share_of_pairs(data):
    y, s, _ = data
    pairs = [np.sign(a - b) / 2 + 0.5 for a, b in itertools.product(s[y == 1] / 2, s[y == 0] / 2)]
    assert scores.auc(y, s) == pytest.approx(np.mean(pairs))


@CASUAL
@given(predictions(), st.randoms())
def test_row_order_and_monotone_maps_do_not_matter(data, random):
    y, s, _ = data
    order = list(range(len(y)))
    random.shuffle(order)
    ranks = np.unique(s, return_inverse=True)[1].astype(float)
    for metric in (scores.auc, scores.average_precision, scores.one_minus_f_beta):
        assert metric(y[order], s[order]) == pytest.approx(metric(y, s))
        assert metric(y, ranks) == pytest.approx(metric(y, s))


# Ranks


@CASUAL
@given(predictions(folds=3))
def test_fold_ranks(data):
    _, s, fold = data
    ranks = scores.fold_ranks(s, fold)
    assert ((ranks > 0) & (ranks < 1)).all()
    for number in np.unique(fold):
        own, mine = s[fold == number], ranks[fold == number]
        expected = [(np.sum(own < value) + np.sum(own == value) / 2) / len(own) for value in own]
        np.testing.assert_allclose(mine, expected)


def test_fold_ranks_undo_the_scale_of_a_fold():
    s = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])
    np.testing.assert_allclose(scores.fold_ranks(s, [0, 0, 0, 1, 1, 1]), [1 / 6, 1 / 2, 5 / 6] * 2)


# Cross-fitting


@CASUAL
@given(predictions(folds=3, least=6), st.integers(0, 2), st.randoms())
def test_a_fold_never_moves_its_own_threshold(data, number, random):
    """Neither its labels nor its scores."""
    y, s, fold = data
    assume(all(y[fold != j].any() for j in range(3)) and len(set(fold)) == 3)
    before = scores.cross_fitted_thresholds(y, s, fold)
    changed_y, changed_s = y.copy(), s.copy()
    for row in np.flatnonzero(fold == number):
        changed_y[row], changed_s[row] = random.randint(0, 1), random.uniform(-9, 9)
    own = fold == number
    assert scores.best_f1_threshold(changed_y[~own], changed_s[~own]) == before[number]
    try:
        after = scores.cross_fitted_thresholds(changed_y, changed_s, fold)
    except InputError:
        return  # the changed labels took the last lens of another fold's data
    assert after[number] == before[number]


def test_a_fold_does_move_the_thresholds_of_the_others():
    y, s, fold = made(300, folds=3)
    before = scores.cross_fitted_thresholds(y, s, fold)
    after = scores.cross_fitted_thresholds(np.where(fold == 0, 1 - y, y), s, fold)
    assert after[0] == before[0] and after[1] != before[1] and after[2] != before[2]


@CASUAL
@given(predictions(folds=3, least=6))
def test_cross_fitting_by_hand(data):
    y, s, fold = data
    assume(len(set(fold)) > 1 and all(y[fold != j].any() for j in set(fold)))
    thresholds = scores.cross_fitted_thresholds(y, s, fold)
    assert set(thresholds) == set(fold)
    for j, threshold in thresholds.items():
        assert threshold == scores.best_f1_threshold(y[fold != j], s[fold != j])
    expected = [value >= thresholds[j] for value, j in zip(s, fold, strict=True)]
    decisions = scores.cross_fitted_decisions(y, s, fold)
    assert decisions.dtype == bool and decisions.tolist() == expected


def test_random_labels_gain_nothing_from_cross_fitting():
    """The best F_beta threshold of noise looks good where it was chosen and not on other folds."""
    generator = np.random.default_rng(1)
    y, s, fold = generator.integers(0, 2, 400), generator.normal(size=400), generator.integers(0, 5, 400)
    table = scores.score_table(y, s, fold, draws=0)
    assert table["one_minus_f_beta"]["value"] > table["one_minus_f_beta_best"]["value"]


def test_cross_fitting_needs_two_folds():
    with pytest.raises(InputError, match=r"one fold only \(4\): a threshold must come from other folds"):
        scores.cross_fitted_thresholds([0, 1], [0.0, 1.0], [4, 4])


def test_cross_fitting_needs_lenses_elsewhere():
    with pytest.raises(InputError, match="no lens among 2 objects"):
        scores.cross_fitted_decisions([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])


# The table

POOLED = ["auc", "mean_fold_auc", "f1", "accuracy", "average_precision", "one_minus_f_beta", "one_minus_f_beta_best"]
POOLED += ["tpr0", "tpr10"]


def test_table_agrees_with_the_single_metrics():
    y, s, fold = made(900)
    generator = np.random.default_rng(3)
    sizes, large = generator.integers(0, 5, 900), generator.choice([0.0, 1.0, np.nan], 900)
    table = scores.score_table(y, s, fold, sizes, large, draws=20)
    decided = scores.cross_fitted_decisions(y, s, fold)
    decided_f_beta = scores.cross_fitted_decisions(y, s, fold, 0.001)
    expected = {
        "auc": metrics.roc_auc_score(y, s),
        "mean_fold_auc": np.mean([metrics.roc_auc_score(y[fold == j], s[fold == j]) for j in range(5)]),
        "f1": metrics.f1_score(y, decided),
        "accuracy": metrics.accuracy_score(y, decided),
        "average_precision": metrics.average_precision_score(y, s),
        "one_minus_f_beta": 1 - metrics.fbeta_score(y, decided_f_beta, beta=0.001**0.5),
        "one_minus_f_beta_best": scores.one_minus_f_beta(y, s),
        "tpr0": scores.tpr_at_false_positives(y, s, 0),
        "tpr10": scores.tpr_at_false_positives(y, s, 10),
    }
    assert {name: table[name]["value"] for name in POOLED} == pytest.approx(expected)
    assert list(expected) == POOLED
    for i, row in enumerate(table["auc_by_size"]):
        chosen = (y == 0) | (sizes == i)
        assert (row["bin"], row["n"]) == (i, np.sum((y == 1) & (sizes == i)))
        if i < 5:
            assert row["value"] == pytest.approx(metrics.roc_auc_score(y[chosen], s[chosen]))
    assert table["auc_by_size"][5] == {"bin": 5, "n": 0, "value": None, "low": None, "high": None}
    known = ~np.isnan(large)
    assert table["auc_large"]["value"] == pytest.approx(metrics.roc_auc_score(large[known], s[known]))
    assert (table["auc_large"]["n"], table["auc_large"]["n_lenses"]) == (known.sum(), np.sum(large == 1))
    assert (table["n"], table["n_lenses"], table["folds"]) == (900, y.sum(), [0, 1, 2, 3, 4])
    assert table["threshold_from"] == "other folds"
    assert table["bootstrap"] == {"draws": 20, "seed": 0, "over": "objects"}


@CASUAL
@given(predictions(folds=3))
def test_any_prediction_gives_a_table_ready_for_json(data):
    y, s, fold = data
    table = scores.score_table(y, s, fold, fold, np.where(fold == 2, np.nan, y), draws=5, groups=fold)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    for name in POOLED:
        assert set(table[name]) == {"value", "low", "high"}
        assert table[name]["value"] is None or 0 <= table[name]["value"] <= 1
        assert table[name]["low"] is None or table[name]["low"] <= table[name]["high"]


def test_table_is_reproducible_and_ignores_row_order():
    y, _, fold = made(300)
    s = np.random.default_rng(5).permutation(300) + 50.0 * y  # no ties: these keep their order among themselves
    order = np.random.default_rng(1).permutation(300)
    first = scores.score_table(y, s, fold, fold, y, draws=30, seed=4)
    assert scores.score_table(y[order], s[order], fold[order], fold[order], y[order], draws=30, seed=4) == first
    other = scores.score_table(y, s, fold, draws=30, seed=5)
    assert other["auc"]["value"] == first["auc"]["value"] and other["auc"]["low"] != first["auc"]["low"]


@pytest.mark.parametrize("groups", [None, np.arange(200) // 3])
def test_draws_are_the_same_in_one_piece_or_many(monkeypatch, groups):
    """How much is held in memory at once may not change a result."""
    y, s, fold = made(200)
    at_once = scores.score_table(y, s, fold, draws=15, groups=groups)
    for values_at_once in (1, 400, 1000):
        monkeypatch.setattr(scores, "_VALUES_AT_ONCE", values_at_once)
        assert scores.score_table(y, s, fold, draws=15, groups=groups) == at_once


def test_interval_has_the_width_of_theory():
    """Hanley & McNeil 1982 give 0.0106 for the standard error of an AUC of 0.76 with 1000 and 1000 objects."""
    y = np.repeat([0, 1], 1000)
    s = np.random.default_rng(0).normal(y, 1.0)
    interval = scores.score_table(y, s, np.arange(2000) % 5, draws=400)["auc"]
    assert (interval["high"] - interval["low"]) / (2 * 1.96) == pytest.approx(0.0106, rel=0.12)
    assert interval["low"] < interval["value"] < interval["high"]


def test_interval_by_plain_resampling():
    """The weights do what drawing rows with replacement within each class does."""
    y, s, fold = made(300, seed=2)
    generator = np.random.default_rng(8)
    classes = [np.flatnonzero(y == label) for label in (0, 1)]
    drawn = {"auc": [], "average_precision": [], "tpr10": [], "f1": []}
    decided = scores.cross_fitted_decisions(y, s, fold)
    for _ in range(800):
        rows = np.concatenate([generator.choice(members, len(members)) for members in classes])
        drawn["auc"].append(scores.auc(y[rows], s[rows]))
        drawn["average_precision"].append(scores.average_precision(y[rows], s[rows]))
        drawn["tpr10"].append(scores.tpr_at_false_positives(y[rows], s[rows], 10))
        drawn["f1"].append(metrics.f1_score(y[rows], decided[rows]))
    table = scores.score_table(y, s, fold, draws=800)
    for name, values in drawn.items():
        low, high = np.percentile(values, [2.5, 97.5])
        width = high - low
        assert table[name]["low"] == pytest.approx(low, abs=0.2 * width)
        assert table[name]["high"] == pytest.approx(high, abs=0.2 * width)


def test_haloes_that_agree_widen_the_interval():
    """Forty haloes of fifty equal objects are forty objects, not two thousand."""
    halo = np.repeat(np.arange(40), 50)
    y, s, fold = halo % 2, np.random.default_rng(0).normal(halo % 2, 1.0, 2000), halo % 5
    s = s[halo * 50]
    over_objects = scores.score_table(y, s, fold)
    over_haloes = scores.score_table(y, s, fold, groups=halo + 10**12)
    assert over_haloes["bootstrap"]["over"] == "groups"
    width = [table["auc"]["high"] - table["auc"]["low"] for table in (over_objects, over_haloes)]
    assert width[1] > 4 * width[0]


def test_groups_of_one_object_are_a_plain_bootstrap():
    y, s, fold = made(400)
    plain = scores.score_table(y, s, fold, draws=800)["auc"]
    single = scores.score_table(y, s, fold, draws=800, groups=np.arange(400))["auc"]
    assert single["low"] == pytest.approx(plain["low"], abs=0.012)


def test_folds_of_different_scale_show_in_the_pooled_auc_only():
    y, s, fold = made(2000)
    shifted = scores.score_table(y, s + 10 * fold, fold, draws=0)
    plain = scores.score_table(y, s, fold, draws=0)
    assert shifted["mean_fold_auc"]["value"] == pytest.approx(plain["mean_fold_auc"]["value"])
    assert shifted["auc"]["value"] < plain["auc"]["value"] - 0.1


def test_one_fold_takes_thresholds_from_its_halves():
    y, s, _ = made(400)
    table = scores.score_table(y, s, np.full(400, 3), draws=10)
    assert table["folds"] == [3] and table["threshold_from"] == "the other half of the only fold"
    assert table["f1"]["value"] == pytest.approx(scores.f1(y, s, scores.best_f1_threshold(y, s)), abs=0.05)
    assert table["mean_fold_auc"]["value"] == pytest.approx(table["auc"]["value"])


def test_no_draws_no_interval():
    table = scores.score_table(*made(50), draws=0)
    assert table["auc"]["low"] is None and table["auc"]["high"] is None and table["auc"]["value"] > 0


def test_sizes_and_large_are_optional():
    table = scores.score_table(*made(50), draws=2)
    assert table["auc_by_size"] is None and table["auc_large"] is None


def test_two_objects():
    table = scores.score_table([0, 1], [0.0, 1.0], [0, 1], [0, 5], [np.nan, np.nan], draws=3)
    assert table["auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert table["threshold_from"] is None
    for name in ("f1", "accuracy", "one_minus_f_beta", "mean_fold_auc"):
        assert table[name]["value"] is None
    assert table["auc_large"] == {"n": 0, "n_lenses": 0, "value": None, "low": None, "high": None}


def test_fold_without_a_lens_is_left_out_of_the_mean():
    y, s, fold = [0, 1, 0, 1, 0, 0], [0.0, 1.0, 3.0, 2.0, 5.0, 6.0], [0, 0, 1, 1, 2, 2]
    assert scores.score_table(y, s, fold, draws=0)["mean_fold_auc"]["value"] == 0.5


@pytest.mark.slow
def test_bootstrap_is_fast_enough():
    import time

    y, s, fold = made(4000)
    start = time.perf_counter()
    scores.score_table(y, s, fold, fold, y, draws=200)
    assert time.perf_counter() - start < 3


# Wrong input

METRICS = [
    scores.auc,
    scores.average_precision,
    scores.one_minus_f_beta,
    lambda y, s: scores.tpr_at_false_positives(y, s, 0),
    lambda y, s: scores.score_table(y, s, np.zeros(len(y), dtype=int)),
]
ALL = [*METRICS, lambda y, s: scores.f1(y, s, 0.0), lambda y, s: scores.accuracy(y, s, 0.0), scores.best_f1_threshold]


@pytest.mark.parametrize("metric", METRICS)
def test_a_single_class(metric):
    with pytest.raises(InputError, match="2 lenses and 0 non-lenses: both classes are needed"):
        metric([1, 1], [0.0, 1.0])
    with pytest.raises(InputError, match="0 lenses and 1 non-lenses"):
        metric([0], [0.0])


def test_threshold_without_a_lens():
    with pytest.raises(InputError, match="no lens among 2 objects: no threshold has a best F score"):
        scores.best_f1_threshold([0, 0], [0.0, 1.0])


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers(metric, bad):
    with pytest.raises(InputError, match="1 of 3 scores are NaN or infinite. Was the model trained"):
        metric([0, 1, 1], [0.0, bad, 1.0])


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("bad", [np.nan, 2, -1, 0.5])
def test_labels_other_than_0_and_1(metric, bad):
    with pytest.raises(InputError, match="labels must be 0 or 1; leave dropped objects out first"):
        metric([0, 1, bad], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("metric", ALL)
def test_unequal_lengths(metric):
    with pytest.raises(InputError, match="2 labels for 3 scores"):
        metric([0, 1], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("s", [[], [[1.0, 2.0]]])
def test_wrong_shape(metric, s):
    with pytest.raises(InputError, match="expected one number per object, at least one"):
        metric([], s)


def test_negative_number_of_false_positives():
    with pytest.raises(InputError, match="n = -1 false positives: expected 0 or more"):
        scores.tpr_at_false_positives([0, 1], [0.0, 1.0], -1)


@pytest.mark.parametrize("name", ["fold", "sizes", "groups"])
@pytest.mark.parametrize("bad", [[0], [0, 0.5], [0, np.nan], ["a", "b"]])
def test_wrong_numbers(name, bad):
    arguments = {"fold": [0, 1], name: bad}
    with pytest.raises(InputError, match=f"{name} of shape .* expected 2 whole numbers"):
        scores.score_table([0, 1], [0.0, 1.0], **arguments)


@pytest.mark.parametrize("bad", [[0], [0, 2]])
def test_wrong_large_labels(bad):
    with pytest.raises(InputError, match="large of shape .* expected 2 labels, each 0, 1 or NaN"):
        scores.score_table([0, 1], [0.0, 1.0], [0, 1], large=bad)
