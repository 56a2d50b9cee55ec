"""What objects teach, against answers that can be written down."""

import numpy as np
import pytest

from lensfold.scoring.teaching import distance_from, spread, teaching


def test_the_mean_of_the_shares_in_three_orders():
    table = teaching(np.array([0.1, 2.0, 1.0, 3.0]), np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 1.0, 1.0, 9.0]))
    np.testing.assert_allclose(table["near"], [7 / 8, 3 / 8, 5 / 8, 1 / 8])
    np.testing.assert_allclose(table["disagree"], [7 / 8, 5 / 8, 3 / 8, 1 / 8])
    np.testing.assert_allclose(table["unseen"], [3 / 8, 3 / 8, 3 / 8, 7 / 8])
    np.testing.assert_allclose(table["teach"], [17 / 24, 11 / 24, 11 / 24, 9 / 24])


def test_what_is_known_of_no_object_is_left_out_and_of_one_counts_nothing():
    table = teaching(np.array([1.0, np.nan, 0.0]), None, None)
    np.testing.assert_allclose(table["teach"], [1.5 / 3, 0, 2.5 / 3])
    assert table[["disagree", "unseen"]].isna().all(axis=None)


def test_networks_disagree_on_a_common_scale():
    first = np.array([-1.0, 1.0, -1.0, 1.0])
    logits = np.stack([first, 10 * first * [1, 1, 1, 1] + 5], axis=1)
    np.testing.assert_allclose(spread(logits), 0, atol=1e-12)
    logits[:, 1] = [-1, 1, 1, -1]  # the last two turned round: half of the difference of -1 and 1
    np.testing.assert_allclose(spread(logits), [0, 0, 1, 1])
    assert spread(logits[:, :1]) is None


def test_the_nearest_that_was_seen_in_deviations():
    seen, objects = np.array([[0.0, 7.0], [4.0, 7.0]]), np.array([[0.0, 7.0], [2.0, 7.0], [4.0, np.nan]])
    deviation = np.std([0, 4, 0, 2, 4])
    np.testing.assert_allclose(distance_from(seen, objects), [0, 2 / deviation / np.sqrt(2), 0])
    only_first = np.array([[0.0, np.nan], [4.0, np.nan]])  # a measure that nothing seen has
    np.testing.assert_allclose(distance_from(only_first, objects), [0, 2 / deviation, 0])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_units_do_not_matter(scale):
    rng = np.random.default_rng(1)
    seen, objects = rng.normal(size=(20, 3)), rng.normal(size=(30, 3))
    np.testing.assert_allclose(distance_from(scale * seen, scale * objects), distance_from(seen, objects), rtol=1e-6)
