"""When two packs are far apart, and when a prediction says so."""

import json

import numpy as np
import pandas as pd
import pytest

from lensfold.realism.distance import differences, distances, statistics
from lensfold.realism.measure import QUANTITIES


def table(n: int = 200, seed: int = 0, **shifts: float) -> pd.DataFrame:
    """Normal values around 1 with spread 0.1, in some columns around another value; magnitudes have spread 1."""
    generator = np.random.default_rng(seed)
    values = {
        name: shifts.get(name, 20.0 if name.startswith("mag") else 1.0)
        + generator.normal(0, 1.0 if name.startswith("mag") else 0.1, n)
        for name in QUANTITIES
    }
    return pd.DataFrame(values)


def test_distances_of_known_distributions():
    found = {one.name: one for one in distances(table(), table(seed=1, half_light=1.2, peaks=9.0))}
    assert list(found) == list(QUANTITIES)
    assert found["peaks"].ks == 1 and found["peaks"].is_far
    # of two normal distributions two sigma apart: 2 Phi(1) - 1
    assert found["half_light"].ks == pytest.approx(0.683, abs=0.07) and found["half_light"].is_far
    assert found["mag_H"].ks < 0.2 and not found["mag_H"].is_far
    assert found["peaks"].simulated == pytest.approx((8.87, 9.0, 9.13), abs=0.04)
    assert found["peaks"].counts == (200, 200)


def test_three_objects_are_far_only_where_chance_would_not_do():
    three = distances(table(3), table(seed=1, peaks=9.0))
    assert [one.name for one in three if one.is_far] == ["peaks"]


def test_what_was_not_measured_is_not_far():
    real = table().assign(width_H=np.nan)
    found = next(one for one in distances(real, table()) if one.name == "width_H")
    assert np.isnan(found.ks) and not found.is_far and found.counts == (0, 200) and np.isnan(found.real).all()


def test_statistics_are_medians_ready_for_json():
    found = statistics(table(2000).assign(width_H=np.nan))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["sigma_VIS"]["median"] == pytest.approx(1, abs=0.01)
    assert found["sigma_VIS"]["spread"] == pytest.approx(0.1, rel=0.1) and found["sigma_VIS"]["n"] == 2000
    assert found["width_H"] == {"median": None, "spread": None, "n": 0}


@pytest.mark.parametrize(
    ("shifts", "words"),
    [
        ({"sigma_VIS": 1.25}, []),
        ({"sigma_VIS": 1.4, "sigma_H": 2.0}, ["background sigma 2.0e+00 against 1.0e+00 in H (and 1 more band)"]),
        ({"sigma_J": 0.7}, ["background sigma 7"]),
        ({"correlation_Y": 1.05}, []),
        ({"correlation_Y": 1.2}, ["noise correlation 1.2"]),
        ({"mag_VIS": 20.4}, []),
        ({"mag_VIS": 21.5, "width_VIS": 2.0}, ["width of the narrowest peaks 2.0", "magnitude 21."]),
        ({"half_light": 1.2, "peaks": 40.0}, []),
        ({"half_light": 1.5}, ["half-light radius 1.5"]),
    ],
)
def test_a_difference_is_named_beyond_its_limit(shifts, words):
    found = differences(statistics(table()), statistics(table(seed=1, **shifts)))
    assert len(found) == len(words) and all(line.startswith(word) for line, word in zip(found, words, strict=True))


def test_few_objects_are_not_told_apart_by_chance():
    """Of three objects with spread 1 the median may be off by 0.7; noise, alike in all, is told from three."""
    training = statistics(table())
    for seed in range(20):
        assert differences(training, statistics(table(3, seed=seed + 50))) == []
    assert len(differences(training, statistics(table(3, seed=1, sigma_Y=3.0)))) == 1


@pytest.mark.parametrize("damaged", [{}, {"sigma_VIS": {}}, {"sigma_VIS": {"median": None, "spread": None, "n": 0}}])
def test_what_is_not_known_is_not_different(damaged):
    assert differences(damaged, statistics(table(sigma_VIS=9.0))) == []
