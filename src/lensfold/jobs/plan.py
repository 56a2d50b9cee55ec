"""What is done and what is left of a pack's work, decided by content: the only place that decides it.

`jobs_of` lists the jobs that lead to what is asked for, `needed` those of them whose result is absent or was made from
something else than there is now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from lensfold.config import CascadeSettings, Experiment, read_toml
from lensfold.data.cache import cached_ids, read_manifest, row_bytes
from lensfold.data.cache_check import has_manifest, is_cached, stale_reason
from lensfold.errors import InputError
from lensfold.frames import SIDES
from lensfold.jobs.job import Job
from lensfold.paths import Pack, Split, Workspace
from lensfold.pipeline.cache import is_part_cached, plan_split
from lensfold.pipeline.folds import ensure_folds
from lensfold.pipeline.predict import run_predictions, selection
from lensfold.pipeline.train import is_trained
from lensfold.runs.cascade import Selection
from lensfold.runs.predictions import FoldPrediction, part_count
from lensfold.runs.run import Run


@dataclass(frozen=True)
class Work:
    """What is asked for: a pack, experiments to train on it, runs to predict its test split with."""

    workspace: Workspace
    pack: Pack
    #: experiments to train
    trained: tuple[str, ...] = ()
    #: runs to predict the test split with
    predicted: tuple[str, ...] = ()
    #: splits whose caches are wanted whatever is trained or predicted
    cached: tuple[Split, ...] = ()
    #: pack of the predicting runs, which are taken as they are; None: those of the pack itself, trained where needed
    trained_on: str | None = None
    #: what chooses the objects that are predicted; all where None
    cascade: CascadeSettings | None = None
    #: only these folds are trained; all where empty
    folds: tuple[int, ...] = ()
    #: parts that each split is divided into; by its size unless given
    parts: int | None = None
    skip_bad: bool = False
    stage: Path | None = None
    #: splits whose caches no longer stand for their files, see `find_stale`
    stale: frozenset[Split] = frozenset()

    @property
    def predicting(self) -> tuple[str, ...]:
        """Every run that predicts, each once: those asked for, and the first of a cascade."""
        first = (self.cascade.first,) if self.cascade and self.predicted else ()
        return tuple(dict.fromkeys((*self.predicted, *first)))

    @property
    def source(self) -> str:
        """Name of the pack that the predicting runs were trained on."""
        return self.trained_on or self.pack.name

    def command(self, job: Job) -> list[str]:
        """Arguments of ``lensfold`` that do one job, with paths that hold from any folder."""
        place = ["--root", str(self.workspace.root.resolve()), "--pack", self.pack.name]
        options = ["--data", str(self.pack.folder.resolve())]
        if self.trained_on:
            options += ["--trained-on", self.trained_on]
        if self.cascade:
            options += ["--cascade", self.cascade.selection]
        if self.skip_bad:
            options += ["--skip-bad"]
        if self.stage:
            options += ["--stage", str(self.stage.resolve())]
        return ["run-job", *place, *options, str(job)]

    def log(self, job: Job) -> Path:
        """Where what a job prints is kept."""
        return self.workspace.jobs(self.pack.name) / f"{job}.log"

    def experiment(self, name: str) -> Experiment:
        """Settings of an experiment to train, or of a run to predict with."""
        if name in self.trained or self.trained_on is None:
            return read_toml(self.workspace.experiment(name), Experiment)
        return Run(self.workspace.run(self.source, name)).settings

    def threads(self, job: Job) -> int:
        """Threads that a job computes with."""
        networks = job.is_computed or job.kind in ("join", "keep")  # these predict what a part lacks
        return self.experiment(job.name).train.threads if networks else 1


def jobs_of(work: Work) -> dict[Job, set[Job]]:
    """Return every job that leads to what is asked for, done or not, each with those it waits for.

    Folds are made where they are not those of the catalog and the fold settings, and the folders of splits without a
    cache are listed. Raises InputError for experiments, folds and packs that do not exist.
    """
    _check_experiments(work)
    jobs: dict[Job, set[Job]] = {}
    splits = splits_of(work)
    for split in splits:
        parts = [Job("cache", split, number, count) for count in [_parts(work, split)] for number in range(count)]
        jobs |= {job: set() for job in parts} | {Job("merge", split): set(parts)}
    for name in work.trained:
        needs = {Job("merge", split) for split in splits if _learns_from(work, name, split)}
        jobs |= {Job("train", name, fold): needs for fold in _folds(work, name)}
    if not work.predicted:
        return jobs
    needs = {Job("merge", "test")}
    if work.cascade:
        jobs |= _first_jobs(work, work.cascade.first, needs | _training(jobs, work.cascade.first))
        needs = {job for job in jobs if job.kind == "keep"}
    for name in work.predicted:
        jobs |= _prediction_jobs(work, name, needs | _training(jobs, name))
    return jobs


def _training(jobs: Mapping[Job, set[Job]], name: str) -> set[Job]:
    return {job for job in jobs if job.kind == "train" and job.name == name}


def _first_jobs(work: Work, name: str, needs: set[Job]) -> dict[Job, set[Job]]:
    count = _parts(work, "test")
    parts = [Job("first", name, number, count) for number in range(count)]
    return dict.fromkeys(parts, needs) | {Job("keep", name, count=count): set(parts)}


def _prediction_jobs(work: Work, name: str, needs: set[Job]) -> dict[Job, set[Job]]:
    count = _parts(work, "test", work.cascade)
    parts = [Job("predict", name, number, count) for number in range(count)]
    join = {Job("join", name, count=count): set(parts)} if count > 1 else {}  # a single part is the whole
    return dict.fromkeys(parts, needs) | join


def needed(work: Work, jobs: dict[Job, set[Job]]) -> dict[Job, set[Job]]:
    """Return the jobs that are not done, each with those of them that it waits for.

    A job that waits for one of these is needed too: a cache that is to be built changes all that is made from it.
    """
    waiting: dict[Job, set[Job]] = {}
    for job, before in jobs.items():  # a job stands behind those it waits for
        missing = {other for other in before if other in waiting}
        if missing or not is_done(work, job):
            waiting[job] = missing
    return waiting


def is_done(work: Work, job: Job) -> bool:
    """Return whether a job's result is there, made with the settings, networks and pixels that there are now."""
    if job.kind in ("cache", "merge") and job.name in work.stale:
        return False
    if job.kind == "cache":
        return is_part_cached(work.workspace, work.pack, job.split, job.number, job.count)
    if job.kind == "merge":
        return is_cached(work.workspace, work.pack, job.split)
    if job.kind == "train":
        return is_trained(work.workspace, work.pack, job.name, job.number)
    return _is_predicted(work, job)


