"""A result is bound to what it was made from: other files under the same name never get the old result.

Each of these went wrong once: an old score stood under a new object, or nothing was noticed.
"""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.euclid import mer_hdus, written
from fakes.pack import fake_images, write_cutout, write_objects
from fakes.workspace import lensfold

from lensfold.data.catalog import labels, read_catalog
from lensfold.frames import BANDS
from lensfold.paths import Workspace, cutout_file

PACK = ("--pack", "fake")
EVERYTHING = ("run", "folds", "cache", "train", "predict", *PACK)
LONG_AGO = 1_000_000_000


def scores(workspace: Path, pack: str = "fake", name: str = "default") -> pd.Series:
    """The submission's score of each ID."""
    return pd.read_csv(workspace / "submissions" / pack / f"{name}.csv", header=None, index_col=0)[1]


def manifest(workspace: Path, pack: str = "fake") -> dict:
    return json.loads((workspace / "submissions" / pack / "default.json").read_text())


def made_old(path: Path) -> None:
    """Give a file, or all files of a folder, a time long before everything else, as `cp -p`, `tar x` and `mv` may."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.utime(file, (LONG_AGO, LONG_AGO))


def replace_old(path: Path, content: bytes) -> None:
    """Put another file, with an older time, in the place of one."""
    other = path.with_name("other")
    other.write_bytes(content)
    made_old(other)
    other.replace(path)


def refused(workspace: Path, *arguments: str) -> str:
    done = lensfold(workspace, *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def submitted_once(trained_workspace, tmp_path_factory) -> Path:
    """A workspace with a submission. Copy it before writing there."""
    workspace = tmp_path_factory.mktemp("submitted") / "w"
    shutil.copytree(trained_workspace, workspace)
    lensfold(workspace, *EVERYTHING)
    return workspace


@pytest.fixture
def submitted(submitted_once, tmp_path) -> Path:
    """A fresh copy of ``submitted_once``."""
    shutil.copytree(submitted_once, tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture(scope="module")
def machine_once(fitted_workspace, tmp_path_factory) -> Path:
    """A workspace with a submission of a kernel machine. Copy it before writing there."""
    workspace = tmp_path_factory.mktemp("machine") / "w"
    shutil.copytree(fitted_workspace, workspace)
    (workspace / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "kernel"\n')
    lensfold(workspace, *EVERYTHING)
    return workspace


@pytest.fixture
def machine(machine_once, tmp_path) -> Path:
    """A fresh copy of ``machine_once``: what decides is the same for all learners, and this one is fitted at once."""
    shutil.copytree(machine_once, tmp_path / "w")
    return tmp_path / "w"


def test_nothing_left_to_do_changes_nothing(submitted):
    lensfold(submitted, *EVERYTHING)  # the copied files are looked at once
    before = {path: path.stat().st_mtime_ns for path in submitted.rglob("*") if path.is_file()}
    out = lensfold(submitted, *EVERYTHING).stdout
    assert "is up to date" in out and "epoch" not in out and "predict:" not in out
    after = {path: path.stat().st_mtime_ns for path in submitted.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path) and path.suffix != ".lock"} == set()


def test_nothing_left_to_do_reads_no_catalog_and_no_cutout(submitted, monkeypatch):
    time.sleep(2.1)  # until the copied files are old enough for their times to be trusted
    lensfold(submitted, *EVERYTHING)
    for name in ("lensfold.data.catalog.read_catalog", "lensfold.data.sources._read"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("read again"))
    assert "is up to date" in lensfold(submitted, *EVERYTHING).stdout


# ---- another pack under the same name


def test_an_import_repeated_with_overwrite_is_another_pack(trained):
    """The old objects' scores came out under the new ones' IDs, and a third object got no row.

    Names and places on the sky are the same, and so the IDs are: the pixels are others.
    """
    for name, seed in (("a1", 0), ("a2", 10), ("b1", 20), ("b2", 30), ("b3", 40)):
        written(trained / name[0] / f"cutout_{name[1]}.fits", mer_hdus(seed=seed))
    predict = ("run", "predict", "--data", "data/m", "--trained-on", "fake")
    lensfold(trained, "import-euclid", *map(str, sorted((trained / "a").glob("*"))), "--out", "data/m")
    lensfold(trained, *predict)
    before = scores(trained, "m")
    lensfold(trained, "import-euclid", *map(str, sorted((trained / "b").glob("*"))), "--out", "data/m", "--overwrite")
    assert (
        "differ" in lensfold(trained, "explain-submission", "submissions/m/default.csv", "--verify", check=False).stdout
    )
    out = lensfold(trained, *predict).stdout
    assert "cache m test is built again" in out
    after = scores(trained, "m")
    assert len(before) == 2 and len(after) == 3 and (after[before.index] != before).all()


def test_two_folders_of_one_name_are_refused_with_both(trained, tmp_path):
    """Both shared one cache, and the second got the first one's scores."""
    for place, seed in (("north", 1), ("south", 2)):
        write_objects(tmp_path / place / "cutouts", [200001, 200002], [True, False], seed)
    north, south = (str(tmp_path / place / "cutouts") for place in ("north", "south"))
    lensfold(trained, "run", "predict", "--data", north, "--trained-on", "fake")
    before = scores(trained, "cutouts")
    message = refused(trained, "run", "predict", "--data", south, "--trained-on", "fake")
    assert north in message and south in message and "PACK=<name>" in message
    assert scores(trained, "cutouts").equals(before)
    lensfold(trained, "run", "predict", "--data", south, "--pack", "southern", "--trained-on", "fake")
    assert (scores(trained, "southern") != before).all()
    shutil.move(tmp_path / "north", tmp_path / "moved")  # the same files in another place are the same pack
    lensfold(trained, "run", "predict", "--data", str(tmp_path / "moved" / "cutouts"), "--trained-on", "fake")
    assert scores(trained, "cutouts").equals(before)


