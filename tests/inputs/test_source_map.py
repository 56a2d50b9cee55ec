"""Maps of the source: they are where the source is in the augmented image, and empty where there is none."""

import numpy as np
import pytest
from fakes.inputs import LINEAR, OFF, Frames
from fakes.pack import SIGMA, fake_images

from lensfold.config import AugmentSettings, Experiment, PixelSettings, StageSettings
from lensfold.frames import BANDS
from lensfold.inputs.batches import Preparation
from lensfold.inputs.source_map import VISIBLE, pooled

WITHOUT = fake_images(np.random.default_rng(7), False)
#: VIS pixels from a place beside the centre, so that every move of the source shows
_DOWN, _RIGHT = np.indices((200, 200)) - np.array([60, 130])[:, None, None]
SOURCE = {band: np.zeros((66, 66), dtype=np.float32) for band in BANDS[1:]}
SOURCE["VIS"] = (20 * np.exp(-(_DOWN**2 + _RIGHT**2) / 50)).astype(np.float32)


def prepared(augment: AugmentSettings, images, twins, **pixels) -> Preparation:
    """Preparation of the object 1 and its twin, and of an object 2 without one; images in background sigmas."""
    stage = (StageSettings(min_size=20, epochs=1),)
    experiment = Experiment(pixels=PixelSettings(**pixels), augment=augment, stage=stage)
    constants = {"sigma": dict.fromkeys(BANDS, 1.0), "mean": [0.0] * 3, "scale": [1.0] * 3}
    return Preparation(Frames(images, images), experiment, constants, Frames(twins))


def in_sigmas(images):
    return {band: image / SIGMA[band] for band, image in images.items()}


@pytest.mark.parametrize(
    ("crop", "bin", "cells"), [(200, 2, 12), (200, 2, 13), (200, 4, 7), (128, 1, 16), (200, 1, 16)]
)
def test_maps_move_as_their_images(crop, bin, cells):
    """Of an image that is all source, the map is that of its own bright pixels: whatever moved and turned it."""
    nothing = {band: np.zeros_like(image) for band, image in SOURCE.items()}
    made = prepared(AugmentSettings(affine_probability=0.7), SOURCE, nothing, crop=crop, bin=bin, **LINEAR)
    images, maps = made.with_source_maps(cells, np.ones(40, dtype=np.int64), np.arange(3, 43), 1, 0, 2)
    assert maps.shape == (40, cells, cells) and maps.dtype == np.float32
    np.testing.assert_array_equal(maps, pooled(images[..., 0] > VISIBLE, cells))
    assert len({one.tobytes() for one in maps}) > 8 and maps.any(axis=(1, 2)).all()


def test_maps_are_of_the_source_alone_and_leave_the_images_as_they_are():
    """Where it is brighter than a sigma of a binned pixel, whatever lens, noise and stretch are there too."""
    without = in_sigmas(WITHOUT)
    whole = {band: without[band] + SOURCE[band] for band in BANDS}
    made = prepared(AugmentSettings(**OFF | {"noise_sigma": 0.5}), whole, without)
    call = (np.array([1, 2, -1]), np.arange(3), 1, 0, 2)
    images, maps = made.with_source_maps(12, *call)
    np.testing.assert_array_equal(images, made.augmented(*call))
    binned = 2 * SOURCE["VIS"].reshape(100, 2, 100, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(maps[0], pooled(binned[None] > VISIBLE, 12)[0])
    assert 0 < maps[0].sum() < 20
    assert not maps[1:].any()  # without a twin, and the twin itself


def test_cells_cut_off_or_reach_over_the_edge():
    shows = np.zeros((1, 100, 100), dtype=bool)
    for row, column in ((0, 0), (15, 16), (95, 8), (96, 40), (99, 99)):
        shows[0, row, column] = True
    assert np.argwhere(pooled(shows, 12)[0]).tolist() == [[0, 0], [1, 2], [11, 1]]
    assert np.argwhere(pooled(shows, 13)[0]).tolist() == [[0, 0], [1, 2], [11, 1], [12, 5], [12, 12]]
    assert np.argwhere(pooled(shows, 8)[0]).tolist() == [[0, 0], [1, 1], [7, 0]]  # of four NISP pixels
