"""The standing torture, a short one: `make torture HOURS=…` goes on for as long as it is given."""

import subprocess
import sys
from pathlib import Path

from fakes.workspace import environment

TORTURE = Path(__file__).with_name("torture.py")


def test_disturbed_projects_give_the_right_bytes_or_a_refusal():
    done = subprocess.run(
        [sys.executable, str(TORTURE), "--steps", "8", "--seed", "20"],
        capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "8 steps, 8 clean, 0 broken" in done.stdout
