"""Skies to stress a trained run with: the same objects with one thing changed, on every frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lensfold.simulate.objects import SimulatedObject, object_streams, simulate_object
from lensfold.simulate.optics.artefacts import Artefacts
from lensfold.simulate.population import Population

_HIGH = 9.9  # numpy draws Poisson numbers of larger means in another way


@dataclass(frozen=True)
class Sky:
    """A population, with exactly ``number`` on every frame of what the field ``kind`` of its artefacts counts."""

    population: Population
    kind: str = ""
    number: int = 0

    def draw(self, seed: int, index: int) -> SimulatedObject:
        """Return object ``index`` of the test split."""
        p = self.population
        if self.kind:
            rate: dict[str, Any] = {self.kind: exact_rate(seed, index, self.number)}
            p = replace(p, artefacts=replace(p.artefacts, **rate))
        return simulate_object(p, seed, "test", index)


def exact_rate(seed: int, index: int, number: int) -> float:
    """Return a mean with which the first Poisson number of an object's artefacts is ``number``, 1 or 2.

    The number rises with the mean, as it is made of the same random numbers. One in 2,000 objects has one too few.
    """
    rng = object_streams(seed, "test", index).artefacts
    start, low, high = rng.bit_generator.state, 0.0, _HIGH
    for _ in range(40):
        rng.bit_generator.state = start
        middle = 0.5 * (low + high)
        drawn = rng.poisson(middle)
        if drawn == number:
            break
        low, high = (middle, high) if drawn < number else (low, middle)
    return middle


def with_artefacts(p: Population) -> dict[str, Sky]:
    """Return skies by name, each with one kind of artefact on every frame and no other."""

    def one(kind: str = "", number: int = 1, **changed: Any) -> Sky:
        usual = {name: getattr(Artefacts(), name) for name in ("sky_offset", "sky_gradient")}
        none = dict.fromkeys(("stars", "ghosts", "tracks", "hot_pixels", "persistence", "blank_share"), 0.0)
        return Sky(replace(p, artefacts=replace(p.artefacts, **{**usual, **none, **changed})), kind, number)

    return {
        "a spiked star of mag 13–19.5 on the frame": one("stars", star_reach=10.0),
        "a spiked star of mag 15–18 within 5″": one("stars", star_reach=3.5, star_mag=(15.0, 18.0)),
        "one long track": one("tracks", track_long_share=1.0),
        "two long tracks": one("tracks", 2, track_long_share=1.0),
        "one short track": one("tracks", track_long_share=0.0),
        "a ghost": one("ghosts"),
        "a hot pixel of NISP": one("hot_pixels", dead_share=0.0),
        "persistence": one("persistence"),
        "a blank strip": one(blank_share=1.0),
        "a sky gradient of 0.4 sigma": one(sky_gradient=(0.4, 0.4)),
    }


def with_correlation(p: Population, lag1: Sequence[float]) -> Sky:
    """Return a sky whose noise has this correlation of neighbouring pixels in VIS, Y, J, H, whatever varies."""
    v = p.variation
    if v is not None:
        v = replace(v, vis_correlation=(lag1[0], lag1[0]), nisp_correlation=(lag1[1], lag1[1]))
    return Sky(replace(p, noise_correlation=(lag1[0], lag1[1], lag1[2], lag1[3]), variation=v))
