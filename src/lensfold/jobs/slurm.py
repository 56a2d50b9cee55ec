"""SLURM as the engine: a script of sbatch commands, one array of jobs for each kind, split and experiment."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Set
from pathlib import Path

from lensfold.errors import InputError
from lensfold.files import replacing, write_if_changed
from lensfold.jobs.drive import ATTEMPTS
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work

#: jobs of one array: SLURM's default for MaxArraySize is 1001
LONGEST_ARRAY = 1000
SUBMIT = """\
#!/bin/bash
# {count} jobs of pack {pack}, each array after those that its jobs wait for. Account, partition and time limit come
# from SBATCH_ACCOUNT, SBATCH_PARTITION and SBATCH_TIMELIMIT. Where a job fails for good, what waits for it is dropped.
set -euo pipefail
batch="sbatch --parsable --requeue --kill-on-invalid-dep=yes --ntasks=1 --output=/dev/null"
job={job}
"""
JOB = """\
#!/bin/bash
# One job of an array. Arguments: the names of all of its jobs.
job=${{@:SLURM_ARRAY_TASK_ID+1:1}}
export NO_ALBUMENTATIONS_UPDATE=1 TF_CPP_MIN_LOG_LEVEL=2
for attempt in {attempts}; do
  {command} "$job" >> {folder}/"$job.log" 2>&1 && exit 0
done
exit 1
"""


def job_script(work: Work) -> str:
    """The script of every array: it does the job that the array's number stands for, with a few attempts."""
    *command, _ = work.command(Job("merge", "train"))
    return JOB.format(
        attempts=" ".join(str(attempt + 1) for attempt in range(ATTEMPTS)),
        command=shlex.join([sys.executable, "-m", "lensfold", *command]),
        folder=shlex.quote(str(_folder(work))),
    )


def submit_script(work: Work, jobs: Mapping[Job, Set[Job]], at_a_time: int | None, gpus: int) -> str:
    """The script that hands jobs to sbatch.

    ``at_a_time``: jobs of an array that run at once, all where None; ``gpus``: of each job that runs a network.
    """
    arrays = _arrays(jobs)
    number = {job: index for index, members in enumerate(arrays) for job in members}
    lines = []
    for index, members in enumerate(arrays):
        before = sorted({number[other] for job in members for other in jobs[job]})
        options = _options(work, members, before, at_a_time, gpus)
        lines += ["", f"array{index}=$($batch {options} \\", f'  "$job" {" ".join(map(str, members))})']
        lines.append(f'echo "$array{index} {members[0].group}"')
    head = SUBMIT.format(count=len(jobs), pack=work.pack.name, job=shlex.quote(str(_folder(work) / "job.sh")))
    return head + "\n".join(lines) + "\n"


def _folder(work: Work) -> Path:
    return work.workspace.jobs(work.pack.name).resolve()


def _arrays(jobs: Mapping[Job, Set[Job]]) -> list[list[Job]]:
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return [
        members[start : start + LONGEST_ARRAY]
        for members in groups.values()
        for start in range(0, len(members), LONGEST_ARRAY)
    ]


def _options(work: Work, members: list[Job], before: list[int], at_a_time: int | None, gpus: int) -> str:
    first = members[0]
    options = [f"--job-name={first.group}", f"--array=0-{len(members) - 1}{f'%{at_a_time}' if at_a_time else ''}"]
    options.append(f"--cpus-per-task={work.threads(first)}")
    if gpus and first.is_computed:
        options.append(f"--gpus={gpus}")
    if before:
        options.append("--dependency=afterok:" + ":".join(f"$array{index}" for index in before))
    return " ".join(options)


def submit(work: Work, jobs: Mapping[Job, Set[Job]], at_a_time: int | None, gpus: int) -> bool:
    """Keep both scripts with the pack's jobs, print them, and submit where sbatch is; whether it did.

    Raises InputError where sbatch refuses.
    """
    texts = {"job.sh": job_script(work), "submit.sh": submit_script(work, jobs, at_a_time, gpus)}
    for name, text in texts.items():
        path = _folder(work) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_if_changed(path, text.encode())
        print(f"# ---- {path}\n{text}")
    if shutil.which("sbatch") is None:
        print(f"No sbatch here. On a machine of the cluster that sees this folder: bash {path}")
        return False
    done = subprocess.run(["bash", str(path)], capture_output=True, text=True)
    with replacing(_arrays_file(work)) as temporary:
        temporary.write_text(done.stdout)
    if done.returncode:
        raise InputError(f"{path}: sbatch refused it:\n{done.stderr.strip()}")
    print("Submitted. `make jobs` (`lensfold jobs`) shows how far they are; the same command goes on from there.")
    return True


def check_queue(work: Work) -> None:
    """InputError where arrays that were submitted for this pack are still with SLURM."""
    path = _arrays_file(work)
    if not path.is_file() or shutil.which("squeue") is None:
        return
    arrays = [line.split()[0] for line in path.read_text().splitlines()]
    listed = subprocess.run(["squeue", "--noheader", "--format=%F"], capture_output=True, text=True)
    waiting = sorted(set(listed.stdout.split()) & set(arrays), key=int)
    if waiting:
        raise InputError(
            f"{len(waiting)} arrays of this pack's jobs are still with SLURM ({', '.join(waiting)}). Wait for them "
            "(`make jobs` shows how far they are), or end them with scancel."
        )


def _arrays_file(work: Work) -> Path:
    return _folder(work) / "arrays.txt"
