"""The cache holds exactly what the files hold, and nothing in place of what they lack."""

import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from fake_pack import SIGMA, fake_images, write_cutout, write_objects, write_pack

from lensfold import cutouts
from lensfold.cutouts import BadCutout, Cache, background_sigma, build_cache, object_ids, read_cutout, split_bands
from lensfold.errors import InputError
from lensfold.paths import BAND_SHAPES, BANDS, cutout_file

IDS = [200001, 200002, 200003, 200004, 200005]


@pytest.fixture
def split_folder(tmp_path):
    write_objects(tmp_path / "train", IDS, [True, False] * 2 + [True], seed=1)
    return tmp_path / "train"


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_equal_the_files_in_any_order(split_folder, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(cutouts, "SHARD_ROWS", 2)
    seen = []
    build_cache(
        split_folder, tmp_path / "cache", workers=workers, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
    wanted = [200004, 200001, 200005]
    with Cache(tmp_path / "cache") as cache:
        assert cache.ids.tolist() == IDS
        rows = cache.read(wanted)
    for object_id, row in zip(wanted, rows, strict=True):
        for band, image in split_bands(row).items():
            assert image.dtype == np.float32
            np.testing.assert_array_equal(image, fits.getdata(cutout_file(split_folder, band, object_id)))


def test_sigma_is_that_of_the_background(split_folder, tmp_path):
    manifest = build_cache(split_folder, tmp_path / "cache")
    for band in BANDS:
        assert manifest["sigma"][band] == pytest.approx(SIGMA[band], rel=0.05)


def test_background_sigma_ignores_the_galaxy():
    image = fake_images(np.random.default_rng(0), True)["VIS"]
    assert background_sigma(image, 20) == pytest.approx(SIGMA["VIS"], rel=0.03)


def damage(path, kind):
    """Spoil one file in one way."""
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:60000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a FITS file " * 1000)
    elif kind == "BITPIX":
        fits.PrimaryHDU(np.ones(BAND_SHAPES["VIS"], dtype=">i2")).writeto(path, overwrite=True)
    elif kind == "all NaN":
        write_cutout(path, np.full(BAND_SHAPES["VIS"], np.nan))
    elif kind == "one NaN":
        image = np.ones(BAND_SHAPES["VIS"], dtype=np.float32)
        image[3, 4] = np.nan
        write_cutout(path, image)
    elif kind == "missing":
        path.unlink()


REASONS = {"truncated": "not readable as FITS", "empty": "not readable as FITS", "text": "not readable as FITS",
           "BITPIX": "BITPIX is 16, expected -32", "all NaN": "40000 of 40000 pixels are not finite",
           "one NaN": "1 of 40000 pixels are not finite", "missing": "no such file"}  # fmt: skip


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_file_stops_the_build_and_leaves_nothing(split_folder, tmp_path, kind):
    path = cutout_file(split_folder, "VIS", 200003)
    damage(path, kind)
    with pytest.raises(InputError) as error:
        build_cache(split_folder, tmp_path / "made" / "cache")
    for word in ("200003", path.name, REASONS[kind], "--skip-bad"):
        assert word in str(error.value)
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_object_is_left_out_and_listed_on_request(split_folder, tmp_path, kind):
    damage(cutout_file(split_folder, "VIS", 200003), kind)
    manifest = build_cache(split_folder, tmp_path / "cache", skip_bad=True)
    assert list(manifest["refused"]) == ["200003"]
    assert REASONS[kind] in manifest["refused"]["200003"]
    with Cache(tmp_path / "cache") as cache:
        assert cache.ids.tolist() == [200001, 200002, 200004, 200005]
        with pytest.raises(KeyError):
            cache.read([200003])


def test_another_shape_names_file_found_and_expected(split_folder, tmp_path):
    path = cutout_file(split_folder, "Y", 200002)
    write_cutout(path, np.ones((64, 66)))
    with pytest.raises(InputError, match=r"imageEUC_Y-200002\.fits: image shape is \(64, 66\), expected \(66, 66\)"):
        build_cache(split_folder, tmp_path / "cache", skip_bad=True)
    assert not (tmp_path / "cache").exists()


def test_catalog_and_files_must_agree(split_folder, tmp_path):
    with pytest.raises(InputError) as error:
        build_cache(split_folder, tmp_path / "cache", expected_ids=[*IDS[1:], 200009])
    assert "200001: has files, but no catalog row" in str(error.value)
    assert "200009: in the catalog, but no file" in str(error.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no cutouts found"):
        object_ids(tmp_path)


def test_names_that_are_not_cutouts_are_ignored(split_folder):
    folder = split_folder / "Public" / "EUC_VIS"
    for name in ("imageEUC_VIS-abc.fits", "imageEUC_Y-300000.fits", ".imageEUC_VIS-1.fits", "notes.txt"):
        (folder / name).write_text("x")
    assert object_ids(split_folder) == IDS


def test_read_cutout_of_an_absent_file(tmp_path):
    with pytest.raises(BadCutout, match="no such file"):
        read_cutout(tmp_path / "a.fits", "VIS")


def test_a_shortened_shard_is_named_not_read(split_folder, tmp_path):
    build_cache(split_folder, tmp_path / "cache")
    shard = tmp_path / "cache" / "shard-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-4])
    with Cache(tmp_path / "cache") as cache, pytest.raises(InputError, match=r"shard-00000\.npy: \d+ bytes, expected"):
        cache.read([200001])


def test_a_damaged_manifest_is_named(split_folder, tmp_path):
    build_cache(split_folder, tmp_path / "cache")
    (tmp_path / "cache" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: damaged"):
        Cache(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(InputError, match="no cache here yet"):
        Cache(tmp_path / "cache")


def test_a_second_build_gives_the_same_bytes(tmp_path):
    pack = write_pack(tmp_path / "fake", n_train=10, n_test=2)
    first = build_cache(pack.split_folder("train"), tmp_path / "cache")
    again = build_cache(pack.split_folder("train"), tmp_path / "cache", workers=2)
    assert json.dumps(first) == json.dumps(again)
