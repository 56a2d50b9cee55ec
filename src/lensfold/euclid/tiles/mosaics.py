"""MER mosaics on disk: which files make a tile, and windows of pixels out of them.

A tile has one file a band, all on one grid of 0.1 arcsec: ``EUC_MER_BGSUB-MOSAIC-VIS_TILE102018211-….fits``, and the
same with NIR-Y, NIR-J and NIR-H. Where the background-subtracted mosaic of a band is absent, ``EUC_MER_MOSAIC-…`` is
taken. RMS mosaics say where nothing was measured. Flag mosaics are not read: they flag stars, ghosts and cosmic rays
too, on pixels that do have a measurement, and what is without one the RMS mosaic says.

Windows are read without memory maps: memory does not grow with the mosaic, and a file that is cut short is an error
with a name.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lensfold.errors import InputError
from lensfold.euclid.bands import zero_point
from lensfold.euclid.hdus import FitsFile, Hdu, open_fits
from lensfold.euclid.layouts import raise_all
from lensfold.euclid.sky import Sky, read_sky
from lensfold.files import digest
from lensfold.frames import BANDS

_NAME = re.compile(
    r"EUC_MER_(?P<subtracted>BGSUB-)?MOSAIC-(?P<band>VIS|NIR-[YJH])(?P<noise>-RMS)?_TILE(?P<tile>[0-9]+)[-_.].*fits"
    r"(?P<packed>\.gz|\.fz)?",
    re.IGNORECASE,
)
EXAMPLE = "EUC_MER_BGSUB-MOSAIC-VIS_TILE102018211-….fits"
_PIXEL = 0.1  # arcsec
_TYPES = {-32: ">f4", -64: ">f8"}  # by BITPIX
_BLOCK, _MOST = 64, 2 * len(BANDS)  # rows of a block; mosaics whose blocks are kept: those of one tile
_SAME = 0.02  # arcsec between the corners of a tile's mosaics


@dataclass(frozen=True)
class Mosaic:
    """One file: where its pixels begin, their type and number (rows, columns), size, times and inode of the file, the
    hash of its header, the AB zero point, whether its background is subtracted, and its RMS mosaic."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, int]
    stat: tuple[int, int, int, int]
    header: str
    magzero: float = 0.0
    subtracted: bool = False
    noise: "Mosaic | None" = None

    @property
    def identity(self) -> list:
        """What tells this file from another one, and what it holds from what it held."""
        return [self.path.name, list(self.stat), self.header, self.magzero, self.noise.identity if self.noise else None]


