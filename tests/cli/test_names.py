"""Names that people and files give: none leads out of the project, reaches a shell, or ends in a traceback."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fakes.workspace import PROJECT, lensfold, write_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.errors import InputError
from lensfold.paths import NAME, Workspace, checked_name

HOSTILE = (
    "", "..", "../x", "/etc/passwd", "a/b", "a\nb", "a\x1b[31m", "-x", "$(touch hacked)", "`touch hacked`", "a'b",
    'a"b', "<script>", "日本", "\u202e", ".hidden", "a b", "x" * 300,
)  # fmt: skip
TAKEN = (
    ("score", "--experiment={}"),
    ("submit", "--submission={}"),
    ("grade", "--submission={}"),
    ("run", "train", "--experiment={}"),
    ("run", "predict", "--submission={}"),
    ("run", "predict", "--trained-on={}"),
    ("run", "folds", "--pack={}"),
    ("jobs", "--experiment={}"),
    ("verify", "--pack={}"),
    ("leaderboard", "--pack={}"),
    ("compare", "--", "{}", "tiny"),
    ("run-job", "--", "train:{}:0"),
    ("explain-submission", "--", "{}"),
    ("check-submission", "--", "{}"),
    ("label", "--marks={}"),
    ("rank", "--", "{}"),
)


@pytest.mark.parametrize("command", TAKEN, ids=lambda command: " ".join(command))
def test_hostile_names_are_refused_in_a_sentence(tmp_path, command):
    project = tmp_path / "o" / "w"
    project.mkdir(parents=True)
    write_settings(project)
    before = set(tmp_path.rglob("*"))
    for name in HOSTILE:
        done = lensfold(project, *(part.replace("{}", name) for part in command), check=False)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr, (name, done.stderr)
        assert "\x1b[31m" not in done.stderr, "a terminal would obey it"
    made = {path for path in set(tmp_path.rglob("*")) - before if not path.name.startswith(".")}
    assert {path for path in made if not path.is_relative_to(project) or "hacked" in path.name} == set()


@given(st.text(max_size=300))
def test_a_name_is_one_step_of_a_path_or_is_refused(text):
    try:
        path = Workspace(Path("/p")).run("a", checked_name("experiment", text))
    except InputError as error:
        assert "\n" not in str(error) and str(error).isprintable()
        return
    assert path.parent == Path("/p/runs/a") and NAME.fullmatch(text) and len(path.name) <= 100


@settings(max_examples=25)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(str.strip))
def test_make_gives_every_value_on_as_it_was_typed(tmp_path_factory, text):
    """Neither make nor the shell looks into it."""
    folder = tmp_path_factory.mktemp("m")
    python = folder / "python"
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.move(python, folder / ".venv" / "bin" / "python")
    shutil.copy(PROJECT / "Makefile", folder)
    for file in ("requirements.txt", "pyproject.toml", ".venv/.installed"):
        (folder / file).touch()
    for value in (text, f"$(shell touch hacked){text}"):
        values = [f"{name}={value}" for name in ("PACK", "SUBMISSION", "TRAINED")]
        done = subprocess.run(["make", "-s", "jobs", *values], cwd=folder, capture_output=True, text=True)
        typed = value.lstrip(" ")  # make leaves out spaces in front of a value, and nothing else
        assert done.stdout.split("\n").count(typed) == 3, (value, done.stdout, done.stderr)
    assert not (folder / "hacked").exists()
    shutil.rmtree(folder)
