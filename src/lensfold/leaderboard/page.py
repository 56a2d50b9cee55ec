"""A leaderboard as a document: what is written of each row, and what a reader must know of the whole."""

from collections.abc import Sequence

from lensfold.config import CHALLENGE_BETA_SQUARED
from lensfold.data import catalog as catalogs
from lensfold.leaderboard.board import LOSSES, SORTS, Board, Standing, score_of
from lensfold.leaderboard.differences import DRAWS, Difference, code_changes, settings_changes
from lensfold.leaderboard.document import Block, Cell, Heading, Listing, Table, Text
from lensfold.leaderboard.public import Pair, pairs_of, public_blocks
from lensfold.leaderboard.rows import Row
from lensfold.runs.run import learner_of
from lensfold.runs.scores import Score

#: Scores beside the one that sorts, in the second table.
OTHERS = ("auc", "mean_fold_auc", "f1", "average_precision", "one_minus_f_beta", "tpr10", "auc_large")
#: Settings told of a pair of rows, and lines told of earlier settings, before the rest is only counted.
CHANGES_SHOWN = 8
EARLIER_SHOWN = 20
NOTHING = "–"


def board_document(board: Board) -> list[Block]:
    """The whole leaderboard, headings to problems."""
    blocks: list[Block] = [Heading(f"Leaderboard of pack {board.pack}", 1), _summary(board)]
    if not any(standing.rows for standing in board.standings):
        blocks.append(Text("No run has been scored yet."))
    for standing in board.standings:
        blocks.extend(_standing(standing, board))
    blocks.extend(public_blocks(board))
    if board.problems:
        blocks.append(Heading("Not shown, and why"))
        blocks.append(Listing([(problem.name, problem.reason) for problem in board.problems]))
    return blocks


def _summary(board: Board) -> Listing:
    lens = [standing for standing in board.standings if standing.rows]
    counts = max((row.scores.n for standing in lens for row in standing.rows), default=0)
    kind = {
        True: "simulated: these scores are synthetic, never to be set beside published ones",
        False: "not simulated",
        None: "simulated or not is unknown, because its folder is not here",
    }[board.is_simulated]
    order = f"{SORTS[board.sort][0]}, {'less' if board.sort in LOSSES else 'more'} is better"
    count = sum(len(standing.rows) for standing in board.standings)
    return Listing(
        [
            ("Pack", f"{board.pack}, {kind}"),
            ("Objects", f"{counts:,} scored out of fold" if counts else "none scored yet"),
            ("Label rule", ", ".join(dict.fromkeys(standing.rule for standing in lens)) or NOTHING),
            ("Sorted by", f"{order}; Einstein radii by MSE; runs that lack folds stand below, without a place"),
            ("Newest run", board.newest.replace("T", " ") if board.newest else "its time was not recorded"),
            ("Made by", "make report or make leaderboard, from runs/ and the files beside this one; edits are lost"),
            (
                "Read with care",
                f"the best of {count} rows owes part of its place to luck, so its score is optimistic, the more so the "
                f"more rows there are. ± is one standard error of {DRAWS} paired bootstrap draws over the objects that "
                "both rows have; a difference of less than two of them may be chance",
            ),
        ]
    )


def _standing(standing: Standing, board: Board) -> list[Block]:
    what = "Lenses" if standing.task == "lens" else "Einstein radii"
    elsewhere = "" if standing.pack == board.pack else f", trained and scored on pack {standing.pack}"
    blocks: list[Block] = [Heading(f"{what}, rule {standing.rule}{elsewhere}{_counts(standing.rows)}")]
    if standing.rows:
        blocks.append(ranking(standing, pairs_of(board)))
        blocks.append(Heading("Other scores, 95 % intervals", 3))
        blocks.append(_other_scores(standing))
        blocks.append(Heading(f"{'AUC' if standing.task == 'lens' else 'MSE'} by lens size in pixels", 3))
        blocks.append(_by_size(standing))
        if items := _apart(standing.rows):
            blocks.extend([Heading("What sets each apart from the run above it", 3), Listing(items)])
    if standing.earlier:
        blocks.extend([Heading("Earlier settings", 3), *_earlier(standing)])
    return blocks


