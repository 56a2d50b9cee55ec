"""A workspace with hand-written files, and the command line as a user runs it."""

import io
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lensfold.jobs.job import Job
    from lensfold.jobs.plan import Work

PROJECT = Path(__file__).parents[2]

TINY = """
[pixels]
crop = 64
bin = 2
[augment]
noise_sigma = 0.2
[learner]
name = "fast_cnn"
dropout = 0.3
[train]
batch_size = 8
average_momentum = 0.0
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

#: a kernel machine on the pixels: fitted within a second, where no network is what a test is about
SVM = """
[pixels]
crop = 64
bin = 2
[learner]
kind = "kernel"
method = "svm"
kernel = "rbf"
objects = 24
settings_tried = 4
[[stage]]
min_size = 20
[predict]
d4_average = false
"""


class Here:
    """An engine that does each job at once, in this process."""

    def __init__(self, work: "Work"):
        self._work = work

    def submit(self, job: "Job") -> Future:
        from lensfold.jobs.work import run_job

        future: Future = Future()
        try:
            run_job(self._work, job)
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def here(work: "Work", processes: int | None) -> Iterator[Here]:
    """In the place of the engine of processes."""
    yield Here(work)


def lensfold(
    workspace: Path, *arguments: str, check: bool = True, processes: bool = False, encoding: str = "utf-8"
) -> subprocess.CompletedProcess:
    """Run the command line in a workspace, in this process: importing TensorFlow anew takes seconds each time.

    Jobs are done in this process too, unless ``processes``. With ``check`` a failure shows what it printed.
    ``encoding``: of the terminal.
    """
    from lensfold.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    code = 0
    with chdir(workspace), redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lensfold", *arguments])
        if not processes:
            patch.setattr("lensfold.jobs.run.local_engine", here)
            patch.setattr("lensfold.jobs.drive.ATTEMPTS", 1)
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        except Exception:  # what a user would see of it
            traceback.print_exc(file=err)
            code = 1
    said = [stream.buffer.getvalue().decode(encoding) for stream in (out, err)]
    done = subprocess.CompletedProcess(arguments, code, *said)
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


def write_kernel(workspace: Path) -> None:
    """Write the experiment ``kernel``, a kernel machine, and a submission of that name."""
    (workspace / "experiments" / "kernel.toml").write_text(SVM)
    (workspace / "submissions" / "kernel.toml").write_text('[[member]]\nexperiment = "kernel"\n')


def configure_tiny(workspace: Path) -> None:
    """Resolve the settings of ``tiny`` for the pack ``fake``."""
    from lensfold.paths import Workspace
    from lensfold.pipeline.configure import configure

    configure(Workspace(workspace), Workspace(workspace).pack("fake"), "tiny")


def predict_fold(workspace: Path, fold: int) -> None:
    """Predict the test split of ``fake`` with one fold of ``tiny``."""
    from lensfold.paths import Workspace
    from lensfold.pipeline.predict import predict_folds

    predict_folds(Workspace(workspace), Workspace(workspace).pack("fake"), "fake", "tiny", [fold])


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, as somebody."""
    person = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *person, *arguments], check=True, capture_output=True)
