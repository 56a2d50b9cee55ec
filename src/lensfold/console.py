"""What the terminal shows: progress with time left, and tables. A bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import progress as bars
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: columns of a table that is piped: of one that may fold, and of one that should not
PIPED, WIDE = 100, 200
#: shows how many of how many are done
Progress = Callable[[int, int], None]


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
    """Return the columns of the terminal; of a pipe or a file the 100 that a table may have there."""
    console = Console()
    return console.width if console.is_terminal else PIPED


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    caption: str | None = None,
    most: int | None = None,
) -> None:
    """Print a table; the first column is left-aligned, numbers to the right. Cells are folded where it is too wide.

    ``most``: columns of the terminal that it may have; without it a wide table is not cut when piped.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=most or WIDE)
    elif most:
        console = Console(width=min(most, console.width))
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
