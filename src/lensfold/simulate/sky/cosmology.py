"""Distances of a flat universe with H0 = 70 km/s/Mpc and Omega_m = 0.3 (radiation neglected)."""

from functools import cache

import numpy as np

HUBBLE = 70.0
OMEGA_MATTER = 0.3
LIGHT_SPEED = 299792.458
_GRAVITY = 4.30091e-9  # Mpc (km/s)^2 / solar mass


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return redshifts 0..8 and comoving distances in Mpc (cumulative trapezoid, step 0.002)."""
    z = np.linspace(0.0, 8.0, 4001)
    inverse = 1.0 / np.sqrt(OMEGA_MATTER * (1 + z) ** 3 + 1 - OMEGA_MATTER)
    steps = 0.5 * (inverse[1:] + inverse[:-1]) * np.diff(z)
    distance = LIGHT_SPEED / HUBBLE * np.concatenate([[0.0], np.cumsum(steps)])
    z.flags.writeable = distance.flags.writeable = False
    return z, distance


def comoving_distance(z: float) -> float:
    """Return the line-of-sight comoving distance in Mpc, 0 <= z <= 8."""
    return float(np.interp(z, *_table()))


def distance_ratio(z_lens: float, z_source: float) -> float:
    """Return D_ls / D_s of angular diameter distances; in a flat universe 1 - chi_l / chi_s."""
    return 1.0 - comoving_distance(z_lens) / comoving_distance(z_source)


def nfw_scale_radius(mass: float, concentration: float, z: float) -> float:
    """Return the scale radius r_200 / c of a halo in arcsec; within r_200 it has 200 times the critical density."""
    hubble_squared = HUBBLE**2 * (OMEGA_MATTER * (1 + z) ** 3 + 1 - OMEGA_MATTER)
    critical = 3.0 * hubble_squared / (8.0 * np.pi * _GRAVITY)
    r200 = (3.0 * mass / (4.0 * np.pi * 200.0 * critical)) ** (1.0 / 3.0)
    return float(np.degrees(r200 * (1 + z) / comoving_distance(z)) * 3600.0 / concentration)
