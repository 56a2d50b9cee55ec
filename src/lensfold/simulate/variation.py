"""What nobody knows of a sky, drawn anew for each object, so that a network cannot lean on one guess.

`Variation` states how far each unknown may be from a population's own number, and `vary` draws it. Spectra and point
spread functions come from short lists instead (colour law 17 is the same for every object and seed), so that their
tables are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lensfold.simulate.sky.sed import Sed, Seds

if TYPE_CHECKING:
    from lensfold.simulate.population import Population

Range = tuple[float, float]
_LAW_STREAM, _PSF_STREAM = 11, 12  # seeds of the two lists


@dataclass(frozen=True)
class Variation:
    """Ranges of all that is drawn per object. Factors are drawn evenly in their logarithm, the rest evenly.

    Unless a source stands beside it a range is a guess: how far two simulators of the same sky, or a simulator and
    the sky, are apart.
    """

    # Point spread functions, from a list of this length.
    psfs: int = 64
    psf_width: Range = (0.75, 1.30)  # factor, each band its own
    psf_beta: Range = (1.8, 5.0)
    wing_share: Range = (0.0, 0.06)  # Euclid's VIS has 0.02 to 0.05 (psf.MER_PSFS)
    wing_width: Range = (0.8, 2.5)  # arcsec
    psf_ellipticity: Range = (0.0, 0.08)

    # Noise and photometry.
    noise: Range = (0.70, 1.45)  # factor, common to all bands
    band_noise: Range = (0.85, 1.18)  # factor, each band its own
    gain: Range = (0.33, 3.0)  # factor on the flux per electron
    vis_correlation: Range = (0.0, 0.30)  # of neighbouring pixels; Euclid's mosaics: 0.19 (noise.MER_CORRELATION)
    nisp_correlation: Range = (0.0, 0.50)  # Euclid's mosaics: 0.37 to 0.40
    zero_point: Range = (-0.15, 0.15)  # mag, each band its own

    # Spectra, from a list of this length.
    laws: int = 64
    slope: Range = (0.70, 1.35)  # factor, each class and piece its own
    jump: Range = (0.70, 1.35)  # factor, each class its own
    tilt: Range = (-0.90, 0.90)  # added to all slopes of a class, mag per dex: 0.35 mag in VIS - H

    # Light of the central galaxy.
    lens_mag: Range = (-0.5, 0.5)  # added
    lens_index: Range = (1.4, 5.6)  # Sersic index of the body; single profiles of n = 1 to 6 are in common use
    envelope: Range = (0.0, 1.2)  # factor on the share of the envelope
    lens_radius: Range = (0.60, 1.70)  # factor
    lens_axis: Range = (-0.10, 0.08)  # added

    # Mass.
    einstein: Range = (0.65, 1.45)  # factor on theta_E
    mass_axis: Range = (0.3, 2.5)  # factor on the scatter of the mass's axis ratio
    shear: Range = (0.4, 2.0)  # factor
    halo_share: Range = (0.0, 0.60)  # of the deflection that is the round part's
    power_share: float = 0.5  # of the objects whose round part is a power law, the others have an NFW halo
    power_slope: Range = (1.5, 2.6)
    satellite_mass: Range = (0.5, 1.6)  # factor on their theta_E

    # Sources.
    source_mag: Range = (-0.6, 0.6)  # added to both limits
    source_radius: Range = (0.55, 1.80)  # factor
    source_index: Range = (0.6, 3.0)  # Sersic index of the disc
    source_clumps: int = 12  # most; each object's own limit is 0 to this
    clump_share: Range = (0.05, 0.60)  # upper limit of the share of the clumps
    source_bulge: Range = (0.0, 0.50)  # upper limit of the share of the bulge
    source_red: Range = (0.3, 2.0)  # factor on the share of red sources
    source_offset: Range = (0.75, 1.35)  # factor
    source_z: Range = (-0.3, 0.3)  # added

    # What stands around the lens.
    field_density: Range = (0.5, 2.0)  # factor
    field_slope: Range = (0.85, 1.15)  # factor on the slope of the counts
    field_early: Range = (0.5, 2.0)  # factor on the share of early types
    satellites: Range = (0.4, 2.2)  # factor on their number
    stars: Range = (0.3, 4.0)  # factor on the number of stars and interlopers


def _factor(rng: np.random.Generator, limits: Range, n: int | None = None) -> Any:
    """Return one or ``n`` factors, even in their logarithm."""
    low, high = np.log(limits)
    return np.exp(rng.uniform(low, high, n))


def _scaled(values: Range, factor: float) -> Range:
    return values[0] * factor, values[1] * factor


@lru_cache(maxsize=256)
def colour_law(v: Variation, seds: Seds, number: int) -> Seds:
    """Return law ``number`` of the list around these spectra."""
    rng = np.random.default_rng([_LAW_STREAM, number])
    return Seds(*(_other_sed(rng, v, sed) for sed in seds))


def _other_sed(rng: np.random.Generator, v: Variation, sed: Sed) -> Sed:
    ultraviolet, optical, infrared = _factor(rng, v.slope, 3) * np.array(sed[:3]) + rng.uniform(*v.tilt)
    return Sed(float(ultraviolet), float(optical), float(infrared), sed.jump * float(_factor(rng, v.jump)))


@lru_cache(maxsize=256)
def _psfs(v: Variation, fwhm: tuple[float, ...], number: int) -> dict[str, Any]:
    """Return the numbers of point spread function ``number`` of the list."""
    rng = np.random.default_rng([_PSF_STREAM, number])
    return {
        "psf_fwhm": tuple(float(x) for x in _factor(rng, v.psf_width, 4) * np.array(fwhm)),
        "psf_beta": tuple(rng.uniform(*v.psf_beta, 4).tolist()),
        "psf_wings": tuple(
            zip(rng.uniform(*v.wing_share, 4).tolist(), rng.uniform(*v.wing_width, 4).tolist(), strict=True)
        ),
        "psf_ellipticity": tuple(rng.uniform(*v.psf_ellipticity, 4).tolist()),
        "psf_angle": tuple(rng.uniform(0.0, np.pi, 4).tolist()),
    }


def _noise(rng: np.random.Generator, v: Variation, p: Population) -> dict[str, Any]:
    factors = _factor(rng, v.noise) * _factor(rng, v.band_noise, 4)
    gain = float(_factor(rng, v.gain))
    # in steps of 0.01, so that there are few tables of taps
    correlation = (rng.uniform(*v.vis_correlation), *rng.uniform(*v.nisp_correlation, 3))
    return {
        "sigma": tuple(_scaled(limits, float(f)) for limits, f in zip(p.sigma, factors, strict=True)),
        "flux_per_electron": tuple(g * gain for g in p.flux_per_electron),
        "noise_correlation": tuple(round(float(c), 2) for c in correlation),
        "zero_point_error": tuple(rng.uniform(*v.zero_point, 4).tolist()),
    }


def _light(rng: np.random.Generator, v: Variation, p: Population) -> dict[str, Any]:
    index = float(rng.uniform(*v.lens_index))
    return {
        "lens_mag": (p.lens_mag[0] + float(rng.uniform(*v.lens_mag)), *p.lens_mag[1:]),
        "lens_sersic": (index, 0.5 * p.lens_sersic[1]),
        "lens_sersic_range": (0.8, 6.5),
        "envelope_share": _scaled(p.envelope_share, float(rng.uniform(*v.envelope))),
        "lens_radius": p.lens_radius * float(_factor(rng, v.lens_radius)),
        "lens_axis": (p.lens_axis[0] + float(rng.uniform(*v.lens_axis)), p.lens_axis[1]),
    }


def _mass(rng: np.random.Generator, v: Variation, p: Population) -> dict[str, Any]:
    share, slope = float(rng.uniform(*v.halo_share)), float(rng.uniform(*v.power_slope))
    return {
        "einstein_scale": p.einstein_scale * float(_factor(rng, v.einstein)),
        "mass_axis_scatter": p.mass_axis_scatter * float(_factor(rng, v.mass_axis)),
        "shear": (p.shear[0] * float(_factor(rng, v.shear)), p.shear[1]),
        "nfw_share": (share, share),
        "power_slope": slope if rng.random() < v.power_share else 0.0,
        "satellite_einstein": (
            p.satellite_einstein[0] * float(_factor(rng, v.satellite_mass)),
            p.satellite_einstein[1],
        ),
    }


def _sources(rng: np.random.Generator, v: Variation, p: Population) -> dict[str, Any]:
    shift, index = float(rng.uniform(*v.source_mag)), float(rng.uniform(*v.source_index))
    return {
        "z_source": (p.z_source[0] + float(rng.uniform(*v.source_z)), p.z_source[1]),
        "source_mag": (p.source_mag[0] + shift, p.source_mag[1] + shift),
        "source_radius": (p.source_radius[0] * float(_factor(rng, v.source_radius)), *p.source_radius[1:]),
        "source_sersic": (index, index),
        "source_clumps": int(rng.integers(0, v.source_clumps + 1)),
        "clump_share": (v.clump_share[0], float(rng.uniform(*v.clump_share))),
        "source_bulge": (v.source_bulge[0], float(rng.uniform(*v.source_bulge))),
        "source_red_share": p.source_red_share * float(_factor(rng, v.source_red)),
        "source_offset": (p.source_offset[0] * float(_factor(rng, v.source_offset)), p.source_offset[1]),
    }


def _surroundings(rng: np.random.Generator, v: Variation, p: Population) -> dict[str, Any]:
    stars = float(_factor(rng, v.stars))
    return {
        "field_density": p.field_density * float(_factor(rng, v.field_density)),
        "field_mag_slope": p.field_mag_slope * float(_factor(rng, v.field_slope)),
        "field_early_share": p.field_early_share * float(_factor(rng, v.field_early)),
        "satellites": (p.satellites[0] * float(_factor(rng, v.satellites)), p.satellites[1]),
        "stars": p.stars * stars,
        "interlopers": p.interlopers * stars,
    }


def vary(rng: np.random.Generator, p: Population) -> Population:
    """Return a population with every unknown drawn from the ranges of ``p.variation``, and without a variation.

    Without one it is ``p`` itself, and nothing is drawn.
    """
    v = p.variation
    if v is None:
        return p
    law, psf = (int(rng.integers(n)) for n in (v.laws, v.psfs))
    drawn: dict[str, Any] = {"seds": colour_law(v, p.seds, law), **_psfs(v, p.psf_fwhm, psf)}
    for group in (_noise, _light, _mass, _sources, _surroundings):
        drawn |= group(rng, v, p)
    return replace(p, variation=None, **drawn)
