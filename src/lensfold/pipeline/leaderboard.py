"""The leaderboard of a pack: every run and submission, best first, with what sets each apart from the one above it.

It is made from nothing but the run folders, the manifests and the history, so that it comes out the same, byte for
byte, until one of these changes. It scores nothing again.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from lensfold.console import show_table
from lensfold.files import write_if_changed
from lensfold.leaderboard.board import Board, build_board
from lensfold.leaderboard.differences import code_changes
from lensfold.leaderboard.document import STYLE, as_html, as_markdown, html_page
from lensfold.leaderboard.page import board_document, ranking
from lensfold.leaderboard.rows import REPORT_FOLDER
from lensfold.paths import Pack, Workspace
from lensfold.runs.provenance import training_code


def leaderboard_section(board: Board) -> str:
    """The leaderboard as an HTML fragment with its style sheet, for a page that has more on it."""
    return f"<style>{STYLE}</style>\n{as_html(board_document(board))}"


def write_leaderboard(workspace: Workspace, pack: Pack, sort: str = "auc") -> tuple[Board, list[Path]]:
    """Write ``submissions/<pack>/README.md`` and ``runs/<pack>/report/leaderboard.html``; return board and paths.

    ``sort``: a score of `lensfold.leaderboard.board.SORTS`. Raises InputError for another one.
    """
    board = build_board(workspace, pack, sort)
    document = board_document(board)
    texts = {
        workspace.submission(pack, "x").with_name("README.md"): as_markdown(document),
        workspace.run(pack.name, REPORT_FOLDER) / "leaderboard.html": html_page(
            f"Leaderboard of pack {pack.name}", as_html(document)
        ),
    }
    for path, text in texts.items():
        write_if_changed(path, text.encode("utf-8"))
    return board, list(texts)


def show_leaderboard(board: Board, paths: Sequence[Path]) -> None:
    """The first table of each rule, what could not be shown, and which runs other code would train today."""
    for standing in board.standings:
        if standing.rows:
            table = ranking(standing)
            rows = [[escape(f"{cell.text} {cell.small}".strip()) for cell in row] for row in table.rows]
            show_table(
                f"{standing.task} · pack {escape(standing.pack)} · rule {escape(standing.rule)}",
                _name_first(table.columns),
                [_name_first(row) for row in rows],
            )
    for problem in board.problems:
        print(f"not shown: {problem.name}: {problem.reason}")
    for row in (row for standing in board.standings for row in standing.rows if row.code):
        if changed := code_changes(row.code, {"modules": training_code()}):
            print(f"{row.name}: since it was trained, {changed}")
    for path in paths:
        print(path)


def _name_first(cells: Sequence[str]) -> list[str]:
    place, name, *others = cells
    return [name, place, *others]
