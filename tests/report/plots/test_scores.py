"""Plots of a report are PNGs of one size whatever the runs are, without warnings; what they draw is in the axes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes.workspace import environment
from PIL import Image

from lensfold.report.plots import scores as plots
from lensfold.report.plots.figure import Plot, PlotHeading
from lensfold.report.plots.searcher import searcher_plot
from lensfold.runs.searcher import searcher_of
from lensfold.scoring.prevalence import searcher_table

HEADING = PlotHeading("run", "pack", "official-2020", "n = 5", True)
AWKWARD = "a $b_c$ <d> & \\frac{1}{2} 50% θ 中 \n #1" + "long" * 60


def table(n, folds=3, seed=0, ties=False):
    """Labels, logits and folds of n objects of both classes in every fold, and their sizes and radii."""
    generator = np.random.default_rng(seed)
    label = (np.arange(n) // folds % 2).astype(float)
    logit = label * 0 if ties else 2 * label + generator.normal(size=n)
    rows = pd.DataFrame({"label": label, "logit": logit, "fold": np.arange(n) % folds}, index=np.arange(n) + 1)
    objects = {"bin": generator.integers(0, 6, n), "theta_E": generator.lognormal(0.8, 0.5, n)}
    return rows, pd.DataFrame(objects, rows.index)


def history(epochs=3, **columns):
    return pd.DataFrame({"epoch": np.arange(epochs) + 1, "min_size": 20, "loss": 0.5, "valid_auc": 0.7, **columns})


@pytest.mark.parametrize(
    ("rows", "histories"),
    [
        (table(600), {0: history(min_size=[150, 150, 20], trainable=["head", "all", "all"]), 1: history()}),
        (table(12), {1: history(1)}),
        (table(4, folds=1), {}),
        (table(60, ties=True), {0: history(), 9: history(5)}),
    ],
    ids=["ordinary", "few", "four objects", "equal logits"],
)
def test_plots_of_any_lens_run_are_written(tmp_path, rows, histories):
    written = plots.write_lens_plots(tmp_path, *rows, histories, "AUC 0.9", HEADING)
    assert len(written) == 4 + bool(histories) and sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name for name, _ in written
    )
    for name, _ in written:
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG" and picture.size == (1600, 768)


@pytest.mark.parametrize(
    ("rows", "prevalence"),
    [(table(600), 1 / 2000), (table(4, folds=1), 1 / 2000), (table(60, ties=True), 0.3), (table(4000), 1e-6)],
)
def test_what_a_searcher_gets_is_drawn_for_any_run(tmp_path, rows, prevalence):
    searcher = searcher_table(rows[0]["label"], rows[0]["logit"], prevalence, draws=20)
    searcher_plot(tmp_path / "searcher.png", rows[0], searcher_of({"searcher": searcher}), HEADING)
    with Image.open(tmp_path / "searcher.png") as picture:
        assert picture.size == (1600, 768)


@pytest.mark.parametrize("n", [2, 50, 4000])
def test_plots_of_any_radius_run_are_written(tmp_path, n):
    generator = np.random.default_rng(n)
    truth = generator.lognormal(0.8, 0.5, n)
    predicted = truth * generator.lognormal(0, 0.2, n)
    histories = {0: history().rename(columns={"valid_auc": "valid_mse"})}
    written = plots.write_radius_plots(tmp_path, truth, predicted, generator.integers(0, 6, n), histories, HEADING)
    assert [name for name, _ in written] == ["learning.png", "radii.png", "errors.png"]
    assert all((tmp_path / name).stat().st_size > 10_000 for name, _ in written)


def test_any_name_can_stand_in_a_heading(tmp_path):
    heading = PlotHeading(AWKWARD, AWKWARD, AWKWARD, AWKWARD, True)
    plots.learning_curves(tmp_path / "x.png", {0: history(trainable=["$b_c$", "<b>", "x"])}, heading)
    assert (tmp_path / "x.png").is_file()


def test_synthetic_is_written_on_simulated_packs_alone(tmp_path):
    for synthetic in (True, False):
        Plot("title", PlotHeading("run", "pack", "rule", "n = 1", synthetic)).save(tmp_path / f"{synthetic}.png")
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int) for name in (True, False)]
    red = [np.sum((p[..., 0] > 150) & (p[..., 1] < 100) & (p[..., 2] < 100)) for p in pictures]
    assert red[0] > 1000 and red[1] == 0


def test_stages_are_marked_where_they_begin():
    axes = Plot("t", HEADING).axes(0.1, 0.9, "epoch", "loss")
    plots._mark_stages(axes, history(4, min_size=[150, 150, 20, 20], trainable=["all", "all", "all", "head"]))
    assert [line.get_xdata()[0] for line in axes.lines] == [2.5, 3.5]
    assert [text.get_text() for text in axes.texts] == ["> 150 px", "> 20 px", "> 20 px, head"]
    axes = Plot("t", HEADING).axes(0.1, 0.9, "epoch", "loss")
    plots._mark_stages(axes, history(4, trainable="all", bin=[4, 4, 2, 2]))
    assert [text.get_text() for text in axes.texts] == ["> 20 px, bin 4", "> 20 px, bin 2"]


def test_the_roc_begins_before_its_first_false_positive():
    """Half of the lenses stand before it, and the line starts there."""
    rows = pd.DataFrame({"label": [1, 1, 0, 1, 1, 0], "logit": [6, 5, 4, 3, 2, 1]})
    axes = Plot("t", HEADING).axes(0.1, 0.9, "x", "y")
    plots._draw_roc(axes, plots.stats.curve(rows["label"], rows["logit"]))
    x, y = axes.lines[0].get_data()
    assert x.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0] and y.tolist() == [0.5, 0.5, 0.75, 1.0, 1.0]


def test_empty_bins_are_not_drawn():
    names, counts, bins = plots._filled_bins(["a", "b", "c", "d"], np.array([3, 1, 3]))
    assert names == ["b", "d"] and counts.tolist() == [1, 2] and bins.tolist() == [1, 0, 1]


def test_pyplot_is_left_alone():
    code = "import sys, lensfold.report.pages; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
