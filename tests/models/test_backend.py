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


#: one step of the gradients of a network with skipped blocks, in a fresh process
GRADIENTS = """
import hashlib
from lensfold.models.backend import make_repeatable, start_tensorflow
start_tensorflow()
make_repeatable(1)
import keras, numpy as np
from lensfold.models import build_model
keras.utils.set_random_seed(0)
model = build_model("efficientnet_lite0", 100, 3, dropout=0.0)
model.compile(optimizer="sgd", loss="mse")
images = np.random.default_rng(0).normal(size=(16, 100, 100, 3)).astype(np.float32)
model.train_on_batch(images, np.arange(16, dtype=np.float32)[:, None])
print(hashlib.sha256(b"".join(np.asarray(weight).tobytes() for weight in model.weights)).hexdigest())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again():
    """A batch that needs new pages of the system each time has two thousand faults; one that does not has none."""
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", BATCHES, how], check=True, capture_output=True).stdout)
        for how in ("given back", "kept")
    )
    assert kept < 100 < given_back


def test_two_processes_compute_the_same():
    """Where TensorFlow rewrites graphs, four of five pairs of processes differ in their last bits."""
    running = [subprocess.Popen([sys.executable, "-c", GRADIENTS], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert first == second
