"""One simulated object: its images and its catalog row, a function of seed, split and index only."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lensfold.paths import BANDS
from lensfold.simulate.optics.light_kernels import FLUX, X, Y
from lensfold.simulate.optics.render import (
    Planes,
    add_light,
    add_noise,
    bin_vis,
    coarse_nodes,
    draw_sigma,
    lensed_source,
    observe_nisp,
    observe_vis,
)
from lensfold.simulate.population import Population, get_population
from lensfold.simulate.sky.field import draw_field, draw_source, draw_source_redshift
from lensfold.simulate.sky.halo import draw_halo, pick_halo, turned_lens, turned_light
from lensfold.simulate.truth import Scene, truth_row

FIRST_ID = 200001
DrawnSplit = Literal["train", "test"]
_SPLITS = {"train": 0, "test": 1}


@dataclass(frozen=True)
class SimulatedObject:
    """Images by band (float32, zero point 0), the 26 named catalog columns, (RA, Dec) in degrees, the halo's number
    in the library and the central galaxy's morphology."""

    images: dict[str, np.ndarray]
    row: dict[str, float | int]
    centre: tuple[float, float]
    halo: int
    morphology: str


def _streams(seed: int, split: DrawnSplit, index: int) -> list[np.random.Generator]:
    """Return independent generators for lens, field, source, presence of the source, and noise."""
    root = np.random.SeedSequence([seed, _SPLITS[split], index])
    return [np.random.default_rng(child) for child in root.spawn(5)]


def _observe(
    rng: np.random.Generator,
    light: Planes,
    source: Planes | None,
    source_vis: np.ndarray | None,
    sigma: np.ndarray,
    p: Population,
) -> dict[str, np.ndarray]:
    """Return noisy images of all bands; ``sigma`` (4,) is the background's."""
    vis = observe_vis(light, p)
    nisp = observe_nisp(light.nisp if source is None else light.nisp + source.nisp, p)
    clean = [vis if source_vis is None else vis + source_vis, *nisp]
    return {
        band: add_noise(rng, image, s, g)
        for band, image, s, g in zip(BANDS, clean, sigma, p.flux_per_electron, strict=True)
    }


def _position(rng: np.random.Generator) -> tuple[float, float]:
    """Return a place on the sky in degrees, away from the poles."""
    return float(rng.uniform(0.0, 360.0)), float(np.degrees(np.arcsin(rng.uniform(-0.9, 0.9))))


def simulate_object(
    profile: str | Population, seed: int, split: DrawnSplit, index: int, with_source: bool | None = None
) -> SimulatedObject:
    """Return object ``index`` (from 0) of a split.

    ``with_source`` forces the source in or out and changes nothing else: lens, field, source and noise have
    generators of their own. With and without it the noise is made of the same random numbers, scaled by the standard
    deviation of each pixel; as the source's light has Poisson noise too, pixels under it differ by its light and by
    the part of the noise that this light brings. Elsewhere they are equal but for rounding.
    The result does not depend on how many objects are drawn, in which order or where.
    """
    p = get_population(profile)
    lens_rng, field_rng, source_rng, presence_rng, noise_rng = _streams(seed, split, index)
    halo = draw_halo(p, seed, pick_halo(lens_rng, p))
    angle = lens_rng.uniform(0.0, 2 * np.pi)
    z_source = draw_source_redshift(source_rng, p, halo.z)
    lens, einstein = turned_lens(halo, angle, z_source)
    source = draw_source(source_rng, p, z_source, einstein)
    present = presence_rng.random() < p.share_with_source
    if with_source is not None:
        present = with_source

    light = Planes.empty()
    central, satellites = turned_light(halo, angle)
    add_light(light, central, p)
    lens_vis = bin_vis(light.vis)
    field, places = draw_field(field_rng, p)
    add_light(light, np.concatenate([satellites, field]), p)
    nodes = coarse_nodes(lens)
    planes = lensed_source(lens, nodes, source.parts, p) if present else None
    source_vis = observe_vis(planes, p) if planes is not None else None
    sigma = draw_sigma(noise_rng, p)
    neighbours = np.concatenate([_satellite_places(satellites), places])
    scene = Scene(halo, source, einstein, nodes, lens_vis, planes, source_vis, float(sigma[0]), neighbours)
    return SimulatedObject(
        images=_observe(noise_rng, light, planes, source_vis, sigma, p),
        row=truth_row(scene, p, FIRST_ID + index),
        centre=_position(lens_rng),
        halo=halo.number,
        morphology=halo.morphology,
    )


def _satellite_places(rows: np.ndarray) -> np.ndarray:
    """Return (n, 3) x, y in arcsec and VIS mag of satellites."""
    return np.stack([rows[:, X], rows[:, Y], -2.5 * np.log10(rows[:, FLUX])], axis=1)
