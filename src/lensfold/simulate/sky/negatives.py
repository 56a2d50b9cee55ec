"""Hard negatives: galaxies that a search takes for lenses, in the place of the lens galaxy.

Each class is built of components (see light.py) around an early type's flux, redshift and size, and its total in each
band is that of the early type: neither brightness nor colour gives it away beside the central galaxy of a lens. What is
left is what a person would go by, the shape. Shares, sizes and contrasts are guesses by eye.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lensfold.simulate.optics.light import components, shifted
from lensfold.simulate.optics.light_kernels import ARC, DUST, FLUX, RIPPLE, SPIRAL
from lensfold.simulate.population import Population
from lensfold.simulate.sky.galaxies import knots, magnitude_flux, ripple_params, tidal_tail
from lensfold.simulate.sky.halo import Halo
from lensfold.simulate.sky.sed import Sed, Seds, band_ratios

_CIRCLE = 2.0 * np.pi
_FULL_RING = 9.0  # half opening angle of an ARC that is closed
_COMPANION_MAG = (21.5, 25.0)  # of a chance alignment, as bright as arcs are


@dataclass(frozen=True)
class _Galaxy:
    """The early type whose place a negative takes: VIS flux, redshift, half-light radius of the body, axis ratio."""

    flux: float
    z: float
    radius: float
    axis: float
    seds: Seds

    def light(self, share: float, sed: Sed) -> np.ndarray:
        """Return the fluxes (4,) of a part with this share of the VIS flux."""
        return share * self.flux * band_ratios(sed, self.z)


Parts = list[np.ndarray]
Builder = Callable[[np.random.Generator, _Galaxy], Parts]


def _inclined(rng: np.random.Generator, thin: float = 0.15) -> float:
    """Return the axis ratio of a disc of this thickness, seen from anywhere."""
    c = rng.uniform(0.1, 1.0) ** 0.8  # guess: nearly edge-on ones are a class of their own
    return float(np.sqrt(thin**2 * (1.0 - c**2) + c**2))


def _bulge(rng: np.random.Generator, g: _Galaxy, share: float, axis: float = 0.9, size: float = 0.5) -> np.ndarray:
    """Return a red body as concentrated as an early type's."""
    radius = g.radius * size * rng.uniform(0.7, 1.3)
    return components(radius=radius, index=rng.uniform(2.5, 4.5), axis=axis, flux=g.light(share, g.seds.early))


def _envelope(rng: np.random.Generator, g: _Galaxy, share: float) -> np.ndarray:
    """Return the faint outer light of an early type."""
    axis = float(np.clip(g.axis - abs(rng.normal(0.0, 0.08)), 0.4, 1.0))
    return components(radius=g.radius * rng.uniform(2.2, 3.2), index=1.4, axis=axis, flux=g.light(share, g.seds.early))


def _beads(rng: np.random.Generator, n: int, radius: float, axis: float, angle: float, flux: np.ndarray) -> np.ndarray:
    """Return ``n`` knots along an ellipse that is turned by ``angle``, sharing ``flux`` (4,)."""
    phi, r = rng.uniform(0, _CIRCLE, n), radius * rng.normal(1.0, 0.06, n)
    u, v = r * np.cos(phi), axis * r * np.sin(phi)
    share = rng.exponential(1.0, n)
    return components(
        n,
        x=u * np.cos(angle) - v * np.sin(angle),
        y=u * np.sin(angle) + v * np.cos(angle),
        radius=rng.uniform(0.04, 0.16, n),
        index=rng.uniform(0.5, 1.2),
        flux=(share / share.sum())[:, None] * flux,
    )


