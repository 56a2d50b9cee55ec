"""Every table of scores fits a terminal of 80 columns and loses nothing there."""

import numpy as np
import pytest
from fakes.predictions import made

from lensfold import console
from lensfold.data.catalog import BIN_NAMES
from lensfold.report.terminal import show_comparison, show_ensemble, show_scores
from lensfold.scoring.curves import reliability
from lensfold.scoring.radius import radius_table
from lensfold.scoring.score_table import paired_auc, paired_table, score_table


@pytest.fixture(params=[80, 0], ids=["80 columns", "piped"])
def shown(request, capsys, monkeypatch):
    """A function that returns the words that were printed, none beyond the width."""
    if request.param:
        monkeypatch.setattr(console, "width", lambda: request.param)

    def words() -> list[str]:
        lines = capsys.readouterr().out.splitlines()
        assert max(len(line.rstrip()) for line in lines) <= (request.param or console.PIPED)
        return " ".join(lines).split()

    return words


def objects(n: int = 300) -> tuple:
    """Labels, scores, folds, bins and large-lens labels."""
    y, s, fold = made(n, folds=3)
    generator = np.random.default_rng(0)
    bins = {name: generator.integers(0, 6, n) for name in BIN_NAMES}
    return y, s, fold, bins, np.where(y == 1, 1.0, generator.choice([0.0, np.nan], n))


def lens_row(name: str) -> dict:
    y, s, fold, bins, large = objects()
    table = score_table(y, s, fold, bins, large, draws=20)
    draws = {"objects": table["auc"], "haloes": table["auc"]}
    views = {"auc_by_draws": draws, "one_view": paired_auc(y, s[::-1], s, draws=20)}
    return {"name": name, "rule": "official-2020", "of_folds": 5, "seconds": 60.0, **views, **table}


def test_scores_of_runs(shown):
    rows = [lens_row("efficientnet_lite0"), {**lens_row("ensemble (logit-mean)"), "one_view": None}]
    show_scores("sample", rows, detail="full")
    words = shown()
    for label in ("AUC", "F1", "accuracy", "TPR0", "TPR10", "F_beta", "Brier", "magnitude", "arcsec:"):
        assert label in words
    for name in ("f1", "accuracy", "tpr0", "tpr10", "average_precision", "brier", "mean_fold_auc"):
        assert f"{rows[0][name]['value']:.3f}" in words
    assert f"{rows[0]['one_minus_f_beta_corner']['value']:.5f}" in words
    for name in BIN_NAMES:
        assert f"{rows[0][f'auc_by_{name}'][5]['value']:.3f}" in words
    views = rows[0]["one_view"]
    assert f"{views['first']:.4f}" in words and f"{views['value']:+.4f}" in words and f"{views['low']:+.4f}" in words


def test_scores_of_radii(shown):
    generator = np.random.default_rng(0)
    truth = generator.uniform(0.5, 3, 200)
    sizes, fold = generator.integers(0, 6, 200), np.arange(200) % 3
    table = radius_table(truth, truth * generator.lognormal(0, 0.1, 200), fold, sizes=sizes, draws=20)
    base = {"name": "radii", "task": "einstein-radius", "rule": "official-2020", "of_folds": 3, "seconds": None}
    show_scores("sample", [{**base, **table}])
    words = shown()
    for name in ("mse", "mse_constant", "relative_rms"):
        assert f"{table[name]['value']:.3f}" in words
    assert f"{table['mse_by_size'][3]['value']:.3f}" in words and f"{table['factor']:.3f}" in words


def test_a_comparison(shown):
    y, s, fold, bins, large = objects()
    other = s + np.random.default_rng(1).normal(size=len(s))
    tables = [paired_table(y, (s, fold), (other, fold), bins, large, draws=20, groups=g) for g in (None, fold)]
    names = {"first": "a_name", "second": "submission:default, ensemble (logit-mean)", "pack": "p", "rule": "r"}
    show_comparison({**names, "tables": tables, "sentences": ["B beats A."]})
    words = shown()
    for name in ("auc", "tpr10", "average_precision"):
        assert f"{tables[0][name]['first']:.4f}" in words and f"{tables[1][name]['value']:+.4f}" in words
    assert f"{tables[1]['auc_by_size'][5]['above']:.1%}" in words


def test_an_ensemble_of_many(shown):
    y, s, fold, _, _ = objects()
    names = [f"experiment_{i}" for i in range(4)]

    def part(weight: float) -> dict:
        weights = dict.fromkeys(names, weight)
        shares = dict.fromkeys(names, 0.25)
        return {"weights": weights, "shares": shares, "offset": 0.5, "calibration": {"slope": 1.25, "offset": -0.75}}

    paired = {"best": names[0], **paired_table(y, (s, fold), (2 * s, fold), draws=20)}
    p = 1 / (1 + np.exp(-s))
    calibration = {"brier": 0.125, "brier_uncalibrated": 0.25, "reliability": reliability(y, p)}
    record = {"combine": "stacking", "calibrate": "platt", "learnt_from": "other folds", "calibration": calibration}
    parts = {str(fold): part(fold / 8) for fold in range(10)}
    adds = [{"name": name, "own": {"value": 0.75}, **paired_auc(y, s + i, s, draws=20)} for i, name in enumerate(names)]
    show_ensemble({**record, "test": part(2.0), "by_fold": parts, "against_best": paired, "adds": adds})
    words = shown()
    assert words.count("0.7500") == 4 and "without" in words
    assert words.count("experiment_3") >= 2 and words.count("2.000") == 4 and words.count("1.125") == 4
    row = calibration["reliability"][4]
    assert f"{row['from']:.3f}–{row['to']:.3f}" in words and f"{row['observed']:.3f}" in words
