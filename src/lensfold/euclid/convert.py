"""Objects as they were delivered → the files of a pack, some objects at a time, in a worker process.

An object is checked as the cache will check it (`lensfold.data.bad_pixels`): what a prediction would refuse is refused
here. Where the bad pixels lie outside of a smaller frame, that one is taken.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from lensfold.data.bad_pixels import UnusableFrame, mended
from lensfold.data.cache import background_sigma
from lensfold.euclid.bands import read_bands
from lensfold.euclid.geometry import Frame, frames_of_bands
from lensfold.euclid.hdus import Unusable
from lensfold.euclid.layouts import EuclidObject, Reading
from lensfold.euclid.names import Kind
from lensfold.euclid.plausibility import noise_ratio
from lensfold.frames import SIDES
from lensfold.paths import cutout_file, maps_file

_BLOCK = 2880  # bytes: FITS files are made of them


@dataclass(frozen=True)
class Chunk:
    """Objects to convert, of the numbers ``first`` …; what is made of each goes into a folder of its kind in
    ``folder``, under its number. ``side``: of the frames in VIS pixels; None for the largest that an object has."""

    first: int
    objects: tuple[EuclidObject, ...]
    reading: Reading
    side: int | None
    folder: Path


@dataclass(frozen=True)
class Converted:
    """One object: its ``kind`` of frames; ra, dec (ICRS degrees) of the VIS frame's middle; offset (arcsec) of it from
    the delivered image's; whether the frames are ``smaller`` than they could be, for bad pixels; in the order of the
    bands the share of bad pixels and the noise as a multiple of the usual. Where it cannot be used there is only
    ``reason``, and ``path`` is the file in question."""

    number: int
    name: str
    path: Path
    reason: str = ""
    kind: Kind = Kind(0, ())
    ra: float = 0.0
    dec: float = 0.0
    offset: float = 0.0
    smaller: bool = False
    bad: tuple[float, ...] = ()
    noise: tuple[float, ...] = ()


def convert_chunk(chunk: Chunk) -> list[Converted]:
    """Write the files of each object that can be used; return what became of each."""
    return [_convert(chunk, number, one) for number, one in enumerate(chunk.objects, chunk.first)]


def kind_folder(folder: Path, kind: Kind) -> Path:
    """Return where the objects of a kind are written below a chunk's folder."""
    return folder / "-".join([str(kind.side), *kind.bands])


def _convert(chunk: Chunk, number: int, one: EuclidObject) -> Converted:
    path = one.bands["VIS"].path
    try:
        frames, noise, smaller = _usable_frames(one, chunk.reading, chunk.side)
    except Unusable as error:
        return Converted(number, one.name, error.path, error.reason)
    vis = frames["VIS"]
    kind = Kind(len(vis.image), tuple(frames))
    _write_object(kind_folder(chunk.folder, kind), number, frames)
    bad = tuple(frame.bad_share for frame in frames.values())
    return Converted(number, one.name, path, "", kind, vis.ra, vis.dec, vis.offset, smaller, bad, noise)


def _usable_frames(
    one: EuclidObject, reading: Reading, side: int | None
) -> tuple[dict[str, Frame], tuple[float, ...], bool]:
    """Return the frames, the noise of each, and whether they are smaller than the object has them, for bad pixels."""
    sources = read_bands(one, reading)
    frames = frames_of_bands(one, sources, reading.pad, side)
    try:
        return frames, _noise(one, frames), False
    except Unusable:
        if side is None and len(frames["VIS"].image) > min(SIDES):
            with suppress(Unusable):
                smaller = frames_of_bands(one, sources, reading.pad, min(SIDES))
                return smaller, _noise(one, smaller), True
        raise


def _noise(one: EuclidObject, frames: Mapping[str, Frame]) -> tuple[float, ...]:
    """Return the noise of each band as a multiple of the usual; Unusable where the cache would refuse a band."""
    found = []
    for band, frame in frames.items():
        try:
            found.append(noise_ratio(band, background_sigma(mended(frame.image)[0])))
        except UnusableFrame as error:
            raise Unusable(one.bands[band].path, f"{band}: {error}.") from error
    return tuple(found)


def _write_object(folder: Path, number: int, frames: Mapping[str, Frame]) -> None:
    """Write the images of an object, and one file of what there is of RMS maps and point spread functions."""
    for band, frame in frames.items():
        _write(cutout_file(folder, band, number), _image(frame.image, frame.header))
    maps = {f"{band}_RMS": frame.rms for band, frame in frames.items()}
    maps |= {f"{band}_PSF": frame.psf for band, frame in frames.items()}
    hdus = [_extension(image, name) for name, image in maps.items() if image is not None]
    if hdus:
        _write(maps_file(folder, number), b"".join([_empty_primary(), *hdus]))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _image(image: np.ndarray, header: fits.Header) -> bytes:
    """Return a FITS file of one image; by hand, since astropy's HDUs take ten times as long."""
    cards = _structure(image.shape) + header.tostring(endcard=False, padding=False)
    return _block(f"{cards}{'END':<80}".encode("ascii"), b" ") + _pixels(image)


def _extension(image: np.ndarray, name: str) -> bytes:
    return _extension_header(image.shape, name) + _pixels(image)


def _pixels(image: np.ndarray) -> bytes:
    return _block(image.astype(">f4").tobytes(), b"\0")


def _block(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % _BLOCK)


@lru_cache
def _structure(shape: tuple[int, ...]) -> str:
    """Return the cards that come first in the header of an image of this shape."""
    return fits.PrimaryHDU(np.zeros(shape, np.float32)).header.tostring(endcard=False, padding=False)


@lru_cache
def _extension_header(shape: tuple[int, ...], name: str) -> bytes:
    return fits.ImageHDU(np.zeros(shape, np.float32), name=name).header.tostring().encode("ascii")


@lru_cache
def _empty_primary() -> bytes:
    primary = fits.PrimaryHDU()
    primary.header["EXTEND"] = True
    return primary.header.tostring().encode("ascii")