def _counts(rows: Sequence[Row]) -> str:
    """The number of objects, where all complete rows share it."""
    counts = {(row.scores.n, row.scores.n_lenses) for row in rows if row.is_complete}
    if len(counts) != 1:
        return ""
    n, lenses = counts.pop()
    return f", n = {n:,}" + ("" if lenses is None else f" ({lenses:,} lenses)")


def ranking(standing: Standing, public: Sequence[Pair] = ()) -> Table:
    """Places, the sorting score with its interval and its gain on the row above, and the cost of each row.

    Where one of the rows has a ``public`` score, the newest stands beside its own.
    """
    name, digits = SORTS[standing.sort]
    rows, places = standing.rows, _places(standing)
    costs = ("folds", "n", "training", "core-seconds", "parameters", "code")
    scores = [score_of(row, standing.sort) for row in rows]
    has_public = any(pair.row in rows for pair in public)
    lines = [
        [
            Cell(place),
            Cell(row.name),
            Cell(_made_of(row)),
            _score_cell(score, digits),
            _difference(difference, rows, number, digits),
            *([Cell(_newest_public(row, public))] if has_public else []),
            *_costs(row, rows),
        ]
        for number, (place, row, score, difference) in enumerate(
            zip(places, rows, scores, standing.differences, strict=True)
        )
    ]
    spans = [None if s.low is None or s.high is None or s.value is None else (s.low, s.value, s.high) for s in scores]
    muted = frozenset(number for number, row in enumerate(rows) if not row.is_complete)
    beside = ["public"] if has_public else []
    columns = ("#", "name", "network", f"{name} (95 %)", "to the row above", *beside, *costs)
    return Table(columns, lines, left=(0, 1, 2), spans=spans, muted=muted)


def _places(standing: Standing) -> list[str]:
    has_place = [row.is_complete and score_of(row, standing.sort).value is not None for row in standing.rows]
    return [str(number) if has else NOTHING for number, has in enumerate(has_place, start=1)]


def _newest_public(row: Row, public: Sequence[Pair]) -> str:
    """The newest public score of each metric."""
    own = sorted((pair.public for pair in public if pair.row is row), key=lambda told: told.date)
    return ", ".join(f"{told.score:g} {metric}" for metric, told in {told.metric: told for told in own}.items())


def _made_of(row: Row) -> str:
    if row.recipe is None:
        return learner_of(row.settings or {})
    calibration = "" if row.recipe.calibrate == "none" else f", {row.recipe.calibrate}"
    return f"{row.recipe.how} of {len(row.members)} run{'s' if len(row.members) > 1 else ''}{calibration}"


def _difference(told: Difference | None, rows: Sequence[Row], number: int, digits: int) -> Cell:
    """With the number of common objects where the two rows have other ones."""
    if told is None or told.value is None:
        return Cell(NOTHING)
    error = "" if told.error is None else f" ± {told.error:.{digits}f}"
    counts = {rows[number - 1].scores.n, rows[number].scores.n}
    value = f"{told.value:+.{digits}f}".replace("-", "−")
    return Cell(value + error, f"n = {told.n:,}" if len(counts) > 1 else "")


def _costs(row: Row, rows: Sequence[Row]) -> list[Cell]:
    scores = row.scores
    folds = f"{scores.of_folds}" if row.is_complete else f"{len(scores.folds)} of {scores.of_folds} folds"
    hashes = {other.folds_hash for other in rows}
    code = row.code or {"commit": "", "dirty": False}
    commit = (code["commit"][:7] or NOTHING) + ("+" if code["dirty"] else "")
    return [
        Cell(folds, (row.folds_hash or "?")[:8] if len(hashes) > 1 else ""),
        Cell(f"{scores.n:,}"),
        Cell(_duration(scores.seconds)),
        Cell(NOTHING if row.core_seconds is None else f"{row.core_seconds:,.0f}"),
        Cell(_magnitude(scores.parameters)),
        Cell(commit if row.is_run else ""),
    ]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _magnitude(parameters: int | None) -> str:
    if parameters is None:
        return NOTHING
    if parameters < 1000:
        return str(parameters)
    return f"{parameters / 1e6:.1f} M" if parameters >= 1_000_000 else f"{parameters / 1e3:.0f} k"


