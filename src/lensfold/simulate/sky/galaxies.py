"""Builders of single galaxies as components (see light.py): centrals of every morphology, and sources."""

from typing import Any, TypeVar

import numpy as np

from lensfold.simulate.optics.light import components
from lensfold.simulate.optics.light_kernels import ARC, AXIS, COS, DUST, RADIUS, RIPPLE, SIN, SMOOTH, SPIRAL, X, Y
from lensfold.simulate.population import Population
from lensfold.simulate.sky.sed import Sed, Seds, band_ratios

MORPHOLOGIES = ("early", "spiral", "ring", "edge-on", "merger")
_FULL_CIRCLE = 2.0 * np.pi
Mag = TypeVar("Mag", float, np.ndarray)


def magnitude_flux(mag: Mag) -> Mag:
    """Return the flux 10^(-0.4 m_AB) of zero point 0."""
    return 10.0 ** (-0.4 * mag)


def _coloured(flux: float, sed: Sed, z: float, tilt: float = 0.0) -> np.ndarray:
    """Return the fluxes (4,) of a component with this flux in VIS."""
    return flux * band_ratios(sed, z, tilt)


def spiral_params(rng: np.random.Generator) -> tuple[float, ...]:
    """Return the parameters of a SPIRAL component: two or three arms of pitch 10-25 degrees, more or less regular."""
    arms = 2 if rng.random() < 0.65 else 3
    pitch = np.radians(rng.uniform(10.0, 25.0))
    turn = rng.choice((-1.0, 1.0)) / np.tan(pitch)
    return arms, turn, rng.uniform(0.35, 0.85), rng.uniform(0, _FULL_CIRCLE), rng.uniform(0.0, 0.3)


def ripple_params(rng: np.random.Generator) -> tuple[float, ...]:
    """Return the parameters of a RIPPLE component: an irregular galaxy of a few patches."""
    a, b = rng.uniform(1.2, 3.0, 2)
    p, q = rng.uniform(0, _FULL_CIRCLE, 2)
    return rng.uniform(0.25, 0.5), a, p, b, q


def dust_params(rng: np.random.Generator, height: float) -> tuple[float, ...]:
    """Return the parameters of a DUST component whose lane has about this height in arcsec."""
    return rng.uniform(0.35, 0.8), height * rng.uniform(0.7, 1.3), height * rng.normal(0.0, 0.5)


def knots(
    rng: np.random.Generator, n: int, disc: np.ndarray, flux: np.ndarray, radius: tuple[float, float]
) -> np.ndarray:
    """Return ``n`` compact knots spread over a disc (one component), sharing ``flux`` (4,): (n, COLUMNS)."""
    r = disc[RADIUS] * np.sqrt(-2.0 * np.log(1.0 - 0.95 * rng.random(n))) * 0.9
    phi = rng.uniform(0, _FULL_CIRCLE, n)
    u, v = r * np.cos(phi), disc[AXIS] * r * np.sin(phi)
    share = rng.exponential(1.0, n)
    return components(
        n,
        x=disc[X] + disc[COS] * u - disc[SIN] * v,
        y=disc[Y] + disc[SIN] * u + disc[COS] * v,
        radius=rng.uniform(*radius, n),
        index=0.6,
        flux=(share / share.sum())[:, None] * flux,
    )


def _early(
    rng: np.random.Generator, p: Population, base: dict[str, Any], radius: float, flux: np.ndarray
) -> list[np.ndarray]:
    """Return body and envelope; one in eight with a dust lane."""
    envelope = rng.uniform(*p.envelope_share)
    index = float(np.clip(rng.normal(*p.lens_sersic), *p.lens_sersic_range))
    dusty = rng.random() < 0.125
    params = dust_params(rng, 0.15) if dusty else ()
    kind = DUST if dusty else SMOOTH
    body = components(radius=radius, index=index, flux=(1 - envelope) * flux, kind=kind, params=params, **base)
    outer = {**base, "axis": max(0.4, base["axis"] - abs(rng.normal(0.0, 0.08)))}
    halo = components(
        radius=radius * rng.uniform(*p.envelope_radius), index=p.envelope_sersic, flux=envelope * flux, **outer
    )
    return [body, halo]


