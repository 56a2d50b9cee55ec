"""Where pixels are on the sky: a celestial WCS without distortions, evaluated by wcslib.

astropy's WCS needs milliseconds to be made of a header, and SkyCoord as many to convert one position; wcslib's own
structure needs microseconds. So SkyCoord is left to what is not in ICRS.
"""

import math
import re
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.coordinates import ICRS, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, Wcsprm
from astropy.wcs.utils import wcs_to_celestial_frame

from lensfold.euclid.hdus import Cards

_NUMBERS = re.compile(r"(?:CRVAL|CRPIX|CDELT|CROTA)[12]|(?:CD|PC)[12]_[12]|PV[12]_[0-9]+|LONPOLE|LATPOLE|EQUINOX|EPOCH")
_TEXTS = ("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "RADESYS", "RADECSYS")
_SIP = re.compile(r"[AB]P?_[0-9]_[0-9]")


@dataclass(frozen=True)
class Sky:
    """A celestial WCS of two axes; pixels are (x, y) = (column, row), counted from zero."""

    wcs: Wcsprm

    def world(self, pixels: np.ndarray) -> np.ndarray:
        """Return ICRS right ascensions and declinations in degrees, shape (n, 2), of pixels of that shape."""
        found = self.wcs.p2s(pixels, 0)["world"][:, [self.wcs.lng, self.wcs.lat]]
        if self._is_icrs:
            return found
        there = SkyCoord(*found.T, unit="deg", frame=self._frame).icrs
        return np.stack([there.ra.deg, there.dec.deg], axis=1)

    def pixels(self, world: np.ndarray) -> np.ndarray:
        """Return the pixels, shape (n, 2), of ICRS positions in degrees; NaN where the projection has none."""
        if not self._is_icrs:
            there = SkyCoord(*world.T, unit="deg", frame=ICRS).transform_to(self._frame).spherical
            world = np.stack([there.lon.deg, there.lat.deg], axis=1)
        ordered = world if self.wcs.lng < self.wcs.lat else world[:, ::-1]
        found = self.wcs.s2p(ordered, 0)
        return np.where(found["stat"][:, None] == 0, found["pixcrd"], np.nan)

    @cached_property
    def scales(self) -> np.ndarray:
        """Arcsec along each pixel axis at the reference point, shape (2,)."""
        with np.errstate(all="ignore"):  # a damaged header may give infinite ones
            return np.sqrt((self.matrix**2).sum(axis=0)) * 3600

    @property
    def matrix(self) -> np.ndarray:
        """Degrees on the projected sky for a pixel along x and y, shape (2, 2)."""
        return np.diag(self.wcs.get_cdelt()) @ self.wcs.get_pc()

    def cut(self, corner: tuple[int, int], step: int) -> fits.Header:
        """Return the WCS in full precision of an image that begins at ``corner`` (row, column), each pixel of which is
        ``step`` x ``step`` of these."""
        wcs, step_size, pc = self.wcs, self.wcs.get_cdelt() * step, self.wcs.get_pc()
        cards = [_card("WCSAXES", 2)]
        for axis in (0, 1):
            cards += [
                _card(f"CTYPE{axis + 1}", wcs.ctype[axis]),
                _card(f"CUNIT{axis + 1}", str(wcs.cunit[axis])),
                _card(f"CRVAL{axis + 1}", float(wcs.crval[axis])),
                _card(f"CRPIX{axis + 1}", float((wcs.crpix[axis] - 0.5 - corner[1 - axis]) / step + 0.5)),
                _card(f"CDELT{axis + 1}", float(step_size[axis])),
                *(_card(f"PC{axis + 1}_{other + 1}", float(pc[axis, other])) for other in (0, 1)),
            ]
        others = {"LONPOLE": wcs.lonpole, "LATPOLE": wcs.latpole, "EQUINOX": wcs.equinox}
        others |= {f"PV{axis}_{index}": value for axis, index, value in wcs.get_pv()}
        cards += [_card(key, float(value)) for key, value in others.items() if math.isfinite(value)]
        cards += [_card("RADESYS", wcs.radesys)] if wcs.radesys else []
        return fits.Header.fromstring("".join(cards))

    @property
    def _is_icrs(self) -> bool:
        wcs = self.wcs
        plain = wcs.radesys == "ICRS" or (not wcs.radesys and math.isnan(wcs.equinox))
        return plain and wcs.lngtyp == "RA"

    @cached_property
    def _frame(self) -> object:
        return wcs_to_celestial_frame(WCS(self.cut((0, 0), 1)))


def read_sky(cards: Cards) -> Sky:
    """Return the WCS of a header; ValueError, whose text says what was found, where it is none that can be used."""
    types = [cards.text(f"CTYPE{axis}") for axis in (1, 2)]
    found = " ".join(types).strip() or "none"
    # wcslib would put 0 in their place
    missing = [f"{key}{axis}" for key in ("CRVAL", "CRPIX") for axis in (1, 2) if cards.get(f"{key}{axis}") is None]
    if missing and found != "none":
        raise ValueError(f"{found} without {', '.join(missing)}")
    distorted = any(_SIP.fullmatch(key) for key in cards.texts) and any(kind.endswith("-SIP") for kind in types)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old keywords and units
            wcs = Wcsprm(header=_header(cards))
            wcs.fix()
        wcs.set()
        sky = Sky(wcs)
        celestial = wcs.lng >= 0 and wcs.lat >= 0
        numbers = np.append(wcs.crpix, sky.world(np.zeros((1, 2))) if celestial else np.nan)
    except Exception as error:  # wcslib raises many kinds; each is the same to us
        raise ValueError(f"{found} ({' '.join(str(error).split())})") from error
    if distorted or not np.isfinite(numbers).all():
        raise ValueError(found)
    return sky


def _header(cards: Cards) -> bytes:
    """Return a header of the cards alone that a WCS of two axes is made of: nothing else in a file can harm it.

    SIP coefficients without -SIP in CTYPE are left over of an image before it was resampled, and mean nothing.
    """
    chosen = [_card("WCSAXES", 2)]
    for key in cards.texts:
        if _NUMBERS.fullmatch(key):
            value = cards.get(key)
            if isinstance(value, str):
                raise ValueError(f"{key} is {value!r}")
            chosen += [] if value is None else [_card(key, float(value))]
        elif key in _TEXTS:
            chosen.append(_card(key.replace("RADECSYS", "RADESYS"), cards.text(key).removesuffix("-SIP")))
    return "".join(chosen).encode("ascii", "replace")


def _card(key: str, value: str | int | float) -> str:
    """Return one card; astropy's need a hundred times as long."""
    text = f"'{value:<8}'" if isinstance(value, str) else f"{value!r:>20}".upper()
    return f"{key:<8}= {text}".ljust(80)[:80]
