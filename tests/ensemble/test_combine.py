"""Weights of an ensemble: oracles, what nested cross-validation may know, and what averaging destroys."""

import numpy as np
import pytest
from fakes.oracles import recall_below
from fakes.predictions import predictions
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from lensfold.ensemble.combine import (
    Combiner,
    Recipe,
    equal_weights,
    fit_combiner,
    greedy_weights,
    nested,
    stacking_weights,
)
from lensfold.errors import InputError
from lensfold.scoring import metrics as scores

CASUAL = settings(deadline=None, max_examples=30)
LEARNT = [
    Recipe("stacking", (1.0, 1.0, 1.0)),
    Recipe("greedy", (1.0, 1.0, 1.0)),
    Recipe("stacking", (1.0, 1.0, 1.0), "platt"),
    Recipe("greedy", (1.0, 1.0, 1.0), "temperature", "average-precision"),
    Recipe("logit-mean", (1.0, 2.0, 1.0), "platt"),
    Recipe("rank-mean", (1.0, 1.0, 1.0), "temperature"),
]


def members(n: int = 600, seed: int = 0, folds: int = 3):
    """Labels, three members of unequal worth (the third is noise), folds."""
    generator = np.random.default_rng(seed)
    y = (generator.random(n) < 0.5).astype(float)
    truth = 2 * y - 1
    logits = np.stack([truth * worth + generator.normal(size=n) for worth in (1.0, 0.6, 0.0)], axis=1)
    return y, logits, np.arange(n) % folds


# Combining


def test_logit_mean_is_weighted():
    values = Combiner("logit-mean", (3.0, 1.0)).apply(np.array([[1.0, 4.0], [2.0, -1.0]]))
    np.testing.assert_allclose(values, [1.75, 1.25])


def test_rank_mean_does_not_see_scale_and_ranks_within_folds():
    values, fold = np.random.default_rng(2).normal(size=12), np.arange(12) % 3
    shifted = values * 10.0**fold + 5 * fold
    combiner = Combiner("rank-mean", (1.0, 1.0))
    first = combiner.apply(np.stack([values, values], axis=1), fold)
    np.testing.assert_allclose(first, combiner.apply(np.stack([shifted, values], axis=1), fold))
    np.testing.assert_allclose(first, logit(scores.fold_ranks(values, fold)))


def test_stacking_adds_its_offset_and_calibration_comes_last():
    y, logits, fold = members()
    combiner = fit_combiner(Recipe("stacking", (1.0,) * 3, "platt"), y, logits, fold)
    stacked = logits @ np.array(combiner.weights) + combiner.offset
    np.testing.assert_allclose(combiner.combined(logits), stacked)
    expected = combiner.calibration.slope * stacked + combiner.calibration.offset
    np.testing.assert_allclose(combiner.apply(logits), expected)


def test_shares_have_sum_one():
    assert Combiner("logit-mean", (3.0, 1.0)).shares == (0.75, 0.25)


# Learning


def test_stacking_against_scikit_learn():
    y, logits, _ = members()
    logits = logits[:, :2] / logits[:, :2].std(axis=0)
    weights, offset = stacking_weights(y, logits)
    model = LogisticRegression(C=1.0, tol=1e-10).fit(logits, y)
    assert (model.coef_ > 0).all()
    np.testing.assert_allclose(weights, model.coef_[0], rtol=1e-4)
    assert offset == pytest.approx(model.intercept_[0], abs=1e-4)


def test_stacking_finds_the_weights_of_theory():
    """Of independent normal members the log likelihood ratio is the best score: weights 2 x worth of unit noise."""
    y, logits, _ = members(200_000)
    weights, _ = stacking_weights(y, logits)
    np.testing.assert_allclose(weights, [2.0, 1.2, 0.0], atol=0.03)


def test_stacking_gives_no_weight_below_zero():
    y, logits, _ = members()
    weights, _ = stacking_weights(y, np.stack([logits[:, 0], -logits[:, 1]], axis=1))
    assert weights[0] > 0 and weights[1] == 0


def test_members_count_alike_where_none_ranks_lenses_above_non_lenses():
    y, logits, _ = members()
    weights, offset = stacking_weights(y, -logits[:, :2])
    assert weights.tolist() == equal_weights(2).tolist() == [0.5, 0.5] and offset == 0


def greedy_by_hand(y, logits, rounds):
    """Caruana et al. 2004 word by word: lists of members, means of their columns."""
    chosen, best = [], (-np.inf, [])
    for _ in range(rounds):
        tried = [scores.auc(y, logits[:, [*chosen, i]].mean(axis=1)) for i in range(logits.shape[1])]
        chosen = [*chosen, int(np.argmax(tried))]
        if max(tried) > best[0]:
            best = max(tried), chosen
    return np.bincount(best[1], minlength=logits.shape[1]) / len(best[1])


