"""A short document of headings, text, lists and tables, written as Markdown that reads as plain text, and as HTML.

Every text is escaped: names of runs and notes of people may hold whatever they like.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Listing:
    """A list: each item a bold term and what is said of it."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cell:
    """Part of a table: a text, and what stands smaller behind it, an interval say."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells, the columns in ``left`` to the left, the others to the right.

    ``spans``: for each row low, value and high of what the HTML draws behind the first ``left`` columns, or None.
    ``muted``: numbers of rows that are no full members of the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    left: Sequence[int] = (0,)
    spans: Sequence[tuple[float, float, float] | None] = ()
    muted: frozenset[int] = field(default_factory=frozenset)


Block = Heading | Text | Listing | Table

STYLE = """
.board { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; background: #fff; padding: .6em 1em; }
.board h1 { font-size: 1.6em; margin: 0 0 .4em; }
.board h2 { font-size: 1.2em; margin: 1.8em 0 .4em; }
.board h3 { font-size: 1em; margin: 1.4em 0 .3em; }
.board p { max-width: 50em; margin: .5em 0; }
.board dl { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1.2em; margin: .6em 0; max-width: 62em; }
.board dt { font-weight: 600; }
.board dd { margin: 0; overflow-wrap: anywhere; }
.board .scroll { overflow-x: auto; }
.board table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.board th { font-weight: 600; color: #57606a; border-bottom: 1px solid #8c959f; vertical-align: bottom; }
.board th, .board td { padding: .3em .6em; text-align: right; white-space: nowrap; }
.board th.left, .board td.left { text-align: left; }
.board tbody tr:nth-child(even) { background: #f5f7f9; }
.board tr.muted td { color: #6e7781; }
.board small { display: block; color: #6e7781; font-size: .82em; }
.board svg { display: block; }
.board svg line { stroke: #57606a; stroke-width: 1.5; }
.board svg circle { fill: #0969da; }
""".strip()


def as_markdown(blocks: Sequence[Block]) -> str:
    """The document as Markdown; tables are padded, so that it reads well as it is."""
    return "\n\n".join(_markdown_block(block) for block in blocks) + "\n"


def _markdown_block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {markdown_text(block.text)}"
    if isinstance(block, Text):
        return re.sub(r"^([#>+-])(?=\s|$)|^(\d+)([.)])(?=\s|$)", _escaped_start, markdown_text(block.text))
    if isinstance(block, Listing):
        return "\n".join(f"- **{markdown_text(term)}**: {markdown_text(told)}" for term, told in block.items)
    rows = [[_markdown_cell(cell) for cell in row] for row in block.rows]
    head = [markdown_text(name) for name in block.columns]
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(head, *rows, strict=True)]
    is_left = [number in block.left for number in range(len(head))]
    rule = ["-" * width if left else "-" * (width - 1) + ":" for width, left in zip(widths, is_left, strict=True)]
    sides = ["<" if left else ">" for left in is_left]
    padded = [
        [f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)] for row in [head, *rows]
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def _markdown_cell(cell: Cell) -> str:
    return markdown_text(f"{cell.text} ({cell.small})" if cell.small else cell.text)


def markdown_text(text: str) -> str:
    """``text`` so that Markdown shows it as it is within a line; underscores within words need no escape."""
    plain = " ".join(_printable(text).split())
    escaped = re.sub(r"([\\|`*\[\]~$])", r"\\\1", plain)
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    escaped = re.sub(r"&(?=[#\w]+;)", "&amp;", escaped)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", escaped)


def _escaped_start(match: re.Match) -> str:
    """What would begin a heading, a quote or a list."""
    return f"\\{match[1]}" if match[1] else f"{match[2]}\\{match[3]}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def as_html(blocks: Sequence[Block]) -> str:
    """The document as an HTML fragment, one ``div`` of the class "board"; STYLE is made for it."""
    return '<div class="board">\n' + "\n".join(_html_block(block) for block in blocks) + "\n</div>\n"


def html_page(title: str, fragment: str) -> str:
    """A page of its own around a fragment; it loads nothing from elsewhere."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\nbody {{ margin: 2em; background: #fff; }}\n{STYLE}\n</style>\n"
        f"</head>\n<body>\n{fragment}</body>\n</html>\n"
    )


def _html_block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_html(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{_html(block.text)}</p>"
    if isinstance(block, Listing):
        items = "\n".join(f"<dt>{_html(term)}</dt><dd>{_html(told)}</dd>" for term, told in block.items)
        return f"<dl>\n{items}\n</dl>"
    return _html_table(block)


def _html_table(table: Table) -> str:
    marks = ["left" if number in table.left else "" for number in range(len(table.columns))]
    head = [_tag("th", _html(name), mark) for name, mark in zip(table.columns, marks, strict=True)]
    lines = [[_tag("td", _html_cell(c), mark) for c, mark in zip(row, marks, strict=True)] for row in table.rows]
    if any(table.spans):
        place = len(table.left)
        head.insert(place, _tag("th", "", ""))
        for line, picture in zip(lines, _pictures(table.spans), strict=True):
            line.insert(place, _tag("td", picture, ""))
    body = "\n".join(
        _tag("tr", "".join(line), "muted" if number in table.muted else "") for number, line in enumerate(lines)
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{"".join(head)}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        "</table></div>"
    )


def _pictures(spans: Sequence[tuple[float, float, float] | None]) -> list[str]:
    """Each interval as a line with a dot at its value, all on one scale; decoration, the numbers stand beside it."""
    known = [span for span in spans if span]
    low, high = min(span[0] for span in known), max(span[2] for span in known)
    scale = 112 / (high - low) if high > low else 0.0
    pictures = []
    for span in spans:
        if span is None:
            pictures.append("")
            continue
        left, dot, right = (f"{4 + scale * (value - low):.1f}" for value in span)
        pictures.append(
            '<svg width="120" height="14" aria-hidden="true">'
            f'<line x1="{left}" y1="7" x2="{right}" y2="7"/><circle cx="{dot}" cy="7" r="3.5"/></svg>'
        )
    return pictures


def _html_cell(cell: Cell) -> str:
    return _html(cell.text) + (f"<small>{_html(cell.small)}</small>" if cell.small else "")


def _tag(name: str, content: str, mark: str) -> str:
    return f'<{name} class="{mark}">{content}</{name}>' if mark else f"<{name}>{content}</{name}>"


def _html(text: str) -> str:
    return html.escape(_printable(text))
