"""The bands of one object as they were delivered: pixels, maps, WCS and AB zero point.

The zero point is the header's MAGZERO, follows from BUNIT where the pixels are flux densities, or is what the
user gave.
"""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from astropy import units

from lensfold.euclid.hdus import Cards, FitsFile, Hdu, Unusable, open_fits
from lensfold.euclid.layouts import BandFile, EuclidObject, Reading
from lensfold.euclid.sky import Sky, read_sky

WHOLE = (slice(None), slice(None))
BAD_RMS = 1e15  # RMS maps have 1e16 where nothing was measured
MAX_SIDE = 3000  # pixels; a larger image is a mosaic, whose middle is nobody's object

AB_JANSKY = 3631.0  # flux density of AB magnitude zero (Oke & Gunn 1983)
MAX_MAGZERO = 60.0
#: how much MAGZERO and BUNIT may differ where a header has both, mag
MAX_CONTRADICTION = 0.02
EXAMPLE = "--magzero vis=24.6,y=29.8,j=30.0,h=29.9"  # of Q1, for MER mosaics
_UNIT_WORDS = {"MICROJANSKY": "uJy", "JANSKY": "Jy", "UJY": "uJy"}


@dataclass(frozen=True)
class EuclidBand:
    """One band as delivered: ``image`` (rows, columns), ``rms`` of its shape and ``psf``, any image that can be scaled
    to the sum one, None where there are none; ``sky``, the header's WCS; and the AB zero point."""

    file: BandFile
    image: np.ndarray
    sky: Sky
    magzero: float
    rms: np.ndarray | None = None
    psf: np.ndarray | None = None

    def rms_bad(self, window: tuple[slice, ...] = WHOLE) -> np.ndarray:
        """Return where the RMS map finds no measurement (bool), in a window of the image."""
        if self.rms is None:
            return np.zeros(self.image[window].shape, bool)
        return unmeasured(self.rms[window])


def unmeasured(noise: np.ndarray) -> np.ndarray:
    """Return where an RMS map says that there is no measurement (bool)."""
    return ~((noise > 0) & (noise < BAD_RMS))  # NaN is neither


def read_bands(found: EuclidObject, reading: Reading) -> dict[str, EuclidBand]:
    """Return the bands of one object as delivered; Unusable where a file cannot be read or used."""
    with ExitStack() as stack:
        files = {
            path: stack.enter_context(open_fits(path))
            for path in dict.fromkeys(one.path for one in found.bands.values())
        }
        return {band: _read_band(files[one.path], one, band, reading.magzero) for band, one in found.bands.items()}


def _read_band(file: FitsFile, found: BandFile, band: str, magzero: Mapping[str, float]) -> EuclidBand:
    """Return one band of an open file; Unusable where image, RMS, zero point or WCS cannot be used."""
    hdu, rms, psf = (_hdu(file, place) for place in (found.extension, found.rms, found.psf))
    if hdu is None or not hdu.shape or len(hdu.shape) != 2:
        shape = None if hdu is None else hdu.shape or None
        raise Unusable(file.path, f"{_where(hdu)}the shape is {shape}, expected an image (rows, columns).")
    if max(hdu.shape) > MAX_SIDE:
        size = f"{hdu.shape[0]} x {hdu.shape[1]} pixels, a mosaic and not a cutout of at most {MAX_SIDE}"
        raise Unusable(file.path, f"{_where(hdu)}{band} has {size}. Cut objects out of it with `lensfold cut`.")
    if rms is not None and rms.shape != hdu.shape:
        raise Unusable(file.path, f"{_where(hdu)}the shape is {hdu.shape}, that of its RMS {rms.shape}.")
    primary = file.hdus[0].cards if found.alone or hdu.cards.get("INHERIT") is True else None
    try:
        magnitude = zero_point(band, hdu.name, hdu.cards, primary, magzero)
    except ValueError as error:
        raise Unusable(file.path, f"{_where(hdu)}{error}") from error
    try:
        sky = read_sky(hdu.cards)
    except ValueError as error:
        expected = "expected a celestial one without distortions (RA---TAN)"
        raise Unusable(file.path, f"{_where(hdu)}its WCS is {error}, {expected}.") from error
    noise = None if rms is None else file.pixels(rms)
    return EuclidBand(found, file.pixels(hdu), sky, magnitude, noise, _usable_psf(file, psf))


def _hdu(file: FitsFile, place: int | None) -> Hdu | None:
    return None if place is None or place >= len(file.hdus) else file.hdus[place]


def _where(hdu: Hdu | None) -> str:
    return f"[{hdu.name}] " if hdu is not None and hdu.name else ""


def _usable_psf(file: FitsFile, hdu: Hdu | None) -> np.ndarray | None:
    """Return the image of a point spread function; None where there is none, or none whose sum can become one."""
    if hdu is None or not hdu.shape or len(hdu.shape) != 2 or max(hdu.shape) > MAX_SIDE:
        return None
    image = file.pixels(hdu)
    return image if np.isfinite(image).all() and image.sum(dtype=np.float64) > 0 else None


def zero_point(band: str, name: str, own: Cards, primary: Cards | None, given: Mapping[str, float]) -> float:
    """Return the AB zero point of a band; ValueError, whose text is the reason, where nothing says it.

    ``name`` of the extension, ``own`` cards of the image, those of the primary HDU where they speak for it too, and
    what the user has ``given``, which counts where the file says nothing or contradicts itself.
    """
    value = own.get("MAGZERO")
    if value is None and primary is not None:
        value = primary.get("MAGZERO")
    if value is not None and (isinstance(value, bool | str) or not abs(value) <= MAX_MAGZERO):
        raise ValueError(f"MAGZERO is {value!r}, expected the AB zero point in the header, such as 24.6.")
    unit = own.text("BUNIT") or ("" if primary is None else primary.text("BUNIT"))
    of_unit = unit_zero_point(_UNIT_WORDS.get(name.rsplit("_", 1)[-1], unit))
    if value is not None and (of_unit is None or abs(of_unit - value) <= MAX_CONTRADICTION):
        return float(value)
    if value is None and of_unit is not None:
        return of_unit
    if band in given:
        return given[band]
    if value is not None:
        found = f"MAGZERO {value:g} and pixels in {unit or name}, whose AB zero point is {of_unit:.2f}, contradict"
        raise ValueError(f"{found} each other. Say which zero point is right, as in {EXAMPLE}")
    found = f", and BUNIT {unit!r} is no flux density" if unit else ""
    raise ValueError(f"MAGZERO is not in the header{found}. Give the AB zero points, as in {EXAMPLE}")


def unit_zero_point(text: str) -> float | None:
    """Return the AB zero point of pixels in Jy, uJy, MJy, nJy / pix …; None where a unit is no flux density."""
    text = {"JY": "Jy", "JANSKY": "Jy"}.get(text.strip(), text.strip())
    if not text:
        return None
    for divided in (units.dimensionless_unscaled, units.pix):
        try:
            jansky = (units.Unit(text, parse_strict="raise") * divided).to(units.Jy)
        except (ValueError, TypeError, units.UnitsError):
            continue
        if jansky > 0 and math.isfinite(jansky):
            return 2.5 * math.log10(AB_JANSKY / jansky)
    return None
