"""README and docs: links resolve, commands and targets exist, and the README stays short."""

import re
from pathlib import Path

import pytest
import typer
from fakes.workspace import PROJECT

from lensfold.cli.main import app

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)#][^)]*)\)", page.read_text())
    inside = [link.split("#")[0] for link in links if not link.startswith("http")]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_targets_exist(page):
    commands = set(typer.main.get_command(app).commands)
    targets = set(re.findall(r"^([a-z ]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    targets = {name for line in targets for name in line.split()} | {"folds", "cache", "train", "predict"}
    text = page.read_text()
    named = re.findall(r"(?:-m lensfold|`lensfold|, lensfold) ([a-z]+(?:-[a-z]+)*)", text)
    assert [name for name in named if name not in commands] == []
    made = re.findall(r"(?:^|`)make ((?:[a-z]+ )*[a-z]+)", text, re.MULTILINE)
    assert [name for line in made for name in line.split() if name not in targets] == []


def test_the_readme_is_short_and_the_makefile_too():
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 150
    assert len((PROJECT / "Makefile").read_text().splitlines()) <= 80


def test_no_command_is_undocumented():
    text = "".join(Path(page).read_text() for page in PAGES)
    commands = set(typer.main.get_command(app).commands)
    assert sorted(name for name in commands if f"lensfold {name}" not in text and f"make {name}" not in text) == []
