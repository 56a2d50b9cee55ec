"""`lensfold run`: plan once, do what is left by the engine that was asked for, score and submit."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from lensfold.config import CHALLENGE_BETA_SQUARED, PREVALENCE, SubmissionSettings
from lensfold.console import show_text
from lensfold.data.cache_check import discard_cache, is_cached
from lensfold.errors import InputError
from lensfold.files import file_sha256, is_locked
from lensfold.jobs import slurm
from lensfold.jobs.drive import Engine, drive
from lensfold.jobs.job import Job
from lensfold.jobs.local import local_engine
from lensfold.jobs.plan import Work, find_stale, jobs_of, needed, splits_of, splits_there
from lensfold.jobs.process import cores
from lensfold.jobs.progress import Follower, show_progress
from lensfold.jobs.work import sweep_up
from lensfold.pipeline.cache import cache_and_show
from lensfold.pipeline.configure import configure_once, experiment_for
from lensfold.pipeline.folds import are_folds_made, make_pack_folds
from lensfold.pipeline.predict import check_frames
from lensfold.runs.run import Run
from lensfold.submission.identity import is_submitted
from lensfold.submission.settings import FEW_LABELS, USUAL, read_submission_settings, usual_submission

STEPS = ("folds", "cache", "train", "predict")
EXECUTORS = ("local", "ray", "slurm")


@dataclass(frozen=True)
class Executor:
    """Who does the jobs. ``processes``: jobs at a time; ``address``: of a Ray cluster; ``gpus``: of a network's job.

    GPUs are asked for under SLURM; the other engines see for themselves.
    """

    name: str = "local"
    processes: int | None = None
    address: str | None = None
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.name not in EXECUTORS:
            raise InputError(f"EXECUTOR={self.name}: expected one of {', '.join(EXECUTORS)}.")
        if self.address and self.name != "ray":
            raise InputError(
                f"ADDRESS={self.address}: only EXECUTOR=ray joins a cluster, and this is EXECUTOR={self.name}."
            )


@dataclass(frozen=True)
class Order:
    """What is asked for: the steps, and the submission whose members they are for."""

    work: Work
    steps: tuple[str, ...]
    submission: str = USUAL
    beta_squared: float = CHALLENGE_BETA_SQUARED
    #: why it is another submission than usual, for whoever named none
    note: str = ""


def order_of(
    work: Work,
    steps: tuple[str, ...],
    experiments: tuple[str, ...] = (),
    submission: str | None = None,
    beta_squared: float = CHALLENGE_BETA_SQUARED,
) -> Order:
    """Return the order of some steps on ``work``'s pack: which experiments they train, which runs predict.

    ``experiments`` are trained where "train" is among the steps, by default the members of the submission, which by
    default is the pack's usual one. Raises
    InputError for an unknown step, and for a submission that does not exist where its members are needed.
    """
    unknown = [step for step in steps if step not in STEPS]
    if unknown or not steps:
        raise InputError(f"step {', '.join(map(repr, unknown)) or 'missing'}: expected some of {', '.join(STEPS)}.")
    settings: SubmissionSettings | None = None
    members: tuple[str, ...] = ()
    named, submission = submission, submission or usual_submission(work.pack, work.trained_on)
    note = ""
    if "predict" in steps or ("train" in steps and not experiments):
        if named is None and submission == FEW_LABELS:
            note = f"{work.pack.labels} gives no lens sizes: SUBMISSION={FEW_LABELS}, which needs none"
        settings = read_submission_settings(work.workspace, submission, work.source)
        members = settings.experiments
        _check_first(work, submission, settings)
    trained = tuple(experiments or members) if "train" in steps else ()
    asked = replace(work, cached=splits_there(work) if "cache" in steps else ())
    if settings and "predict" in steps:
        asked = replace(asked, predicted=settings.scored_by, cascade=settings.cascade)
        if work.trained_on is None:
            trained = tuple(dict.fromkeys((*trained, *members)))
    return Order(replace(asked, trained=trained), steps, submission, beta_squared, note)


def _check_first(work: Work, submission: str, settings: SubmissionSettings) -> None:
    """Raise InputError where the first run of a cascade does not exist, or does not find lenses."""
    if settings.cascade is None:
        return
    first, file = settings.cascade.first, work.workspace.submission_settings(submission)
    try:
        task = work.experiment(first).task
    except InputError as error:
        raise InputError(f'{file}: cascade.first = "{first}": {error}') from error
    if task != "lens":
        raise InputError(f'{file}: cascade.first = "{first}" has task = "{task}". Name a run that finds lenses.')


def run(order: Order, executor: Executor) -> None:
    """Do what is left of an order and show the outcome.

    Raises InputError where a job fails again and again, where the engine is not there, and for anything of the user's
    that is absent or wrong, before anything is made.
    """
    work = order.work
    sweep_up(work)
    if order.note:
        show_text(order.note)
    for name in (*work.trained, *work.predicting):
        work.experiment(name)  # a mistake in a file of settings comes before hours of work
    for name in work.trained:
        experiment_for(work.workspace, work.pack, name)
    for split, reason in find_stale(work).items():
        print(f"cache {work.pack.name} {split} is built again: {reason}")
        discard_cache(work.workspace, work.pack, split)
    _make_folds(order)
    if executor.name == "local":
        _build_caches(work)
    if run_needed(work, executor):
        _finish(order)


def _make_folds(order: Order) -> None:
    work = order.work
    if ("folds" in order.steps or work.trained) and not are_folds_made(work.workspace, work.pack):
        from lensfold.report.packs import show_folds

        show_folds(work.pack.name, *make_pack_folds(work.workspace, work.pack))


def _build_caches(work: Work) -> None:
    """On this machine the caches come first, with all cores; elsewhere they are jobs among the others."""
    for split in splits_of(work):
        cache_and_show(work.workspace, work.pack, split, work.skip_bad, cores())


def run_needed(work: Work, executor: Executor, brief: bool = False) -> bool:
    """Do the jobs that are needed and print how they go; return whether all of them are done.

    With SLURM they are handed over, and done later. ``brief``: print only which jobs ended. Raises InputError where a
    job fails again and again, or the engine is not there.
    """
    known = jobs_of(work)
    has_train = is_cached(work.workspace, work.pack, "train")
    if has_train:
        for name in work.trained:  # settings are resolved first: a job is known by what it is made from
            configure_once(work.workspace, work.pack, name)
    if (work.trained_on or has_train) and is_cached(work.workspace, work.pack, "test"):
        for name in work.predicting:  # what cannot be predicted is not trained either
            check_frames(work.workspace, work.pack, work.source, name)
    missing = needed(work, known)
    if not missing:
        return True
    if executor.name == "slurm":
        slurm.check_queue(work)
    _forget(work, list(missing))
    if executor.name == "slurm":
        if slurm.submit(work, missing, executor.processes, executor.gpus):
            show_progress(work, known, missing.keys())
        return not needed(work, known)
    follower = Follower([] if brief else [work.log(job) for job in missing])
    try:
        with _engine(work, executor, list(missing)) as engine:
            drive(work, missing, engine, lambda line: print(line, flush=True), follower)
    except BaseException:
        follower()
        show_progress(work, known, needed(work, known).keys())
        raise
    follower()
    return True


def _engine(work: Work, executor: Executor, jobs: list[Job]) -> AbstractContextManager[Engine]:
    if executor.name == "ray":
        from lensfold.jobs.ray_engine import ray_engine

        return ray_engine(work, executor.address, executor.processes, jobs)
    return local_engine(work, executor.processes)


def _forget(work: Work, jobs: list[Job]) -> None:
    """Delete what earlier attempts at jobs printed and how they ended, so that what is shown is of the next ones."""
    for job in jobs:
        if is_locked(work.log(job).with_suffix(".lock")):  # another driver's
            continue
        for suffix in (".json", ".log"):
            work.log(job).with_suffix(suffix).unlink(missing_ok=True)


def _finish(order: Order) -> None:
    """Score what was trained, write the submission, each only where it is not of the files there are now; show both."""
    from lensfold.pipeline.results.outcome import show_rows, show_submission

    work = order.work
    rows = [_scored(order, name) for name in work.trained]
    if work.predicted:
        show_submission(work.workspace, work.pack, _submitted(order))
    elif rows:
        for task in sorted({row["task"] for row in rows}):
            own = [row for row in rows if row["task"] == task]
            show_rows(work.workspace, work.pack, own, work.pack.is_simulated)
    elif not order.work.trained:
        print(f"{' '.join(order.steps)} of pack {work.pack.name}: nothing left to do")


def _scored(order: Order, name: str) -> dict:
    work = order.work
    run = Run(work.workspace.run(work.pack.name, name))
    kept = run.kept_score(run.score_origin(file_sha256(work.pack.catalog), order.beta_squared, PREVALENCE))
    if kept is not None:
        return kept
    from lensfold.pipeline.results.score import score_run

    return score_run(work.workspace, work.pack, name, order.beta_squared)


def _submitted(order: Order) -> dict:
    work = order.work
    asked = (work.workspace, work.pack, work.source, order.submission, order.beta_squared)
    if is_submitted(*asked):
        target = work.workspace.submission(work.pack, order.submission)
        print(f"{target} is up to date")
        return json.loads(target.with_suffix(".json").read_text())
    from lensfold.pipeline.submit import submit

    return submit(*asked)
