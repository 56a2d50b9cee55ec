"""The plots of a run's page: PNGs that also stand on a slide. Each says run, pack, rule and n."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.special import expit

from lensfold.data import catalog as catalogs
from lensfold.report.plots.figure import BLUE, FOLD_COLOURS, GREEN, LENS, ORANGE, OTHER, Plot, PlotHeading, legend
from lensfold.scoring import curves as stats
from lensfold.scoring.metrics import brier

#: bins of the histograms of logits
HISTOGRAM_BINS = 60


def learning_curves(path: Path, histories: dict[int, pd.DataFrame], heading: PlotHeading) -> None:
    """Draw loss and validation score by epoch, a line a fold, with the stages of the curriculum marked."""
    first = next(iter(histories.values()))
    watched = next((name for name in first.columns if name.startswith("valid_")), None)
    names = {"valid_auc": "validation AUC (no flips or rotations)", "valid_mse": "validation MSE (arcsec²)"}
    plot = Plot("Learning curves", heading)
    panels = [("loss", "training loss", plot.axes(0.075, 0.48, "epoch", "training loss"))]
    if watched:
        label = names.get(watched, watched)
        panels.append((watched, label, plot.axes(0.575, 0.98, "epoch", label)))
    for column, _, axes in panels:
        for number, (fold, table) in enumerate(histories.items()):
            colour = FOLD_COLOURS[number % len(FOLD_COLOURS)]
            if column in table:
                axes.plot(table["epoch"], table[column], color=colour, marker="o", markersize=4, label=f"fold {fold}")
        _mark_stages(axes, first)
    legend(panels[-1][2], loc="best")
    plot.save(path)


def _mark_stages(axes: Axes, history: pd.DataFrame) -> None:
    """A line where a stage begins, its sizes above the axes."""
    part = history["trainable"].astype(str) if "trainable" in history else pd.Series("all", history.index)
    resolution = history["bin"].astype(str) if "bin" in history else pd.Series("", history.index)
    stage = history["min_size"].astype(str) + part + resolution
    starts = np.flatnonzero((stage != stage.shift()).to_numpy())
    last = float(history["epoch"].iloc[-1])
    axes.set_xlim(float(history["epoch"].iloc[0]) - 0.5, last + 0.5)
    rows, previous_narrow = 0, False
    for number, start in enumerate(starts):
        edge = float(history["epoch"].iloc[start]) - 0.5
        end = float(history["epoch"].iloc[starts[number + 1]]) - 0.5 if number + 1 < len(starts) else last + 0.5
        if number % 2:
            axes.axvspan(edge, end, color="0.955", zorder=0, linewidth=0)
        if number:
            axes.axvline(edge, color="0.5", linestyle="--", linewidth=1)
        learning = "" if part.iloc[start] == "all" else f", {part.iloc[start]}"
        if resolution.nunique() > 1:
            learning += f", bin {resolution.iloc[start]}"
        narrow = end - edge < 0.2 * last
        text = f"> {history['min_size'].iloc[start]:g}{'' if narrow else ' px'}{learning}"
        place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        # labels of narrow stages side by side stand one above the other
        rows = (rows + 1) % 3 if narrow and previous_narrow else 0
        previous_narrow = narrow
        place |= {"fontsize": 8 if narrow else 9.5, "color": "0.35", "parse_math": False}
        axes.text((edge + end) / 2, 1.008 + 0.036 * rows, text, **place)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


def roc_and_precision(path: Path, table: pd.DataFrame, auc_text: str, heading: PlotHeading) -> None:
    """Draw the ROC (logarithmic false-positive rate) and precision against recall: pooled, its 95 % band, folds."""
    whole = stats.curve(table["label"], table["logit"]).thinned()
    plot = Plot("ROC and precision–recall", heading)
    roc = plot.axes(0.075, 0.48, "false-positive rate (share of non-lenses that pass)", "recall (true-positive rate)")
    precision = plot.axes(0.575, 0.98, "recall (true-positive rate)", "precision")
    for number, (fold, part) in enumerate(table.groupby("fold")):
        if 0 < part["label"].sum() < len(part):
            own = stats.curve(part["label"], part["logit"]).thinned()
            style: dict[str, Any] = {
                "color": FOLD_COLOURS[(number + 1) % len(FOLD_COLOURS)],
                "linewidth": 1.0,
                "alpha": 0.85,
            }
            _draw_roc(roc, own, label=f"fold {fold}", **style)
            precision.plot(own.recall, own.precision, label=f"fold {fold}", **style)
    low, high = stats.wilson(whole.true, whole.lenses)
    shown = whole.false > 0
    roc.fill_between(whole.false_rate[shown], low[shown], high[shown], color=LENS, alpha=0.18, linewidth=0)
    _draw_roc(roc, whole, color=LENS, linewidth=2.4, label=f"all folds, {auc_text}")
    low, high = stats.wilson(whole.true, whole.true + whole.false)
    precision.fill_between(whole.recall, low, high, color=LENS, alpha=0.18, linewidth=0)
    precision.plot(whole.recall, whole.precision, color=LENS, linewidth=2.4, label="all folds, 95 % binomial band")
    least = 0.7 / whole.others
    chance = np.geomspace(least, 1, 100)
    roc.plot(chance, chance, color="0.6", linestyle=":", label="chance")
    roc.set(xscale="log", xlim=(least, 1), ylim=(0, 1.02))
    prevalence = whole.lenses / (whole.lenses + whole.others)
    precision.axhline(prevalence, color="0.6", linestyle=":", label=f"chance: {prevalence:.1%} are lenses")
    precision.set(xlim=(0, 1), ylim=(0, 1.02))
    legend(roc, loc="best")
    legend(precision, loc="best")
    plot.save(path)


def _draw_roc(axes: Axes, whole: stats.Curve, **style: Any) -> None:
    shown = whole.false > 0
    before = whole.recall[~shown][-1:]
    x, y = whole.false_rate[shown], whole.recall[shown]
    axes.step(np.concatenate([x[:1], x]), np.concatenate([before, y]) if len(before) else np.append(0, y),
              where="post", **style)  # fmt: skip


def score_histograms(path: Path, table: pd.DataFrame, bins: pd.Series, heading: PlotHeading) -> None:
    """Draw logits by class, and of the lenses of each size bin, one row a bin."""
    plot = Plot("Scores by class and by lens size", heading)
    logits, lens = table["logit"].to_numpy(), (table["label"] == 1).to_numpy()
    edges = np.linspace(*_range_of(logits), HISTOGRAM_BINS + 1)
    axes = plot.axes(0.075, 0.48, "logit", "objects in each bar")
    for rows, colour, name in ((~lens, OTHER, "non-lenses"), (lens, LENS, "lenses")):
        counts = np.histogram(np.clip(logits[rows], edges[0], edges[-1]), edges)[0]
        axes.stairs(counts, edges, color=colour, linewidth=1.8, label=f"{name} ({rows.sum():,})")
        axes.stairs(counts, edges, color=colour, alpha=0.2, fill=True)
    axes.set(yscale="log", ylim=(0.7, None), xlim=(edges[0], edges[-1]))
    axes.set_ylim(0.7, axes.get_ylim()[1] * 2.5)
    legend(axes, loc="upper left", ncols=2)
    _probability_axis(axes)
    _ridges(plot.axes(0.64, 0.98, "logit", ""), logits, lens, bins.to_numpy(), edges)
    plot.save(path)


def _range_of(logits: np.ndarray) -> tuple[float, float]:
    """Limits around all but the outermost thousandth on either side, with some room."""
    low, high = np.quantile(logits, [0.001, 0.999])
    room = 0.05 * (high - low) + 1e-6
    return low - room, high + room


def _probability_axis(axes: Axes) -> None:
    """Probabilities along the top of an axis of logits."""
    low, high = axes.get_xlim()
    known = [p for p in (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999) if low < np.log(p / (1 - p)) < high]
    above = axes.secondary_xaxis("top")
    above.set_ticks([np.log(p / (1 - p)) for p in known], labels=[f"{p:g}" for p in known], fontsize=9, color="0.35")
    above.tick_params(length=3, color="0.6", pad=1)
    above.spines["top"].set_visible(False)


def _ridges(axes: Axes, logits: np.ndarray, lens: np.ndarray, bins: np.ndarray, edges: np.ndarray) -> None:
    """Histograms one above the other, each as high as the next: non-lenses below, then lenses by size."""
    rows = [("non-lenses", ~lens, OTHER)]
    rows += [("lenses", lens & (bins < 0), LENS)]  # of unknown size
    rows += [(f"{name} px", lens & (bins == i), LENS) for i, name in enumerate(catalogs.SIZE_BIN_NAMES)]
    rows = [(name, chosen, colour) for name, chosen, colour in rows if chosen.any()]
    for height, (_, chosen, colour) in enumerate(rows):
        counts = np.histogram(np.clip(logits[chosen], edges[0], edges[-1]), edges)[0]
        level = height + 0.85 * counts / counts.max()
        axes.stairs(level, edges, baseline=height, fill=True, color=colour, alpha=0.35)
        axes.stairs(level, edges, baseline=height, color=colour, linewidth=1.2)
        axes.plot([np.median(logits[chosen])] * 2, [height, height + 0.85], color="0.15", linewidth=1.6)
    labels = [f"{name}\nn = {chosen.sum():,}" for name, chosen, _ in rows]
    axes.set_yticks(np.arange(len(rows)) + 0.4, labels=labels, fontsize=9.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set(xlim=(edges[0], edges[-1]), ylim=(-0.05, len(rows)))
    by_size = "lenses by n_pix_source; " if (bins[lens] >= 0).any() else ""
    axes.set_title(f"{by_size}black: median", fontsize=10.5, color="0.3", loc="left")


def reliability_diagram(path: Path, table: pd.DataFrame, heading: PlotHeading) -> None:
    """Draw the share of lenses against the predicted probability with Wilson intervals, and a histogram of these."""
    y, s = table["label"].to_numpy(), table["logit"].to_numpy()
    p, share = expit(s), float(np.mean(y))
    keys = ("predicted", "observed", "low", "high")
    place, observed, low, high = (np.array([row[key] for row in stats.reliability(y, p)]) for key in keys)
    plot = Plot("Reliability of the probabilities", heading)
    axes = plot.axes(0.075, 0.55, "predicted probability (mean of the bin)", "share of lenses")
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", label="perfectly calibrated")
    errors = np.abs(np.stack([observed - low, high - observed]))
    axes.errorbar(place, observed, errors, color=LENS, marker="o", capsize=3, label="bins of equal n, 95 %")
    axes.set(xlim=(0, 1), ylim=(0, 1.0))
    axes.set_title(
        f"Brier score {brier(y, p):.4f} (always answering {share:.3f}: {share * (1 - share):.4f})",
        fontsize=10.5, color="0.3", loc="left",
    )  # fmt: skip
    legend(axes, loc="upper left")
    spread = plot.axes(0.65, 0.98, "predicted probability", "objects in each bar")
    edges = np.linspace(0, 1, 31)
    for rows, colour, name in ((y == 0, OTHER, "non-lenses"), (y == 1, LENS, "lenses")):
        spread.stairs(np.histogram(p[rows], edges)[0], edges, color=colour, linewidth=1.8, label=name)
    spread.set(xlim=(0, 1), ylim=(0, 1.18 * spread.get_ylim()[1]))
    legend(spread, loc="upper center", ncols=2)
    plot.save(path)


def recall_by_size(path: Path, table: pd.DataFrame, objects: pd.DataFrame, heading: PlotHeading) -> None:
    """Draw the recall in bins of the lens size and of the Einstein radius, at fixed false-positive rates.

    Lenses of unknown size or radius are left out of the one or the other.
    """
    plot = Plot("Recall by lens size and by Einstein radius", heading)
    lenses = table[table["label"] == 1]
    known = objects.loc[lenses.index]
    radius, sized = known["theta_E"].notna().to_numpy(), (known["bin"] >= 0).to_numpy()
    panels = (
        (plot.axes(0.075, 0.48, "n_pix_source (pixels of the lensed source)", "recall", top=0.9),
         lenses["logit"][sized], known["bin"][sized].to_numpy(), list(catalogs.SIZE_BIN_NAMES)),
        (plot.axes(0.575, 0.98, "Einstein radius (arcsec)", "recall", top=0.9),
         lenses["logit"][radius], catalogs.radius_bins(known["theta_E"][radius]), list(catalogs.BIN_NAMES["radius"])),
    )  # fmt: skip
    others = int((table["label"] == 0).sum())
    rates = stats.usable_rates(others)
    for axes, logits, bins, names in panels:
        names, counts, bins = _filled_bins(names, bins)
        for number, rate in enumerate(rates):
            threshold = stats.threshold_at_rate(table["label"], table["logit"], rate)
            shares = stats.recall_in_bins(logits, bins, len(names), threshold)
            _draw_shares(axes, shares, (number - (len(rates) - 1) / 2) * 0.16, number, rate, others)
        _name_bins(axes, names, counts)
        axes.set_ylim(-0.02, 1.02)
    legend(panels[0][0], loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=len(rates))
    plot.save(path)


def _filled_bins(names: list[str], bins: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names and counts of the bins that are not empty, and ``bins`` numbered among these."""
    counts = np.bincount(bins, minlength=len(names))
    filled = np.flatnonzero(counts)
    return [names[i] for i in filled], counts[filled], np.searchsorted(filled, bins)


