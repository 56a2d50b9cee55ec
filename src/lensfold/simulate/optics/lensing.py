"""Deflection by an isothermal ellipsoid, external shear, an NFW halo and isothermal satellites.

Angles are arcsec. The ellipsoid is normalised so that the mean convergence inside the ellipse of area
pi b^2 is one: kappa = b / (2 sqrt(q x^2 + y^2 / q)) (Kormann, Schneider & Bartelmann 1994, in the closed form of
Keeton 2001, equations 33-35).
"""

from dataclasses import dataclass

import numpy as np

from lensfold.simulate.optics import lensing_kernels as kernels
from lensfold.simulate.optics.lensing_kernels import NFW_NODES, NFW_REACH
from lensfold.simulate.optics.light import sersic_table, smooth_parts


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
    """Return a lens whose ellipsoid and NFW halo have mean convergence one inside ``einstein_radius``.

    The halo has ``nfw_share`` of the deflection there and the scale radius ``nfw_radius`` (arcsec); ``shear`` is
    (gamma_1, gamma_2), ``angle`` is that of the major axis in radians, ``satellites`` is (n, 3).
    """
    q = min(max(axis_ratio, 0.2), 0.9999)
    b = (1.0 - nfw_share) * einstein_radius
    main = np.array([b, q, np.cos(angle), np.sin(angle), *shear])
    nfw = np.zeros(NFW_NODES)
    if nfw_share > 0:
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
