"""Requirement files out of the pins in pyproject.toml: all that these need, with a hash of every file."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lensfold.errors import InputError

#: requirement file -> what of pyproject.toml goes into it; the later ones keep to the versions of the first
FILES = {
    "requirements.txt": ["pyproject.toml", "--extra", "cpu", "--group", "dev"],
    "requirements-gpu.txt": ["pyproject.toml", "--extra", "gpu", "--group", "dev", "--constraint", "requirements.txt"],
    "requirements-ray.txt": ["--group", "pyproject.toml:ray", "--constraint", "requirements.txt"],
}
#: for every platform and every Python from the oldest that the kit runs on
OPTIONS = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--quiet"]


@dataclass(frozen=True)
class Pin:
    """One line of a requirement file: a package in one version, and the SHA-256 of its files."""

    name: str
    version: str
    #: where it is installed, as PEP 508 writes it; "" for everywhere
    marker: str
    hashes: tuple[str, ...]

    def is_for(self, python: str, system: str, machine: str) -> bool:
        """Return whether it is installed on a platform: ``"3.11"``, ``"linux"``, ``"x86_64"``."""
        place = {
            "implementation_name": "cpython",
            "os_name": "nt" if system == "win32" else "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": system,
        }
        marker = Requirement(f"{self.name}; {self.marker}").marker if self.marker else None
        return marker is None or marker.evaluate({**place})


def read_pins(path: Path) -> list[Pin]:
    """Return the pins of a requirement file; InputError where a line is anything else, such as an address."""
    pins = []
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        words, *hashes = line.split("--hash=")
        if not words.strip() or words.startswith("#"):
            continue
        try:
            found = Requirement(words.strip())
            (pin,) = found.specifier
        except ValueError as error:
            raise InputError(f"{path}: {words.strip()!r}: expected a package and its one version ({error}).") from error
        if found.url or pin.operator != "==":
            raise InputError(f"{path}: {words.strip()!r}: expected name==version, and no address.")
        marker = str(found.marker or "")
        pins.append(Pin(canonicalize_name(found.name), pin.version, marker, tuple(h.strip() for h in hashes)))
    return pins


def write_pins(root: Path, upgrade: bool) -> None:
    """Resolve the pins of ``root/pyproject.toml`` into the requirement files beside it.

    What they need in turn keeps its version, unless ``upgrade``. Raises InputError where uv is absent, or finds no way.
    """
    if not shutil.which("uv"):
        raise InputError("uv is not installed, which resolves the pins: pip install uv.")
    for name, what in FILES.items():
        words = ["uv", "pip", "compile", *what, *OPTIONS, "--custom-compile-command", "python -m supply pins"]
        words += ["--output-file", name, *(["--upgrade"] if upgrade else [])]
        done = subprocess.run(words, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise InputError(f"{name}: {done.stderr.strip()}")
        print(f"{name}: {len(read_pins(root / name))} packages", file=sys.stderr)
