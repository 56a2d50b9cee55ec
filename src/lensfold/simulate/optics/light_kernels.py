"""Compiled loops that draw components (see `lensfold.simulate.optics.light`) and bin images.

Arrays: ``c`` is a component's row and ``rows`` several (columns in light.py), ``table`` is light.sersic_table. Angles
are arcsec. No kernel meets NaN or infinity (they are compiled with fastmath).
"""

import numpy as np

from lensfold.compiled import kernel

# Columns and kinds of components: see light.py.
(X, Y, COS, SIN, AXIS, RADIUS, INDEX, FLUX, KIND, PARAM) = (0, 1, 2, 3, 4, 5, 6, 7, 11, 12)
SMOOTH, SPIRAL, DUST, RIPPLE, ARC, POINT = range(6)

# Sersic tables.
INDEX_MIN, INDEX_MAX, INDEX_STEP = 0.3, 8.0, 0.1
NODES = 512
REACH = 12.0  # last node, in half-light radii
TABLE_SCALE = (NODES - 1) / np.sqrt(REACH)
CUT = 11.0  # components end here, in half-light radii

FAR = 0.6  # beyond this distance in arcsec one evaluation per two by two fine pixels
SUBSAMPLES = (2, 4)  # per side of a pixel near the centre: flat profiles (index up to 1.5) and steep ones
ARC_WINDOW = 2.1557  # integral of exp(-t^4 / 2)
_WIDE = 1e6


@kernel
def _profile(t: float, table: np.ndarray, k: int) -> float:
    """Return table row k at t = sqrt(r / r_e)."""
    t *= TABLE_SCALE
    m = int(t)
    if m >= NODES - 1:
        return 0.0
    return table[k, m] + (t - m) * (table[k, m + 1] - table[k, m])


@kernel
def _row(index: float) -> int:
    """Return the row of the table for a Sersic index."""
    k = int((index - INDEX_MIN) / INDEX_STEP + 0.5)
    return min(max(k, 0), int((INDEX_MAX - INDEX_MIN) / INDEX_STEP + 0.5))


@kernel
def _modulation(c: np.ndarray, u: float, v: float, r: float) -> float:
    """Return the factor on the smooth profile of a SPIRAL, DUST or RIPPLE component at (u, v) along its axes."""
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


@kernel
def _arc(c: np.ndarray, u: float, v: float, r: float) -> float:
    """Return the surface brightness of an ARC: a Gaussian across, a flat-topped window along part of an ellipse."""
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


@kernel
def _shape(dx: float, dy: float, c: np.ndarray, k: int, table: np.ndarray) -> float:
    """Return the unnormalised surface brightness of component c at an offset from its centre."""
    u, v = c[COS] * dx + c[SIN] * dy, c[COS] * dy - c[SIN] * dx
    r = np.sqrt(u * u + v * v / (c[AXIS] * c[AXIS]))
    if c[KIND] == ARC:
        return _arc(c, u, v, r)
    value = _profile(np.sqrt(r / c[RADIUS]), table, k)
    if c[KIND] != SMOOTH and value > 0.0:
        value *= _modulation(c, u, v, r)
    return value


@kernel
def _norm(c: np.ndarray) -> float:
    """Return the factor that makes the integral of _shape over the sky one (per square arcsec)."""
    if c[KIND] == ARC:
        length = 2.0 * np.pi if c[PARAM + 2] >= 3.0 else ARC_WINDOW * c[PARAM + 2]
        return 1.0 / (c[AXIS] * c[PARAM] * c[PARAM + 1] * np.sqrt(2.0 * np.pi) * length)
    return 1.0 / (c[AXIS] * c[RADIUS] * c[RADIUS])


@kernel
def _extent(c: np.ndarray, k: int, table: np.ndarray, floor: float) -> float:
    """Return the radius along the major axis outside which a component is below ``floor`` (in units of _shape)."""
    if c[KIND] == ARC:
        return c[PARAM] * (1.0 + 1.6 * abs(c[PARAM + 3]) * min(c[PARAM + 2], 3.0)) + 4.0 * c[PARAM + 1]
    m = NODES - 1
    while m > 0 and table[k, m] < floor:
        m -= 1
    t = (m + 1) / TABLE_SCALE
    return min(t * t, CUT) * c[RADIUS]


@kernel
def _mean(dx: float, dy: float, size: float, c: np.ndarray, k: int, table: np.ndarray) -> float:
    """Return the mean of _shape over a square pixel, sub-sampled."""
    n = SUBSAMPLES[0] if c[INDEX] <= 1.5 else SUBSAMPLES[1]
    total = 0.0
    for a in range(n):
        oy = ((a + 0.5) / n - 0.5) * size
        for b in range(n):
            total += _shape(dx + ((b + 0.5) / n - 0.5) * size, dy + oy, c, k, table)
    return total / (n * n)


@kernel
def _draw_cell(
    vis: np.ndarray,
    nisp: np.ndarray,
    i: int,
    j: int,
    dx: float,
    dy: float,
    pixel: float,
    core: float,
    far: bool,
    c: np.ndarray,
    k: int,
    table: np.ndarray,
    norm: float,
) -> None:
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


@kernel
def _draw_point(vis: np.ndarray, nisp: np.ndarray, c: np.ndarray, pixel: float) -> None:
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


@kernel
def _draw_far(
    vis: np.ndarray,
    nisp: np.ndarray,
    i: int,
    first: int,
    last: int,
    dx: float,
    dy: float,
    size: float,
    c: np.ndarray,
    profile: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Add cells first..last - 1 of row i of a SMOOTH component, one evaluation each; dx belongs to cell 0."""
    u0, v0 = c[COS] * dx + c[SIN] * dy, (c[COS] * dy - c[SIN] * dx) / c[AXIS]
    du, dv = c[COS] * size, -c[SIN] * size / c[AXIS]
    inverse = TABLE_SCALE / np.sqrt(c[RADIUS])
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


@kernel
def _draw_row(
    vis: np.ndarray,
    nisp: np.ndarray,
    i: int,
    first: int,
    last: int,
    dy: float,
    pixel: float,
    c: np.ndarray,
    k: int,
    table: np.ndarray,
    norm: float,
) -> None:
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


@kernel
def draw_components(
    vis: np.ndarray, nisp: np.ndarray, rows: np.ndarray, table: np.ndarray, pixel: float, floor: float
) -> None:
    """Add components to vis (n, n) and nisp (3, n/2, n/2); see light.draw."""
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


@kernel
def sum_pairs(image: np.ndarray, out: np.ndarray) -> None:
    """Write sums of 2 x 2 pixels of image into out."""
    for i in range(out.shape[0]):
        top, bottom = image[2 * i], image[2 * i + 1]
        for j in range(out.shape[1]):
            out[i, j] = top[2 * j] + top[2 * j + 1] + bottom[2 * j] + bottom[2 * j + 1]


@kernel
def sum_blocks(image: np.ndarray, factor: int, out: np.ndarray) -> None:
    """Write sums of factor x factor pixels of image into out."""
    out[:] = 0
    for i in range(factor * out.shape[0]):
        for j in range(factor * out.shape[1]):
            out[i // factor, j // factor] += image[i, j]
