"""The library of haloes: each with its mass, its central galaxy, its satellites and its deflection, drawn
from the seed and the halo's number only, so that every object that re-uses a halo gets the same one."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from lensfold.simulate.optics.lensing import Deflector, make_deflector
from lensfold.simulate.optics.light import components, rotated, shifted
from lensfold.simulate.optics.light_kernels import X, Y
from lensfold.simulate.population import Population
from lensfold.simulate.sky.cosmology import distance_ratio, nfw_scale_radius
from lensfold.simulate.sky.galaxies import MORPHOLOGIES, central_galaxy, magnitude_flux
from lensfold.simulate.sky.sed import band_ratios

LIBRARY_STREAM = 2  # beside the splits 0 and 1 in the seed sequence
# Steps of the R3 low-discrepancy sequence (powers of 1 / g with g^4 = g + 1): mass, morphology and redshift of
# the few haloes that are used most often are spread evenly, whatever the seed.
_R3 = np.array([0.8191725134, 0.6710436067, 0.5497004779])


@dataclass(frozen=True)
class Halo:
    """One halo at rest; angles in arcsec and radians, masses in solar masses.

    ``radius`` is the half-light radius of an early type's body and ``axis`` its axis ratio, whatever the morphology;
    ``central`` and ``satellites`` are components; ``pulls`` (n, 3) = x, y and theta_E / (D_ls / D_s) of the
    satellites that deflect; ``einstein`` is theta_E / (D_ls / D_s).
    """

    number: int
    mass: float
    stars: float
    z: float
    mag: float
    morphology: str
    central: np.ndarray
    satellites: np.ndarray
    pulls: np.ndarray
    einstein: float
    mass_axis: float
    mass_angle: float
    shear: tuple[float, float]
    nfw_share: float
    nfw_radius: float
    power_slope: float = 0.0
    radius: float = 0.0
    axis: float = 1.0


def bent_normal(t: float, skew: float) -> float:
    """Return a standard normal number bent to (exp(skew t) - 1) / skew: median 0, spread there 1, a tail where skew
    points (the g distribution of Tukey; Hoaglin 1985)."""
    return math.expm1(skew * t) / skew if skew else t


def _straight(t: float, skew: float) -> float:
    """Return the standard normal number that bent_normal makes ``t`` of, -inf or inf where there is none."""
    if not skew:
        return t
    return math.log1p(skew * t) / skew if skew * t > -1 else -math.copysign(math.inf, skew)


def _normal_quantile(u: float, mean_sd: tuple[float, float], limits: tuple[float, float], skew: float = 0.0) -> float:
    """Return quantile u of a normal distribution, bent by ``skew``, cut to limits."""
    mean, sd = mean_sd
    low, high = (ndtr(_straight((limit - mean) / sd, skew)) for limit in limits)
    return float(mean + sd * bent_normal(ndtri(low + u * (high - low)), skew))


def pick_halo(rng: np.random.Generator, p: Population, test: bool = False) -> int:
    """Return the number of a halo of the library, from 0; k has a probability proportional to (k + 1)^-exponent.

    With ``separate_haloes`` objects of the ``test`` split take theirs from a second library behind the first. Without
    a library the number is one of 2^31, so that hardly two objects share a halo.
    """
    if p.halo_library == 0:
        return int(rng.integers(2**31))
    first = p.halo_library if test and p.separate_haloes else 0
    weight = np.cumsum(np.arange(1, p.halo_library + 1, dtype=float) ** -p.halo_exponent)
    return first + int(np.searchsorted(weight, rng.random() * weight[-1], side="right"))


def _satellites(
    rng: np.random.Generator, p: Population, log_mass: float, z: float, stars_mag: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return satellite galaxies (components) and those that deflect (x, y, theta_E per D_ls/D_s)."""
    mean = p.satellites[0] * 10.0 ** (p.satellites[1] * (log_mass - 14.0))
    n = int(rng.poisson(mean))
    r = 1.5 + 10.5 * rng.random(n) ** 0.8
    phi = rng.uniform(0, 2 * np.pi, n)
    mag = stars_mag + 1.0 + rng.gamma(2.0, 1.4, n)
    red = rng.random(n) < p.satellite_red_share
    tilt = rng.normal(0.0, 0.15, n)
    ratios = np.where(red[:, None], band_ratios(p.seds.early, z, tilt - 0.2), band_ratios(p.seds.disc, z, tilt))
    rows = components(
        n,
        x=r * np.cos(phi),
        y=r * np.sin(phi),
        angle=rng.uniform(0, np.pi, n),
        axis=rng.uniform(0.35, 1.0, n),
        radius=0.3 * 10.0 ** (-0.08 * (mag - 22.5) + rng.normal(0.0, 0.15, n)),
        index=np.where(red, rng.uniform(2.0, 4.0, n), 1.0),
        flux=magnitude_flux(mag)[:, None] * ratios,
    )
    zero, slope = p.satellite_einstein
    einstein = zero / p.einstein_ratio * 10.0 ** (-0.4 * slope * (mag - 21.5))
    strongest = np.argsort(mag)[: p.deflecting_satellites]
    return rows, np.stack([rows[:, X], rows[:, Y], einstein], axis=1)[strongest]


