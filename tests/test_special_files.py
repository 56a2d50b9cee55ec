"""A pipe, folder, socket or device in a file's place is refused in a sentence that names it, and nothing waits for it.

Cutouts are in data/test_cache.py.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from fakes.attacks import KINDS, put_special, within
from fakes.workspace import lensfold

from lensfold.config import Experiment, read_toml
from lensfold.data.catalog import read_catalog
from lensfold.data.folds import read_folds
from lensfold.data.given_features import read_features
from lensfold.data.labels.marks import read_marks
from lensfold.data.objects import read_objects
from lensfold.errors import InputError
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import Reading
from lensfold.euclid.tiles.positions import Columns, read_positions
from lensfold.files import NoFile, file_sha256
from lensfold.leaderboard.history import read_history
from lensfold.models.saved import load_model
from lensfold.models.shipped import read_shipped
from lensfold.models.start.file import read_start
from lensfold.paths import Pack
from lensfold.runs.logits import read_logits
from lensfold.scoring.classes import read_classes
from lensfold.simulate.hosts import known_lenses
from lensfold.submission.public_scores import read_public_scores

READERS: dict[str, Callable[[Path], object]] = {
    "image_catalog2.0train.csv": read_catalog,
    "labels.csv": read_catalog,
    "fake.csv": lambda path: read_folds(path, pd.DataFrame()),
    "marks.csv": read_marks,
    "objects.csv": lambda path: read_objects(path.parent),
    "features.npy": lambda path: read_features(path, pd.Index([1]).to_numpy()),
    "x.toml": lambda path: read_toml(path, Experiment),
    "cutout.fits": lambda path: import_euclid([path], path.parent / "out"),
    "table.csv": lambda path: import_euclid([], path.parent / "out", Reading(table=path)),
    "positions.csv": lambda path: read_positions(path, Columns(None, None, None)),
    "known.csv": lambda path: known_lenses(path, pd.DataFrame()),
    "public.csv": lambda path: read_public_scores(path, []),
    "history.csv": read_history,
    "oof.csv": read_logits,
    "classes.csv": read_classes,
    "model.keras": load_model,
    "x.safetensors": read_shipped,
    "start.pt": lambda path: read_start("fast_cnn", str(path), None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_readers_refuse_them(tmp_path, name, kind):
    if name == "features.npy":
        pd.DataFrame({"ID": [1]}).to_csv(tmp_path / "features_ids.csv")
    put_special(tmp_path / name, kind)
    with within(10), pytest.raises(InputError) as error:
        READERS[name](tmp_path / name)
    assert name in str(error.value) or (kind == "folder" and name == "cutout.fits")  # a folder is searched


@pytest.mark.parametrize("kind", KINDS)
def test_their_content_is_not_hashed_and_they_are_no_archive(tmp_path, kind):
    put_special(tmp_path / "datapack2.0train.tar.gz", kind)
    put_special(tmp_path / "image_catalog2.0train.csv", kind)
    pack = Pack("x", tmp_path)
    with within(10), pytest.raises(NoFile, match="not a file"):
        file_sha256(tmp_path / "datapack2.0train.tar.gz")
    with within(10), pytest.raises(InputError, match=r"no train split found\. Expected .*datapack2\.0train\.tar\.gz"):
        pack.split_source("train")
    with within(10):
        assert (pack.is_simulated, pack.is_injected, pack.profile) == (False, False, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("data/fake/image_catalog2.0train.csv", ("folds",)),
        ("data/fake/image_catalog2.0train.csv", ("run", "folds", "cache", "train", "--experiment", "tiny")),
        ("folds/fake.csv", ("folds", "--check")),
        ("folds/folds.toml", ("folds",)),
        ("submissions/default.toml", ("jobs",)),
        ("experiments/tiny.toml", ("jobs",)),
    ],
)
def test_commands_refuse_them(workspace, file, command, kind):
    put_special(workspace / file, kind)
    with within(60):
        done = lensfold(workspace, *command, "--pack", "fake", check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and file.rpartition("/")[2] in done.stderr