def _ring_of(
    rng: np.random.Generator, g: _Galaxy, share: float, radius: float, axis: float, angle: float, sed: Sed
) -> Parts:
    """Return a ring with knots along it."""
    params = (radius, radius * rng.uniform(0.05, 0.16), _FULL_RING, 0.0, rng.uniform(0, _CIRCLE))
    beads = int(rng.integers(0, 11))
    knotty = rng.uniform(0.1, 0.6) if beads else 0.0
    flux = g.light((1 - knotty) * share, sed)
    parts = [components(radius=radius, axis=axis, angle=angle, flux=flux, kind=ARC, params=params)]
    if beads:
        parts.append(_beads(rng, beads, radius, axis, angle, g.light(knotty * share, g.seds.young)))
    return parts


def _spiral(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return a spiral of any inclination: bulge, often a bar, an old disc, and blue arms with knots."""
    axis, size = _inclined(rng), g.radius * rng.uniform(1.3, 2.4)
    bulge, arms = rng.uniform(0.15, 0.4), rng.uniform(0.28, 0.50)
    turn = rng.choice((-1.0, 1.0)) / np.tan(np.radians(rng.uniform(8.0, 30.0)))
    wind = (rng.choice((1.0, 2.0, 2.0, 2.0, 3.0, 4.0)), turn, rng.uniform(0.7, 1.0), rng.uniform(0, _CIRCLE))
    lopsided = rng.uniform(0.0, 0.4)
    young = components(
        radius=size * rng.uniform(1.0, 1.4),
        index=rng.uniform(0.5, 1.0),
        axis=axis,
        flux=g.light(0.8 * arms, g.seds.star_forming),
        kind=SPIRAL,
        params=(*wind, lopsided),
    )
    bar = rng.uniform(0.05, 0.15) if rng.random() < 0.4 else 0.0
    old = components(
        radius=size,
        axis=axis,
        flux=g.light(1 - bulge - arms - bar, g.seds.disc),
        kind=SPIRAL,
        params=(*wind[:2], 0.5 * wind[2], wind[3], lopsided),
    )
    spots = knots(rng, int(rng.integers(5, 20)), young[0], g.light(0.2 * arms, g.seds.young), (0.05, 0.18))
    parts = [_bulge(rng, g, bulge, max(axis, 0.6)), old, young, spots]
    if bar:
        shape: dict[str, Any] = {"radius": 0.5 * size, "index": 0.5, "axis": 0.3, "angle": rng.uniform(0, np.pi)}
        parts.append(components(flux=g.light(bar, g.seds.early), **shape))
    return parts


def _ring(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return an early type inside a ring as large as an Einstein ring."""
    share, inner = rng.uniform(0.08, 0.30), rng.uniform(0.0, 0.12)
    radius, axis = rng.uniform(0.6, 2.2), rng.uniform(0.4, 1.0)
    sed = g.seds.star_forming if rng.random() < 0.7 else g.seds.young
    disc = components(radius=0.7 * radius, index=0.6, axis=axis, flux=g.light(inner, g.seds.disc))
    body = _bulge(rng, g, 1 - share - inner - 0.2, g.axis, 0.9)
    return [body, _envelope(rng, g, 0.2), disc, *_ring_of(rng, g, share, radius, axis, 0.0, sed)]


def _tail(rng: np.random.Generator, g: _Galaxy, share: float) -> np.ndarray:
    """Return one tidal arc or tail, off the centre."""
    flux = g.light(share, g.seds.disc if rng.random() < 0.6 else g.seds.star_forming)
    return shifted(tidal_tail(rng, flux), (rng.normal(0.0, 0.3), rng.normal(0.0, 0.3)))


def _merger(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return two nuclei in a lopsided envelope, with one to three tidal arcs."""
    second, tails, debris = rng.uniform(0.1, 0.3), rng.uniform(0.04, 0.14), rng.uniform(0.1, 0.25)
    phi, r, n = rng.uniform(0, _CIRCLE), rng.uniform(0.5, 2.0), int(rng.integers(1, 4))
    red = rng.random() < 0.6
    companion = components(
        x=r * np.cos(phi),
        y=r * np.sin(phi),
        angle=rng.uniform(0, np.pi),
        axis=rng.uniform(0.4, 1.0),
        radius=rng.uniform(0.12, 0.4),
        index=rng.uniform(1.0, 3.5),
        flux=g.light(second, g.seds.early if red else g.seds.disc),
    )
    halo = components(
        x=0.5 * r * np.cos(phi) + rng.normal(0.0, 0.3),
        y=0.5 * r * np.sin(phi) + rng.normal(0.0, 0.3),
        angle=phi + rng.normal(0.0, 0.4),
        axis=rng.uniform(0.4, 0.8),
        radius=g.radius * rng.uniform(2.0, 3.5),
        index=rng.uniform(0.7, 1.4),
        flux=g.light(debris, g.seds.disc),
    )
    body = _bulge(rng, g, 1 - second - tails - debris, g.axis, 0.9)
    return [body, companion, halo, *(_tail(rng, g, tails / n) for _ in range(n))]


def _edge_on(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return a thin disc seen from its side, its bulge, and a fainter thick disc; most have a dust lane."""
    bulge, thick = rng.uniform(0.25, 0.5), rng.uniform(0.05, 0.2)
    axis, size = rng.uniform(0.09, 0.22), g.radius * rng.uniform(1.6, 3.2)
    lane = (rng.uniform(0.5, 0.95), rng.uniform(0.06, 0.14), rng.normal(0.0, 0.05)) if rng.random() < 0.6 else ()
    flux = g.light(1 - bulge - thick, g.seds.disc)
    disc = components(radius=size, axis=axis, flux=flux, kind=DUST if lane else 0, params=lane)
    puffed = components(radius=1.1 * size, axis=axis + 0.15, flux=g.light(thick, g.seds.disc))
    return [disc, puffed, _bulge(rng, g, bulge, 0.7)]


def _polar_ring(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return an early type with a ring across its short axis, seen nearly from its side."""
    share, radius = rng.uniform(0.06, 0.2), rng.uniform(0.8, 2.4)
    axis, angle = rng.uniform(0.12, 0.4), 0.5 * np.pi + rng.normal(0.0, 0.2)
    sed = g.seds.star_forming if rng.random() < 0.7 else g.seds.disc
    body = _bulge(rng, g, 0.8 - share, rng.uniform(0.5, 0.8), 0.9)
    return [body, _envelope(rng, g, 0.2), *_ring_of(rng, g, share, radius, axis, angle, sed)]


def _knots(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return a patchy disc around a red body, with a few bright young knots where images of a source would be."""
    disc, bright = rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.18)
    radius, axis = rng.uniform(0.6, 2.0), rng.uniform(0.4, 1.0)
    patchy = components(
        radius=0.8 * radius,
        axis=axis,
        flux=g.light(disc, g.seds.disc),
        kind=RIPPLE,
        params=ripple_params(rng),
    )
    spots = _beads(rng, int(rng.integers(2, 8)), radius, axis, 0.0, g.light(bright, g.seds.young))
    return [_bulge(rng, g, 0.85 - disc - bright, g.axis, 0.9), _envelope(rng, g, 0.15), patchy, spots]


def _dust_lane(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return an early type behind a lane of dust, often beside the centre; every third has a second one across."""
    outer, second = rng.uniform(0.15, 0.35), 0.35 if rng.random() < 0.35 else 0.0
    parts = [_envelope(rng, g, outer)]
    for share, angle in ((1 - second, 0.0), (second, rng.uniform(0.3, 0.5 * np.pi))):
        if share:
            lane = (rng.uniform(0.75, 0.98), rng.uniform(0.08, 0.22), rng.normal(0.0, 0.12))
            flux = g.light(share * (1 - outer), g.seds.early)
            shape: dict[str, Any] = {"radius": g.radius * rng.uniform(0.9, 1.4), "index": rng.uniform(1.5, 3.5)}
            body = components(angle=angle, axis=max(g.axis, 0.6), flux=flux, kind=DUST, params=lane, **shape)
            parts.append(body)
    return parts


def _irregular(rng: np.random.Generator, g: _Galaxy) -> Parts:
    """Return two to four patchy clouds off the centre, with knots and hardly a bulge."""
    n, core, young = int(rng.integers(2, 5)), rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.2)
    share = rng.dirichlet(np.full(n, 2.0)) * (1 - core - young)
    parts = [
        components(
            x=rng.normal(0.0, 0.45),
            y=rng.normal(0.0, 0.45),
            angle=rng.uniform(0, np.pi),
            axis=rng.uniform(0.3, 0.9),
            radius=g.radius * rng.uniform(0.6, 2.0),
            index=rng.uniform(0.6, 1.3),
            flux=g.light(s, g.seds.disc if rng.random() < 0.5 else g.seds.star_forming),
            kind=RIPPLE,
            params=ripple_params(rng),
        )
        for s in share
    ]
    return [
        _bulge(rng, g, core, g.axis),
        *parts,
        knots(rng, int(rng.integers(3, 10)), parts[0][0], g.light(young, g.seds.young), (0.06, 0.2)),
    ]


_BUILDERS: dict[str, Builder] = {
    "spiral": _spiral,
    "ring": _ring,
    "merger": _merger,
    "edge-on": _edge_on,
    "polar-ring": _polar_ring,
    "knots": _knots,
    "dust-lane": _dust_lane,
    "irregular": _irregular,
}

#: Every class of negative; "chance" is an early type with a neighbour in front or behind where an arc would be.
NEGATIVES = ("chance", *_BUILDERS)


def _companions(rng: np.random.Generator, seds: Seds) -> np.ndarray:
    """Return one to three neighbours at 0.5-2.2 arcsec, as bright as arcs, more than half of them along the circle."""
    n = 1 + int(rng.random() < 0.3) + int(rng.random() < 0.1)
    r, phi = rng.uniform(0.5, 2.2, n), rng.uniform(0, _CIRCLE, n)
    along = np.where(rng.random(n) < 0.6, phi + 0.5 * np.pi + rng.normal(0.0, 0.35, n), rng.uniform(0, np.pi, n))
    sed = (seds.star_forming, seds.disc, seds.early)[int(rng.choice(3, p=(0.6, 0.2, 0.2)))]
    flux = magnitude_flux(rng.uniform(*_COMPANION_MAG, n))
    return components(
        n,
        x=r * np.cos(phi),
        y=r * np.sin(phi),
        angle=along,
        axis=rng.uniform(0.2, 0.8, n),
        radius=rng.uniform(0.12, 0.4, n),
        index=rng.uniform(0.6, 2.5),
        flux=flux[:, None] * band_ratios(sed, rng.uniform(0.3, 2.5), rng.normal(0.0, 0.2)),
    )


def draw_negative(rng: np.random.Generator, p: Population, kind: str, halo: Halo) -> np.ndarray:
    """Return a galaxy of a class in the place of a halo's central one, at rest: components (n, COLUMNS).

    Its total flux in each band is that of an early type of the halo's magnitude and redshift, with a scatter of 0.1
    mag in VIS - H; the neighbours of "chance" come on top of the central galaxy as it is.
    """
    if kind == "chance":
        return np.concatenate([halo.central, _companions(rng, p.seds)])
    galaxy = _Galaxy(float(magnitude_flux(halo.mag)), halo.z, halo.radius, halo.axis, p.seds)
    rows = np.concatenate(_BUILDERS[kind](rng, galaxy))
    target = galaxy.flux * band_ratios(p.seds.early, halo.z, rng.normal(0.0, 0.12))
    rows[:, FLUX : FLUX + 4] *= target / rows[:, FLUX : FLUX + 4].sum(axis=0)
    return rows


def with_negative(rng: np.random.Generator, p: Population, halo: Halo) -> Halo:
    """Return the halo with a negative as its central galaxy, by the shares of ``p.negatives``; else the halo itself."""
    if not p.negatives:
        return halo
    names, shares = zip(*p.negatives, strict=True)
    k = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
    if k == len(names):
        return halo
    return replace(halo, central=draw_negative(rng, p, names[k], halo), morphology=names[k])
