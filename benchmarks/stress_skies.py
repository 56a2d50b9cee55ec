"""Skies to stress a trained run with: the same objects with one thing changed on every frame, and what it says."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.frames import BANDS
from lensfold.paths import Workspace, cutout_file
from lensfold.runs.run import Run
from lensfold.simulate.objects import FIRST_ID, SimulatedObject, object_streams, simulate_object
from lensfold.simulate.optics.artefacts import Artefacts
from lensfold.simulate.pack import write_object
from lensfold.simulate.population import Population
from lensfold.workers import run_chunks

RULE = catalogs.DEFAULT_RULE
_PACK = "stress"
_CHUNK = 50  # objects a task
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


Part = tuple[Sky, int, list[int], Path]


def _write_part(part: Part) -> list[tuple[dict[str, float | int], str]]:
    """Write some objects under a split's folder; return their catalog rows and classes."""
    sky, seed, indices, folder = part
    items = [sky.draw(seed, index) for index in indices]
    for item in items:
        write_object(folder, item)
    return [(item.row, item.morphology) for item in items]


@dataclass(frozen=True)
class Judge:
    """A trained run in a workspace of its own, with which skies of one seed are judged."""

    workspace: Workspace
    trained_on: str
    experiment: str
    seed: int
    workers: int

    def __call__(self, sky: Sky, indices: Sequence[int]) -> pd.DataFrame:
        """Return by index of the object: logit (the mean of the complete folds), label, theta_E in arcsec, class."""
        from lensfold.pipeline.cache import cache_split
        from lensfold.pipeline.predict import predict_folds

        pack = self.workspace.pack(_PACK)
        shutil.rmtree(pack.folder, ignore_errors=True)
        for band in BANDS:
            cutout_file(pack.folder / "test", band, FIRST_ID).parent.mkdir(parents=True)
        starts = range(0, len(indices), _CHUNK)
        parts = [(sky, self.seed, list(indices[k : k + _CHUNK]), pack.folder / "test") for k in starts]
        written = [one for _, items in run_chunks(_write_part, parts, self.workers) for one in items]
        cache_split(self.workspace, pack, "test", False, self.workers)
        predict_folds(self.workspace, pack, self.trained_on, self.experiment)
        truth = pd.DataFrame([row for row, _ in written]).set_index("ID")
        table = pd.DataFrame(
            {
                "logit": Run(self.workspace.run(self.trained_on, self.experiment)).test_logits(_PACK),
                "label": catalogs.labels(truth, RULE),
                "radius": np.exp(catalogs.log_einstein_radius(truth)),
                "class": pd.Series([kind for _, kind in written], truth.index),
            }
        ).sort_index()
        shutil.rmtree(pack.folder)
        return table.set_axis(table.index - FIRST_ID)
