"""The galleries of pages: which objects they show, and their pictures, shared between the pages of a pack.

A picture is one JPEG of four frames of 200 × 200 px (those of 10 arcsec are enlarged): VIS and colour in the stretch
of `lensfold.report.stretch`, below them the same in a second stretch for faint light. Its name has a hash of what it
was drawn from, so that no picture is drawn twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.special import expit

from lensfold.data import catalog as catalogs
from lensfold.data.cache import Cache, row_hash, split_bands
from lensfold.errors import InputError
from lensfold.files import digest, replacing
from lensfold.report.stretch import colour, grey, zoom

#: changes with how pictures are drawn
DRAWING = "1"
#: the second stretch: white of VIS in background sigmas, factor on the colours
FAINT_WHITE, FAINT_GAIN = 40.0, 2.5
QUALITY = 84
#: lists of a lens run and of a run of Einstein radii: what a page calls them, and what it says of them
LISTS = {
    "false-positives": ("False positives", "Non-lenses with the highest logits, the most confident first."),
    "missed": ("Missed lenses", "Lenses with the lowest logits, as many of each size bin, large lenses first."),
    "disagreements": (
        "Disagreements",
        "Objects whose rank within their fold differs most from another run's, the largest difference first.",
    ),
    "worst": ("Worst radii", "Lenses with the largest absolute error of the Einstein radius, worst first."),
}


@dataclass(frozen=True)
class Picture:
    """An object's picture: its file's name in the page's folder of pictures, or why there is none.

    ``pixels``: what tells the pixels it shows from any others (`lensfold.data.cache.row_hash`).
    """

    file: str | None
    reason: str = ""
    pixels: str = ""


@dataclass(frozen=True)
class Card:
    """One object of a list, as a page shows it.

    A title with a tag and something beside it, lines, and a note. ``data``: what filters look at and marks are exported
    with, by name.
    """

    id: int
    list: str
    title: str
    tag: str
    aside: str
    lines: tuple[str, ...]
    note: str
    data: Mapping[str, str]


@dataclass(frozen=True)
class Filter:
    """A choice of cards: those whose data of this name have the value chosen. ``choices``: value → what it says."""

    name: str
    choices: Mapping[str, str]


def lens_lists(table: pd.DataFrame, objects: pd.DataFrame, count: int) -> dict[str, list[int]]:
    """Return the IDs of the lists of a lens run, up to ``count`` each. ``table``: logit and label (0 or 1) by ID.

    The missed lenses come equally from all size bins, those of unknown size as one; where a bin has too few, the others
    fill up. Of equal logits
    the lower ID comes first.
    """
    table = table.sort_index()
    others = table[table["label"] == 0]["logit"]
    wrong = others.index[np.argsort(-others.to_numpy(), kind="stable")[:count]].tolist()
    lenses = table[table["label"] == 1]["logit"]
    lowest = lenses.iloc[np.argsort(lenses.to_numpy(), kind="stable")]
    bins = objects["bin"].loc[lowest.index].to_numpy() + 1  # from 0, the unknown
    shares = _shared_out(np.bincount(bins, minlength=1 + len(catalogs.SIZE_BIN_NAMES)), count)
    missed = [lowest.index[bins == i][: shares[i]].tolist() for i in reversed(range(len(shares)))]
    return {"false-positives": wrong, "missed": [object_id for part in missed for object_id in part]}


def _shared_out(available: np.ndarray, count: int) -> np.ndarray:
    """Return how many of ``count`` each bin gets, one at a time, the last bin first, up to what is available."""
    shares = np.zeros(len(available), dtype=int)
    count = min(count, int(available.sum()))
    while shares.sum() < count:
        for i in reversed(range(len(available))):
            if shares[i] < available[i] and shares.sum() < count:
                shares[i] += 1
    return shares


def worst_radii(truth: pd.Series, predicted: pd.Series, count: int) -> list[int]:
    """Return the IDs of the largest absolute errors in arcsec, up to ``count``; of equal ones the lower ID first."""
    error = (predicted - truth).abs().sort_index()
    return error.index[np.argsort(-error.to_numpy(), kind="stable")[:count]].tolist()


def lens_cards(
    name: str,
    ids: Iterable[int],
    table: pd.DataFrame,
    ranks: pd.Series,
    objects: pd.DataFrame,
    notes: Mapping[int, str],
) -> list[Card]:
    """Return the cards of a list of a lens run; ``ranks`` (within the fold) and ``notes`` (more to say) are by ID."""
    cards = []
    for i in ids:
        logit = float(table["logit"][i])
        score = f"p = {expit(logit):.4f}, logit {logit:.2f}, rank {ranks[i]:.4f}"
        label = "lens" if table["label"][i] == 1 else "non-lens"
        cards.append(_card(i, name, label, int(table["fold"][i]), score, objects, notes.get(i, "")))
    return cards


def radius_cards(
    ids: Iterable[int], truth: pd.Series, predicted: pd.Series, folds: pd.Series, objects: pd.DataFrame
) -> list[Card]:
    """Return the cards of the list "worst"; radii in arcsec by ID."""
    return [
        _card(i, "worst", "lens", int(folds[i]), f'predicted {predicted[i]:.2f}", true {truth[i]:.2f}"', objects,
              f'error {predicted[i] - truth[i]:+.2f}"')
        for i in ids
    ]  # fmt: skip


def _card(i: int, name: str, label: str, fold: int, score: str, objects: pd.DataFrame, note: str) -> Card:
    row, place = objects.loc[[i]].iloc[0], int(objects["bin"].loc[i])
    size = "unknown" if place < 0 else catalogs.SIZE_BIN_NAMES[place]
    facts = _given_facts(row) if np.isnan(row["n_sources"]) else _catalog_facts(row)
    return Card(int(i), name, str(i), label, f"fold {fold}", (score, facts), note, {"label": label, "size": size})


def _given_facts(row: pd.Series) -> str:
    """What labels of the user's own say of an object."""
    return "size unknown" if np.isnan(row["n_pix_source"]) else f"{row['n_pix_source']:.0f} px"


