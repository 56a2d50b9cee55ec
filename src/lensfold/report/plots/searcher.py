"""The plot of what a searcher gets: purity and completeness against the objects inspected, at a stated prevalence."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from lensfold.report.plots.figure import BLUE, Plot, PlotHeading, legend
from lensfold.runs.scores import Score, Searcher
from lensfold.runs.searcher import heading as heading_of
from lensfold.scoring.prevalence import sky_curve


def searcher_plot(path: Path, table: pd.DataFrame, searcher: Searcher, heading: PlotHeading) -> None:
    """Draw both curves and the scores with their intervals; hatched, what is inspected before a false positive is.

    ``table``: label and logit of each object; ``searcher``: the scores of these same objects.
    """
    lenses, objects = searcher.prevalence * searcher.objects, searcher.objects
    plot = Plot(f"What a searcher gets {heading_of([searcher])}", heading)
    name = f"objects inspected, of {objects:,}"
    purity = plot.axes(0.095, 0.475, name, "purity (share of lenses)", top=0.92)
    complete = plot.axes(0.575, 0.965, name, "completeness (lenses found)", top=0.92)
    first = 10 ** np.floor(np.log10(min(searcher.unresolved, searcher.first[0].n)) - 0.5)
    at = np.geomspace(first, objects, 400)
    for axes, best, chance in (
        (purity, np.minimum(1, lenses / at), np.full(len(at), searcher.prevalence)),
        (complete, np.minimum(1, at / lenses), at / objects),
    ):
        axes.plot(at, best, color="0.6", linestyle="--", linewidth=1.2, label="a perfect ranking")
        axes.plot(at, chance, color="0.6", linestyle=":", label="chance")
        _mark_unresolved(axes, first, searcher)
        axes.set(xscale="log", xlim=(first, objects), ylim=(0, 1.03))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    inspected, pure, found = sky_curve(table["label"], table["logit"], searcher.prevalence)
    shown = inspected >= searcher.unresolved * (1 - 1e-9)
    for axes, values in ((purity, pure), (complete, found)):
        axes.plot(inspected[shown], values[shown], color=BLUE, linewidth=2.2, label="this run")
    _draw_scores(purity, complete, searcher)
    purity.set(yscale="log", ylim=(0.7 * searcher.prevalence, 1.3))
    purity.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    legend(purity, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=5)
    plot.save(path)


def _mark_unresolved(axes: Axes, first: float, searcher: Searcher) -> None:
    """Hatch the part where the test has no false positive left to count."""
    label = f"not resolved by {searcher.n_others:,} non-lenses"
    style: dict[str, Any] = {"facecolor": "0.93", "edgecolor": "0.75", "hatch": "///", "linewidth": 0, "zorder": 0}
    axes.axvspan(first, searcher.unresolved, label=label, **style)


def _draw_scores(purity: Axes, complete: Axes, searcher: Searcher) -> None:
    """The scores of the first objects with their 95 % intervals; those that are lower limits as arrows upwards."""
    for axes, key in ((purity, "purity"), (complete, "completeness")):
        for number, row in enumerate(searcher.first):
            score: Score = getattr(row, key)
            style: dict[str, Any] = {"color": BLUE, "zorder": 4, "label": "95 %" if number == 0 else None}
            if row.is_limit:
                low = score.low or 0.0
                axes.errorbar([row.n], [low], low or 0.05, lolims=True, marker="_", **style)
            elif score.value is not None and score.low is not None and score.high is not None:
                errors = [[max(score.value - score.low, 0)], [max(score.high - score.value, 0)]]
                axes.errorbar([row.n], [score.value], errors, marker="o", capsize=3, **style)
