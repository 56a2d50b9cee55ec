"""Who stands where: rows of a leaderboard in their tables, sorted, with paired differences and earlier settings."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lensfold.config import Task
from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.leaderboard.differences import Difference, paired_differences
from lensfold.leaderboard.history import of_ensemble, read_history
from lensfold.leaderboard.rows import REPORT_FOLDER, Problem, Row, read_board
from lensfold.paths import Pack, Workspace
from lensfold.runs.scores import SCORE_NAMES, Score, ScoreName
from lensfold.submission.public_scores import PublicScore, known_submissions, read_public_scores

_SORTS = (
    "auc",
    "mean_fold_auc",
    "f1",
    "accuracy",
    "average_precision",
    "one_minus_f_beta",
    "tpr0",
    "tpr10",
    "auc_large",
)
#: scores that can sort a board, the size bins among them, and how each is shown
SORTS: Mapping[str, ScoreName] = {
    **{name: SCORE_NAMES[name] for name in _SORTS},
    **{name: ScoreName(f"AUC {name} px") for name in catalogs.SIZE_BIN_NAMES},
    "mse": SCORE_NAMES["mse"],
}


@dataclass(frozen=True)
class Standing:
    """Rows of one task, rule and training pack, best first, and what each gains on the row above it.

    ``is_synthetic``: whether the training pack is known to be a simulated one.
    """

    task: Task
    rule: str
    pack: str
    sort: str
    rows: tuple[Row, ...]
    differences: tuple[Difference | None, ...]
    earlier: tuple[dict, ...] = ()
    is_synthetic: bool = False


@dataclass(frozen=True)
class Board:
    """Everything on the leaderboard of a pack.

    ``is_simulated``: None where the pack's folder is not here. ``has_labels``: whether it could be scored, for all that
    is known.
    """

    pack: str
    is_simulated: bool | None
    sort: str
    standings: tuple[Standing, ...]
    problems: tuple[Problem, ...]
    newest: str | None
    public: tuple[PublicScore, ...] = ()
    has_labels: bool = True


def build_board(workspace: Workspace, pack: Pack, sort: str = "auc") -> Board:
    """Read and sort everything there is of a pack; paired differences are kept in ``runs/<pack>/report/``.

    Raises InputError for an unknown score. Runs, submissions and a history that cannot be read become problems.
    """
    choices = [name for name in SORTS if name != "mse"]
    if sort not in choices:
        raise InputError(f"--sort {sort!r}: no such score. Choose one of: {', '.join(choices)}.")
    rows, problems = read_board(workspace, pack)
    history = _history(workspace, pack, problems)
    standings = _standings(workspace, pack, sort, rows, _earlier(history, rows), problems)
    public = _public(workspace, pack, problems)
    return Board(
        pack.name,
        pack.is_simulated if pack.is_here else None,
        sort,
        tuple(standings),
        tuple(replace(problem, reason=_without_root(problem.reason, workspace)) for problem in problems),
        _newest(rows, history),
        tuple(public),
        not pack.lacks_labels,
    )


def _standings(
    workspace: Workspace,
    pack: Pack,
    sort: str,
    rows: Sequence[Row],
    earlier: dict[tuple[Task, str], list[dict]],
    problems: list[Problem],
) -> list[Standing]:
    """The tables of a board, lenses before radii, this pack's before others', those with most rows first.

    ``earlier`` scores without a row of their task and rule come last. What cannot be compared is added to ``problems``.
    """
    grouped: dict[tuple[bool, bool, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        of = row.scores
        grouped[of.task != "lens", of.pack != pack.name, of.pack, of.rule].append(row)
    store = workspace.run(pack.name, REPORT_FOLDER) / "differences.json"
    rest, standings = dict(earlier), []
    for key, members in sorted(grouped.items(), key=lambda item: (*item[0][:2], -len(item[1]), *item[0][2:])):
        is_radius, _, trained_on, rule = key
        by = "mse" if is_radius else sort
        ordered = sort_rows(members, by)
        source = pack if trained_on == pack.name else workspace.pack(trained_on)
        differences, reasons = paired_differences(source, ordered, by, store)
        problems.extend(reasons)
        task: Task = "einstein-radius" if is_radius else "lens"
        past = rest.pop((task, rule), []) if trained_on == pack.name else []
        standings.append(
            Standing(task, rule, trained_on, by, tuple(ordered), tuple(differences), tuple(past), source.is_simulated)
        )
    for (task, rule), past in sorted(rest.items()):  # of rules that no run has any more
        by = "mse" if task == "einstein-radius" else sort
        standings.append(Standing(task, rule, pack.name, by, (), (), tuple(past)))
    return standings


def score_of(row: Row, score: str) -> Score:
    """Return a row's score by its name in SORTS; of value None where it has none."""
    if score in catalogs.SIZE_BIN_NAMES:
        place = catalogs.SIZE_BIN_NAMES.index(score)
        found = next((cell for cell in row.scores.auc_by_size or () if cell.bin == place), None)
    else:
        found = getattr(row.scores, score)
    return found or Score(value=None)


def sort_rows(rows: Sequence[Row], score: str) -> list[Row]:
    """Return rows with every fold first, each part best first, those without a value last; equal ones by name."""
    sign = 1 if SORTS[score].is_loss else -1

    def key(row: Row) -> tuple:
        value = score_of(row, score).value
        return (not row.is_complete, value is None, sign * (value or 0.0), row.name, row.is_run)

    return sorted(rows, key=key)


def _history(workspace: Workspace, pack: Pack, problems: list[Problem]) -> list[dict]:
    path = workspace.submission(pack, "history")
    try:
        return [
            line for line in read_history(path) if line.get("name") and line.get("config") and not of_ensemble(line)
        ]
    except InputError as error:
        problems.append(Problem(path.name, str(error)))
        return []


def _public(workspace: Workspace, pack: Pack, problems: list[Problem]) -> list[PublicScore]:
    path = workspace.submission(pack, "public_scores")
    try:
        return read_public_scores(path, known_submissions(path.parent))
    except InputError as error:
        problems.append(Problem(path.name, str(error)))
        return []


def _without_root(text: str, workspace: Workspace) -> str:
    """A message without the place of the project on this machine."""
    return text.replace(f"{workspace.root}{os.sep}", "") if workspace.root.is_absolute() else text


def _earlier(history: Sequence[dict], rows: Sequence[Row]) -> dict[tuple[Task, str], list[dict]]:
    """By task and rule the last line of each experiment and settings that no run has now, newest first."""
    present = {(row.name, row.config_hash[:12]) for row in rows if row.config_hash}
    last: dict[tuple[Task, str, str, str], dict] = {}
    for line in history:
        if (line["name"], line["config"]) not in present:
            task: Task = "einstein-radius" if line.get("mse") else "lens"
            last[task, line.get("rule") or "?", line["name"], line["config"]] = line
    earlier: dict[tuple[Task, str], list[dict]] = defaultdict(list)
    for (task, rule, *_), line in sorted(last.items(), key=lambda item: item[1].get("time") or "", reverse=True):
        earlier[task, rule].append(line)
    return dict(earlier)


def _newest(rows: Sequence[Row], history: Sequence[dict]) -> str | None:
    """When the newest run ended by its own record, or for older ones was scored; None where nothing says."""
    scored = {(line["name"], line["config"]): line.get("time") for line in history}
    runs = [row for row in rows if row.is_run]
    times = [row.finished or scored.get((row.name, (row.config_hash or "")[:12])) for row in runs]
    return max(filter(None, times), default=None)
