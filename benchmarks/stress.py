"""Stress tests of a trained run on a simulated sky: what fools it, and which lenses it misses.

``python -m benchmarks.stress --pack euclid --experiment euclid_cnn`` prints a table. The threshold is the one that 5 %
of the profile's non-lenses pass, on a seed that was not trained on. Then the same objects are drawn again with one
thing changed, so that differences are paired. Pixels go the user's way: FITS files, a cache, the run's own prediction,
all in a temporary folder (0.45 MB an object).
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.stress_skies import RULE, Judge, Sky, with_artefacts, with_correlation
from lensfold.cli.options import CORES
from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.runs.run import Run
from lensfold.scoring.classes import FALSE_POSITIVES
from lensfold.simulate.optics.artefacts import Artefacts
from lensfold.simulate.optics.noise import MER_CORRELATION
from lensfold.simulate.population import Population
from lensfold.simulate.profiles import get_population
from lensfold.simulate.sky.negatives import NEGATIVES

RADII = (0.3, 0.5, 1.0, 1.5, 2.0, 3.0)  # edges of the bins of theta_E, arcsec
SHRUNK = 0.4  # factor on theta_E


def _rate(called: pd.Series) -> str:
    """Return the share that is called a lens with its 95 % interval (Wilson 1927)."""
    from scipy.stats import binomtest  # half a second to import, which each worker would take too

    limits = binomtest(int(called.sum()), len(called)).proportion_ci(method="wilson")
    return f"{called.mean():.3f} [{limits.low:.3f}, {limits.high:.3f}]"


def row(name: str, called: pd.Series, without: pd.Series | None = None) -> str:
    """Return a line of the table: how many are called lenses, and the paired difference to ``without``, by index.

    Its interval is that of Agresti & Min (2005).
    """
    if not len(called):
        return f"| {name} | 0 | – | – | – |"
    if without is None:
        return f"| {name} | {len(called)} | {_rate(called)} | – | – |"
    other = without[called.index]
    gained, lost, n = int((called & ~other).sum()), int((other & ~called).sum()), len(called)
    # half an object is added to each of the four counts, so that no change does not mean no doubt
    middle = (gained - lost) / (n + 2)
    half = 1.96 * np.sqrt(gained + lost + 1 - (gained - lost) ** 2 / (n + 2)) / (n + 2)
    change = f"{(gained - lost) / n:+.3f} [{middle - half:+.3f}, {middle + half:+.3f}]"
    return f"| {name} | {n} | {_rate(called)} | {other.mean():.3f} | {change} |"


def auc_row(name: str, table: pd.DataFrame, without: pd.DataFrame) -> str:
    """Return a line of the table: the AUC, that of the same objects ``without`` it, and the paired difference.

    Both have the same labels.
    """
    from lensfold.scoring.score_table import paired_table

    fold = np.zeros(len(table))
    pair: Any = paired_table(table["label"], (without["logit"], fold), (table["logit"], fold))
    found = pair["auc"]
    limits = f"{found['low']:+.3f}, {found['high']:+.3f}"
    cells = f"{found['second']:.3f} | {found['first']:.3f} | {found['value']:+.3f} [{limits}]"
    return f"| {name}: AUC | {len(table)} | {cells} |"


def stress_lines(judge: Judge, p: Population, count: int) -> Iterator[str]:
    """Yield the lines of the table; ``count`` non-lenses are asked of each kind, and twice as many objects in all."""
    usual = judge(Sky(p), range(2 * count))
    negative = usual["label"] == 0
    threshold = float(np.quantile(usual["logit"][negative], 1 - FALSE_POSITIVES))
    yield "| objects | n | called lenses | the same without it | difference |"
    yield "|---|---|---|---|---|"
    yield row("non-lenses of the profile, which set the threshold", usual["logit"][negative] > threshold)
    indices = usual.index[negative][:count].tolist()
    clean = judge(Sky(replace(p, artefacts=Artefacts())), indices)["logit"] > threshold
    yield row("non-lenses without any artefact", clean)
    for name, sky in with_artefacts(p).items():
        yield row(f"non-lenses, each with {name}", judge(sky, indices)["logit"] > threshold, clean)
    nothing = replace(p, share_with_source=0.0)
    others = judge(Sky(replace(nothing, negatives=())), range(count))
    plain = others["logit"] > threshold
    yield row("no source, the usual galaxies", plain)
    for kind, called in plain.groupby(others["class"]):
        yield row(f"of these: {kind}", called)
    for kind in NEGATIVES:
        found = judge(Sky(replace(nothing, negatives=((kind, 1.0),))), range(count))["logit"] > threshold
        yield row(f"no source, hard negative: {kind}", found, plain)
    yield from _lens_rows(judge, p, usual, threshold)


def _lens_rows(judge: Judge, p: Population, usual: pd.DataFrame, threshold: float) -> Iterator[str]:
    """Yield recall by theta_E, with the profile's and smaller lenses, and what correlated noise costs."""
    lenses = usual[usual["label"] == 1]
    for low, high in zip(RADII[:-1], RADII[1:], strict=True):
        within = lenses[(lenses["radius"] > low) & (lenses["radius"] <= high)]
        yield row(f"lenses, theta_E {low}–{high}″", within["logit"] > threshold)
    yield row("all lenses", lenses["logit"] > threshold)
    small = judge(Sky(replace(p, einstein_scale=SHRUNK * p.einstein_scale)), usual.index.tolist())
    called = small["logit"][small["label"] == 1] > threshold
    yield row(f"lenses, theta_E × {SHRUNK}", called, usual["logit"] > threshold)
    alike = small["label"] == usual["label"]  # paired: what is no lens any more is left out
    yield auc_row(f"theta_E × {SHRUNK}", small[alike], usual[alike])
    white = judge(with_correlation(p, (0.0,) * 4), usual.index.tolist())
    correlated = judge(with_correlation(p, MER_CORRELATION), usual.index.tolist())
    yield auc_row("noise correlated as in MER mosaics, against white noise", correlated, white)


