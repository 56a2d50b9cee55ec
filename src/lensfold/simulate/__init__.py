"""Simulator of challenge-2.0-like packs: ``simulate_pack`` writes one, ``simulate_object`` draws one object."""

from lensfold.simulate.objects import FIRST_ID, SimulatedObject, simulate_object
from lensfold.simulate.pack import simulate_pack
from lensfold.simulate.population import Population
from lensfold.simulate.profiles import PROFILES, get_population, with_variation

__all__ = [
    "FIRST_ID",
    "PROFILES",
    "Population",
    "SimulatedObject",
    "get_population",
    "simulate_object",
    "simulate_pack",
    "with_variation",
]
