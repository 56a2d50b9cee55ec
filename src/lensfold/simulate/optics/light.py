"""Surface brightness of galaxies: Sersic tables, one row of numbers per component.

A set of components is a float64 array (n, COLUMNS). Columns: centre x, y in arcsec; cos, sin of the major axis;
axis ratio; half-light radius; Sersic index; flux in VIS, Y, J, H; kind; five parameters of the kind:

======== ==== ===========================================================================================
SMOOTH   0    none
SPIRAL   1    number of arms, cotangent of the pitch angle, amplitude, phase, lopsidedness
DUST     2    depth, height of the lane in arcsec, its offset in arcsec
RIPPLE   3    amplitude, wave number along, phase along, wave number across, phase across (per half-light radius)
ARC      4    radius, width, half opening angle (above 3: a full ring), drift of the radius per radian, phase
POINT    5    a star: all its flux at the centre
======== ==== ===========================================================================================
"""

from functools import cache

import numpy as np
from scipy.special import gamma, gammaincinv

from lensfold.simulate.optics.lensing_kernels import sample_parts
from lensfold.simulate.optics.light_kernels import (
    AXIS,
    COS,
    FLUX,
    INDEX,
    INDEX_MAX,
    INDEX_MIN,
    INDEX_STEP,
    KIND,
    NODES,
    PARAM,
    RADIUS,
    SIN,
    SMOOTH,
    TABLE_SCALE,
    X,
    Y,
    draw_components,
)

COLUMNS = 17


@cache
def sersic_table() -> np.ndarray:
    """Sersic profiles of unit total flux, half-light radius and axis ratio one: (78, 512) float64, read-only.

    Row k has index 0.3 + 0.1 k; the nodes are uniform in sqrt(r / r_e) from 0 to sqrt(12). b_n is exact:
    Graham & Driver (2005), equations 1-4.
    """
    index = np.arange(INDEX_MIN, INDEX_MAX + 0.5 * INDEX_STEP, INDEX_STEP)[:, None]
    b = gammaincinv(2.0 * index, 0.5)
    radius = (np.arange(NODES) / TABLE_SCALE) ** 2
    total = 2.0 * np.pi * index * b ** (-2.0 * index) * gamma(2.0 * index)
    table = np.exp(-b * radius ** (1.0 / index)) / total
    table.flags.writeable = False
    return table


def components(n: int = 1, **values: float | np.ndarray) -> np.ndarray:
    """Build ``n`` smooth components: (n, COLUMNS) float64.

    Keywords: x, y, angle (radians), axis, radius, index, flux ((4,) or (n, 4)), kind, params (up to five numbers).
    """
    rows = np.zeros((n, COLUMNS))
    angle = np.asarray(values.get("angle", 0.0))
    rows[:, X], rows[:, Y] = values.get("x", 0.0), values.get("y", 0.0)
    rows[:, COS], rows[:, SIN] = np.cos(angle), np.sin(angle)
    rows[:, AXIS] = values.get("axis", 1.0)
    rows[:, RADIUS] = values["radius"]
    rows[:, INDEX] = values.get("index", 1.0)
    rows[:, FLUX : FLUX + 4] = values["flux"]
    rows[:, KIND] = values.get("kind", SMOOTH)
    params = np.asarray(values.get("params", ()), dtype=float)
    rows[:, PARAM : PARAM + params.size] = params
    return rows


def rotated(rows: np.ndarray, angle: float) -> np.ndarray:
    """Copy of components turned about the origin by ``angle`` radians."""
    out = rows.copy()
    c, s = np.cos(angle), np.sin(angle)
    for a, b in ((X, Y), (COS, SIN)):
        out[:, a], out[:, b] = c * rows[:, a] - s * rows[:, b], s * rows[:, a] + c * rows[:, b]
    return out


def smooth_parts(rows: np.ndarray) -> np.ndarray:
    """SMOOTH components prepared for ``brightness``: (n, 11) float64.

    Columns: x, y, cos, sin, 1 / axis ratio, scale of the table's abscissa, its row, amplitudes in four bands.
    """
    norm = 1.0 / (rows[:, AXIS] * rows[:, RADIUS] ** 2)
    parts = np.empty((len(rows), 11))
    parts[:, :4] = rows[:, [X, Y, COS, SIN]]
    parts[:, 4] = 1.0 / rows[:, AXIS]
    parts[:, 5] = TABLE_SCALE / np.sqrt(rows[:, RADIUS])
    parts[:, 6] = np.clip(np.rint((rows[:, INDEX] - INDEX_MIN) / INDEX_STEP), 0, len(sersic_table()) - 1)
    parts[:, 7:] = rows[:, FLUX : FLUX + 4] * norm[:, None]
    return parts


def draw(vis: np.ndarray, nisp: np.ndarray, rows: np.ndarray, pixel: float, floor: float) -> None:
    """Add components to ``vis`` (n, n) and ``nisp`` (3, n/2, n/2), float32, flux per pixel.

    ``pixel`` is that of ``vis`` in arcsec, the frame is centred on the origin. A component is left out where it
    stays below ``floor`` (flux per pixel of ``nisp``, in its brightest band).
    """
    draw_components(vis, nisp, np.ascontiguousarray(rows), sersic_table(), pixel, floor)


def sample_brightness(parts: np.ndarray, n: int, step: float) -> np.ndarray:
    """VIS surface brightness of components on an n x n grid about the first: float64, flux per square arcsec."""
    return sample_parts(parts[0, X], parts[0, Y], n, step, smooth_parts(parts), sersic_table())
