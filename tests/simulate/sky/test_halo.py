"""Haloes: some are used again and again, and a turned one is the same halo."""

import math
from collections import Counter

import numpy as np
import pytest

from lensfold.simulate.objects import _streams
from lensfold.simulate.optics.lensing import deflection
from lensfold.simulate.population import Population
from lensfold.simulate.sky.halo import draw_halo, pick_halo, turned_lens, turned_light

SEED = 5


def test_haloes_repeat_with_a_heavy_tail():
    p = Population()
    picks = Counter(pick_halo(_streams(SEED, "train", k)[0], p) for k in range(4000))
    counts = sorted(picks.values(), reverse=True)
    assert 0.03 < counts[0] / 4000 < 0.15
    assert 0.2 < sum(counts[:20]) / 4000 < 0.6
    assert 400 < len(picks) < 1500


@pytest.mark.parametrize("number", [0, 3, 11])
def test_turning_a_halo_turns_light_and_deflection(number):
    halo, angle = draw_halo(Population(), SEED, number), 0.7
    c, s = math.cos(angle), math.sin(angle)
    still, _ = turned_lens(halo, 0.0, 2.0)
    turned, einstein = turned_lens(halo, angle, 2.0)
    x, y = np.array([1.0, -2.0, 3.0]), np.array([0.5, 2.5, -4.0])
    ax, ay = deflection(still, x, y)
    bx, by = deflection(turned, c * x - s * y, s * x + c * y)
    np.testing.assert_allclose((bx, by), (c * ax - s * ay, s * ax + c * ay), rtol=1e-6)
    central, satellites = turned_light(halo, angle)
    np.testing.assert_allclose(satellites[:, 0], c * halo.satellites[:, 0] - s * halo.satellites[:, 1])
    np.testing.assert_array_equal(central[:, 4:], halo.central[:, 4:])
    assert einstein > 0
