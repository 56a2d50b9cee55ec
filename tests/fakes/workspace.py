"""A workspace with hand-written files, and the command line as a user runs it."""

import io
import os
import shutil
import subprocess
import sys
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

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


def lensfold(workspace: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """The command line in a workspace, in this process: importing TensorFlow anew takes seconds each time.

    With ``check`` a failure shows what it printed.
    """
    from lensfold.cli.main import main

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
