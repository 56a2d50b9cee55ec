"""MER mosaics on disk: which files make a tile, and windows of pixels out of them.

A tile has one file a band, all on one grid of 0.1 arcsec: ``EUC_MER_BGSUB-MOSAIC-VIS_TILE102018211-….fits``, and the
same with NIR-Y, NIR-J and NIR-H. Where the background-subtracted mosaic of a band is absent, ``EUC_MER_MOSAIC-…`` is
taken. RMS mosaics say where nothing was measured. Flag mosaics are not read: they flag stars, ghosts and cosmic rays
too, on pixels that do have a measurement, and what is without one the RMS mosaic says.

Windows are read without memory maps: memory does not grow with the mosaic, and a file that is cut short is an error
with a name.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from lensfold.errors import InputError
from lensfold.euclid.layouts import raise_all
from lensfold.paths import BANDS

_NAME = re.compile(
    r"EUC_MER_(?P<subtracted>BGSUB-)?MOSAIC-(?P<band>VIS|NIR-[YJH])(?P<noise>-RMS)?_TILE(?P<tile>[0-9]+)[-_.].*fits"
    r"(?P<packed>\.gz|\.fz)?",
    re.IGNORECASE,
)
EXAMPLE = "EUC_MER_BGSUB-MOSAIC-VIS_TILE102018211-….fits"
_TYPES = {-32: ">f4", -64: ">f8"}  # by BITPIX
_BLOCK, _MOST = 64, 2 * len(BANDS)  # rows of a block; mosaics whose blocks are kept: those of one tile
_SAME = 0.02  # arcsec between the corners of a tile's mosaics


@dataclass(frozen=True)
class Mosaic:
    """One file: where its pixels begin, their type and number (rows, columns), size, times and inode of the file, the
    SHA-256 of its header, the AB zero point, whether its background is subtracted, and its RMS mosaic."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, int]
    stat: tuple[int, int, int, int]
    header: str
    magzero: float
    subtracted: bool
    noise: "Mosaic | None" = None

    @property
    def identity(self) -> list:
        """What tells this file from another one, and what it holds from what it held."""
        return [self.path.name, list(self.stat), self.header, self.noise.identity if self.noise else None]


@dataclass(frozen=True)
class Tile:
    """The mosaics of one tile by band, and their common WCS."""

    name: str
    mosaics: Mapping[str, Mosaic]
    wcs: WCS

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


def find_tiles(folder: Path) -> tuple[list[Tile], dict[str, str]]:
    """Return the tiles in a folder and below it, sorted by name, and those that cannot be used, each with its reason.

    Raises InputError where there is no mosaic, listing those that are damaged, of another kind, or there twice.
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
            tiles.append(_tile(name, files[name]))
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


def _tile(name: str, files: Mapping[str, Mapping[str, Path]]) -> Tile:
    """Return a tile of its files by band and kind; InputError where they are damaged, or not on one grid."""
    mosaics: dict[str, Mosaic] = {}
    grid: WCS | None = None
    for band in BANDS:
        kinds = files[band]
        path = kinds.get("subtracted") or kinds["plain"]
        mosaic, wcs = _opened(path, "subtracted" in kinds)
        if not wcs.has_celestial or wcs.has_distortion or np.abs(_scales(wcs) / 0.1 - 1).max() > 0.01:
            raise InputError(f"{path}: expected a celestial WCS without distortions of 0.1 arcsec a pixel.")
        if not abs(mosaic.magzero) <= 60:
            raise InputError(
                f"{path}: no number under MAGZERO, expected the AB zero point in the header, such as 24.6."
            )
        grid = grid or wcs
        if "noise" in kinds:
            mosaic = replace(mosaic, noise=_opened(kinds["noise"], False)[0])
        for other in (mosaic, mosaic.noise or mosaic):
            if other.shape != mosaics.get("VIS", mosaic).shape or not _on_grid(wcs, grid, mosaic.shape):
                raise InputError(f"{other.path}: on another grid than the VIS mosaic of {name}, expected the same one.")
        mosaics[band] = mosaic
    assert grid is not None
    return Tile(name, mosaics, grid)


def _scales(wcs: WCS) -> np.ndarray:
    with np.errstate(all="ignore"):  # a damaged header may give infinite ones
        return np.nan_to_num(proj_plane_pixel_scales(wcs) * 3600, nan=np.inf)


def _on_grid(wcs: WCS, grid: WCS, shape: tuple[int, int]) -> bool:
    x, y = np.meshgrid([0, shape[1] - 1], [0, shape[0] - 1])
    return bool(wcs.pixel_to_world(x, y).separation(grid.pixel_to_world(x, y)).arcsec.max() <= _SAME)


def _opened(path: Path, subtracted: bool) -> tuple[Mosaic, WCS]:
    """Return what is known of a file from its header; InputError where it is no plain image of floats, or cut short."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual header cards
            with path.open("rb") as stream, fits.open(stream, memmap=False, lazy_load_hdus=True) as hdus:
                hdu = hdus[0] if hdus[0].header.get("NAXIS") else hdus[1]
                header, start = hdu.header, int(hdu.fileinfo()["datLoc"])
                wcs, stat = WCS(header, naxis=2), _stat(os.fstat(stream.fileno()))
            wcs.wcs.set()
    except Exception as error:  # astropy and wcslib raise many kinds on damaged files; each is the same to us
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: not readable as a FITS image ({reason}). Fetch it again or move it away.") from error
    found = header.get("BITPIX"), header.get("NAXIS"), header.get("BSCALE", 1), header.get("BZERO", 0)
    if found[0] not in _TYPES or found[1:] != (2, 1, 0) or "ZIMAGE" in header:
        raise InputError(
            f"{path}: BITPIX, NAXIS, BSCALE, BZERO are {found}, expected a plain image of floats (-32, 2)."
        )
    shape, dtype = (int(header["NAXIS2"]), int(header["NAXIS1"])), _TYPES[found[0]]
    needed = start + shape[0] * shape[1] * np.dtype(dtype).itemsize
    if stat[0] < needed:
        raise InputError(f"{path}: {stat[0]} bytes, expected at least {needed}: it is cut short. Fetch it again.")
    magzero = header.get("MAGZERO")
    number = float(magzero) if isinstance(magzero, int | float) and not isinstance(magzero, bool) else np.nan
    content = hashlib.sha256(header.tostring().encode()).hexdigest()
    return Mosaic(path, start, dtype, shape, stat, content, number, subtracted), wcs


def _stat(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
