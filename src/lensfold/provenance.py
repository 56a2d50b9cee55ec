"""Where a result came from: file hashes, library versions, the commit and whether the code differs from it."""

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

#: What decides a result; edits elsewhere (README, notes) do not make a result "dirty".
DECISIVE = ("src", "experiments", "requirements.txt", "folds/folds.toml")
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


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
