"""What the terminal shows: progress with time left, and tables. A bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Report = Callable[[int, int], None]


@contextmanager
def progress(title: str, unit: str = "objects") -> Iterator[Report]:
    """Yield a function (done, total) that shows how far a long step is and how long it will still take."""
    console = Console()
    if not console.is_terminal:
        yield _lines(title, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str, unit: str) -> Report:
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


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str | None = None
) -> None:
    """Print a table; the first column is left-aligned, numbers to the right. Wide tables are not cut when piped."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