def _score_cell(score: Score, digits: int) -> Cell:
    if score.value is None:
        return Cell(NOTHING)
    limits = "" if score.low is None or score.high is None else f"{score.low:.{digits}f}–{score.high:.{digits}f}"
    return Cell(f"{score.value:.{digits}f}", limits)


def _other_scores(standing: Standing) -> Table:
    if standing.task == "lens":
        names = [name for name in OTHERS if name != standing.sort]
        heads = [SORTS[name][0] for name in names]
        rows = [[_score_cell(score_of(row, name), SORTS[name][1]) for name in names] for row in standing.rows]
    else:
        heads = ["MSE of a constant", "relative rms", "median error"]
        rows = [
            [
                _score_cell(row.scores.mse_constant or Score(value=None), 3),
                _score_cell(row.scores.relative_rms or Score(value=None), 3),
                Cell(NOTHING if row.scores.median_error is None else f"{row.scores.median_error:.3f}"),
            ]
            for row in standing.rows
        ]
    lines = [[Cell(row.name), *cells] for row, cells in zip(standing.rows, rows, strict=True)]
    return Table(("name", *heads), lines)


def _by_size(standing: Standing) -> Table:
    """By size bin; the number of lenses stands in the head where all rows share it."""
    bins = [_bins(row) for row in standing.rows]
    names, columns = [], []
    for place, name in enumerate(catalogs.SIZE_BIN_NAMES):
        cells = [found.get(place) for found in bins]
        counts = {cell.n for cell in cells if cell}
        shared = len(counts) == 1
        names.append(f"{name} ({counts.pop():,})" if shared else name)
        columns.append(
            [
                Cell(NOTHING)
                if cell is None or cell.value is None
                else Cell(f"{cell.value:.3f}", "" if shared else f"{cell.n:,}")
                for cell in cells
            ]
        )
    lines = [[Cell(row.name), *cells] for row, *cells in zip(standing.rows, *columns, strict=True)]
    return Table(("name", *names), lines)


def _bins(row: Row) -> dict:
    cells = row.scores.auc_by_size if row.scores.task == "lens" else row.scores.mse_by_size
    return {cell.bin: cell for cell in cells or ()}


def _apart(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Of each row what it is made of or how it differs from the nearest run above it, and its notes."""
    items, above = [], None
    for row in rows:
        told = [_members(row)] if row.recipe else [_changes(above, row)] if above else []
        told.extend(row.notes)
        if row.data_hash != rows[0].data_hash:
            told.append(f"other pixels than {rows[0].name} (data {(row.data_hash or '?')[:8]})")
        if row.scores.beta_squared != CHALLENGE_BETA_SQUARED:
            told.append(f"its F_beta has beta² = {row.scores.beta_squared:g}")
        if told:
            items.append((row.name, "; ".join(told)))
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
    told = [*(changes or ["the same settings"]), *([code] if code else [])]
    return f"against {above.name}: {'; '.join(told)}"


def _earlier(standing: Standing) -> list[Block]:
    """The last score of each experiment with settings that no run has now."""
    score = standing.sort if any(line.get(standing.sort) for line in standing.earlier) else "auc"
    name, digits = SORTS[score]
    shown = standing.earlier[:EARLIER_SHOWN]
    lines = [
        [
            Cell((line.get("time") or NOTHING).replace("T", " ")[:16]),
            Cell(line["name"]),
            Cell(line["config"]),
            Cell(line.get("folds") or NOTHING),
            Cell(line.get("n") or NOTHING),
            Cell(_text_number(line.get(score), digits)),
        ]
        for line in shown
    ]
    blocks: list[Block] = [Table(("scored", "name", "settings", "folds", "n", name), lines, left=(0, 1, 2))]
    if rest := len(standing.earlier) - len(shown):
        blocks.append(Text(f"{rest} older ones are in history.csv."))
    return blocks


def _text_number(text: str | None, digits: int) -> str:
    try:
        return f"{float(text):.{digits}f}"
    except (TypeError, ValueError):
        return NOTHING
