"""Benchmarks of the data layer, as ratios taken in one run; what the other groups of benchmarks share."""

import gzip
import io
import json
import os
import re
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from isal import igzip

from lensfold.data.archive import scan_archive
from lensfold.data.cache import Cache
from lensfold.data.cache_build import Build, build_cache
from lensfold.data.sources import read_cutout
from lensfold.frames import BAND_SHAPES, BANDS
from lensfold.paths import cutout_file
from lensfold.simulate.fits import fits_bytes
from lensfold.simulate.objects import simulate_object

#: rows of a table: what was compared, the figure, what it must reach (empty where nothing is asked)
Rows = list[tuple[str, str, str]]
FIRST_ID = 200001


def bench_data(folder: Path, small: int, large: int) -> Rows:
    """Return the rows of the data layer, on packs of ``small`` and ``large`` objects, made in ``folder``."""
    ids = write_noise_pack(folder / "small", small)
    rows = [_reading(folder / "small", ids[:200]), *_archive(folder, len(ids) // 4)]
    few = _build_in_process(folder / "small", folder / "few")
    rows.append(_random_rows(folder / "few"))
    write_noise_pack(folder / "large", large)
    many = _build_in_process(folder / "large", folder / "many")
    count = f"{large:,} objects against {small:,}"
    more = many["peak_mb"] - few["peak_mb"]
    rows.append((f"peak memory of a cache build, one process, {count}", f"{more:+.0f} MB", "at most +100 MB"))
    ratio = many["seconds"] / few["seconds"]
    rows.append((f"time of a cache build, {count}", f"× {ratio:.1f}", f"at most × {1.1 * large / small:.0f}"))
    rows.append(("cache build, one process", f"{large / many['seconds']:.0f} objects/s", ""))
    return rows


def write_noise_pack(split_folder: Path, count: int) -> list[int]:
    """Write ``count`` objects of noise in the challenge's layout; return their IDs. Frames are shifted copies: fast."""
    generator = np.random.default_rng(1)
    frames = {band: 5e-13 * generator.standard_normal(BAND_SHAPES[band]) for band in BANDS}
    ids = list(range(FIRST_ID, FIRST_ID + count))
    for band in BANDS:
        cutout_file(split_folder, band, FIRST_ID).parent.mkdir(parents=True, exist_ok=True)
        for object_id in ids:
            shifted = np.roll(frames[band], object_id % frames[band].size)
            cutout_file(split_folder, band, object_id).write_bytes(fits_bytes(shifted, band, object_id, (10.0, 5.0)))
    return ids


def best_seconds(*functions: Callable[[], object], repeats: int = 5) -> list[float]:
    """Return the shortest time of each function; they take turns, so that a busy machine is unfair to none."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for kept, function in zip(times, functions, strict=True):
            started = time.perf_counter()
            function()
            kept.append(time.perf_counter() - started)
    return [min(kept) for kept in times]


def _reading(split_folder: Path, ids: list[int]) -> tuple[str, str, str]:
    def ours() -> None:
        for object_id in ids:
            for band in BANDS:
                read_cutout(split_folder, band, object_id)

    def by_astropy() -> None:
        for object_id in ids:
            for band in BANDS:
                fits.getdata(cutout_file(split_folder, band, object_id))

    strict, loop = best_seconds(ours, by_astropy)
    speed = f"× {loop / strict:.1f} ({len(ids) / strict:.0f} objects/s)"
    return ("reading an object's four files, against astropy.io.fits.getdata in a loop", speed, "at least × 5")


def _archive(folder: Path, count: int) -> Rows:
    """Return rows for a tar.gz of simulated objects: pure noise would decompress faster than skies do."""
    path = folder / "train.tar.gz"
    with (
        gzip.open(path, "wb", compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for index in range(count):
            item = simulate_object("sample", 1, "train", index)
            for band in BANDS:
                content = fits_bytes(item.images[band], band, FIRST_ID + index, item.centre)
                member = tarfile.TarInfo(f"Public/EUC_{band}/imageEUC_{band}-{FIRST_ID + index}.fits")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

    def drain(stream: BinaryIO | gzip.GzipFile | igzip.IGzipFile) -> None:
        while stream.read(1 << 20):
            pass

    def plain_gzip() -> None:
        with gzip.open(path, "rb") as stream:
            drain(stream)

    def plain_isal() -> None:
        with igzip.open(path, "rb") as stream:
            drain(stream)

    def ours() -> None:
        for left in (folder / ".building-scanned").glob("*"):
            left.unlink()
        scan_archive(path, folder / "scanned")

    by_gzip, by_isal, scan = best_seconds(plain_gzip, plain_isal, ours)
    what = "speed of a pass over a tar.gz, against decompression only"
    return [
        (f"{what} by Python's gzip", f"× {by_gzip / scan:.2f} ({count / scan:.0f} objects/s)", "at least × 0.9"),
        (f"{what} by isal, which the pass uses", f"× {by_isal / scan:.2f}", ""),
    ]


def _random_rows(cache_folder: Path) -> tuple[str, str, str]:
    with Cache(cache_folder) as cache:
        order = np.random.default_rng(2).permutation(cache.ids)[:1000]

        def ours() -> None:
            for start in range(0, len(order), 32):
                cache.read(order[start : start + 32])

        (seconds,) = best_seconds(ours)
    rate = len(order) / seconds
    return ("random native objects out of the cache, warm, one process", f"{rate:.0f} objects/s", "at least 7,000")


def _build_in_process(split_folder: Path, cache_folder: Path) -> dict[str, float]:
    """Return seconds and peak memory in MB of a cache build in a process of its own."""
    os.sync()  # or the build waits for the disk to take the pack that was just made
    command = [sys.executable, "-m", "benchmarks.data", str(split_folder), str(cache_folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured_build(split_folder: Path, cache_folder: Path) -> dict[str, float]:
    """Build a cache in this process; return seconds and the peak memory of the process in MB."""
    started = time.perf_counter()
    build_cache(split_folder, Build(cache_folder))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    status = Path("/proc/self/status")
    # a child's ru_maxrss begins with the memory of the process that started it
    match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    if match is not None:
        return int(match[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    print(json.dumps(measured_build(Path(sys.argv[1]), Path(sys.argv[2]))))
