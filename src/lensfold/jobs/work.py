"""One job, done."""

import json
import os
import platform
import time
from pathlib import Path

from lensfold.files import exclusive, replacing, sweep
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work, is_done, predictions_of, selection_of
from lensfold.jobs.process import cores
from lensfold.pipeline.cache import cache_part, cache_split_once
from lensfold.pipeline.configure import configure_once
from lensfold.pipeline.predict import predict_part, predict_whole
from lensfold.pipeline.train import train


def run_job(work: Work, job: Job) -> None:
    """Do a job unless it is done; one process at a time, others that are to do the same wait and then find it done.

    Every result is written under a temporary name and renamed, so that a job may be killed and run again anywhere
    that sees the same files. Raises what the step raises.
    """
    record = work.log(job).with_suffix(".json")
    sweep_up(work)
    with exclusive(work.log(job).with_suffix(".lock"), f"{job}: another process is at it; waiting for that one to end"):
        if job.kind == "train":
            configure_once(work.workspace, work.pack, job.name)
        if is_done(work, job):
            print(f"{job}: done already")
            return
        started = time.time()
        _write(record, job, state="running", started=started)
        try:
            _do(work, job)
        except BaseException:
            _write(record, job, state="failed", started=started)
            raise
        core_seconds = sum(os.times()[:4])  # of this process from its start, and of those that it waited for
        _write(record, job, state="done", started=started, core_seconds=round(core_seconds, 1))


def sweep_up(work: Work) -> None:
    """Delete what killed processes left beside a pack's results: files that were not whole yet."""
    workspace, pack = work.workspace, work.pack
    cache, look = (place(pack, "train").parent for place in (workspace.cache, workspace.look))
    submissions = workspace.submission(pack, "default").parent
    for folder in (workspace.runs(pack.name), workspace.fold_settings().parent, submissions, cache, look):
        sweep(folder)


def _do(work: Work, job: Job) -> None:
    workspace, pack = work.workspace, work.pack
    if job.kind == "cache":
        cache_part(workspace, pack, job.split, job.number, job.count)
    elif job.kind == "merge":
        cache_split_once(workspace, pack, job.split, work.skip_bad, cores())
    elif job.kind == "train":
        train(workspace, pack, job.name, job.number, work.stage)
    elif job.kind in ("predict", "first") and job.count > 1:
        predict_part(workspace, pack, predictions_of(work, job), job.number, job.count, work.stage)
    else:
        predict_whole(workspace, pack, predictions_of(work, job), work.stage, job.count)
        if job.kind == "keep":
            selection_of(work).write()


def _write(path: Path, job: Job, started: float, **facts: object) -> None:
    with replacing(path) as temporary:
        content = {"job": str(job), "host": platform.node(), "started": started, "seconds": time.time() - started}
        temporary.write_text(json.dumps(content | facts) + "\n")
