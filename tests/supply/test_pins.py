"""Every package is pinned once, with the hashes of its files and nothing of where they were found."""

import re
import tomllib

import pytest
from fakes.workspace import PROJECT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lensfold.errors import InputError
from supply.licences import PLATFORMS
from supply.pins import FILES, read_pins

SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS, GROUPS = SETTINGS["project"]["optional-dependencies"], SETTINGS["dependency-groups"]
BY_HAND = {
    "requirements.txt": [*SETTINGS["project"]["dependencies"], *EXTRAS["cpu"], *GROUPS["dev"]],
    "requirements-gpu.txt": [*SETTINGS["project"]["dependencies"], *EXTRAS["gpu"], *GROUPS["dev"]],
    "requirements-ray.txt": GROUPS["ray"],
}
each_file = pytest.mark.parametrize("name", FILES)


def pins(name):
    return read_pins(PROJECT / name)


@each_file
def test_files_have_what_is_pinned_by_hand(name):
    found = {(pin.name, pin.version) for pin in pins(name)}
    asked = {(canonicalize_name(r.name), str(r.specifier)[2:]) for r in map(Requirement, BY_HAND[name])}
    assert asked - found == set(), "pyproject.toml was edited: python -m supply pins"


@each_file
def test_every_package_has_hashes_and_no_address(name):
    assert all(pin.hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", h) for h in pin.hashes) for pin in pins(name))
    text = (PROJECT / name).read_text()
    assert not re.search(r"https?:|file:|@|--(?!hash=)|^-", re.sub(r"^#.*", "", text, flags=re.M), re.M)


@pytest.mark.parametrize("place", PLATFORMS, ids="-".join)
@each_file
def test_one_version_of_each_on_every_platform(name, place):
    here = [pin.name for pin in pins(name) if pin.is_for(*place)]
    assert len(here) == len(set(here))
    assert ("openvino" in here) == (name != "requirements-ray.txt" and place[2] != "aarch64")


@pytest.mark.parametrize("other", ["requirements-gpu.txt", "requirements-ray.txt"])
def test_all_files_pin_the_same_versions(other):
    first = {(pin.name, pin.version): set(pin.hashes) for pin in pins("requirements.txt")}
    names = {name for name, _ in first}
    shared = [pin for pin in pins(other) if pin.name in names]
    assert shared
    assert all(first.get((pin.name, pin.version)) == set(pin.hashes) for pin in shared)


@pytest.mark.parametrize(
    "line", ["numpy>=2", "numpy", "numpy @ https://example.org/numpy.whl", "--index-url https://example.org", "-e ."]
)
def test_other_lines_are_refused(tmp_path, line):
    path = tmp_path / "requirements.txt"
    path.write_text(f"# a comment\n{line} \\\n    --hash=sha256:00\n")
    with pytest.raises(InputError, match=r"requirements\.txt: .*expected"):
        read_pins(path)
