"""Two packs for the eye: objects of each in one stretch, histograms of what they measure, and the table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from lensfold.console import show_table, show_text
from lensfold.data.cache import split_bands
from lensfold.realism.comparison import Comparison, Side
from lensfold.realism.distance import Distance
from lensfold.realism.measure import QUANTITIES
from lensfold.realism.probe import LEAST
from lensfold.report.canvas import BAR, MARGIN, Canvas
from lensfold.report.plots.figure import BLUE, ORANGE
from lensfold.report.stretch import colour, grey, zoom
from lensfold.runs.scores import NOTHING, interval_text

#: objects of each pack that are shown
SHOWN = 12
#: objects below which a mark for each stands in the place of a histogram
FEW = 30
#: objects in a row; screen pixels of a frame's side, between frames, and of the heads
COLUMNS, SIDE, GAP, TOP, HEAD = 6, 200, 8, 96, 40
#: quantities with a histogram, in the order of the panels
PANELS = (
    *("mag_VIS", "sigma_VIS", "correlation_VIS", "width_VIS", "half_light", "VIS_Y"),
    *("mag_H", "sigma_H", "correlation_H", "width_H", "peaks", "J_H"),
)
#: widest table, in columns of the terminal
WIDEST = 100
NAMES = ("real", "simulated")
COLOURS = (BLUE, ORANGE)


def draw_comparison(path: Path, found: Comparison) -> None:
    """Write a PNG: objects of both packs, VIS above colour, in one stretch, and under them the histograms.

    Raises InputError where it cannot be written.
    """
    wide = COLUMNS * (SIDE + GAP) - GAP
    width, right = 2 * wide + 3 * MARGIN + GAP, 2 * MARGIN + GAP + wide
    lines = max(-(-len(side.rows) // COLUMNS) for side in (found.real, found.simulated))
    panels = TOP + HEAD + lines * (2 * SIDE + 2 * GAP) + 30
    page = Canvas(width, panels + 2 * 320 + MARGIN, f"{found.real.pack} beside {found.simulated.pack}", False)
    frame = len(split_bands(found.real.rows[0])["VIS"]) // 10
    legend = (
        f'VIS, and below it H, mean(Y, J), VIS in colour, {frame}" wide, bar {BAR:g}"; one stretch for all, in '
        "units of the background sigma of both packs together."
    )
    page.text(MARGIN, 60, legend, 10, color="0.4")
    for left, side, name, ink in zip((MARGIN, right), (found.real, found.simulated), NAMES, COLOURS, strict=True):
        page.text(left, TOP + 4, f"{name}: {_of(side)}", 11, room=wide, weight="bold", color=ink)
        _draw_objects(page, left, TOP + HEAD, side, found.sigma)
    _draw_panels(page, panels, found)
    page.save(path)


def _draw_objects(page: Canvas, left: int, top: int, side: Side, sigma: dict[str, float]) -> None:
    for number, row in enumerate(side.rows):
        images = split_bands(row)
        x, y = left + number % COLUMNS * (SIDE + GAP), top + number // COLUMNS * (2 * SIDE + 2 * GAP)
        page.frame(x, y, grey(images["VIS"], sigma["VIS"], "VIS"), zoom(len(images["VIS"])), 0.1)
        page.frame(x, y + SIDE, colour(images, sigma), zoom(len(images["VIS"])), 0.1)


def _draw_panels(page: Canvas, top: int, found: Comparison) -> None:
    of = {one.name: one for one in found.distances}
    step = (page.width - 2 * MARGIN + 40) // (len(PANELS) // 2)
    for number, name in enumerate(PANELS):
        left, down = MARGIN + 14 + number % (len(PANELS) // 2) * step, top + number // (len(PANELS) // 2) * 320
        axes = page.axes(left, down + 26, step - 54, 225)
        values = [side.table[name].dropna().to_numpy() for side in (found.real, found.simulated)]
        _histogram(axes, values, name)
        axes.set_title(_panel_title(of[name]), fontsize=9, loc="left")


def _panel_title(one: Distance) -> str:
    far = " · far" if one.is_far else ""
    return f"{QUANTITIES[one.name].label} · KS {_number(one.ks, '.2f')}{far}"


def _histogram(axes: Axes, values: Sequence[np.ndarray], name: str) -> None:
    """Shares of the objects of both packs in common bins; of a pack with FEW a mark for each object."""
    axes.set_yticks([])
    for spine in ("top", "right", "left"):
        axes.spines[spine].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.ticklabel_format(axis="x", useOffset=False, scilimits=(-4, 4))
    axes.xaxis.get_offset_text().set_fontsize(8)
    together = np.concatenate(values)
    if not len(together):
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", fontsize=9, color="0.4")
        return
    low, high = _limits(values)
    edges = np.linspace(low, high, 31)
    if name == "peaks":
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.5, max(1, round((high - low) / 30)))
    for one, ink, label in zip(values, COLOURS, NAMES, strict=True):
        if len(one) < FEW:
            inside = np.clip(one, edges[0], edges[-1])
            axes.plot(inside, np.full(len(one), 0.04), "|", color=ink, markersize=16, markeredgewidth=2,
                      transform=axes.get_xaxis_transform(), label=label)  # fmt: skip
            continue
        weights = np.full(len(one), 1 / len(one))
        inside = np.clip(one, edges[0], edges[-1])
        axes.hist(inside, edges.tolist(), weights=weights, color=ink, alpha=0.25)
        axes.hist(inside, edges.tolist(), weights=weights, color=ink, histtype="step", linewidth=1.6)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, None)
    axes.locator_params("x", nbins=6)


def _limits(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """What most of each pack lies between; the rest is counted in the outermost bins."""
    ends = [np.quantile(one, (0.01, 0.99)) for one in values if len(one)]
    low, high = float(min(end[0] for end in ends)), float(max(end[1] for end in ends))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def show_comparison(found: Comparison, paths: Sequence[Path]) -> None:
    """Print where the files are, one table of at most WIDEST columns, and one sentence."""
    for path in paths:
        print(path)
    rows = [
        [
            QUANTITIES[one.name].label,
            *(_quantiles(values, QUANTITIES[one.name].form) for values in (one.real, one.simulated)),
            _number(one.ks, ".2f"),
            "far" if one.is_far else "",
        ]
        for one in found.distances
    ]
    title = f"10, 50 and 90 % of the objects · real: {_of(found.real)} · simulated: {_of(found.simulated)}"
    show_table(title, ("quantity", *NAMES, "KS", ""), rows, most=WIDEST)
    show_text(_sentence(found))


def _of(side: Side) -> str:
    sky = " (SYNTHETIC)" if side.synthetic else ""
    return f"{side.pack} {side.split}{sky}, n = {side.n:,}{f' of {side.of:,}' if side.of > side.n else ''}"


def _quantiles(values: Sequence[float], form: str) -> str:
    return NOTHING if not np.isfinite(values).all() else " ".join(f"{value:{form}}" for value in values)


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if np.isfinite(value) else NOTHING


def _sentence(found: Comparison) -> str:
    """Return one sentence: whether a probe can distinguish the two, and what differs most."""
    far = sorted((one for one in found.distances if one.is_far), key=lambda one: -one.ks)
    most = ", ".join(QUANTITIES[one.name].label for one in far[:3])
    measured = f"{len(far)} of {len(found.distances)} quantities {'is' if len(far) == 1 else 'are'} far apart" + (
        f", most of all {most}" if far else ""
    )
    if found.probe is None:
        side, name = min((found.real, "real"), (found.simulated, "simulated"), key=lambda one: one[0].n)
        return f"n = {side.n} {name} objects are too few for a probe, which needs {LEAST} a side; {measured}."
    sentence = f"A probe on frozen features tells them apart with AUC {interval_text(found.probe)}"
    return f"{sentence} (0.5: it cannot); {measured}."
