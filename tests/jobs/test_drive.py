"""Driving jobs: their order, another try for what failed, processes that end with their parent, what is shown."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from fakes.jobs import is_alive
from fakes.workspace import configure_tiny, lensfold, write_kernel

from lensfold.errors import InputError
from lensfold.files import exclusive
from lensfold.jobs import local
from lensfold.jobs.drive import ATTEMPTS, drive
from lensfold.jobs.job import Job
from lensfold.jobs.local import local_engine, visible_gpus
from lensfold.jobs.plan import Work
from lensfold.jobs.process import JobFailed, run_process
from lensfold.jobs.progress import Follower, show_progress
from lensfold.jobs.run import Executor, run_needed
from lensfold.paths import Workspace
from lensfold.pipeline.configure import configure_once

CACHE = [Job("cache", "train", number, 3) for number in range(3)]
MERGE, OTHER = Job("merge", "train"), Job("merge", "test")
FOLDS = [Job("train", "tiny", fold) for fold in range(2)]
JOBS = {**{job: set() for job in CACHE}, MERGE: set(CACHE), OTHER: set(), **{job: {MERGE} for job in FOLDS}}


def work(root, **asked) -> Work:
    workspace = Workspace(root)
    return Work(workspace, workspace.pack("fake"), **asked)


class Recorded:
    """An engine that runs nothing; ``failures``: how often a job fails before it succeeds."""

    def __init__(self, failures=None):
        self.begun: list[Job] = []
        self.failures = dict(failures or {})

    def submit(self, job: Job) -> Future:
        self.begun.append(job)
        future: Future = Future()
        if self.failures.get(job, 0):
            self.failures[job] -= 1
            future.set_exception(JobFailed("exit status 1"))
        else:
            future.set_result(None)
        return future


def driven(root, engine) -> list[str]:
    told: list[str] = []
    drive(work(root), JOBS, engine, told.append, lambda: None)
    return told


def test_each_job_runs_once_after_those_it_waits_for(tmp_path):
    engine = Recorded()
    told = driven(tmp_path, engine)
    assert sorted(engine.begun) == sorted(JOBS)
    place = {job: number for number, job in enumerate(engine.begun)}
    assert all(place[other] < place[job] for job, before in JOBS.items() for other in before)
    assert told[-1].endswith(f"done  {len(JOBS)}/{len(JOBS)} jobs  left 0 min")


def test_what_fails_twice_is_tried_again(tmp_path):
    engine = Recorded({CACHE[1]: ATTEMPTS - 1})
    told = driven(tmp_path, engine)
    assert engine.begun.count(CACHE[1]) == ATTEMPTS and set(engine.begun) == set(JOBS)
    assert "cache:train:2of3 failed (exit status 1); attempt 2 of 3" in told


def test_what_fails_for_good_is_told_with_its_log_and_the_others_finish(tmp_path):
    asked, engine = work(tmp_path), Recorded({CACHE[1]: 99})
    asked.log(CACHE[1]).parent.mkdir(parents=True)
    asked.log(CACHE[1]).write_text("\n".join(f"line {number}" for number in range(20)))
    with pytest.raises(InputError) as caught:
        driven(tmp_path, engine)
    text = str(caught.value)
    assert "1 jobs failed 3 times, 3 that wait for them were not begun" in text
    assert "cache:train:2of3 (exit status 1)" in text and "line 19" in text and "line 11" not in text
    assert engine.begun.count(CACHE[1]) == ATTEMPTS
    assert set(engine.begun) == {*CACHE, OTHER}


def test_the_whole_way_on_this_machine(workspace, capfd, fitted_workspace):
    """Of a kernel machine: that a network's process gives the same bytes is shown where networks are trained."""
    from jobs.test_work import contents

    write_kernel(workspace)
    asked = work(workspace, trained=("kernel",), predicted=("kernel",), parts=2)
    assert run_needed(asked, Executor(processes=2))
    out = capfd.readouterr().out
    assert "kernel fold 2  4 settings tried" in out and "join:kernel:2 done  6/6 jobs" in out
    runs = workspace / "runs" / "fake" / "kernel"
    assert contents(runs, "fold*/oof.csv") == contents(fitted_workspace / "runs" / "fake" / "kernel", "fold*/oof.csv")
    assert run_needed(asked, Executor()) and capfd.readouterr().out == ""  # nothing left to do
    options = ("--submission", "kernel", "--parts", "2", "--pack", "fake")
    shown = lensfold(workspace, "jobs", "train", "predict", *options).stdout
    assert "jobs · pack fake · 12 of 12 done" in shown


