"""Deflection by an isothermal ellipsoid, external shear, an NFW halo and isothermal satellites (numba kernels).

Angles are arcsec. The ellipsoid is normalised so that the mean convergence inside the ellipse of area
pi b^2 is one: kappa = b / (2 sqrt(q x^2 + y^2 / q)) (Kormann, Schneider & Bartelmann 1994, in the closed form of
Keeton 2001, equations 33-35).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from lensfold.simulate.light import JIT, brightness, sersic_table, smooth_parts

CORE = 0.001  # softening of the ellipsoid
SATELLITE_CORE = 0.05  # softening of the satellites
NFW_NODES = 1024
NFW_REACH = 20.0  # radius of the last node
_B, _Q, _COS, _SIN, _GAMMA1, _GAMMA2 = range(6)


@dataclass(frozen=True)
class Deflector:
    """A lens: ``main`` (6,) float64 = b, q, cos, sin of the major axis, gamma_1, gamma_2; ``nfw`` (1024,) float64,
    deflection at radii 0..20 arcsec; ``satellites`` (n, 3) float64 = x, y, theta_E."""

    main: np.ndarray
    nfw: np.ndarray
    satellites: np.ndarray


def make_deflector(
    einstein_radius: float,
    axis_ratio: float,
    angle: float,
    shear: tuple[float, float] = (0.0, 0.0),
    nfw_share: float = 0.0,
    nfw_radius: float = 20.0,
    satellites: np.ndarray | None = None,
) -> Deflector:
    """Build a lens whose ellipsoid and NFW halo have mean convergence one inside ``einstein_radius``.

    ``nfw_share`` of the deflection there is the halo's, ``nfw_radius`` is its scale radius, ``shear`` is
    (gamma_1, gamma_2), ``angle`` is that of the major axis in radians, ``satellites`` is (n, 3).
    """
    q = min(max(axis_ratio, 0.2), 0.9999)
    b = (1.0 - nfw_share) * einstein_radius
    main = np.array([b, q, np.cos(angle), np.sin(angle), *shear])
    radii = np.linspace(0.0, NFW_REACH, NFW_NODES)
    unit = nfw_shape(radii / nfw_radius) / nfw_shape(np.array([einstein_radius / nfw_radius]))[0]
    if satellites is None:
        satellites = np.zeros((0, 3))
    return Deflector(main, nfw_share * einstein_radius * unit, np.ascontiguousarray(satellites, dtype=float))


def nfw_shape(x: np.ndarray) -> np.ndarray:
    """Deflection of an NFW halo at x = r / r_s up to a constant: g(x) / x of Wright & Brainerd (2000), equation 13."""
    x = np.asarray(x, dtype=float)
    safe = np.where(x > 1e-8, x, 1.0)
    inner, outer = safe < 1.0 - 1e-6, safe > 1.0 + 1e-6
    term = np.ones_like(safe)
    term[inner] = np.arccosh(1.0 / safe[inner]) / np.sqrt(1.0 - safe[inner] ** 2)
    term[outer] = np.arccos(1.0 / safe[outer]) / np.sqrt(safe[outer] ** 2 - 1.0)
    return np.where(x > 1e-8, (np.log(0.5 * safe) + term) / safe, 0.0)


@njit(**JIT)
def _nfw(r, nfw):
    t = r * ((NFW_NODES - 1) / NFW_REACH)
    k = min(int(t), NFW_NODES - 2)
    return nfw[k] + (t - k) * (nfw[k + 1] - nfw[k])


@njit(**JIT)
def _deflect_point(x, y, main, nfw, satellites):
    """Deflection (alpha_x, alpha_y) at one position."""
    q, c, s = main[_Q], main[_COS], main[_SIN]
    u, v = c * x + s * y, -s * x + c * y
    f = np.sqrt(1.0 - q * q)
    psi = np.sqrt(q * q * (CORE * CORE + u * u) + v * v)
    scale = main[_B] * np.sqrt(q) / f
    au = scale * np.arctan(f * u / (psi + CORE))
    t = f * v / (psi + q * q * CORE)
    av = scale * 0.5 * np.log((1.0 + t) / (1.0 - t))
    ax = c * au - s * av + main[_GAMMA1] * x + main[_GAMMA2] * y
    ay = s * au + c * av + main[_GAMMA2] * x - main[_GAMMA1] * y
    r = np.sqrt(x * x + y * y)
    if r > 1e-9:
        halo = _nfw(r, nfw) / r
        ax += halo * x
        ay += halo * y
    for k in range(satellites.shape[0]):
        dx, dy = x - satellites[k, 0], y - satellites[k, 1]
        pull = satellites[k, 2] / np.sqrt(dx * dx + dy * dy + SATELLITE_CORE * SATELLITE_CORE)
        ax += pull * dx
        ay += pull * dy
    return ax, ay


@njit(**JIT)
def _deflect(x, y, main, nfw, satellites):
    out = np.empty((x.size, 2))
    for k in range(x.size):
        out[k, 0], out[k, 1] = _deflect_point(x[k], y[k], main, nfw, satellites)
    return out


def deflection(lens: Deflector, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deflection angles at positions of any shape: two float64 arrays of that shape, arcsec."""
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    out = _deflect(x.ravel(), y.ravel(), lens.main, lens.nfw, lens.satellites)
    return out[:, 0].reshape(x.shape), out[:, 1].reshape(x.shape)


