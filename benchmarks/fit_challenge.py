"""Fit the profile ``challenge`` to what is known of the real catalog: ``python -m benchmarks.fit_challenge``.

Redshifts are set by three known quantiles each (a normal distribution, bent: three numbers). Three fits follow.

1. Haloes: mean, spread and skew of the masses, and the magnitudes of the lens galaxies, by the known quantiles of
   theta_E and mag_lens.
2. Sources: magnitudes, sizes, offsets and the threshold of mag_eff, by all columns of the lensed source at once; from
   the profile as it is, so that a second run refines the first.
3. Bright galaxies beside the lens: their number and colour, by the expected rms of all pixels in the four bands.

What the second sums is the squared difference of each statistic from the known value, in units of its uncertainty:
that of the known value (exact counts of 100,000 rows have next to none, shares of 82 rows half the binomial one) and
the scatter between seeds at 1,000 objects. Set by hand afterwards, as simulated packs asked for it: at most four
clumps a source, sources 0.05 mag brighter, a lower k_mag, 8 % fewer bright galaxies and a little bluer ones.

The mag_eff of 61 rows (quantiles 1.5, 3.0, 8.5) is left out: exact counts contradict it. Of the objects with a mag_eff
61.6 % have more than 2 and 6 % less than 1.2, and the standard deviation is 2.40. Fitted with all of it, the quantiles
counted at a quarter of their error, the shares below them become 0.13, 0.55, 0.94 (asked: 0.1, 0.5, 0.9) and the
exact numbers 68 %, 3 % and 3.3; without, the exact numbers are met and the shares are 0.21, 0.63, 0.97.

k_pix is not fitted: with k_pix and the magnitudes of all sources shifted together every column but mag_source stays
the same. It stays at 2, where scores on the sky come nearest to published ones; for the mag_source of 61 real
rows (median 26.5) it would have to be about 1, and the band of that column is unknown.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
import typer
from scipy.optimize import minimize
from scipy.stats import norm

from benchmarks.lensed_pool import FAR, HALF, THRESHOLDS, Pool, at_threshold, draw_pool, quick_row, weigh
from lensfold.frames import BANDS
from lensfold.simulate import PROFILES, Population, simulate_object
from lensfold.simulate.optics.lensing import einstein_radius
from lensfold.simulate.optics.render import Planes, add_light, observe_nisp, observe_vis
from lensfold.simulate.sky.field import draw_interlopers, draw_source_redshift
from lensfold.simulate.sky.halo import draw_halo, turned_lens
from lensfold.simulate.sky.sed import TILT

N_SCATTER = 1000  # objects between whose statistics the seed scatter is taken
PROBABILITIES = (0.1, 0.5, 0.9)
#: of 61 real rows, 13 of which share one halo
QUANTILES = {
    "theta_E": (1.65, 2.63, 4.87),
    "mag_lens": (17.8, 20.2, 22.2),
    "z_lens": (0.36, 0.68, 1.14),
    "z_source": (1.93, 2.33, 3.46),
    "mag_eff": (1.5, 3.0, 8.5),
}
RMS = (2.84e-11, 5.29e-10, 6.52e-10, 7.71e-10)  # of all pixels of the pack in VIS, Y, J, H


@dataclass(frozen=True)
class Known:
    """A number known of the real catalog, and the standard error of its difference from a simulated one."""

    value: float
    error: float


def _share(value: float, error: float = 0.0, rows: float = math.inf) -> Known:
    """Return a share with an error of its own, or that of a count among ``rows``."""
    variance = value * (1 - value)
    return Known(value, math.sqrt(error**2 + variance / rows + variance / N_SCATTER))


#: shares of all objects unless the name says otherwise (NaN compares false); spreads with their seed scatter
KNOWN = {
    "mag_eff NaN": _share(0.11182),
    "mag_eff > 2": _share(0.5473),
    "mag_eff < 1.2": _share(0.054, error=0.005),  # from the 0.78 of official-2019
    # of 82 rows; half of their error, as what else is known nearly leaves them free
    "no image": _share(0.24, rows=4 * 82),
    "one image": _share(0.34, rows=4 * 82),
    "two images": _share(0.34, rows=4 * 82),
    "three images or more": _share(0.07, rows=4 * 82),
    "official-2020": _share(0.491, error=0.007),
    "> 300 px": _share(0.08, error=0.005),
    "spread of mag_eff": Known(2.40, 0.25),
    "spread of n_source_im": Known(0.916, 0.03),
    "spread of n_pix_source": Known(244.7, 25.0),
}

#: what is fitted of the sources: first step, limits
FREE = {
    "mag low": (0.2, 20.0, 23.0),
    "mag high": (0.2, 25.0, 28.0),
    "mag slope": (0.03, 0.0, 0.5),
    "radius": (0.03, 0.08, 0.45),
    "radius scatter": (0.02, 0.12, 0.30),
    "offset": (0.05, 0.4, 1.2),
    "offset spread": (0.04, 0.25, 0.8),
    "far share": (0.04, 0.0, 0.5),
    "far high": (0.4, 5.0, FAR),
    "frame half": (0.1, 9.0, HALF),
    "k_mag": (0.1, THRESHOLDS[0], THRESHOLDS[-1]),
}


def bent(quantiles: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return median, spread and skew of the bent normal distribution with these 10, 50 and 90 % quantiles."""
    low, middle, high = quantiles
    step = float(norm.ppf(0.9))
    skew = math.log((high - middle) / (middle - low)) / step
    return middle, (high - middle) * skew / math.expm1(skew * step), skew


