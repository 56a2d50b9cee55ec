"""Where a result came from: file hashes, library versions, CPU time, and the code as it was."""

import ast
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

#: What decides a result; edits elsewhere (README, notes) do not make a result "dirty".
DECISIVE = ("src", "experiments", "requirements.txt", "folds/folds.toml")
#: Modules that training imports and that cannot change what it learns: its edits are no change of the code.
HARMLESS = ("errors", "paths", "provenance", "scores")
LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "openvino",
    "numpy",
    "albumentations",
    "opencv-python-headless",
    "scikit-learn",
)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_state(root: Path) -> dict[str, str | bool | None]:
    """Commit of ``root`` and whether what decides results differs from it; None where there is no git."""
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


def training_code(root: str = "train") -> dict[str, str]:
    """The modules that decide what is learnt, each with the first 12 hex digits of its SHA-256.

    They are the module ``root`` (``train`` of networks, ``kernel_train`` of kernel machines) and what it imports,
    directly or not, without the HARMLESS ones.
    """
    package = Path(__file__).parent
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in found or name in HARMLESS:
            continue
        files = sorted((package / name).rglob("*.py")) or [package / f"{name}.py"]
        sources = [path.read_bytes() for path in files]
        found[name] = hashlib.sha256(b"\0".join(sources)).hexdigest()[:12]
        waiting.extend(other for source in sources for other in _imported(source))
    return dict(sorted(found.items()))


def training_root(modules: Collection[str]) -> str:
    """The module that :func:`training_code` began with, from the modules it found."""
    return "kernel_train" if "kernel_train" in modules else "train"


def _imported(source: bytes) -> set[str]:
    """Top modules of lensfold that a source imports anywhere."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    direct = {alias.name for node in nodes if node.module == "lensfold" for alias in node.names}
    return direct | {node.module.split(".")[1] for node in nodes if (node.module or "").startswith("lensfold.")}


class TrainingRecord:
    """What ``run.json`` tells of how a network came about, begun before the first epoch.

    ``root``: the module that trains, as :func:`training_code` takes it.
    """

    def __init__(self, root: str = "train") -> None:
        self._code = {**code_state(Path(__file__).parents[2]), "modules": training_code(root)}
        self._earlier: float | None = 0.0
        self._started = _cpu_seconds()

    def resume(self, core_seconds: float | None) -> None:
        """Add the CPU time that earlier processes spent on this training; None where they did not keep it."""
        self._earlier = core_seconds

    def core_seconds(self) -> float | None:
        """CPU time so far, user and system, in seconds: this process, its children that have ended, earlier ones."""
        return None if self._earlier is None else round(self._earlier + _cpu_seconds() - self._started, 2)

    def told(self) -> dict:
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
