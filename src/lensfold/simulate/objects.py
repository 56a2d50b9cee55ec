"""One simulated object: its images and its catalog row, a function of seed, split and index only."""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from lensfold.data.cache import central
from lensfold.frames import BANDS, band_shapes
from lensfold.simulate.optics.artefacts import Marks, draw_artefacts, marked
from lensfold.simulate.optics.lensing import Deflector
from lensfold.simulate.optics.light import shifted
from lensfold.simulate.optics.light_kernels import FLUX, X, Y
from lensfold.simulate.optics.noise import add_noise
from lensfold.simulate.optics.render import (
    Planes,
    add_light,
    bin_vis,
    coarse_nodes,
    draw_sigma,
    lensed_source,
    observe_nisp,
    observe_vis,
)
from lensfold.simulate.population import Population
from lensfold.simulate.profiles import get_population
from lensfold.simulate.sky.field import Source, draw_field, draw_source, draw_source_redshift
from lensfold.simulate.sky.halo import Halo, draw_halo, pick_halo, turned_lens, turned_light
from lensfold.simulate.sky.negatives import with_negative
from lensfold.simulate.truth import Scene, truth_row
from lensfold.simulate.variation import vary

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


class Streams(NamedTuple):
    """An object's independent generators, one for each thing that is drawn; new ones come last.

    ``presence`` decides whether there is a source, ``conditions`` how and where on the frame it is observed.
    """

    lens: np.random.Generator
    field: np.random.Generator
    source: np.random.Generator
    presence: np.random.Generator
    noise: np.random.Generator
    conditions: np.random.Generator
    artefacts: np.random.Generator
    negatives: np.random.Generator


def object_streams(seed: int, split: DrawnSplit, index: int) -> Streams:
    """Return the generators of object ``index`` of a split."""
    root = np.random.SeedSequence([seed, _SPLITS[split], index])
    return Streams(*(np.random.default_rng(child) for child in root.spawn(len(Streams._fields))))


def _draw_centre(rng: np.random.Generator, p: Population) -> tuple[float, float]:
    """Return where on the frame the lens is, x and y in arcsec: anywhere within a circle."""
    radius, angle = p.centre_offset * math.sqrt(rng.random()), rng.uniform(0.0, 2 * np.pi)
    return radius * math.cos(angle), radius * math.sin(angle)


@dataclass(frozen=True)
class Drawn:
    """What is drawn of an object before any light: its halo, turned by ``angle`` radians, the ``centre`` of the lens
    on the frame in arcsec, the deflector, the source in its place, and whether it is put in."""

    halo: Halo
    angle: float
    centre: tuple[float, float]
    lens: Deflector
    source: Source
    present: bool


def draw_object(p: Population, rng: Streams, seed: int, split: DrawnSplit) -> Drawn:
    """Return lens and source of an object."""
    centre = _draw_centre(rng.conditions, p)
    halo = draw_halo(p, seed, pick_halo(rng.lens, p, test=split == "test"))
    angle = rng.lens.uniform(0.0, 2 * np.pi)
    z_source = draw_source_redshift(rng.source, p, halo.z)
    lens, einstein = turned_lens(halo, angle, z_source, centre)
    source = draw_source(rng.source, p, z_source, einstein)
    source = replace(source, parts=shifted(source.parts, centre))
    present = rng.presence.random() < p.share_with_source
    if not present:  # by what was drawn: a twin has the galaxy of its object
        halo = with_negative(rng.negatives, p, halo)
    return Drawn(halo, angle, centre, lens, source, present)


def _observe(
    rng: np.random.Generator,
    light: Planes,
    source: Planes | None,
    source_vis: np.ndarray | None,
    sigma: np.ndarray,
    marks: Marks,
    p: Population,
) -> dict[str, np.ndarray]:
    """Return noisy images of all bands with their artefacts; ``sigma`` (4,) is the background's."""
    vis = observe_vis(light, p)
    nisp = observe_nisp(light.nisp if source is None else light.nisp + source.nisp, p)
    clean = [vis if source_vis is None else vis + source_vis, *nisp]
    images = {}
    for k, band in enumerate(BANDS):
        image = marked(clean[k], marks.light[k], p.zero_point_error[k])
        images[band] = add_noise(rng, image, sigma[k], p.flux_per_electron[k], p.noise_correlation[k])
        strip = marks.blank[k]
        if strip is not None:
            images[band][strip] = 0
    return {band: central(images[band], length) for band, (length, _) in band_shapes(p.side).items()}


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
    rng = object_streams(seed, split, index)
    p = vary(rng.conditions, p)
    drawn = draw_object(p, rng, seed, split)
    lens, source = drawn.lens, drawn.source
    present = drawn.present if with_source is None else with_source

    sigma = draw_sigma(rng.noise, p)
    marks = draw_artefacts(rng.artefacts, p.artefacts, sigma)
    light = Planes.empty()
    central, satellites = turned_light(drawn.halo, drawn.angle, drawn.centre)
    add_light(light, central, p)
    lens_vis = bin_vis(light.vis)
    field, places = draw_field(rng.field, p)
    add_light(light, np.concatenate([satellites, field, marks.stars]), p)
    nodes = coarse_nodes(lens)
    planes = lensed_source(lens, nodes, source.parts, p) if present else None
    source_vis = observe_vis(planes, p) if planes is not None else None
    neighbours = np.concatenate([_satellite_places(satellites), places])
    scene = Scene(
        drawn.halo, source, lens, drawn.centre, nodes, lens_vis, planes, source_vis, float(sigma[0]), neighbours
    )
    return SimulatedObject(
        images=_observe(rng.noise, light, planes, source_vis, sigma, marks, p),
        row=truth_row(scene, p, FIRST_ID + index),
        centre=_position(rng.lens),
        halo=drawn.halo.number,
        morphology=drawn.halo.morphology,
    )


def _satellite_places(rows: np.ndarray) -> np.ndarray:
    """Return (n, 3) x, y in arcsec and VIS mag of satellites."""
    return np.stack([rows[:, X], rows[:, Y], -2.5 * np.log10(rows[:, FLUX])], axis=1)
