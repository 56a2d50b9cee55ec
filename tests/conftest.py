"""What several test files share: a workspace with a small pack, and the command line as a user runs it."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.pack import write_pack
from fakes.workspace import lensfold, write_kernel, write_settings
from hypothesis import settings

from lensfold.files import exclusive

# a busy machine is no failure: tests run side by side
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# one thread, as the experiments ask for: here TensorFlow may start before a command can say so
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
# as backend.start_tensorflow, which comes too late where a test module imports keras
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"

TESTS = Path(__file__).parent
#: files that take longest, begun first so that at the end no process waits long for the last one
LONGEST = (
    "jobs/test_ray_engine",
    "jobs/test_slurm",
    "test_smoke",
    "training/test_options",
    "pipeline/test_binding",
    "models/test_networks",
    "jobs/test_work",
    "prediction/test_forward",
    "models/test_weights",
    "jobs/test_drive",
    "simulate/test_statistics",
    "pipeline/test_submit",
    "prediction/test_features",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.relative_to(TESTS).with_suffix("").as_posix(), len(place)))


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


def _once(name: str, make: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the workspace that ``make`` fills, made by the first of the test processes that needs it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes of this run
    workspace = folder / name / "w"
    with exclusive(folder / f"{name}.lock"):
        if not (made := folder / f"{name}.made").exists():
            shutil.rmtree(workspace, ignore_errors=True)
            workspace.parent.mkdir(exist_ok=True)
            make(workspace)
            made.touch()
    return workspace


@pytest.fixture(scope="session")
def fake_workspace(tmp_path_factory) -> Path:
    """A workspace with the pack ``fake``, its folds and its caches; nothing trained. Copy it before writing there."""

    def make(workspace: Path) -> None:
        write_settings(workspace)
        write_pack(workspace / "data" / "fake", n_train=60, n_test=8)
        lensfold(workspace, "folds", "--pack", "fake")
        for split in ("train", "test"):
            lensfold(workspace, "cache", "--split", split, "--pack", "fake", "--workers", "1")

    return _once("fake", make, tmp_path_factory)


@pytest.fixture(scope="session")
def trained_workspace(fake_workspace, tmp_path_factory) -> Path:
    """A copy of ``fake_workspace`` with ``tiny`` trained on all folds and scored. Copy it before writing there."""

    def make(workspace: Path) -> None:
        shutil.copytree(fake_workspace, workspace)
        lensfold(workspace, "run", "train", "--experiment", "tiny", "--pack", "fake")

    return _once("trained", make, tmp_path_factory)


@pytest.fixture(scope="session")
def fitted_workspace(fake_workspace, tmp_path_factory) -> Path:
    """A copy of ``fake_workspace`` with the kernel machine ``kernel`` fitted on all folds and scored. Copy it, too."""

    def make(workspace: Path) -> None:
        shutil.copytree(fake_workspace, workspace)
        write_kernel(workspace)
        lensfold(workspace, "run", "train", "--experiment", "kernel", "--pack", "fake")

    return _once("fitted", make, tmp_path_factory)


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


@pytest.fixture
def fitted(fitted_workspace, tmp_path) -> Path:
    """A fresh copy of ``fitted_workspace``."""
    shutil.copytree(fitted_workspace, tmp_path / "w")
    return tmp_path / "w"
