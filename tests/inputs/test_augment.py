"""Augmentation: seeded per image, the input of prediction where it is off, and each step does what its name says."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fakes.inputs import LINEAR, OFF, augmented, preparation
from fakes.pack import SIGMA, fake_images
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from lensfold.config import INFRARED_MIXES, AugmentSettings, PixelSettings
from lensfold.data.cache import central
from lensfold.frames import BAND_SHAPES, BANDS, band_shapes
from lensfold.inputs import kernels
from lensfold.inputs.augment import draws, zooms
from lensfold.inputs.pixels import fit_constants, linear_channels, on_vis_grid

GOLDEN = Path(__file__).parents[1] / "golden" / "augment.npz"
IMAGES = fake_images(np.random.default_rng(5), True)
UNIT = dict.fromkeys(BANDS, 1.0)
#: every step, alone and always applied
STEPS = {
    "d4": {"d4": True},
    "affine": {"affine_probability": 1.0},
    "gain": {"gain": 0.3},
    "noise": {"noise_sigma": 1.0},
}
EVERYTHING = {key: value for changes in STEPS.values() for key, value in changes.items()}
STILL = {"rotate_degrees": 0.0, "zoom": 0.0, "shift_pixels": 0.0}
MIXES = st.sampled_from(["bands", "paper-ir", "paper-rgb", "vis"])
GRIDS = st.sampled_from([(200, 1), (200, 2), (128, 1), (112, 2), (16, 2), (18, 1), (200, 4), (64, 4)])


def only(**changes) -> AugmentSettings:
    return AugmentSettings(**{**OFF, **changes})


def linear(augment: AugmentSettings, images=IMAGES, sigma=SIGMA, **pixels):
    """What makes augmented input of one object, unstretched."""
    return preparation(images, PixelSettings(**LINEAR, **pixels), augment, sigma)


def blob(x: float, y: float, width: float, length: float | None = None) -> dict[str, np.ndarray]:
    """A Gaussian in VIS, in VIS pixels from the centre; the other bands are empty."""
    down, right = np.indices(BAND_SHAPES["VIS"]) - 99.5
    vis = np.exp(-0.5 * (((right - x) / width) ** 2 + ((down - y) / (length or width)) ** 2))
    return {band: np.zeros(BAND_SHAPES[band]) if band != "VIS" else vis for band in BANDS}


def moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (row, column) from the middle of the image, and the matrix of second moments, in its pixels."""
    places = np.stack(np.indices(image.shape)).reshape(2, -1) - (len(image) - 1) / 2
    weight = image.ravel() / image.sum()
    centre = places @ weight
    offset = places - centre[:, None]
    return centre, (weight * offset) @ offset.T


def drawn(augment: AugmentSettings, position: int) -> SimpleNamespace:
    """What ``augmented`` draws for one position."""
    names = ("element", "moved", "degrees", "zoom", "right", "down", "gain", "noise")
    return SimpleNamespace(**dict(zip(names, draws(augment, np.array([position]), 1, 0, 3)[0], strict=True)))


# What augmentation leaves as it is


@settings(deadline=None, max_examples=30)
@given(MIXES, GRIDS, st.sampled_from(["asinh", "log", "none"]), st.floats(0.5, 20), st.sampled_from(["pack", "none"]))
@pytest.mark.parametrize("still", [{}, {"affine_probability": 1.0, **STILL}], ids=["off", "moved by nothing"])
def test_without_augmentation_training_sees_what_prediction_sees(still, mix, grid, stretch, softening, scaling):
    crop, factor = grid
    pixels = PixelSettings(mix=mix, crop=crop, bin=factor, stretch=stretch, softening=softening, scaling=scaling)
    constants = fit_constants([IMAGES], pixels, SIGMA)
    made = preparation(IMAGES, pixels, only(**still), constants=constants)
    plain = made.plain(np.array([1]))
    found = augmented(made, 1)
    assert found.shape == plain.shape and found.dtype == plain.dtype == np.float32
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-5)  # a narrow crop may have a small scale


@pytest.mark.parametrize("stretch", ["log", "none"])
def test_images_scaled_by_themselves_too(stretch):
    pixels = PixelSettings(stretch=stretch, scaling="image")
    made = preparation(IMAGES, pixels, only(), SIGMA)
    np.testing.assert_allclose(augmented(made, 1), made.plain(np.array([1])), rtol=1e-5, atol=2e-5)