def _name_bins(axes: Axes, names: list[str], counts: np.ndarray) -> None:
    """A tick for each bin, with its name and its number of lenses."""
    axes.set_xticks(np.arange(len(names)), labels=[f"{n}\n({c:,})" for n, c in zip(names, counts, strict=True)])
    axes.tick_params(axis="x", labelsize=9 if len(names) > 7 else 10)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _draw_shares(axes: Axes, shares: stats.Shares, shift: float, number: int, rate: float, others: int) -> None:
    colour, marker = (BLUE, ORANGE, GREEN)[number], "osD"[number]
    filled = shares.trials > 0
    low, high = stats.wilson(shares.successes[filled], shares.trials[filled])
    share = shares.share[filled]
    name = f"false-positive rate ≤ {100 * rate:g} % ({int(rate * others):,})"
    errors = np.abs(np.stack([share - low, high - share]))
    style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 6, "capsize": 3, "linewidth": 1.2}
    axes.errorbar(shares.place[filled] + shift, share, errors, label=name, **style)


def radius_scatter(path: Path, truth: np.ndarray, predicted: np.ndarray, heading: PlotHeading) -> None:
    """Draw predicted against true Einstein radii in arcsec, and the distribution of their ratio."""
    plot = Plot("Einstein radii", heading)
    axes = plot.axes(0.075, 0.5, "true θ_E (arcsec)", "predicted θ_E (arcsec)")
    values = np.concatenate([truth, predicted])
    low, high = np.quantile(values, 0.0005) * 0.9, values.max() * 1.1
    if len(truth) > 3000:
        shown = axes.hexbin(truth, predicted, gridsize=70, xscale="log", yscale="log", bins="log", mincnt=1,
                            extent=(np.log10(low), np.log10(high)) * 2, cmap="viridis", linewidths=0.1)  # fmt: skip
        bar = plot.figure.colorbar(shown, ax=axes, pad=0.02)
        bar.set_label("lenses in each cell", fontsize=11)
    else:
        axes.plot(truth, predicted, ".", color=BLUE, alpha=0.4, markersize=5, markeredgewidth=0)
        axes.set(xscale="log", yscale="log")
    axes.plot([low, high], [low, high], color="0.2", linestyle="--", linewidth=1.2, label="equal")
    axes.set(xlim=(low, high), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else ""))
    legend(axes, loc="upper left")
    spread = plot.axes(0.62, 0.98, "predicted / true", "lenses in each bar")
    ratio = predicted / truth
    spread.hist(np.clip(ratio, 0, 3), np.linspace(0, 3, 61).tolist(), color=BLUE, alpha=0.7)
    spread.axvline(1, color="0.2", linestyle="--", linewidth=1.2)
    spread.set_title(f"median {np.median(ratio):.3f}; beyond 3 counted in the last bar", fontsize=10.5, color="0.3",
                     loc="left")  # fmt: skip
    spread.set_xlim(0, 3)
    plot.save(path)


