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

from collections.abc import Sequence
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
Values = float | np.ndarray


@cache
def sersic_table() -> np.ndarray:
    """Return Sersic profiles of unit total flux, half-light radius and axis ratio one: (78, 512) float64, read-only.

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


def components(
    n: int = 1,
    *,
    radius: Values,
    flux: np.ndarray,
    x: Values = 0.0,
    y: Values = 0.0,
    angle: Values = 0.0,
    axis: Values = 1.0,
    index: Values = 1.0,
    kind: Values = SMOOTH,
    params: Sequence[float] | np.ndarray = (),
) -> np.ndarray:
    """Return ``n`` components, (n, COLUMNS) float64; each value is one for all of them or has n entries.

    ``radius`` in arcsec, ``flux`` (4,) or (n, 4), ``angle`` in radians, ``params``: up to five numbers of the kind.
    """
    rows = np.zeros((n, COLUMNS))
    rows[:, X], rows[:, Y] = x, y
    rows[:, COS], rows[:, SIN] = np.cos(angle), np.sin(angle)
    rows[:, AXIS] = axis
    rows[:, RADIUS] = radius
    rows[:, INDEX] = index
    rows[:, FLUX : FLUX + 4] = flux
    rows[:, KIND] = kind
    given = np.asarray(params, dtype=float)
    rows[:, PARAM : PARAM + given.size] = given
    return rows


def rotated(rows: np.ndarray, angle: float) -> np.ndarray:
    """Return a copy of components, turned about the origin by ``angle`` radians."""
    out = rows.copy()
    c, s = np.cos(angle), np.sin(angle)
    for a, b in ((X, Y), (COS, SIN)):
        out[:, a], out[:, b] = c * rows[:, a] - s * rows[:, b], s * rows[:, a] + c * rows[:, b]
    return out


def shifted(rows: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Return a copy of components, moved by ``centre`` (x, y) arcsec."""
    out = rows.copy()
    out[:, [X, Y]] += centre
    return out


def smooth_parts(rows: np.ndarray) -> np.ndarray:
    """Return SMOOTH components as ``lensing_kernels.brightness`` takes them: (n, 11) float64.

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
    """Return the VIS surface brightness of components on an n x n grid about the first: float64, flux/arcsec^2."""
    return sample_parts(parts[0, X], parts[0, Y], n, step, smooth_parts(parts), sersic_table())
