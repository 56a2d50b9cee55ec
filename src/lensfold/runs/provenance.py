"""Where a result came from: file hashes, library versions, CPU time, and the code as it was."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import TypedDict

from lensfold.files import file_sha256

#: what is installed, each with the hashes of its files
PINS = "requirements.txt"
#: What decides a result; edits elsewhere (README, notes) do not make a result "dirty".
DECISIVE = ("src", "experiments", PINS, "folds/folds.toml")
#: packages and modules that decide what a network or a kernel machine learns
LEARNING = ("compiled", "config", "data", "frames", "inputs", "models", "prediction", "training")
LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "openvino",
    "numpy",
    "numba",
    "albumentations",
    "opencv-python-headless",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Software(TypedDict):
    """A software bill: the SHA-256 of the pins, None where they are not there, and what is installed, by name."""

    pins_sha256: str | None
    packages: dict[str, str]


def software(root: Path) -> Software:
    """Return the hash of the pins in ``root``, and name and version of every package that is installed."""
    pins = root / PINS
    found = {item.name.lower().replace("_", "-"): item.version for item in importlib.metadata.distributions()}
    return {"pins_sha256": file_sha256(pins) if pins.is_file() else None, "packages": dict(sorted(found.items()))}


class CodeState(TypedDict):
    """A commit, and whether what decides results differs from it; None where there is no git."""

    commit: str | None
    dirty: bool | None


def code_state(root: Path) -> CodeState:
    """Return the commit of ``root`` and whether what decides results differs from it; None where there is no git."""
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", *DECISIVE)
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def changed_since(root: Path, commit: str) -> list[str] | None:
    """Files that decide results and differ from a commit, new ones too; None where git or the commit is unknown."""
    changed = _git(root, "diff", "--name-only", commit, "--", *DECISIVE)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "--", *DECISIVE)
    if changed is None or new is None:
        return None
    return [*changed.splitlines(), *new.splitlines()]


def training_code() -> dict[str, str]:
    """Return the modules that decide what is learnt, each with the first 12 hex digits of its SHA-256."""
    package = Path(__file__).parents[1]
    files = [path for name in LEARNING for path in sorted((package / name).rglob("*.py")) or [package / f"{name}.py"]]
    return {_module_name(path.relative_to(package)): file_sha256(path)[:12] for path in files}


def _module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


class TrainingRecord:
    """How a network came about, for ``run.json``; begun before the first epoch."""

    def __init__(self) -> None:
        self._code = {**code_state(Path(__file__).parents[3]), "modules": training_code()}
        self._earlier: float | None = 0.0
        self._started = _cpu_seconds()

    def resume(self, core_seconds: float | None) -> None:
        """Add the CPU time that earlier processes spent on this training; None where they did not keep it."""
        self._earlier = core_seconds

    def core_seconds(self) -> float | None:
        """CPU time so far, user and system, in seconds: this process, its children that have ended, earlier ones."""
        return None if self._earlier is None else round(self._earlier + _cpu_seconds() - self._started, 2)

    def content(self) -> dict:
        """CPU time, code at the start, versions, and the local time now."""
        finished = time.strftime("%Y-%m-%dT%H:%M:%S")
        return {
            "core_seconds": self.core_seconds(),
            "finished": finished,
            "code": self._code,
            "versions": versions(),
        }


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
