"""Pictures a person looks at: sheets of objects, the histogram of lens sizes, frames before and after their import."""

import itertools
import textwrap
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache, split_bands
from lensfold.errors import InputError
from lensfold.frames import BANDS, SIDES, band_shapes
from lensfold.report.canvas import BAR, MARGIN, Canvas
from lensfold.report.stretch import BLACK, SOFTENING, WHITE, Images, Sigmas, colour, grey, zoom

#: screen pixels a pixel of a frame of 20" on an object's sheet, twice as many for 10"
VIS_ZOOM, NISP_ZOOM = 3, 6
#: height of a page's head in screen pixels; most objects on one contact sheet
TOP, MOST_ON_SHEET = 96, 200
LEGEND = (
    f"Grey: asinh(x / {SOFTENING:g}), x = flux / background sigma, black at {BLACK:g}, white at {WHITE['VIS']:g} (VIS) "
    f"or {WHITE['H']:g} (Y, J, H). Colour: H, mean(Y, J) and VIS as red, green and blue, at the resolution of NISP, "
    "sharpened by VIS. The same for every object. Magenta: no data."
)
SHEET_LEGEND = f'VIS, and H, mean(Y, J), VIS in colour, bar {BAR:g}", one stretch for all. Magenta: no data.'
#: catalog columns among an object's facts
FACTS = ("n_source_im", "mag_eff", "sb_contrast", "n_sources", "mag_source", "z_source", "mag_lens", "z_lens")
#: heading → (images, caption) of the objects under it
Rows = Mapping[str, Sequence[tuple[Images, str]]]
#: one band of any size, (height, width) in flux per pixel, NaN where a pixel is bad; and its arcsec per pixel
Frame = tuple[np.ndarray, float]


@dataclass(frozen=True)
class Album:
    """What the pictures of a split are made from; ``name``: pack and split, for the titles; ``objects``: by ID, as in
    `lensfold.data.objects`."""

    cache: Cache
    name: str
    catalog: pd.DataFrame | None = None
    folds: pd.Series | None = None
    objects: pd.DataFrame | None = None
    synthetic: bool = False

    def ids_of(self, words: Iterable[str]) -> list[int]:
        """Return the IDs of objects given by ID or name, of one name all; InputError for one that is not cached."""
        return [object_id for word in words for object_id in self._ids_of(word)]

    def _ids_of(self, word: str) -> list[int]:
        called = [] if self.objects is None else self.objects.index[self.objects["name"] == word].tolist()
        ids = called or ([int(word)] if word.isdecimal() else [])
        refused = self.cache.manifest["refused"]
        for object_id in ids:
            if object_id not in self.cache.ids and str(object_id) in refused:
                raise InputError(f"{word} is not in {self.cache.folder}: {refused[str(object_id)]}")
        known = [object_id for object_id in ids if object_id in self.cache.ids]
        if known:
            return known
        there = ", ".join(self.title_of(object_id) for object_id in self.cache.ids[:5].tolist())
        count = "1 object" if len(self.cache.ids) == 1 else f"{len(self.cache.ids)} objects"
        raise InputError(
            f"{word} is not in {self.cache.folder}: it has {count}: {there}"
            f"{', …' if len(self.cache.ids) > 5 else ''}. Give an ID or a name of these."
        )

    def title_of(self, object_id: int) -> str:
        """Return what an object is called: its name where it has one, else its ID."""
        if self.objects is None or object_id not in self.objects.index:
            return str(object_id)
        return str(self.objects.loc[object_id, "name"])


