"""Pictures a person looks at: sheets of objects, the histogram of lens sizes, frames before and after their import.

All objects share one fixed stretch, in units of the split's background sigma, so that their pictures compare. Pixels
are enlarged by whole factors and never interpolated; those without data are magenta. Of matplotlib only Figure and
FigureCanvasAgg are used, which leave its global state alone.
"""

import itertools
import textwrap
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from astropy.visualization import ManualInterval, make_lupton_rgb
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache, split_bands
from lensfold.errors import InputError
from lensfold.files import replacing
from lensfold.inputs.pixels import on_vis_grid
from lensfold.paths import BAND_SHAPES, BANDS

#: a power of two, so that a page's size in inches gives back its pixels exactly
DPI = 128
#: grey levels: asinh(x / SOFTENING) from BLACK to WHITE, all in background sigmas; NISP pixels hold nine times the sky
SOFTENING, BLACK = 2.0, -2.0
WHITE = {"VIS": 250.0, "Y": 800.0, "J": 800.0, "H": 800.0}
#: factors on H, mean(Y, J) and VIS in sigmas: an early-type galaxy comes out warm, a young source blue; black, in
#: sigmas; the share of each channel that is the mean of all three
COLOUR_WEIGHTS, COLOUR_BLACK, COLOUR_MEAN = (0.4, 0.6, 1.0), -0.5, 0.25
#: Gaussian that blurs VIS to the width of NISP, in pixels; sigmas added to VIS so that its noise is not sharpened
VIS_BLUR, PEDESTAL = 2.0, 5.0
NO_DATA = (255, 0, 255)
#: screen pixels a pixel on an object's sheet; length of the scale bars in arcsec
VIS_ZOOM, NISP_ZOOM, BAR = 3, 6, 2.0
#: layout in screen pixels: a page's border, and what its head takes; most objects on one contact sheet
MARGIN, TOP, MOST_ON_SHEET = 24, 96, 200
LEGEND = (
    f"Grey: asinh(x / {SOFTENING:g}), x = flux / background sigma, black at {BLACK:g}, white at {WHITE['VIS']:g} (VIS) "
    f"or {WHITE['H']:g} (Y, J, H). Colour: H, mean(Y, J) and VIS as red, green and blue, at the resolution of NISP, "
    "sharpened by VIS. The same for every object. Magenta: no data."
)
SHEET_LEGEND = f'VIS, and H, mean(Y, J), VIS in colour, 20" wide, bar {BAR:g}", one stretch for all. Magenta: no data.'
#: catalog columns among an object's facts
FACTS = ("n_source_im", "mag_eff", "sb_contrast", "n_sources", "mag_source", "z_source", "mag_lens", "z_lens")
#: an object's bands in flux units, and the background sigma of each; heading → (images, caption) of what is under it
Images = Mapping[str, np.ndarray]
Sigmas = Mapping[str, float]
Rows = Mapping[str, Sequence[tuple[Images, str]]]
#: one band of any size, (height, width) in flux per pixel, NaN where a pixel is bad; and its arcsec per pixel
Frame = tuple[np.ndarray, float]


@dataclass(frozen=True)
class Album:
    """What the pictures of a split are made from; ``name`` says in titles which pack and split it is."""

    cache: Cache
    name: str
    catalog: pd.DataFrame | None = None
    folds: pd.Series | None = None
    synthetic: bool = False


def grey(image: np.ndarray, sigma: float, band: str, white: float | None = None) -> np.ndarray:
    """Grey levels of one frame, (height, width) in flux → uint8 (height, width, 3); NO_DATA where it is not finite.

    ``white``: the level, in sigmas, that is white; None for that of the band.
    """
    bad = ~np.isfinite(image)
    x = np.where(bad, 0, image) / (sigma or 1)  # zero: of frames without any noise
    low, high = np.arcsinh(BLACK / SOFTENING), np.arcsinh((white or WHITE[band]) / SOFTENING)
    level = np.clip((np.arcsinh(x / SOFTENING) - low) / (high - low), 0, 1)
    shown = np.repeat(np.rint(255 * level).astype(np.uint8)[..., None], 3, axis=-1)
    shown[bad] = NO_DATA
    return shown


