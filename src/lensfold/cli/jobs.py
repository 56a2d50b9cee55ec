"""Commands that list jobs, do one, and hand them to an engine."""

from pathlib import Path
from typing import Annotated

import typer

from lensfold.cli.options import DataFolder, PackName, Root, SkipBad, Stage, TrainedOn, checked_split, chosen_pack
from lensfold.errors import InputError
from lensfold.jobs.plan import Work

app = typer.Typer()

Experiments = Annotated[
    list[str] | None, typer.Option("--experiment", help="Experiment to train; several times for several.")
]
Predicted = Annotated[
    list[str] | None, typer.Option("--predict", help="Run to predict the test split with; several times for several.")
]
Cached = Annotated[list[str] | None, typer.Option("--cache", help="Split to cache, whatever else is asked for.")]
Folds = Annotated[list[int] | None, typer.Option("--fold", min=0, help="Train only this fold; several times.")]
Parts = Annotated[
    int | None, typer.Option("--parts", min=1, help="Parts of each split; default: one for every 8,192 objects.")
]
EXECUTORS = ("local", "ray", "slurm")


def _work(
    pack: str | None,
    data: Path | None,
    root: Path,
    experiment: list[str] | None = None,
    predict: list[str] | None = None,
    fold: list[int] | None = None,
    parts: int | None = None,
    trained_on: str | None = None,
    skip_bad: bool = False,
    stage: Path | None = None,
    cache: list[str] | None = None,
) -> Work:
    workspace, chosen = chosen_pack(root, pack, data)
    trained = tuple(dict.fromkeys(experiment or ()))
    predicted = tuple(dict.fromkeys(predict or ()))
    trained_on = None if trained_on == chosen.name else trained_on
    cached = tuple(checked_split(split) for split in cache or ())
    return Work(workspace, chosen, trained, predicted, cached, trained_on, tuple(fold or ()), parts, skip_bad, stage)


@app.command()
def jobs(
    experiment: Experiments = None,
    predict: Predicted = None,
    cache: Cached = None,
    fold: Folds = None,
    parts: Parts = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print only the names of jobs to do, one a line.")] = False,
) -> None:
    """List what a pack still needs for experiments and predictions, as jobs; `lensfold run-job` does one of them."""
    from lensfold.jobs.plan import jobs_of, needed
    from lensfold.jobs.progress import show_progress

    work = _work(pack, data, root, experiment, predict, fold, parts, trained_on, cache=cache)
    if not (work.trained or work.predicted or work.cached):
        raise InputError(
            "nothing is asked for: give --experiment to train, --predict to predict the test split with, or --cache."
        )
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
    attended: Annotated[bool, typer.Option("--attended", help="End when standard input is closed.")] = False,
) -> None:
    """Do one job. It may be run again, anywhere: what is done is found done, what was stopped goes on."""
    from lensfold.jobs.job import parse_job
    from lensfold.jobs.process import end_with_stdin
    from lensfold.jobs.work import run_job as run

    if attended:
        end_with_stdin()
    run(_work(pack, data, root, trained_on=trained_on, skip_bad=skip_bad, stage=stage), parse_job(job))


@app.command("run-jobs")
def run_jobs(
    experiment: Experiments = None,
    predict: Predicted = None,
    cache: Cached = None,
    fold: Folds = None,
    parts: Parts = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    skip_bad: SkipBad = False,
    stage: Stage = None,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    processes: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Jobs at a time; default: one a GPU, or one a core.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="host:port of a Ray cluster to join.")] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each job that runs a network, with slurm.")] = 0,
) -> None:
    """Do all jobs that are needed: on this machine, on a Ray cluster, or by SLURM."""
    from lensfold.jobs.run import run_needed

    if executor not in EXECUTORS:
        raise InputError(f"EXECUTOR={executor}: expected one of {', '.join(EXECUTORS)}.")
    if address and executor != "ray":
        raise InputError(f"ADDRESS={address}: only EXECUTOR=ray joins a cluster, and this is EXECUTOR={executor}.")
    work = _work(pack, data, root, experiment, predict, fold, parts, trained_on, skip_bad, stage, cache)
    run_needed(work, executor, processes, address, gpus)