def draw_halo(p: Population, seed: int, number: int) -> Halo:
    """Return halo ``number`` of the library of ``seed``, with its major axis of light along x."""
    # zeros at the end of a seed sequence do not count: halo 0 of the first version has the stream of the shift
    rng = np.random.default_rng([seed, LIBRARY_STREAM, number if p.first_version else number + 1])
    shift = np.random.default_rng([seed, LIBRARY_STREAM]).random(3)
    u_mass, u_kind, u_z = (shift + (number + 1) * _R3) % 1.0
    log_mass = _normal_quantile(u_mass, p.log_mass, p.log_mass_range, p.log_mass_skew)
    z = _normal_quantile(u_z, p.z_lens, p.z_lens_range, p.z_lens_skew)
    zero, slope, scatter = p.log_stars
    log_stars = zero + slope * (log_mass - 13.9) + rng.normal(0.0, scatter)
    mag_zero, per_z, per_stars, mag_scatter = p.lens_mag
    mag = float(mag_zero + per_z * (z - 0.62) + per_stars * (log_stars - 11.87) + rng.normal(0.0, mag_scatter))
    dex = math.log10(z / 0.62)
    mag += p.lens_mag_dex * dex
    kind = MORPHOLOGIES[int(np.searchsorted(np.cumsum(p.morphology), u_kind * sum(p.morphology)))]
    axis = float(np.clip(rng.normal(*p.lens_axis), 0.45, 0.98))
    radius = p.lens_radius * 10.0 ** (0.5 * (log_stars - 11.87) + rng.normal(0.0, 0.1) + p.lens_radius_dex * dex)
    central = central_galaxy(rng, p, kind, magnitude_flux(mag), z, radius, axis)
    satellites, pulls = _satellites(rng, p, log_mass, z, mag)
    strength = p.einstein_scale * 10.0 ** (p.einstein_slope * (log_mass - 14.0) + rng.normal(0.0, p.einstein_scatter))
    shear, direction = p.shear[0] * np.exp(rng.normal(0.0, p.shear[1])), rng.uniform(0, 2 * np.pi)
    return Halo(
        number=number,
        mass=10.0**log_mass,
        stars=10.0**log_stars,
        z=z,
        mag=mag,
        radius=radius,
        axis=axis,
        morphology=kind,
        central=central,
        satellites=satellites,
        pulls=pulls,
        einstein=strength / p.einstein_ratio,
        mass_axis=float(np.clip(axis + rng.normal(0.0, p.mass_axis_scatter), 0.4, 0.99)),
        mass_angle=rng.normal(0.0, 0.1),
        shear=(shear * np.cos(direction), shear * np.sin(direction)),
        nfw_share=rng.uniform(*p.nfw_share),
        nfw_radius=nfw_scale_radius(10.0**log_mass, p.nfw_concentration, z),
        power_slope=p.power_slope,
    )


def turned_lens(
    halo: Halo, angle: float, z_source: float, centre: tuple[float, float] = (0.0, 0.0)
) -> tuple[Deflector, float]:
    """Return the deflector of a halo turned by ``angle`` radians, at ``centre`` on the frame in arcsec, for sources
    at ``z_source``, and the theta_E in arcsec of its ellipsoid and NFW halo."""
    ratio = distance_ratio(halo.z, z_source)
    einstein = halo.einstein * ratio
    c, s = np.cos(angle), np.sin(angle)
    c2, s2 = np.cos(2 * angle), np.sin(2 * angle)
    g1, g2 = halo.shear
    x, y, pull = halo.pulls.T
    deflector = make_deflector(
        einstein,
        halo.mass_axis,
        halo.mass_angle + angle,
        shear=(c2 * g1 - s2 * g2, s2 * g1 + c2 * g2),
        nfw_share=halo.nfw_share,
        nfw_radius=halo.nfw_radius,
        power_slope=halo.power_slope,
        satellites=np.stack([c * x - s * y + centre[0], s * x + c * y + centre[1], pull * ratio], axis=1),
        centre=centre,
    )
    return deflector, einstein


def turned_light(halo: Halo, angle: float, centre: tuple[float, float] = (0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Return the components of the central galaxy and of the satellites of a halo turned by ``angle`` radians, at
    ``centre`` on the frame in arcsec."""
    return shifted(rotated(halo.central, angle), centre), shifted(rotated(halo.satellites, angle), centre)