def checked_run(folder: Path) -> Run:
    """Return the run in a folder; InputError unless it is a network with a complete fold that finds lenses by RULE."""
    run = Run(folder)
    if not run.complete_folds:
        raise run.no_fold()
    if run.is_kernel_machine or run.task != "lens" or run.label_rule != RULE:
        raise InputError(
            f"{folder}: {run.learner} learns {run.task} by {run.label_rule}, expected a network by {RULE}."
        )
    return run


def main(
    pack: Annotated[str, typer.Option(help="Pack that the run was trained on.")],
    experiment: Annotated[str, typer.Option(help="Name of the run; its complete folds are used.")],
    root: Annotated[Path, typer.Option(help="Project folder.")] = Path(),
    profile: Annotated[str | None, typer.Option(help="Sky to draw from; default: the pack's name.")] = None,
    count: Annotated[int, typer.Option(min=20, help="Objects of each kind.")] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="Of the sky; another than the pack's.")] = 101,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw objects.")] = CORES,
    scratch: Annotated[Path | None, typer.Option(help="Where objects are written for a while.")] = None,
) -> None:
    """Print what a trained run says of objects made to fool it, as a table for a page."""
    try:
        p = get_population(profile or pack)
        run = checked_run(Workspace(root).run(pack, experiment))
        with tempfile.TemporaryDirectory(dir=scratch) as folder, redirect_stdout(sys.stderr):
            workspace = Workspace(Path(folder))
            # a copy, so that the run is left as it was
            shutil.copytree(run.folder, workspace.run(pack, experiment), ignore=shutil.ignore_patterns("test"))
            lines = list(stress_lines(Judge(workspace, pack, experiment, seed, workers), p, count))
    except InputError as error:
        sys.exit(f"error: {error}")
    print("\n".join(lines))
    folds = f"mean logit of {len(run.complete_folds)} fold(s), training seed {run.experiment.get('seed')}"
    print(f"\nSimulated: profile {p.name}, seed {seed}, test split; {experiment} trained on {pack}, {folds}.")
    print("Brackets are 95 % intervals over objects, with the threshold as it is.")


if __name__ == "__main__":
    typer.run(main)