def radius_errors(
    path: Path, truth: np.ndarray, predicted: np.ndarray, sizes: np.ndarray, heading: PlotHeading
) -> None:
    """Draw the relative error of the radius in bins of the lens size and of the radius: median and central 68 %."""
    plot = Plot("Error of the Einstein radius", heading)
    error = predicted / truth - 1
    size_names, radius_names = list(catalogs.SIZE_BIN_NAMES), list(catalogs.BIN_NAMES["radius"])
    panels = (
        (plot.axes(0.085, 0.48, "n_pix_source (pixels of the lensed source)", "predicted / true − 1", top=0.9),
         sizes, size_names),
        (plot.axes(0.575, 0.98, "true θ_E (arcsec)", "predicted / true − 1", top=0.9),
         catalogs.radius_bins(truth), radius_names),
    )  # fmt: skip
    for axes, bins, names in panels:
        names, counts, bins = _filled_bins(names, bins)
        quantiles = np.array([np.quantile(error[bins == i], [0.16, 0.5, 0.84]) for i in range(len(names))])
        limits = np.abs(quantiles[:, [0, 2]] - quantiles[:, [1]]).T
        style: dict[str, Any] = {
            "color": BLUE,
            "marker": "o",
            "capsize": 4,
            "linewidth": 0,
            "elinewidth": 1.8,
            "markersize": 7,
        }
        axes.errorbar(np.arange(len(names)), quantiles[:, 1], limits, label="median and central 68 %", **style)
        axes.axhline(0, color="0.3", linestyle="--", linewidth=1)
        _name_bins(axes, names, counts)
    legend(panels[0][0], loc="lower left", bbox_to_anchor=(-0.02, 1.0))
    plot.save(path)


