"""Looking at a pack, checking its cache and folds, and importing real cutouts, as a user does it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fakes.euclid import mer_hdus, written
from fakes.workspace import PROJECT, environment, lensfold
from PIL import Image
from typer.testing import CliRunner

from lensfold.cli.main import app
from lensfold.errors import InputError

PACK = ("--pack", "fake")
REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))


def test_look_and_show_print_the_pictures_they_made(fake_workspace):
    for command in (("look",), ("show", "200001", "200002")):
        done = lensfold(fake_workspace, *command, *PACK)
        for line in done.stdout.split():
            assert np.asarray(Image.open(fake_workspace / line)).std() > 10
    assert len(list((fake_workspace / "data" / "fake" / "look" / "train").iterdir())) == 5


def test_show_names_an_unknown_id(fake_workspace):
    done = lensfold(fake_workspace, "show", "7", *PACK, check=False)
    assert done.returncode == 1 and "7" in done.stderr and "Traceback" not in done.stderr


def test_verify_names_a_damaged_shard_and_builds_it_again(workspace):
    cache = ("verify", "--split", "train", *PACK)
    shard = workspace / "data" / "fake" / "cache" / "train" / "shard-00000.npy"
    assert "every shard is as it was written" in lensfold(workspace, *cache).stdout
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5000] + b"\1" + whole[5001:])
    done = lensfold(workspace, *cache, check=False)
    assert done.returncode == 1 and "shard-00000.npy: its content differs" in done.stdout
    assert "1 shards built again" in lensfold(workspace, *cache, "--rebuild").stdout
    assert shard.read_bytes() == whole


def test_folds_check_shows_strata_and_writes_nothing(workspace):
    file = workspace / "folds" / "fake.csv"
    before = file.stat().st_mtime_ns
    done = lensfold(workspace, "folds", "--check", *PACK)
    assert "objects by stratum" in done.stdout and "fold 2" in done.stdout and file.stat().st_mtime_ns == before
    file.write_text(file.read_text().replace("200003,", "200999,"))
    assert "200999" in lensfold(workspace, "folds", "--check", *PACK, check=False).stderr


def test_a_staged_cache_trains_the_same(workspace, trained_workspace):
    options = (*PACK, "--experiment", "tiny")
    lensfold(workspace, "run", "train", "--fold", "0", *options, "--stage", str(workspace / "local"))
    run = Path("runs") / "fake" / "tiny" / "fold0" / "oof.csv"
    assert (workspace / run).read_bytes() == (trained_workspace / run).read_bytes()
    assert (workspace / "local" / "fake" / "train" / "manifest.json").is_file()


def test_commands_on_cutouts_without_labels(tmp_path, monkeypatch):
    """What needs no label works by itself, under a name with a space too; the rest says what they are good for."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        written(Path("cut outs") / f"{name}.fits", mer_hdus((210, 210)))
    place = ("--data", "my data/my cuts")

    def said(*command):
        done = CliRunner().invoke(app, [*command, *place])
        return done.output or str(done.exception)

    done = CliRunner().invoke(app, ["import-euclid", "cut outs", "--out", "my data/my cuts", "--workers", "1"])
    assert "make rank DATA='my data/my cuts'\n" in done.output
    assert "cache my_cuts test: 2 objects" in (first := said("look")) and "data/my_cuts/look/test/contact.png" in first
    shown = said("show", "a", "b").splitlines()
    assert [Path(line).exists() for line in shown] == [True] * 3
    assert "cache my_cuts test: 2 objects" in said("cache")
    assert "cache my_cuts test: every shard is as it was written" in said("verify", "--deep")
    cannot = "cutouts without labels, which can be ranked, not trained on: make rank DATA='my data/my cuts'."
    for command in (["verify", "--split", "train"], ["look", "--split", "train"], ["report"], ["grade"]):
        assert cannot in said(*command), command
    assert "it has no labels: `make rank` ranks it" in " ".join(said("leaderboard").split())
    text = Path("submissions/my_cuts/README.md").read_text()
    assert "**Pack**: my_cuts, cutouts without labels: scores are those of" in text


