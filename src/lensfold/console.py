"""What the terminal shows: progress with time left, and tables. A bar on a terminal, plain lines elsewhere."""

import codecs
import io
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import progress as bars
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: columns of what is piped, and between the columns of a table
PIPED, GAP = 100, 2
#: what stands for letters that a terminal without Unicode lacks
_PLAIN = {
    "·": "-", "–": "-", "—": "-", "−": "-", "─": "-", "━": "-", "…": "...", "×": "x", "→": "->",
    "β": "beta", "σ": "sigma", "″": '"', "’": "'", "“": '"', "”": '"',
}  # fmt: skip
#: shows how many of how many are done
Progress = Callable[[int, int], None]


def print_anywhere() -> None:
    """Have standard output and error take every text, whatever their encoding: what it lacks is spelt plainly.

    A name of a file that is no text at all (bytes that are not UTF-8) gets "?" for each such byte.
    """
    codecs.register_error("lensfold.plain", _spelt_plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lensfold.plain")


def _spelt_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter: str) -> str:
    without_marks = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return _PLAIN.get(letter) or without_marks or "?"


@contextmanager
def progress(title: str, unit: str = "objects", least: int = 0) -> Iterator[Progress]:
    """Yield a function (done, total) that shows how far a long step is and how long it will still take.

    Where there are at most ``least`` to do, nothing is shown.
    """
    console = Console()
    if not console.is_terminal:
        lines = _lines(title, unit)
        yield lambda done, total: lines(done, total) if total > least else None
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn(unit),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, visible=not least)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=total > least)


def _lines(title: str, unit: str) -> Progress:
    """A line at every fifth of the way, at most."""
    started = time.monotonic()
    shown = [0]

    def report(done: int, total: int) -> None:
        fifth = 5 * done // max(total, 1)
        if fifth == shown[0]:
            return
        shown[0] = fifth
        rate = done / max(time.monotonic() - started, 1e-9)
        print(f"{title}: {done}/{total} {unit}, {rate:.0f}/s, {(total - done) / rate:.0f} s left", flush=True)

    return report


def width() -> int:
    """Return the columns of the terminal; 100 where the output is a pipe or a file."""
    console = Console()
    return console.width if console.is_terminal else PIPED


def show_text(text: str) -> None:
    """Print a text in lines that fit the terminal; words and file names stay whole."""
    print(textwrap.fill(text, min(width(), PIPED), break_long_words=False, break_on_hyphens=False))


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    caption: str = "",
    most: int | None = None,
    left: int = 1,
) -> None:
    """Print a table that is never wider than `width`, nor than ``most``: every line fits the terminal.

    The first ``left`` columns are aligned to the left, the others to the right. Headers are wrapped where that saves
    room. Of a table that is still too wide the other columns follow below, behind the same left ones; a cell that
    needs more than its share is folded.
    """
    room = min(width(), most or width())
    console = Console(width=room)
    texts = [[str(cell) for cell in row] for row in rows]
    widths = _widths(columns, texts, room, left)
    console.print()
    console.print(Text(title, style="italic"))
    for shown in _parts(widths, room, left):
        cells = [[row[i] for i in shown] for row in texts]
        console.print(_table([columns[i] for i in shown], cells, [widths[i] for i in shown], left))
    if caption:
        console.print(Text(caption, style="dim"))


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int, left: int) -> list[int]:
    """The width of each column: its widest cell and the longest word of its header, or its share of the room.

    Headers are on one line where all columns fit beside each other that way.
    """
    cells = [max((cell_len(row[i]) for row in rows), default=0) for i in range(len(columns))]
    whole = [max(cell, cell_len(name)) for cell, name in zip(cells, columns, strict=True)]
    if sum(whole) + GAP * (len(whole) - 1) <= room:
        return whole
    words = [max(map(cell_len, name.split()), default=0) for name in columns]
    least = [max(cell, word) for cell, word in zip(cells, words, strict=True)]
    share = max(1, (room // 2 - GAP * left) // left)
    least[:left] = [min(needed, share) for needed in least[:left]]
    rest = room - sum(least[:left]) - GAP * left
    return _widened([*least[:left], *(min(needed, rest) for needed in least[left:])], columns, room)


def _widened(widths: Sequence[int], columns: Sequence[str], room: int) -> list[int]:
    """The widths with what is left of the room given to headers: first to have two lines, then to have one."""
    wider = list(widths)
    spare = room - sum(wider) - GAP * (len(wider) - 1)
    for lines in (2, 1):
        for number, name in enumerate(columns):
            sizes = range(max(1, wider[number]), cell_len(name) + 1)
            wanted = next((size for size in sizes if len(textwrap.wrap(name, size)) <= lines), wider[number])
            if 0 < wanted - wider[number] <= spare:
                spare -= wanted - wider[number]
                wider[number] = wanted
    return wider


def _parts(widths: Sequence[int], room: int, left: int) -> list[list[int]]:
    """Numbers of the columns of each table: the left ones, and as many of the others as fit behind them."""
    head = list(range(left))
    parts, used = [[*head]], room
    for number in range(left, len(widths)):
        needed = GAP + widths[number]
        if len(parts[-1]) > left and used + needed > room:
            parts.append([*head])
        if len(parts[-1]) == left:
            used = sum(widths[:left]) + GAP * (left - 1)
        parts[-1].append(number)
        used += needed
    return parts


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], left: int) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for place, (name, size) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(Text(name), justify="left" if place < left else "right", width=size, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
