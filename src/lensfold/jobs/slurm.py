"""SLURM as the engine: a script of sbatch commands, one array of jobs for each kind, split and experiment."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Set

from lensfold.errors import InputError
from lensfold.jobs.drive import ATTEMPTS
from lensfold.jobs.job import Job
from lensfold.jobs.plan import Work
from lensfold.paths import write_if_changed

#: jobs of one array: SLURM's default for MaxArraySize is 1001
LONGEST_ARRAY = 1000


def submit_script(work: Work, jobs: Mapping[Job, Set[Job]], at_a_time: int | None, gpus: int) -> str:
    """The script that hands jobs to sbatch, each array after those that its jobs wait for.

    ``at_a_time``: jobs of an array that run at once, all where None; ``gpus``: of each job that runs a network.
    """
    arrays = _arrays(jobs)
    names = {job: f"array{number}" for number, members in enumerate(arrays) for job in members}
    root = work.workspace.root.resolve()
    lines = [
        "#!/bin/bash",
        f"# {len(jobs)} jobs of pack {work.pack.name}, in {len(arrays)} arrays. Account, partition and time limit come",
        "# from SBATCH_ACCOUNT, SBATCH_PARTITION and SBATCH_TIMELIMIT. A job that fails is tried again; what waits for",
        "# one that fails for good never starts.",
        "set -euo pipefail",
        f"cd {shlex.quote(str(root))}",
        f"mkdir -p {shlex.quote(str(work.workspace.jobs(work.pack.name).resolve()))}",
    ]
    for number, members in enumerate(arrays):
        before = sorted({names[other] for job in members for other in jobs[job]}, key=lambda name: int(name[5:]))
        lines += [
            "",
            f"# {members[0].group}, {len(members)} jobs",
            *_array(work, number, members, before, at_a_time, gpus),
        ]
    lines += ["", 'echo "submitted; lensfold jobs shows how far they are"']
    return "\n".join(lines) + "\n"


def _arrays(jobs: Mapping[Job, Set[Job]]) -> list[list[Job]]:
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return [
        members[start : start + LONGEST_ARRAY]
        for members in groups.values()
        for start in range(0, len(members), LONGEST_ARRAY)
    ]


def _array(
    work: Work, number: int, members: list[Job], before: list[str], at_a_time: int | None, gpus: int
) -> list[str]:
    limit = f"%{at_a_time}" if at_a_time else ""
    needs = f" --dependency=afterok:{':'.join(f'${name}' for name in before)}" if before else ""
    gpu = f" --gpus={gpus}" if gpus and members[0].kind in ("train", "predict") else ""
    options = (
        f"--parsable --requeue --kill-on-invalid-dep=yes --job-name={members[0].group} "
        f"--array=0-{len(members) - 1}{limit} --ntasks=1 --cpus-per-task={work.threads(members[0])}{gpu}{needs}"
    )
    *command, _ = work.command(members[0])
    run = shlex.join([sys.executable, "-m", "lensfold", *command])
    logs = shlex.quote(str(work.workspace.jobs(work.pack.name).resolve()))
    return [
        f"array{number}=$(sbatch {options} --output=/dev/null <<'JOB'",
        "#!/bin/bash",
        f"jobs=({' '.join(map(str, members))})",
        "job=${jobs[$SLURM_ARRAY_TASK_ID]}",
        "export NO_ALBUMENTATIONS_UPDATE=1 TF_CPP_MIN_LOG_LEVEL=2",
        f"for attempt in {' '.join(str(attempt + 1) for attempt in range(ATTEMPTS))}; do",
        f'  {run} "$job" >> {logs}/"$job".log 2>&1 && exit 0',
        "done",
        "exit 1",
        "JOB",
        ")",
    ]


def submit(work: Work, script: str) -> bool:
    """Keep the script as ``submit.sh`` with the pack's jobs, print it, and run it where sbatch is; whether it ran."""
    path = work.workspace.jobs(work.pack.name) / "submit.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_if_changed(path, script.encode())
    print(script, end="")
    if shutil.which("sbatch") is None:
        print(f"No sbatch here. On a machine of the cluster that sees this folder: bash {path}")
        return False
    done = subprocess.run(["bash", str(path)], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{path}: sbatch refused it:\n{done.stderr.strip()}")
    print(done.stdout, end="")
    return True
