"""Where the kit cannot run, a sentence says so before anything is installed."""

import os
import subprocess
import sys

import pytest
from fakes.workspace import PROJECT

from lensfold.platforms import refusal


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [("Linux", "x86_64", "glibc 2.28"), ("Linux", "aarch64", "glibc 2.36"), ("Darwin", "arm64", " ")],
)
def test_where_it_runs(system, machine, libc):
    assert refusal(system, machine, libc, 64) == ""


@pytest.mark.parametrize(
    ("system", "machine", "libc", "bits", "words"),
    [
        ("Windows", "AMD64", " ", 64, "Windows on AMD64"),
        ("Darwin", "x86_64", " ", 64, "Darwin on x86_64"),
        ("Linux", "ppc64le", "glibc 2.36", 64, "Linux on ppc64le"),
        ("Linux", "x86_64", " ", 64, "Linux on x86_64 with another C library than glibc"),
        ("Linux", "x86_64", "glibc 2.17", 64, "with glibc 2.17"),
        ("Linux", "x86_64", "glibc 2.36", 32, "a Python of 32 bits"),
        ("", "", "", 64, "an unknown system"),
    ],
)
def test_where_it_does_not(system, machine, libc, bits, words):
    said = refusal(system, machine, libc, bits)
    assert words in said and "\n" not in said and "Linux (x86_64 or arm64" in said


def test_make_says_so_before_it_installs(tmp_path):
    """The interpreter that make is given finds itself on another machine."""
    fake = tmp_path / "python3"
    change = "import platform, sys; platform.machine = lambda: 'riscv64'; sys.argv = sys.argv[1:]; "
    run = "exec(sys.argv[1]) if sys.argv[0] == '-c' else __import__('runpy').run_path(sys.argv[0], run_name='__main__')"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{change}{run}" "$@"\n')
    fake.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "test", f"PYTHON={fake}", f"VENV={tmp_path}/v"], cwd=PROJECT, capture_output=True, text=True, env=kept
    )
    assert done.returncode != 0 and done.stdout == ""
    assert "error: this is Linux on riscv64" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "v").exists()
