"""One job at a time: idempotent, the same bytes as the undivided step, and every ID once."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes.jobs import contents
from fakes.workspace import lensfold

from lensfold.data import cache_build
from lensfold.data.cache import Cache
from lensfold.errors import InputError
from lensfold.files import exclusive, file_sha256, sealed
from lensfold.paths import Workspace
from lensfold.pipeline import cache as steps
from lensfold.runs.logits import read_logits

PACK = ("--pack", "fake")


def job(workspace, name, check=True):
    return lensfold(workspace, "run-job", name, *PACK, check=check)


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 16 objects, so that a small pack has several."""
    monkeypatch.setattr(cache_build, "SHARD_ROWS", 16)


def test_a_cache_in_parts_is_the_cache(workspace, small_shards, monkeypatch):
    monkeypatch.setattr("lensfold.data.sources.YOUNG", 0)  # else a file's row depends on its age in seconds
    folder = workspace / "data" / "fake" / "cache" / "train"
    shutil.rmtree(folder)
    lensfold(workspace, "cache", "--split", "train", *PACK, "--workers", "1")
    whole = contents(folder, "*")
    assert len(whole) == 7
    shutil.rmtree(folder)
    for name in ("cache:train:3of3", "cache:train:1of3", "cache:train:1of3", "cache:train:2of3"):
        job(workspace, name)
        assert not folder.exists()
    job(workspace, "merge:train")
    assert contents(folder, "*") == whole
    before = (folder / "manifest.json").stat().st_mtime_ns
    job(workspace, "merge:train")
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_who_waited_for_a_cache_does_not_build_it_again(workspace):
    """Two packs of one folder have one cache, and jobs of their own."""
    place = Workspace(workspace)
    pack = place.pack("fake")
    shutil.rmtree(place.cache(pack, "test"))
    other = ("--pack", "other", "--data", str(pack.folder))
    with ThreadPoolExecutor(1) as pool:
        with exclusive(place.cache(pack, "test").with_name(".test.lock")):
            waiting = pool.submit(steps.cache_split_once, place, place.pack("other", pack.folder), "test", False, 1)
            time.sleep(0.2)
            assert not waiting.done()
            steps._cache_split(place, pack, "test", False, 1)
            made = (place.cache(pack, "test") / "manifest.json").stat().st_mtime_ns
        waiting.result()
    lensfold(workspace, "run-job", "merge:test", *other)
    assert (place.cache(pack, "test") / "manifest.json").stat().st_mtime_ns == made


def test_what_no_part_built_is_built_when_the_cache_is_put_together(workspace, small_shards):
    folder = workspace / "data" / "fake" / "cache" / "train"
    shutil.rmtree(folder)
    job(workspace, "cache:train:2of4")
    job(workspace, "merge:train")
    with Cache(folder) as cache:
        assert len(cache.ids) == 60


def test_a_bad_cutout_is_told_once_when_the_cache_is_put_together(workspace, small_shards):
    shutil.rmtree(workspace / "data" / "fake" / "cache" / "train")
    broken = next((workspace / "data" / "fake" / "train" / "Public" / "EUC_VIS").glob("*.fits"))
    broken.write_bytes(b"no image")
    for number in (1, 2):
        job(workspace, f"cache:train:{number}of2")
    failed = job(workspace, "merge:train", check=False)
    assert failed.returncode == 1 and "1 objects cannot be used" in failed.stderr
    lensfold(workspace, "run-job", "merge:train", *PACK, "--skip-bad")
    with Cache(workspace / "data" / "fake" / "cache" / "train") as cache:
        assert len(cache.ids) == 59


@pytest.mark.parametrize("change", ["lost", "doubled"])
def test_an_object_that_did_not_arrive_once_stops_the_merge(change):
    records = [{"ids": [1, 2], "refused": {}}, {"ids": [3], "refused": {"4": "broken"}}]
    cache_build._check_complete([1, 2, 3, 4], records)
    if change == "lost":
        records[1]["ids"] = []
    else:
        records[0]["ids"].append(3)
    with pytest.raises(InputError, match=r"ID 3 arrived [02] times"):
        cache_build._check_complete([1, 2, 3, 4], records)


