"""What a process that trains is told."""

import platform
import subprocess
import sys

import pytest

BATCHES = """
import resource, sys
import numpy as np
from lensfold.models.backend import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(3_000_000, dtype=np.uint8), np.ones(5_000_000, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_freed_memory()
    faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again():
    """A batch that needs new pages of the system each time has two thousand faults; one that does not has none."""
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", BATCHES, how], check=True, capture_output=True).stdout)
        for how in ("given back", "kept")
    )
    assert kept < 100 < given_back