def test_a_whole_pack_moved_in_with_its_own_cache(machine, fake_workspace):
    """Its cache is right for it, so only the hashes that runs keep can tell."""
    other = machine / "data" / "other"
    shutil.copytree(fake_workspace / "data" / "fake", other, ignore=shutil.ignore_patterns("cache"))
    for split in ("train", "test"):
        for object_id in sorted(int(p.stem.split("-")[1]) for p in (other / split / "Public" / "EUC_VIS").iterdir()):
            write_objects(other / split, [object_id], [False], seed=77)
    lensfold(machine, "run", "folds", "cache", "--pack", "other")
    shutil.move(machine / "data" / "fake", machine / "data" / "away")
    shutil.move(other, machine / "data" / "fake")
    made_old(machine / "data" / "fake")
    before = scores(machine)
    out = lensfold(machine, *EVERYTHING).stdout
    assert out.count("4 settings tried") == 3 and (scores(machine) != before).all()


# ---- labels


def test_edited_labels_train_and_score_again(machine):
    """Nothing was trained again, and the new submission printed the old labels' AUC."""
    path = machine / "data" / "fake" / "image_catalog2.0train.csv"
    catalog, lines = read_catalog(path), path.read_text().splitlines()
    lenses = set(catalog.index[labels(catalog, "official-2020") == 1][::2])
    column = lines[next(n for n, line in enumerate(lines) if line.startswith(",ID"))].split(",").index("mag_eff")
    for number, line in enumerate(lines):
        cells = line.split(",")
        if len(cells) == 27 and cells[1] not in ("", "ID") and int(float(cells[1])) in lenses:
            cells[column] = "1.1"
            lines[number] = ",".join(cells)
    replace_old(path, ("\n".join(lines) + "\n").encode())
    before = manifest(machine)
    done = lensfold(machine, "explain-submission", "submissions/fake/default.csv", "--verify", check=False)
    assert done.returncode == 1 and "labels of kernel" in done.stdout
    assert "trained on other labels" in refused(machine, "score", "--experiment", "kernel", *PACK)
    assert "other catalog" in lensfold(machine, "leaderboard", *PACK).stdout.replace("another", "other")
    out = lensfold(machine, *EVERYTHING).stdout
    assert out.count("4 settings tried") == 3
    after = manifest(machine)
    assert after["scores"][-1]["n_lenses"] == before["scores"][-1]["n_lenses"] - len(lenses)
    assert after["members"]["kernel"]["config"]["labels_hash"] != before["members"]["kernel"]["config"]["labels_hash"]


# ---- older times


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    replace_old(path, text.replace(old, new).encode())


def test_an_older_experiment_trains_again(submitted):
    edited(submitted / "experiments" / "tiny.toml", "dropout = 0.3", "dropout = 0.1")
    out = lensfold(submitted, *EVERYTHING).stdout
    assert out.count("epoch  4/4") == 3


def test_an_older_submission_file_writes_it_again(submitted):
    replace_old(submitted / "submissions" / "default.toml", b'digits = 3\n[[member]]\nexperiment = "tiny"\n')
    before = (submitted / "submissions/fake/default.csv").read_bytes()
    out = lensfold(submitted, *EVERYTHING).stdout
    assert "epoch" not in out and (submitted / "submissions/fake/default.csv").read_bytes() != before