def _minimum(miss: Callable[[Any], float], start: Sequence[float], step: Sequence[float], n: int) -> list[float]:
    """Return where a function of a few numbers is least, by the simplex of Nelder & Mead (1965)."""
    corners = np.array(start) + np.vstack([np.zeros(len(start)), np.diag(step)])
    found = minimize(
        miss,
        np.array(start),
        method="Nelder-Mead",
        options={"maxfev": n, "initial_simplex": corners, "xatol": 1e-4, "fatol": 1e-5, "adaptive": len(start) > 4},
    )
    return [float(x) for x in found.x]


def halo_columns(p: Population, n: int) -> np.ndarray:
    """Return theta_E in arcsec, mag_lens and z_lens of ``n`` haloes, each once: (n, 3) float64."""
    rows = []
    for number in range(n):
        halo = draw_halo(p, 0, number)
        z = draw_source_redshift(np.random.default_rng([7, number]), p, halo.z)
        rows.append((einstein_radius(turned_lens(halo, 0.0, z)[0]), halo.mag, halo.z))
    return np.array(rows)


def fit_haloes(p: Population, n: int, trials: int) -> Population:
    """Return the population with the known quantiles of redshifts, theta_E and mag_lens."""
    z_lens, z_source = bent(QUANTILES["z_lens"]), bent(QUANTILES["z_source"])
    p = replace(p, z_lens=z_lens[:2], z_lens_skew=z_lens[2], z_source=z_source[:2], z_source_skew=z_source[2])

    def masses(x: Sequence[float]) -> Population:
        return replace(p, log_mass=(float(x[0]), float(x[1])), log_mass_skew=float(x[2]))

    def miss(x: Sequence[float]) -> float:
        theta = np.log(halo_columns(masses(x), n)[:, 0])
        return float(np.sum((np.quantile(theta, PROBABILITIES) - np.log(QUANTILES["theta_E"])) ** 2))

    p = masses(_minimum(miss, (*p.log_mass, p.log_mass_skew), (0.04, 0.04, 0.3), trials))
    columns = halo_columns(p, n)
    dex = np.log10(columns[:, 2] / 0.62)

    def miss_mag(x: Sequence[float]) -> float:
        mag = np.quantile(columns[:, 1] + x[0] + x[1] * dex, PROBABILITIES)
        return float(np.sum((mag - QUANTILES["mag_lens"]) ** 2))

    brighter, steeper = _minimum(miss_mag, (0.0, 0.0), (0.3, 1.0), 200)
    lens_mag = (p.lens_mag[0] + brighter, *p.lens_mag[1:])
    return replace(p, lens_mag=lens_mag, lens_mag_dex=p.lens_mag_dex + steeper)


