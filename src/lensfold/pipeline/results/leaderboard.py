"""The leaderboard of a pack: every run and submission, best first, with what sets each apart from the one above it.

It is made only from the run folders, the manifests and the history, so that it comes out the same, byte for byte,
until one of these changes. It scores nothing again.
"""

from collections.abc import Sequence
from pathlib import Path

from lensfold.console import show_table, show_text
from lensfold.files import write_if_changed
from lensfold.leaderboard.board import Board, build_board
from lensfold.leaderboard.differences import code_changes
from lensfold.leaderboard.page import page_of
from lensfold.leaderboard.render import as_html, as_markdown
from lensfold.leaderboard.rows import REPORT_FOLDER
from lensfold.leaderboard.tables import ranking
from lensfold.paths import Pack, Workspace
from lensfold.runs.provenance import training_code

#: columns of the ranking that the terminal shows beside the score; the pages have all
_SHOWN = ("#", "name", "network", "to the row above", "folds", "n")


def leaderboard_section(board: Board) -> str:
    """Return the leaderboard as an HTML fragment with its style sheet, for a page that has more on it."""
    return as_html(page_of(board))


def write_leaderboard(workspace: Workspace, pack: Pack, sort: str = "auc") -> tuple[Board, list[Path]]:
    """Write ``submissions/<pack>/README.md`` and ``runs/<pack>/report/leaderboard.html``; return board and paths.

    ``sort``: a score of `lensfold.leaderboard.board.SORTS`. Raises InputError for another one.
    """
    board = build_board(workspace, pack, sort)
    page = page_of(board)
    texts = {
        workspace.submission(pack, "x").with_name("README.md"): as_markdown(page),
        workspace.run(pack.name, REPORT_FOLDER) / "leaderboard.html": as_html(page, whole_page=True),
    }
    for path, text in texts.items():
        write_if_changed(path, text.encode("utf-8"))
    return board, list(texts)


def show_leaderboard(board: Board, paths: Sequence[Path]) -> None:
    """Print the ranking of each rule, what could not be shown, and which runs other code would train today."""
    for standing in board.standings:
        if standing.rows:
            table = ranking(standing)
            shown = [number for number, name in enumerate(table.columns) if name in _SHOWN or "95 %" in name]
            rows = [[f"{row[number].text} {row[number].small}".strip() for number in shown] for row in table.rows]
            where = f"pack {standing.pack}"
            if standing.pack != board.pack:
                where = f"scores on {where}{' (SYNTHETIC)' * standing.is_synthetic}, not on {board.pack}"
            title = f"{standing.task} · {where} · rule {standing.rule}"
            show_table(title, [table.columns[number] for number in shown], rows, left=2)
    if not any(standing.rows for standing in board.standings) and not board.problems:
        show_text(
            f"nothing is trained on pack {board.pack} or scored for it"
            + (": train with `make train`" if board.has_labels else "; it has no labels: `make rank` ranks it")
        )
    for problem in board.problems:
        show_text(f"not shown: {problem.name}: {problem.reason}")
    for row in (row for standing in board.standings for row in standing.rows if row.code):
        if changed := code_changes(row.code, {"modules": training_code()}):
            show_text(f"{row.name}: since it was trained, {changed}")
    for path in paths:
        print(path)