def test_pictures_of_a_pack_say_what_was_left_out(workspace):
    file = workspace / "data" / "fake" / "test" / "Public" / "EUC_Y" / "imageEUC_Y-200003.fits"
    file.unlink()
    shutil.rmtree(workspace / "data" / "fake" / "cache" / "test")
    look = ("look", "--split", "test", *PACK)
    assert "with SKIP_BAD=1" in lensfold(workspace, *look, check=False).stderr
    lines = lensfold(workspace, *look, "--skip-bad").stdout.splitlines()
    assert "  left out 200003: data/fake/test/Public/EUC_Y/imageEUC_Y-200003.fits: no such file" in lines


def test_an_import_says_what_it_made_skipped_and_doubts(tmp_path, monkeypatch):
    """Its exit status is 1 where anything was skipped, which is done after all the rest."""
    monkeypatch.chdir(tmp_path)
    for side, name in ((210, "a"), (210, "b"), (120, "c")):
        written(Path("cutouts") / f"{name}.fits", mer_hdus((side, side)))
    Path("cutouts/d.fits").write_text("no FITS")
    done = CliRunner().invoke(app, ["import-euclid", "cutouts", "--out", "data/mine", "--workers", "1"])
    assert done.exit_code == 1 and done.exception.args == (1,)
    for words in (
        '2 objects of 20", VIS + Y + J + H in data/mine',
        '1 objects of 10", VIS + Y + J + H in data/mine-10',
        "warning: data/mine: the noise is VIS",
        "skipped 1, listed in data/mine/skipped.csv: they are in no pack and get no score",
        "1 x cutouts/d.fits: not readable as a FITS image",
        "make rank DATA=data/mine-10\n",
    ):
        assert words in done.stdout, words
    assert len(list(Path("data").rglob("look/import-*.png"))) == 3
    for number in ("vis:24", "vis=x", "vis=99", "g=24", "vis=nan"):
        done = CliRunner().invoke(app, ["import-euclid", "cutouts", "--out", "data/mine", "--magzero", number])
        assert isinstance(done.exception, InputError) and f"--magzero '{number}'" in str(done.exception)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_a_real_cutout_from_import_to_submission(trained):
    source = REAL / "mer" / "EUC_MER_example_300px.fits"
    done = lensfold(trained, "import-euclid", str(source), "--out", "data/euclid")
    assert '1 objects of 20", VIS + Y + J + H in data/euclid' in done.stdout
    assert "make rank DATA=data/euclid" in done.stdout
    (picture,) = (trained / "data" / "euclid" / "look").iterdir()
    assert np.asarray(Image.open(picture)).std() > 10
    lensfold(trained, "run", "predict", "--data", "data/euclid", "--trained-on", "fake")
    (row,) = (trained / "submissions" / "euclid" / "default.csv").read_text().splitlines()
    assert 0 <= float(row.split(",")[1]) <= 1


def test_a_refused_object_is_in_the_submission_with_its_score_and_reason(trained):
    for band in ("VIS", "Y"):
        file = trained / "data" / "fake" / "test" / "Public" / f"EUC_{band}" / f"imageEUC_{band}-200003.fits"
        file.write_bytes(file.read_bytes()[:9000])
    shutil.rmtree(trained / "data" / "fake" / "cache" / "test")
    done = lensfold(trained, "run", "predict", *PACK, "--skip-bad")
    assert "200003: score 0, because" in done.stdout and "not readable as FITS" in done.stdout
    manifest = json.loads((trained / "submissions" / "fake" / "default.json").read_text())
    assert manifest["refused"]["200003"]["score"] == 0 and "imageEUC_VIS" in manifest["refused"]["200003"]["reason"]


def test_a_pack_as_archives_gives_the_same_folds_and_caches(workspace):
    pack = workspace / "data" / "fake"
    for split in ("train", "test"):
        subprocess.run(
            ["tar", "-czf", pack / f"datapack2.0{split}.tar.gz", "-C", pack / split, "Public"],
            check=True,
            env=environment(),
        )
        shutil.rmtree(pack / split)
        manifest = json.loads((pack / "cache" / split / "manifest.json").read_text())
        shutil.rmtree(pack / "cache" / split)
        done = lensfold(workspace, "cache", "--split", split, *PACK)
        assert f"cache fake {split}: " in done.stdout
        found = json.loads((pack / "cache" / split / "manifest.json").read_text())
        assert found.pop("made_from")["kind"] == "archive" and manifest.pop("made_from")["kind"] == "folder"
        assert found.pop("seal") != manifest.pop("seal") and found == manifest