def test_jobs_train_and_predict_the_same_bytes(trained, fake_workspace, tmp_path):
    """Without a configured run: a job brings all it needs but the jobs before it."""
    workspace = shutil.copytree(fake_workspace, tmp_path / "other")
    for fold in (1, 0, 2):
        job(workspace, f"train:tiny:{fold}")
    runs, other = workspace / "runs" / "fake" / "tiny", trained / "runs" / "fake" / "tiny"
    assert contents(runs, "fold*/oof.csv") == contents(other, "fold*/oof.csv")
    before = {path: path.stat().st_mtime_ns for path in runs.glob("fold*/*")}
    job(workspace, "train:tiny:1")
    assert {path: path.stat().st_mtime_ns for path in runs.glob("fold*/*")} == before

    for number in (3, 1, 2):
        job(workspace, f"predict:tiny:{number}of3")
    assert not list(runs.glob("fold*/test/fake.csv"))
    job(workspace, "join:tiny:3")
    job(trained, "predict:tiny:1of1")
    assert contents(runs, "fold*/test/fake.csv") == contents(other, "fold*/test/fake.csv")
    assert len(contents(runs, "fold*/test/*")) == 6 and not list(runs.glob("fold*/test/.fake-*"))
    record = json.loads((workspace / "runs" / "fake" / ".jobs" / "join:tiny:3.json").read_text())
    assert record["state"] == "done" and record["core_seconds"] >= 0 and record["host"]


@pytest.mark.parametrize("damage", ["lost", "shorter", "doubled", "of another object"])
def test_parts_that_do_not_hold_their_objects_once_are_predicted_again(fitted, damage):
    job(fitted, "predict:kernel:1of1")
    runs = fitted / "runs" / "fake" / "kernel"
    whole = contents(runs, "fold*/test/fake.csv")
    for path in runs.glob("fold*/test/fake.*"):
        path.unlink()
    for number in (1, 2):
        job(fitted, f"predict:kernel:{number}of2")
    part = next(runs.glob("fold1/test/.fake-*")) / "part-2of2.csv"
    lines = part.read_text().splitlines(keepends=True)
    changed = {
        "lost": None,
        "shorter": lines[:-1],
        "doubled": [*lines, lines[-1]],
        "of another object": [*lines[:-1], lines[-1].replace(lines[-1].split(",")[0], "999999")],
    }[damage]
    part.unlink() if changed is None else part.write_text("".join(changed))
    job(fitted, "join:kernel:2")
    assert contents(runs, "fold*/test/fake.csv") == whole


def test_more_parts_than_objects(fitted):
    for number in range(1, 11):
        job(fitted, f"predict:kernel:{number}of10")
    job(fitted, "join:kernel:10")
    assert len(read_logits(fitted / "runs" / "fake" / "kernel" / "fold0" / "test" / "fake.csv")) == 8


def test_changed_pixels_are_predicted_anew(trained):
    job(trained, "predict:tiny:1of1")
    target = trained / "runs" / "fake" / "tiny" / "fold0" / "test" / "fake.csv"
    before = read_logits(target)
    folder = trained / "data" / "fake" / "cache" / "test"
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = np.load(folder / manifest["shards"][0]["file"])
    np.save(folder / manifest["shards"][0]["file"], rows[::-1])
    manifest["shards"][0]["sha256"] = file_sha256(folder / manifest["shards"][0]["file"])
    (folder / "manifest.json").write_text(json.dumps(sealed(manifest)))
    job(trained, "predict:tiny:1of1")
    assert (read_logits(target).to_numpy() == before.to_numpy()[::-1]).all()


def test_a_job_that_cannot_be_done_says_why_and_is_remembered_as_stopped(workspace):
    failed = job(workspace, "predict:tiny:1of2", check=False)
    assert failed.returncode == 1 and "no such run" in failed.stderr
    record = json.loads((workspace / "runs" / "fake" / ".jobs" / "predict:tiny:1of2.json").read_text())
    assert record["state"] == "failed"
    shown = lensfold(workspace, "jobs", *PACK, "--experiment", "tiny", "--parts", "2").stdout
    assert "stopped" in shown
    assert "expected cache:SPLIT" in job(workspace, "train:tiny", check=False).stderr


def test_predicting_a_pack_with_runs_of_another(trained, tmp_path):
    shutil.copytree(trained / "data" / "fake", trained / "data" / "other")
    options = ("--pack", "other", "--trained-on", "fake")
    for name in ("predict:tiny:1of2", "predict:tiny:2of2", "join:tiny:2"):
        lensfold(trained, "run-job", name, *options)
    run = trained / "runs" / "fake" / "tiny" / "fold2" / "test"
    lensfold(trained, "run-job", "predict:tiny:1of1", *PACK)
    assert (run / "other.csv").read_bytes() == (run / "fake.csv").read_bytes()
    shown = lensfold(trained, "jobs", "predict", *options, "--ids").stdout
    assert shown.strip() == ""
