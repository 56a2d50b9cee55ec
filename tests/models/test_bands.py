"""VIS and NISP, each at its own pixels, out of one array of four channels."""

import itertools

import numpy as np
import pytest

from lensfold.config import PixelSettings
from lensfold.frames import BANDS
from lensfold.inputs.pixels import linear_channels
from lensfold.models import bands, build_model

#: the whole frame; one crop that begins on each of the three pixels of a NISP pixel; the smallest
CROPS = (200, 130, 128, 126, 32)


@pytest.fixture(scope="module")
def frames():
    """Noise in every pixel of every band: no two pixels are alike."""
    generator = np.random.default_rng(8)
    sides = {"VIS": 200, "Y": 66, "J": 66, "H": 66}
    return {band: generator.normal(size=(side, side)).astype("float32") for band, side in sides.items()}


def network_input(frames, crop):
    settings = PixelSettings(mix="bands", crop=crop, bin=1)
    return linear_channels(frames, settings, dict.fromkeys(BANDS, 1.0))[np.newaxis]


def original_pixels(frames, crop):
    """The NISP pixels whose centres lie on pixels of the crop, straight from the frames: (n, n, 3)."""
    start = (200 - crop) // 2
    inside = [k for k in range(66) if start <= 2 + 3 * k < start + crop]
    return np.stack([frames[band][np.ix_(inside, inside)] for band in BANDS[1:]], axis=-1)


def seen_by(model, *layer_names):
    import keras

    return keras.Model(model.input, [model.get_layer(name).output for name in layer_names])


def turned(array, quarters, mirrored):
    """One of the eight flips and rotations of (batch, rows, columns, channels)."""
    array = np.rot90(array, quarters, axes=(1, 2))
    return np.ascontiguousarray(array[:, :, ::-1] if mirrored else array)


@pytest.mark.parametrize("crop", CROPS)
def test_nisp_layers_give_back_the_original_pixels(frames, crop):
    model = build_model("wide_cnn", crop, 4)
    vis, nisp = seen_by(model, "vis_band", "nisp_pixels")(network_input(frames, crop))
    np.testing.assert_array_equal(nisp[0], original_pixels(frames, crop))
    start = (200 - crop) // 2
    np.testing.assert_array_equal(vis[0, :, :, 0], frames["VIS"][start : start + crop, start : start + crop])


def test_every_even_crop_is_symmetric():
    for crop in range(16, 201, 2):
        centres = np.arange(bands.first_centre(crop), crop, 3)
        assert centres[0] == crop - 1 - centres[-1], crop
        assert all((centre + (200 - crop) // 2) % 3 == 2 for centre in centres), crop


@pytest.mark.parametrize("crop", CROPS)
def test_flips_and_rotations_of_the_input_are_those_of_both_instruments(frames, crop):
    see = seen_by(build_model("wide_cnn", crop, 4), "vis_band", "nisp_pixels")
    image = network_input(frames, crop)
    plain = [np.asarray(array) for array in see(image)]
    for quarters, mirrored in itertools.product(range(4), (False, True)):
        for found, before in zip(see(turned(image, quarters, mirrored)), plain, strict=True):
            np.testing.assert_array_equal(found, turned(before, quarters, mirrored))


def test_both_branches_begin_with_their_own_pixels(frames):
    crop = 200
    model = build_model("efficientnet_lite0", crop, 4, two_branches=True)
    vis, nisp = seen_by(model, "vis_band", "nisp_pixels")(network_input(frames, crop))
    assert vis.shape == (1, crop, crop, 1)
    np.testing.assert_array_equal(nisp[0], original_pixels(frames, crop))
    for branch, source in (("vis_", "vis_band"), ("nisp_", "nisp_pixels")):
        stem = model.get_layer(f"{branch}stem_conv")
        assert stem.input is model.get_layer(source).output
    assert model.get_layer("head_vis_average3").output.shape == (None, 40)
    assert model.get_layer("head_features").output.shape == (None, 2 * 2 * (40 + 80 + 112 + 192 + 1280))


@pytest.mark.parametrize("crop", CROPS)
def test_wide_cnn_reduces_vis_to_the_pixels_of_nisp(frames, crop):
    model = build_model("wide_cnn", crop, 4)
    kernel, bias = (np.zeros_like(array) for array in model.get_layer("vis_conv").get_weights())
    # filter 0: the sum over the 3 x 3 VIS pixels in the middle; filter 1: one pixel at the rim of the window
    kernel[2:5, 2:5, 0, 0] = 1
    kernel[0, 6, 0, 1] = 1
    model.get_layer("vis_conv").set_weights([kernel, bias])
    vis, nisp = seen_by(model, "vis_conv", "nisp_conv")(np.abs(network_input(frames, crop)))
    assert vis.shape[:3] == nisp.shape[:3]
    start = (200 - crop) // 2
    frame = np.zeros((206, 206), dtype="float32")
    middle = slice(start + 3, start + 3 + crop)
    frame[middle, middle] = np.abs(frames["VIS"])[start : start + crop, start : start + crop]
    centres = [3 + 2 + 3 * k for k in range(66) if start <= 2 + 3 * k < start + crop]
    sums = sum(frame[np.ix_(np.add(centres, i), np.add(centres, j))] for i in (-1, 0, 1) for j in (-1, 0, 1))
    np.testing.assert_allclose(vis[0, :, :, 0], sums, rtol=1e-5)
    np.testing.assert_allclose(vis[0, :, :, 1], frame[np.ix_(np.subtract(centres, 3), np.add(centres, 3))], rtol=1e-6)


def test_wide_cnn_of_the_whole_frame():
    shapes = {layer.name: layer.output.shape[1:] for layer in build_model("wide_cnn", 200, 4).layers}
    assert shapes["vis_conv"] == (66, 66, 24) and shapes["nisp_conv"] == (66, 66, 16)
    assert shapes["bands"] == (66, 66, 40)