def colour(images: Images, sigma: Sigmas, gain: float = 1.0) -> np.ndarray:
    """H, mean(Y, J), VIS as red, green, blue on the VIS grid: uint8 (200, 200, 3); NO_DATA where any band has none.

    Blue is VIS blurred to the width of NISP, so that cores are not blue; VIS over that then sharpens all three.
    ``gain`` multiplies all of them at the end: more than 1 shows fainter light.
    """
    y, j, h = (on_vis_grid(images[band] / (sigma[band] or 1)) for band in BANDS[1:])
    planes = np.stack([h, (y + j) / 2, images["VIS"] / (sigma["VIS"] or 1)])
    bad = ~np.isfinite(planes).all(axis=0)
    planes = np.where(bad, 0, planes).astype(np.float32)
    blurred = cv2.GaussianBlur(planes[2], (0, 0), VIS_BLUR)
    sharper = np.maximum(planes[2] + PEDESTAL, 0) / np.maximum(blurred + PEDESTAL, 1)
    mixed = np.stack([planes[0], planes[1], blurred]) * sharper * np.reshape(COLOUR_WEIGHTS, (3, 1, 1)) * gain
    mixed += COLOUR_MEAN * (mixed.mean(axis=0) - mixed)
    with np.errstate(divide="ignore", invalid="ignore"):  # astropy divides by an intensity of zero, then mends it
        shown = make_lupton_rgb(*mixed, interval=ManualInterval(COLOUR_BLACK, None))
    shown[bad] = NO_DATA
    return shown


def object_sheet(
    path: Path, images: Images, sigma: Sigmas, title: str, facts: Mapping[str, str], synthetic: bool = False
) -> None:
    """Write a PNG of one object: VIS, colour, Y, J and H with scale bars, and a column of ``facts``, name → text.

    ``images``: flux per pixel by band, shapes ``BAND_SHAPES``, NaN allowed; ``sigma``: of the background, in the same
    units, the cache's. ``synthetic`` writes the word on the picture. InputError where it cannot be written.
    """
    side, small = VIS_ZOOM * BAND_SHAPES["VIS"][0], NISP_ZOOM * BAND_SHAPES["Y"][0]
    column, below = 2 * (MARGIN + side) + 40, TOP + side + 46
    page = _Page(column + 440, max(below + small + MARGIN, TOP + 38 * len(facts) + 200), title, synthetic)
    page.frame(MARGIN, TOP, grey(images["VIS"], sigma["VIS"], "VIS"), VIS_ZOOM, 0.1, 'VIS, 0.1"/px')
    page.frame(MARGIN + side + 20, TOP, colour(images, sigma), VIS_ZOOM, 0.1, "colour: H, mean(Y, J), VIS")
    for left, band in zip(itertools.count(MARGIN, small + 16), BANDS[1:], strict=False):
        page.frame(left, below, grey(images[band], sigma[band], band), NISP_ZOOM, 0.3, f'{band}, 0.3"/px')
    for top, (name, text) in zip(itertools.count(TOP, 38), facts.items(), strict=False):
        page.text(column, top, name, 10, room=200, color="0.4")
        page.text(column + 200, top, text, 10, room=230)
    for top, line in zip(itertools.count(page.height - 148, 24), textwrap.wrap(LEGEND, 54), strict=False):
        page.text(column, top, line, 7.5, color="0.4")
    page.save(path)


