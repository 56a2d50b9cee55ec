"""Surface brightness of galaxies: Sersic tables, one row of numbers per component, and numba kernels that draw them.

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
from types import MappingProxyType

import numpy as np
from numba import njit
from scipy.special import gamma, gammaincinv

(X, Y, COS, SIN, AXIS, RADIUS, INDEX, FLUX, KIND, PARAM) = (0, 1, 2, 3, 4, 5, 6, 7, 11, 12)
COLUMNS = 17
SMOOTH, SPIRAL, DUST, RIPPLE, ARC, POINT = range(6)

INDEX_MIN, INDEX_MAX, INDEX_STEP = 0.3, 8.0, 0.1
NODES = 512
REACH = 12.0  # last node, in half-light radii
CUT = 11.0  # components end here, in half-light radii
FAR = 0.6  # beyond this distance in arcsec one evaluation per two by two fine pixels
SUBSAMPLES = 4
_SCALE = (NODES - 1) / np.sqrt(REACH)
_ARC_WINDOW = 2.1557  # integral of exp(-t^4 / 2)
_WIDE = 1e6
#: Options of every kernel. No kernel meets NaN or infinity.
JIT = MappingProxyType({"cache": True, "fastmath": True, "error_model": "numpy"})


@cache
def sersic_table() -> np.ndarray:
    """Sersic profiles of unit total flux, half-light radius and axis ratio one: (78, 512) float64, read-only.

    Row k has index 0.3 + 0.1 k; the nodes are uniform in sqrt(r / r_e) from 0 to sqrt(12). b_n is exact:
    Graham & Driver (2005), equations 1-4.
    """
    index = np.arange(INDEX_MIN, INDEX_MAX + 0.5 * INDEX_STEP, INDEX_STEP)[:, None]
    b = gammaincinv(2.0 * index, 0.5)
    radius = (np.arange(NODES) / _SCALE) ** 2
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


@njit(**JIT)
def _profile(t, table, k):
    """Table row k at t = sqrt(r / r_e)."""
    t *= _SCALE
    m = int(t)
    if m >= NODES - 1:
        return 0.0
    return table[k, m] + (t - m) * (table[k, m + 1] - table[k, m])


@njit(**JIT)
def _row(index):
    k = int((index - INDEX_MIN) / INDEX_STEP + 0.5)
    return min(max(k, 0), int((INDEX_MAX - INDEX_MIN) / INDEX_STEP + 0.5))


@njit(**JIT)
def _modulation(c, u, v, r):
    """Factor on the smooth profile of a SPIRAL, DUST or RIPPLE component at (u, v) along its axes."""
    kind, p = int(c[KIND]), c[PARAM:]
    re, q = c[RADIUS], c[AXIS]
    if kind == SPIRAL:
        angle = np.arctan2(v / q, u)
        rise = min(1.0, 1.5 * r / re)
        arms = np.cos(p[0] * (angle - p[1] * np.log(r / re + 0.02)) + p[3])
        return max(0.0, 1.0 + rise * (p[2] * arms + p[4] * np.cos(angle + 2.0 * p[3])))
    if kind == DUST:
        fade = 1.0 / (1.0 + (u / (2.0 * re)) ** 4)
        return 1.0 - p[0] * fade * np.exp(-0.5 * ((v - p[2]) / p[1]) ** 2)
    wave = np.sin(p[1] * u / re + p[2]) + np.sin(p[3] * v / (q * re) + p[4])
    return max(0.0, 1.0 + p[0] * wave)


@njit(**JIT)
def _arc(c, u, v, r):
    """Surface brightness of an ARC: a Gaussian across and a flat-topped window along a part of an ellipse."""
    p = c[PARAM:]
    angle = np.arctan2(v / c[AXIS], u)
    width, window, radius = p[1], 1.0, p[0]
    if p[2] < 3.0:
        t = angle / p[2]
        window = np.exp(-0.5 * t**4)
        radius *= 1.0 + p[3] * angle
        width *= max(0.3, 1.0 - 0.35 * t * t)
    knots = 1.0 + 0.35 * np.cos(5.0 * angle + p[4]) * np.cos(2.0 * angle - 2.0 * p[4])
    return window * knots * p[1] / width * np.exp(-0.5 * ((r - radius) / width) ** 2)


@njit(**JIT)
def _shape(dx, dy, c, k, table):
    """Unnormalised surface brightness of component c at an offset from its centre."""
    u, v = c[COS] * dx + c[SIN] * dy, c[COS] * dy - c[SIN] * dx
    r = np.sqrt(u * u + v * v / (c[AXIS] * c[AXIS]))
    if c[KIND] == ARC:
        return _arc(c, u, v, r)
    value = _profile(np.sqrt(r / c[RADIUS]), table, k)
    if c[KIND] != SMOOTH and value > 0.0:
        value *= _modulation(c, u, v, r)
    return value


@njit(**JIT)
def _norm(c):
    """Factor that makes the integral of _shape over the sky one (per square arcsec)."""
    if c[KIND] == ARC:
        length = 2.0 * np.pi if c[PARAM + 2] >= 3.0 else _ARC_WINDOW * c[PARAM + 2]
        return 1.0 / (c[AXIS] * c[PARAM] * c[PARAM + 1] * np.sqrt(2.0 * np.pi) * length)
    return 1.0 / (c[AXIS] * c[RADIUS] * c[RADIUS])


def smooth_parts(rows: np.ndarray) -> np.ndarray:
    """SMOOTH components prepared for ``brightness``: (n, 11) float64.

    Columns: x, y, cos, sin, 1 / axis ratio, scale of the table's abscissa, its row, amplitudes in four bands.
    """
    norm = 1.0 / (rows[:, AXIS] * rows[:, RADIUS] ** 2)
    parts = np.empty((len(rows), 11))
    parts[:, :4] = rows[:, [X, Y, COS, SIN]]
    parts[:, 4] = 1.0 / rows[:, AXIS]
    parts[:, 5] = _SCALE / np.sqrt(rows[:, RADIUS])
    parts[:, 6] = np.clip(np.rint((rows[:, INDEX] - INDEX_MIN) / INDEX_STEP), 0, len(sersic_table()) - 1)
    parts[:, 7:] = rows[:, FLUX : FLUX + 4] * norm[:, None]
    return parts


@njit(**JIT)
def brightness(x, y, parts, table, out):
    """Write the surface brightness of prepared parts at one position into ``out`` (4,), flux per square arcsec."""
    out[:] = 0.0
    for n in range(parts.shape[0]):
        c = parts[n]
        dx, dy = x - c[0], y - c[1]
        u, v = c[2] * dx + c[3] * dy, (c[2] * dy - c[3] * dx) * c[4]
        t = np.sqrt(np.sqrt(u * u + v * v)) * c[5]
        if t < NODES - 1:
            m, k = int(t), int(c[6])
            value = table[k, m] + (t - m) * (table[k, m + 1] - table[k, m])
            for b in range(4):
                out[b] += value * c[7 + b]


@njit(**JIT)
def _extent(c, k, table, floor):
    """Radius along the major axis outside which a component stays below ``floor`` (in units of _shape)."""
    if c[KIND] == ARC:
        return c[PARAM] * (1.0 + 1.6 * abs(c[PARAM + 3]) * min(c[PARAM + 2], 3.0)) + 4.0 * c[PARAM + 1]
    m = NODES - 1
    while m > 0 and table[k, m] < floor:
        m -= 1
    t = (m + 1) / _SCALE
    return min(t * t, CUT) * c[RADIUS]


@njit(**JIT)
def _mean(dx, dy, size, c, k, table):
    """Mean of _shape over a square pixel, sub-sampled four by four."""
    total = 0.0
    for a in range(SUBSAMPLES):
        oy = ((a + 0.5) / SUBSAMPLES - 0.5) * size
        for b in range(SUBSAMPLES):
            total += _shape(dx + ((b + 0.5) / SUBSAMPLES - 0.5) * size, dy + oy, c, k, table)
    return total / SUBSAMPLES**2


@njit(**JIT)
def _draw_cell(vis, nisp, i, j, dx, dy, pixel, core, far, c, k, table, norm):
    """Add one cell of two by two fine pixels; (dx, dy) is its centre seen from the component."""
    area = pixel * pixel * norm
    total = 0.0
    if far:
        value = _shape(dx, dy, c, k, table) * area
        total = 4.0 * value
        for a in range(2):
            for b in range(2):
                vis[2 * i + a, 2 * j + b] += value * c[FLUX]
    else:
        for a in range(2):
            for b in range(2):
                fx, fy = dx + (b - 0.5) * pixel, dy + (a - 0.5) * pixel
                if fx * fx + fy * fy < core * core:
                    value = _mean(fx, fy, pixel, c, k, table) * area
                else:
                    value = _shape(fx, fy, c, k, table) * area
                total += value
                vis[2 * i + a, 2 * j + b] += value * c[FLUX]
    for b in range(3):
        nisp[b, i, j] += total * c[FLUX + 1 + b]


@njit(**JIT)
def _draw_point(vis, nisp, c, pixel):
    """Share the flux of a star among the four nearest fine pixels."""
    n = vis.shape[0]
    fx, fy = c[X] / pixel + 0.5 * (n - 1), c[Y] / pixel + 0.5 * (n - 1)
    j, i = int(np.floor(fx)), int(np.floor(fy))
    for a in range(2):
        for b in range(2):
            if 0 <= i + a < n and 0 <= j + b < n:
                weight = abs(1 - a - (fy - i)) * abs(1 - b - (fx - j))
                vis[i + a, j + b] += weight * c[FLUX]
                for m in range(3):
                    nisp[m, (i + a) // 2, (j + b) // 2] += weight * c[FLUX + 1 + m]


@njit(**JIT)
def _draw_far(vis, nisp, i, first, last, dx, dy, size, c, profile, weight):
    """Add cells first..last - 1 of row i of a SMOOTH component, one evaluation each; dx belongs to cell 0."""
    u0, v0 = c[COS] * dx + c[SIN] * dy, (c[COS] * dy - c[SIN] * dx) / c[AXIS]
    du, dv = c[COS] * size, -c[SIN] * size / c[AXIS]
    inverse = _SCALE / np.sqrt(c[RADIUS])
    f0, f1, f2, f3 = weight[0], weight[1], weight[2], weight[3]
    top, bottom = vis[2 * i], vis[2 * i + 1]
    for j in range(first, last):
        u, v = u0 + j * du, v0 + j * dv
        t = np.sqrt(np.sqrt(u * u + v * v)) * inverse
        m = np.uint32(t)
        if m < NODES - 1:
            value = profile[m] + (t - m) * (profile[m + 1] - profile[m])
            fine = np.float32(value * f0)
            top[2 * j] += fine
            top[2 * j + 1] += fine
            bottom[2 * j] += fine
            bottom[2 * j + 1] += fine
            nisp[0, i, j] += value * f1
            nisp[1, i, j] += value * f2
            nisp[2, i, j] += value * f3


@njit(**JIT)
def _draw_row(vis, nisp, i, first, last, dy, pixel, c, k, table, norm):
    """Add cells first..last - 1 of row i of any component; dy is the row's offset from its centre."""
    n, size = nisp.shape[1], 2.0 * pixel
    core = max(0.13, min(0.6 * c[RADIUS], 0.18))
    thin = c[AXIS] * c[RADIUS] < 0.1
    half = _WIDE if thin else np.sqrt(max(FAR * FAR - dy * dy, 0.0))
    left, right = first, last
    if c[KIND] == SMOOTH:
        left = min(max(first, int((c[X] - half) / size + 0.5 * (n - 1)) + 1), last) if not thin else first
        right = max(min(last, int((c[X] + half) / size + 0.5 * (n - 1)) + 1), left) if not thin else last
        weight = c[FLUX : FLUX + 4] * (norm * size * size)
        weight[0] *= 0.25
        dx = -0.5 * (n - 1) * size - c[X]
        _draw_far(vis, nisp, i, first, left, dx, dy, size, c, table[k], weight)
        _draw_far(vis, nisp, i, right, last, dx, dy, size, c, table[k], weight)
    for j in range(left, right):
        dx = (j - 0.5 * (n - 1)) * size - c[X]
        far = (not thin) and dx * dx + dy * dy > FAR * FAR
        _draw_cell(vis, nisp, i, j, dx, dy, pixel, core, far, c, k, table, norm)


