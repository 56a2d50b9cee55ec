"""The tables of a leaderboard as rows of text: the ranking, other scores, sizes, and scores of earlier settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lensfold.data import catalog as catalogs
from lensfold.leaderboard.board import SORTS, Board, Standing, score_of
from lensfold.leaderboard.differences import Difference
from lensfold.leaderboard.rows import Row
from lensfold.runs.run import learner_of
from lensfold.runs.scores import (
    NOTHING,
    SCORE_NAMES,
    BinScore,
    PairedScore,
    Score,
    gain_text,
    limits_text,
    score_text,
)
from lensfold.runs.searcher import heading, numbers, prevalence_text
from lensfold.submission.public_scores import PublicScore

#: scores in the second table, without the one that sorts
OTHERS = ("auc", "mean_fold_auc", "f1", "average_precision", "one_minus_f_beta", "tpr10", "auc_large")
#: the same of runs that predict Einstein radii
RADIUS_OTHERS = ("mse_constant", "relative_rms", "median_error")
#: columns of the ranking that say what a row cost
COSTS = ("folds", "n", "training", "core-seconds", "parameters", "code")
#: lines of earlier settings that are shown before the rest is only counted
EARLIER_SHOWN = 20
#: a low and a high limit with the value between them
Span = tuple[float, float, float]


@dataclass(frozen=True)
class Cell:
    """Part of a table: a text, and what stands smaller behind it, an interval say."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first ``left`` columns are aligned to the left, those in ``also_left`` too.

    ``spans``: for each row the interval that HTML draws behind the left columns, or None.
    ``muted``: numbers of rows that are no full members of the table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    also_left: tuple[int, ...] = ()
    spans: tuple[Span | None, ...] = ()
    muted: tuple[int, ...] = ()

    def is_left(self, column: int) -> bool:
        """Return whether a column is aligned to the left."""
        return column < self.left or column in self.also_left


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
    """Return every public score with the out-of-fold score of its name, or else with the one that sorts the board."""
    rows = {row.name: row for standing in board.standings for row in standing.rows if not row.is_run}
    pairs = []
    for public in board.public:
        metric = public.metric.strip().lower().replace("-", "_").replace(" ", "_")
        own = metric if metric in SORTS else board.sort
        row = rows.get(f"{public.submission} (radii)" if own == "mse" else public.submission)
        pairs.append(Pair(public, own, row))
    return pairs


def ranking(standing: Standing, public: Sequence[Pair] = ()) -> Table:
    """Return places, the sorting score with its interval and its gain on the row above, and the cost of each row.

    Where one of the rows has a ``public`` score, the newest stands beside its own.
    """
    label, digits = SORTS[standing.sort].label, SORTS[standing.sort].digits
    rows, places = standing.rows, _places(standing)
    scores = [score_of(row, standing.sort) for row in rows]
    has_public = any(pair.row in rows for pair in public)
    lines = tuple(
        (
            Cell(place),
            Cell(row.name),
            Cell(_made_of(row)),
            _score_cell(score, digits),
            _difference(difference, rows, number, digits),
            *([Cell(_newest_public(row, public))] if has_public else []),
            *_costs(row, rows),
        )
        for number, (place, row, score, difference) in enumerate(
            zip(places, rows, scores, standing.differences, strict=True)
        )
    )
    muted = tuple(number for number, row in enumerate(rows) if not row.is_complete)
    beside = ["public"] if has_public else []
    columns = ("#", "name", "network", f"{label} ({_interval_name(rows)})", "to the row above", *beside, *COSTS)
    return Table(columns, lines, left=3, spans=tuple(map(_span, scores)), muted=muted)


def _interval_name(rows: Sequence[Row]) -> str:
    """What the intervals of the rows are over, where that is the same for all."""
    over = {"haloes" if row.scores.draws_haloes else "objects" for row in rows}
    return f"95 % over {over.pop()}" if len(over) == 1 else "95 %"


def _span(score: Score) -> Span | None:
    """The interval of a score around its value, where both are known."""
    if score.low is None or score.high is None or score.value is None:
        return None
    return (score.low, score.value, score.high)


def _places(standing: Standing) -> list[str]:
    has_place = [row.is_complete and score_of(row, standing.sort).value is not None for row in standing.rows]
    return [str(number) if has else NOTHING for number, has in enumerate(has_place, start=1)]


def _newest_public(row: Row, public: Sequence[Pair]) -> str:
    """The newest public score of each metric."""
    own = sorted((pair.public for pair in public if pair.row is row), key=lambda score: score.date)
    return ", ".join(f"{score.score:g} {metric}" for metric, score in {score.metric: score for score in own}.items())


def _made_of(row: Row) -> str:
    if row.recipe is None:
        return learner_of(row.settings or {})
    calibration = "" if row.recipe.calibrate == "none" else f", {row.recipe.calibrate}"
    return f"{row.recipe.how} of {len(row.members)} run{'s' if len(row.members) > 1 else ''}{calibration}"


def _difference(found: Difference | None, rows: Sequence[Row], number: int, digits: int) -> Cell:
    """With the number of common objects where the two rows have other ones."""
    if found is None or found.value is None:
        return Cell(NOTHING)
    error = "" if found.error is None else f" ± {found.error:.{digits}f}"
    counts = {rows[number - 1].scores.n, rows[number].scores.n}
    value = f"{found.value:+.{digits}f}".replace("-", "−")
    return Cell(value + error, f"n = {found.n:,}" if len(counts) > 1 else "")


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


