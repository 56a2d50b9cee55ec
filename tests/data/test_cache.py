"""The cache holds exactly what the files hold, and nothing in place of what they lack."""

import json
import os
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from fakes.attacks import KINDS, put_special, within
from fakes.pack import SIGMA, fake_images, write_cutout, write_objects, write_pack

from lensfold.data import cache_build, sources
from lensfold.data.cache import (
    BadCutout,
    Cache,
    background_sigma,
    central,
    central_rows,
    read_sources,
    split_bands,
    stage_cache,
    verify_cache,
)
from lensfold.data.cache_build import (
    Build,
    build_cache,
    building_folder,
)
from lensfold.data.cache_repair import rebuild_damaged
from lensfold.data.sources import FolderSource, compare_folder, object_ids, read_cutout
from lensfold.errors import InputError
from lensfold.frames import BAND_SHAPES, BANDS, band_shapes
from lensfold.paths import cutout_file


class KilledSource(FolderSource):
    """Ends the process that reads from it, as the kernel does when memory runs out."""

    def fingerprint(self, ids):
        os.kill(os.getpid(), signal.SIGKILL)


IDS = [200001, 200002, 200003, 200004, 200005]


@pytest.fixture
def split_folder(tmp_path):
    write_objects(tmp_path / "train", IDS, [True, False] * 2 + [True], seed=1)
    return tmp_path / "train"


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_equal_the_files_in_any_order(split_folder, tmp_path, monkeypatch, workers):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 2)
    seen = []
    build_cache(
        split_folder,
        Build(tmp_path / "cache", workers=workers, progress=lambda done, total: seen.append((done, total))),
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
    manifest = build_cache(split_folder, Build(tmp_path / "cache"))
    for band in BANDS:
        assert manifest["sigma"][band] == pytest.approx(SIGMA[band], rel=0.05)


def test_background_sigma_ignores_the_galaxy():
    image = fake_images(np.random.default_rng(0), True)["VIS"]
    assert background_sigma(image) == pytest.approx(SIGMA["VIS"], rel=0.03)


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
    elif kind == "many NaN":
        image = fits.getdata(path)
        image[:20] = np.nan
        write_cutout(path, image)
    elif kind == "constant":
        write_cutout(path, np.ones(BAND_SHAPES["VIS"]))
    elif kind == "swapped":
        write_cutout(path, fits.getdata(path).astype(np.float32).byteswap())
    elif kind == "missing":
        path.unlink()


REASONS = {"truncated": "not readable as FITS", "empty": "not readable as FITS", "text": "not readable as FITS",
           "BITPIX": "BITPIX is 16, expected -32", "all NaN": "40000 of 40000 pixels are bad (40000 not finite)",
           "many NaN": "4000 of 40000 pixels are bad", "constant": "40000 of 40000 pixels are bad",
           "swapped": "byte-swapped", "missing": "no such file"}  # fmt: skip


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_file_stops_the_build_and_leaves_nothing(split_folder, tmp_path, kind):
    path = cutout_file(split_folder, "VIS", 200003)
    damage(path, kind)
    with pytest.raises(InputError) as error:
        build_cache(split_folder, Build(tmp_path / "made" / "cache"))
    for word in ("200003", path.name, REASONS[kind], "--skip-bad"):
        assert word in str(error.value)
    assert [path.name for path in (tmp_path / "made").iterdir()] == [".building-cache"]


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_object_is_left_out_and_listed_on_request(split_folder, tmp_path, kind):
    damage(cutout_file(split_folder, "VIS", 200003), kind)
    manifest = build_cache(split_folder, Build(tmp_path / "cache", skip_bad=True))
    assert list(manifest["refused"]) == ["200003"]
    assert REASONS[kind] in manifest["refused"]["200003"]
    with Cache(tmp_path / "cache") as cache:
        assert cache.ids.tolist() == [200001, 200002, 200004, 200005]
        with pytest.raises(KeyError):
            cache.read([200003])


@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize(
    ("band", "shape"), [("VIS", (300, 300)), ("VIS", (100, 100)), ("Y", (64, 66)), ("Y", (32, 32))]
)
def test_another_shape_is_that_of_a_bad_object(split_folder, tmp_path, place, band, shape):
    path = cutout_file(split_folder, band, IDS[place])
    write_cutout(path, np.random.default_rng(0).standard_normal(shape))
    message = re.escape(f"{path}: image shape is {shape}, expected ")
    with pytest.raises(InputError, match=f"1 objects cannot be used:\n  {IDS[place]}: {message}"):
        build_cache(split_folder, Build(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
    manifest = build_cache(split_folder, Build(tmp_path / "cache", skip_bad=True))
    assert manifest["objects"] == 4 and re.match(message, manifest["refused"][str(IDS[place])])


def test_frames_of_other_shapes_alone_are_no_pack(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "ODD_FRAMES", 3)
    for object_id in IDS:
        write_cutout(cutout_file(split_folder, "VIS", object_id), np.ones((64, 64)))
    with pytest.raises(InputError, match=r"^.*imageEUC_VIS-200003\.fits: image shape is \(64, 64\)"):
        build_cache(split_folder, Build(tmp_path / "cache", skip_bad=True))


def test_frames_of_ten_arcsec_are_the_middles_of_those_of_twenty(split_folder, tmp_path):
    write_objects(tmp_path / "small", IDS, [True, False] * 2 + [True], seed=1, side=100)
    for name, folder in (("large", split_folder), ("small", tmp_path / "small")):
        build_cache(folder, Build(tmp_path / name / "cache"))
    with Cache(tmp_path / "large" / "cache") as large, Cache(tmp_path / "small" / "cache") as small:
        assert (large.side, small.side) == (200, 100)
        assert small.manifest["bands"] == {band: list(shape) for band, shape in band_shapes(100).items()}
        np.testing.assert_array_equal(central_rows(large.read(IDS), 100), small.read(IDS))
        np.testing.assert_array_equal(central(split_bands(large.read(IDS))["Y"], 32), split_bands(small.read(IDS))["Y"])
        assert small.sigma == pytest.approx(large.sigma, rel=0.1)
    staged = stage_cache(tmp_path / "small" / "cache", tmp_path / "staged")
    assert not verify_cache(staged)
    (staged / "shard-00000.npy").write_bytes(b"")
    assert verify_cache(staged) == {"shard-00000.npy": "0 bytes, expected 261568"}


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (BANDS, r"imageEUC_VIS-200004\.fits: image shape is \(100, 100\), expected \(200, 200\)"),
        (BANDS[1:], r"imageEUC_Y-200004\.fits: image shape is \(32, 32\), expected \(66, 66\)"),
    ],
)
def test_mixed_packs_are_refused(split_folder, tmp_path, bands, message):
    write_objects(tmp_path / "small", [200004], [True], seed=1, side=100)
    for band in bands:
        shutil.copy(cutout_file(tmp_path / "small", band, 200004), cutout_file(split_folder, band, 200004))
    both = r'.*of 200 VIS pixels \(20"\) or of 100 VIS pixels \(10"\)'
    with pytest.raises(InputError, match=message + both):
        build_cache(split_folder, Build(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("band", ["VIS", "H"])
@pytest.mark.parametrize("kind", KINDS)
def test_special_files_are_bad_objects_and_never_hang(split_folder, tmp_path, kind, band):
    path = cutout_file(split_folder, band, IDS[0])
    put_special(path, kind)
    with within(20):
        manifest = build_cache(split_folder, Build(tmp_path / "cache", skip_bad=True))
        assert compare_folder(split_folder, read_sources(tmp_path / "cache"), []).difference == ""
    what = kind.removeprefix("link to ").removeprefix("a ")
    assert manifest["refused"] == {str(IDS[0]): f"{path}: cannot be read (a {what}, not a file)"}


def test_another_side_than_that_of_the_other_splits_is_refused(split_folder, tmp_path):
    with pytest.raises(InputError, match=r'VIS frames of 200 pixels \(20"\).*other splits have 100 \(10"\)'):
        build_cache(split_folder, Build(tmp_path / "made" / "cache", side=100))
    assert not (tmp_path / "made").exists()


def test_catalog_and_files_must_agree(split_folder, tmp_path):
    with pytest.raises(InputError) as error:
        build_cache(split_folder, Build(tmp_path / "cache", expected_ids=[*IDS[1:], 200009]))
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
        read_cutout(tmp_path, "VIS", 200001)


def test_a_shortened_shard_is_named_not_read(split_folder, tmp_path):
    build_cache(split_folder, Build(tmp_path / "cache"))
    shard = tmp_path / "cache" / "shard-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-4])
    with Cache(tmp_path / "cache") as cache, pytest.raises(InputError, match=r"shard-00000\.npy: \d+ bytes, expected"):
        cache.read([200001])


def test_a_damaged_manifest_is_named(split_folder, tmp_path):
    build_cache(split_folder, Build(tmp_path / "cache"))
    (tmp_path / "cache" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: damaged"):
        Cache(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(InputError, match="no cache here yet"):
        Cache(tmp_path / "cache")


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["shards"][0]["ids"].__setitem__(0, 10**30),
        lambda manifest: manifest["shards"][0]["ids"].__setitem__(0, -1),
        lambda manifest: manifest["shards"][0]["ids"].__setitem__(0, 1.5),
        lambda manifest: manifest["refused"].update({str(10**30): "x"}),
        lambda manifest: manifest["refused"].update({"x": "x"}),
        lambda manifest: manifest["made_from"]["unread"].append(10**30),
        lambda manifest: manifest.update(objects=10**30),
        lambda manifest: manifest.pop("shards"),
    ],
)
def test_a_manifest_with_impossible_ids_is_named(split_folder, tmp_path, change):
    path = tmp_path / "cache" / "manifest.json"
    manifest = build_cache(split_folder, Build(tmp_path / "cache"))
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest\.json: damaged \("):
        Cache(tmp_path / "cache")


def test_small_gaps_are_mended_and_counted(split_folder, tmp_path):
    path = cutout_file(split_folder, "H", 200004)
    image = fits.getdata(path)
    image[10:12] = 0
    image[30, 30] = np.nan
    write_cutout(path, image)
    manifest = build_cache(split_folder, Build(tmp_path / "cache"))
    assert manifest["repaired"] == {"200004": {"H": 133}} and manifest["refused"] == {}
    with Cache(tmp_path / "cache") as cache:
        mended = split_bands(cache.read([200004])[0])["H"]
    assert np.isfinite(mended).all() and (mended != 0).all()
    np.testing.assert_array_equal(mended[40:], image[40:])


def test_a_second_build_gives_the_same_bytes(tmp_path):
    pack = write_pack(tmp_path / "fake", n_train=10, n_test=2)
    first = build_cache(pack.split_source("train"), Build(tmp_path / "cache"))
    again = build_cache(pack.split_source("train"), Build(tmp_path / "cache", workers=2))
    assert json.dumps(first) == json.dumps(again)


class Stopped(Exception):
    """Stands for whatever ends a build in the middle."""


def test_a_stopped_build_goes_on_with_what_it_had(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 2)

    def stop(done, _):
        if done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        build_cache(split_folder, Build(tmp_path / "cache", progress=stop))
    assert not (tmp_path / "cache").exists()
    read = []
    original = FolderSource.frame
    monkeypatch.setattr(FolderSource, "frame", lambda self, b, i: (read.append(i), original(self, b, i))[1])
    monkeypatch.setattr(sources, "JUDGED", 1)
    # a file of a finished shard that changed meanwhile makes that shard again
    write_objects(split_folder, [200001], [False], seed=9)
    build_cache(split_folder, Build(tmp_path / "cache"))
    assert sorted(set(read)) == [200001, 200002, 200005]
    with Cache(tmp_path / "cache") as cache:
        vis = split_bands(cache.read([200001])[0])["VIS"]
    np.testing.assert_array_equal(vis, fits.getdata(cutout_file(split_folder, "VIS", 200001)))


def test_a_killed_worker_is_an_error_not_a_hang(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 2)
    tasks = cache_build._tasks(KilledSource(split_folder), tmp_path, IDS, 0.05, 200)
    with pytest.raises(InputError, match="was killed"):
        list(cache_build._run(tasks, workers=2))


def test_verify_names_a_damaged_and_a_swapped_shard_and_rebuilds_them_alone(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 2)
    folder = tmp_path / "cache"
    build_cache(split_folder, Build(folder))
    assert verify_cache(folder) == {}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    first, second, third = (folder / f"shard-0000{number}.npy" for number in range(3))
    first.rename(tmp_path / "other")
    second.rename(first)
    (tmp_path / "other").rename(second)
    assert list(verify_cache(folder)) == [first.name, second.name]
    third.write_bytes(third.read_bytes()[:-1])
    assert "bytes, expected" in verify_cache(folder)[third.name]
    third.unlink()
    assert verify_cache(folder)[third.name] == "it is absent"
    assert rebuild_damaged(FolderSource(split_folder), folder) == [first.name, second.name, third.name]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not building_folder(folder).exists()


def test_rebuilding_from_changed_files_is_refused(split_folder, tmp_path):
    build_cache(split_folder, Build(tmp_path / "cache"))
    (tmp_path / "cache" / "shard-00000.npy").unlink()
    write_objects(split_folder, [200002], [True], seed=5)
    with pytest.raises(InputError, match="other pixels than when the cache was built"):
        rebuild_damaged(FolderSource(split_folder), tmp_path / "cache")


def test_staging_copies_once_and_mends_the_copy(split_folder, tmp_path):
    build_cache(split_folder, Build(tmp_path / "cache"))
    local = stage_cache(tmp_path / "cache", tmp_path / "local")
    shard = local / "shard-00000.npy"
    made = shard.stat().st_mtime_ns
    stage_cache(tmp_path / "cache", local)
    assert shard.stat().st_mtime_ns == made
    shard.write_bytes(shard.read_bytes()[::-1])
    stage_cache(tmp_path / "cache", local)
    assert verify_cache(local) == {}
    with Cache(local) as staged, Cache(tmp_path / "cache") as cache:
        np.testing.assert_array_equal(staged.read(IDS), cache.read(IDS))


def test_more_shards_than_open_files(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 1)
    monkeypatch.setattr("lensfold.data.cache.MOST_OPEN", 2)
    build_cache(split_folder, Build(tmp_path / "cache"))
    with Cache(tmp_path / "cache") as cache:
        rows = cache.read(IDS[::-1] * 3)
        assert len(cache._files) == 2
        np.testing.assert_array_equal(rows[:5], rows[5:10])


def test_a_cache_of_another_layout_is_named(split_folder, tmp_path):
    build_cache(split_folder, Build(tmp_path / "cache"))
    path = tmp_path / "cache" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    with pytest.raises(InputError, match="another layout"):
        Cache(tmp_path / "cache")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_in_the_middle_and_the_next_build(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 1)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with pytest.raises(InputError, match="No space left on device"):
            build_cache(split_folder, Build(disk / "cache"))
        assert not (disk / "cache").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        assert build_cache(split_folder, Build(disk / "cache"))["objects"] == 5
        assert verify_cache(disk / "cache") == {}
    finally:
        subprocess.run(["umount", disk], check=True)


def without(split_folder, *bands):
    """Take bands from all objects of a split."""
    for band in bands:
        shutil.rmtree(split_folder / "Public" / f"EUC_{band}")


@pytest.mark.parametrize("gone", [("Y", "H"), ("Y", "J", "H")])
def test_bands_that_a_pack_lacks_are_nan(split_folder, tmp_path, gone):
    without(split_folder, *gone)
    manifest = build_cache(split_folder, Build(tmp_path / "cache"))
    there = [band for band in BANDS if band not in gone]
    assert list(manifest["bands"]) == list(manifest["sigma"]) == there and manifest["objects"] == 5
    with Cache(tmp_path / "cache") as cache:
        images = split_bands(cache.read([200002])[0])
    for band in there:
        np.testing.assert_array_equal(images[band], read_cutout(split_folder, band, 200002))
    assert all(np.isnan(images[band]).all() for band in gone)
    shard = tmp_path / "cache" / "shard-00000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + b"?")
    assert rebuild_damaged(FolderSource(split_folder), tmp_path / "cache") == [shard.name]
    assert shard.read_bytes() == whole


def test_an_object_that_alone_lacks_a_band_cannot_be_used(split_folder, tmp_path):
    without(split_folder, "Y")
    cutout_file(split_folder, "J", 200003).unlink()
    with pytest.raises(InputError, match="1 objects cannot be used:\n  200003: .*EUC_J.*no such file"):
        build_cache(split_folder, Build(tmp_path / "cache"))


def test_a_pack_always_has_vis(split_folder, tmp_path):
    without(split_folder, "VIS")
    with pytest.raises(InputError, match="5 objects cannot be used:\n  200001: .*EUC_VIS.*no such file"):
        build_cache(split_folder, Build(tmp_path / "cache"))