@pytest.mark.parametrize("seed", range(4))
def test_greedy_by_hand(seed):
    y, logits, _ = members(120, seed)
    np.testing.assert_allclose(greedy_weights(y, logits, rounds=8), greedy_by_hand(y, logits, 8))


@pytest.mark.parametrize("criterion", ["auc", "average-precision", "one-minus-f-beta"])
def test_greedy_is_never_worse_than_the_best_member_where_it_was_chosen(criterion):
    score = {
        "auc": scores.auc,
        "average-precision": scores.average_precision,
        "one-minus-f-beta": lambda y, s: -scores.one_minus_f_beta(y, s),
    }[criterion]
    y, logits, _ = members(300, 5)
    weights = greedy_weights(y, logits, criterion)
    assert weights.sum() == pytest.approx(1)
    assert score(y, logits @ weights) >= max(score(y, column) for column in logits.T) - 1e-12


def test_dropped_objects_teach_nothing_and_are_scored():
    y, logits, fold = members(300)
    dropped = np.arange(300) % 7 == 0
    labels = np.where(dropped, np.nan, y)
    recipe = Recipe("stacking", (1.0,) * 3, "platt")
    found = fit_combiner(recipe, labels, logits, fold)
    assert found == fit_combiner(recipe, y[~dropped], logits[~dropped], fold[~dropped])
    judged = nested(recipe, labels, logits, fold)
    assert np.isfinite(judged.logits).all()
    of_fold = judged.by_part[1].apply(logits[fold == 1], fold[fold == 1])
    np.testing.assert_allclose(judged.logits[fold == 1], of_fold)


# Nested cross-validation


@pytest.mark.parametrize("recipe", LEARNT, ids=lambda recipe: f"{recipe.how}-{recipe.calibrate}")
@pytest.mark.parametrize("number", range(3))
def test_labels_of_a_fold_never_reach_what_is_applied_to_it(recipe, number):
    """Turn the labels of fold j round, change its logits: its weights, offset and calibration stay; others move."""
    y, logits, fold = members(240)
    own = fold == number
    before = nested(recipe, y, logits, fold)
    changed = np.where(own, 1 - y, y)
    try:
        after = nested(recipe, changed, logits, fold)
    except InputError:  # the other folds, taught nonsense, may refuse to be calibrated
        weak = own & (np.arange(len(y)) % 4 == 0)
        after = nested(recipe, np.where(weak, 1 - y, y), logits, fold)
    assert after.by_part[number] == before.by_part[number]
    np.testing.assert_array_equal(after.logits[own], before.logits[own])
    others = [part for part in range(3) if part != number]
    assert any(after.by_part[part] != before.by_part[part] for part in others)
    moved = logits + 5 * own[:, None] * np.random.default_rng(0).normal(size=logits.shape)
    assert nested(recipe, y, moved, fold).by_part[number] == before.by_part[number]


@CASUAL
@given(predictions(folds=3, least=12), st.integers(0, 99))
def test_nested_weights_by_hand(data, seed):
    """Each fold has the combiner of all other rows, whatever the labels."""
    y, s, fold = data
    assume(len(set(fold)) > 1 and all(0 < y[fold != j].mean() < 1 for j in set(fold)))
    s = np.clip(s, -1e6, 1e6)
    logits = np.stack([s, s + np.random.default_rng(seed).normal(size=len(s))], axis=1)
    recipe = Recipe("greedy", (1.0, 1.0))
    judged = nested(recipe, y.astype(float), logits, fold)
    assert judged.learnt_from == "other folds" and set(judged.by_part) == set(fold)
    for j in set(fold):
        others = fold != j
        expected = fit_combiner(recipe, y[others].astype(float), logits[others], fold[others])
        assert judged.by_part[j] == expected
        np.testing.assert_array_equal(judged.logits[fold == j], expected.apply(logits[fold == j]))


def test_random_members_gain_nothing_when_nested():
    """Thirty members of noise: learnt on the objects that judge them they seem to work; nested they do not."""
    generator = np.random.default_rng(3)
    y, logits, fold = (np.arange(300) % 2).astype(float), generator.normal(size=(300, 30)), np.arange(300) // 2 % 5
    recipe = Recipe("greedy", (1.0,) * 30)
    seeming = scores.auc(y, fit_combiner(recipe, y, logits, fold).apply(logits))
    judged = nested(recipe, y, logits, fold)
    honest = np.mean([scores.auc(y[fold == j], judged.logits[fold == j]) for j in range(5)])
    assert seeming > 0.58 and honest < 0.54


