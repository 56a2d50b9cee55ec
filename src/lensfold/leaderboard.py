"""The leaderboard of a pack: every run and submission, best first, with what sets each apart from the one above it.

It is made from the run folders, the manifests and the history alone, so that it comes out the same, byte for byte,
until one of these changes. It scores nothing again.
"""

from pathlib import Path

from lensfold.leaderboard_page import board_document
from lensfold.leaderboard_rows import REPORT_FOLDER
from lensfold.leaderboard_standings import Board, build_board
from lensfold.leaderboard_table import as_html, as_markdown, html_page
from lensfold.paths import Pack, Workspace, replacing


def leaderboard_html(board: Board) -> str:
    """The leaderboard as an HTML fragment; `lensfold.leaderboard_table.STYLE` is its style sheet."""
    return as_html(board_document(board))


def write_leaderboard(workspace: Workspace, pack: Pack, sort: str = "auc") -> tuple[Board, list[Path]]:
    """Write ``submissions/<pack>/README.md`` and ``runs/<pack>/report/leaderboard.html``; return board and paths.

    ``sort``: a score of `lensfold.leaderboard_standings.SORTS`. Raises InputError for another one.
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
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return board, list(texts)
