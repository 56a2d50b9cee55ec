"""The command line itself: whatever happens, a sentence and a status, and never a page of its innards."""

import itertools
import shutil
import signal
import subprocess
import sys

import pytest
from fakes.workspace import environment, lensfold

from lensfold.errors import STOPPED


def test_help_lists_the_steps(tmp_path):
    text = lensfold(tmp_path, "--help").stdout
    for command in ("simulate", "folds", "cache", "train", "predict", "score", "submit", "grade"):
        assert command in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["simulate", "--pack", "mine"], "the profiles are challenge, challenge-1, sample, smoke"),
        (["cache", "--split", "valid"], "expected train or test"),
        (["folds", "--pack", "../x"], "pack name"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, word):
    done = lensfold(tmp_path, *arguments, check=False)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("heard_after", [2, 120])
def test_ctrl_c_while_the_command_line_is_imported(heard_after):
    """A line of python's list of imports shows where it is: just behind the first of our own, and in the middle."""
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "lensfold", "--help"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # pytest may have it ignored
    ) as run:  # fmt: skip
        lines = iter(run.stderr)
        assert any("lensfold.errors" in line for line in lines)
        assert len(list(itertools.islice(lines, heard_after))) == heard_after
        run.send_signal(signal.SIGINT)
        said = [line for line in lines if not line.startswith("import time:")]
    assert (run.returncode, said) == (130, [f"{STOPPED}\n"])


def _raising(error: BaseException):
    def function(*_, **__):
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, STOPPED),
        (MemoryError("Unable to allocate 30. GiB"), 1, "error: not enough memory (Unable to allocate 30. GiB)."),
    ],
)
def test_ctrl_c_and_no_memory_are_a_sentence(tmp_path, monkeypatch, error, status, said):
    monkeypatch.setattr("lensfold.euclid.importer.find_objects", _raising(error))
    done = lensfold(tmp_path, "import-euclid", "x", "--out", "data/x", check=False)
    assert done.returncode == status and done.stderr.startswith(said) and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("score", "--experiment", "kernel"), ("score", "--experiment", "kernel", "--all"), ("folds", "--check"),
        ("leaderboard",), ("run", "predict", "--submission", "kernel"), ("submit", "--submission", "kernel"),
        ("grade", "--submission", "kernel"), ("jobs",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf8(fitted_and_submitted, command, encoding):
    done = lensfold(fitted_and_submitted, *command, "--pack", "fake", encoding=encoding, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii() or encoding == "latin-1"


@pytest.fixture(scope="module")
def fitted_and_submitted(fitted_workspace, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("ascii") / "w"
    shutil.copytree(fitted_workspace, workspace)
    lensfold(workspace, "run", "predict", "--submission", "kernel", "--pack", "fake")
    return workspace