def test_older_fold_settings_make_other_folds(machine):
    before = (machine / "folds" / "fake.csv").read_bytes()
    replace_old(machine / "folds" / "folds.toml", b"k = 3\nseed = 9\n")
    out = lensfold(machine, *EVERYTHING).stdout
    assert (machine / "folds" / "fake.csv").read_bytes() != before and out.count("4 settings tried") == 3


def test_an_older_catalog_is_read(machine):
    """One object less: its files are not of the catalog any more."""
    path = machine / "data" / "fake" / "image_catalog2.0train.csv"
    lines = path.read_text().splitlines()
    replace_old(path, ("\n".join(lines[:-1]) + "\n").encode())
    assert "has files, but no catalog row with images" in refused(machine, *EVERYTHING)
    assert manifest(machine)["scores"][-1]["n"] == 60
    lensfold(machine, *EVERYTHING, "--skip-bad")
    assert manifest(machine)["scores"][-1]["n"] == 59


def test_a_submission_made_elsewhere_is_made_again(machine, tmp_path):
    """The CSV, or it and its manifest, copied from runs on other folds, with their times."""
    shutil.copytree(machine, tmp_path / "elsewhere")
    trained = tmp_path / "elsewhere"
    (trained / "folds" / "folds.toml").write_text("k = 3\nseed = 9\n")
    lensfold(trained, *EVERYTHING)
    own = (machine / "submissions/fake/default.csv").read_bytes()
    assert (trained / "submissions/fake/default.csv").read_bytes() != own
    for files in (("default.csv",), ("default.csv", "default.json")):
        for file in files:
            shutil.copy2(trained / "submissions/fake" / file, machine / "submissions/fake" / file)
        lensfold(machine, *EVERYTHING)
        assert (machine / "submissions/fake/default.csv").read_bytes() == own
    shutil.copy2(trained / "submissions/fake/default.csv", machine / "submissions/fake/default.csv")
    assert "is not the file that its manifest describes" in refused(machine, "grade", *PACK)


# ---- the split folders


def vis(workspace: Path, object_id: int) -> Path:
    return cutout_file(workspace / "data" / "fake" / "test", "VIS", object_id)


def test_a_cutout_replaced_in_place_is_scored_anew(submitted):
    """The same size, an older time."""
    before, path = scores(submitted), vis(submitted, 200003)
    write_cutout(path, fake_images(np.random.default_rng(5), True)["VIS"])
    made_old(path)
    done = lensfold(submitted, "explain-submission", "submissions/fake/default.csv", "--verify", check=False)
    assert done.returncode == 1 and "test files" in done.stdout and path.name in done.stdout.replace("\n", "")
    out = lensfold(submitted, *EVERYTHING).stdout
    assert "cache fake test is built again" in out and path.name in out and "epoch" not in out
    assert scores(submitted).index[scores(submitted) != before].tolist() == [200003]


def test_a_time_alone_changes_nothing(submitted):
    made_old(submitted / "data" / "fake" / "test")
    made_old(submitted / "data" / "fake" / "image_catalog2.0train.csv")
    out = lensfold(submitted, *EVERYTHING).stdout
    assert "is built again" not in out and "is up to date" in out


def test_an_added_object_gets_its_row(submitted):
    write_objects(submitted / "data" / "fake" / "test", [200777], [True], 3)
    done = lensfold(submitted, "check-submission", "submissions/fake/default.csv", *PACK, check=False)
    assert done.returncode == 1 and "200777" in done.stdout  # 8 rows of 9 objects were called valid
    lensfold(submitted, *EVERYTHING)
    assert scores(submitted).index.tolist() == [*range(200001, 200009), 200777]


def test_a_deleted_object_loses_its_row(submitted):
    for band in BANDS:
        cutout_file(submitted / "data" / "fake" / "test", band, 200008).unlink()
    lensfold(submitted, *EVERYTHING)
    assert scores(submitted).index.tolist() == list(range(200001, 200008))


def test_an_object_mended_after_it_was_left_out_is_scored(submitted):
    before, path = scores(submitted), vis(submitted, 200003)
    good = path.read_bytes()
    path.write_bytes(good[:9000])
    assert "200003" in refused(submitted, *EVERYTHING)
    lensfold(submitted, *EVERYTHING, "--skip-bad")
    assert scores(submitted)[200003] == 0
    replace_old(path, good)
    lensfold(submitted, *EVERYTHING, "--skip-bad")
    assert scores(submitted).equals(before)