def _score_cell(score: Score | None, digits: int) -> Cell:
    return Cell(score_text(score, digits), limits_text(score, digits))


def other_scores(standing: Standing) -> Table:
    """Return the scores beside the one that sorts, with their intervals."""
    names = [name for name in OTHERS if name != standing.sort] if standing.task == "lens" else RADIUS_OTHERS
    rows = [
        (Cell(row.name), *(_score_cell(_named(row, name), SCORE_NAMES[name].digits) for name in names))
        for row in standing.rows
    ]
    return Table(("name", *(SCORE_NAMES[name].label for name in names)), tuple(rows))


def _named(row: Row, name: str) -> Score | None:
    """A score of a row by its name; the median error has no interval."""
    found = getattr(row.scores, name)
    return Score(value=found) if isinstance(found, float) else found


def views(standing: Standing) -> Table | None:
    """Return the AUC of one view beside that of the mean over eight; None where no row has both."""
    rows = [
        (Cell(row.name), *_paired_cells(row.scores.one_view))
        for row in standing.rows
        if row.scores.one_view is not None
    ]
    columns = ("name", "one view", "eight views", _difference_name(standing))
    return Table(columns, tuple(rows)) if rows else None


def searchers(standing: Standing) -> tuple[str, Table] | None:
    """Return what a searcher gets of each row, behind what the numbers are of; None where no row says."""
    known = {row.name: row.scores.searcher for row in standing.rows if row.scores.searcher}
    if not known:
        return None
    several = len({searcher.prevalence for searcher in known.values()}) > 1
    rows = [
        (
            Cell(name, prevalence_text(searcher.prevalence) if several else ""),
            *(Cell(value, limits) for _, value, limits in numbers(searcher)),
        )
        for name, searcher in known.items()
    ]
    columns = ("name", *(name for name, _, _ in numbers(next(iter(known.values())))))
    return heading(list(known.values())), Table(columns, tuple(rows))


def members(standing: Standing) -> Table | None:
    """Return what each member adds to the AUC of its ensemble; None where there is no ensemble of several."""
    rows = [
        (Cell(row.name), Cell(part.name), _score_cell(part.own, SCORE_NAMES["auc"].digits), *_paired_cells(part))
        for row in standing.rows
        for part in row.adds
    ]
    columns = ("ensemble", "member", "its own AUC", "without it", "with it", _difference_name(standing))
    return Table(columns, tuple(rows), left=2) if rows else None


def _difference_name(standing: Standing) -> str:
    return f"difference ({_interval_name(standing.rows)})"


def _paired_cells(paired: PairedScore) -> list[Cell]:
    """Both AUCs and their difference with its interval."""
    digits = SCORE_NAMES["auc"].digits
    both = [Cell(score_text(Score(value=value), digits)) for value in (paired.first, paired.second)]
    value, _, limits = gain_text(paired, digits).replace("-", "−").partition(" (")
    return [*both, Cell(value, limits.removesuffix(")"))]


def by_size(standing: Standing) -> Table:
    """Return the score of each size bin; the number of lenses stands in the head where all rows share it."""
    bins = [_bins(row) for row in standing.rows]
    names, columns = [], []
    for place, name in enumerate(catalogs.SIZE_BIN_NAMES):
        cells = [found.get(place) for found in bins]
        counts = {cell.n for cell in cells if cell}
        shared = len(counts) == 1
        names.append(f"{name} ({counts.pop():,})" if shared else name)
        columns.append([_bin_cell(cell, shared) for cell in cells])
    rows = tuple((Cell(row.name), *cells) for row, *cells in zip(standing.rows, *columns, strict=True))
    return Table(("name", *names), rows)


def _bin_cell(cell: BinScore | None, shared: bool) -> Cell:
    if cell is None or cell.value is None:
        return Cell(NOTHING)
    return Cell(f"{cell.value:.3f}", "" if shared else f"{cell.n:,}")


def _bins(row: Row) -> Mapping[int, BinScore]:
    cells = row.scores.auc_by_size if row.scores.task == "lens" else row.scores.mse_by_size
    return {cell.bin: cell for cell in cells or ()}


def earlier_scores(standing: Standing) -> Table:
    """Return the last score of each experiment with settings that no run has now, the newest EARLIER_SHOWN of them."""
    score = standing.sort if any(line.get(standing.sort) for line in standing.earlier) else "auc"
    lines = tuple(
        (
            Cell((line.get("time") or NOTHING).replace("T", " ")[:16]),
            Cell(line["name"]),
            Cell(line["config"]),
            Cell(line.get("folds") or NOTHING),
            Cell(line.get("n") or NOTHING),
            Cell(_text_number(line.get(score), SORTS[score].digits)),
        )
        for line in standing.earlier[:EARLIER_SHOWN]
    )
    return Table(("scored", "name", "settings", "folds", "n", SORTS[score].label), lines, left=3)


def _text_number(text: str | None, digits: int) -> str:
    try:
        return f"{float(text or ''):.{digits}f}"
    except ValueError:
        return NOTHING