def test_vis_alone_needs_no_other_band():
    lacking = {band: image if band == "VIS" else np.full_like(image, np.nan) for band, image in IMAGES.items()}
    whole = linear(only(**EVERYTHING), mix="vis", crop=64)
    alone = linear(only(**EVERYTHING), lacking, {"VIS": SIGMA["VIS"]}, mix="vis", crop=64)
    np.testing.assert_array_equal(augmented(alone, 3), augmented(whole, 3))
    np.testing.assert_array_equal(alone.plain(np.array([1])), whole.plain(np.array([1])))


@pytest.mark.parametrize("changes", [*STEPS.values(), EVERYTHING], ids=[*STEPS, "everything"])
def test_an_image_depends_on_its_seed_words_alone(changes):
    """Not on its neighbours in a batch, nor on what was prepared before it."""
    made, other = linear(only(**changes), crop=32), linear(only(**changes), crop=32)
    together = augmented(made, 12)
    alone = [augmented(other, 1, start)[0] for start in reversed(range(12))]
    np.testing.assert_array_equal(together, alone[::-1])
    assert len({image.tobytes() for image in together}) > 4  # of the eight of D4
    assert not np.array_equal(augmented(made, 12, seed=2), together)


def test_what_is_switched_off_leaves_the_others_their_draws():
    whole = draws(AugmentSettings(**EVERYTHING), np.arange(20), 1, 2, 3)
    columns = {"d4": [kernels.ELEMENT], "affine": [1, 2, 3, 4, 5], "gain": [kernels.GAIN], "noise": [kernels.NOISE]}
    for name, own in columns.items():
        np.testing.assert_array_equal(draws(only(**STEPS[name]), np.arange(20), 1, 2, 3)[:, own], whole[:, own])
    assert (np.ptp(np.delete(whole, kernels.MOVED, axis=1), axis=0) > 0).all()