def _spread(values: np.ndarray, weight: np.ndarray) -> float:
    mean = (weight * values).sum() / weight.sum()
    return float(np.sqrt((weight * (values - mean) ** 2).sum() / weight.sum()))


def catalog_statistics(
    mag_eff: np.ndarray, images: np.ndarray, pixels: np.ndarray, weight: np.ndarray
) -> dict[str, float]:
    """Return the statistics of KNOWN of objects (n,) with weights that sum to one; no source: NaN, 0, 0."""
    valid = ~np.isnan(mag_eff)
    value, part = np.where(valid, mag_eff, 0.0), weight * valid / (weight * valid).sum()
    conditions = {
        "mag_eff NaN": ~valid,
        "mag_eff > 2": value > 2,
        "mag_eff < 1.2": valid & (value < 1.2),
        "no image": images == 0,
        "one image": images == 1,
        "two images": images == 2,
        "three images or more": images > 2,
        "official-2020": (images > 0) & (value > 1.6) & (pixels > 20),
        "> 300 px": pixels > 300,
    }
    return {
        **{name: float(weight[condition].sum()) for name, condition in conditions.items()},
        "spread of mag_eff": _spread(value, part),
        "spread of n_source_im": _spread(images, weight),
        "spread of n_pix_source": _spread(pixels, weight),
    }


def foreseen(pool: Pool, p: Population) -> dict[str, float]:
    """Return the statistics of KNOWN that a population would have."""
    share = p.share_with_source
    columns = (at_threshold(pool, p.k_mag), pool.images, pool.pixels, share * weigh(pool, p))
    without = (math.nan, 0, 0, 1 - share)
    return catalog_statistics(*(np.append(column, value) for column, value in zip(columns, without, strict=True)))


def distance(found: Mapping[str, float]) -> float:
    """Return the summed squared distance from what is known, in units of its uncertainty."""
    return sum(((found[name] - known.value) / known.error) ** 2 for name, known in KNOWN.items())


def sources(p: Population, x: Sequence[float]) -> Population:
    """Return the population with the numbers of FREE, cut to their limits."""
    limits = np.array(list(FREE.values()))[:, 1:].T
    x = [float(value) for value in np.clip(x, *limits)]
    return replace(
        p,
        source_mag=(x[0], x[1]),
        source_mag_slope=x[2],
        source_radius=(x[3], *p.source_radius[1:3], x[4]),
        source_offset=(x[5], x[6]),
        far_share=x[7],
        far_offset=(p.far_offset[0], x[8]),
        frame_half=x[9],
        k_mag=x[10],
    )


def fit_sources(p: Population, pool: Pool, trials: int) -> Population:
    """Return the population whose sources fit best."""
    step = [numbers[0] for numbers in FREE.values()]
    start = [*p.source_mag, p.source_mag_slope, p.source_radius[0], p.source_radius[3], *p.source_offset]
    start += [p.far_share, p.far_offset[1], p.frame_half, p.k_mag]
    for _ in range(4):  # a simplex that has shrunk too early starts anew
        start = _minimum(lambda x: distance(foreseen(pool, sources(p, x))), start, step, trials)
    return sources(p, start)


