"""Which bands a file has, and which files make one object.

Two layouts are known, and nothing else is guessed:
- a multi-extension MER cutout, one file an object: VIS_FLUX, NIR_Y_FLUX, NIR_J_FLUX, NIR_H_FLUX, each with its _RMS
  and _PSF where there is one;
- four single-band cutouts an object: the first image of each file, and extensions RMS and PSF where there are any.
  FILTER or INSTRUME in that image's header names the band, or else the one word of the file name that does (VIS, NIR_Y,
  NIR-Y, NISP_Y, Y …). Files belong together when the rest of their names is the same.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from lensfold.errors import InputError
from lensfold.paths import BANDS

#: image extension of each band in a MER cutout
EXTENSIONS = {"VIS": "VIS_FLUX", "Y": "NIR_Y_FLUX", "J": "NIR_J_FLUX", "H": "NIR_H_FLUX"}
BAD_RMS = 1e15  # RMS maps have 1e16 where nothing was measured
MOST_PROBLEMS = 20  # files named in one message
# words are bounded by anything but letters and digits
_BAND_WORD = re.compile(r"(?<![^\W_])(?:VIS|(?:(?:NIR|NISP)[-_. ]?)?[YJH])(?![^\W_])", re.IGNORECASE)
_BANDS = {"S": "VIS", "Y": "Y", "J": "J", "H": "H"}  # by the last letter of such a word
_OTHER_WORD = re.compile(r"(?<![^\W_])(?:RMS|FLAGS?|PSF|WEIGHTS?)(?![^\W_])", re.IGNORECASE)
_Hdu: TypeAlias = fits.PrimaryHDU | fits.ImageHDU


@dataclass(frozen=True)
class EuclidBand:
    """One band as delivered: ``image`` (rows, columns) as stored, ``rms_bad`` (bool, alike) where its RMS map finds no
    measurement, the header's WCS and AB zero point, and what else the file has of it: the RMS map, of the image's
    shape, and the point spread function, any image that can be scaled to the sum one."""

    file: Path
    image: np.ndarray
    rms_bad: np.ndarray
    wcs: WCS
    magzero: float
    rms: np.ndarray | None = None
    psf: np.ndarray | None = None


@dataclass(frozen=True)
class Reading:
    """How files are read: ``magzero``, the AB zero point of a band whose file has none; ``table``, which says what
    objects there are; ``pad``, whether pixels that an image lacks are taken for missing ones."""

    magzero: Mapping[str, float] = field(default_factory=dict)
    table: Path | None = None
    pad: bool = False


@dataclass(frozen=True)
class BandFile:
    """Where one band of an object is: a file, and the number of the image's HDU in it."""

    path: Path
    extension: int = 0


@dataclass(frozen=True)
class EuclidObject:
    """One object: its name and its bands, in the order of BANDS; VIS is always there."""

    name: str
    bands: Mapping[str, BandFile]


@dataclass(frozen=True)
class Skipped:
    """A file that is part of no object, and why."""

    path: Path
    reason: str


class Unusable(InputError):
    """A file cannot be used: ``path`` and ``reason``, which are the message."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


def find_objects(paths: Iterable[Path], reading: Reading) -> tuple[list[EuclidObject], list[Skipped]]:
    """Return the objects in these files and folders, sorted by name, and the files that are part of none."""
    objects: list[EuclidObject] = []
    single: dict[str, dict[str, BandFile]] = {}
    skipped = []
    for path in sorted(set(_files(paths))):
        try:
            with _hdus(path) as hdus:
                bands = {band: BandFile(path, hdus.index(found[0])) for band, found in _band_hdus(path, hdus).items()}
            if len(bands) == len(BANDS):
                objects.append(EuclidObject(path.stem, bands))
            else:
                _add_single(single, *next(iter(bands.items())))
        except Unusable as error:
            skipped.append(Skipped(error.path, error.reason))
    skipped += _incomplete(single)
    for name, group in single.items():
        if len(group) == len(BANDS):
            objects.append(EuclidObject(name, {band: group[band] for band in BANDS}))
    return sorted(objects, key=lambda found: (found.name, str(found.bands["VIS"].path))), skipped


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files themselves, and those of folders to the bottom."""
    for path in paths:
        yield from (found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]


def read_bands(found: EuclidObject, reading: Reading) -> dict[str, EuclidBand]:
    """Return the bands of one object as delivered; Unusable where a file cannot be read or used."""
    sources = {}
    for band, file in found.bands.items():
        with _hdus(file.path) as hdus:
            sources[band] = _read_band(file.path, *_band_hdus(file.path, hdus)[band])
    return sources


def raise_all(problems: list[str]) -> None:
    """Raise InputError with the first of the problems, a line each, if there are any."""
    more = [f"… and {len(problems) - MOST_PROBLEMS} more inputs"] if len(problems) > MOST_PROBLEMS else []
    if problems:
        raise InputError("\n".join(problems[:MOST_PROBLEMS] + more))