def test_draws_fill_their_ranges():
    settings = AugmentSettings(rotate_degrees=10.0, zoom=0.2, shift_pixels=3.0, gain=0.1, noise_sigma=0.5)
    drawn = draws(settings, np.arange(2000), 1, 0, 0)
    low, high = [0, 0, -10, 0.8, -3, -3, 0.9, 0], [8, 1, 10, 1.2, 3, 3, 1.1, 0.5]
    assert (drawn >= low).all() and (drawn <= high).all()
    np.testing.assert_allclose(drawn.min(axis=0), low, atol=0.05)
    np.testing.assert_allclose(drawn.max(axis=0), high, atol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), np.add(low, high) / 2, atol=0.5)
    assert abs(np.corrcoef(drawn.T) - np.eye(8)).max() < 0.1


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("mix", ["bands", "paper-rgb", "vis"])
def test_a_small_frame_gives_the_input_of_the_middle_of_a_large_one(mix, factor):
    """All but the rim: NISP has no pixels beyond it, so the last three VIS pixels repeat or lean on its edge."""
    small = {band: central(image, band_shapes(100)[band][0]) for band, image in IMAGES.items()}
    settings, rim = PixelSettings(mix=mix, crop=100, bin=factor), -(-3 // factor)
    of_large, of_small = (preparation(images, settings, only(d4=True), SIGMA) for images in (IMAGES, small))
    for made in ("plain", "augmented"):
        one, other = (
            each.plain(np.array([1])) if made == "plain" else augmented(each, 4) for each in (of_large, of_small)
        )
        assert one.shape[1:3] == (100 // factor, 100 // factor)
        np.testing.assert_array_equal(one[..., 0], other[..., 0])  # of VIS there is all
        inner = slice(rim, -rim)
        np.testing.assert_allclose(one[:, inner, inner], other[:, inner, inner], atol=2e-5)
        assert mix == "vis" or not np.allclose(one, other, atol=1e-2)


def test_a_small_frame_is_moved_like_the_middle_of_a_large_one():
    small = {band: central(image, band_shapes(100)[band][0]) for band, image in IMAGES.items()}
    one, other = (
        augmented(linear(only(affine_probability=1.0), images, crop=64, bin=2), 6) for images in (IMAGES, small)
    )
    np.testing.assert_allclose(one, other, atol=2e-3 * np.abs(one).max())


# What each step does


@pytest.mark.parametrize("name", STEPS)
def test_golden(name):
    """What each step makes of a small image; another result means that a rerun gives another network.

    Written once by ``np.savez(GOLDEN, **{name: golden(name) for name in STEPS})``, and looked at.
    """
    with np.load(GOLDEN, allow_pickle=False) as kept:
        expected = kept[name]
    np.testing.assert_allclose(golden(name), expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(expected[0], golden_input(name).plain(np.array([1])), atol=0.01)


def golden_input(name: str):
    counted = {band: np.arange(np.prod(shape)).reshape(shape) % 37.0 - 11 for band, shape in BAND_SHAPES.items()}
    return preparation(counted, PixelSettings(crop=16, bin=2), only(**STEPS[name]))


def golden(name: str) -> np.ndarray:
    return augmented(golden_input(name), 3, start=1, seed=2020)


@pytest.mark.parametrize("name", STEPS)
def test_no_step_clips(name):
    """With the same seed words each is linear in the image, but for noise that it adds: a clip would not be."""
    images = [{band: factor * image for band, image in IMAGES.items()} for factor in (0, 1, 10)]
    noise, once, tenfold = (augmented(linear(only(**STEPS[name]), one, crop=64), 5) for one in images)
    assert tenfold.max() > 100 and np.isfinite(tenfold).all()
    np.testing.assert_allclose(tenfold - noise, 10 * (once - noise), rtol=1e-4, atol=1e-2)


def test_d4_reaches_all_eight_alike_and_nothing_else():
    made = linear(only(d4=True), crop=16)
    image = made.plain(np.array([1]))[0]
    expected = {
        np.ascontiguousarray(view).tobytes(): 0
        for turns in range(4)
        for turned in (np.rot90(image, turns),)
        for view in (turned, turned[:, ::-1])
    }
    assert len(expected) == 8
    still = augmented(linear(only(), crop=16), 1)[0]  # D4 itself is exact: no number changes
    assert np.allclose(still, image, rtol=1e-6)
    exact = {one.tobytes() for turns in range(4) for one in _both(np.rot90(still, turns))}
    found, counts = np.unique([one.tobytes() for one in augmented(made, 4000)], return_counts=True)
    assert set(found) == exact
    # 500 each; the standard deviation of a count is 21
    assert abs(counts - 500).max() < 84, counts


def _both(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(image), np.ascontiguousarray(image[:, ::-1])


def test_noise_is_white_and_has_the_level_it_draws():
    empty = {band: np.zeros(BAND_SHAPES[band]) for band in BANDS}
    changed = only(noise_sigma=2.0, affine_probability=0.5)
    found = augmented(linear(changed, empty, mix="bands"), 200)
    levels = draws(changed, np.arange(200), 1, 0, 3)[:, kernels.NOISE]
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), levels, rtol=0.03, atol=1e-6)
    assert max(levels) > 1.9 and min(levels) < 0.1 and np.mean(levels) == pytest.approx(1.0, abs=0.15)
    white = found[np.argmax(levels)]
    for shifted in (white[1:, :] * white[:-1, :], white[:, 1:] * white[:, :-1], white[..., 1:] * white[..., :-1]):
        assert abs(shifted.mean()) < 0.03 * max(levels) ** 2


def test_gain_keeps_colours():
    made = linear(only(gain=0.3), crop=64)
    factors = augmented(made, 50) / made.plain(np.array([1]))
    each = np.median(factors, axis=(1, 2, 3))
    np.testing.assert_allclose(factors, np.broadcast_to(each[:, None, None, None], factors.shape), rtol=1e-4)
    assert each.min() < 0.75 and each.max() > 1.25 and each.min() >= 0.7 and each.max() <= 1.3


@settings(deadline=None, max_examples=25)
@given(MIXES, GRIDS, st.floats(0, 180), st.floats(0, 0.49), st.floats(0, 20), st.integers(0, 99))
def test_affine_against_scipy(mix, grid, degrees, zoom, shift, position):
    """Sample the whole frame between its pixels, on bin x bin places of each pixel; reflected at the frame's edges."""
    crop, factor = grid
    changed = only(affine_probability=1.0, rotate_degrees=degrees, zoom=zoom, shift_pixels=shift)
    found = augmented(linear(changed, crop=crop, bin=factor, mix=mix), 1, position)[0]
    one = drawn(changed, position)
    side = crop // factor
    places = np.stack(np.indices((side, side))) - (side - 1) / 2 - np.array([one.down, one.right])[:, None, None]
    angle = np.deg2rad(one.degrees)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # of (row, column)
    middle = factor / one.zoom * np.einsum("ab,bij->aij", turned, places) + 99.5
    for channel, frame in enumerate(_frames(mix, factor)):
        offsets = np.arange(factor) - (factor - 1) / 2
        sampled = [
            map_coordinates(frame, [middle[0] + down, middle[1] + right], order=1, mode="mirror")
            for down in offsets
            for right in offsets
        ]
        # within half a window of the edge windows are reflected as one, scipy reflects each of their pixels
        inside = (abs(middle - 99.5) < 99.5 - factor / 2).all(axis=0) | (factor == 1)
        np.testing.assert_allclose(found[..., channel][inside], np.mean(sampled, axis=0)[inside], rtol=1e-3, atol=5e-3)


def _frames(mix: str, factor: int) -> list[np.ndarray]:
    """Channels on the VIS grid, so scaled that their means over factor x factor pixels are in background sigmas."""
    frames = [IMAGES["VIS"] * (factor / SIGMA["VIS"])]
    for weights in INFRARED_MIXES[mix]:
        mixed = sum(weight * IMAGES[band] for weight, band in zip(weights, BANDS[1:], strict=True))
        noise = np.sqrt(sum((weight * SIGMA[band]) ** 2 for weight, band in zip(weights, BANDS[1:], strict=True)))
        frames.append(on_vis_grid(mixed) * np.float32(factor / noise))
    return frames


def test_affine_against_opencv_on_a_smooth_image():
    """OpenCV interpolates between binned pixels, in 32nds of one: alike where the image is smooth."""
    images = blob(20, -15, 15)
    changed = only(affine_probability=1.0)
    made = linear(changed, images, UNIT, mix="vis")
    plain, found = made.plain(np.array([1]))[0, ..., 0], augmented(made, 20)[..., 0]
    for position, image in enumerate(found):
        one = drawn(changed, position)
        matrix = cv2.getRotationMatrix2D((49.5, 49.5), -one.degrees, one.zoom)
        matrix[:, 2] += (one.right, one.down)
        expected = cv2.warpAffine(plain, matrix, (100, 100), borderMode=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(image, expected, atol=0.01 * plain.max())


# Three mistakes that the affine once made


def test_zoom_keeps_a_round_source_round():
    """One factor for both axes: each of its own made the ratio of axes 0.93 to 1.09."""
    augment = only(affine_probability=1.0, zoom=0.3, rotate_degrees=0.0, shift_pixels=0.0)
    found = augmented(linear(augment, blob(0, 0, 14), UNIT, mix="vis"), 40)[..., 0]
    widths = np.array([np.sqrt(np.diag(moments(image)[1])) for image in found])
    np.testing.assert_allclose(widths[:, 0], widths[:, 1], rtol=1e-3)
    np.testing.assert_allclose(widths[:, 0] / 7, zooms(augment, 40, 1, 0, 3), rtol=5e-3)
    assert widths.min() / 7 < 0.75 and widths.max() / 7 > 1.25


@pytest.mark.parametrize("most", [0.5, 1.9])
def test_fractions_of_a_pixel_are_shifted(most):
    """``shift_pixels = 0.5`` once was no shift, and 1.9 one pixel or none."""
    augment = only(affine_probability=1.0, zoom=0.0, rotate_degrees=0.0, shift_pixels=most)
    found = augmented(linear(augment, blob(0, 0, 8), UNIT, mix="vis"), 100)[..., 0]
    shifts = np.array([moments(image)[0] for image in found])
    every = draws(augment, np.arange(100), 1, 0, 3)
    np.testing.assert_allclose(shifts, every[:, [kernels.DOWN, kernels.RIGHT]], atol=1e-3)
    assert abs(shifts).max() <= most + 1e-3 and shifts.min() < -0.9 * most and shifts.max() > 0.9 * most
    assert shifts.std(axis=0) == pytest.approx([most / np.sqrt(3)] * 2, rel=0.15)  # uniform


def test_zooms_are_those_of_the_images():
    augment = only(affine_probability=0.5, zoom=0.2, shift_pixels=2.0, rotate_degrees=30.0, d4=True)
    found = augmented(linear(augment, blob(6, -9, 12, 9), UNIT, mix="vis"), 30)[..., 0]
    areas = np.array([np.sqrt(np.linalg.det(moments(image)[1])) for image in found])
    still = moments(linear(augment, blob(6, -9, 12, 9), UNIT, mix="vis").plain(np.array([1]))[0, ..., 0])[1]
    factors = zooms(augment, 30, 1, 0, 3)
    np.testing.assert_allclose(np.sqrt(areas / np.sqrt(np.linalg.det(still))), factors, rtol=5e-3)
    assert (factors == 1).any() and (factors != 1).any()


def test_linear_channels_are_still_what_prediction_makes():
    """The two paths share no code: a change of one is seen here."""
    pixels = PixelSettings(**LINEAR, mix="bands", crop=112, bin=2)
    found = augmented(preparation(IMAGES, pixels, only(), SIGMA), 1)[0]
    np.testing.assert_allclose(found, linear_channels(IMAGES, pixels, SIGMA), rtol=1e-5, atol=1e-5)
