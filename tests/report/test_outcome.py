"""The last thing a run prints: one table that fits, one sentence that is true."""

import pytest
from fakes.board import searcher_scores

from lensfold import console
from lensfold.report import outcome
from lensfold.report.outcome import elsewhere, show_outcome
from lensfold.runs.scores import Score

OVER = {"draws": 1000, "seed": 0, "over": "haloes"}


def score(value: float | None, half: float = 0.01) -> dict:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def lens_row(name: str = "small_cnn", auc: float | None = 0.879, **others) -> dict:
    scores = {"auc": score(auc), "auc_large": score(0.95), "f1": score(0.8), "tpr10": score(0.25)}
    base = {"name": name, "rule": "official-2020", "n": 4000, "folds": [0, 1, 2], "of_folds": 3, "bootstrap": OVER}
    return {**base, **scores, **others}


def radius_row(name: str = "radii", mse: float = 0.25) -> dict:
    scores = {"mse": score(mse), "mse_constant": score(0.9)}
    base = {"name": name, "task": "einstein-radius", "rule": "official-2020", "n": 1800, "bootstrap": OVER}
    return {**base, "folds": [0, 1, 2], "of_folds": 3, **scores}


def shown(capsys, rows, before=None, simulated=False, width=0) -> tuple[list[str], str]:
    """The lines of the table and the sentence, of a terminal or a pipe."""
    with pytest.MonkeyPatch.context() as patch:
        if width:
            patch.setattr(console, "width", lambda: width)
            patch.setattr(outcome, "width", lambda: width)
        show_outcome("sample", rows, before or [None] * len(rows), simulated)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line]
    assert max(map(len, lines)) <= min(width or 100, 100)
    last = max(number for number, line in enumerate(lines) if "  " in line)
    return lines[: last + 1], " ".join(lines[last + 1 :])


def test_a_row_a_run_and_one_for_the_ensemble(capsys):
    rows = [lens_row(), lens_row("fast_cnn", 0.86), lens_row("ensemble (logit-mean)", 0.885)]
    table, sentence = shown(capsys, rows, [None, Score(value=0.85), Score(value=0.883, low=0.873, high=0.893)])
    assert table[1].split("  ")[0] == "run" and "since last" in table[1] and "AUC (95 % over haloes)" in table[1]
    cells = [line.split() for line in table[3:]]
    assert cells[0] == ["small_cnn", "0.879", "(0.869–0.889)", "0.950", "0.800", "0.250", "4,000", "first"]
    assert cells[1][-1] == "+0.010" and cells[2][-1] == "+0.002" and len(cells) == 3
    assert sentence == (
        "The ensemble's AUC out of fold is 0.885 (0.875–0.895) on 4,000 objects, +0.002 against its last other score; "
        "the intervals overlap: may be chance."
    )


@pytest.mark.parametrize("width", [60, 80, 99, 100, 200, 0])
def test_it_fits(capsys, width):
    names = ("a_network_with_a_name_that_is_long_but_possible_" * 2, "b", "ensemble (logit-mean)")
    rows = [lens_row(name, folds=[0, 1]) for name in names]
    table, _ = shown(capsys, rows, simulated=True, width=width)
    assert ("TPR10" in " ".join(table)) == (width >= 100 or not width)
    assert any("since" in line for line in table) and "ensemble" in " ".join(table)


def test_a_simulated_pack_is_called_synthetic(capsys):
    table, sentence = shown(capsys, [lens_row()], simulated=True)
    assert "SYNTHETIC" in table[0] and "4,000 simulated objects" in sentence
    table, sentence = shown(capsys, [lens_row()])
    assert "SYNTHETIC" not in table[0] and "simulated objects" not in sentence


def test_what_a_searcher_gets_is_said_last_of_the_row_that_counts(capsys):
    rows = [lens_row(**searcher_scores(prevalence=0.3)), lens_row("ensemble (stacking)", 0.9, **searcher_scores())]
    table, sentence = shown(capsys, rows)
    assert "1 lens in 2,000" in sentence and "0.3" not in sentence and sentence.endswith("looks.")
    assert len(table) == 5


def test_the_first_score_is_compared_with_nothing(capsys):
    table, sentence = shown(capsys, [lens_row()])
    assert table[-1].endswith("first") and "no earlier score" in sentence and sentence.startswith("small_cnn's AUC")


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (
            Score(value=0.85, low=0.84, high=0.86),
            "+0.029 against its last other score; the intervals do not overlap: better",
        ),
        (
            Score(value=0.91, low=0.90, high=0.92),
            "-0.031 against its last other score; the intervals do not overlap: worse",
        ),
        (
            Score(value=0.86, low=0.85, high=0.87),
            "+0.019 against its last other score; the intervals overlap: may be chance",
        ),
        (Score(value=0.879, low=0.869, high=0.889), "+0.000 against its last other score: the same."),
        (
            Score(value=0.88),
            "-0.001 against its last other score; that score is within the 95 % interval of this one: may",
        ),
        (
            Score(value=0.86),
            "+0.019 against its last other score; that score is not within the 95 % interval of this one: b",
        ),
    ],
)
def test_better_worse_or_chance(capsys, before, words):
    _, sentence = shown(capsys, [lens_row()], [before])
    assert words in sentence


def test_of_radii_less_is_better(capsys):
    rows = [radius_row("one", 0.3), radius_row("two", 0.2)]
    table, sentence = shown(capsys, rows, [None, Score(value=0.25, low=0.24, high=0.26)], simulated=True)
    assert "MSE (95 % over haloes)" in table[1] and "MSE of a constant" in table[1]
    assert sentence == (
        "two's MSE out of fold is 0.200 (0.190–0.210) arcsec² on 1,800 simulated lenses, -0.050 against its last other "
        "score; the intervals do not overlap: better, and hardly by chance."
    )


def test_without_an_ensemble_the_sentence_is_of_the_best_run(capsys):
    _, sentence = shown(capsys, [lens_row("a", 0.8), lens_row("b", 0.9), lens_row("c", None)])
    assert sentence.startswith("b's AUC")


def test_missing_folds_and_undefined_scores_are_said(capsys):
    table, sentence = shown(capsys, [lens_row("a", None, folds=[1])])
    assert "a (1 of 3 folds)" in table[-1] and table[-1].endswith("–")
    assert sentence == "a (1 of 3 folds) has no AUC on 4,000 objects: it is not defined there."


def test_no_rows(capsys):
    show_outcome("p", [], [], False)
    assert "no score.json" in capsys.readouterr().out


def test_scores_of_another_sky_are_no_scores_of_this_pack():
    rows = [lens_row(), lens_row("ensemble (stacking)", 0.9)]
    text = elsewhere("mine", "euclid", True, [rows, [radius_row()]], False)
    assert text.startswith(
        "How good these scores are on mine is not known: it has no labels. The networks learnt from "
    )
    assert "learnt from euclid (SYNTHETIC), and out of fold their AUC is 0.900 (0.890–0.910) and MSE is 0.250" in text
    assert "arcsec² there. That is no score of mine, where they may do far worse: see docs/euclid.md#what-" in text
    text = elsewhere("away", "real", False, [[], []], True)
    assert text == (
        "How good these scores are on away `lensfold grade --pack away` says. The networks learnt from real, and their "
        "own scores are not at hand."
    )