@dataclass(frozen=True)
class Tile:
    """The mosaics of one tile by band, and where their pixels are on the sky."""

    name: str
    mosaics: Mapping[str, Mosaic]
    sky: Sky

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of each of its mosaics."""
        return next(iter(self.mosaics.values())).shape


class MosaicReader:
    """Reads windows of mosaics, those of one mosaic in the order of their rows."""

    def __init__(self, whole_rows: bool):
        """``whole_rows``: read blocks of whole rows and keep them while windows need them, which is quicker where
        windows are many; otherwise each row of a window is read by itself."""
        self._whole_rows = whole_rows
        self._blocks: dict[Path, dict[int, np.ndarray]] = {}

    def __reduce__(self) -> tuple:
        return MosaicReader, (self._whole_rows,)  # what is kept stays in its process

    def window(self, mosaic: Mosaic, row: int, column: int, side: int) -> np.ndarray:
        """Return ``side`` x ``side`` pixels from a row and column on, big-endian as stored.

        Raises InputError where the file is another one than when it was found, ends too early or cannot be read.
        """
        pixels = np.empty((side, side), mosaic.dtype)
        try:
            descriptor = os.open(mosaic.path, os.O_RDONLY)
            try:
                if _stat(os.fstat(descriptor)) != mosaic.stat:
                    raise InputError(f"{mosaic.path}: changed while it was read. Begin again once it is complete.")
                if self._whole_rows:
                    self._copy_from_blocks(mosaic, descriptor, row, column, pixels)
                else:
                    for number, line in enumerate(pixels, row):
                        _fill(mosaic, descriptor, number, column, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InputError(f"{mosaic.path}: cannot be read ({error.strerror}). Check the disk.") from error
        return pixels

    def _copy_from_blocks(self, mosaic: Mosaic, descriptor: int, row: int, column: int, pixels: np.ndarray) -> None:
        rows, side = mosaic.shape[0], len(pixels)
        needed = range(row // _BLOCK, (row + side - 1) // _BLOCK + 1)
        kept = {number: block for number, block in self._blocks.pop(mosaic.path, {}).items() if number in needed}
        self._blocks[mosaic.path] = kept
        while len(self._blocks) > _MOST:
            del self._blocks[next(iter(self._blocks))]
        for number in needed:
            first = number * _BLOCK
            if number not in kept:
                kept[number] = np.empty((min(_BLOCK, rows - first), mosaic.shape[1]), mosaic.dtype)
                _fill(mosaic, descriptor, first, 0, kept[number])
            start, stop = max(row, first), min(row + side, first + _BLOCK)
            pixels[start - row : stop - row] = kept[number][start - first : stop - first, column : column + side]


def _fill(mosaic: Mosaic, descriptor: int, row: int, column: int, pixels: np.ndarray) -> None:
    """Read what follows a row and column of a file into an array."""
    start = mosaic.offset + (row * mosaic.shape[1] + column) * pixels.itemsize
    if os.preadv(descriptor, [pixels.data], start) != pixels.nbytes:
        raise InputError(f"{mosaic.path}: ends too early. Fetch it again.")


def find_tiles(folder: Path, magzero: Mapping[str, float] | None = None) -> tuple[list[Tile], dict[str, str]]:
    """Return the tiles in a folder and below it, sorted by name, and those that cannot be used, each with its reason.

    ``magzero``: the AB zero point of bands whose files have none. Raises InputError where there is no mosaic, listing
    those that are damaged, of another kind, or there twice.
    """
    files: dict[str, dict[str, dict[str, Path]]] = {}
    problems = []
    for path, match in _mosaic_files(folder):
        band = match["band"][-1].upper() if match["band"].upper() != "VIS" else "VIS"
        kind = "noise" if match["noise"] else "subtracted" if match["subtracted"] else "plain"
        kinds = files.setdefault(f"TILE{match['tile']}", {}).setdefault(band, {})
        if kind in kinds:
            problems.append(f"{path}: a second mosaic of this kind beside {kinds[kind]}. Move one of them elsewhere.")
        elif match["packed"]:
            problems.append(f"{path}: is compressed, and windows are read out of plain files. Unpack it first.")
        kinds[kind] = path
    raise_all(problems)
    if not files:
        raise InputError(f"{folder}: no MER mosaic found, expected one file a band named like {EXAMPLE}.")
    tiles, unusable = [], {}
    for name in sorted(files):
        lacking = [band for band in BANDS if not files[name].get(band, {}).keys() & {"subtracted", "plain"}]
        if lacking:
            unusable[name] = f"{name} lacks the mosaic of {', '.join(lacking)}"
            continue
        try:
            tiles.append(_tile(name, files[name], magzero or {}))
        except InputError as error:
            problems.append(str(error))
    raise_all(problems)
    if not tiles:
        raise InputError(f"{folder}: no tile has all of {', '.join(BANDS)}: {'; '.join(unusable.values())}.")
    return tiles, unusable


def _mosaic_files(folder: Path) -> Iterable[tuple[Path, re.Match]]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Give the one that the mosaics of the tiles are in.")
    for path in sorted(folder.rglob("*")):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            yield path, match


def _tile(name: str, files: Mapping[str, Mapping[str, Path]], magzero: Mapping[str, float]) -> Tile:
    """Return a tile of its files by band and kind; InputError where they are damaged, or not on one grid."""
    mosaics: dict[str, Mosaic] = {}
    found: list[tuple[Mosaic, Sky]] = []
    for band in BANDS:
        kinds = files[band]
        path = kinds.get("subtracted") or kinds["plain"]
        found.append(_read(path, band, magzero))
        mosaics[band] = replace(found[-1][0], subtracted="subtracted" in kinds)
        if "noise" in kinds:
            found.append(_read(kinds["noise"]))
            mosaics[band] = replace(mosaics[band], noise=found[-1][0])
    grid = found[0]
    for mosaic, sky in found:
        if mosaic.shape != grid[0].shape or not _is_same(sky, grid[1], mosaic.shape):
            raise InputError(f"{mosaic.path}: on another grid than the VIS mosaic of {name}, expected the same one.")
    return Tile(name, mosaics, grid[1])


def _is_same(sky: Sky, grid: Sky, shape: tuple[int, int]) -> bool:
    columns, rows = np.meshgrid([0.0, shape[1] - 1], [0.0, shape[0] - 1])
    corners = np.stack([columns.ravel(), rows.ravel()], axis=1)
    apart = directions(sky.world(corners)) - directions(grid.world(corners))
    return bool(np.degrees(np.abs(apart)).max() * 3600 <= _SAME)


def directions(world: np.ndarray) -> np.ndarray:
    """Return unit vectors, shape (n, 3), of right ascensions and declinations in degrees, (n, 2)."""
    ra, dec = np.radians(world).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _read(path: Path, band: str | None = None, magzero: Mapping[str, float] | None = None) -> tuple[Mosaic, Sky]:
    """Return what is known of a file from its header, with the zero point where it is of a band.

    InputError where it is no plain image of floats in pixels of 0.1 arcsec with a zero point, or cut short.
    """
    with open_fits(path) as file:
        hdu = next((hdu for hdu in file.hdus if hdu.shape), None)
        stat = _stat(os.fstat(file.stream.fileno()))
    if hdu is None or not hdu.shape:
        raise InputError(f"{path}: has no image, expected the pixels of a mosaic.")
    shape, dtype = _plain_floats(file, hdu)
    try:
        sky = read_sky(hdu.cards)
        if not np.all(np.abs(sky.scales / _PIXEL - 1) <= 0.01):
            raise ValueError("one of " + " x ".join(f"{scale:.4g}" for scale in sky.scales) + " arcsec a pixel")
    except ValueError as error:
        expected = f"expected a celestial one without distortions, of {_PIXEL} arcsec a pixel"
        raise InputError(f"{path}: its WCS is {error}, {expected}.") from error
    mosaic = Mosaic(path, hdu.start, dtype, shape, stat, digest({"cards": dict(hdu.cards.texts)}))
    if band is None:
        return mosaic, sky
    try:
        primary = None if hdu.place == 0 else file.hdus[0].cards
        return replace(mosaic, magzero=zero_point(band, hdu.name, hdu.cards, primary, magzero or {})), sky
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _plain_floats(file: FitsFile, hdu: Hdu) -> tuple[tuple[int, int], str]:
    """Return rows and columns, and the type, of pixels that can be read as they are; InputError where they cannot."""
    bitpix, scale, zero = (hdu.cards.get(key) for key in ("BITPIX", "BSCALE", "BZERO"))
    dtype = _TYPES.get(bitpix) if isinstance(bitpix, int) else None
    shape = hdu.shape or ()
    if len(shape) != 2 or dtype is None or hdu.compressed or scale not in (None, 1) or zero not in (None, 0):
        found = f"{shape}, BITPIX {bitpix}{', compressed' if hdu.compressed else ''}, BSCALE {scale}, BZERO {zero}"
        raise InputError(f"{file.path}: found {found}, expected an image (rows, columns) of plain floats.")
    return (shape[0], shape[1]), dtype


def _stat(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
