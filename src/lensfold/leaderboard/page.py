"""The leaderboard of a pack as plain rows for its two templates, Markdown and HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.leaderboard.board import SORTS, Board, Standing
from lensfold.leaderboard.differences import DRAWS, code_changes, settings_changes
from lensfold.leaderboard.rows import Row
from lensfold.leaderboard.tables import (
    EARLIER_SHOWN,
    Cell,
    Pair,
    Table,
    by_size,
    earlier_scores,
    members,
    other_scores,
    pairs_of,
    ranking,
    searchers,
    views,
)
from lensfold.runs.scores import NOTHING

#: changed settings of a pair of rows that are listed before the rest is only counted
CHANGES_SHOWN = 8
#: fewer submissions than this lie on a line too easily
LEAST_POINTS = 3
#: a term and what is said of it
Item = tuple[str, str]


@dataclass(frozen=True)
class Section:
    """One standing: its heading and its tables, of which those without rows are None."""

    heading: str
    score: str
    ranking: Table | None
    others: Table | None
    sizes: Table | None
    views: Table | None
    members: Table | None
    searchers: tuple[str, Table] | None
    apart: tuple[Item, ...]
    earlier: Table | None
    more_earlier: int


@dataclass(frozen=True)
class Public:
    """Public scores beside ours, and how well they agree, by metric."""

    table: Table
    agreement: tuple[Item, ...]


@dataclass(frozen=True)
class Page:
    """The whole leaderboard, from its summary to what could not be shown."""

    pack: str
    summary: tuple[Item, ...]
    is_scored: bool
    sections: tuple[Section, ...]
    public: Public | None
    problems: tuple[Item, ...]


def page_of(board: Board) -> Page:
    """Return what the leaderboard's page shows, as plain texts that are not escaped yet."""
    return Page(
        board.pack,
        _summary(board),
        any(standing.rows for standing in board.standings),
        tuple(_section(standing, board) for standing in board.standings),
        _public(board),
        tuple((problem.name, problem.reason) for problem in board.problems),
    )


def _summary(board: Board) -> tuple[Item, ...]:
    lens = [standing for standing in board.standings if standing.rows]
    counts = max((row.scores.n for standing in lens for row in standing.rows), default=0)
    what = {
        True: "simulated: these scores are synthetic, never to be set beside published ones",
        False: "not simulated",
        None: "simulated or not is unknown, because its folder is not here",
    }[board.is_simulated]
    if not board.has_labels:
        what = "cutouts without labels: scores are those of the networks' training packs, never of this one"
    sort = SORTS[board.sort]
    order = f"{sort.label}, {'less' if sort.is_loss else 'more'} is better"
    count = sum(len(standing.rows) for standing in board.standings)
    return (
        ("Pack", f"{board.pack}, {what}"),
        ("Objects", f"{counts:,} scored out of fold" if counts else "none scored yet"),
        ("Label rule", ", ".join(dict.fromkeys(standing.rule for standing in lens)) or NOTHING),
        ("Sorted by", f"{order}; Einstein radii by MSE; runs that lack folds stand below, without a place"),
        ("Newest run", board.newest.replace("T", " ") if board.newest else "its time was not recorded"),
        ("Made by", "make report or make leaderboard, from runs/ and the files beside this one; edits are lost"),
        (
            "Read with care",
            f"the best of {count} rows owes part of its place to luck, so its score is optimistic, the more so the "
            f"more rows there are. ± is one standard error of {DRAWS} paired bootstrap draws of the objects that "
            "both rows have, or of their haloes where these repeat; a difference of less than two may be chance",
        ),
    )


