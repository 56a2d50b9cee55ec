"""The leaderboard's page as Markdown and HTML: the layout, and that no text can leave its place."""

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensfold.leaderboard.page import Page, Public, Section
from lensfold.leaderboard.render import as_html, as_markdown, markdown_text
from lensfold.leaderboard.tables import Cell, Table

TABLE = Table(("name", "score"), ((Cell("a"), Cell("0.9", "0.8–1.0")), (Cell("long_name"), Cell("–"))))
SECTION = Section(
    "Lenses, rule r", "AUC", TABLE, TABLE, TABLE, TABLE, TABLE, ("with 1 in 9", TABLE), (("a", "first"),), TABLE, 3
)
EMPTY = Page("p", (("n", "3 * 4"),), False, (), None, ())


def page_of(text: str) -> Page:
    """A page with ``text`` wherever a text can stand."""
    table = Table((text, text), ((Cell(text, text),) * 2,), spans=((0.0, 0.5, 1.0),))
    section = Section(text, text, table, table, table, table, table, (text, table), ((text, text),), table, 1)
    return Page(text, ((text, text),), False, (section,), Public(table, ((text, text),)), ((text, text),))


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


def board(page: Page, **options) -> str:
    """The part of the HTML that shows the board."""
    html = as_html(page, **options)
    return html[html.index('<div class="board">') :]


def test_markdown_reads_as_plain_text():
    table = (
        "| name      |         score |\n| --------- | ------------: |\n"
        "| a         | 0.9 (0.8–1.0) |\n| long_name |             – |\n"
    )
    assert as_markdown(EMPTY) == "# Leaderboard of pack p\n\n- **n**: 3 \\* 4\n\nNo run has been scored yet.\n"
    assert as_markdown(replace(EMPTY, is_scored=True, sections=(SECTION,), problems=(("x", "why"),))) == (
        "# Leaderboard of pack p\n\n- **n**: 3 \\* 4\n\n## Lenses, rule r\n\n"
        f"{table}\n### Other scores, 95 % intervals\n\n{table}\n### AUC by lens size in pixels\n\n{table}\n"
        f"### AUC of one view, and of the mean over eight flips and rotations\n\n{table}\n"
        f"### What each member adds to the AUC of its ensemble\n\n{table}\n"
        f"### What a searcher gets with 1 in 9\n\n{table}\n"
        "### What sets each apart from the run above it\n\n- **a**: first\n\n"
        f"### Earlier settings\n\n{table}\n3 older ones are in history.csv.\n\n## Not shown, and why\n\n- **x**: why\n"
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


@given(st.text(), st.text())
def test_no_text_makes_a_cell_or_a_line(name, value):
    table = Table(("a", "b"), ((Cell(name), Cell(value, "s")),))
    before = as_markdown(replace(EMPTY, sections=(replace(SECTION, earlier=TABLE),))).splitlines()
    lines = as_markdown(replace(EMPTY, sections=(replace(SECTION, ranking=table),))).splitlines()
    assert len(lines) == len(before) - 1  # one row in the place of two
    unescaped = lines[lines.index("## Lenses, rule r") + 4].replace("\\\\", "").replace("\\|", "")
    assert unescaped.count("|") == 3 and unescaped.startswith("|") and unescaped.endswith("|")


@given(st.text())
def test_no_text_makes_a_line_of_markdown(text):
    assert len(as_markdown(page_of(text)).splitlines()) == len(as_markdown(page_of("x")).splitlines())


@given(st.text())
def test_no_text_makes_a_tag(text):
    found, plain = Reader(as_html(page_of(text), whole_page=True)), Reader(as_html(page_of("x"), whole_page=True))
    small = [] if text else ["small"]  # an empty text has no small one behind it
    assert [tag for tag in found.tags if tag not in small] == [tag for tag in plain.tags if tag not in small]
    printable = "".join(c if c.isprintable() else " " for c in text)
    assert "".join(found.text).count(printable) >= 20


@pytest.mark.parametrize("whole_page", [True, False])
def test_html_is_well_formed(whole_page):
    html = board(page_of("a < b & 'c' \"d\""), whole_page=whole_page)
    body = ElementTree.fromstring(html[: html.rindex("</div>") + 6])
    assert len(list(body.iter("table"))) == 8 and len(list(body.iter("svg"))) == 8


def test_intervals_are_drawn_on_one_scale():
    spans = ((0.0, 0.5, 1.0), None, (0.5, 0.75, 1.0))
    table = Table(("n", "s"), ((Cell("a"), Cell("1")),) * 3, spans=spans)
    html = board(replace(EMPTY, sections=(replace(SECTION, ranking=table),)))
    html = html[: html.index("<h3>")]
    assert html.count("<svg") == 2 and '<line x1="4.0" y1="7" x2="116.0" y2="7"/><circle cx="60.0"' in html
    assert '<line x1="60.0" y1="7" x2="116.0" y2="7"/><circle cx="88.0"' in html
    assert html.count("<td") == 9 and html.count("<th>") + html.count("<th ") == 3
    one = Table(("n", "s"), ((Cell("a"),) * 2,), spans=((1.0, 1.0, 1.0),))
    assert 'x1="4.0"' in board(replace(EMPTY, sections=(replace(SECTION, ranking=one),)))


def test_rows_out_of_competition_are_muted():
    table = Table(("n",), ((Cell("a"),), (Cell("b"),)), muted=(1,))
    rows = ElementTree.fromstring(board(replace(EMPTY, sections=(replace(SECTION, ranking=table),)))).iter("tr")
    found = [(row.get("class"), row[0].get("class"), row[0].text) for row in list(rows)[1:3]]
    assert found == [(None, "left", "a"), ("muted", "left", "b")]


def test_columns_are_aligned_to_the_left_where_they_are_texts():
    table = Table(("a", "b", "c", "d"), ((Cell("1"),) * 4,), left=2, also_left=(3,))
    assert "| --- | --- | --: | --- |" in as_markdown(replace(EMPTY, sections=(replace(SECTION, ranking=table),)))


def test_a_whole_page_loads_nothing():
    page = as_html(replace(EMPTY, pack="a < b"), whole_page=True)
    assert "<title>Leaderboard of pack a &lt; b</title>" in page and page.startswith("<!DOCTYPE html>")
    assert "http" not in page and page.rstrip().endswith("</html>") and ".board table {" in page
    fragment = as_html(EMPTY)
    assert fragment.startswith("<style>") and "<html" not in fragment and ".board table {" in fragment