def _spiral(
    rng: np.random.Generator, seds: Seds, base: dict[str, Any], radius: float, flux: float, z: float, tilt: float
) -> list[np.ndarray]:
    """Return a red bulge, blue disc with arms, young knots."""
    bulge = rng.uniform(0.15, 0.45)
    disc = components(
        radius=radius * rng.uniform(1.3, 2.2),
        flux=_coloured((1 - bulge) * 0.93 * flux, seds.disc, z, tilt),
        kind=SPIRAL,
        params=spiral_params(rng),
        **base,
    )
    young = _coloured((1 - bulge) * 0.07 * flux, seds.young, z)
    core = components(radius=radius * 0.45, index=2.5, flux=_coloured(bulge * flux, seds.early, z, tilt), **base)
    return [core, disc, knots(rng, int(rng.integers(8, 20)), disc[0], young, (0.06, 0.24))]


def _edge_on(
    rng: np.random.Generator, seds: Seds, base: dict[str, Any], radius: float, flux: float, z: float, tilt: float
) -> list[np.ndarray]:
    """Return a thin disc behind a dust lane, and its bulge."""
    bulge = rng.uniform(0.1, 0.35)
    thin = {**base, "axis": rng.uniform(0.12, 0.22)}
    disc = components(
        radius=radius * rng.uniform(1.6, 2.6),
        flux=_coloured((1 - bulge) * flux, seds.disc, z, tilt + 0.3),
        kind=DUST,
        params=dust_params(rng, 0.08),
        **thin,
    )
    core = components(
        radius=radius * 0.4, index=2.5, flux=_coloured(bulge * flux, seds.early, z, tilt), **{**base, "axis": 0.7}
    )
    return [disc, core]


def _ring(rng: np.random.Generator, seds: Seds, base: dict[str, Any], flux: float, z: float) -> np.ndarray:
    """Return a blue knotty ring around the body."""
    radius = rng.uniform(1.2, 3.0)
    params = (radius, radius * rng.uniform(0.06, 0.16), 9.0, 0.0, rng.uniform(0, _FULL_CIRCLE))
    sed = seds.star_forming if rng.random() < 0.7 else seds.young
    return components(
        radius=radius, flux=_coloured(rng.uniform(0.06, 0.2) * flux, sed, z), kind=ARC, params=params, **base
    )


def _tidal(rng: np.random.Generator, seds: Seds, flux: float, z: float) -> np.ndarray:
    """Return one tidal arc of the first skies: its width shrinks and its brightness does not, which gives a crescent
    with pointed corners and a hard edge."""
    radius = rng.uniform(1.2, 4.0)
    opening = rng.uniform(0.3, 1.0)
    params = (
        radius,
        radius * rng.uniform(0.06, 0.22),
        opening,
        rng.normal(0.0, 0.15),
        rng.uniform(0, _FULL_CIRCLE),
    )
    return components(
        x=rng.normal(0.0, 0.25),
        y=rng.normal(0.0, 0.25),
        angle=rng.uniform(0, _FULL_CIRCLE),
        axis=rng.uniform(0.75, 1.0),
        radius=radius,
        flux=_coloured(rng.uniform(0.015, 0.06) * flux, seds.disc if rng.random() < 0.5 else seds.star_forming, z),
        kind=ARC,
        params=params,
    )


def tidal_tail(rng: np.random.Generator, flux: np.ndarray) -> np.ndarray:
    """Return a tidal tail of fluxes (4,): overlapping soft patches along a spiral, wider and fainter to its ends."""
    n, radius, half = 14, rng.uniform(1.0, 3.2), rng.uniform(0.35, 1.3)
    t = np.linspace(-1.0, 1.0, n)
    phi, drift = rng.uniform(0, _FULL_CIRCLE) + rng.choice((-1.0, 1.0)) * half * t, rng.uniform(0.1, 0.6)
    r = radius * np.exp(drift * half * t)
    width = radius * rng.uniform(0.08, 0.2) * (1.0 + 0.35 * t)
    long = np.maximum(width, 2.2 * half * r / n)
    share = (1.0 - 0.97 * t**2) * rng.lognormal(0.0, 0.2, n)
    return components(
        n,
        x=r * np.cos(phi),
        y=r * np.sin(phi),
        angle=phi + np.pi / 2,
        axis=width / long,
        radius=long,
        index=0.6,
        flux=(share / share.sum())[:, None] * flux,
    )


