"""The paper's figures from a pack and its runs: PNGs beside the page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from lensfold.config import PixelSettings
from lensfold.data import catalog as catalogs
from lensfold.data.cache import split_bands
from lensfold.errors import InputError
from lensfold.inputs.pixels import fit_constants, linear_channels, scaled_by_itself, standardised, stretched
from lensfold.paper.measures import RULE, on_task
from lensfold.paper.plan import LARGE
from lensfold.paths import Pack, Workspace
from lensfold.report import pictures
from lensfold.report.contents import read_histories
from lensfold.report.pictures import Album
from lensfold.report.plots.figure import BLUE, Plot, PlotHeading
from lensfold.report.plots.scores import learning_curves, roc_and_precision
from lensfold.runs.run import Run

#: sizes of the lenses of figure 4, in pixels
FALLING_SIZES = (500, 300, 150, 70, 20)
#: figures 5 and 6: the end of the file's name, and the run
CURVES = {"small-cnn": "table3-small-cnn", "efficientnet": "table3-efficientnet"}
#: objects that the constants of figure 2 are fitted on
FITTED = 64


def pack_figures(album: Album, folder: Path) -> None:
    """Draw figures 1 to 4: extreme examples, preprocessing, the histogram of sizes, lenses of falling size."""
    catalog = _catalog(album)
    table = catalog.loc[catalog.index.intersection(pd.Index(album.cache.ids))]
    large = _of_size(table, float(table["n_pix_source"].quantile(0.995)))
    clean = int(table.index[catalogs.without_source(table)][0])
    _sheet(album, [large, clean], folder / "figure1.png", "Figure 1: extremes", 2)
    preprocessing(album, large, folder / "figure2.png")
    title = f"Figure 3: lens sizes of {len(catalog):,} objects, {album.name}"
    pictures.size_histogram(folder / "figure3.png", catalog["n_pix_source"], title, album.synthetic)
    falling = [_of_size(table, size) for size in FALLING_SIZES]
    _sheet(album, falling, folder / "figure4.png", "Figure 4: lenses of falling size", 5)


def _catalog(album: Album) -> pd.DataFrame:
    """Return the catalog of an album of train objects; InputError for one without."""
    if album.catalog is None:
        raise InputError(f"{album.name}: has no catalog, which the paper's figures need.")
    return album.catalog


def _size_text(album: Album, object_id: int) -> str:
    """Return the lens size of an object in words."""
    return f"{_catalog(album)['n_pix_source'].loc[object_id]:.0f} px of lensed source"


def _of_size(table: pd.DataFrame, size: float) -> int:
    """Return the object with a source whose lens size is nearest, in ratio, to ``size`` pixels."""
    seen = table["n_pix_source"][(table["n_sources"] > 0) & (table["n_pix_source"] > 0)]
    return int(np.abs(np.log(seen / size)).idxmin())


def _sheet(album: Album, ids: list[int], path: Path, title: str, columns: int) -> None:
    captions = [f"{i}: {_size_text(album, i)}" for i in ids]
    tiles = list(zip(map(split_bands, album.cache.read(ids)), captions, strict=True))
    pictures.contact_sheet(path, {"": tiles}, album.cache.sigma, title, album.synthetic, columns)


def preprocessing(album: Album, object_id: int, path: Path) -> None:
    """Draw figure 2: VIS of one object after each step of the preprocessing, with the histogram of its pixels."""
    images = split_bands(album.cache.read([object_id])[0])
    settings = PixelSettings(mix="vis", crop=len(images["VIS"]), bin=1, stretch="log")
    sample = [split_bands(row) for row in album.cache.read(album.cache.ids[:FITTED])]
    constants = fit_constants(sample, settings, album.cache.sigma)
    linear = linear_channels(images, settings, album.cache.sigma)
    by_itself = scaled_by_itself(linear, settings.model_copy(update={"scaling": "image"}))
    steps = {
        "flux / background sigma": linear,
        "log scale": stretched(linear, settings),
        "log scale, standardised": standardised(linear, settings, constants),
        "as the authors' code:\neach image by itself": by_itself,
    }
    size = _size_text(album, object_id)
    heading = PlotHeading(f"VIS of object {object_id}", album.name, "none", size, album.synthetic)
    plot = Plot("Figure 2: preprocessing", heading, height=6.4)
    for number, (name, values) in enumerate(steps.items()):
        left = 0.06 + 0.238 * number
        picture = plot.axes(left, left + 0.205, "", "", bottom=0.38)
        picture.imshow(values[..., 0], origin="lower", cmap="gray", interpolation="nearest")
        picture.set_title(name, fontsize=10)
        picture.set_axis_off()
        histogram = plot.axes(left, left + 0.205, "pixel value", "pixels" if number == 0 else "", top=0.30)
        histogram.hist(values.ravel(), bins=60, color=BLUE, log=True)
        histogram.tick_params(labelsize=8)
    plot.save(path)


def run_figures(workspace: Workspace, pack: Pack, labels: pd.Series, scores: dict[str, dict], folder: Path) -> None:
    """Draw figures 5 and 6 of each run of CURVES: learning curves, ROC on the paper's task."""
    synthetic = pack.is_simulated
    catalog = catalogs.read_catalog(pack.catalog)
    for file, name in CURVES.items():
        table = on_task(workspace, pack, name, labels)
        counts = f"n = {len(table):,} ({int(table['label'].sum()):,} lenses)"
        heading = PlotHeading(name, pack.name, f"lenses > {LARGE} px against no source", counts, synthetic)
        histories = read_histories(Run(workspace.run(pack.name, name)))
        # validation is the whole fold, under the whole rule, whatever is trained on; a pack of the task has no other
        whole = heading if len(table) == len(catalog) else replace(heading, rule=RULE, counts=f"n = {len(catalog):,}")
        learning_curves(folder / f"figure5-{file}.png", histories, whole)
        auc = scores[name]["auc"]
        text = f"AUC {auc['value']:.3f} ({auc['low']:.3f}–{auc['high']:.3f})"
        roc_and_precision(folder / f"figure6-{file}.png", table, text, heading)


def spectrum_figure(shares: dict[str, list[float]], heading: PlotHeading, path: Path) -> None:
    """Draw the eigenvalues of each kernel PCA, as shares of their sum."""
    plot = Plot("Kernel PCA: the largest eigenvalues", heading)
    axes = plot.axes(0.08, 0.75, "component", "share of the sum of all")
    for name, values in shares.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=4, label=name)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    plot.save(path)
