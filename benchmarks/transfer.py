"""Does what is learnt on one simulated sky hold on another? Networks of several packs on each other's test splits.

``python -m benchmarks.transfer --experiment challenge_cnn --home home --home home-varied --away away`` prints a table.
A row is a network on a test split; its scores stand beside those of the network that was trained on that split's own
pack, on the same objects.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from lensfold.cli.options import CORES
from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import current_cache
from lensfold.pipeline.predict import predict_folds
from lensfold.runs.run import Run
from lensfold.scoring.out_of_fold import LARGE, LensTask, drawn_haloes, lens_task
from lensfold.scoring.score_table import paired_table, score_table

RULE = catalogs.DEFAULT_RULE
#: scores of the table, by their names in a score table
SCORES = {"auc": f"AUC, {RULE}", "auc_large": f"AUC, > {LARGE} px against no source"}
SIMULATED = "Simulated scores: they say how networks of one simulated sky do on another, and nothing of the real sky."


@dataclass(frozen=True)
class Judged:
    """A pack whose test split is predicted, and what its key says."""

    pack: Pack
    task: LensTask
    about: str

    @classmethod
    def of(cls, pack: Pack) -> "Judged":
        """Return a pack with its key; InputError where it has none."""
        if not pack.key.is_file():
            raise InputError(f"{pack.key}: no key, so {pack.name} cannot be judged on. Give simulated packs only.")
        key = catalogs.read_catalog(pack.key)
        return cls(pack, lens_task(key, key.index, RULE), _about(pack.key))

    @property
    def haloes(self) -> np.ndarray | None:
        """What intervals are over: haloes, or None for objects where no two share one."""
        return drawn_haloes(self.task.haloes)


def _about(key: Path) -> str:
    """Return what the key's comments say of profile and seed."""
    with key.open(encoding="utf-8") as stream:
        found = [line.strip("# \n") for line in stream if line.startswith("# profile")]
    return found[0] if found else "profile and seed unknown"


def trained_runs(workspace: Workspace, names: Sequence[str], experiment: str) -> dict[str, Run]:
    """Return the runs with a complete fold by the pack they were trained on.

    Raises InputError where there is none, and for a run that does not learn the label rule of the table.
    """
    runs = {name: Run(workspace.run(name, experiment)) for name in names}
    found = {name: run for name, run in runs.items() if run.complete_folds}
    if not found:
        raise InputError(f"no fold of {experiment} is complete on {', '.join(names)}. Train it on one of them.")
    for run in found.values():
        if run.task != "lens" or run.label_rule != RULE:
            raise InputError(f"{run.folder}: learns {run.task} by {run.label_rule}, expected lens by {RULE}.")
    return found


def test_logits(workspace: Workspace, judged: Pack, run: Run, trained_on: str) -> pd.Series:
    """Return the logits of a test split by a run's complete folds, the mean, by ID; its cache must be there."""
    predict_folds(workspace, judged, trained_on, run.name)
    return run.test_logits(judged.name)


def compared(judged: Judged, logits: pd.Series, own: pd.Series | None) -> dict[str, tuple[dict, dict | None]]:
    """Return for each of SCORES its value with limits, and the difference to the logits ``own`` with its limits."""
    task, one_fold = judged.task, np.zeros(len(judged.task.ids))
    scores = score_table(task.labels, logits[task.ids], one_fold, large=task.large, groups=judged.haloes)
    if own is None:
        return {name: (_score(scores, name), None) for name in SCORES}
    pair = [(series[task.ids], one_fold) for series in (own, logits)]
    differences = paired_table(task.labels, pair[0], pair[1], large=task.large, groups=judged.haloes)
    return {name: (_score(scores, name), _score(differences, name)) for name in SCORES}


def _score(table: dict, name: str) -> dict:
    return table[name]


def _cell(score: dict | None, sign: str = "") -> str:
    if score is None or score["value"] is None:
        return "–"
    return f"{score['value']:{sign}.3f} [{score['low']:{sign}.3f}, {score['high']:{sign}.3f}]"


def transfer_lines(workspace: Workspace, names: Sequence[str], experiment: str, workers: int) -> Iterator[str]:
    """Yield the lines of the table and what it rests on: each trained run on each pack's test split.

    Caches of test splits are made where they are absent; nothing else but predictions is. Raises InputError where no
    run is trained, or a pack has no key.
    """
    runs = trained_runs(workspace, names, experiment)
    judged = [Judged.of(workspace.pack(name)) for name in names]
    for one in judged:
        current_cache(workspace, one.pack, "test", False, workers)
    logits = {
        (one.pack.name, name): test_logits(workspace, one.pack, run, name)
        for one in judged
        for name, run in runs.items()
    }
    titles = " | ".join(f"{title} | Δ to the network trained there" for title in SCORES.values())
    yield f"| judged on | trained on | {titles} |"
    yield f"|---|---|{'---|---|' * len(SCORES)}"
    for one in judged:
        here = one.pack.name
        for name in runs:
            own = logits.get((here, here)) if name != here else None
            found = compared(one, logits[here, name], own).values()
            cells = [f"{_cell(score)} | {_cell(difference, '+')}" for score, difference in found]
            yield f"| {here} | {name} | {' | '.join(cells)} |"
    yield ""
    yield from (f"- {_described(one)}" for one in judged)
    yield from (f"- trained on {name}: {_described_run(run)}" for name, run in runs.items())
    yield f"- {SIMULATED} Test splits only; brackets are 95 % intervals of other objects, not of other trainings."


def _described(judged: Judged) -> str:
    task = judged.task
    large = f"{int(np.sum(task.large == 1))} > {LARGE} px, {int(np.sum(task.large == 0))} without a source"
    over = "objects" if judged.haloes is None else f"{len(np.unique(task.haloes))} haloes"
    counts = f"n = {len(task.ids)}, {int(task.labels.sum())} lenses, {large}; intervals over {over}"
    return f"judged on {judged.pack.name} ({judged.about}): {counts}"


def _described_run(run: Run) -> str:
    folds = len(run.complete_folds)
    return f"{run.name}, mean logit of {folds} fold{'s' if folds > 1 else ''}, training seed {run.experiment['seed']}"


def main(
    experiment: Annotated[str, typer.Option(help="Name of the runs.")],
    home: Annotated[list[str], typer.Option(help="Pack trained and judged on; may be given again.")],
    away: Annotated[list[str], typer.Option(help="Pack of another population; may be given again.")],
    root: Annotated[Path, typer.Option(help="Project folder.")] = Path(),
    workers: Annotated[int, typer.Option(min=1, help="Processes that build caches.")] = CORES,
) -> None:
    """Print how networks of each pack do on every pack's test split, as a table for a page."""
    try:
        with redirect_stdout(sys.stderr):
            lines = list(transfer_lines(Workspace(root), list(dict.fromkeys([*home, *away])), experiment, workers))
    except InputError as error:
        sys.exit(f"error: {error}")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
