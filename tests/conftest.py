"""What several test files share: a workspace with a small pack, and the command line as a user runs it."""

import io
import os
import shutil
import subprocess
import sys
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from fake_pack import write_pack
from hypothesis import settings

PROJECT = Path(__file__).parents[1]
# a busy machine is no failure: tests run side by side
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# one thread, as the experiments ask for: here TensorFlow may start before a command can say so
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
# as backend.start_tensorflow, which comes too late where a test module imports keras
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"

TINY = """
[pixels]
crop = 64
bin = 2
[model]
name = "fast_cnn"
dropout = 0.3
[train]
batch_size = 8
[[stage]]
min_size = 40
epochs = 2
learning_rate = 0.002
[[stage]]
min_size = 20
epochs = 2
learning_rate = 0.001
trainable = "top"
[predict]
batch_size = 16
"""


#: files that take longest, begun first so that no process is left with one alone at the end
LONGEST = (
    "test_jobs_ray",
    "test_smoke",
    "test_training_options",
    "test_jobs_slurm",
    "test_jobs_work",
    "test_jobs_drive",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def _seed_keras() -> None:
    # weights drawn anew in each run would make a test's margin a matter of luck
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(2)


@pytest.fixture(scope="module", autouse=True)
def _same_networks_in_each_module() -> None:
    _seed_keras()


@pytest.fixture(autouse=True)
def _same_networks_in_each_test() -> None:
    _seed_keras()


def lensfold(workspace: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """The command line in a workspace, in this process: importing TensorFlow anew takes seconds each time.

    With ``check`` a failure shows what it printed.
    """
    from lensfold.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    with chdir(workspace), redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lensfold", *arguments])
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        except Exception:  # what a user would see of it
            traceback.print_exc(file=err)
            code = 1
    done = subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
    if check and done.returncode:
        raise AssertionError(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def environment() -> dict[str, str]:
    """The environment of a command: this checkout's source, no pack chosen from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "PACK"}
    return {**kept, "PYTHONPATH": str(PROJECT / "src"), "NO_ALBUMENTATIONS_UPDATE": "1"}


def write_settings(workspace: Path) -> None:
    """Hand-written files of a workspace: one tiny experiment, a submission of it, the project's fold settings."""
    for folder in ("experiments", "folds", "submissions"):
        (workspace / folder).mkdir(parents=True, exist_ok=True)
    (workspace / "experiments" / "tiny.toml").write_text(TINY)
    (workspace / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "tiny"\n')
    shutil.copy(PROJECT / "folds" / "folds.toml", workspace / "folds" / "folds.toml")


@pytest.fixture(scope="session")
def fake_workspace(tmp_path_factory) -> Path:
    """A workspace with the pack ``fake``, its folds and its caches; nothing trained. Copy it before writing there."""
    workspace = tmp_path_factory.mktemp("workspace")
    write_settings(workspace)
    write_pack(workspace / "data" / "fake", n_train=60, n_test=8)
    lensfold(workspace, "folds", "--pack", "fake")
    for split in ("train", "test"):
        lensfold(workspace, "cache", "--split", split, "--pack", "fake", "--workers", "1")
    return workspace


@pytest.fixture(scope="session")
def trained_workspace(fake_workspace, tmp_path_factory) -> Path:
    """A copy of ``fake_workspace`` with ``tiny`` trained on all folds and scored. Copy it before writing there."""
    workspace = tmp_path_factory.mktemp("trained") / "w"
    shutil.copytree(fake_workspace, workspace)
    lensfold(workspace, "train", "--experiment", "tiny", "--pack", "fake")
    lensfold(workspace, "score", "--experiment", "tiny", "--pack", "fake")
    return workspace


@pytest.fixture
def workspace(fake_workspace, tmp_path) -> Path:
    """A fresh copy of ``fake_workspace``."""
    shutil.copytree(fake_workspace, tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def trained(trained_workspace, tmp_path) -> Path:
    """A fresh copy of ``trained_workspace``."""
    shutil.copytree(trained_workspace, tmp_path / "w")
    return tmp_path / "w"
