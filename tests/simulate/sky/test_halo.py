"""Haloes: some are used again and again, and a turned one is the same halo."""

import math
from collections import Counter

import numpy as np
import pytest

from lensfold.simulate import PROFILES
from lensfold.simulate.objects import object_streams
from lensfold.simulate.optics.lensing import deflection, einstein_radius
from lensfold.simulate.population import Population
from lensfold.simulate.sky.halo import LIBRARY_STREAM, draw_halo, pick_halo, turned_lens, turned_light

SEED = 5


def test_haloes_repeat_with_a_heavy_tail():
    p = Population()
    picks = Counter(pick_halo(object_streams(SEED, "train", k).lens, p) for k in range(4000))
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


def test_mean_convergence_inside_theta_e_is_one_with_everything():
    """Against the mean radial deflection on the circle, of the compiled deflection itself, for 500 haloes."""
    phi = (np.arange(720) + 0.5) * np.pi / 360
    means, nominal = [], []
    for number in range(500):
        lens, einstein = turned_lens(draw_halo(Population(), SEED, number), 0.4, 2.3, centre=(0.2, -0.1))
        radius = einstein_radius(lens)
        ax, ay = deflection(lens, 0.2 + radius * np.cos(phi), -0.1 + radius * np.sin(phi))
        means.append(np.mean(ax * np.cos(phi) + ay * np.sin(phi)) / radius)
        nominal.append(radius / einstein)
    np.testing.assert_allclose(means, 1, atol=0.005)
    # satellites add; a circle holds up to 4 % less than the ellipse of the same area
    assert min(nominal) > 0.95 and np.percentile(nominal, 95) > 1.05


def test_streams_of_the_haloes_are_no_longer_one_with_their_shift():
    """Zeros at the end of a seed do not count; the first skies keep it."""
    for p, one in ((PROFILES["challenge-1"], True), (PROFILES["challenge"], False)):
        halo = draw_halo(p, SEED, 0)
        zero, slope, scatter = p.log_stars
        drawn = math.log10(halo.stars) - zero - slope * (math.log10(halo.mass) - 13.9)
        shift = np.random.default_rng([SEED, LIBRARY_STREAM]).normal(0.0, scatter)
        assert (abs(drawn - shift) < 1e-9) == one


def test_test_objects_have_haloes_that_train_never_has():
    p = PROFILES["challenge"]
    picks = {
        split: {pick_halo(object_streams(SEED, split, k).lens, p, test=split == "test") for k in range(300)}
        for split in ("train", "test")
    }
    assert max(picks["train"]) < p.halo_library <= min(picks["test"])
    shared = {
        split: {pick_halo(object_streams(SEED, split, k).lens, Population(), test=split == "test") for k in range(300)}
        for split in ("train", "test")
    }
    assert len(shared["train"] & shared["test"]) > 20
