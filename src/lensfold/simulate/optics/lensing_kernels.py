"""Compiled loops that deflect rays and draw the lensed source.

Arrays: ``parts`` are prepared smooth components (light.smooth_parts), ``table`` is light.sersic_table, ``main``,
``nfw`` and ``satellites`` are those of lensing.Deflector, ``nodes`` are source positions (lensing.map_nodes). Angles
are arcsec. No kernel meets NaN or infinity (they are compiled with fastmath).
"""

import numpy as np

from lensfold.compiled import kernel

CORE = 0.001  # softening of the ellipsoid
SATELLITE_CORE = 0.05  # softening of the satellites
NFW_NODES = 1024
NFW_REACH = 20.0  # radius of the last node
_B, _Q, _COS, _SIN, _GAMMA1, _GAMMA2, _X, _Y = range(8)


@kernel
def brightness(x: float, y: float, parts: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Write the surface brightness of prepared parts at one position into ``out`` (4,), flux per square arcsec."""
    last = table.shape[1] - 1
    out[:] = 0.0
    for n in range(parts.shape[0]):
        c = parts[n]
        dx, dy = x - c[0], y - c[1]
        u, v = c[2] * dx + c[3] * dy, (c[2] * dy - c[3] * dx) * c[4]
        t = np.sqrt(np.sqrt(u * u + v * v)) * c[5]
        if t < last:
            m, k = int(t), int(c[6])
            value = table[k, m] + (t - m) * (table[k, m + 1] - table[k, m])
            for b in range(4):
                out[b] += value * c[7 + b]


@kernel
def sample_parts(x0: float, y0: float, n: int, step: float, parts: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the VIS surface brightness on an n x n grid about (x0, y0)."""
    out = np.empty((n, n))
    value = np.empty(4)
    for i in range(n):
        for j in range(n):
            brightness(x0 + (j - 0.5 * (n - 1)) * step, y0 + (i - 0.5 * (n - 1)) * step, parts, table, value)
            out[i, j] = value[0]
    return out


@kernel
def _nfw(r: float, nfw: np.ndarray) -> float:
    """Return the NFW deflection at radius r."""
    t = r * ((NFW_NODES - 1) / NFW_REACH)
    k = min(int(t), NFW_NODES - 2)
    return nfw[k] + (t - k) * (nfw[k + 1] - nfw[k])


@kernel
def _deflect_point(
    x: float, y: float, main: np.ndarray, nfw: np.ndarray, satellites: np.ndarray
) -> tuple[float, float]:
    """Return the deflection (alpha_x, alpha_y) at one position."""
    q, c, s = main[_Q], main[_COS], main[_SIN]
    px, py = x - main[_X], y - main[_Y]
    u, v = c * px + s * py, -s * px + c * py
    f = np.sqrt(1.0 - q * q)
    psi = np.sqrt(q * q * (CORE * CORE + u * u) + v * v)
    scale = main[_B] * np.sqrt(q) / f
    au = scale * np.arctan(f * u / (psi + CORE))
    t = f * v / (psi + q * q * CORE)
    av = scale * 0.5 * np.log((1.0 + t) / (1.0 - t))
    ax = c * au - s * av + main[_GAMMA1] * px + main[_GAMMA2] * py
    ay = s * au + c * av + main[_GAMMA2] * px - main[_GAMMA1] * py
    r = np.sqrt(px * px + py * py)
    if r > 1e-9:
        halo = _nfw(r, nfw) / r
        ax += halo * px
        ay += halo * py
    for k in range(satellites.shape[0]):
        dx, dy = x - satellites[k, 0], y - satellites[k, 1]
        pull = satellites[k, 2] / np.sqrt(dx * dx + dy * dy + SATELLITE_CORE * SATELLITE_CORE)
        ax += pull * dx
        ay += pull * dy
    return ax, ay


@kernel
def deflect_points(
    x: np.ndarray, y: np.ndarray, main: np.ndarray, nfw: np.ndarray, satellites: np.ndarray
) -> np.ndarray:
    """Return the deflection at positions x, y (n,): (n, 2)."""
    out = np.empty((x.size, 2))
    for k in range(x.size):
        out[k, 0], out[k, 1] = _deflect_point(x[k], y[k], main, nfw, satellites)
    return out


@kernel
def map_nodes(n: int, step: float, main: np.ndarray, nfw: np.ndarray, satellites: np.ndarray) -> np.ndarray:
    """Return the source positions of the nodes of n x n cells: (n + 1, n + 1, 2)."""
    nodes = np.empty((n + 1, n + 1, 2))
    for i in range(n + 1):
        y = (i - 0.5 * n) * step
        for j in range(n + 1):
            x = (j - 0.5 * n) * step
            ax, ay = _deflect_point(x, y, main, nfw, satellites)
            nodes[i, j, 0], nodes[i, j, 1] = x - ax, y - ay
    return nodes


@kernel
def _near(nodes: np.ndarray, i: int, j: int, x: float, y: float, reach: float) -> bool:
    """Return whether the image of a cell in the source plane comes within ``reach`` of (x, y)."""
    mx = 0.25 * (nodes[i, j, 0] + nodes[i + 1, j, 0] + nodes[i, j + 1, 0] + nodes[i + 1, j + 1, 0])
    my = 0.25 * (nodes[i, j, 1] + nodes[i + 1, j, 1] + nodes[i, j + 1, 1] + nodes[i + 1, j + 1, 1])
    size = 0.0
    for a in range(2):
        for b in range(2):
            size = max(size, (nodes[i + a, j + b, 0] - mx) ** 2 + (nodes[i + a, j + b, 1] - my) ** 2)
    return np.sqrt((mx - x) ** 2 + (my - y) ** 2) < reach + 1.5 * np.sqrt(size)


@kernel
def draw_lensed(
    vis: np.ndarray,
    nisp: np.ndarray,
    nodes: np.ndarray,
    pixel: float,
    reach: float,
    main: np.ndarray,
    nfw: np.ndarray,
    satellites: np.ndarray,
    parts: np.ndarray,
    table: np.ndarray,
) -> None:
    """Add the lensed source to vis and nisp; see lensing.draw_lensed."""
    n = vis.shape[0]
    per = n // (nodes.shape[0] - 1)
    value = np.empty(4)
    area = pixel * pixel
    for ci in range(n // per):
        for cj in range(n // per):
            if not _near(nodes, ci, cj, parts[0, 0], parts[0, 1], reach):
                continue
            for k in range(per * per):
                i, j = ci * per + k // per, cj * per + k % per
                x, y = (j - 0.5 * (n - 1)) * pixel, (i - 0.5 * (n - 1)) * pixel
                ax, ay = _deflect_point(x, y, main, nfw, satellites)
                brightness(x - ax, y - ay, parts, table, value)
                vis[i, j] += value[0] * area
                for b in range(3):
                    nisp[b, i // 2, j // 2] += value[b + 1] * area


@kernel
def critical_cells(nodes: np.ndarray, out: np.ndarray) -> None:
    """Write 1 - kappa - gamma < 0 of each cell, from finite differences of its mapped corners, into ``out``."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            a, b, c, d = nodes[i, j], nodes[i, j + 1], nodes[i + 1, j], nodes[i + 1, j + 1]
            xx, xy = b[0] + d[0] - a[0] - c[0], b[1] + d[1] - a[1] - c[1]
            yx, yy = c[0] + d[0] - a[0] - b[0], c[1] + d[1] - a[1] - b[1]
            out[i, j] = xx + yy < np.sqrt((xx - yy) ** 2 + (xy + yx) ** 2)