def contact_sheet(path: Path, rows: Rows, sigma: Sigmas, title: str, synthetic: bool = False, columns: int = 8) -> None:
    """Write a PNG of many objects, VIS beside colour at one screen pixel a VIS pixel, a line under each.

    ``rows``: heading (may be empty) → (images, caption) of what stands under it; the rest as in :func:`object_sheet`.
    """
    columns, above, width, height = min(columns, max(2, *map(len, rows.values()), 2)), 32, 412, 234
    total = sum(height * -(-len(tiles) // columns) + above * bool(heading and tiles) for heading, tiles in rows.items())
    page = _Page(columns * width - 12 + 2 * MARGIN, TOP + total, title, synthetic)
    page.text(MARGIN, 62, SHEET_LEGEND, 8, color="0.4")
    top = TOP
    for heading, tiles in rows.items():
        if heading and tiles:
            page.text(MARGIN, top + 3, heading, 10, weight="bold")
            top += above
        for number, (images, caption) in enumerate(tiles):
            left, down = MARGIN + number % columns * width, top + number // columns * height
            page.frame(left, down, grey(images["VIS"], sigma["VIS"], "VIS"), 1, 0.1)
            page.frame(left + 200, down, colour(images, sigma), 1, 0.1)
            page.text(left, down + 205, caption, 7.5, room=width)
        top += height * -(-len(tiles) // columns)
    page.save(path)


def size_histogram(path: Path, sizes: Iterable[float], title: str, synthetic: bool = False) -> None:
    """Write a PNG of the lens sizes (``n_pix_source``, in pixels) of a catalog.

    Zero has a bar and a scale of its own. The edges of the other bars, logarithmic, include those of the project's
    size bins; the number of objects in each of these is written above it.
    """
    sizes = np.asarray(list(sizes), dtype=np.float64)
    positive = sizes[sizes > 0]
    page = _Page(1500, 740, title, synthetic)
    apart, zeros = page.axes(110, 130, 90, 520), len(sizes) - len(positive)
    apart.bar([0], [zeros], width=0.7, color="0.6")
    apart.set(xlim=(-0.7, 0.7), xticks=[0], ylim=(0, 1.08 * max(zeros, 1)), ylabel="objects without a lensed image")
    main, edges = page.axes(310, 130, 1150, 520), _size_edges(positive.max(initial=0.0))
    counts = np.histogram(positive, edges)[0]
    main.bar(edges[:-1], counts, np.diff(edges), align="edge", color="#4477aa", edgecolor="white", linewidth=0.5)
    main.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1.08 * max(counts.max(), 1)))
    main.set(xlabel="n_pix_source: pixels of the lensed source above threshold", ylabel="objects in each bar")
    main.xaxis.set_major_formatter("{x:,.0f}")
    main.locator_params("y", integer=True)
    _mark_size_bins(main, sizes, edges)
    page.save(path)


def _size_edges(largest: float) -> np.ndarray:
    """Edges of the bars in pixels, float64: halfway between whole numbers, those of the size bins among them."""
    borders = np.array([0, *catalogs.SIZE_BINS, max(np.ceil(largest), 1000)]) + 0.5
    steps = np.maximum(1, np.rint(14 * np.log10(borders[1:] / borders[:-1]))).astype(int)
    parts = [np.geomspace(*ends, 1 + step) for *ends, step in zip(borders[:-1], borders[1:], steps, strict=True)]
    return np.unique(np.rint(np.concatenate(parts) - 0.5)) + 0.5


def _mark_size_bins(axes: Axes, sizes: np.ndarray, edges: np.ndarray) -> None:
    """Lines between the project's size bins, and above each its name and its number of objects."""
    borders = [edges[0], *np.add(catalogs.SIZE_BINS, 0.5), edges[-1]]
    counts = np.bincount(np.searchsorted(catalogs.SIZE_BINS, sizes, side="left"), minlength=len(borders) - 1)
    place = {"transform": axes.get_xaxis_transform(), "va": "bottom", "fontsize": 8}
    axes.text(0.95 * edges[0], 1.02, "size bin\nobjects", ha="right", color="0.4", **place)
    for name, low, high, count in zip(catalogs.SIZE_BIN_NAMES, borders[:-1], borders[1:], counts, strict=True):
        zeros = f" ({np.sum(sizes == 0):,} of them 0)" if low == edges[0] else ""
        axes.text(np.sqrt(low * high), 1.02, f"{name}\n{count:,}{zeros}", ha="center", **place)
        if low != edges[0]:
            axes.axvline(low, color="#cc3311", linewidth=1, linestyle=":" if low == 40.5 else "-")


def before_after(
    path: Path, before: Mapping[str, Frame], after: Mapping[str, Frame], title: str, synthetic: bool = False
) -> None:
    """Write a PNG of what an import made: each band's input frame above its output frame, axes in arcsec.

    Both in the same flux units, shown in one stretch of surface brightness a band, in units of the output's noise. A
    cyan square on the input is what the output kept. InputError where it cannot be written.
    """
    bands = [band for band in BANDS if band in after]
    page = _Page(max(900, 60 + 420 * len(bands)), 970, title, synthetic)
    page.text(MARGIN, 62, "Axes in arcsec, one stretch a band. Cyan: what the output keeps. Magenta: no data.", 8)
    for number, band in enumerate(bands):
        kept, kept_scale = after[band]
        sigma = _typical_noise(kept) / kept_scale**2
        for top, name, frames in ((130, "input", before), (560, "output", after)):
            if band in frames:
                image, scale = frames[band]
                axes, (y, x) = page.axes(70 + 420 * number, top, 360, 360), np.array(image.shape) * scale / 2
                shown = grey(image / scale**2, sigma, band)
                axes.imshow(shown, origin="lower", extent=(-x, x, -y, y), interpolation="nearest")
                axes.locator_params(nbins=6)
                size = f'{image.shape[1]} x {image.shape[0]} px of {scale:g}"'
                axes.set_title(f"{band} {name}: {size}, {np.sum(~np.isfinite(image))} bad", fontsize=8)
                if name == "input":
                    y, x = np.array(kept.shape) * kept_scale / 2
                    axes.add_patch(Rectangle((-x, -y), 2 * x, 2 * y, fill=False, color="cyan", linewidth=1))
    page.save(path)


def object_facts(album: Album, object_id: int) -> dict[str, str]:
    """What catalog, folds and cache tell of one object, name → text; what is not known is left out."""
    facts = {"ID": str(object_id)}
    if album.catalog is not None and object_id in album.catalog.index:
        part, row = album.catalog.loc[[object_id]], album.catalog.loc[object_id]
        facts["n_pix_source"] = f"{row['n_pix_source']:.0f} px"
        facts["theta_E"] = f'{np.degrees(np.sqrt(max(row["ein_area"], 0) / np.pi)) * 3600:.2f}"'
        for name in FACTS:
            facts[name] = f"{row[name]:.4g}" if abs(row[name]) < -catalogs.NO_SOURCE else "-"
        for rule in catalogs.LABEL_RULES:
            label = catalogs.labels(part, rule).iloc[0]
            facts[rule] = "dropped" if np.isnan(label) else "lens" if label else "non-lens"
    if album.folds is not None and object_id in album.folds.index:
        facts["fold"] = str(album.folds.loc[object_id])
    mended = album.cache.manifest["repaired"].get(str(object_id), {})
    facts["mended pixels"] = ", ".join(f"{band} {count}" for band, count in mended.items()) or "none"
    return facts


def show_objects(album: Album, ids: Sequence[int], folder: Path) -> list[Path]:
    """Write ``<ID>.png`` of each, and contact sheets of several, into a folder; return the paths.

    Raises InputError for an ID that is not cached, before anything is written.
    """
    known = album.cache.ids
    for object_id in ids:
        if object_id not in known:
            reason = f"it has {len(known)} IDs: {', '.join(map(str, known[:5]))}, ..."
            reason = album.cache.manifest["refused"].get(str(object_id), reason)
            raise InputError(f"ID {object_id} is not in {album.cache.folder}: {reason}")
    paths = [folder / f"{object_id}.png" for object_id in ids]
    for object_id, path in zip(ids, paths, strict=True):
        images, facts = split_bands(album.cache.read([object_id])[0]), object_facts(album, object_id)
        object_sheet(path, images, album.cache.sigma, f"{album.name}: {object_id}", facts, album.synthetic)
    for start in range(0, len(ids) if len(ids) > 1 else 0, MOST_ON_SHEET):
        part = ids[start : start + MOST_ON_SHEET]
        paths.append(_contact(album, {"": part}, folder / f"contact-{start // MOST_ON_SHEET + 1}.png"))
    return paths


def look(album: Album, folder: Path, seed: int = 0, per_bin: int = 8, without_source: int = 16) -> list[Path]:
    """Write ``contact.png`` of a seeded sample, and ``sizes.png``, into a folder; return the paths.

    The sample: up to ``per_bin`` objects with a source of each size bin, large first, then ``without_source`` without
    one. Without a catalog (a test split) as many at random, and no histogram. InputError for more than a sheet holds.
    """
    count = per_bin * len(catalogs.SIZE_BIN_NAMES) + without_source
    if not 0 < count <= MOST_ON_SHEET:
        raise InputError(f"{count} objects to look at: a contact sheet holds 1 to {MOST_ON_SHEET}.")
    if album.catalog is None:
        return [_contact(album, {"": _drawn(album.cache.ids, count, [seed])}, folder / "contact.png")]
    table = album.catalog.loc[album.catalog.index.intersection(album.cache.ids)]
    source, bins, rows = table["n_sources"] > 0, catalogs.size_bins(table), {}
    for number, size in reversed([*enumerate(catalogs.SIZE_BIN_NAMES)]):
        rows[f"source, {size} px"] = _drawn(table.index[source & (bins == number)], per_bin, [seed, number])
    rows["no source"] = _drawn(table.index[~source], without_source, [seed, len(rows)])
    title = f"{album.name}: lens sizes of {len(album.catalog):,} objects"
    size_histogram(folder / "sizes.png", album.catalog["n_pix_source"], title, album.synthetic)
    return [_contact(album, rows, folder / "contact.png"), folder / "sizes.png"]


def _drawn(ids: np.ndarray | pd.Index, count: int, seed: Sequence[int]) -> list[int]:
    generator = np.random.default_rng([zlib.crc32(b"look"), *seed])
    return sorted(generator.choice(ids, min(count, len(ids)), replace=False).tolist())


def _contact(album: Album, rows: Mapping[str, Sequence[int]], path: Path) -> Path:
    """A contact sheet of IDs by heading, with captions from the catalog."""
    tiles, rule = {}, catalogs.DEFAULT_RULE
    words = {"ID": "", "n_pix_source": "", "theta_E": "theta_E ", rule: f"{rule}: "}
    for heading, ids in rows.items():
        facts = [object_facts(album, object_id) for object_id in ids]
        captions = [", ".join(word + known[name] for name, word in words.items() if name in known) for known in facts]
        tiles[heading] = list(zip(map(split_bands, album.cache.read(ids)), captions, strict=True))
    title = f"{album.name}: {sum(map(len, rows.values()))} objects"
    contact_sheet(path, tiles, album.cache.sigma, title, album.synthetic)
    return path


def _typical_noise(image: np.ndarray) -> float:
    """1.4826 × the median absolute deviation of the pixels that hold something: exact zeros are blank strips."""
    values = image[np.isfinite(image) & (image != 0)]
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


class _Page:
    """A white page measured in pixels from its top left corner: frames go in pixel by pixel, text on top."""

    def __init__(self, width: int, height: int, title: str, synthetic: bool):
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(self.figure)
        if synthetic:
            self.text(width - MARGIN, 20, "SYNTHETIC", 14, color="#cc3311", weight="bold", ha="right")
        self.text(MARGIN, 20, title, 14, room=width - 2 * MARGIN - 190 * synthetic, weight="bold")

    def text(self, left: int, top: int, text: str, size: float, room: int | None = None, **style: object) -> None:
        """A line of text, "$" and all, cut to fit into ``room`` pixels; "?" for what the font may lack."""
        text = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in text)
        place = {"va": "top", "fontsize": size, "parse_math": False, "usetex": False, "family": "DejaVu Sans"}
        artist = self.figure.text(left / self.width, 1 - top / self.height, text[:300], **place, **style)
        for end in range(min(300, len(text)) - 1, 0, -1) if room else ():
            if artist.get_window_extent().width <= room:
                break
            artist.set_text(text[:end] + "...")

    def frame(self, left: int, top: int, shown: np.ndarray, zoom: int, scale: float, label: str = "") -> None:
        """A frame, its first row at the bottom as in FITS, each pixel ``zoom`` × ``zoom``, with a scale bar."""
        enlarged = shown[::-1].repeat(zoom, axis=0).repeat(zoom, axis=1)
        x, y, length = 3 + 3 * zoom, len(enlarged) - 4 - 3 * zoom, round(zoom * BAR / scale)
        enlarged[y - 5 : y + 1, x - 1 : x + length + 1] = 0
        enlarged[y - 4 : y, x : x + length] = 255
        # each by itself and not one for the page: matplotlib's own copies of an image are many times its size
        self.figure.figimage(enlarged, left, self.height - top - len(enlarged), origin="upper", zorder=-1)
        if label:
            edge = [withStroke(linewidth=2.5, foreground="black")]
            self.text(left + x, top + y - 30, f'{BAR:g}"', 9, color="white", path_effects=edge)
            self.text(left, top - 24, label, 9)

    def axes(self, left: int, top: int, width: int, height: int) -> Axes:
        """Axes at a place in pixels."""
        box = (left, self.height - top - height, width, height) / np.array([self.width, self.height] * 2)
        return self.figure.add_axes(box)

    def save(self, path: Path) -> None:
        """Write the PNG; InputError where it cannot be written."""
        with replacing(path) as temporary:
            self.figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
