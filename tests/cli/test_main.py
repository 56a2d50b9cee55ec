"""The command line itself."""

import pytest
from fakes.workspace import lensfold


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
