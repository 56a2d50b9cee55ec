"""The rounds of ranking, marking and training again, for a person: who marked what, how they went, their curve."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from lensfold.console import show_table, show_text
from lensfold.data.labels.marks import Marks
from lensfold.data.labels.rounds import Round, found_lenses
from lensfold.paths import Pack
from lensfold.report.plots.figure import FOLD_COLOURS, GREY, Plot, PlotHeading, legend

#: disagreements in the terminal; all of them are in the round's folder
SHOWN = 10


def write_curve(folder: Path, rounds: Sequence[Round], pack: str, synthetic: bool) -> Path:
    """Draw lenses found against objects inspected, a colour a round; return the PNG's path."""
    path = folder / "rounds.png"
    lenses, start = found_lenses(rounds), 0
    counts = f"{len(lenses):,} inspected, {lenses[-1] if len(lenses) else 0:,} lenses"
    plot = Plot("Lenses found", PlotHeading("marks of people", pack, "given", counts, synthetic))
    axes = plot.axes(0.075, 0.72, "objects inspected", "lenses found")
    for one in rounds:
        stop = start + len(one.inspected)
        x, y = np.arange(start, stop + 1), np.append(lenses[start - 1] if start else 0, lenses[start:stop])
        colour = FOLD_COLOURS[(one.number - 1) % len(FOLD_COLOURS)]
        axes.plot(x, y, color=colour, linewidth=2, label=f"round {one.number}: {one.lenses:,} of {len(x) - 1:,}")
        start = stop
    most = max(len(lenses), 1)
    axes.plot([0, most], [0, most], color=GREY, linestyle="--", linewidth=1, label="every one a lens")
    axes.set_xlim(0, most)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.set_ylim(bottom=0, top=max(1.0, 1.08 * (lenses[-1] if len(lenses) else 0)))
    legend(axes, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    plot.save(path)
    return path


def show_labelled(
    pack: Pack,
    marks: Sequence[Marks],
    table: pd.DataFrame,
    names: pd.Series,
    changed: Sequence[int],
    rounds: Sequence[Round],
    curve: Path,
) -> None:
    """Print who marked what, where they disagree, how the rounds went, and what to do next."""
    rows = [_person(one, table) for one in marks]
    show_table("marks", ["person", "marked", "lens", "undecided", "not", "against the others"], rows, left=1)
    split = table[table["disagree"]]
    if len(split):
        columns = [one.person for one in marks]
        cells = [[names[i], *("" if pd.isna(x) else f"{x:g}" for x in row)] for i, row in
                 zip(split.index[:SHOWN], split[columns].to_numpy(), strict=False)]  # fmt: skip
        show_table(f"{len(split)} that they do not agree on (1 lens, 0 not)", ["name", *columns], cells, left=1)
    total = found_lenses(rounds)
    ends = np.cumsum([len(one.inspected) for one in rounds])
    cells = [
        [one.number, f"{len(one.inspected):,}", f"{one.lenses:,}", _rate(one), f"{total[end - 1] if end else 0:,}"]
        for one, end in zip(rounds, ends, strict=True)
    ]
    show_table("rounds", ["round", "inspected", "lenses", "inspected per lens", "lenses in all"], cells, left=1)
    again = f", {len(changed):,} of those labelled before have another label now" if changed else ""
    show_text(f"{pack.labels}: {len(rounds[-1].inspected):,} new labels{again}. Curve: {curve}")


def _person(one: Marks, table: pd.DataFrame) -> list[object]:
    """Return a person's row: how many of each kind, and how often the others' mean is on the other side of a half."""
    values = one.values
    people = table.loc[values.index, "people"]
    others = (table.loc[values.index, "label"] * people - values) / (people - 1).where(people > 1)
    against = int((((values > 0.5) & (others < 0.5)) | ((values < 0.5) & (others > 0.5))).sum())
    shared = int((people > 1).sum())
    kinds = [int(kind.sum()) for kind in (values > 0.5, values == 0.5, values < 0.5)]
    return [one.person, len(values), *kinds, f"{against} of {shared}" if shared else "–"]


def _rate(one: Round) -> str:
    return f"{len(one.inspected) / one.lenses:.1f}" if one.lenses else "–"
