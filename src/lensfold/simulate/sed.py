"""Toy spectra: magnitude against rest wavelength as three straight pieces and a 4000 Angstrom break."""

from typing import NamedTuple

import numpy as np

#: Effective wavelengths of VIS, Y, J, H in micrometres.
WAVELENGTHS = (0.715, 1.085, 1.370, 1.770)
_EDGES = (np.log10(0.4), np.log10(0.8))
_BREAK_CENTRE = -0.366
_BREAK_STEEPNESS = 29.0


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


def _magnitude(sed: Sed, x: np.ndarray) -> np.ndarray:
    """AB magnitude up to a constant at log10 of the rest wavelength in micrometres."""
    ultraviolet = np.maximum(_EDGES[0] - x, 0.0)
    optical = np.clip(_EDGES[1] - x, 0.0, _EDGES[1] - _EDGES[0])
    infrared = np.minimum(_EDGES[1] - x, 0.0)
    step = 1.0 / (1.0 + np.exp(-(_BREAK_CENTRE - x) * _BREAK_STEEPNESS))
    return sed.ultraviolet * ultraviolet + sed.optical * optical + sed.infrared * infrared + sed.jump * step


def band_ratios(sed: Sed, z: float | np.ndarray, tilt: float | np.ndarray = 0.0) -> np.ndarray:
    """Flux in VIS, Y, J, H over the flux in VIS.

    ``z`` and ``tilt`` broadcast to shape (n,) or (); the result is (n, 4) or (4,) float64. ``tilt`` is added to
    VIS - H in mag and falls on the other bands in proportion to log wavelength.
    """
    bands = np.log10(np.array(WAVELENGTHS))
    x = bands - np.log10(1.0 + np.asarray(z, dtype=float))[..., None]
    mag = _magnitude(sed, x)
    weight = (bands - bands[0]) / (bands[-1] - bands[0])
    colour = mag[..., :1] - mag + np.asarray(tilt, dtype=float)[..., None] * weight
    return 10.0 ** (0.4 * colour)
