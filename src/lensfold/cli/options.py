"""Options that several commands share, and what they mean."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lensfold.errors import InputError
from lensfold.frames import BANDS
from lensfold.paths import Pack, Workspace

PackName = Annotated[str | None, typer.Option("--pack", help="Pack name; default: sample, or the name of --data.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the pack; default: data/<pack>.")]
Root = Annotated[Path, typer.Option("--root", help="Project folder with experiments/, folds/, runs/, submissions/.")]
ExperimentName = Annotated[str, typer.Option("--experiment", help="Name of a file in experiments/, without .toml.")]
SubmissionName = Annotated[str, typer.Option("--submission", help="Name of a file in submissions/, without .toml.")]
TrainedOn = Annotated[
    str | None,
    typer.Option(
        "--trained-on", help="Predict with runs of this pack as they are, and train none; default: the pack itself."
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unusable objects out instead of stopping.")]
AnySplit = Annotated[
    str | None,
    typer.Option(
        "--split", help="train or test, or twins of a simulated pack; default: train where there is one, else test."
    ),
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
BetaSquared = Annotated[
    float, typer.Option("--beta-squared", min=1e-9, max=1e9, help="beta² of F_beta; the challenge's ranking has 0.001.")
]
Prevalence = Annotated[
    float,
    typer.Option(
        "--prevalence",
        min=1e-7,
        max=0.5,
        help="Share of lenses in the sky that a searcher's scores are of: 1 in 2,000.",
    ),
]
EveryTable = Annotated[bool, typer.Option("--all", help="Every table of scores, not only the outcome.")]
SortScore = Annotated[str, typer.Option("--sort", help="auc, f1, tpr10, auc_large, … or a size bin as '21-40'.")]
Stage = Annotated[Path | None, typer.Option("--stage", help="Copy the cache to this local folder and read it there.")]
FrameSide = Annotated[
    int | None, typer.Option("--side", help='VIS pixels a side: 200 (20") or 100 (10"); default: the most there is.')
]
MagZero = Annotated[
    str | None,
    typer.Option("--magzero", help="AB zero points of bands whose files state none: vis=24.6,y=29.8,j=30,h=30."),
]
ObjectTable = Annotated[
    Path | None, typer.Option("--table", help="Table that says which file, extension and position is whose band.")
]
Pad = Annotated[bool, typer.Option("--pad", help="Take what an image lacks of a frame for missing pixels.")]

CORES = os.cpu_count() or 1


def zero_points(text: str | None) -> dict[str, float]:
    """Return the zero points of --magzero by band; InputError where a band or a number is none."""
    found: dict[str, float] = {}
    for part in text.split(",") if text else ():
        name, _, value = part.partition("=")
        band = name.strip().upper().removeprefix("NIR_").removeprefix("NISP_")
        try:
            found[band] = float(value)
        except ValueError:
            found[band] = float("nan")
        if band not in BANDS or not abs(found[band]) <= 60:
            raise InputError(f"--magzero {part!r}: expected AB zero points such as vis=24.6,y=29.8,j=30,h=29.9.")
    return found


def chosen_pack(root: Path, name: str | None, data: Path | None) -> tuple[Workspace, Pack]:
    """The project folder and the pack of --root, --pack and --data."""
    workspace = Workspace(root)
    return workspace, workspace.pack(name, data)
