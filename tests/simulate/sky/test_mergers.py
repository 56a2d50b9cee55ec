"""Tidal arcs of mergers: soft ones, where the first skies have crescents with a hard edge."""

import numpy as np

from lensfold.simulate import PROFILES
from lensfold.simulate.optics.light_kernels import ARC, FLUX, KIND
from lensfold.simulate.optics.render import Planes, add_light
from lensfold.simulate.sky.galaxies import tidal_tail
from lensfold.simulate.sky.halo import draw_halo


def edge(rows: np.ndarray) -> float:
    """How steep the half-light contour is for the area inside: 1 for a soft blob, above 2 for a cut one."""
    rows = rows.copy()
    rows[:, FLUX : FLUX + 4] *= 1e-9 / rows[:, FLUX].sum()
    planes = Planes.empty()
    add_light(planes, rows, PROFILES["challenge"])
    light = planes.vis.astype(float) / planes.vis.max()
    slope = np.hypot(*np.gradient(light))
    contour = (light > 0.3) & (light < 0.7)
    return float(slope[contour].mean() * np.sqrt((light > 0.5).sum()))


def merger_arcs(name: str, count: int) -> list[np.ndarray]:
    """The arcs of a profile's first mergers, as ARC components."""
    haloes = (draw_halo(PROFILES[name], 1, number) for number in range(8 * count))
    return [halo.central[halo.central[:, KIND] == ARC] for halo in haloes if halo.morphology == "merger"]


def test_tidal_arcs_have_no_hard_edge():
    old = [edge(arc[None]) for arcs in merger_arcs("challenge-1", 40) for arc in arcs]
    new = [edge(tidal_tail(np.random.default_rng(k), np.ones(4))) for k in range(40)]
    assert np.median(old) > 1.8  # what is mended
    assert np.median(new) < 1.6 and np.quantile(new, 0.9) < 2.1
    assert not any(len(arcs) for arcs in merger_arcs("challenge", 40))
