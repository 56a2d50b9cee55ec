"""SLURM: the scripts are as they were, and where SLURM is installed a cluster of one node runs them."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.jobs import becomes, contents, free_port, wait_until, work
from fakes.workspace import environment, lensfold

from lensfold.errors import InputError
from lensfold.jobs import slurm
from lensfold.jobs.job import Job
from lensfold.jobs.plan import jobs_of

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_scripts_are_as_they_were(workspace, monkeypatch):
    shutil.rmtree(workspace / "data" / "fake" / "cache")
    second = (workspace / "experiments" / "tiny.toml").read_text().replace("[train]", "[train]\nthreads = 4")
    (workspace / "experiments" / "second.toml").write_text(second)
    asked = work(workspace, trained=("tiny", "second"), predicted=("tiny", "second"))
    monkeypatch.setattr(sys, "executable", "/venv/bin/python")
    text = f"{slurm.job_script(asked)}\n{slurm.submit_script(asked, jobs_of(asked), 8, 1)}"
    text = text.replace(str(workspace.resolve()), "/project")
    assert text == (GOLDEN / "slurm.txt").read_text()


def test_names_with_spaces_are_quoted_and_long_arrays_divided(workspace, monkeypatch):
    other = shutil.copytree(workspace, workspace.parent / "it's a folder")
    asked = work(other)
    monkeypatch.setattr(sys, "executable", "/a b/python")
    parts = {Job("cache", "train", number, 2500): set() for number in range(2500)}
    text = slurm.submit_script(asked, parts | {Job("merge", "train"): set(parts)}, None, 0)
    assert [line.split("--array=")[1].split()[0] for line in text.splitlines() if "--array" in line] == [
        *("0-999", "0-999", "0-499", "0-0")
    ]
    assert "--dependency=afterok:$array0:$array1:$array2 " in text and "--gpus" not in text and "%" not in text
    for script in (text, slurm.job_script(asked)):
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    assert "'/a b/python'" in slurm.job_script(asked)


def test_without_sbatch_the_script_is_printed_and_kept(workspace, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = lensfold(workspace, "run", "train", "--executor", "slurm", "--pack", "fake", "--experiment", "tiny")
    assert "No sbatch here." in done.stdout and "train:tiny:0 train:tiny:1 train:tiny:2" in done.stdout
    script = workspace / "runs" / "fake" / ".jobs" / "submit.sh"
    assert script.read_text() in done.stdout


def test_a_refusal_of_sbatch_is_shown(workspace, monkeypatch, tmp_path):
    fake = tmp_path / "sbatch"
    fake.write_text("#!/bin/sh\necho 'sbatch: error: invalid account' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = work(workspace, predicted=())
    with pytest.raises(InputError, match="sbatch refused it:\nsbatch: error: invalid account"):
        slurm.submit(asked, jobs_of(asked), None, 0)


PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def write_cluster(folder: Path) -> None:
    """Settings and key of a cluster that keeps everything in ``folder``."""
    for each in (folder.parent, folder):
        each.chmod(0o755)  # munge wants a socket that all can reach
    key = folder / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    ports = free_port(), free_port()
    text = SETTINGS.format(host=socket.gethostname(), ports=ports, folder=folder, cores=os.cpu_count())
    (folder / "slurm.conf").write_text(text)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A SLURM cluster of this machine alone, with its own authentication; the environment that reaches it."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if not all(shutil.which(name, path=path) for name in PROGRAMS) or os.getuid():
        pytest.skip("SLURM (Debian's slurm-wlm) is not installed, or this is not root")
    folder = tmp_path_factory.mktemp("slurm")
    write_cluster(folder)
    variables = {**environment(), "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    munge = [f"--{name}={folder / name}" for name in ("log-file", "pid-file", "seed-file")]
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge", f"--key-file={folder}/key", *munge]
    running = []
    try:
        for command in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
            running.append(
                subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            time.sleep(1)
        if not becomes(lambda: "idle" in told(variables, "sinfo", "-h", "-o", "%T"), 60):
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            pytest.skip(f"SLURM is installed, but no cluster starts here: {logs[-500:]}")
        yield variables
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def told(variables, *command) -> str:
    return subprocess.run(command, env=variables, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.slurm
def test_a_cluster_runs_them(cluster, workspace, trained_workspace):
    """The whole way from no cache to predictions, with a node that goes down in the middle of a fold."""
    shutil.rmtree(workspace / "data" / "fake" / "cache")
    asked = ["--pack", "fake", "--experiment", "tiny", "--parts", "2"]
    command = [sys.executable, "-m", "lensfold", "run", "train", "predict", *asked, "--executor", "slurm"]
    done = subprocess.run(command, cwd=workspace, env=cluster, capture_output=True, text=True)
    assert done.returncode == 0 and "Submitted." in done.stdout, done.stderr
    logs = workspace / "runs" / "fake" / ".jobs"
    epoch = logs / "train:tiny:0.log"
    wait_until(lambda: epoch.is_file() and "epoch  2/4" in epoch.read_text(), 180)
    (array,) = {
        line.split("_")[0] for line in told(cluster, "squeue", "-h", "-o", "%i %j").splitlines() if "train:" in line
    }
    again = subprocess.run(command, cwd=workspace, env=cluster, capture_output=True, text=True)
    assert again.returncode == 1 and "are still with SLURM" in again.stderr
    assert "not" not in told(cluster, "scontrol", "requeue", f"{array}_0")  # as after the loss of its node
    wait_until(lambda: not told(cluster, "squeue", "-h"), 300)
    runs, other = workspace / "runs" / "fake" / "tiny", trained_workspace / "runs" / "fake" / "tiny"
    assert contents(runs, "fold*/oof.csv") == contents(other, "fold*/oof.csv")
    assert len(contents(runs, "fold*/test/fake.csv")) == 3
    assert "12 of 12 done" in lensfold(workspace, "jobs", *asked).stdout
    again = subprocess.run(command, cwd=workspace, env=cluster, capture_output=True, text=True)
    assert again.returncode == 0 and "Submitted." not in again.stdout, again.stderr