def object_sheet(
    path: Path, images: Images, sigma: Sigmas, title: str, facts: Mapping[str, str], synthetic: bool = False
) -> None:
    """Write a PNG of one object: VIS, colour, the NISP bands with scale bars, and a column of ``facts``, name → text.

    ``images``: flux per pixel by band, shapes ``band_shapes``, NaN allowed; ``sigma``: of the background, in the same
    units, the cache's. ``synthetic`` writes the word on the picture. Raises InputError where it cannot be written.
    """
    larger = zoom(len(images["VIS"]))
    side, small = VIS_ZOOM * SIDES[0], NISP_ZOOM * band_shapes(SIDES[0])["Y"][0]
    shown = "colour: H, mean(Y, J), VIS" if _has_all(sigma) else "VIS and the NISP bands there are"
    column, below = 2 * (MARGIN + side) + 40, TOP + side + 46
    page = Canvas(column + 440, max(below + small + MARGIN, TOP + 38 * len(facts) + 200), title, synthetic)
    page.frame(MARGIN, TOP, grey(images["VIS"], sigma["VIS"], "VIS"), larger * VIS_ZOOM, 0.1, 'VIS, 0.1"/px')
    page.frame(MARGIN + side + 20, TOP, colour(images, sigma), larger * VIS_ZOOM, 0.1, shown)
    for left, band in zip(itertools.count(MARGIN, small + 16), filter(sigma.__contains__, BANDS[1:]), strict=False):
        page.frame(left, below, grey(images[band], sigma[band], band), larger * NISP_ZOOM, 0.3, f'{band}, 0.3"/px')
    for top, (name, text) in zip(itertools.count(TOP, 38), facts.items(), strict=False):
        page.text(column, top, name, 10, room=200, color="0.4")
        page.text(column + 200, top, text, 10, room=230)
    for top, line in zip(itertools.count(page.height - 148, 24), textwrap.wrap(LEGEND, 54), strict=False):
        page.text(column, top, line, 7.5, color="0.4")
    page.save(path)


def contact_sheet(path: Path, rows: Rows, sigma: Sigmas, title: str, synthetic: bool = False, columns: int = 8) -> None:
    """Write a PNG of many objects: VIS beside colour, 200 screen pixels each, and a line under each.

    ``rows``: heading (may be empty) → (images, caption) of what stands under it; the rest as in :func:`object_sheet`.
    """
    columns, above, width, height = min(columns, max(2, *map(len, rows.values()), 2)), 32, 412, 234
    total = sum(height * -(-len(tiles) // columns) + above * bool(heading and tiles) for heading, tiles in rows.items())
    page = Canvas(columns * width - 12 + 2 * MARGIN, TOP + total, title, synthetic)
    legend = SHEET_LEGEND if _has_all(sigma) else f"{SHEET_LEGEND} Bands that there are stand for those the pack lacks."
    page.text(MARGIN, 62, legend, 8, room=page.width - 2 * MARGIN, color="0.4")
    top = TOP
    for heading, tiles in rows.items():
        if heading and tiles:
            page.text(MARGIN, top + 3, heading, 10, weight="bold")
            top += above
        for number, (images, caption) in enumerate(tiles):
            left, down = MARGIN + number % columns * width, top + number // columns * height
            larger = zoom(len(images["VIS"]))
            page.frame(left, down, grey(images["VIS"], sigma["VIS"], "VIS"), larger, 0.1)
            page.frame(left + 200, down, colour(images, sigma), larger, 0.1)
            page.text(left, down + 205, caption, 7.5, room=width)
        top += height * -(-len(tiles) // columns)
    page.save(path)


def _has_all(sigma: Sigmas) -> bool:
    return all(band in sigma for band in BANDS)


def size_histogram(path: Path, sizes: Iterable[float], title: str, synthetic: bool = False) -> None:
    """Write a PNG of the lens sizes (``n_pix_source``, in pixels) of a catalog.

    Zero has a bar and a scale of its own. The edges of the other bars, logarithmic, include those of the project's
    size bins; the number of objects in each of these is written above it.
    """
    pixels = np.asarray(list(sizes), dtype=np.float64)
    positive = pixels[pixels > 0]
    page = Canvas(1500, 740, title, synthetic)
    apart, zeros = page.axes(110, 130, 90, 520), len(pixels) - len(positive)
    apart.bar([0], [zeros], width=0.7, color="0.6")
    apart.set(xlim=(-0.7, 0.7), xticks=[0], ylim=(0, 1.08 * max(zeros, 1)), ylabel="objects without a lensed image")
    main, edges = page.axes(310, 130, 1150, 520), _size_edges(positive.max(initial=0.0))
    counts = np.histogram(positive, edges)[0]
    main.bar(edges[:-1], counts, np.diff(edges), align="edge", color="#4477aa", edgecolor="white", linewidth=0.5)
    main.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1.08 * max(counts.max(), 1)))
    main.set(xlabel="n_pix_source: pixels of the lensed source above threshold", ylabel="objects in each bar")
    main.xaxis.set_major_formatter("{x:,.0f}")
    main.locator_params("y", integer=True)
    _mark_size_bins(main, pixels, edges)
    page.save(path)


def _size_edges(largest: float) -> np.ndarray:
    """Return the bars' edges in pixels, float64: halfway between whole numbers, those of the size bins among them."""
    borders = np.array([0, *catalogs.SIZE_BINS, max(np.ceil(largest), 1000)]) + 0.5
    steps = np.maximum(1, np.rint(14 * np.log10(borders[1:] / borders[:-1]))).astype(int)
    ends = zip(borders[:-1], borders[1:], steps, strict=True)
    parts = [np.geomspace(low, high, int(1 + step)) for low, high, step in ends]
    return np.unique(np.rint(np.concatenate(parts) - 0.5)) + 0.5


def _mark_size_bins(axes: Axes, sizes: np.ndarray, edges: np.ndarray) -> None:
    """Draw lines between the project's size bins, and above each its name and its number of objects."""
    borders = [edges[0], *np.add(catalogs.SIZE_BINS, 0.5), edges[-1]]
    counts = np.bincount(np.searchsorted(catalogs.SIZE_BINS, sizes, side="left"), minlength=len(borders) - 1)
    place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "va": "bottom", "fontsize": 8}
    axes.text(0.95 * edges[0], 1.02, "size bin\nobjects", ha="right", color="0.4", **place)
    for name, low, high, count in zip(catalogs.SIZE_BIN_NAMES, borders[:-1], borders[1:], counts, strict=True):
        zeros = f" ({np.sum(sizes == 0):,} of them 0)" if low == edges[0] else ""
        axes.text(np.sqrt(low * high), 1.02, f"{name}\n{count:,}{zeros}", ha="center", **place)
        if low != edges[0]:
            axes.axvline(low, color="#cc3311", linewidth=1, linestyle=":" if low == 40.5 else "-")


