"""What is installed may be passed on, and the table in docs/ is of the pins."""

import importlib.metadata

import pytest
from fakes.workspace import PROJECT

from supply.licences import licence_of, listed, may_be_passed_on, read_page, write_page

PAGE = read_page(PROJECT)


def test_the_table_is_of_the_pins():
    rows = {name: version for name, (version, _) in PAGE.items()}
    assert rows == listed(PROJECT), "the pins have changed: python -m supply licences"


def test_no_licence_forbids_to_pass_it_on():
    assert {name: licence for name, (_, licence) in PAGE.items() if not may_be_passed_on(licence)} == {}


def test_the_table_says_what_packages_say_here():
    different = {}
    for name, (version, licence) in PAGE.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # of another platform, or Ray
            continue
        if here == version and licence_of(name) != licence:
            different[name] = licence_of(name)
    assert different == {}


@pytest.mark.parametrize(
    ("licence", "free"),
    [("MIT", True), ("BSD-3-Clause AND MIT", True), ("Apache-2.0 WITH LLVM-exception", True), ("unknown", False),
     ("MIT OR Commercial", True), ("MIT AND Commercial", False), ("NVIDIA Proprietary Software", False)],
)  # fmt: skip
def test_what_may_be_passed_on(licence, free):
    assert may_be_passed_on(licence) is free


def test_the_page_is_the_same_when_it_is_written_again(tmp_path):
    for name in ("requirements.txt", "requirements-ray.txt", "docs/licences.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    write_page(tmp_path)
    assert read_page(tmp_path).keys() == PAGE.keys()
