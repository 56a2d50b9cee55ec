"""Two predictions of the same objects: paired differences against plain resampling, their symmetry and their error."""

import json

import numpy as np
import pytest
from fakes.predictions import made, predictions
from hypothesis import given, settings

from lensfold.runs.scores import SCORE_NAMES
from lensfold.scoring import bootstrap
from lensfold.scoring import metrics as scores
from lensfold.scoring.score_table import paired_auc, paired_table, score_table

CASUAL = settings(deadline=None, max_examples=40)
SCORES = ["auc", "average_precision", "one_minus_f_beta", "f1", "tpr0", "tpr10", "brier", "auc_large"]


def two(n: int = 400, seed: int = 1, gain: float = 0.5):
    """Labels, folds and two predictions that share most of their noise; the second sees more by ``gain``."""
    generator = np.random.default_rng(seed)
    y, shared = np.arange(n) % 2, generator.normal(size=n)
    first = y + shared + 0.3 * generator.normal(size=n)
    return y, generator.integers(0, 4, n), first, first + gain * y + 0.3 * generator.normal(size=n)


def test_values_are_those_of_the_single_tables():
    y, fold, first, second = two()
    large, size = np.where(np.arange(400) % 3, y, np.nan), np.arange(400) % 6
    paired = paired_table(y, (first, fold), (second, fold[::-1]), {"size": size}, large, draws=20)
    tables = [score_table(y, s, f, {"size": size}, large, draws=0) for s, f in ((first, fold), (second, fold[::-1]))]
    for name in SCORES:
        one, other = (table[name]["value"] for table in tables)
        assert paired[name]["first"] == pytest.approx(one) and paired[name]["second"] == pytest.approx(other)
        assert paired[name]["value"] == pytest.approx(other - one)
    for cell, one, other in zip(paired["auc_by_size"], *(table["auc_by_size"] for table in tables), strict=True):
        assert cell["n"] == one["n"] and (cell["value"] is None) == (one["value"] is None)
        if cell["n"]:
            assert cell["value"] == pytest.approx(other["value"] - one["value"])
            assert cell["recall"]["value"] == pytest.approx(other["recall"]["value"] - one["recall"]["value"])


def test_intervals_are_those_of_resampled_pairs():
    y, fold, first, second = two(300)
    generator = np.random.default_rng(9)
    drawn = {"auc": [], "average_precision": [], "one_minus_f_beta_best": []}
    metrics = {"one_minus_f_beta_best": scores.one_minus_f_beta, "auc": scores.auc}
    metrics["average_precision"] = scores.average_precision
    for _ in range(600):
        rows = np.concatenate([generator.choice(np.flatnonzero(y == label), np.sum(y == label)) for label in (0, 1)])
        for name, values in drawn.items():
            values.append(metrics[name](y[rows], second[rows]) - metrics[name](y[rows], first[rows]))
    paired = paired_table(y, (first, fold), (second, fold))
    for name, values in drawn.items():
        low, high = np.percentile(values, bootstrap.INTERVAL)
        told = paired[name]
        assert told["low"] == pytest.approx(low, abs=0.2 * (high - low)), name
        assert told["high"] == pytest.approx(high, abs=0.2 * (high - low)), name
        assert told["error"] == pytest.approx(np.std(values), rel=0.15), name
        assert told["above"] == pytest.approx(np.mean(np.array(values) > 0), abs=0.05), name


def test_pairing_is_worth_it():
    """Two predictions that share their noise differ by far less than their intervals suggest."""
    y, fold, first, second = two(gain=0.3)
    paired = paired_table(y, (first, fold), (second, fold))["auc"]
    alone = [score_table(y, s, fold)["auc"] for s in (first, second)]
    assert paired["low"] > 0 and paired["above"] > 0.99
    assert alone[0]["high"] > alone[1]["low"]
    assert paired["high"] - paired["low"] < 0.6 * (alone[0]["high"] - alone[0]["low"])


def test_other_way_round_is_the_negative():
    y, fold, first, second = two()
    there, back = (paired_table(y, (a, fold), (b, fold)) for a, b in ((first, second), (second, first)))
    for name in SCORES[:-1]:
        assert back[name]["value"] == pytest.approx(-there[name]["value"])
        assert back[name]["low"] == pytest.approx(-there[name]["high"])
        assert back[name]["error"] == pytest.approx(there[name]["error"])
        assert back[name]["above"] == pytest.approx(1 - there[name]["above"])


@CASUAL
@given(predictions(folds=3))
def test_a_prediction_against_itself(data):
    """No difference, no error, half of the draws above; and any table is ready for JSON."""
    y, s, fold = data
    paired = paired_table(y, (s, fold), (s, fold), {"size": fold}, np.where(fold == 1, np.nan, y), draws=9, groups=fold)
    assert json.loads(json.dumps(paired, allow_nan=False)) == paired
    for name in (
        "auc",
        "average_precision",
        *(name for name, shown in SCORE_NAMES.items() if shown.is_loss and name in paired),
    ):
        if paired[name]["error"] is not None:
            assert paired[name]["value"] == paired[name]["low"] == paired[name]["high"] == paired[name]["error"] == 0
            assert paired[name]["above"] == 0.5


def test_noise_beats_noise_as_often_as_not():
    """Of equal predictions 95 % of the intervals hold 0: of 60 pairs 3 are expected outside, 9 or more in 0.4 %."""
    outside = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        y = np.arange(200) % 2
        first, second = (y + generator.normal(size=200) for _ in range(2))
        told = paired_table(y, (first, y * 0), (second, y * 0), draws=300)["auc"]
        outside += told["low"] > 0 or told["high"] < 0
    assert outside < 9


def test_haloes_that_agree_widen_the_interval():
    halo = np.repeat(np.arange(40), 10)
    y, fold, first, second = two(40)
    objects, haloes = (
        paired_table(y[halo], (first[halo], fold[halo]), (second[halo], fold[halo]), groups=groups)
        for groups in (None, halo)
    )
    assert [table["bootstrap"]["over"] for table in (objects, haloes)] == ["objects", "haloes"]
    assert haloes["auc"]["error"] > 2 * objects["auc"]["error"]


@pytest.mark.parametrize("groups", [None, np.arange(400) // 7])
def test_the_auc_alone_is_that_of_the_table(groups):
    y, fold, first, second = two(gain=0.1)
    table = paired_table(y, (first, fold), (second, fold), draws=50, groups=groups)
    assert paired_auc(y, first, second, draws=50, groups=groups) == table["auc"]


def test_no_draws_no_error():
    y, s, fold = made(50)
    told = paired_table(y, (s, fold), (-s, fold), draws=0)["auc"]
    assert told["value"] < 0 and told["error"] is None and told["above"] is None and told["low"] is None
