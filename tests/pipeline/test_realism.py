"""Two packs side by side, and a prediction on a pack that is unlike the training pack, through the command line."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.pack import write_pack
from fakes.workspace import PROJECT, lensfold
from PIL import Image

from lensfold.paths import Workspace, cutout_file
from lensfold.pipeline import realism, statistics
from lensfold.realism.probe import LEAST

PACK = ("--pack", "fake")
REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))


def compared(workspace: Path, real: str, *options: str) -> tuple[str, dict]:
    """What the command prints of a pack beside ``fake``, and its numbers."""
    done = lensfold(workspace, "realism", "--real", real, "--simulated", "data/fake", "--workers", "1", *options)
    folder = workspace / "data" / "fake" / "look" / f"beside-{Path(real).name}"
    assert np.asarray(Image.open(folder / "realism.png")).std() > 10
    assert max(map(len, done.stdout.splitlines())) <= 100
    return done.stdout, json.loads((folder / "realism.json").read_text())


def refused(workspace: Path, *arguments: str) -> str:
    before = sorted(workspace.rglob("realism.*"))
    done = lensfold(workspace, "realism", *arguments, check=False)
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert sorted(workspace.rglob("realism.*")) == before
    return done.stderr


def test_a_pack_of_the_same_sky_looks_alike(workspace):
    write_pack(workspace / "data" / "mine", n_train=40, n_test=2, seed=30)
    out, numbers = compared(workspace, "data/mine")
    assert "10, 50 and 90 % of the objects" in out and "VIS noise correlation" in out
    assert "A probe on frozen features tells them apart with AUC" in " ".join(out.split())
    assert 0.25 < numbers["probe"]["value"] < 0.75
    assert numbers["real"] == {"pack": "mine", "split": "train", "measured": 40, "objects": 40}
    assert not any(row["far"] for row in numbers["quantities"].values())


def test_another_sky_is_told_apart_and_by_what(workspace):
    write_pack(workspace / "data" / "mine", n_train=LEAST, n_test=2, seed=30, noise_level=2.0)
    out, numbers = compared(workspace, "data/mine")
    assert numbers["probe"]["value"] > 0.9
    far = {name for name, row in numbers["quantities"].items() if row["far"]}
    assert {"sigma_VIS", "sigma_Y", "sigma_J", "sigma_H"} <= far and not {"correlation_VIS", "mag_VIS"} & far
    assert "VIS background sigma" in out and "far apart, most of all" in " ".join(out.split())


def test_few_objects_are_measured_and_not_probed(workspace, monkeypatch):
    monkeypatch.setattr(realism, "_probed", None)
    write_pack(workspace / "data" / "mine", n_train=36, n_test=3, seed=30)
    out, numbers = compared(workspace, "data/mine", "--split", "test")
    assert numbers["probe"] is None and numbers["real"]["measured"] == 3
    assert "n = 3 real objects are too few for a probe, which needs 25 a side" in " ".join(out.split())


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_real_cutouts_beside_a_simulated_pack(workspace):
    """Their noise is correlated, as that of every mosaic."""
    mer = sorted((REAL / "mer").glob("*300px.fits"))
    lensfold(workspace, "import-euclid", *map(str, mer), "--out", "data/mine")
    out, numbers = compared(workspace, "data/mine")
    assert "n = 1 real objects are too few" in " ".join(out.split())
    assert 0.1 < numbers["quantities"]["correlation_VIS"]["real"][1] < 0.3
    assert 0.3 < numbers["quantities"]["correlation_H"]["real"][1] < 0.6


def test_what_cannot_be_compared_is_refused(workspace, tmp_path):
    (tmp_path / "empty").mkdir()
    both = ("--simulated", "data/fake", "--workers", "1")
    assert "no train split found" in refused(workspace, "--real", str(tmp_path / "empty"), *both)
    assert "no train split found" in refused(workspace, "--real", "data/gone", *both)
    assert "given as the real and as the simulated pack" in refused(workspace, "--real", "data/fake", *both)
    assert "expected train or test" in refused(workspace, "--real", "data/fake", *both, "--split", "valid")
    write_pack(workspace / "data" / "mine", n_train=36, n_test=2, seed=30)
    cutout_file(workspace / "data" / "mine" / "test", "H", 200002).unlink()
    message = refused(workspace, "--real", "data/mine", *both, "--split", "test")
    assert "imageEUC_H-200002.fits: no such file" in message
    (workspace / "blocked").write_text("")
    assert "blocked" in refused(
        workspace, "--real", "data/mine", *both, "--skip-bad", "--split", "test", "--out", "blocked"
    )


# ---- what predict says


def predicted(workspace: Path, *options: str) -> str:
    return " ".join(lensfold(workspace, "run", "predict", *options).stdout.split())


def test_a_pack_unlike_the_training_pack_is_said(trained):
    assert "is unlike" not in predicted(trained, *PACK)  # its own test split
    csv = trained / "submissions" / "noisy" / "default.csv"
    options = ("--pack", "noisy", "--trained-on", "fake")
    write_pack(trained / "data" / "noisy", n_test=6, seed=30, noise_level=2.0)
    out = predicted(trained, *options)
    assert "noisy is unlike fake, which the networks were trained on: background sigma 9." in out
    assert "(and 3 more bands)" in out and "docs/euclid.md" in out and "noise correlation" not in out
    scores = csv.read_bytes()
    kept = trained / "runs" / "fake" / "tiny" / "statistics.json"
    for text in ("{", "[]", '{"sigma_VIS": 3}'):
        kept.write_text(text)
        assert "is unlike" not in predicted(trained, *options)
    kept.unlink()  # a run of before it was kept
    csv.unlink()
    assert "is unlike" not in predicted(trained, *options) and csv.read_bytes() == scores


def test_what_a_cache_measures_is_kept_with_it(workspace, monkeypatch):
    folder = Workspace(workspace).cache(Workspace(workspace).pack("fake"), "train")
    kept = (folder / "statistics.json").read_bytes()
    monkeypatch.setattr(statistics, "measured", None)  # nothing is measured again
    found = statistics.cache_statistics(folder)
    assert found["sigma_VIS"]["median"] == pytest.approx(4.5e-13, rel=0.03) and found["sigma_VIS"]["n"] == 60
    monkeypatch.undo()
    for text in ("{", json.dumps({"key": "other", "statistics": {}})):
        (folder / "statistics.json").write_text(text)
        statistics.cache_statistics(folder)
        assert (folder / "statistics.json").read_bytes() == kept
    shutil.rmtree(folder)
