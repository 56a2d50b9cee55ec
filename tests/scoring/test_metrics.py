"""Single metrics and thresholds: closed forms, scikit-learn, brute force, refusals."""

import itertools

import numpy as np
import pytest
from fakes import oracles
from fakes.predictions import SCORES, made, predictions
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lensfold.errors import InputError
from lensfold.scoring import metrics as scores
from lensfold.scoring import ranking
from lensfold.scoring.ranking import Ranking

CASUAL = settings(deadline=None, max_examples=50)


def cuts(s: np.ndarray) -> np.ndarray:
    return np.unique(s)


def recall_below(y, s, n: int) -> float:
    """Recall with fewer than ``n`` false positives, as `score_table` has it."""
    y, s = np.asarray(y, dtype=float), np.asarray(s, dtype=float)
    return ranking.recall_below(*Ranking.of(y, s).weighted(np.ones((1, len(y)))).counts(), n)[0]


def f_beta_loss(y, s, threshold: float, beta_squared: float) -> float:
    """1 - F_beta of everything from a threshold up, as `score_table` has it."""
    y, passed = np.asarray(y), np.asarray(s) >= threshold
    true, false = (np.array([np.sum(passed & (y == label))]) for label in (1, 0))
    return ranking.f_beta_loss(true, false, y.sum(), beta_squared)[0]


# Closed forms


def test_perfect_and_inverted_ranking():
    y, s = [0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0]
    assert scores.auc(y, s) == 1 and scores.auc(y, np.negative(s)) == 0
    assert scores.average_precision(y, s) == 1
    assert scores.one_minus_f_beta(y, s) == 0
    assert recall_below(y, s, 0) == 1


def test_all_tied():
    y, s = [0, 1, 1, 1], [7.0] * 4
    assert scores.auc(y, s) == 0.5
    assert scores.average_precision(y, s) == 0.75
    assert recall_below(y, s, 0) == 0
    assert scores.best_f1_threshold(y, s) == 7
    assert 1 - f_beta_loss(y, s, 7, 1.0) == pytest.approx(6 / 7)
    assert scores.one_minus_f_beta(y, s) == pytest.approx(1 / (1.001 * 3 + 1))


def test_by_hand():
    y, s = [1, 0, 1, 0, 1], [5.0, 4.0, 3.0, 2.0, 1.0]
    assert scores.auc(y, s) == pytest.approx(3 / 6)
    assert scores.average_precision(y, s) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert 1 - f_beta_loss(y, s, 3.0, 1.0) == pytest.approx(4 / 6)
    assert scores.best_f1_threshold(y, s) == 1.0
    # One lens found without a false positive beats three with two.
    assert scores.one_minus_f_beta(y, s) == pytest.approx(0.002 / (1.001 + 0.002))
    assert recall_below(y, s, 1) == pytest.approx(1 / 3)
    assert recall_below(y, s, 2) == pytest.approx(2 / 3)
    assert recall_below(y, s, 3) == 1


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
    assert f_beta_loss([1, 0], [0.0, 1.0], 5.0, 1.0) == 1
    assert f_beta_loss([0, 0], [0.0, 1.0], 5.0, 1.0) == 1
    assert f_beta_loss([1], [0.0], 0.0, 1.0) == 0


def test_threshold_is_half_way_and_the_highest_of_equals():
    assert scores.best_f1_threshold([0, 1, 1], [0.0, 1.0, 2.0]) == 0.5
    # Cuts above 3 and above 1 give the same F1 of 2/3.
    assert scores.best_f1_threshold([1, 0, 0, 1], [4.0, 3.0, 2.0, 1.0]) == 3.5


@pytest.mark.parametrize("low", [1.0, -1.0, 0.0, 1e308])
def test_threshold_between_neighbouring_floats_still_separates(low):
    high = np.nextafter(low, np.inf)
    threshold = scores.best_f1_threshold([0, 1], [low, high])
    assert low < threshold <= high


def test_corner_by_hand():
    """ROC points (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1): the first and third are as near; the higher threshold wins."""
    assert scores.roc_corner_threshold([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]) == 3.5
    assert scores.roc_corner_threshold([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0]) == 2.5


@pytest.mark.parametrize("p", [[0.5, 1.1], [-0.1, 0.5]])
def test_brier_needs_probabilities(p):
    with pytest.raises(InputError, match=r"1 of 2 probabilities lie outside \[0, 1\]"):
        scores.brier([0, 1], p)


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
def test_f1_against_scikit_learn(data, threshold):
    y, s, _ = data
    expected = metrics.f1_score(y, s >= threshold, zero_division=0)
    assert 1 - f_beta_loss(y, s, threshold, 1.0) == pytest.approx(expected)