def before_after(
    path: Path,
    before: Mapping[str, Frame],
    after: Mapping[str, Frame],
    title: str,
    synthetic: bool = False,
    middles: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Write a PNG of what an import made: each band's input frame above its output frame, axes in arcsec.

    Both are in the same flux units and share one stretch of surface brightness a band, in units of the output's
    noise. The cyan square on the input is what the output kept; its middle is ``middles`` arcsec to the right of the
    input's and above, where a band is in there. Raises InputError where the file cannot be written.
    """
    bands = [band for band in BANDS if band in after]
    page = Canvas(max(900, 60 + 420 * len(bands)), 970, title, synthetic)
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
                    right, up = (middles or {}).get(band, (0.0, 0.0))
                    corner = (right - x, up - y)
                    axes.add_patch(Rectangle(corner, 2 * x, 2 * y, fill=False, color="cyan", linewidth=1))
    page.save(path)


def object_facts(album: Album, object_id: int) -> dict[str, str]:
    """Return what catalog, folds and cache say of one object, name → text; what is not known is left out."""
    facts: dict[str, str] = {"ID": str(object_id)}
    if album.objects is not None and object_id in album.objects.index:
        place = album.objects.loc[object_id]
        facts |= {"name": album.title_of(object_id), "RA, Dec": f"{place['ra']:.5f} {place['dec']:+.5f}"}
        facts |= {"flags": str(place["flags"])} if place["flags"] else {}
    if album.catalog is not None and object_id in album.catalog.index:
        part = album.catalog.loc[[object_id]]
        row = part.iloc[0]
        facts |= _given_facts(row) if catalogs.is_given(part) else _catalog_facts(row)
        for rule in catalogs.rules_of(part):
            label = catalogs.labels(part, rule).iloc[0]
            facts[rule] = "dropped" if np.isnan(label) else "lens" if label else "non-lens"
    if album.folds is not None and object_id in album.folds.index:
        facts["fold"] = str(album.folds.loc[object_id])
    if not _has_all(album.cache.sigma):
        facts["bands"] = ", ".join(album.cache.sigma)
    mended = album.cache.manifest["repaired"].get(str(object_id), {})
    facts["mended pixels"] = ", ".join(f"{band} {count}" for band, count in mended.items()) or "none"
    return facts


def _catalog_facts(row: pd.Series) -> dict[str, str]:
    facts = {
        "n_pix_source": f"{row['n_pix_source']:.0f} px",
        "theta_E": f'{np.degrees(np.sqrt(max(row["ein_area"], 0) / np.pi)) * 3600:.2f}"',
    }
    values = {name: row[name] for name in FACTS}
    return facts | {name: f"{v:.4g}" if abs(v) < -catalogs.NO_SOURCE else "-" for name, v in values.items()}


def _given_facts(row: pd.Series) -> dict[str, str]:
    size = {} if np.isnan(row["n_pix_source"]) else {"n_pix_source": f"{row['n_pix_source']:.0f} px"}
    return {**size, "label": f"{row['label']:g}", "weight": f"{row['weight']:g}"}


def show_objects(album: Album, ids: Sequence[int], folder: Path) -> list[Path]:
    """Write ``<ID>.png`` of each of these objects, and contact sheets of several, into a folder; return the paths."""
    paths = [folder / f"{object_id}.png" for object_id in ids]
    for object_id, path in zip(ids, paths, strict=True):
        images, facts = split_bands(album.cache.read([object_id])[0]), object_facts(album, object_id)
        object_sheet(
            path, images, album.cache.sigma, f"{album.name}: {album.title_of(object_id)}", facts, album.synthetic
        )
    for start in range(0, len(ids) if len(ids) > 1 else 0, MOST_ON_SHEET):
        part = ids[start : start + MOST_ON_SHEET]
        paths.append(_contact(album, {"": part}, folder / f"contact-{start // MOST_ON_SHEET + 1}.png"))
    return paths


def look(album: Album, folder: Path, seed: int = 0, per_bin: int = 8, without_source: int = 16) -> list[Path]:
    """Write ``contact.png`` of a seeded sample, and ``sizes.png``, into a folder; return the paths.

    The sample: up to ``per_bin`` objects with a source of each size bin, large first, then ``without_source`` without
    one. Of the user's own labels without sizes half lenses, half non-lenses, and without a catalog (a test split) as
    many at random; both without a histogram. Raises InputError for more objects than
    a sheet has room for.
    """
    count = per_bin * len(catalogs.SIZE_BIN_NAMES) + without_source
    if not 0 < count <= MOST_ON_SHEET:
        raise InputError(f"{count} objects to look at: a contact sheet has room for 1 to {MOST_ON_SHEET}.")
    if album.catalog is None:
        return [_contact(album, {"": _drawn(album.cache.ids, count, [seed])}, folder / "contact.png")]
    table = album.catalog.loc[album.catalog.index.intersection(pd.Index(album.cache.ids))]
    source, bins, rows = ~catalogs.without_source(table), catalogs.size_bins(table), {}
    if not catalogs.has_sizes(table):
        halves = {"lens": source, "non-lens": ~source}
        rows = {name: _drawn(table.index[half], count // 2, [seed, i]) for i, (name, half) in enumerate(halves.items())}
        return [_contact(album, rows, folder / "contact.png")]
    for number, size in reversed([*enumerate(catalogs.SIZE_BIN_NAMES)]):
        rows[f"source, {size} px"] = _drawn(table.index[source & (bins == number)], per_bin, [seed, number])
    rows["no source"] = _drawn(table.index[~source], without_source, [seed, len(rows)])
    title = f"{album.name}: lens sizes of {len(album.catalog):,} objects"
    size_histogram(folder / "sizes.png", album.catalog["n_pix_source"].dropna(), title, album.synthetic)
    return [_contact(album, rows, folder / "contact.png"), folder / "sizes.png"]


def _drawn(ids: np.ndarray | pd.Index, count: int, seed: Sequence[int]) -> list[int]:
    """Return up to ``count`` of the IDs, drawn with this seed, ascending."""
    generator = np.random.default_rng([zlib.crc32(b"look"), *seed])
    return sorted(generator.choice(ids, min(count, len(ids)), replace=False).tolist())


def _contact(album: Album, rows: Mapping[str, Sequence[int]], path: Path) -> Path:
    """Write a contact sheet of IDs by heading, with captions from the catalog; return its path."""
    tiles: dict[str, list[tuple[Images, str]]] = {}
    rule = catalogs.DEFAULT_RULE if album.catalog is None else catalogs.rules_of(album.catalog)[-1]
    words = {"ID": "", "n_pix_source": "", "theta_E": "theta_E ", rule: f"{rule}: "}
    for heading, ids in rows.items():
        facts = [object_facts(album, object_id) | {"ID": album.title_of(object_id)} for object_id in ids]
        captions = [", ".join(word + known[name] for name, word in words.items() if name in known) for known in facts]
        tiles[heading] = list(zip(map(split_bands, album.cache.read(ids)), captions, strict=True))
    title = f"{album.name}: {sum(map(len, rows.values()))} objects"
    contact_sheet(path, tiles, album.cache.sigma, title, album.synthetic)
    return path


def _typical_noise(image: np.ndarray) -> float:
    """Return 1.4826 × the median absolute deviation of the finite pixels that are not 0 (zeros are blank strips)."""
    values = image[np.isfinite(image) & (image != 0)]
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
