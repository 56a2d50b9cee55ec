"""The score table: against the single metrics and scikit-learn, its bootstrap intervals, refusals."""

import json

import numpy as np
import pytest
from fakes.oracles import recall_below
from fakes.predictions import made, predictions
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics

from lensfold.errors import InputError
from lensfold.scoring import bootstrap, ranking
from lensfold.scoring import metrics as scores
from lensfold.scoring.ranking import Ranking
from lensfold.scoring.score_table import score_table

CASUAL = settings(deadline=None, max_examples=50)

POOLED = ["auc", "mean_fold_auc", "f1", "accuracy", "average_precision", "one_minus_f_beta", "one_minus_f_beta_best"]
POOLED += ["one_minus_f_beta_corner", "one_minus_f_beta_half", "recall", "brier", "tpr0", "tpr10"]


def test_table_agrees_with_the_single_metrics():
    y, s, fold = made(900)
    generator = np.random.default_rng(3)
    sizes, large = generator.integers(0, 5, 900), generator.choice([0.0, 1.0, np.nan], 900)
    table = score_table(y, s, fold, {"size": sizes}, large, draws=20)
    decided = scores.cross_fitted_decisions(y, s, fold)
    decided_f_beta = scores.cross_fitted_decisions(y, s, fold, lambda y, s: scores.best_f_beta_threshold(y, s, 0.001))
    corner = scores.cross_fitted_decisions(y, s, fold, scores.roc_corner_threshold)
    expected = {
        "auc": metrics.roc_auc_score(y, s),
        "mean_fold_auc": np.mean([metrics.roc_auc_score(y[fold == j], s[fold == j]) for j in range(5)]),
        "f1": metrics.f1_score(y, decided),
        "accuracy": metrics.accuracy_score(y, decided),
        "average_precision": metrics.average_precision_score(y, s),
        "one_minus_f_beta": 1 - metrics.fbeta_score(y, decided_f_beta, beta=0.001**0.5),
        "one_minus_f_beta_best": scores.one_minus_f_beta(y, s),
        "one_minus_f_beta_corner": 1 - metrics.fbeta_score(y, corner, beta=0.001**0.5),
        "one_minus_f_beta_half": 1 - metrics.fbeta_score(y, expit(s) >= 0.5, beta=0.001**0.5),
        "recall": metrics.recall_score(y, decided),
        "brier": metrics.brier_score_loss(y, expit(s)),
        "tpr0": recall_below(y, s, 0),
        "tpr10": recall_below(y, s, 10),
    }
    assert {name: table[name]["value"] for name in POOLED} == pytest.approx(expected)
    assert list(expected) == POOLED
    for i, row in enumerate(table["auc_by_size"]):
        chosen = (y == 0) | (sizes == i)
        assert (row["bin"], row["n"]) == (i, np.sum((y == 1) & (sizes == i)))
        if i < 5:
            assert row["value"] == pytest.approx(metrics.roc_auc_score(y[chosen], s[chosen]))
            assert row["recall"]["value"] == pytest.approx(decided[(y == 1) & (sizes == i)].mean())
            assert row["recall"]["low"] <= row["recall"]["value"] <= row["recall"]["high"]
    nothing = {"value": None, "low": None, "high": None}
    assert table["auc_by_size"][5] == {"bin": 5, "n": 0, **nothing, "recall": nothing}
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
    table = score_table(y, s, fold, {"size": fold}, np.where(fold == 2, np.nan, y), draws=5, groups=fold)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    for name in POOLED:
        assert set(table[name]) == {"value", "low", "high"}
        assert table[name]["value"] is None or 0 <= table[name]["value"] <= 1
        assert table[name]["low"] is None or table[name]["low"] <= table[name]["high"]


def test_table_is_reproducible_and_ignores_row_order():
    y, _, fold = made(300)
    s = np.random.default_rng(5).permutation(300) + 50.0 * y  # no ties: these keep their order among themselves
    order = np.random.default_rng(1).permutation(300)
    first = score_table(y, s, fold, {"size": fold}, y, draws=30, seed=4)
    assert score_table(y[order], s[order], fold[order], {"size": fold[order]}, y[order], draws=30, seed=4) == first
    other = score_table(y, s, fold, draws=30, seed=5)
    assert other["auc"]["value"] == first["auc"]["value"] and other["auc"]["low"] != first["auc"]["low"]


