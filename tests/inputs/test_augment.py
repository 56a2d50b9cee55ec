"""Augmentation: seeded per image, float-safe, and each step does what its name says."""

from pathlib import Path

import numpy as np
import pytest

from lensfold.config import AugmentSettings
from lensfold.inputs.augment import Augmentation, _transforms

OFF = {"d4": False, "affine_probability": 0.0, "noise_sigma": 0.0, "gain": 0.0}
IMAGE = (np.random.default_rng(5).standard_normal((48, 48, 4)) * 100).astype(np.float32)
GOLDEN = Path(__file__).parents[1] / "golden" / "augment.npz"
#: every transform that is ever composed, alone and always applied: name of its class to its settings
TRANSFORMS = {
    "D4": {"d4": True},
    "Affine": {"affine_probability": 1.0},
    "FluxGain": {"gain": 0.3},
    "SkyNoise": {"noise_sigma": 1.0},
}
EVERYTHING = {key: value for changes in TRANSFORMS.values() for key, value in changes.items()}


def only(**changes) -> Augmentation:
    return Augmentation(AugmentSettings(**{**OFF, **changes}))


def test_all_off_changes_nothing():
    np.testing.assert_array_equal(only()(IMAGE, 1, 2, 3), IMAGE)


def test_only_these_transforms_in_this_order():
    """Each other one of albumentations would have to be proven not to clip."""
    composed = [type(transform).__name__ for transform in _transforms(AugmentSettings(**EVERYTHING))]
    assert composed == list(TRANSFORMS)
    for name, changes in TRANSFORMS.items():
        assert [type(t).__name__ for t in _transforms(AugmentSettings(**{**OFF, **changes}))] == [name]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_golden(name):
    """What each transform makes of a small image; another result means that a rerun gives another network.

    Written once by ``np.savez(GOLDEN, image=image, **{name: only(**TRANSFORMS[name])(image, 2020, 1, 7)})`` over
    all names, with ``image = (np.arange(432).reshape(12, 12, 3) % 37 - 11).astype(np.float32)``, and looked at.
    """
    with np.load(GOLDEN, allow_pickle=False) as golden:
        image, expected = golden["image"], golden[name]
    result = only(**TRANSFORMS[name])(image, 2020, 1, 7)
    assert result.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)
    assert not np.allclose(expected, image, atol=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_transform_clips(name, channels):
    """With the same seed words each is linear in the image, but for noise that it adds: a clip would not be."""
    augmentation, image = only(**TRANSFORMS[name]), IMAGE[..., :channels]
    for seed in range(5):
        noise = augmentation(np.zeros_like(image), seed)
        once, tenfold = augmentation(image, seed), augmentation(10 * image, seed)
        assert once.dtype == np.float32 and once.shape == image.shape
        assert tenfold.min() < -100 and tenfold.max() > 100
        np.testing.assert_allclose(tenfold - noise, 10 * (once - noise), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("changes", [*TRANSFORMS.values(), EVERYTHING], ids=[*TRANSFORMS, "everything"])
def test_the_same_seed_words_give_the_same_image_in_any_order(changes):
    words = [(1, 0, 5, index) for index in range(12)]
    first, other = only(**changes), only(**changes)
    forward = [first(IMAGE, *word).tobytes() for word in words]
    assert [other(IMAGE, *word).tobytes() for word in words[::-1]] == forward[::-1]
    assert first(IMAGE, *words[3]).tobytes() == forward[3]
    assert len(set(forward)) > 4  # of the eight of D4


def test_d4_reaches_all_eight_alike_and_nothing_else():
    augmentation, image = only(d4=True), np.ascontiguousarray(IMAGE[:4, :4])
    expected = {
        np.ascontiguousarray(view).tobytes()
        for turns in range(4)
        for turned in (np.rot90(image, turns),)
        for view in (turned, turned[:, ::-1])
    }
    assert len(expected) == 8
    counts = dict.fromkeys(expected, 0)
    for index in range(4000):
        counts[augmentation(image, 1, index).tobytes()] += 1
    # 500 each; the standard deviation of a count is 21
    assert all(abs(count - 500) < 84 for count in counts.values()), counts.values()


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