def mean_squares(p: Population, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected mean square of the pixels of a frame in four bands (4,), without interlopers, and what one
    interloper at an interloper_tilt of zero adds, from ``n`` frames each."""
    rare = replace(p, interlopers=0.0, halo_exponent=0.0)  # each halo as often as any other
    frames = [simulate_object(rare, 0, "train", k).images for k in range(n)]
    lens = np.mean([[np.mean(images[band].astype(float) ** 2) for band in BANDS] for images in frames], axis=0)
    rng, total = np.random.default_rng(0), np.zeros(4)
    for _ in range(n):
        planes = Planes.empty()
        add_light(planes, draw_interlopers(rng, replace(p, interloper_tilt=0.0), 1), p)
        images = (observe_vis(planes, p), *observe_nisp(planes.nisp, p))
        total += [np.mean(image.astype(float) ** 2) for image in images]
    return lens, total / n


def fit_brightness(p: Population, n: int) -> Population:
    """Return the population whose expected rms of all pixels is the known one: two numbers for four bands."""
    lens, one = mean_squares(p, n)
    missing = np.log((np.array(RMS) ** 2 - lens) / one)
    slope = 0.8 * math.log(10) * np.array(TILT)
    (log_rate, tilt), *_ = np.linalg.lstsq(np.stack([np.ones(4), slope], axis=1), missing, rcond=None)
    return replace(p, interlopers=float(math.exp(log_rate)), interloper_tilt=float(tilt))


def seed_statistics(p: Population, seed: int, n: int) -> dict[str, float]:
    """Return the statistics of the first ``n`` train objects of a seed, quantiles of the haloes' columns included."""
    rows = [quick_row(p, seed, "train", index) for index in range(n)]
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found = catalog_statistics(column["mag_eff"], column["n_source_im"], column["n_pix_source"], np.full(n, 1 / n))
    for name in QUANTILES:
        values = np.nanquantile(column[name], PROBABILITIES)
        found |= {f"{name} {100 * q:.0f} %": float(value) for q, value in zip(PROBABILITIES, values, strict=True)}
    return found


def show_seeds(p: Population, seeds: int, n: int) -> None:
    """Print mean and scatter of the statistics over several seeds, beside what is known."""
    found = [seed_statistics(p, seed, n) for seed in range(1, seeds + 1)]
    known = {name: number.value for name, number in KNOWN.items()}
    for name, values in QUANTILES.items():
        known |= {f"{name} {100 * q:.0f} %": value for q, value in zip(PROBABILITIES, values, strict=True)}
    print(f"{'':26} {'known':>8} {'mean':>8} {'scatter':>8}   of {seeds} seeds, {n} objects each")
    for name, value in known.items():
        column = [statistics[name] for statistics in found]
        print(f"{name:26} {value:8.3f} {np.mean(column):8.3f} {np.std(column, ddof=1):8.3f}")


def main(
    objects: Annotated[int, typer.Option(help="Lensed sources in the pool.")] = 16000,
    haloes: Annotated[int, typer.Option(help="Haloes in the first fit, frames in the third.")] = 1000,
    trials: Annotated[int, typer.Option(help="Trials of a simplex.")] = 2500,
    seeds: Annotated[int, typer.Option(help="Only draw the profile as it is, so many seeds of it.")] = 0,
) -> None:
    """Fit the profile `challenge`, print its numbers and how far it is from what is known; 4 minutes of one core."""
    p = PROFILES["challenge"]
    if seeds:
        show_seeds(p, seeds, N_SCATTER)
        return
    p = fit_haloes(p, haloes, 80)
    pool = draw_pool(p, objects)
    p = fit_brightness(fit_sources(p, pool, trials), haloes)
    found, weight = foreseen(pool, p), weigh(pool, p)
    print(f"distance {distance(found):.1f}, of {1 / (weight**2).sum():.0f} effective objects")
    for name, known in KNOWN.items():
        print(f"{name:26} {known.value:8.3f} {found[name]:8.3f} {(found[name] - known.value) / known.error:6.1f} sigma")
    for field in fields(p):
        if getattr(p, field.name) != getattr(Population(), field.name):
            print(f"{field.name} = {getattr(p, field.name)}")


if __name__ == "__main__":
    typer.run(main)
