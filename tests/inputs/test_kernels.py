"""The pieces of the compiled pass, each against numpy."""

import numpy as np
import pytest

from lensfold.config import PixelSettings
from lensfold.inputs import kernels
from lensfold.inputs.augment import windows
from lensfold.inputs.pixels import on_vis_grid, stretched


@pytest.mark.parametrize("stretch", ["none", "log", "asinh"])
@pytest.mark.parametrize("softening", [0.1, 3.0])
def test_the_stretch_is_that_of_prediction(stretch, softening):
    """From a hundredth of a sigma to a star that saturates, both signs, and exactly 0."""
    size = np.geomspace(1e-2, 1e9, 10001)
    linear = np.concatenate([-size, [0.0], size]).astype(np.float32)
    found = linear.copy()
    number = {"none": kernels.NONE, "log": kernels.LOG, "asinh": kernels.ASINH}[stretch]
    kernels._stretched(found, number, np.float32(softening), np.float32(0), np.float32(1))
    expected = stretched(linear[:, None], PixelSettings(stretch=stretch, softening=softening))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=5e-7)
    assert found[10001] == 0


def test_the_logarithm_is_exact_to_the_last_digits():
    x = np.float32(2.0) ** np.linspace(-126, 127, 20001, dtype=np.float32)
    found = np.array([kernels._log(value) for value in x])
    exact = np.log(x.astype(np.float64))
    np.testing.assert_allclose(found, exact, rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("element", range(8))
def test_elements_of_d4(element):
    image = np.random.default_rng(element).standard_normal((6, 6)).astype(np.float32)
    out = np.zeros((6, 6, 3), dtype=np.float32)
    kernels._turned(image, element, out[:, :, 1])
    swapped = image.T if element & 4 else image
    np.testing.assert_array_equal(out[:, :, 1], swapped[:: -1 if element & 1 else 1, :: -1 if element & 2 else 1])
    assert not out[:, :, ::2].any()


@pytest.mark.parametrize("width", [1, 2])
def test_windows_of_the_whole_frame(width):
    """NISP spread over VIS and VIS itself, each averaged over width x width pixels at every place."""
    generator = np.random.default_rng(4)
    vis, nisp = (generator.standard_normal((side, side)).astype(np.float32) for side in (200, 66))
    count = 201 - width
    every = windows(0, 1, width, count, 200)
    grids = np.full((2, count, count), np.nan, dtype=np.float32)
    kernels._windows(vis, 0, 1, width, np.float32(width**-2), grids[0])
    room = np.empty((count, 66), dtype=np.float32), np.empty((66, count), dtype=np.float32)
    kernels._spread(nisp.T.copy(), every, *room, grids[1])
    for frame, found in zip((vis, on_vis_grid(nisp)), grids, strict=True):
        expected = sum(frame[i : i + count, j : j + count] for i in range(width) for j in range(width)) / width**2
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_one_compiled_version_whatever_the_settings():
    """Every layout of an argument would be compiled anew, for some seconds."""
    from fakes.inputs import augmented, preparation
    from fakes.pack import SIGMA, fake_images

    from lensfold.config import AugmentSettings

    images = fake_images(np.random.default_rng(1), True)
    for pixels in (
        PixelSettings(),
        PixelSettings(mix="vis", crop=64, bin=1),
        PixelSettings(stretch="log", mix="bands"),
    ):
        for noise in (0.0, 0.5):
            augmented(preparation(images, pixels, AugmentSettings(noise_sigma=noise), SIGMA), 8)
    assert len(kernels.prepare.signatures) == 1
