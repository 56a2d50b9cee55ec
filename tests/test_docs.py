"""README and docs: links resolve, what they say to type exists, and the README is short.

What is typed is looked for only in code, fenced or between backticks: in a sentence, make and lensfold are words.
"""

import re
from pathlib import Path

import pytest
import typer
from fakes.workspace import PROJECT

from lensfold.cli.main import app

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
MAKEFILE = (PROJECT / "Makefile").read_text()
COMMANDS = typer.main.get_command(app).commands
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def code(page: Path) -> list[str]:
    """Every line of a page's fenced code, and everything between backticks; comments behind # are left out."""
    text = page.read_text()
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [line for block in fenced for line in block.splitlines()]
    return [re.sub(r"(^|\s)#.*", "", piece).strip() for piece in (*lines, *inline)]


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """The commands of lensfold that a page says to type, each with the names of its options."""
    typed = [re.match(r"(?:lensfold|\S*python -m lensfold) ([a-z]+(?:-[a-z]+)*)(.*)", piece) for piece in code(page)]
    return [(match[1], re.findall(r"(?<!\S)--[a-z][a-z-]*", match[2])) for match in typed if match]


def make_words(page: Path) -> list[str]:
    """The targets and variables that a page says to type behind make."""
    typed = [piece.split()[1:] for piece in code(page) if piece.startswith("make ")]
    return [word.split("=")[0] for words in typed for word in words]


def anchors(page: Path) -> set[str]:
    """What GitHub calls a page's headings in links."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    broken = []
    for link in (link for link in links if not link.startswith("http")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@each_page
def test_commands_and_their_options_exist(page):
    assert [name for name, _ in commands(page) if name not in COMMANDS] == []
    known = {name: {option for one in command.params for option in one.opts} for name, command in COMMANDS.items()}
    assert [(name, option) for name, given in commands(page) for option in given if option not in known[name]] == []


@each_page
def test_targets_and_variables_of_make_exist(page):
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    targets |= set(re.search(r"^STEPS := (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    variables = set(re.findall(r"\$\(([A-Z]+)\)|whole,([A-Z]+)|option,([A-Z]+)|value ([A-Z]+)", MAKEFILE))
    known = targets | {name for names in variables for name in names}
    assert [word for word in make_words(page) if word not in known] == []


@each_page
def test_modules_exist(page):
    paths = [piece for piece in code(page) if re.fullmatch(r"[\w/]+\.py", piece)]
    assert [path for path in paths if not any((PROJECT / top / path).is_file() for top in (".", "src/lensfold"))] == []


def test_the_readme_is_short_and_the_makefile_too():
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 150
    assert len(MAKEFILE.splitlines()) <= 80


def test_the_picture_is_small():
    assert (PROJECT / "docs" / "lenses.png").stat().st_size <= 300_000


def test_no_command_is_undocumented():
    """A command is documented where it is typed, or where the make target of its name is."""
    typed = {name for page in PAGES for name, _ in commands(page)} | {
        word for page in PAGES for word in make_words(page)
    }
    assert sorted(set(COMMANDS) - typed) == []