def _is_predicted(work: Work, job: Job) -> bool:
    try:
        manifest = read_manifest(work.workspace.cache(work.pack, "test"))
        if job.kind == "keep":
            return selection_of(work).is_done()
        made = predictions_of(work, job)
    except InputError:  # no cache, no run, no fold, no objects chosen yet
        return False
    if all(prediction.is_done() for prediction in made):
        return True
    if job.kind == "join" or job.count == 1:
        return False
    ids = np.sort(list(cached_ids(manifest)))
    return all(one.has_part(ids, job.number, job.count) for one in made)


def predictions_of(work: Work, job: Job) -> list[FoldPrediction]:
    """Return what a job of prediction makes, or a part of that, one prediction a fold.

    Raises InputError where there is no cache, no fold of the run, or where a cascade has not chosen the objects yet.
    """
    if job.kind in ("first", "keep"):
        return selection_of(work).first
    chosen = selection_of(work) if work.cascade else None
    return run_predictions(work.workspace, work.pack, Run(work.workspace.run(work.source, job.name)), chosen)


def selection_of(work: Work) -> Selection:
    """Return which objects a cascade keeps; InputError where the work has none, or where there is no test cache."""
    if work.cascade is None:
        raise InputError(
            "first and keep are jobs of a cascade: give --cascade RUN:SHARE:LEAST, as `lensfold run` does."
        )
    return selection(work.workspace, work.pack, work.source, work.cascade)


def splits_of(work: Work) -> list[Split]:
    """Return the splits whose caches are needed for what is asked for."""
    twins = any(_wants_twins(work, name, "twins") for name in work.trained)
    wanted: dict[Split, bool] = {"train": bool(work.trained), "twins": twins, "test": bool(work.predicted)}
    asked = [split for split in wanted if wanted[split] or split in work.cached]
    return list(dict.fromkeys(map(work.pack.stored_as, asked)))


def splits_there(work: Work) -> tuple[Split, ...]:
    """Return the train and test splits that a pack has, as files or as a cache; InputError where it has neither."""
    splits: tuple[Split, ...] = ("train", "test")
    there = tuple(
        split for split in splits if has_manifest(work.workspace, work.pack, split) or work.pack.has_files(split)
    )
    if not there:
        work.pack.split_source("train")  # says what is expected where
    return there


def _check_experiments(work: Work) -> None:
    for name in (*work.trained, *work.predicting):
        work.experiment(name)


def _learns_from(work: Work, name: str, split: Split) -> bool:
    return split == work.pack.stored_as("train") or _wants_twins(work, name, split)


def _wants_twins(work: Work, name: str, split: Split) -> bool:
    return split == "twins" and work.experiment(name).train.sees_twins(work.pack.has_twins)


def _parts(work: Work, split: Split, cascade: CascadeSettings | None = None) -> int:
    """Parts that a split, or what a cascade keeps of it, is divided into: as asked, or one for every so many objects.

    The folder of a split without a cache is listed.
    """
    objects = _objects(work, split)
    return work.parts or part_count(cascade.count(objects) if cascade else objects)


def _objects(work: Work, split: Split) -> int:
    if is_cached(work.workspace, work.pack, split):
        return read_manifest(work.workspace.cache(work.pack, split))["objects"]
    ids = plan_split(work.workspace, work.pack, split)
    if ids is None:  # an archive, whose objects are not known before it is read: about as many as their pixels fill
        return work.pack.split_source(split).stat().st_size // row_bytes(SIDES[0])
    return len(ids)


def _folds(work: Work, name: str) -> list[int]:
    """The folds of an experiment to train: those asked for, and all where its prediction is asked for too."""
    count = ensure_folds(work.workspace, work.pack)
    unknown = [fold for fold in work.folds if fold >= count]
    if unknown:
        raise InputError(f"fold {min(unknown)} does not exist: the folds of {work.pack.name} are 0 to {count - 1}.")
    return [fold for fold in range(count) if not work.folds or fold in work.folds or name in work.predicting]


def find_stale(work: Work) -> dict[Split, str]:
    """Return the splits whose caches do not stand for their files and catalog any more, each with the reason.

    Each file of the pack is looked at once. Raises InputError where a cache is of another folder of the same name.
    """
    stale = {}
    for split in dict.fromkeys(map(work.pack.stored_as, get_args(Split))):
        if has_manifest(work.workspace, work.pack, split):
            reason = stale_reason(work.workspace, work.pack, split)
            if reason:
                stale[split] = reason
    return stale
