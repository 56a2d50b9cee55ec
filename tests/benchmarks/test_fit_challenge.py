"""The fit of the challenge sky: closed forms, and a pool that foresees what a population draws."""

import numpy as np
import pytest

from benchmarks import fit_challenge as fit
from benchmarks.lensed_pool import HALF, Pool, _offset_density, draw_pool, weigh, widened
from lensfold.simulate import PROFILES
from lensfold.simulate.sky.field import draw_source
from lensfold.simulate.sky.halo import bent_normal


def test_a_bent_normal_has_the_three_quantiles():
    median, spread, skew = fit.bent((1.93, 2.33, 3.46))
    drawn = [median + spread * bent_normal(t, skew) for t in (-1.2815515655, 0.0, 1.2815515655)]
    assert drawn == pytest.approx([1.93, 2.33, 3.46])


@pytest.mark.parametrize("einstein", [0.7, 2.5, 6.0])
def test_the_density_of_offsets_is_that_of_the_sources_drawn(einstein):
    """The density cumulated up to a drawn offset is uniform between 0 and 1."""
    p = PROFILES["challenge"]
    drawn = np.array([draw_source(np.random.default_rng(k), p, 2.3, einstein).parts[0, :2] for k in range(400)])
    offset = np.hypot(*drawn.T)
    across = offset / np.abs(drawn).max(axis=1)
    steps = np.linspace(0.0, 1.0, 1001) * HALF * across[:, None]
    middle = 0.5 * (steps[:, 1:] + steps[:, :-1])
    one = np.ones_like(middle)
    pool = Pool(einstein * one, across[:, None] * one, middle, one, one, one, one, one, one)
    density = _offset_density(pool, p) * np.diff(steps)
    np.testing.assert_allclose(density.sum(axis=1), 1, atol=0.02)
    reached = np.where(middle < offset[:, None], density, 0).sum(axis=1)
    np.testing.assert_allclose(np.quantile(reached, (0.1, 0.3, 0.5, 0.7, 0.9)), (0.1, 0.3, 0.5, 0.7, 0.9), atol=0.07)


def test_weights_turn_the_pool_into_a_population():
    p = PROFILES["challenge"]
    pool = draw_pool(p, 300)
    np.testing.assert_allclose(weigh(pool, widened(p)), 1 / 300)
    weight = weigh(pool, p)
    assert weight.sum() == pytest.approx(1) and 1 / (weight**2).sum() > 60
    low, high = p.source_mag
    assert weight[(pool.mag < low) | (pool.mag > high)].sum() == 0
    assert fit.distance(fit.foreseen(pool, p)) < fit.distance(fit.foreseen(pool, PROFILES["challenge-1"]))
