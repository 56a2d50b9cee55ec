"""Packs of 10" and networks of 20", and the other way round: what goes together gives the same, the rest is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fakes.pack import write_objects, write_pack
from fakes.workspace import SVM, TINY, lensfold

from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.configure import configure_once
from lensfold.pipeline.predict import check_frames
from lensfold.runs.logits import read_logits

#: sees all of the frames of the pack that it is trained on, which in VIS have no rim
WHOLE = SVM.replace("crop = 64", 'mix = "vis"')
LARGE = SVM.replace("crop = 64", "crop = 160")


@pytest.fixture
def both(fitted) -> Path:
    """The pack ``fake`` with a kernel machine of 64 pixels, and ``small``, the middle 10" of the same test objects."""
    write_pack(fitted / "data" / "small", n_train=36, n_test=8, side=100)
    for name, text in (("whole", WHOLE), ("large", LARGE)):
        (fitted / "experiments" / f"{name}.toml").write_text(text)
        (fitted / "submissions" / f"{name}.toml").write_text(f'[[member]]\nexperiment = "{name}"\n')
    return fitted


def run(workspace: Path, *arguments: str) -> None:
    lensfold(workspace, "run", *arguments)


def refused(workspace: Path, *arguments: str) -> str:
    """The one line that a run ends with that must fail."""
    done = lensfold(workspace, "run", *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stderr.strip()


def logits(workspace: Path, trained_on: str, name: str, pack: str) -> np.ndarray:
    """The logits of a pack's test objects by the first fold of a run."""
    return read_logits(workspace / "runs" / trained_on / name / "fold0" / "test" / f"{pack}.csv").to_numpy()


def crop(workspace: Path, pack: str) -> int:
    """What the resolved settings of ``whole`` say."""
    return json.loads((workspace / "runs" / pack / "whole" / "config.json").read_text())["experiment"]["pixels"]["crop"]


def test_what_is_in_the_frame_scores_the_same_in_both(both):
    run(both, "predict", "--pack", "fake", "--submission", "kernel")
    run(both, "predict", "--pack", "small", "--trained-on", "fake", "--submission", "kernel")
    ours, theirs = (logits(both, "fake", "kernel", pack) for pack in ("fake", "small"))
    assert np.ptp(ours) > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for folder in (both / "data" / "small").glob("t*/Public/EUC_[YJH]"):  # and what sees VIS alone needs no more
        shutil.rmtree(folder)
    run(both, "folds", "train", "predict", "--pack", "small", "--submission", "whole")
    run(both, "predict", "--pack", "fake", "--trained-on", "small", "--submission", "whole")
    ours, theirs = (logits(both, "small", "whole", pack) for pack in ("fake", "small"))
    assert crop(both, "small") == 100 and np.ptp(ours) > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    workspace = Workspace(both)
    with pytest.raises(
        InputError, match="kernel: its networks see Y, J and H .*, and pack small has only VIS. Predict"
    ):
        check_frames(workspace, workspace.pack("small"), "fake", "kernel")
    needs = (
        'kernel.toml: pixels.mix = "paper-rgb" needs Y, J and H, and the train split of pack small has only VIS. Train'
    )
    with pytest.raises(InputError, match=needs):
        configure_once(workspace, workspace.pack("small"), "kernel")


def test_bands_that_a_later_step_needs_are_asked_for_before_anything_is_trained(both):
    """Of the test split, which is only predicted, and of twins, which only some experiments see."""
    for folder in (both / "data" / "small").glob("test/Public/EUC_[YJH]"):
        shutil.rmtree(folder)
    message = refused(both, "folds", "train", "predict", "--pack", "small", "--submission", "kernel")
    assert message.startswith("error: runs/small/kernel: its networks see Y, J and H") and "\n" not in message
    assert not [*(both / "runs" / "small").rglob("fold*")]
    write_objects(both / "data" / "small" / "twins", [200001, 200002], [False] * 2, seed=3, side=100)
    shutil.rmtree(both / "data" / "small" / "twins" / "Public" / "EUC_J")
    (both / "experiments" / "map.toml").write_text(TINY.replace("[train]", "[train]\nsource_map = 1.0"))
    message = refused(both, "train", "--pack", "small", "--experiment", "map")
    assert 'map.toml: pixels.mix = "paper-rgb" needs J, and the twins of pack small has only VIS, Y and H.' in message


def test_simulated_packs_of_ten_arcsec(tmp_path):
    how = ("--pack", "p", "--profile", "sample", "--train", "2", "--test", "1", "--twins", "--workers", "1")
    done = lensfold(tmp_path, "simulate", *how, "--side", "150", check=False)
    assert done.returncode == 1 and "--side 150: expected 200" in done.stderr and not (tmp_path / "data").exists()
    lensfold(tmp_path, "simulate", *how, "--side", "100")
    files = [*(tmp_path / "data" / "p").rglob("*.fits")]
    assert {fits.getdata(file).shape for file in files} == {(100, 100), (32, 32)} and len(files) >= 16
    assert "k_pix 2.0, frames of 100 VIS pixels\n" in Pack("p", tmp_path / "data" / "p").catalog.read_text()


def test_networks_that_see_more_than_there_is_are_refused(both):
    message = refused(both, "train", "--pack", "small", "--experiment", "large")
    assert message == (
        'error: experiments/large.toml: pixels.crop = 160, and the pack has frames of 100 VIS pixels (10"). Set it to '
        "100 or less, or leave it out for the whole frame."
    )
    assert not (both / "runs" / "small" / "large").exists()
    run(both, "train", "--pack", "fake", "--experiment", "whole")
    assert crop(both, "fake") == 200
    message = refused(both, "predict", "--pack", "small", "--trained-on", "fake", "--submission", "whole")
    assert message == (
        "error: runs/fake/whole: its networks see 200 VIS pixels a side, and the frames of pack small have 100 "
        '(10"). Predict with a run whose pixels.crop is 100 or less, as that of euclid_cnn.'
    )
    assert not (both / "submissions" / "small").exists()


def test_all_splits_of_a_pack_have_one_size(both):
    write_objects(both / "data" / "small" / "test", list(range(200001, 200009)), [True] * 8, seed=3)
    message = refused(both, "folds", "train", "predict", "--pack", "small", "--submission", "kernel")
    assert 'VIS frames of 200 pixels (20"), and the pack\'s other splits have 100 (10")' in message
    assert not (both / "data" / "small" / "cache" / "test").exists() and not (both / "runs" / "small").exists()
