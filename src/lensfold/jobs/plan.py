"""Which jobs a pack needs for some experiments and predictions, what each waits for, and which are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lensfold.config import Experiment, read_toml
from lensfold.data import catalog as catalogs
from lensfold.data.cache import ROW_BYTES, read_manifest
from lensfold.data.folds import read_folds
from lensfold.errors import InputError
from lensfold.jobs.job import Job
from lensfold.paths import Pack, Split, Workspace
from lensfold.pipeline.cache import is_cached, is_part_cached, plan_split
from lensfold.pipeline.configure import is_configured
from lensfold.pipeline.folds import make_pack_folds
from lensfold.pipeline.predict import is_part_done, predictions
from lensfold.pipeline.train import is_trained
from lensfold.prediction.logits import part_count
from lensfold.runs.run import run_settings


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
    #: pack that the predicting runs were trained on; the same one unless given
    trained_on: str | None = None
    #: only these folds are trained; all where empty
    folds: tuple[int, ...] = ()
    #: parts that each split is divided into; by its size unless given
    parts: int | None = None
    skip_bad: bool = False
    stage: Path | None = None

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
        if name in self.trained or self.source == self.pack.name:
            return read_toml(self.workspace.experiment(name), Experiment)
        return run_settings(self.workspace.run(self.source, name))[0]

    def threads(self, job: Job) -> int:
        """Threads that a job computes with."""
        return self.experiment(job.name).train.threads if job.kind in ("train", "predict", "join") else 1


def jobs_of(work: Work) -> dict[Job, set[Job]]:
    """Every job that leads to what is asked for, done or not, each with those it waits for.

    Folds are made where they are absent, and the folders of splits without a cache are listed. Raises InputError for
    experiments, folds and packs that do not exist.
    """
    experiments = {name: work.experiment(name) for name in (*work.trained, *work.predicted)}
    jobs: dict[Job, set[Job]] = {}
    splits = _splits(work, experiments)
    for split in splits:
        parts = [Job("cache", split, number, count) for count in [_parts(work, split)] for number in range(count)]
        jobs |= {job: set() for job in parts} | {Job("merge", split): set(parts)}
    for name in work.trained:
        needs = {Job("merge", split) for split in splits if split == "train" or _wants_twins(experiments[name], split)}
        jobs |= {Job("train", name, fold): needs for fold in _folds(work)}
    for name in work.predicted:
        jobs |= _prediction_jobs(work, name, [job for job in jobs if job.kind == "train" and job.name == name])
    return jobs


def _prediction_jobs(work: Work, name: str, training: Sequence[Job]) -> dict[Job, set[Job]]:
    count = _parts(work, "test")
    needs = {Job("merge", "test"), *training}
    parts = [Job("predict", name, number, count) for number in range(count)]
    join = {Job("join", name, count=count): set(parts)} if count > 1 else {}  # a single part is the whole
    return dict.fromkeys(parts, needs) | join


def needed(work: Work, jobs: dict[Job, set[Job]]) -> dict[Job, set[Job]]:
    """Those of the jobs that are not done, each with those of them it waits for.

    Whatever a job would be done anew for is needed too: a cache that is to be built changes all that is made from it.
    """
    waiting: dict[Job, set[Job]] = {}
    for job, before in jobs.items():  # a job stands behind those it waits for
        missing = {other for other in before if other in waiting}
        if missing or not is_done(work, job):
            waiting[job] = missing
    return waiting


def is_done(work: Work, job: Job) -> bool:
    """Whether a job's result is there, made with the settings, networks and pixels that there are now."""
    if job.kind == "cache":
        return is_part_cached(work.workspace, work.pack, job.name, job.number, job.count)
    if job.kind == "merge":
        return is_cached(work.workspace, work.pack, job.name)
    if job.kind == "train":
        known = is_configured(work.workspace, work.pack, job.name)
        return known and is_trained(work.workspace, work.pack, job.name, job.number)
    return _is_predicted(work, job)


def _is_predicted(work: Work, job: Job) -> bool:
    try:
        made = predictions(work.workspace, work.pack, work.source, job.name)
        if job.kind == "join" or job.count == 1:
            return all(prediction.is_done() for prediction in made)
        return all(is_part_done(work.workspace, work.pack, one, job.number, job.count) for one in made)
    except InputError:  # no cache, no run, no fold yet
        return False


def _splits(work: Work, experiments: dict[str, Experiment]) -> list[Split]:
    twins = any(_wants_twins(experiments[name], "twins") for name in work.trained)
    wanted = {"train": bool(work.trained), "twins": twins, "test": bool(work.predicted)}
    return [split for split in wanted if wanted[split] or split in work.cached]


def _wants_twins(experiment: Experiment, split: Split) -> bool:
    return split == "twins" and experiment.train.twins


def _parts(work: Work, split: Split) -> int:
    """Parts that a split is divided into: as many as asked for, or one for every so many objects."""
    if is_cached(work.workspace, work.pack, split):
        return work.parts or part_count(read_manifest(work.workspace.cache(work.pack, split))["objects"])
    ids = plan_split(work.workspace, work.pack, split)
    if ids is None:  # an archive, whose objects are not known before it is read: about as many as their pixels fill
        return work.parts or part_count(work.pack.split_source(split).stat().st_size // ROW_BYTES)
    return work.parts or part_count(len(ids))


def _folds(work: Work) -> list[int]:
    path = work.workspace.folds(work.pack)
    if not path.is_file():
        make_pack_folds(work.workspace, work.pack)
    found = sorted(set(read_folds(path, catalogs.read_catalog(work.pack.catalog))))
    unknown = set(work.folds) - set(found)
    if unknown:
        raise InputError(f"fold {min(unknown)} does not exist: the folds of {work.pack.name} are 0 to {max(found)}.")
    return [int(fold) for fold in found if not work.folds or fold in work.folds]
