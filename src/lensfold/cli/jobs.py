"""Commands that do what is left of a pack's work, list it, or do one job of it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lensfold.cli.options import (
    CORES,
    BetaSquared,
    DataFolder,
    FrameSide,
    MagZero,
    ObjectTable,
    PackName,
    Pad,
    Prevalence,
    Root,
    SkipBad,
    Stage,
    TrainedOn,
    Workers,
    chosen_pack,
    zero_points,
)
from lensfold.errors import InputError
from lensfold.frames import checked_side
from lensfold.paths import Workspace, pack_name

app = typer.Typer()

Steps = Annotated[list[str], typer.Argument(metavar="STEP…", help="Some of folds, cache, train, predict.")]
Experiments = Annotated[
    list[str] | None,
    typer.Option("--experiment", help="Experiment to train; several times for several; default: the submission's."),
]
Folds = Annotated[list[int] | None, typer.Option("--fold", min=0, help="Train only this fold; several times.")]
AnySubmission = Annotated[
    str | None,
    typer.Option(
        "--submission",
        help="Name of a file in submissions/, without .toml; default: default, or few_labels of labels without sizes.",
    ),
]
Parts = Annotated[
    int | None, typer.Option("--parts", min=1, help="Parts of each split; default: one for every 8,192 objects.")
]


@app.command()
def run(
    steps: Steps,
    experiment: Experiments = None,
    fold: Folds = None,
    submission: AnySubmission = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    skip_bad: SkipBad = False,
    stage: Stage = None,
    parts: Parts = None,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    jobs: Annotated[int | None, typer.Option(min=1, help="Jobs at a time; default: one a GPU, or one a core.")] = None,
    address: Annotated[str | None, typer.Option(help="host:port of a Ray cluster to join.")] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each job that runs a network, with slurm.")] = 0,
    beta_squared: BetaSquared = 0.001,
) -> None:
    """Do what is left of the steps, by content: what is there and made from the files there are now stays."""
    from lensfold.jobs.plan import Work
    from lensfold.jobs.run import Executor, order_of
    from lensfold.jobs.run import run as do

    workspace, chosen = chosen_pack(root, pack, data)
    work = Work(
        workspace,
        chosen,
        trained_on=trained_on,
        folds=tuple(fold or ()),
        parts=parts,
        skip_bad=skip_bad,
        stage=stage,
    )
    order = order_of(work, tuple(steps), tuple(dict.fromkeys(experiment or ())), submission, beta_squared)
    do(order, Executor(executor, jobs, address, gpus))


@app.command()
def rank(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Euclid cutouts, and folders of them; default: the pack as it is.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "--data", help="Folder of the pack; default: data/<name of the folder>.")
    ] = None,
    pack: Annotated[
        str | None, typer.Option("--pack", help="Pack name; default: that of --out, or of the folder of cutouts.")
    ] = None,
    root: Root = Path(),
    trained_on: Annotated[
        str | None, typer.Option("--trained-on", help="Networks of this pack; default: the best that fit.")
    ] = None,
    submission: Annotated[
        str | None, typer.Option("--submission", help="This submission or single run; default: the best that fits.")
    ] = None,
    side: FrameSide = None,
    pad: Pad = False,
    magzero: MagZero = None,
    table: ObjectTable = None,
    prevalence: Prevalence = 0.0005,
    teach: Annotated[
        int, typer.Option(min=0, help="List as many objects whose label would teach most, into teach.csv and the page.")
    ] = 0,
    workers: Workers = CORES,
) -> None:
    """Cutouts in, a ranked list out: import, predict with the best trained network, write ranked.csv and its page."""
    from lensfold.euclid.layouts import Reading
    from lensfold.euclid.packs import Options
    from lensfold.jobs.rank import Wanted
    from lensfold.jobs.rank import rank as do

    if not (files or out or pack):
        raise InputError("nothing to rank: give Euclid cutouts or a folder of them (make rank CUTOUTS=<folder>).")
    name = pack or (None if out else pack_name(files or []))
    reading = Reading(zero_points(magzero), table, pad)
    options = Options(None if side is None else checked_side(side), workers=workers)
    wanted = Wanted(tuple(files or ()), reading, options, trained_on, submission, prevalence, teach)
    do(*chosen_pack(root, name, out), wanted)


@app.command()
def jobs(
    steps: Annotated[list[str] | None, typer.Argument(metavar="STEP…", help="As for run; default: all.")] = None,
    experiment: Experiments = None,
    fold: Folds = None,
    submission: AnySubmission = None,
    parts: Parts = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print only the names of jobs to do, one a line.")] = False,
) -> None:
    """List what is left, as jobs, and change nothing; `lensfold run-job` does one of them."""
    from lensfold.jobs.plan import Work, find_stale, jobs_of, needed
    from lensfold.jobs.progress import show_progress
    from lensfold.jobs.run import STEPS, order_of

    workspace, chosen = chosen_pack(root, pack, data)
    plain = Work(workspace, chosen, trained_on=trained_on, folds=tuple(fold or ()), parts=parts)
    plain = replace(plain, stale=frozenset(find_stale(plain)))
    asked = tuple(steps or (("predict",) if trained_on else STEPS))
    work = order_of(plain, asked, tuple(dict.fromkeys(experiment or ())), submission).work
    known = jobs_of(work)
    missing = needed(work, known)
    if ids:
        print("\n".join(map(str, missing)))
        return
    show_progress(work, known, missing.keys())


@app.command("run-job")
def run_job(
    job: Annotated[str, typer.Argument(help="Name of a job, as `lensfold jobs --ids` prints it.")],
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    skip_bad: SkipBad = False,
    stage: Stage = None,
    cascade: Annotated[
        str | None, typer.Option(help="first:keep:least, where only the objects of a cascade are predicted.")
    ] = None,
    attended: Annotated[bool, typer.Option("--attended", help="End when standard input is closed.")] = False,
) -> None:
    """Do one job. It may be run again, anywhere: what is done is found done, what was stopped goes on."""
    from lensfold.config import parse_cascade
    from lensfold.jobs.job import parse_job
    from lensfold.jobs.plan import Work
    from lensfold.jobs.process import end_with_stdin
    from lensfold.jobs.work import run_job as do

    if attended:
        end_with_stdin()
    workspace, chosen = chosen_pack(root, pack, data)
    chosen_by = parse_cascade(cascade) if cascade else None
    work = Work(workspace, chosen, trained_on=trained_on, cascade=chosen_by, skip_bad=skip_bad, stage=stage)
    do(work, parse_job(job))


@app.command()
def doctor(
    root: Root = Path(),
    seconds: Annotated[float, typer.Option(min=0, max=600, help="Time for networks and disk; 0: times none.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Versions, memory, disk, speed, options, and what of it will hurt: what a bug report needs. No names, no paths."""
    from lensfold.jobs.doctor import examine, show

    show(examine(Workspace(root), seconds), as_json)