def _section(standing: Standing, board: Board) -> Section:
    what = "Lenses" if standing.task == "lens" else "Einstein radii"
    synthetic = " (SYNTHETIC)" if standing.is_synthetic else ""
    elsewhere = "" if standing.pack == board.pack else f", trained and scored on pack {standing.pack}{synthetic}"
    has_rows = bool(standing.rows)
    return Section(
        f"{what}, rule {standing.rule}{elsewhere}{_counts(standing.rows)}",
        "AUC" if standing.task == "lens" else "MSE",
        ranking(standing, pairs_of(board)) if has_rows else None,
        other_scores(standing) if has_rows else None,
        by_size(standing) if has_rows else None,
        views(standing),
        members(standing),
        searchers(standing),
        tuple(_apart(standing.rows)),
        earlier_scores(standing) if standing.earlier else None,
        max(0, len(standing.earlier) - EARLIER_SHOWN),
    )


def _counts(rows: Sequence[Row]) -> str:
    """The number of objects, where all complete rows share it."""
    counts = {(row.scores.n, row.scores.n_lenses) for row in rows if row.is_complete}
    if len(counts) != 1:
        return ""
    n, lenses = counts.pop()
    return f", n = {n:,}" + ("" if lenses is None else f" ({lenses:,} lenses)")


def _apart(rows: Sequence[Row]) -> list[Item]:
    """Of each row what it is made of or how it differs from the nearest run above it, and its notes."""
    items: list[Item] = []
    above: Row | None = None
    for row in rows:
        facts = [_members(row)] if row.recipe else [_changes(above, row)] if above else []
        facts.extend(row.notes)
        if row.data_hash != rows[0].data_hash:
            facts.append(f"other pixels than {rows[0].name} (data {(row.data_hash or '?')[:8]})")
        if row.scores.beta_squared != CHALLENGE_BETA_SQUARED:
            facts.append(f"its F_beta has beta² = {row.scores.beta_squared:g}")
        if facts:
            items.append((row.name, "; ".join(facts)))
        above = row if row.is_run else above
    return items


def _members(row: Row) -> str:
    equal = len({member.weight for member in row.members}) == 1
    return "of " + ", ".join(m.name if equal else f"{m.name} × {m.weight:.3g}" for m in row.members)


def _changes(above: Row, row: Row) -> str:
    changes = settings_changes(above.settings or {}, row.settings or {})
    if len(changes) > CHANGES_SHOWN:
        changes = [*changes[:CHANGES_SHOWN], f"and {len(changes) - CHANGES_SHOWN} more settings"]
    code = code_changes(above.code, row.code)
    differing = [*(changes or ["the same settings"]), *([code] if code else [])]
    return f"against {above.name}: {'; '.join(differing)}"


def _public(board: Board) -> Public | None:
    """Public scores and their agreement with ours; None where none were entered."""
    pairs = pairs_of(board)
    if not pairs:
        return None
    lines = tuple(
        (
            Cell(pair.public.submission),
            Cell(pair.public.metric),
            Cell(f"{pair.public.score:g}"),
            _own_cell(pair),
            Cell(pair.public.date.isoformat()),
            Cell(pair.public.note),
        )
        for pair in pairs
    )
    columns = ("submission", "metric", "public", "out of fold", "date", "note")
    agreements = [(metric, agreement(points)) for metric, points in _by_metric(pairs).items()]
    return Public(Table(columns, lines, left=2, also_left=(5,)), tuple(agreements))


def _own_cell(pair: Pair) -> Cell:
    name = SORTS[pair.own]
    return Cell(NOTHING) if pair.value is None else Cell(f"{pair.value:.{name.digits}f}", name.label)


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
    """Return Spearman's and Pearson's correlation in words; or why there is none: too few points, no variation."""
    table = pd.DataFrame(points, columns=["public", "own"], dtype=float)
    if len(table) < LEAST_POINTS:
        return f"n = {len(table)}, too few for a correlation (at least {LEAST_POINTS})"
    if (table.nunique() < 2).any():
        return f"n = {len(table)}, no correlation: one of the two is always the same"
    ranks = table.rank()
    spearman, pearson = ranks["public"].corr(ranks["own"]), table["public"].corr(table["own"])
    return f"Spearman {spearman:.2f}, Pearson {pearson:.2f}, n = {len(table)}".replace("-", "−")
