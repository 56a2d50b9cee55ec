"""Toy spectra: magnitude against rest wavelength as three straight pieces and a 4000 Angstrom break."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

#: Effective wavelengths of VIS, Y, J, H in micrometres.
WAVELENGTHS = (0.715, 1.085, 1.370, 1.770)
_EDGES = (np.log10(0.4), np.log10(0.8))
_BREAK_CENTRE = -0.366
_BREAK_STEEPNESS = 29.0
_Z_STEP = 0.01
#: how much of a tilt falls on each band
TILT = tuple(math.log(w / WAVELENGTHS[0]) / math.log(WAVELENGTHS[-1] / WAVELENGTHS[0]) for w in WAVELENGTHS)


class Sed(NamedTuple):
    """Slopes in AB mag per dex of wavelength below 0.4, up to 0.8 and above 0.8 micrometres, and the break in mag."""

    ultraviolet: float
    optical: float
    infrared: float
    jump: float


EARLY = Sed(5.0, 6.0, 1.5, 1.3)
DISC = Sed(2.0, 2.5, 0.8, 0.7)
STAR_FORMING = Sed(1.2, 1.2, 0.4, 0.45)
YOUNG = Sed(0.2, 0.3, 0.2, 0.1)
STELLAR = Sed(2.0, 2.0, -0.6, 0.3)


class Seds(NamedTuple):
    """The spectra of a sky, by kind of light."""

    early: Sed = EARLY
    disc: Sed = DISC
    star_forming: Sed = STAR_FORMING
    young: Sed = YOUNG
    stellar: Sed = STELLAR


def _magnitude(sed: Sed, x: np.ndarray) -> np.ndarray:
    """Return the AB magnitude up to a constant at log10 of the rest wavelength in micrometres."""
    ultraviolet = np.maximum(_EDGES[0] - x, 0.0)
    optical = np.clip(_EDGES[1] - x, 0.0, _EDGES[1] - _EDGES[0])
    infrared = np.minimum(_EDGES[1] - x, 0.0)
    step = 1.0 / (1.0 + np.exp(-(_BREAK_CENTRE - x) * _BREAK_STEEPNESS))
    return sed.ultraviolet * ultraviolet + sed.optical * optical + sed.infrared * infrared + sed.jump * step


# room for the laws of a variation (variation.py), five spectra each
@lru_cache(maxsize=512)
def _colours(sed: Sed) -> np.ndarray:
    """Return VIS minus each band in mag at redshifts 0, 0.01 .. 8: (801, 4) float64, read-only."""
    x = np.log10(np.array(WAVELENGTHS)) - np.log10(1.0 + np.arange(801) * _Z_STEP)[:, None]
    mag = _magnitude(sed, x)
    colours = mag[:, :1] - mag
    colours.flags.writeable = False
    return colours


def band_ratios(sed: Sed, z: float | np.ndarray, tilt: float | np.ndarray = 0.0) -> np.ndarray:
    """Return the flux in VIS, Y, J, H over the flux in VIS.

    ``z`` (0 to 7.9) and ``tilt`` broadcast to shape (n,) or (); the result is (n, 4) or (4,) float64. ``tilt`` is
    added to VIS - H in mag and falls on the other bands in proportion to log wavelength.
    """
    table, t = _colours(sed), np.asarray(z) / _Z_STEP
    k = t.astype(int)
    colour = table[k] + (t - k)[..., None] * (table[k + 1] - table[k])
    return 10.0 ** (0.4 * (colour + np.multiply.outer(tilt, TILT)))
