"""Documents as Markdown and HTML: the layout, and that no text can leave its place."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensfold.leaderboard.document import (
    Cell,
    Heading,
    Listing,
    Table,
    Text,
    as_html,
    as_markdown,
    html_page,
    markdown_text,
)

TABLE = Table(("name", "score"), [[Cell("a"), Cell("0.9", "0.8–1.0")], [Cell("long_name"), Cell("–")]])


class Reader(HTMLParser):
    """Tags that were opened and the text between them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_markdown_reads_as_plain_text():
    blocks = [Heading("Runs", 1), Text("# of runs"), Listing([("n", "3 * 4")]), TABLE]
    assert as_markdown(blocks) == (
        "# Runs\n\n\\# of runs\n\n- **n**: 3 \\* 4\n\n"
        "| name      |         score |\n| --------- | ------------: |\n"
        "| a         | 0.9 (0.8–1.0) |\n| long_name |             – |\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("small_cnn", "small_cnn"),
        ("_x_ __y__", "\\_x\\_ \\_\\_y\\_\\_"),
        ("a|b", "a\\|b"),
        ("<b>", "&lt;b>"),
        ("<=20 > 150", "<=20 > 150"),
        ("&lt; & R&D", "&amp;lt; & R&D"),
        ("[x](y) `z` ~~w~~ $v$ \\", "\\[x\\](y) \\`z\\` \\~\\~w\\~\\~ \\$v\\$ \\\\"),
        ("two\nlines\r\tand\u202ebidi\x00", "two lines and bidi"),
    ],
)
def test_markdown_escapes(text, expected):
    assert markdown_text(text) == expected


@pytest.mark.parametrize("start", ["# x", "> x", "- x", "+ x", "1. x", "12) x"])
def test_a_paragraph_stays_one(start):
    assert as_markdown([Text(start)]).index("\\") <= 2


@given(st.text(), st.text())
def test_no_text_makes_a_cell_or_a_line(name, value):
    lines = as_markdown([Table(("a", "b"), [[Cell(name), Cell(value, "s")]])]).splitlines()
    assert len(lines) == 3
    unescaped = lines[2].replace("\\\\", "").replace("\\|", "")
    assert unescaped.count("|") == 3 and unescaped.startswith("|") and unescaped.endswith("|")


@given(st.text())
def test_no_text_makes_a_tag(text):
    blocks = [Heading(text), Text(text), Listing([(text, text)]), Table((text,), [[Cell(text, text)]])]
    found = Reader(as_html(blocks))
    assert set(found.tags) <= {"div", "h2", "p", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "small"}
    printable = "".join(c if c.isprintable() else " " for c in text)
    assert "".join(found.text).count(printable) >= 6


def test_intervals_are_drawn_on_one_scale():
    table = Table(("n", "s"), [[Cell("a"), Cell("1")]] * 3, spans=[(0.0, 0.5, 1.0), None, (0.5, 0.75, 1.0)])
    html = as_html([table])
    assert html.count("<svg") == 2 and '<line x1="4.0" y1="7" x2="116.0" y2="7"/><circle cx="60.0"' in html
    assert '<line x1="60.0" y1="7" x2="116.0" y2="7"/><circle cx="88.0"' in html
    assert html.count("<td") == 9 and html.count("<th>") + html.count("<th ") == 3
    same = as_html([Table(("n",), [[Cell("a")]], spans=[(1.0, 1.0, 1.0)])])
    assert 'x1="4.0"' in same


def test_rows_out_of_competition_are_muted():
    html = as_html([Table(("n",), [[Cell("a")], [Cell("b")]], muted=frozenset({1}))])
    assert '<tr><td class="left">a</td></tr>\n<tr class="muted"><td class="left">b</td></tr>' in html


def test_a_page_stands_alone():
    page = html_page("a < b", as_html([TABLE]))
    assert "<title>a &lt; b</title>" in page and page.startswith("<!DOCTYPE html>") and "http" not in page