def test_a_failing_command_is_tried_told_and_exits_with_an_error(workspace, capfd):
    write_kernel(workspace)
    configure_once(Workspace(workspace), Workspace(workspace).pack("fake"), "kernel")
    for path in (workspace / "data" / "fake" / "cache" / "train").glob("shard*"):
        path.write_bytes(b"")
    done = lensfold(
        workspace, "run", "train", "--pack", "fake", "--experiment", "kernel", "--fold", "1", "--jobs", "1",
        check=False, processes=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "train:kernel:1 (exit status 1)" in done.stderr
        and "expected" in done.stderr
        and "failed 3 times" in done.stdout
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("executor", ["", "cloud", "LOCAL"])
def test_an_unknown_executor(workspace, executor):
    done = lensfold(workspace, "run", "train", "--executor", executor, "--experiment", "tiny", check=False)
    assert done.returncode == 1 and f"EXECUTOR={executor}: expected one of local, ray, slurm" in done.stderr


def test_an_address_of_no_cluster(workspace):
    done = lensfold(workspace, "run", "train", "--address", "host:1", "--experiment", "tiny", check=False)
    assert done.returncode == 1 and "ADDRESS=host:1: only EXECUTOR=ray joins a cluster" in done.stderr


def test_each_process_has_a_gpu_of_its_own(tmp_path, monkeypatch):
    seen: list[str | None] = []

    def recorded(arguments, log, variables, stopped):
        seen.append(variables.get("CUDA_VISIBLE_DEVICES"))
        time.sleep(0.2)

    monkeypatch.setattr(local, "run_process", recorded)
    for devices, processes, expected in (("3,GPU-a", None, {"3", "GPU-a"}), ("0,1", 3, {"0", "1"}), ("", 2, {None})):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
        seen.clear()
        with local_engine(work(tmp_path), processes) as engine:
            for future in [engine.submit(job) for job in JOBS]:
                future.result()
        assert set(seen) == expected and len(seen) == len(JOBS)


def test_gpus_are_counted_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert visible_gpus() == ["0", "1"]
    listing.write_text("#!/bin/sh\necho 'GPU 0: no driver'\nexit 9\n")
    assert visible_gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert visible_gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_a_job_ends_when_whoever_started_it_is_killed(workspace):
    """The driver is killed with SIGKILL: its jobs end too, and the next driver does not meet them."""
    configure_tiny(workspace)
    lock = workspace / "runs" / "fake" / ".jobs" / "train:tiny:0.lock"
    with exclusive(lock):  # so that the job waits, for as long as it lives
        command = ["run", "train", "--pack", "fake", "--experiment", "tiny", "--fold", "0", "--jobs", "1"]
        driver = subprocess.Popen(
            [sys.executable, "-m", "lensfold", *command], cwd=workspace, stdout=subprocess.DEVNULL
        )
        log = lock.with_suffix(".log")
        deadline = time.monotonic() + 60
        while not (log.is_file() and "waiting" in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (child,) = children(driver.pid)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        while is_alive(child):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_stopping_the_engine_ends_what_runs_and_all_that_it_started(tmp_path, monkeypatch):
    """As Ctrl-C does: the jobs are in process groups of their own, which a terminal does not reach."""
    program, pids = tmp_path / "python", tmp_path / "pids"
    program.write_text(f"#!/bin/sh\nsleep 600 &\necho $$ $! > {pids}.new\nmv {pids}.new {pids}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with local_engine(work(tmp_path), 1) as engine:
        running, waiting = engine.submit(MERGE), engine.submit(OTHER)
        while not pids.is_file():
            time.sleep(0.05)
    with pytest.raises(JobFailed, match="stopped"):
        running.result(0)
    assert waiting.cancelled()
    deadline = time.monotonic() + 30  # a killed process is gone when its parent or the system has reaped it
    while any(is_alive(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_is_killed_is_told_with_its_signal(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho here $OMP_NUM_THREADS $NO_ALBUMENTATIONS_UPDATE\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(JobFailed, match="killed by signal 9"):
        run_process(["run-job"], str(tmp_path / "log" / "x"), {"OMP_NUM_THREADS": None})
    assert (tmp_path / "log" / "x").read_text() == "here 1\n"


def test_logs_are_followed_line_by_line(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    follow = Follower([first, second])
    follow()
    first.write_bytes(b"one\ntwo")
    follow()
    assert capsys.readouterr().out == "one\n"
    first.write_bytes(b"one\ntwo\nthree\n")
    second.write_bytes(b"caf\xc3")
    follow()
    second.write_bytes(b"caf\xc3\xa9 \xff\n")
    follow()
    follow()
    assert capsys.readouterr().out == "two\nthree\ncafé \ufffd\n"


def test_the_table_shows_who_is_at_work_and_what_stopped(tmp_path, capsys):
    asked = work(tmp_path)
    records = asked.log(MERGE).parent
    records.mkdir(parents=True)
    for job, state in ((CACHE[0], "done"), (CACHE[1], "running"), (CACHE[2], "running"), (OTHER, "failed")):
        asked.log(job).with_suffix(".json").write_text(f'{{"state": "{state}", "core_seconds": 12.3}}')
        asked.log(job).with_suffix(".lock").touch()
    asked.log(CACHE[1]).write_text("cache 1\ncache 2/3 objects\n")
    with exclusive(asked.log(CACHE[1]).with_suffix(".lock")):
        show_progress(asked, JOBS, JOBS.keys() - {CACHE[0]})
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["cache:train", "3", "1", "1", "1", "12", "cache", "2/3", "objects"] in lines  # killed counts as stopped
    assert ["merge:test", "1", "0", "1"] in lines and ["train:tiny", "2", "0", "2"] in lines
