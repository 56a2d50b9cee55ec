"""The frame of every plot: size, colours, title, subtitle, axes and legend.

As in `lensfold.report.pictures` only Figure and FigureCanvasAgg of matplotlib are used, which leave its global
state as it is. Colours are those of Okabe and Ito, which the colour-blind can distinguish.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lensfold.files import replacing

DPI = 160
WIDTH, HEIGHT = 10.0, 4.8
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666",
)  # fmt: skip
FOLD_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)
LENS, OTHER = BLUE, ORANGE


@dataclass(frozen=True)
class PlotHeading:
    """What the second line of a plot says, and whether it is marked as synthetic."""

    run: str
    pack: str
    rule: str
    counts: str
    synthetic: bool


class Plot:
    """A figure with a title, a subtitle and axes side by side."""

    def __init__(self, title: str, heading: PlotHeading, height: float = HEIGHT):
        self.figure = Figure(figsize=(WIDTH, height), dpi=DPI)
        FigureCanvasAgg(self.figure)
        line = f"{heading.run} · pack {heading.pack} · rule {heading.rule} · {heading.counts}"
        self._text(0.012, 1 - 0.09 / height, title, fontsize=15, weight="bold")
        self._text(0.012, 1 - 0.40 / height, line, fontsize=10.5, color="0.3")
        if heading.synthetic:
            self._text(0.988, 1 - 0.09 / height, "SYNTHETIC", fontsize=15, weight="bold", color="#cc3311", ha="right")
        self._top, self._bottom = 1 - 0.92 / height, 0.68 / height

    def _text(self, x: float, y: float, text: str, **style: Any) -> None:
        # names come from folders: no mathematics in them, no letter that the font may lack
        text = "".join(x if x.isprintable() and (ord(x) < 0x250 or x == "–") else "?" for x in text)
        text = text if len(text) <= 120 else text[:119] + "…"
        self.figure.text(x, y, text, va="top", parse_math=False, **style)

    def axes(self, left: float, right: float, xlabel: str, ylabel: str, top: float = 1.0, bottom: float = 0.0) -> Axes:
        """Return axes between shares of the figure's width, and of the height below title and subtitle."""
        span = self._top - self._bottom
        low = self._bottom + bottom * span
        axes = self.figure.add_axes((left, low, right - left, self._bottom + top * span - low))
        axes.set_xlabel(xlabel, fontsize=12)
        axes.set_ylabel(ylabel, fontsize=12)
        axes.tick_params(labelsize=11)
        axes.grid(color="0.9", linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return axes

    def save(self, path: Path) -> None:
        """Write the PNG; InputError where it cannot be written."""
        with replacing(path) as temporary:
            self.figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def legend(axes: Axes, **place: Any) -> None:
    """Draw a legend without a frame; ``place`` is passed to matplotlib."""
    axes.legend(fontsize=10, frameon=False, handlelength=1.6, **place)


def counts_text(n: int, lenses: int | None = None, folds: Sequence[int] = (), of_folds: int = 0) -> str:
    """Return in words n, how many of them are lenses (None: all), and the folds where some are missing."""
    text = f"n = {n:,} lenses" if lenses is None else f"n = {n:,} ({lenses:,} lenses)"
    return text if len(folds) == of_folds else f"{text} · {len(folds)} of {of_folds} folds"
