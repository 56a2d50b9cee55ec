"""Sources at their places behind a lens."""

import math

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
