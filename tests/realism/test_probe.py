"""The probe cannot tell two halves of one sky, and tells two skies."""

import numpy as np

from lensfold.realism.probe import probe


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """More features than objects, ten of which are shifted, as of a backbone."""
    found = np.random.default_rng(seed).normal(size=(n, 300))
    found[:, :10] += shift
    return found.astype(np.float32)


def test_halves_of_one_sky_look_alike():
    found = probe(features(150, 1), features(150, 2))
    assert 0.4 < found["value"] < 0.6 and found["low"] < 0.5 < found["high"]


def test_two_skies_do_not():
    found = probe(features(150, 1), features(60, 2, shift=2.0))
    assert found["value"] > 0.95 and found["low"] > 0.9


def test_features_that_are_alike_in_all_objects_do_not_matter():
    one, two = features(60, 1), features(60, 2)
    one[:, 20:40] = two[:, 20:40] = 3.0
    assert 0.3 < probe(one, two)["value"] < 0.7
    assert probe(one, two) == probe(one, two)
