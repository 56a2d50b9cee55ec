"""Sources at their places behind a lens."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lensfold.simulate.population import Population
from lensfold.simulate.sky.field import draw_source


def test_sources_stay_inside_the_frame():
    p = Population()
    for k in range(300):
        source = draw_source(np.random.default_rng(k), p, 2.0, 4.0)
        x, y = source.parts[0, :2]
        beta = math.hypot(x, y)
        image = (1 + 4.0 / beta) * max(abs(x), abs(y))
        assert image < p.frame_half + 1e-9
        assert source.parts[:, 7].sum() == pytest.approx(10 ** (-0.4 * source.mag), rel=1e-9)


def test_a_steeper_source_has_the_same_flux_and_draws_the_same_place():
    flat, steep = (
        draw_source(np.random.default_rng(4), replace(Population(), source_sersic=(n, n), source_clumps=0), 2.0, 1.5)
        for n in (1.0, 3.0)
    )
    assert (flat.parts[0, 6], steep.parts[0, 6]) == (1.0, 3.0)
    np.testing.assert_array_equal(np.delete(flat.parts, 6, axis=1), np.delete(steep.parts, 6, axis=1))
    varied = replace(Population(), source_sersic=(0.5, 4.0))
    indices = [draw_source(np.random.default_rng(k), varied, 2.0, 1.5).parts[0, 6] for k in range(200)]
    assert 0.5 <= min(indices) < 0.7 and 3.8 < max(indices) <= 4.0
