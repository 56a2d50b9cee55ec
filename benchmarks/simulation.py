"""Benchmark of the simulator: objects per core-second of each profile, and lenstronomy's figure for the same scenes.

One process pinned to one core and one thread; compilation is over before the clock starts, and the clock is the
process's own time, so that what else the machine does counts little. lenstronomy is optional: without it a row says so.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import Rows
from lensfold.frames import BANDS
from lensfold.paths import cutout_file
from lensfold.simulate import PROFILES, simulate_object
from lensfold.simulate.pack import write_object

#: profile -> objects a core-second that are asked for
ASKED = {"challenge": 100, "euclid": 80}
SEED = 7


def bench_simulation(folder: Path, count: int = 60, repeats: int = 7) -> Rows:
    """Return the rows of the profiles and of lenstronomy; files are written under ``folder``."""
    ours = {profile: _measured(folder, profile, count, repeats)["rate"] for profile in PROFILES if profile != "smoke"}
    rows = [
        (
            f"profile {profile}: all bands, noise, truth and FITS files, one core",
            f"{rate:.0f} objects a core-second",
            f"at least {ASKED[profile]}" if profile in ASKED else "",
        )
        for profile, rate in ours.items()
    ]
    return [*rows, _lenstronomy_row(folder, ours["challenge"])]


def _lenstronomy_row(folder: Path, ours: float) -> tuple[str, str, str]:
    what = "lenstronomy on scenes of challenge, smooth, without noise, truth and files"
    theirs = _measured(folder, "lenstronomy", 3, 3)
    if not theirs:
        return what, 'lenstronomy is not installed: pip install -e ".[bench]"', ""
    return what, f"{theirs['rate']:.1f} objects a core-second (lensfold × {ours / theirs['rate']:.0f})", ""


def _measured(folder: Path, what: str, count: int, repeats: int) -> dict[str, float]:
    """Return what a process of its own measured."""
    command = [sys.executable, "-m", "benchmarks.simulation", str(folder), what, str(count), str(repeats)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads})
    return json.loads(done.stdout)


def pin_to_one_core() -> None:
    """Keep this process on one of its cores, where the system lets it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def median_rate(draw: Callable[[int], object], count: int, repeats: int) -> float:
    """Return how many of ``count`` objects are drawn in a second of this process's time, the median of ``repeats``.

    They are drawn once before, which compiles what they need.
    """
    times = []
    for _ in range(repeats + 1):
        started = time.process_time()
        for index in range(count):
            draw(index)
        times.append(time.process_time() - started)
    return count / statistics.median(times[1:])


def object_writer(folder: Path, profile: str) -> Callable[[int], None]:
    """Return what draws object ``index`` of a profile and writes its files under ``folder``."""
    for band in BANDS:
        cutout_file(folder, band, 1).parent.mkdir(parents=True, exist_ok=True)

    def draw(index: int) -> None:
        write_object(folder, simulate_object(profile, SEED, "train", index))

    return draw


def measure(folder: Path, what: str, count: int, repeats: int) -> dict[str, float]:
    """Return the rate of a profile, or of lenstronomy ({} where it is not installed), measured in this process."""
    if what != "lenstronomy":
        return {"rate": median_rate(object_writer(folder, what), count, repeats)}
    try:
        from benchmarks.lenstronomy_scene import scene_drawer
    except ImportError:
        return {}
    return {"rate": median_rate(scene_drawer(SEED), count, repeats)}


if __name__ == "__main__":
    pin_to_one_core()
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