@njit(**JIT)
def _draw(vis, nisp, rows, table, pixel, floor):
    n, size = nisp.shape[1], 2.0 * pixel
    for m in range(rows.shape[0]):
        c = rows[m]
        if c[KIND] == POINT:
            _draw_point(vis, nisp, c, pixel)
            continue
        k, norm = _row(c[INDEX]), _norm(c)
        brightest = max(max(c[FLUX], c[FLUX + 1]), max(c[FLUX + 2], c[FLUX + 3]))
        reach = _extent(c, k, table, floor / (brightest * norm * size * size))
        for i in range(n):
            dy = (i - 0.5 * (n - 1)) * size - c[Y]
            # Half width of the ellipse of semi-major axis ``reach`` at this row; its height is at most ``reach``.
            s2 = c[SIN] * c[SIN]
            across = c[AXIS] * c[AXIS]
            tall = reach * reach * (s2 + across * (1.0 - s2))
            if dy * dy > (np.sqrt(tall) + size) ** 2:
                continue
            middle = dy * c[SIN] * c[COS] * (1.0 - across) * reach * reach / tall
            half = reach * reach * c[AXIS] / tall * np.sqrt(max(tall - dy * dy, 0.0)) + size
            first = max(0, int((c[X] + middle - half) / size + 0.5 * (n - 1)))
            last = min(n, int((c[X] + middle + half) / size + 0.5 * (n - 1)) + 2)
            if first < last:
                _draw_row(vis, nisp, i, first, last, dy, pixel, c, k, table, norm)


def draw(vis: np.ndarray, nisp: np.ndarray, rows: np.ndarray, pixel: float, floor: float) -> None:
    """Add components to ``vis`` (n, n) and ``nisp`` (3, n/2, n/2), float32, flux per pixel.

    ``pixel`` is that of ``vis`` in arcsec, the frame is centred on the origin. A component is left out where it
    stays below ``floor`` (flux per pixel of ``nisp``, in its brightest band).
    """
    _draw(vis, nisp, np.ascontiguousarray(rows), sersic_table(), pixel, floor)


@njit(**JIT)
def _sample(x0, y0, n, step, parts, table):
    out = np.empty((n, n))
    value = np.empty(4)
    for i in range(n):
        for j in range(n):
            brightness(x0 + (j - 0.5 * (n - 1)) * step, y0 + (i - 0.5 * (n - 1)) * step, parts, table, value)
            out[i, j] = value[0]
    return out


def sample_brightness(parts: np.ndarray, n: int, step: float) -> np.ndarray:
    """VIS surface brightness of components on an n x n grid about the first: float64, flux per square arcsec."""
    return _sample(parts[0, X], parts[0, Y], n, step, smooth_parts(parts), sersic_table())
