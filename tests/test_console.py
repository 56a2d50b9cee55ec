"""Tables on the terminal: nothing is wider than it, nothing is lost, nothing is read as markup."""

import io
import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from lensfold import console
from lensfold.console import print_anywhere, show_table

NAMES = ("run", "AUC", "95 %", "average precision", "TPR10", "n", "> 150 px AUC", "95 %", "folds", "time", "what else")
ROWS = [
    ["small_cnn", "0.871", "0.861–0.881", "0.9", "0.25", "4,000", "0.93", "0.9–0.95", "1 of 3 folds", "5.0 min", ""]
]


def shown(capsys, width: int, *arguments, **options) -> list[str]:
    """The lines of a table on a terminal, or for 0 in a pipe, without blanks at their ends."""
    with pytest.MonkeyPatch.context() as patch:
        if width:
            patch.setattr(console, "width", lambda: width)
        show_table(*arguments, **options)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line]


@pytest.mark.parametrize("width", [40, 80, 100, 0])
def test_no_line_is_wider_than_the_terminal(capsys, width):
    lines = shown(capsys, width, "a title of many words " * 6, NAMES, ROWS, "a caption of many words " * 6)
    assert max(map(cell_len, lines)) <= (width or 100)
    for cell in ROWS[0]:
        assert cell in "\n".join(lines)


def test_what_does_not_fit_follows_below_behind_the_first_column(capsys):
    lines = shown(capsys, 40, "t", NAMES, ROWS)
    rows = [line for line in lines if line.startswith("small_cnn")]
    assert len(rows) > 1 and [cell for row in rows for cell in row.split()[1:]] == " ".join(ROWS[0][1:]).split()
    assert len([line for line in lines if line.startswith("run")]) == len(rows)


def test_headers_are_wrapped_before_a_table_is_parted(capsys):
    columns, row = ("run", "average precision", "mean fold AUC"), ["a", "0.9", "0.8"]
    lines = shown(capsys, 30, "t", columns, [row])
    assert [line.split() for line in lines[1:3]] == [["average"], ["run", "precision", "mean", "fold", "AUC"]]
    lines = shown(capsys, 24, "t", columns, [row])
    assert [line.split() for line in lines[1:3]] == [["average", "mean"], ["run", "precision", "fold", "AUC"]]
    assert lines[4].split() == row
    assert len(shown(capsys, 40, "t", columns, [row])) == 4


def test_a_long_name_is_folded_and_whole(capsys):
    name = "x" * 150
    lines = shown(capsys, 80, "t", ("run", "AUC"), [[name, "0.9"]])
    assert max(map(len, lines)) <= 80 and "".join(lines).count("x") == 150 and "0.9" in "".join(lines)


def test_a_table_is_no_wider_than_it_may_be(capsys):
    assert max(map(len, shown(capsys, 200, "t", NAMES, ROWS, most=100))) <= 100
    assert max(map(len, shown(capsys, 200, "t", NAMES, ROWS))) > 100


def test_text_is_no_markup(capsys):
    lines = shown(capsys, 80, "[bold]t", ("[red]n", "v"), [["[x](y) :smile: [/]", "[1]"]])
    assert lines[0] == "[bold]t" and lines[1].startswith("[red]n") and "[x](y) :smile: [/]  [1]" in lines


def test_left_columns_are_repeated(capsys):
    columns = ("#", "name", *(f"column{i}" for i in range(12)))
    lines = shown(capsys, 60, "t", columns, [["1", "first", *(f"value{i}" for i in range(12))]], left=2)
    assert len([line for line in lines if line.startswith("1  first")]) > 1


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "M", "Z"]), max_size=60)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_any_table_fits(rows):
    widths = console._widths([""] * len(rows[0]), rows, 80, 1)
    for part in console._parts(widths, 80, 1):
        assert sum(widths[i] for i in part) + console.GAP * (len(part) - 1) <= 80
    assert sorted({i for part in console._parts(widths, 80, 1) for i in part}) == list(range(len(rows[0])))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@given(text=st.text())
def test_any_text_reaches_any_terminal(encoding, text):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        print_anywhere()
        print(text, end="", flush=True)
    shown = stream.buffer.getvalue().decode(encoding)
    assert len(shown) >= len(text)
    if text.isascii():
        assert shown == text


def test_what_a_terminal_lacks_is_spelt_plainly(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    print_anywhere()
    print(f"0.91–0.93 · β² … é ─ 日 {os.fsdecode(bytes([255]))}", flush=True)
    assert stream.buffer.getvalue() == b"0.91-0.93 - beta2 ... e - ? ?\n"