@contextmanager
def _hdus(path: Path) -> Iterator[fits.HDUList]:
    """Yield the HDUs of a file, all headers read; any error raised while they are open becomes an InputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unusable(path, f"cannot be read ({error.strerror}). Give the FITS files themselves.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual header cards
            warnings.filterwarnings("error", message="File may have been truncated|Error validating header")
            with fits.open(io.BytesIO(data), memmap=False) as hdus:
                if any(hdu.fileinfo()["datSpan"] < 0 for hdu in hdus):  # astropy would go back, and never end
                    raise ValueError("an HDU of negative size")
                yield hdus
    except InputError:
        raise
    except Exception as error:  # astropy and wcslib raise many kinds on damaged files; each is the same to us
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(path, f"not readable as a FITS image ({reason}). Fetch it again or leave it out.") from error


def _band_hdus(path: Path, hdus: fits.HDUList) -> dict[str, tuple[_Hdu, _Hdu | None, _Hdu | None]]:
    """Return the HDUs of each band in a file, of all four or of one: image, and RMS and PSF or None."""
    named: dict[str, _Hdu] = {}
    for hdu in hdus:
        named.setdefault(hdu.name.strip().upper(), hdu)
    found, expected = ", ".join(named), ", ".join(EXTENSIONS.values())
    missing = [name for name in EXTENSIONS.values() if name not in named]
    if not missing:
        return {
            band: (named[name], *(named.get(name.replace("FLUX", other)) for other in ("RMS", "PSF")))
            for band, name in EXTENSIONS.items()
        }
    image = next((hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS")), None)
    if image is None or len(missing) < len(BANDS):
        raise Unusable(path, f"lacks {', '.join(missing)}. Found the extensions {found}; expected {expected}.")
    if _OTHER_WORD.search(path.stem):
        raise Unusable(path, "by its name a map of noise, flags or PSF, expected an image. Leave it out.")
    cards = [str(image.header.get(key, "")).strip() for key in ("FILTER", "INSTRUME")]
    words = [word for word in cards if _BAND_WORD.fullmatch(word)] or _BAND_WORD.findall(path.stem)
    bands = {_BANDS[word[-1].upper()] for word in words}
    if len(bands) != 1:
        clues = f"FILTER {cards[0]!r}, INSTRUME {cards[1]!r}, words {words} in the name and the extensions {found}"
        raise Unusable(path, f"of which band is it? Found {clues}; expected {expected}, or one band in FILTER.")
    return {bands.pop(): (image, named.get("RMS"), named.get("PSF"))}


def _add_single(single: dict[str, dict[str, BandFile]], band: str, file: BandFile) -> None:
    """Put a single-band cutout into ``single`` under its name without the words for its band; Unusable if taken."""
    word = re.compile(f"[-_. ]?{_BAND_WORD.pattern}", re.IGNORECASE)
    rest = word.sub(lambda match: "" if _BANDS[match[0][-1].upper()] == band else match[0], file.path.stem)
    group = single.setdefault(rest, {})
    if band in group:
        raise Unusable(file.path, f"a second image of {band} for the object of {group[band].path}. Leave one out.")
    group[band] = file


def _incomplete(single: dict[str, dict[str, BandFile]]) -> list[Skipped]:
    """Return the files of each object that lacks a band."""
    return [
        Skipped(
            file.path,
            f"object {name!r} lacks {', '.join(band for band in BANDS if band not in group)}. All four bands are "
            "needed, in files named alike but for the band: a_VIS.fits, a_NIR_Y.fits …",
        )
        for name, group in single.items()
        if len(group) < len(BANDS)
        for file in group.values()
    ]


def _read_band(path: Path, hdu: _Hdu, rms: _Hdu | None, psf: _Hdu | None) -> EuclidBand:
    """Return one band of an open file; InputError where image, RMS, zero point or WCS cannot be used."""
    shape = getattr(hdu.data, "shape", None)
    if not hdu.is_image or shape is None or len(shape) != 2:
        raise Unusable(path, f"[{hdu.name}] the shape is {shape}, expected an image (rows, columns).")
    noise = np.ones(shape) if rms is None else rms.data
    if getattr(noise, "shape", None) != shape:
        raise Unusable(path, f"[{hdu.name}] the shape is {shape}, that of its RMS {getattr(noise, 'shape', None)}.")
    bad = ~np.isfinite(noise) | (noise <= 0) | (noise >= BAD_RMS)
    magzero = hdu.header.get("MAGZERO")
    if isinstance(magzero, bool) or not isinstance(magzero, int | float) or not abs(magzero) <= 60:
        raise Unusable(
            path, f"[{hdu.name}] MAGZERO is {magzero!r}, expected the AB zero point in the header, such as 24.6."
        )
    wcs = WCS(hdu.header, naxis=2)
    numbers = np.append(wcs.wcs.crpix, wcs.wcs_pix2world([shape[::-1]], 0))
    if not wcs.has_celestial or wcs.has_distortion or not np.isfinite(numbers).all():
        found = " ".join(wcs.wcs.ctype).strip() or "none"
        raise Unusable(
            path, f"[{hdu.name}] its WCS is {found}, expected a celestial one without distortions (RA---TAN)."
        )
    return EuclidBand(path, hdu.data, bad, wcs, float(magzero), None if rms is None else noise, _usable_psf(psf))


def _usable_psf(hdu: _Hdu | None) -> np.ndarray | None:
    """Return the image of a point spread function; None where there is none, or none whose sum can become one."""
    image = getattr(hdu, "data", None)
    if not isinstance(image, np.ndarray) or image.ndim != 2 or not np.isfinite(image).all() or image.sum() <= 0:
        return None
    return image