def test_nested_stacking_beats_its_members_and_noise_gets_little():
    y, logits, fold = members(2000)
    judged = nested(Recipe("stacking", (1.0,) * 3), y, logits, fold)
    assert scores.auc(y, judged.logits) > max(scores.auc(y, column) for column in logits.T)
    assert scores.auc(y, judged.logits) > scores.auc(y, logits.mean(axis=1))


def test_a_single_fold_learns_from_its_halves():
    y, logits, _ = members(200)
    judged = nested(Recipe("stacking", (1.0,) * 3), y, logits, np.zeros(200, dtype=int))
    assert judged.learnt_from == "the other half of the only fold" and set(judged.by_part) == {0, 1}
    assert judged.by_part[0] != judged.by_part[1]


def test_too_few_objects_are_refused():
    with pytest.raises(InputError, match="2 labelled objects in 2 folds are too few to learn"):
        nested(Recipe("greedy", (1.0,)), np.array([0.0, 1.0]), np.zeros((2, 1)), np.array([0, 1]))


def test_what_learns_nothing_is_applied_as_it_is():
    y, logits, fold = members(60)
    judged = nested(Recipe("logit-mean", (1.0, 1.0, 2.0)), np.full(60, np.nan), logits, fold)
    assert judged.by_part == {} and judged.learnt_from == "nothing"
    np.testing.assert_allclose(judged.logits, logits @ [0.25, 0.25, 0.5])


@pytest.mark.parametrize("calibrate", ["temperature", "platt"])
def test_calibration_leaves_the_ranking_of_the_test_split(calibrate):
    y, logits, fold = members()
    plain = fit_combiner(Recipe("stacking", (1.0,) * 3), y, logits, fold).apply(logits)
    calibrated = fit_combiner(Recipe("stacking", (1.0,) * 3, calibrate), y, logits, fold).apply(logits)
    assert np.argsort(plain, kind="stable").tolist() == np.argsort(calibrated, kind="stable").tolist()
    assert scores.auc(y, expit(calibrated)) == scores.auc(y, plain)


@pytest.mark.parametrize("how", ["logit-mean", "rank-mean"])
def test_cross_fitted_calibration_lowers_the_brier_score(how):
    """The mean of ranks and of overconfident logits says nothing of probabilities; calibrated it does."""
    y, logits, fold = members(3000)
    judged = nested(Recipe(how, (1.0,) * 3, "platt"), y, 6 * logits, fold)
    assert scores.brier(y, expit(judged.logits)) < scores.brier(y, expit(judged.uncalibrated)) - 0.005


def test_a_saturated_member_ruins_a_mean_and_not_a_learnt_ensemble():
    """One false positive with a huge logit in one member: the mean's TPR0 falls to nothing."""
    y, logits, fold = members(1000, 7)
    good, poor = 4 * logits[:, 0], logits[:, 1].copy()
    poor[np.flatnonzero(y == 0)[:30]] = 60.0  # non-lenses of which the member is certain
    both = np.stack([good, poor], axis=1)
    of_member = recall_below(y, good, 0)
    mean = nested(Recipe("logit-mean", (1.0, 1.0)), y, both, fold).logits
    assert recall_below(y, mean, 0) < 0.1 * of_member
    for recipe in (Recipe("stacking", (1.0, 1.0)), Recipe("greedy", (1.0, 1.0), select_by="one-minus-f-beta")):
        learnt = nested(recipe, y, both, fold).logits
        assert recall_below(y, learnt, 0) > 0.5 * of_member


def test_a_fall_back_to_equal_weights_is_said(capsys):
    from lensfold.report.terminal import show_ensemble

    def told(weights, offset):
        shares = {name: value / sum(weights.values()) for name, value in weights.items()}
        return {"weights": weights, "shares": shares, "offset": offset, "calibration": {"slope": 1.0, "offset": 0.0}}

    equal, learnt = told({"a": 0.5, "b": 0.5}, 0.0), told({"a": 0.5, "b": 0.5}, 0.1)
    record = {"combine": "stacking", "learnt_from": "other folds", "against_best": None, "calibrate": "none"}
    show_ensemble({**record, "test": learnt, "by_fold": {"0": equal, "1": learnt}})
    assert "all count alike: fold 0." in " ".join(capsys.readouterr().out.split())
    show_ensemble({**record, "test": learnt, "by_fold": {"0": learnt}})
    assert "alike" not in capsys.readouterr().out