def write_lens_plots(
    folder: Path, table: pd.DataFrame, objects: pd.DataFrame, histories: dict, auc_text: str, heading: PlotHeading
) -> list[tuple[str, str]]:
    """Write all plots of a lens run; return (file, what it shows) of each. ``table``: label, logit, fold by ID."""
    written = _learning(folder, histories, heading)
    bins = objects["bin"].loc[table.index]
    roc_and_precision(folder / "roc.png", table, auc_text, heading)
    score_histograms(folder / "histograms.png", table, bins, heading)
    reliability_diagram(folder / "reliability.png", table, heading)
    written += [("roc.png", "ROC and precision–recall"), ("histograms.png", "Scores by class and by lens size"),
                ("reliability.png", "Reliability of the probabilities")]  # fmt: skip
    if (bins[table["label"] == 1] < 0).all():
        return written
    recall_by_size(folder / "recall.png", table, objects, heading)
    return [*written, ("recall.png", "Recall by lens size and by Einstein radius")]


def write_radius_plots(
    folder: Path, truth: np.ndarray, predicted: np.ndarray, sizes: np.ndarray, histories: dict, heading: PlotHeading
) -> list[tuple[str, str]]:
    """Write all plots of a run of Einstein radii (arcsec; only lenses), as :func:`write_lens_plots`."""
    written = _learning(folder, histories, heading)
    radius_scatter(folder / "radii.png", truth, predicted, heading)
    radius_errors(folder / "errors.png", truth, predicted, sizes, heading)
    return [*written, ("radii.png", "Predicted and true Einstein radii"), ("errors.png", "Errors by size and radius")]


def _learning(folder: Path, histories: dict, heading: PlotHeading) -> list[tuple[str, str]]:
    if not histories:
        return []
    learning_curves(folder / "learning.png", histories, heading)
    return [("learning.png", "Learning curves")]