@CASUAL
@given(predictions(), st.integers(0, 12))
def test_recall_below_n_false_positives_against_scikit_learn(data, n):
    y, s, _ = data
    assert recall_below(y, s, n) == pytest.approx(oracles.recall_below(y, s, n))


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
@given(predictions(), SCORES, st.sampled_from([0.001, 0.01, 1.0, 4.0]))
def test_f_beta_at_a_threshold_against_scikit_learn(data, threshold, beta_squared):
    y, s, _ = data
    expected = metrics.fbeta_score(y, s >= threshold, beta=beta_squared**0.5, zero_division=0)
    assert 1 - f_beta_loss(y, s, threshold, beta_squared) == pytest.approx(expected)


@CASUAL
@given(predictions())
def test_roc_corner_against_scikit_learn(data):
    """The threshold reaches the least distance to (0, 1) of all points of the ROC curve."""
    y, s, _ = data
    fpr, tpr, _ = metrics.roc_curve(y, s, drop_intermediate=False)
    passed = s >= scores.roc_corner_threshold(y, s)
    reached = np.hypot(passed[y == 0].mean(), 1 - passed[y == 1].mean())
    assert reached == pytest.approx(np.hypot(fpr[1:], 1 - tpr[1:]).min())


@CASUAL
@given(predictions())
def test_most_accurate_threshold_by_brute_force(data):
    y, s, _ = data
    threshold = scores.best_accuracy_threshold(y, s)
    cuts = [*np.unique(s), np.inf]
    assert ((s >= threshold) == y).mean() == pytest.approx(max(((s >= cut) == y).mean() for cut in cuts))
    assert np.isfinite(threshold)


@CASUAL
@given(predictions(), st.data())
def test_brier_against_scikit_learn(data, draw):
    y, _, _ = data
    p = np.array(draw.draw(st.lists(st.floats(0, 1), min_size=len(y), max_size=len(y))))
    assert scores.brier(y, p) == pytest.approx(metrics.brier_score_loss(y, p))


@CASUAL
@given(predictions(), st.integers(0, 12))
def test_recall_below_n_false_positives_by_brute_force(data, n):
    y, s, _ = data
    allowed = [np.mean(s[y == 1] > cut) for cut in [-np.inf, *cuts(s)] if np.sum(s[y == 0] > cut) < max(n, 1)]
    assert recall_below(y, s, n) == pytest.approx(max(allowed))


@CASUAL
@given(predictions())
def test_tpr0_is_the_share_above_the_highest_non_lens(data):
    y, s, _ = data
    assert recall_below(y, s, 0) == pytest.approx(np.mean(s[y == 1] > s[y == 0].max()))
    assert recall_below(y, s, 0) == recall_below(y, s, 1)


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


@CASUAL
@given(predictions(folds=3, least=6))
def test_any_choice_is_cross_fitted(data):
    y, s, fold = data
    assume(len(set(fold)) > 1 and all(0 < y[fold != j].mean() < 1 for j in set(fold)))
    corners = scores.cross_fitted_thresholds(y, s, fold, scores.roc_corner_threshold)
    assert corners == {j: scores.roc_corner_threshold(y[fold != j], s[fold != j]) for j in set(fold)}


def test_parts_are_the_folds_or_halves_of_the_only_one():
    y, _, fold = made(60, folds=3)
    parts, source = scores.cross_fitting_parts(y, fold)
    assert parts is fold and source == "other folds"
    parts, source = scores.cross_fitting_parts(y, np.full(60, 2))
    assert source == "the other half of the only fold"
    assert abs(np.sum(y[parts == 0]) - np.sum(y[parts == 1])) <= 1 and set(parts) == {0, 1}
    assert scores.cross_fitting_parts(np.array([0, 1]), np.array([0, 0])) == (None, None)
    assert scores.cross_fitting_parts(np.array([0, 1, 1]), np.array([0, 1, 1])) == (None, None)


def test_cross_fitting_needs_two_folds():
    with pytest.raises(InputError, match=r"one fold only \(4\): a threshold must come from other folds"):
        scores.cross_fitted_thresholds([0, 1], [0.0, 1.0], [4, 4])


def test_cross_fitting_needs_lenses_elsewhere():
    with pytest.raises(InputError, match="no lens among 2 objects"):
        scores.cross_fitted_decisions([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])


# Wrong input

METRICS = [
    scores.auc,
    scores.average_precision,
    scores.one_minus_f_beta,
    scores.best_accuracy_threshold,
    scores.roc_corner_threshold,
]
ALL = [*METRICS, scores.best_f1_threshold, scores.brier]


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
