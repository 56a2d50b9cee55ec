"""What is drawn anew for every object: field galaxies, interlopers, stars, and the background source."""

from dataclasses import dataclass

import numpy as np

from lensfold.simulate.optics.light import components
from lensfold.simulate.optics.light_kernels import AXIS, COS, FLUX, KIND, PARAM, POINT, RADIUS, SIN, X, Y
from lensfold.simulate.population import Population
from lensfold.simulate.sky.galaxies import field_params, knots, magnitude_flux, source_galaxy
from lensfold.simulate.sky.halo import bent_normal
from lensfold.simulate.sky.sed import band_ratios

FIELD_HALF = 10.8  # half side of the field in arcsec


@dataclass(frozen=True)
class Source:
    """A background source: ``parts`` at their place in the source plane, and its catalog values."""

    parts: np.ndarray
    number: int
    z: float
    mag: float
    radius: float


def _counts(rng: np.random.Generator, n: int, limits: tuple[float, float], slope: float) -> np.ndarray:
    """Return ``n`` magnitudes with number counts 10^(slope m) between two limits."""
    low, high = limits
    u = rng.random(n)
    floor = 10.0 ** (slope * (low - high))
    return high + np.log10(floor + u * (1.0 - floor)) / slope


def _positions(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Return x, y and angle of ``n`` components at random over the field."""
    x, y = rng.uniform(-FIELD_HALF, FIELD_HALF, (2, n))
    return {"x": x, "y": y, "angle": rng.uniform(0, np.pi, n)}


def _field_galaxies(rng: np.random.Generator, p: Population) -> tuple[np.ndarray, np.ndarray]:
    """Return the components of the field, and (n, 3) x, y, mag of its galaxies."""
    n = int(rng.poisson(p.field_density * (2 * FIELD_HALF / 60.0) ** 2))
    mag = _counts(rng, n, (p.field_mag_bright, p.field_mag_limit), p.field_mag_slope)
    z = np.clip((0.25 + 0.13 * (mag - 19.0)) * 10.0 ** rng.normal(0.0, 0.15, n), 0.05, 3.0)
    early = rng.random(n) < p.field_early_share
    blue = rng.random(n) < 0.6
    tilt = rng.normal(0.0, p.colour_scatter, n)
    late = np.where(blue[:, None], band_ratios(p.seds.star_forming, z, tilt), band_ratios(p.seds.disc, z, tilt))
    ratios = np.where(early[:, None], band_ratios(p.seds.early, z, 0.5 * tilt), late)
    place = _positions(rng, n)
    rows = components(
        n,
        axis=rng.uniform(0.25, 1.0, n),
        radius=0.30 * 10.0 ** (-0.10 * (mag - 24.0) - 0.2 * early + rng.normal(0.0, 0.18, n)),
        index=np.where(early, rng.uniform(2.0, 4.5, n), rng.uniform(0.8, 1.5, n)),
        flux=magnitude_flux(mag)[:, None] * ratios,
        **place,
    )
    extra = [_structure(rng, p, rows[k], mag[k], z[k]) for k in np.flatnonzero(~early & (mag < 24.5))]
    return np.concatenate([rows, *extra]), np.stack([place["x"], place["y"], mag], axis=1)


def _structure(rng: np.random.Generator, p: Population, row: np.ndarray, mag: float, z: float) -> np.ndarray:
    """Give a late galaxy (a row, changed in place) arms or patches; return its bulge and knots as further rows."""
    kind, params = field_params(rng, mag < p.field_spiral_mag)
    row[KIND] = kind
    row[PARAM : PARAM + len(params)] = params
    flux = float(row[FLUX])
    bulge, young = rng.uniform(0.0, 0.3), rng.uniform(0.02, 0.10)
    row[FLUX : FLUX + 4] *= 1.0 - bulge - young
    core = components(
        x=row[X],
        y=row[Y],
        radius=0.35 * row[RADIUS],
        index=2.5,
        axis=min(1.0, row[AXIS] + 0.2),
        flux=bulge * flux * band_ratios(p.seds.early, z),
    )
    core[:, [COS, SIN]] = row[[COS, SIN]]
    spots = knots(rng, int(rng.integers(2, 8)), row, young * flux * band_ratios(p.seds.young, z), (0.05, 0.16))
    return np.concatenate([core, spots])


def draw_interlopers(rng: np.random.Generator, p: Population, n: int) -> np.ndarray:
    """Return ``n`` very bright compact galaxies: components (n, COLUMNS)."""
    sed, z = (p.seds.early, 0.2) if p.interloper_early else (p.seds.disc, 0.1)
    mag = _counts(rng, n, p.interloper_mag, p.field_mag_slope)
    return components(
        n,
        axis=rng.uniform(0.6, 1.0, n),
        radius=0.40 * 10.0 ** (-0.17 * (mag - 17.5)),
        index=rng.uniform(1.0, 3.0, n),
        flux=magnitude_flux(mag)[:, None] * band_ratios(sed, z, rng.normal(p.interloper_tilt, 0.2, n)),
        **_positions(rng, n),
    )


def _stars(rng: np.random.Generator, p: Population) -> np.ndarray:
    """Return the stars of a field."""
    n = int(rng.poisson(p.stars))
    mag = rng.uniform(*p.star_mag, n)
    return components(
        n,
        radius=0.1,
        flux=magnitude_flux(mag)[:, None] * band_ratios(p.seds.stellar, 0.0, rng.normal(0.0, 0.5, n)),
        kind=POINT,
        **_positions(rng, n),
    )


def draw_field(rng: np.random.Generator, p: Population) -> tuple[np.ndarray, np.ndarray]:
    """Return everything but the lens, its satellites and the source.

    These are components (n, COLUMNS), and the galaxies that n_gal_* counts: (m, 3) x, y in arcsec and VIS mag.
    """
    galaxies, places = _field_galaxies(rng, p)
    bright = draw_interlopers(rng, p, int(rng.poisson(p.interlopers)))
    return np.concatenate([galaxies, bright, _stars(rng, p)]), places


def draw_source_redshift(rng: np.random.Generator, p: Population, z_lens: float) -> float:
    """Return the redshift of the source, at least ``z_gap`` behind the lens."""
    median, spread = p.z_source
    z = median + spread * bent_normal(rng.normal(), p.z_source_skew) if p.z_source_skew else rng.normal(*p.z_source)
    return float(np.clip(z, z_lens + p.z_gap, 6.0))


def draw_source(rng: np.random.Generator, p: Population, z: float, einstein_radius: float) -> Source:
    """Return a source at redshift ``z`` at its place behind a lens of this Einstein radius (arcsec)."""
    mag = float(_counts(rng, 1, p.source_mag, p.source_mag_slope)[0])
    zero, slope, pivot, scatter = p.source_radius
    radius = zero * 10.0 ** (slope * (mag - pivot) + rng.normal(0.0, scatter))
    parts = source_galaxy(rng, p, mag, radius, z)
    offset = p.source_offset[0] * np.exp(rng.normal(0.0, p.source_offset[1]))
    far, u, phi = rng.uniform(*p.far_offset), rng.random(2), rng.uniform(0, 2 * np.pi)
    beta = einstein_radius * (far if u[0] < p.far_share else offset)
    limit = max(p.frame_half / max(abs(np.cos(phi)), abs(np.sin(phi))) - einstein_radius, 1.0)
    if beta > limit:
        beta = limit * (0.7 + 0.3 * u[1])
    parts[:, X] += beta * np.cos(phi)
    parts[:, Y] += beta * np.sin(phi)
    return Source(parts, int(rng.integers(1, 2**31)), z, mag, radius)
