"""Public scores beside our own: the same submissions as the organisers scored them, and how well the two agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lensfold.leaderboard.board import SORTS, Board, score_of
from lensfold.leaderboard.document import Block, Cell, Heading, Listing, Table, Text
from lensfold.leaderboard.rows import Row
from lensfold.submission.public_scores import PublicScore

#: Fewer submissions than this lie on a line too easily.
LEAST_POINTS = 3


@dataclass(frozen=True)
class Pair:
    """A public score and the out-of-fold score of the same submission: ``own`` is the score's name in SORTS."""

    public: PublicScore
    own: str
    row: Row | None

    @property
    def value(self) -> float | None:
        """Our own score; None where the submission has none."""
        return None if self.row is None else score_of(self.row, self.own).value


def pairs_of(board: Board) -> list[Pair]:
    """Every public score with the out-of-fold score of its name, or else with the one that sorts the board."""
    rows = {row.name: row for standing in board.standings for row in standing.rows if not row.is_run}
    pairs = []
    for public in board.public:
        metric = public.metric.strip().lower().replace("-", "_").replace(" ", "_")
        own = metric if metric in SORTS else board.sort
        row = rows.get(f"{public.submission} (radii)" if own == "mse" else public.submission)
        pairs.append(Pair(public, own, row))
    return pairs


def public_blocks(board: Board) -> list[Block]:
    """The table of public scores and their agreement with ours; nothing where none were entered."""
    pairs = pairs_of(board)
    if not pairs:
        return []
    lines = [
        [
            Cell(pair.public.submission),
            Cell(pair.public.metric),
            Cell(f"{pair.public.score:g}"),
            _own_cell(pair),
            Cell(pair.public.date.isoformat()),
            Cell(pair.public.note),
        ]
        for pair in pairs
    ]
    columns = ("submission", "metric", "public", "out of fold", "date", "note")
    blocks: list[Block] = [Heading("Public scores"), Table(columns, lines, left=(0, 1, 5))]
    told = [(metric, agreement(points)) for metric, points in _by_metric(pairs).items()]
    return [*blocks, Text("Agreement of public and out-of-fold scores, of each submission the newest:"), Listing(told)]


def _own_cell(pair: Pair) -> Cell:
    name, digits = SORTS[pair.own]
    return Cell("–") if pair.value is None else Cell(f"{pair.value:.{digits}f}", name)


def _by_metric(pairs: Sequence[Pair]) -> dict[str, list[tuple[float, float]]]:
    """Public and own score of each submission that has both, by metric; the newest public one of each."""
    newest: dict[tuple[str, str], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.public.date):
        newest[pair.public.metric, pair.public.submission] = pair
    points: dict[str, list[tuple[float, float]]] = {pair.public.metric: [] for pair in pairs}
    for (metric, _), pair in newest.items():
        if pair.value is not None:
            points[metric].append((pair.public.score, pair.value))
    return points


def agreement(points: Sequence[tuple[float, float]]) -> str:
    """Spearman's and Pearson's correlation in words; why there is none below LEAST_POINTS or without variation."""
    table = pd.DataFrame(points, columns=["public", "own"], dtype=float)
    if len(table) < LEAST_POINTS:
        return f"n = {len(table)}, too few for a correlation (at least {LEAST_POINTS})"
    if (table.nunique() < 2).any():
        return f"n = {len(table)}, no correlation: one of the two is always the same"
    ranks = table.rank()
    spearman, pearson = ranks["public"].corr(ranks["own"]), table["public"].corr(table["own"])
    return f"Spearman {spearman:.2f}, Pearson {pearson:.2f}, n = {len(table)}".replace("-", "−")