@njit(**JIT)
def _map_nodes(n, step, main, nfw, satellites):
    nodes = np.empty((n + 1, n + 1, 2))
    for i in range(n + 1):
        y = (i - 0.5 * n) * step
        for j in range(n + 1):
            x = (j - 0.5 * n) * step
            ax, ay = _deflect_point(x, y, main, nfw, satellites)
            nodes[i, j, 0], nodes[i, j, 1] = x - ax, y - ay
    return nodes


def map_nodes(lens: Deflector, cells: int, step: float) -> np.ndarray:
    """Source positions of the nodes of a centred grid of cells: (cells + 1, cells + 1, 2) float64, [row, column, xy]."""
    return _map_nodes(cells, step, lens.main, lens.nfw, lens.satellites)


def critical_cells(nodes: np.ndarray, step: float) -> np.ndarray:
    """Cells with 1 - kappa - gamma < 0, i.e. inside the tangential critical curve: bool, one smaller than ``nodes``.

    kappa and gamma come from finite differences of the mapped corners.
    """
    along_x = 0.5 * (nodes[1:, 1:] + nodes[:-1, 1:] - nodes[1:, :-1] - nodes[:-1, :-1]) / step
    along_y = 0.5 * (nodes[1:, 1:] + nodes[1:, :-1] - nodes[:-1, 1:] - nodes[:-1, :-1]) / step
    trace = 0.5 * (along_x[..., 0] + along_y[..., 1])
    gamma1 = 0.5 * (along_x[..., 0] - along_y[..., 1])
    gamma2 = 0.5 * (along_x[..., 1] + along_y[..., 0])
    return trace - np.hypot(gamma1, gamma2) < 0


@njit(**JIT)
def _near(nodes, i, j, x, y, reach):
    """Whether the image of a cell in the source plane comes within ``reach`` of (x, y)."""
    mx = 0.25 * (nodes[i, j, 0] + nodes[i + 1, j, 0] + nodes[i, j + 1, 0] + nodes[i + 1, j + 1, 0])
    my = 0.25 * (nodes[i, j, 1] + nodes[i + 1, j, 1] + nodes[i, j + 1, 1] + nodes[i + 1, j + 1, 1])
    size = 0.0
    for a in range(2):
        for b in range(2):
            size = max(size, (nodes[i + a, j + b, 0] - mx) ** 2 + (nodes[i + a, j + b, 1] - my) ** 2)
    return np.sqrt((mx - x) ** 2 + (my - y) ** 2) < reach + 1.5 * np.sqrt(size)


@njit(**JIT)
def _draw_lensed(vis, nisp, nodes, pixel, reach, main, nfw, satellites, parts, table):
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


def draw_lensed(
    vis: np.ndarray,
    nisp: np.ndarray,
    nodes: np.ndarray,
    pixel: float,
    reach: float,
    lens: Deflector,
    parts: np.ndarray,
) -> None:
    """Add the lensed source to ``vis`` (n, n) and ``nisp`` (3, n/2, n/2), one ray per fine pixel.

    ``nodes`` are the mapped nodes of a coarser grid over the same field: only cells whose image comes within
    ``reach`` arcsec of the first of the source's ``parts`` are evaluated.
    """
    source, table = smooth_parts(parts), sersic_table()
    _draw_lensed(vis, nisp, nodes, pixel, reach, lens.main, lens.nfw, lens.satellites, source, table)
