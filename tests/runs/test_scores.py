"""Scores as they are called, written and kept."""

import pytest

from lensfold.errors import InputError
from lensfold.runs.scores import SCORE_NAMES, Score, Scores, interval_text, limits_text, parse_scores, score_text


def test_names_are_of_scores_and_their_own():
    labels = [name.label for name in SCORE_NAMES.values()]
    assert len(set(labels)) == len(labels)
    of_tables = {name for name in Scores.model_fields if "auc" in name or "mse" in name or "tpr" in name}
    assert {name for name in of_tables if not name.endswith("_by_size")} <= set(SCORE_NAMES)


def test_less_is_better_of_errors_only():
    losses = {name for name, shown in SCORE_NAMES.items() if shown.is_loss}
    expected = {"one_minus_f_beta", "one_minus_f_beta_best", "one_minus_f_beta_corner", "one_minus_f_beta_half"}
    assert losses == expected | {"brier", "mse", "mse_constant", "relative_rms", "median_error"}


@pytest.mark.parametrize("kind", [dict, Score])
def test_texts(kind):
    score = kind(value=0.12345, low=0.1, high=0.2)
    assert (score_text(score), limits_text(score), interval_text(score, 2)) == (
        "0.123",
        "0.100–0.200",
        "0.12 (0.10–0.20)",
    )
    bare = kind(value=0.5, low=None, high=None)
    assert (interval_text(bare), limits_text(bare)) == ("0.500", "")
    none = kind(value=None, low=None, high=None)
    assert (score_text(none), interval_text(none)) == ("–", "–")
    assert score_text(None) == "–"


def test_damage_names_the_key_and_the_remedy():
    with pytest.raises(InputError, match=r"^folds: .* Run make x\.$"):
        parse_scores(b'{"pack": "p", "rule": "r", "n": 3, "of_folds": 3, "folds": []}', "make x")
