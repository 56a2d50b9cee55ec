"""Deflection by an isothermal ellipsoid, external shear, an NFW halo and isothermal satellites.

Angles are arcsec. The ellipsoid is normalised so that the mean convergence inside the ellipse of area
pi b^2 is one: kappa = b / (2 sqrt(q x^2 + y^2 / q)) (Kormann, Schneider & Bartelmann 1994, in the closed form of
Keeton 2001, equations 33-35).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ellipe, ellipk, ellipkm1

from lensfold.simulate.optics import lensing_kernels as kernels
from lensfold.simulate.optics.lensing_kernels import NFW_NODES, NFW_REACH, SATELLITE_CORE
from lensfold.simulate.optics.light import sersic_table, smooth_parts

_RADII, _REFINEMENTS = 48, 2  # of the search for the Einstein radius


@dataclass(frozen=True)
class Deflector:
    """A lens: ``main`` (8,) float64 = b, q, cos, sin of the major axis, gamma_1, gamma_2, x, y of the centre;
    ``nfw`` (1024,) float64, deflection of the round part at radii 0..20 arcsec; ``satellites`` (n, 3) float64 = x, y,
    theta_E."""

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
    power_slope: float = 0.0,
    satellites: np.ndarray | None = None,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Deflector:
    """Return a lens whose ellipsoid and NFW halo have mean convergence one inside ``einstein_radius``.

    The halo has ``nfw_share`` of the deflection there and the scale radius ``nfw_radius`` (arcsec). Where
    ``power_slope`` is not 0, a density falling as r^-slope takes its place: it deflects by r^(2 - slope). ``shear`` is
    (gamma_1, gamma_2) and vanishes at ``centre``, ``angle`` is that of the major axis in radians, ``satellites`` is
    (n, 3) with positions on the frame. Satellites add to the mass: see :func:`einstein_radius`.
    """
    q = min(max(axis_ratio, 0.2), 0.9999)
    b = (1.0 - nfw_share) * einstein_radius
    main = np.array([b, q, np.cos(angle), np.sin(angle), *shear, *centre])
    nfw = np.zeros(NFW_NODES)
    if nfw_share > 0 and power_slope:
        radius = np.linspace(0.0, NFW_REACH, NFW_NODES)[1:]
        nfw[1:] = nfw_share * einstein_radius * (radius / einstein_radius) ** (2.0 - power_slope)
    elif nfw_share > 0:
        nfw = nfw_shape(np.linspace(0.0, NFW_REACH / nfw_radius, NFW_NODES))
        nfw *= nfw_share * einstein_radius / nfw_shape(np.array([einstein_radius / nfw_radius]))[0]
    if satellites is None:
        satellites = np.zeros((0, 3))
    return Deflector(main, nfw, np.ascontiguousarray(satellites, dtype=float))


def nfw_shape(x: np.ndarray) -> np.ndarray:
    """Return the deflection of an NFW halo at x = r / r_s up to a constant.

    It is g(x) / x of Wright & Brainerd (2000), equation 13.
    """
    x = np.asarray(x, dtype=float)
    safe = np.where(x > 1e-8, x, 1.0)
    inner, outer = safe < 1.0 - 1e-6, safe > 1.0 + 1e-6
    term = np.ones_like(safe)
    term[inner] = np.arccosh(1.0 / safe[inner]) / np.sqrt(1.0 - safe[inner] ** 2)
    term[outer] = np.arccos(1.0 / safe[outer]) / np.sqrt(safe[outer] ** 2 - 1.0)
    return np.where(x > 1e-8, (np.log(0.5 * safe) + term) / safe, 0.0)


def mean_deflection(lens: Deflector, radii: np.ndarray) -> np.ndarray:
    """Return the radial deflection in arcsec, averaged over circles of these radii (n,) about the lens's centre.

    By the divergence theorem it is the radius times the mean convergence inside. Closed forms: the ellipsoid's is the
    same at every radius, the circle's integral over a satellite is one of complete elliptic integrals (their core
    included), shear adds nothing.
    """
    b, q = lens.main[:2]
    mean = b * 2.0 / np.pi * np.sqrt(q) * ellipk(1.0 - q * q)
    mean = mean + np.interp(radii, np.linspace(0.0, NFW_REACH, NFW_NODES), lens.nfw)
    x, y, pull = lens.satellites.T
    d, r = np.hypot(x - lens.main[6], y - lens.main[7]), radii[:, None]
    square = (r + d) ** 2 + SATELLITE_CORE**2
    far, near = np.sqrt(square), ((r - d) ** 2 + SATELLITE_CORE**2) / square
    first = (r * r - d * d - SATELLITE_CORE**2) / far * ellipkm1(near)
    return mean + (pull / (np.pi * r) * (first + far * ellipe(1.0 - near))).sum(axis=1)


def einstein_radius(lens: Deflector) -> float:
    """Return the radius in arcsec of the largest circle about the lens's centre with mean convergence one.

    All mass counts: ellipsoid, NFW halo and satellites. Zero where no circle has it. Accurate to 1e-4 arcsec.
    """
    high = 1.001 * float(lens.main[0] + lens.nfw.max() + lens.satellites[:, 2].sum())
    low = 0.001 * high
    for _ in range(_REFINEMENTS):
        radii = np.linspace(low, high, _RADII)
        excess = mean_deflection(lens, radii) - radii
        inside = np.flatnonzero(excess > 0)
        if not len(inside):
            return 0.0
        k = inside[-1]
        low, high = radii[k], radii[k + 1]
    return float(low + (high - low) * excess[k] / (excess[k] - excess[k + 1]))


def deflection(lens: Deflector, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the deflection angles at positions of any shape: two float64 arrays of that shape, arcsec."""
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    out = kernels.deflect_points(x.ravel(), y.ravel(), lens.main, lens.nfw, lens.satellites)
    return out[:, 0].reshape(x.shape), out[:, 1].reshape(x.shape)


def map_nodes(lens: Deflector, cells: int, step: float) -> np.ndarray:
    """Return the source positions of the nodes of a centred grid of cells: (cells + 1, cells + 1, 2) float64."""
    return kernels.map_nodes(cells, step, lens.main, lens.nfw, lens.satellites)


def critical_cells(nodes: np.ndarray) -> np.ndarray:
    """Return which cells are inside the tangential critical curve (1 - kappa - gamma < 0): bool, (cells, cells).

    kappa and gamma come from finite differences of the mapped corners (whose distance cancels).
    """
    out = np.empty((nodes.shape[0] - 1, nodes.shape[1] - 1), dtype=np.bool_)
    kernels.critical_cells(nodes, out)
    return out


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
    kernels.draw_lensed(vis, nisp, nodes, pixel, reach, lens.main, lens.nfw, lens.satellites, source, table)
