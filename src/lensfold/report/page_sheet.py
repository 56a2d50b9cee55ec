"""A sheet of objects small enough for a page of text: their colour pictures, cut to the middle, in few colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lensfold.data.cache import Cache, split_bands
from lensfold.errors import InputError
from lensfold.files import replacing
from lensfold.report.stretch import colour

#: objects of a sheet and how many stand beside each other; side of each in VIS pixels (10 arcsec), and between them
COUNT, COLUMNS, SIDE, GAP = 40, 8, 100, 2
#: step of each colour, of 255: noise in finer ones takes room and shows nothing
STEP = 14


def page_sheet(path: Path, cache: Cache) -> Path:
    """Write a PNG of the first 40 objects of a cache, the middle 10 arcsec of each; return its path.

    Rows of 8, in the order of the IDs, north up as in FITS. Raises InputError where there are fewer.
    """
    ids = [int(object_id) for object_id in sorted(cache.ids)[:COUNT]]
    if len(ids) < COUNT:
        raise InputError(f"{cache.folder}: has {len(ids)} objects, and a sheet for a page shows {COUNT}.")
    tiles = [colour(split_bands(row), cache.sigma) for row in cache.read(ids)]
    coarse = np.minimum(STEP * np.rint(_mosaic(tiles) / STEP), 255).astype(np.uint8)
    picture = Image.fromarray(coarse).quantize(256, dither=Image.Dither.NONE)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
    return path


def _mosaic(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Return the middles of pictures side by side on white: uint8 (height, width, 3)."""
    rows = -(-len(tiles) // COLUMNS)
    page = np.full((rows * (SIDE + GAP) - GAP, COLUMNS * (SIDE + GAP) - GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        edge = (len(tile) - SIDE) // 2
        top, left = number // COLUMNS * (SIDE + GAP), number % COLUMNS * (SIDE + GAP)
        page[top : top + SIDE, left : left + SIDE] = tile[edge : edge + SIDE, edge : edge + SIDE][::-1]
    return page
