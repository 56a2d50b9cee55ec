"""A pool of lensed sources, drawn once and wider than any population, by which a population's catalog is foreseen.

A population's statistics are weighted means over the pool (importance sampling): a trial costs milliseconds, and all
trials share their random numbers.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from lensfold.simulate import Population
from lensfold.simulate.objects import DrawnSplit, draw_object, object_streams
from lensfold.simulate.optics.lensing import Deflector, einstein_radius
from lensfold.simulate.optics.light_kernels import X, Y
from lensfold.simulate.optics.render import PIXEL, bin_vis, coarse_nodes, draw_sigma, lensed_source, observe_vis
from lensfold.simulate.sky.field import Source, draw_source, draw_source_redshift
from lensfold.simulate.sky.halo import draw_halo, turned_lens
from lensfold.simulate.truth import count_pieces, effective_magnification

THRESHOLDS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of mag_eff, in units of the VIS background
#: limits of a pool's offsets: in theta_E, and half the side of the square that holds the outermost images, arcsec
FAR, HALF = 9.5, 10.6


@dataclass(frozen=True)
class Pool:
    """Lensed sources, each (n,): theta_E, how far a frame of half side one reaches in the source's direction, offset
    (arcsec), magnitude, log10 of the radius in arcsec; number of pixels and of images; mag_eff for each threshold
    (n, 7); natural logarithm of the density they were drawn with."""

    einstein: np.ndarray
    across: np.ndarray
    offset: np.ndarray
    mag: np.ndarray
    log_radius: np.ndarray
    pixels: np.ndarray
    images: np.ndarray
    mag_eff: np.ndarray
    log_density: np.ndarray


def lensed_columns(
    lens: Deflector, source: Source, sigma: float, p: Population, thresholds: tuple[float, ...]
) -> tuple[int, int, list[float]]:
    """Return n_pix_source, n_source_im, and mag_eff for each threshold in units of ``sigma``."""
    planes = lensed_source(lens, coarse_nodes(lens), source.parts, p)
    pixels = int(np.count_nonzero(observe_vis(planes, p) > p.k_pix * sigma))
    images = count_pieces(bin_vis(planes.vis) > p.k_pix * sigma)
    return pixels, images, [effective_magnification(source, planes, k * sigma / (2 * PIXEL) ** 2) for k in thresholds]


def quick_row(p: Population, seed: int, split: DrawnSplit, index: int) -> dict[str, float]:
    """Return catalog columns of an object of a pack, of those that need no light but the source's.

    ``mag_lens`` is that of the halo, before arms, dust and tidal arcs.
    """
    rng = object_streams(seed, split, index)
    drawn = draw_object(p, rng, seed, split)
    row = {
        "theta_E": einstein_radius(drawn.lens),
        "z_lens": drawn.halo.z,
        "z_source": drawn.source.z,
        "mag_lens": drawn.halo.mag,
        "n_sources": float(drawn.present),
    }
    if not drawn.present:
        return {**row, "n_pix_source": 0.0, "n_source_im": 0.0, "mag_eff": math.nan}
    sigma = float(draw_sigma(rng.noise, p)[0])
    pixels, images, (magnification,) = lensed_columns(drawn.lens, drawn.source, sigma, p, (p.k_mag,))
    return {**row, "n_pix_source": float(pixels), "n_source_im": float(images), "mag_eff": magnification}


def widened(p: Population) -> Population:
    """Return the population a pool is drawn from: sources of a wider range in all that is fitted."""
    (low, high), (zero, slope, pivot, scatter) = p.source_mag, p.source_radius
    return replace(
        p,
        source_mag=(low - 0.5, high + 0.5),
        source_radius=(zero, slope, pivot, 1.2 * scatter),
        source_offset=(p.source_offset[0], 1.3 * p.source_offset[1]),
        far_offset=(p.far_offset[0], FAR),
        frame_half=HALF,
    )


def _draw(p: Population, index: int) -> tuple[float | np.ndarray, ...]:
    """Return one row of the pool: a halo of its own, and a source."""
    rng = np.random.default_rng([index, 99])
    halo = draw_halo(p, 0, index)
    z = draw_source_redshift(rng, p, halo.z)
    lens, einstein = turned_lens(halo, rng.uniform(0, 2 * np.pi), z)
    source = draw_source(rng, p, z, einstein)
    x, y = source.parts[0, [X, Y]]
    offset = math.hypot(x, y)
    pixels, images, mag_eff = lensed_columns(lens, source, float(draw_sigma(rng, p)[0]), p, THRESHOLDS)
    across = offset / max(abs(x), abs(y))
    return einstein, across, offset, source.mag, math.log10(source.radius), pixels, images, np.array(mag_eff)


def draw_pool(p: Population, n: int) -> Pool:
    """Return ``n`` lensed sources behind different haloes of a population, from a wider range than its own."""
    wide = widened(p)
    columns = [np.array(column) for column in zip(*(_draw(wide, index) for index in range(n)), strict=True)]
    pool = Pool(*[*columns, np.zeros(n)])
    return replace(pool, log_density=_log_density(pool, wide))


def _offset_density(pool: Pool, p: Population) -> np.ndarray:
    """Return the density per arcsec with which sky.field.draw_source puts a source at the offsets of the pool."""
    limit = np.maximum(p.frame_half * pool.across - pool.einstein, 1.0)
    (median, spread), (near, far), share = p.source_offset, p.far_offset, p.far_share
    ratio, top = pool.offset / pool.einstein, limit / pool.einstein
    density = (1 - share) * norm.pdf(np.log(ratio / median), scale=spread) / ratio
    density += share * ((ratio > near) & (ratio < far)) / (far - near)
    beyond = (1 - share) * norm.sf(np.log(top / median), scale=spread)
    beyond += share * np.clip((far - top) / (far - near), 0.0, 1.0)
    inside = np.where(pool.offset < limit, density / pool.einstein, 0.0)
    return inside + ((pool.offset > 0.7 * limit) & (pool.offset < limit)) * beyond / (0.3 * limit)


def _log_density(pool: Pool, p: Population) -> np.ndarray:
    """Return the natural logarithm of the density (up to a constant) with which a population draws the pool's sources;
    -inf for those that it does not."""
    zero, slope, pivot, scatter = p.source_radius
    residual = (pool.log_radius - math.log10(zero) - slope * (pool.mag - pivot)) / scatter
    inside = (pool.mag >= p.source_mag[0]) & (pool.mag <= p.source_mag[1])
    with np.errstate(divide="ignore"):
        offset = np.log(_offset_density(pool, p) * inside)
    return p.source_mag_slope * math.log(10) * pool.mag - 0.5 * residual**2 + offset


def weigh(pool: Pool, p: Population) -> np.ndarray:
    """Return the weights of the pool's sources for a population, which sum to one."""
    log = _log_density(pool, p) - pool.log_density
    weight = np.exp(log - log.max())
    return weight / weight.sum()


def at_threshold(pool: Pool, k: float) -> np.ndarray:
    """Return mag_eff (n,) at a threshold within THRESHOLDS, linear between them; NaN where either neighbour is."""
    j = int(np.clip(np.searchsorted(THRESHOLDS, k) - 1, 0, len(THRESHOLDS) - 2))
    t = (k - THRESHOLDS[j]) / (THRESHOLDS[j + 1] - THRESHOLDS[j])
    return (1 - t) * pool.mag_eff[:, j] + t * pool.mag_eff[:, j + 1]