def _catalog_facts(row: pd.Series) -> str:
    theta = "–" if np.isnan(row["theta_E"]) else f'{row["theta_E"]:.2f}"'
    facts = f"θ_E {theta}, lens {row['mag_lens']:.1f} mag; "
    if row["n_sources"] > 0:
        images = f"{row['n_source_im']:.0f} image{'' if row['n_source_im'] == 1 else 's'}"
        magnified = "" if np.isnan(row["mag_eff"]) else f", μ = {row['mag_eff']:.1f}"
        return facts + f"source {row['mag_source']:.1f} mag, {row['n_pix_source']:.0f} px, {images}{magnified}"
    return facts + "no source"


def run_filters(names: Iterable[str], has_sizes: bool = True) -> list[Filter]:
    """Return the filters of a run's page, which has these lists; ``has_sizes``: whether any lens size is known."""
    return [
        Filter("list", {name: LISTS[name][0] for name in names}),
        *([Filter("size", {size: f"{size} px" for size in catalogs.SIZE_BIN_NAMES})] if has_sizes else []),
        Filter("label", {"lens": "lens", "non-lens": "non-lens"}),
    ]


def disagreement_notes(table: pd.DataFrame) -> dict[int, str]:
    """Return what to say of each object that `lensfold.report.contents.disagreements` lists."""
    columns = zip(table.index, table["other_rank"], table["other"], strict=True)
    return {int(object_id): f"rank {rank:.4f} in {other}" for object_id, rank, other in columns}


def write_pictures(folder: Path, cache_folder: Path, ids: Sequence[int]) -> dict[int, Picture]:
    """Draw the objects' pictures that ``folder`` lacks; return by ID where each is, or why there is none.

    Deletes pictures of these objects that were drawn from other pixels. Raises InputError where a file cannot be
    written.
    """
    try:
        cache = Cache(cache_folder)
    except InputError as error:
        return {i: Picture(None, str(error)) for i in ids}
    drawn: dict[str, list[Path]] = {}
    for path in folder.glob("*.jpg"):
        drawn.setdefault(path.name.split("-")[0], []).append(path)
    with cache:
        names = _names(cache, set(ids))
        return {i: _picture(folder, cache, i, names.get(i), drawn.get(str(i), [])) for i in ids}


def _names(cache: Cache, ids: set[int]) -> dict[int, str]:
    """Return the file name of each of ``ids`` that is cached; it has a hash of shard, sigmas and way of drawing."""
    names = {}
    for shard in cache.manifest["shards"]:
        inside = ids.intersection(shard["ids"])
        if inside:
            key = digest({"shard": shard["sha256"], "sigma": cache.sigma, "drawing": DRAWING})[:10]
            names.update({i: f"{i}-{key}.jpg" for i in inside})
    return names


def _picture(folder: Path, cache: Cache, i: int, name: str | None, drawn: Sequence[Path]) -> Picture:
    """Return an object's picture, drawn unless its file is among those ``drawn``; the others show other pixels."""
    if name is None:
        return Picture(None, cache.manifest["refused"].get(str(i), f"its cutout is not in {cache.folder}"))
    try:
        row = cache.read([i])[0]
    except InputError as error:
        return Picture(None, str(error))
    if folder / name not in drawn:
        for old in drawn:
            old.unlink(missing_ok=True)
        draw(folder / name, split_bands(row), cache.sigma)
    return Picture(name, pixels=row_hash(row))


def draw(path: Path, images: Mapping[str, np.ndarray], sigma: Mapping[str, float]) -> None:
    """Write the JPEG of one object, 400 × 400 px, each frame's first row at its bottom as in FITS."""
    rows = [
        [grey(images["VIS"], sigma["VIS"], "VIS", white)[::-1], colour(images, sigma, gain)[::-1]]
        for white, gain in ((None, 1.0), (FAINT_WHITE, FAINT_GAIN))
    ]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    whole = whole.repeat(zoom(len(images["VIS"])), axis=0).repeat(zoom(len(images["VIS"])), axis=1)
    done, coded = cv2.imencode(".jpg", whole[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise InputError(f"{path}: the picture cannot be coded as JPEG.")
    with replacing(path) as temporary:
        temporary.write_bytes(coded.tobytes())