def test_a_cache_copied_from_another_pack_is_not_believed(submitted):
    other = submitted / "data" / "other"
    write_objects(other, [200001, 200002], [True, False], 8)
    lensfold(submitted, "run", "predict", "--data", str(other), "--trained-on", "fake")
    right = scores(submitted, "other")
    shutil.rmtree(other / "cache")
    (other / "cache").mkdir()
    shutil.copytree(submitted / "data" / "fake" / "cache" / "test", other / "cache" / "test")
    out = lensfold(submitted, "run", "predict", "--data", str(other), "--trained-on", "fake").stdout
    assert "cache other test is built again" in out and scores(submitted, "other").equals(right)


def test_deep_verification_reads_what_times_hide(submitted):
    """Every time and the inode as before: only reading tells."""
    time.sleep(2.1)  # until the files are old enough for their times to be trusted
    lensfold(submitted, *EVERYTHING)
    path, place = vis(submitted, 200003), Workspace(submitted)
    pack = place.pack("fake")
    table = np.load(place.cache(pack, "test") / "sources.npy")
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    stat = path.stat()
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    row = (table["id"] == 200003) & (table["band"] == 0)
    table["ctime"][row] = path.stat().st_ctime_ns  # as on a file system that keeps no such time
    np.save(place.cache(pack, "test") / "sources.npy", table)
    assert "is up to date" in lensfold(submitted, *EVERYTHING).stdout
    done = lensfold(submitted, "verify", "--split", "test", *PACK, "--deep", check=False)
    assert done.returncode == 1 and path.name in done.stdout.replace("\n", "")
    assert lensfold(submitted, "verify", "--split", "test", *PACK).returncode == 0


# ---- runs and folds from elsewhere


def test_a_fold_of_another_pack_is_trained_again(machine, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(machine, other)
    edited(other / "experiments" / "kernel.toml", "objects = 24", "objects = 20")
    lensfold(other, *EVERYTHING)
    run = machine / "runs" / "fake" / "kernel"
    before = (run / "fold1" / "oof.csv").read_bytes()
    shutil.rmtree(run / "fold1")
    shutil.copytree(other / "runs" / "fake" / "kernel" / "fold1", run / "fold1")
    assert (run / "fold1" / "oof.csv").read_bytes() != before
    out = lensfold(machine, *EVERYTHING).stdout
    assert "kernel fold 1  4 settings tried" in out and "fold 0  4 settings" not in out
    assert (run / "fold1" / "oof.csv").read_bytes() == before


def test_a_run_copied_to_another_pack_is_refused_or_trained(submitted):
    shutil.copytree(submitted / "data" / "fake", submitted / "data" / "other")
    shutil.copytree(submitted / "runs" / "fake", submitted / "runs" / "other")
    message = refused(submitted, "run", "predict", *PACK, "--trained-on", "other")
    assert "trained on pack fake" in message and "filed under pack other" in message
    out = lensfold(submitted, "leaderboard", "--pack", "other").stdout
    assert "not shown: tiny" in out and "trained on pack fake" in out
    out = lensfold(submitted, "run", "folds", "train", "--pack", "other", "--fold", "0").stdout
    assert "tiny fold 0  epoch  4/4" in out


def test_a_network_of_another_fold_is_not_used(submitted):
    run = submitted / "runs" / "fake" / "tiny"
    before = scores(submitted)
    shutil.copy2(run / "fold0" / "model.keras", run / "fold1" / "model.keras")
    assert "of another fold" in refused(submitted, "run", "predict", *PACK, "--trained-on", "fake")
    out = lensfold(submitted, *EVERYTHING).stdout
    assert "tiny fold 1  epoch  4/4" in out and scores(submitted).equals(before)


# ---- names


@pytest.mark.parametrize("name", ["`touch hacked`", "$(touch hacked)", "../../x", "a;b", "..", ".hidden", "a b"])
def test_names_cannot_lead_elsewhere(workspace, name):
    before = {path.name for path in workspace.parent.iterdir()}
    for arguments in (
        ("run", "train", *PACK, "--experiment", name),
        ("run", "predict", *PACK, "--submission", name),
        ("run", "predict", *PACK, "--trained-on", name),
        ("run", "folds", "--pack", name),
        ("score", *PACK, "--experiment", name),
        ("compare", name, "tiny", *PACK),
    ):
        message = refused(workspace, *arguments)
        assert "name" in message and "allowed" in message, (arguments, message)
    (workspace / "submissions" / "default.toml").write_text(f"[[member]]\nexperiment = {json.dumps(name)}\n")
    message = refused(workspace, "run", "predict", *PACK)
    assert "member.0.experiment" in message or "experiment name" in message
    assert not list(workspace.rglob("hacked")) and {path.name for path in workspace.parent.iterdir()} == before