def _merger(rng: np.random.Generator, p: Population, flux: float, z: float, tilt: float) -> list[np.ndarray]:
    """Return a second nucleus and one or two tidal arcs."""
    seds = p.seds
    share, phi, r = rng.uniform(0.1, 0.45), rng.uniform(0, _FULL_CIRCLE), rng.uniform(0.4, 1.5)
    companion = components(
        x=r * np.cos(phi),
        y=r * np.sin(phi),
        angle=rng.uniform(0, np.pi),
        axis=rng.uniform(0.5, 1.0),
        radius=rng.uniform(0.15, 0.5),
        index=rng.uniform(1.0, 3.5),
        flux=_coloured(share * flux, seds.early if rng.random() < 0.6 else seds.disc, z, tilt),
    )
    arcs = range(1 + int(rng.random() < 0.5))
    if p.first_version:
        return [companion, *(_tidal(rng, seds, flux, z) for _ in arcs)]
    kinds = [seds.disc if rng.random() < 0.5 else seds.star_forming for _ in arcs]
    return [companion, *(tidal_tail(rng, _coloured(rng.uniform(0.015, 0.06) * flux, sed, z)) for sed in kinds)]


def central_galaxy(
    rng: np.random.Generator,
    p: Population,
    morphology: str,
    flux: float,
    z: float,
    radius: float,
    axis: float,
) -> np.ndarray:
    """Return the lens galaxy at the origin, its major axis along x: (n, COLUMNS).

    ``flux`` is its VIS flux, ``radius`` the half-light radius of an early type's body in arcsec.
    """
    base: dict[str, Any] = {"axis": axis}
    tilt = rng.normal(0.0, 0.12)
    if morphology == "spiral":
        parts = _spiral(rng, p.seds, base, radius, flux, z, tilt)
    elif morphology == "edge-on":
        parts = _edge_on(rng, p.seds, base, radius, flux, z, tilt)
    else:
        parts = _early(rng, p, base, radius, _coloured(flux, p.seds.early, z, tilt))
        if morphology == "ring":
            parts.append(_ring(rng, p.seds, base, flux, z))
        elif morphology == "merger":
            parts += _merger(rng, p, flux, z, tilt)
    return np.concatenate(parts)


def source_galaxy(rng: np.random.Generator, p: Population, mag: float, radius: float, z: float) -> np.ndarray:
    """Return an unlensed source at the origin of the source plane, total VIS flux 10^(-0.4 mag): (n, COLUMNS).

    It has a disc (always the first row), a bulge and up to ``p.source_clumps`` clumps with colours of their own.
    """
    flux = magnitude_flux(mag)
    red = rng.random() < p.source_red_share
    tilt = rng.normal(0.0, p.colour_scatter)
    bulge = rng.uniform(*p.source_bulge)
    n = int(rng.integers(0, p.source_clumps + 1))
    clumps = rng.uniform(*p.clump_share) if n else 0.0
    base: dict[str, Any] = {"angle": rng.uniform(0, np.pi), "axis": rng.uniform(0.35, 1.0)}
    low, high = p.source_sersic
    disc = components(
        radius=radius,
        index=rng.uniform(low, high) if low < high else low,
        flux=_coloured((1 - bulge) * (1 - clumps) * flux, p.seds.early if red else p.seds.star_forming, z, tilt),
        **base,
    )
    core = components(
        radius=0.35 * radius,
        index=2.0,
        flux=_coloured(bulge * (1 - clumps) * flux, p.seds.early if red else p.seds.disc, z, tilt),
        **base,
    )
    young = _coloured(clumps * flux, p.seds.young, z, rng.normal(0.0, p.colour_scatter))
    size = (max(0.03, 0.12 * radius), max(0.05, 0.3 * radius))
    return np.concatenate([disc, core, knots(rng, n, disc[0], young, size)]) if n else np.concatenate([disc, core])


def field_params(rng: np.random.Generator, spiral: bool) -> tuple[int, tuple[float, ...]]:
    """Return kind and parameters of a late field galaxy: a spiral, or else one in three is patchy."""
    if spiral:
        return SPIRAL, spiral_params(rng)
    if rng.random() < 0.35:
        return RIPPLE, ripple_params(rng)
    return SMOOTH, ()
