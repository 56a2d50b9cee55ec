"""A trained fold → a file in weights/ → a run that predicts; and files that are none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.workspace import lensfold
from safetensors.numpy import save

from lensfold.errors import InputError
from lensfold.models.shipped import arrays_of, read_shipped, write_shipped
from lensfold.paths import SHIPPED, Workspace
from lensfold.pipeline.predict import predict_folds
from lensfold.pipeline.shipped import unpack_shipped
from lensfold.runs.logits import read_logits
from lensfold.runs.run import Run


@pytest.fixture(scope="module")
def published(trained_workspace, tmp_path_factory) -> Path:
    """A workspace with a shipped network of fold 1, unpacked. Not to be written to."""
    workspace = tmp_path_factory.mktemp("published") / "w"
    shutil.copytree(trained_workspace, workspace)
    lensfold(workspace, "publish", "--experiment", "tiny", "--fold", "1", "--name", "tiny-vis", "--pack", "fake")
    unpack_shipped(Workspace(workspace))
    return workspace


@pytest.fixture
def copied(published, tmp_path) -> Path:
    shutil.copytree(published, tmp_path / "w")
    return tmp_path / "w"


def test_the_run_predicts_what_the_fold_does(copied):
    workspace = Workspace(copied)
    lensfold(copied, "run", "cache", "--pack", "fake")
    predict_folds(workspace, workspace.pack("fake"), "fake", "tiny", only=(1,))
    predict_folds(workspace, workspace.pack("fake"), SHIPPED, "tiny-vis")
    own = read_logits(copied / "runs" / "fake" / "tiny" / "fold1" / "test" / "fake.csv")
    shipped = read_logits(copied / "runs" / SHIPPED / "tiny-vis" / "fold0" / "test" / "fake.csv")
    assert shipped.index.equals(own.index) and 0 < np.abs(shipped - own).max() < 0.02 * own.std() + 1e-3


def test_its_score_is_of_what_the_fold_held_out_with_16_bits(published):
    scores = json.loads((published / "runs" / SHIPPED / "tiny-vis" / "score.json").read_text())
    run = Run(published / "runs" / "fake" / "tiny")
    assert scores["n"] == (run.oof()["fold"] == 1).sum() and scores["pack"] == SHIPPED
    arrays, description = read_shipped(published / "weights" / "tiny-vis.safetensors")
    assert {str(array.dtype) for array in arrays.values()} == {"float16", "float32"}
    assert (description["config"]["pack"], description["config"]["trained_on"]) == (SHIPPED, "fake")


def test_it_is_unpacked_once_and_again_where_the_file_is_another(copied):
    network = copied / "runs" / SHIPPED / "tiny-vis" / "fold0" / "model.keras"
    before = network.stat().st_mtime_ns
    unpack_shipped(Workspace(copied))
    assert network.stat().st_mtime_ns == before
    path = copied / "weights" / "tiny-vis.safetensors"
    arrays, description = read_shipped(path)
    changed = {name: array * np.float16(0.5) for name, array in arrays.items()}
    write_shipped(path, changed, description)
    unpack_shipped(Workspace(copied))
    assert network.stat().st_mtime_ns != before


def test_cutouts_are_ranked_with_it_alone(copied):
    shutil.rmtree(copied / "runs" / "fake")
    (copied / "data" / "fake" / "image_catalog2.0train.csv").unlink()
    printed = lensfold(copied, "rank", "--pack", "fake", "--submission", "tiny-vis").stdout
    assert "tiny-vis, which ships with lensfold" in " ".join(printed.split())
    assert (copied / "data" / "fake" / "ranked.csv").is_file()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged, or no safetensors file"),
        (lambda path: path.write_bytes(b"\x80\x04pickle"), "damaged, or no safetensors file"),
        (lambda path: path.write_bytes(save({"a": np.ones(3, np.float16)})), "was not written by lensfold"),
        (lambda path: _rewritten(path, lambda a: a.pop(next(iter(a)))), "of another network: missing"),
        (lambda path: _rewritten(path, lambda a: a.update({k: v[..., :1] for k, v in a.items()})), "has shape"),
        (lambda path: _rewritten(path, lambda a: a.update({k: v * np.nan for k, v in a.items()})), "finite"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(published, tmp_path, change, words):
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "x.safetensors"
    shutil.copyfile(published / "weights" / "tiny-vis.safetensors", path)
    change(path)
    with pytest.raises(InputError, match=r"x\.safetensors") as caught:
        unpack_shipped(Workspace(tmp_path))
    assert words in str(caught.value)
    assert not (tmp_path / "runs" / SHIPPED / "x" / "config.json").exists()


def _rewritten(path: Path, change) -> None:
    arrays, description = read_shipped(path)
    change(arrays)
    content = {"lensfold": json.dumps(description)}
    path.write_bytes(save(arrays, content))


def test_weights_that_16_bits_cannot_hold_are_not_shipped():
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="d")])
    model.get_layer("d").set_weights([np.array([[1e6]], np.float32), np.zeros(1, np.float32)])
    with pytest.raises(InputError, match="16-bit floats cannot hold"):
        arrays_of(model)
