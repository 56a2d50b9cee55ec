"""The leaderboard's page as Markdown that reads as plain text, and as HTML.

Every text is escaped: names of runs and notes of people may contain anything.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lensfold.leaderboard.page import Page
from lensfold.leaderboard.tables import Span, Table

#: width of the picture of an interval, and the room beside its ends, in pixels
PICTURE, ROOM = 120, 4


def as_markdown(page: Page) -> str:
    """Return the page as Markdown; tables are padded, so that it reads well as it is."""
    environment = _environment(autoescape=False)
    environment.filters["aligned"] = _aligned
    return environment.get_template("leaderboard.md").render(page=_each_text(page, markdown_text))


def as_html(page: Page, whole_page: bool = False) -> str:
    """Return the page as an HTML fragment with its style, or as a whole page, which loads nothing from elsewhere."""
    environment = _environment(autoescape=True)
    environment.filters["pictured"] = _pictured
    return environment.get_template("leaderboard.html").render(page=_each_text(page, _printable), whole_page=whole_page)


def _environment(autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("lensfold", "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with every text in it changed, in tuples and dataclasses too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_each_text(part, change) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _each_text(getattr(value, field.name), change) for field in fields(value)})
    return value


def markdown_text(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is within a line; underscores within words need no escape."""
    plain = " ".join(_printable(text).split())
    escaped = re.sub(r"([\\|`*\[\]~$])", r"\\\1", plain)
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    escaped = re.sub(r"&(?=[#\w]+;)", "&amp;", escaped)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", escaped)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _aligned(table: Table) -> str:
    """The lines of a Markdown table, every column as wide as its widest cell."""
    rows = [[f"{cell.text} ({cell.small})" if cell.small else cell.text for cell in row] for row in table.rows]
    widths = [max(3, *map(len, column)) for column in zip(table.columns, *rows, strict=True)]
    is_left = [table.is_left(number) for number in range(len(widths))]
    rule = ["-" * width if left else "-" * (width - 1) + ":" for width, left in zip(widths, is_left, strict=True)]
    lines = [
        [f"{cell:{'<' if left else '>'}{width}}" for cell, left, width in zip(row, is_left, widths, strict=True)]
        for row in [table.columns, *rows]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _pictured(spans: Sequence[Span | None]) -> list[tuple[str, str, str] | None]:
    """For each interval the places in pixels of its left end, its value and its right end, all on one scale."""
    known = [span for span in spans if span]
    low, high = min(span[0] for span in known), max(span[2] for span in known)
    scale = (PICTURE - 2 * ROOM) / (high - low) if high > low else 0.0

    def placed(value: float) -> str:
        return f"{ROOM + scale * (value - low):.1f}"

    return [None if span is None else (placed(span[0]), placed(span[1]), placed(span[2])) for span in spans]