@pytest.mark.parametrize("groups", [None, np.arange(200) // 3])
def test_draws_are_the_same_in_one_piece_or_many(monkeypatch, groups):
    """How much is held in memory at once may change no more than rounding."""
    y, s, fold = made(200)
    at_once = score_table(y, s, fold, draws=15, groups=groups)
    for values_at_once in (1, 400, 1000):
        monkeypatch.setattr(bootstrap, "_VALUES_AT_ONCE", values_at_once)
        pieces = score_table(y, s, fold, draws=15, groups=groups)
        assert all(pieces[name] == pytest.approx(at_once[name], rel=1e-12) for name in POOLED)


def test_interval_has_the_width_of_theory():
    """Hanley & McNeil 1982 give 0.0106 for the standard error of an AUC of 0.76 with 1000 and 1000 objects."""
    y = np.repeat([0, 1], 1000)
    s = np.random.default_rng(0).normal(y, 1.0)
    interval = score_table(y, s, np.arange(2000) % 5, draws=400)["auc"]
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
        drawn["tpr10"].append(recall_below(y[rows], s[rows], 10))
        drawn["f1"].append(metrics.f1_score(y[rows], decided[rows]))
    table = score_table(y, s, fold, draws=800)
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
    over_objects = score_table(y, s, fold)
    over_haloes = score_table(y, s, fold, groups=halo + 10**12)
    assert over_haloes["bootstrap"]["over"] == "haloes"
    width = [table["auc"]["high"] - table["auc"]["low"] for table in (over_objects, over_haloes)]
    assert width[1] > 4 * width[0]


def test_groups_of_one_object_are_a_plain_bootstrap():
    y, s, fold = made(400)
    plain = score_table(y, s, fold, draws=800)["auc"]
    single = score_table(y, s, fold, draws=800, groups=np.arange(400))["auc"]
    assert single["low"] == pytest.approx(plain["low"], abs=0.012)


def test_folds_of_different_scale_show_in_the_pooled_auc_only():
    y, s, fold = made(2000)
    shifted = score_table(y, s + 10 * fold, fold, draws=0)
    plain = score_table(y, s, fold, draws=0)
    assert shifted["mean_fold_auc"]["value"] == pytest.approx(plain["mean_fold_auc"]["value"])
    assert shifted["auc"]["value"] < plain["auc"]["value"] - 0.1


def test_one_fold_takes_thresholds_from_its_halves():
    y, s, _ = made(400)
    table = score_table(y, s, np.full(400, 3), draws=10)
    assert table["folds"] == [3] and table["threshold_from"] == "the other half of the only fold"
    assert table["f1"]["value"] == pytest.approx(metrics.f1_score(y, s >= scores.best_f1_threshold(y, s)), abs=0.05)
    assert table["mean_fold_auc"]["value"] == pytest.approx(table["auc"]["value"])


def test_no_draws_no_interval():
    table = score_table(*made(50), draws=0)
    assert table["auc"]["low"] is None and table["auc"]["high"] is None and table["auc"]["value"] > 0


def test_bins_and_large_are_optional():
    table = score_table(*made(50), draws=2)
    assert "auc_by_size" not in table and "auc_large" not in table


def test_two_objects():
    table = score_table([0, 1], [0.0, 1.0], [0, 1], {"size": [0, 5]}, [np.nan, np.nan], draws=3)
    assert table["auc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert table["threshold_from"] is None
    assert table["one_minus_f_beta_half"]["value"] == pytest.approx(1 / 2.001)
    assert table["brier"]["value"] == pytest.approx((0.25 + (1 - expit(1)) ** 2) / 2)
    for name in ("f1", "accuracy", "recall", "one_minus_f_beta", "one_minus_f_beta_corner", "mean_fold_auc"):
        assert table[name]["value"] is None
    assert table["auc_large"] == {"n": 0, "n_lenses": 0, "value": None, "low": None, "high": None}


def test_fold_without_a_lens_is_left_out_of_the_mean():
    y, s, fold = [0, 1, 0, 1, 0, 0], [0.0, 1.0, 3.0, 2.0, 5.0, 6.0], [0, 0, 1, 1, 2, 2]
    assert score_table(y, s, fold, draws=0)["mean_fold_auc"]["value"] == 0.5


def test_scores_are_sorted_once_however_many_draws(monkeypatch):
    """A draw only weighs sorted objects: sorting for each draw, score and quantity would take hundreds of sorts."""
    y, s, fold = made(2000)
    bins = dict.fromkeys(("size", "radius", "lens_magnitude", "source_magnitude"), fold)
    calls = []
    for name in ("argsort", "sort", "lexsort", "unique"):
        plain = getattr(np, name)
        monkeypatch.setattr(np, name, lambda *a, plain=plain, **k: calls.append(len(a[0])) or plain(*a, **k))
    sorts = []
    for draws in (1, 300):  # 300 draws of 2,000 objects are two blocks
        calls.clear()
        score_table(y, s, fold, bins, y, draws=draws)
        sorts.append(sum(size >= 500 for size in calls))
    assert 0 < sorts[0] == sorts[1] < 60


def test_several_quantities_have_bins_of_their_own():
    y, s, fold = made(300)
    table = score_table(y, s, fold, {"size": fold, "radius": (fold + 1) % 6, "far": np.full(300, -1)}, draws=0)
    first, second = ([cell["value"] for cell in table[f"auc_by_{name}"]] for name in ("size", "radius"))
    assert second == [None, *first[:5]] and first[5] is None
    assert {cell["n"] for cell in table["auc_by_far"]} == {0}


def test_probabilities_score_as_their_logits():
    y, s, fold = made(300)
    of_logits, of_probabilities = score_table(y, s, fold), score_table(y, expit(s), fold, probabilities=True)
    cross_fitted = {"f1", "accuracy", "recall", "one_minus_f_beta", "one_minus_f_beta_corner"}  # half-way elsewhere
    for name in set(POOLED) - cross_fitted:
        assert of_probabilities[name] == pytest.approx(of_logits[name]), name
    with pytest.raises(InputError, match=r"probabilities lie outside \[0, 1\]"):
        score_table(y, s, fold, probabilities=True)


def test_another_beta():
    y, s, fold = made(300)
    table = score_table(y, s, fold, draws=0, beta_squared=4.0)
    assert table["beta_squared"] == 4.0
    assert table["one_minus_f_beta_best"]["value"] == pytest.approx(scores.one_minus_f_beta(y, s, 4.0))
    assert table["one_minus_f_beta_half"]["value"] == pytest.approx(1 - metrics.fbeta_score(y, s >= 0, beta=2))
    decided = scores.cross_fitted_decisions(y, s, fold, lambda y, s: scores.best_f_beta_threshold(y, s, 4.0))
    assert table["one_minus_f_beta"]["value"] == pytest.approx(1 - metrics.fbeta_score(y, decided, beta=2))


@CASUAL
@given(predictions(folds=2), st.data())
def test_weights_are_repetitions(data, draw):
    """Every score of weighted objects is that of a table in which an object stands as often as its weight says."""
    y, s, fold = data
    weights = np.array(draw.draw(st.lists(st.integers(0, 3), min_size=len(y), max_size=len(y))))
    rows = np.repeat(np.arange(len(y)), weights)
    assume(0 < y[rows].sum() < len(rows))
    weighted = Ranking.of(y, s).weighted(weights[None, :].astype(float))
    true, false = weighted.counts()
    assert weighted.auc()[0] == pytest.approx(metrics.roc_auc_score(y[rows], s[rows]))
    expected = metrics.average_precision_score(y[rows], s[rows])
    assert ranking.average_precision(true, false)[0] == pytest.approx(expected)
    expected = scores.one_minus_f_beta(y[rows], s[rows], 0.01)
    assert ranking.best_f_beta_loss(true, false, 0.01)[0] == pytest.approx(expected)
    for n in (0, 3):
        recall = ranking.recall_below(true, false, n)[0]
        assert recall == pytest.approx(recall_below(y[rows], s[rows], n))


def test_random_labels_gain_nothing_from_cross_fitting():
    """The best F_beta threshold of noise looks good where it was chosen and not on other folds."""
    generator = np.random.default_rng(1)
    y, s, fold = generator.integers(0, 2, 400), generator.normal(size=400), generator.integers(0, 5, 400)
    table = score_table(y, s, fold, draws=0)
    assert table["one_minus_f_beta"]["value"] > table["one_minus_f_beta_best"]["value"]


@pytest.mark.parametrize("name", ["fold", "size", "groups"])
@pytest.mark.parametrize("bad", [[0], [0, 0.5], [0, np.nan], ["a", "b"]])
def test_wrong_numbers(name, bad):
    arguments = {"fold": [0, 1], **({"bins": {"size": bad}} if name == "size" else {name: bad})}
    with pytest.raises(InputError, match=f"{name} of shape .* expected 2 whole numbers"):
        score_table([0, 1], [0.0, 1.0], **arguments)


@pytest.mark.parametrize("bad", [[0], [0, 2]])
def test_wrong_large_labels(bad):
    with pytest.raises(InputError, match="large of shape .* expected 2 labels, each 0, 1 or NaN"):
        score_table([0, 1], [0.0, 1.0], [0, 1], large=bad)
