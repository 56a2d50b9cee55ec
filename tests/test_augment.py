"""Augmentation: seeded per image, float-safe, and each step does what its name says."""

import numpy as np
import pytest

from lensfold.augment import Augmentation
from lensfold.config import AugmentSettings

OFF = {"d4": False, "affine_probability": 0.0, "dropout_probability": 0.0, "noise_sigma": 0.0, "gain": 0.0}
IMAGE = (np.random.default_rng(5).standard_normal((48, 48, 4)) * 100).astype(np.float32)


def only(**changes) -> Augmentation:
    return Augmentation(AugmentSettings(**{**OFF, **changes}))


def test_all_off_changes_nothing():
    np.testing.assert_array_equal(only()(IMAGE, 1, 2, 3), IMAGE)


def test_the_same_seed_words_give_the_same_image():
    everything = {"d4": True, "affine_probability": 1.0, "dropout_probability": 1.0, "noise_sigma": 1.0, "gain": 0.1}
    first = only(**everything)(IMAGE, 1, 0, 5, 17)
    other = only(**everything)
    other(IMAGE, 9)  # what was drawn before does not matter
    np.testing.assert_array_equal(other(IMAGE, 1, 0, 5, 17), first)
    assert not np.array_equal(other(IMAGE, 1, 0, 5, 18), first)
    assert first.dtype == np.float32 and first.shape == IMAGE.shape


def test_d4_reaches_all_eight_and_nothing_else():
    augmentation = only(d4=True)
    views = {augmentation(IMAGE, 1, index).tobytes() for index in range(200)}
    expected = {
        np.ascontiguousarray(view).tobytes()
        for turns in range(4)
        for turned in (np.rot90(IMAGE, turns),)
        for view in (turned, turned[:, ::-1])
    }
    assert views == expected


def test_negative_and_large_values_survive():
    """albumentations clips float images to [0, 1] in several of its transforms; none of them is used here."""
    result = only(d4=True, noise_sigma=0.1, gain=0.01)(IMAGE, 3)
    assert result.min() < -200 and result.max() > 200


def test_noise_has_the_level_it_draws():
    flat = np.zeros((100, 100, 2), dtype=np.float32)
    levels = [only(noise_sigma=2.0)(flat, seed).std() for seed in range(100)]
    assert max(levels) < 2.05 and min(levels) < 0.2
    assert np.mean(levels) == pytest.approx(1.0, abs=0.2)


def test_gain_keeps_colours():
    result = only(gain=0.3)(IMAGE, 1)
    factors = result / IMAGE
    assert factors.std() < 1e-6 and 0.7 <= factors.mean() <= 1.3 and factors.mean() != pytest.approx(1)


def test_affine_moves_a_source_by_no_more_than_it_may():
    image = np.zeros((64, 64, 1), dtype=np.float32)
    image[31:33, 31:33] = 1
    augmentation = only(affine_probability=1.0, shift_pixels=3.0, rotate_degrees=0.0, zoom=0.0)
    y, x = np.indices((64, 64))
    shifts = []
    for seed in range(50):
        moved = augmentation(image, seed)[..., 0]
        shifts.append([(moved * y).sum() / moved.sum() - 31.5, (moved * x).sum() / moved.sum() - 31.5])
    assert np.abs(shifts).max() <= 3.01 and np.abs(shifts).max() > 1.5


def test_dropout_blanks_holes():
    result = only(dropout_probability=1.0)(IMAGE + 1000, 4)
    blank = (result == 0).all(axis=-1)
    assert 16 <= blank.sum() <= 3 * 144
