"""Objects out of MER mosaics: where each is, and its frames, without a FITS file an object.

The pixel that is nearest to an object's position becomes pixel 100 of the VIS frame (50 of one of 10 arcsec), as the
central pixel of a cutout with an odd side does; NISP is cut where VIS was. Pixels, units and what is bad are those of
`lensfold.euclid.geometry`: of a cutout from the same mosaics an import gives the same frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.data.sources import Frame
from lensfold.euclid.bands import unmeasured
from lensfold.euclid.geometry import frame_pixels
from lensfold.euclid.tiles.mosaics import Mosaic, MosaicReader, Tile, directions
from lensfold.files import digest
from lensfold.frames import BANDS, RATIO, band_shapes, rim

#: one row an object: its ID, the number of its tile, and the first row and column of its VIS frame in there
WINDOWS = np.dtype([("id", "<i8"), ("tile", "<i4"), ("row", "<i4"), ("column", "<i4")])
#: rows of a tile for each of its objects, up to which whole rows are read: a row of 19,200 pixels is copied in the
#: time that a few pieces of rows are asked for
_ROWS_EACH = 40
_CUT_OFF = "cut off by the edge of "


@dataclass(frozen=True)
class Placed:
    """Where objects are: ``windows`` (WINDOWS, in the order they are best read in) and ``offsets`` (arcsec from each
    position to the middle of its frame) of those that a tile has whole; ``reasons`` of the others, by row of the
    table of positions: why not, and the VIS mosaic that cuts the object off."""

    windows: np.ndarray
    offsets: np.ndarray
    reasons: dict[int, tuple[str, str]]


def place(tiles: Sequence[Tile], positions: pd.DataFrame, side: int) -> Placed:
    """Return where the objects of a table (ID, ra, dec) are, each in the tile whose edges are farthest from it."""
    world = positions[["ra", "dec"]].to_numpy(np.float64)
    count = len(positions)
    margin, found = np.full(count, -1), np.zeros(count, WINDOWS)
    offset, cut_off = np.zeros(count), np.full(count, -1)
    found["id"], found["tile"] = positions["ID"], -1
    for number, tile in enumerate(tiles):
        near = np.flatnonzero(_near(tile, world))
        if not len(near):
            continue
        x, y = tile.sky.pixels(world[near]).T
        near, x, y = (values[np.isfinite(x) & np.isfinite(y)] for values in (near, x, y))
        column, row = (np.floor(values + 0.5).astype(np.int64) for values in (x, y))
        rows, columns = tile.shape
        inside = (row >= 0) & (column >= 0) & (row < rows) & (column < columns)
        row, column = row - side // 2, column - side // 2
        own = np.minimum.reduce([row, column, rows - side - row, columns - side - column])
        cut_off[near[inside & (own < 0)]] = number
        better = own > margin[near]
        at = near[better]
        margin[at] = own[better]
        found["tile"][at], found["row"][at], found["column"][at] = number, row[better], column[better]
        to_middle = np.hypot(row + 0.5 * (side - 1) - y, column + 0.5 * (side - 1) - x)
        offset[at] = 0.1 * to_middle[better]
    missed = np.flatnonzero(found["tile"] < 0)
    reasons = {int(i): _reason(tiles, int(cut_off[i])) for i in missed}
    order = np.lexsort((found["column"], found["row"], found["tile"]))[len(missed) :]
    return Placed(found[order], offset[order], reasons)


def _near(tile: Tile, world: np.ndarray) -> np.ndarray:
    """Return which positions could be in a tile: no farther from its middle than its corners, and a little more."""
    rows, columns = tile.shape
    pixels = np.array([[columns / 2, rows / 2], [0, 0], [0, rows], [columns, 0], [columns, rows]])
    middle, *corners = directions(tile.sky.world(pixels))
    closest = min(float(middle @ corner) for corner in corners)
    return directions(world) @ middle >= closest - 1e-6


def _reason(tiles: Sequence[Tile], cut_off: int) -> tuple[str, str]:
    if cut_off < 0:
        return "in no tile", ""
    return _CUT_OFF + tiles[cut_off].name, str(tiles[cut_off].mosaics["VIS"].path)


def source_of(
    folder: Path, tiles: Sequence[Tile], placed: Placed, side: int, magzero: Mapping[str, float]
) -> "TileSource":
    """Return the frames of placed objects; ``tiles``: found in ``folder`` with the zero points ``magzero`` given."""
    used = np.unique(placed.windows["tile"]).tolist()
    rows = sum(tiles[number].shape[0] for number in used)
    reader = MosaicReader(whole_rows=rows < _ROWS_EACH * len(placed.windows))
    mosaics = {number: (tiles[number].name, tiles[number].mosaics) for number in used}
    return TileSource(folder, mosaics, placed.windows, side, reader, magzero)


@dataclass(frozen=True)
class TileSource:
    """The frames of placed objects, a `lensfold.data.sources.FrameSource`; travels to worker processes without WCS.

    ``tiles``: name and mosaics of each tile by its number in ``windows``.
    """

    folder: Path
    tiles: Mapping[int, tuple[str, Mapping[str, Mosaic]]]
    windows: np.ndarray
    side: int

    reader: MosaicReader
    magzero: Mapping[str, float]

    @property
    def bands(self) -> tuple[str, ...]:
        """All bands: a tile without one is not cut from."""
        return BANDS

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {object_id: row for row, object_id in enumerate(self.windows["id"].tolist())}

    def frame(self, band: str, object_id: int) -> Frame:
        """Return one object in one band; InputError where a mosaic cannot be read or changed since it was found."""
        _, tile, row, column = self.windows[self._rows[object_id]].tolist()
        mosaic = self.tiles[tile][1][band]
        step, first = (1, 0) if band == "VIS" else (RATIO, rim(self.side))
        place = row + first, column + first, step * band_shapes(self.side)[band][0]
        pixels, bad = self.reader.window(mosaic, *place), np.zeros((), dtype=bool)
        if mosaic.noise:
            bad = unmeasured(self.reader.window(mosaic.noise, *place))
        image, bad = frame_pixels(pixels, bad, mosaic.magzero, step)
        return Frame(image, bad_share=float(bad.mean()))

    def name(self, band: str, object_id: int) -> str:
        """Return the file of a band and where in it an object is."""
        _, tile, row, column = self.windows[self._rows[object_id]].tolist()
        middle = self.side // 2
        return f"{self.tiles[tile][1][band].path.name} at row {row + middle}, column {column + middle}"

    def fingerprint(self, ids: Sequence[int]) -> str:
        """Return a hash of where these objects are, and of size, times, inode and header of each of their mosaics."""
        windows = self.windows[[self._rows[object_id] for object_id in ids]]
        return digest({"windows": windows.tolist(), "tiles": self._identities(windows), "side": self.side})

    def part(self, ids: Sequence[int]) -> "TileSource":
        """Return what is needed for these objects."""
        windows = self.windows[[self._rows[object_id] for object_id in ids]]
        tiles = {number: self.tiles[number] for number in np.unique(windows["tile"]).tolist()}
        return replace(self, tiles=tiles, windows=windows)

    def origin(self, files: np.ndarray) -> dict:
        """Return the folder, the mosaics as they were, and a hash of them and of where the objects are."""
        identity = self.fingerprint(self.windows["id"].tolist())
        identities = self._identities(self.windows)
        tiles = {name: identities[str(number)] for number, (name, _) in self.tiles.items()}
        place = {"kind": "tiles", "path": str(self.folder.resolve()), "magzero": dict(self.magzero)}
        return {**place, "tiles": tiles, "sha256": identity}

    def _identities(self, windows: np.ndarray) -> dict[str, dict[str, list]]:
        return {
            str(number): {band: mosaic.identity for band, mosaic in self.tiles[number][1].items()}
            for number in np.unique(windows["tile"]).tolist()
        }
