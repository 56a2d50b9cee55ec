"""The sheet for a page of text: forty middles in their places, coarse in colour, small on disk."""

import numpy as np
import pytest
from fakes.pack import write_pack
from PIL import Image

from lensfold.data.cache import Cache, split_bands
from lensfold.data.cache_build import Build, build_cache
from lensfold.errors import InputError
from lensfold.report.page_sheet import COLUMNS, COUNT, GAP, SIDE, STEP, page_sheet
from lensfold.report.stretch import colour


def built(tmp_path, count: int) -> Cache:
    pack = write_pack(tmp_path / "fake", n_train=count, n_test=1)
    build_cache(pack.folder / "train", Build(pack.folder / "cache"))
    return Cache(pack.folder / "cache")


def test_forty_objects_stand_in_the_order_of_their_ids(tmp_path):
    with built(tmp_path, COUNT + 2) as cache:
        path = page_sheet(tmp_path / "sheet.png", cache)
        number = 13
        tile = colour(split_bands(cache.read([200001 + number])[0]), cache.sigma)[::-1]
    with Image.open(path) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    assert shown.shape == (5 * (SIDE + GAP) - GAP, COLUMNS * (SIDE + GAP) - GAP, 3)
    top, left = (SIDE + GAP) * (number // COLUMNS), (SIDE + GAP) * (number % COLUMNS)
    part, edge = shown[top : top + SIDE, left : left + SIDE], (200 - SIDE) // 2
    difference = np.abs(part - tile[edge : edge + SIDE, edge : edge + SIDE].astype(int))
    assert np.median(difference) <= STEP / 2 and np.percentile(difference, 99) <= 2 * STEP
    assert path.stat().st_size < 300_000


def test_too_few_objects_are_said(tmp_path):
    with built(tmp_path, 3) as cache, pytest.raises(InputError, match="has 3 objects, and a sheet for a page shows 40"):
        page_sheet(tmp_path / "sheet.png", cache)
    assert not (tmp_path / "sheet.png").exists()
