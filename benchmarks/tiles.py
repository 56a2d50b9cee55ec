"""Benchmark of `lensfold cut` on one tile of real size, beside astropy's Cutout2D in a loop."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from benchmarks.data import Rows, peak_mb
from lensfold.frames import BANDS
from lensfold.paths import Workspace
from lensfold.pipeline.cut import Cutting, cut_pack

#: pixels a side of a MER mosaic, and the rows that are drawn anew before they repeat
SIDE, DRAWN = 19_200, 960
MAGZERO = {"VIS": 24.6, "Y": 29.8, "J": 30.0, "H": 29.9}
SIGMA = {"VIS": 4.5e-13, "Y": 2.5e-12, "J": 3e-12, "H": 2.3e-12}
LOOPED = 200


def bench_tiles(folder: Path, few: int = 1000, many: int = 10_000, side: int = SIDE) -> Rows:
    """Return the rows of cutting ``few`` and ``many`` objects out of one tile, which is made in ``folder``: 6 GB."""
    write_tile(folder / "tile", side)
    for count in (few, many):
        write_catalog(folder / f"{count}.csv", count, side)
    _forget(folder / "tile")
    cold = _cut_in_process(folder, many, 2, "cold")
    warm, one, less = (
        _cut_in_process(folder, count, workers, name)
        for count, workers, name in ((many, 2, "warm"), (many, 1, "one"), (few, 1, "few"))
    )
    loop = seconds_of_a_loop(folder / "tile", pd.read_csv(folder / f"{few}.csv").head(LOOPED))
    size = f"{side:,} x {side:,} px"
    rate = {name: many / found["seconds"] for name, found in (("cold", cold), ("warm", warm), ("one", one))}
    each = 1000 * (one["core_seconds"] - less["core_seconds"]) / (many - few)
    return [
        (f"cutting {many:,} objects, four bands, out of a tile of {size} into shards, two processes",
         f"{rate['warm']:.0f} objects/s", "at least 500"),
        ("the same, the tile not in memory before", f"{rate['cold']:.0f} objects/s", ""),
        ("core time of each further object, one process", f"{each:.1f} core-ms", "at most 4: 500/s on two cores"),
        ("one process, against astropy's Cutout2D in a loop (pixels only, nothing written)",
         f"× {rate['one'] * loop:.1f} ({rate['one']:.0f} objects/s, Cutout2D {1 / loop:.0f})", ""),
        (f"time of a cut, {many:,} objects against {few:,}, one process", f"× {one['seconds'] / less['seconds']:.1f}",
         f"at most × {1.1 * many / few:.0f}"),
        ("peak memory of a cut, one process", f"{one['peak_mb']:.0f} MB", "at most 3,000 MB"),
    ]  # fmt: skip


def write_tile(folder: Path, side: int) -> None:
    """Write the four mosaics of a tile: noise that repeats after some rows."""
    folder.mkdir(parents=True)
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 270.0, "CRVAL2": 65.0})
    header.update({"CRPIX1": side / 2, "CRPIX2": side / 2, "CD1_1": -0.1 / 3600, "CD2_2": 0.1 / 3600})
    for number, band in enumerate(BANDS):
        word = band if band == "VIS" else f"NIR-{band}"
        path = folder / f"EUC_MER_BGSUB-MOSAIC-{word}_TILE102018211-0_20241018T142710.276838Z_00.00.fits"
        drawn = np.random.default_rng(number).standard_normal((min(DRAWN, side), side), dtype=np.float32)
        drawn *= np.float32(SIGMA[band] * 10 ** (0.4 * MAGZERO[band]))
        content = drawn.astype(">f4").tobytes()
        cards = header.copy()
        cards.update({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side})
        cards["MAGZERO"] = MAGZERO[band]
        first = ("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2")
        ordered = fits.Header([(key, cards.pop(key)) for key in first] + list(cards.items()))
        with path.open("wb") as stream:
            stream.write(ordered.tostring().encode())
            for _ in range(side // len(drawn)):
                stream.write(content)
            stream.write(bytes(-stream.tell() % 2880))


def write_catalog(path: Path, count: int, side: int) -> None:
    """Write the positions of objects anywhere in the tile of `write_tile`, whole frames inside."""
    x, y = np.random.default_rng(count).uniform(150, side - 150, (2, count))
    tile = next((path.parent / "tile").glob("*VIS*"))
    ra, dec = WCS(fits.getheader(tile)).wcs_pix2world(x, y, 0)
    pd.DataFrame({"OBJECT_ID": range(count), "RA": ra, "DEC": dec}).to_csv(path, index=False)


def _forget(folder: Path) -> None:
    """Have the system drop what it keeps of the files in memory, where it can be told so."""
    os.sync()
    for path in folder.iterdir():
        if hasattr(os, "posix_fadvise"):
            with path.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _cut_in_process(folder: Path, count: int, workers: int, name: str) -> dict[str, float]:
    """Return what `measured_cut` does, in a process of its own."""
    os.sync()
    command = [sys.executable, "-m", "benchmarks.tiles", str(folder), str(count), str(workers), name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured_cut(folder: Path, count: int, workers: int, name: str) -> dict[str, float]:
    """Cut the objects of a catalog in this process; return seconds, core-seconds and peak memory in MB."""
    workspace = Workspace(folder / name)
    started = time.perf_counter()
    asked = Cutting(folder / "tile", folder / f"{count}.csv")
    cut_pack(workspace, workspace.pack("mine"), asked, False, workers)
    seconds = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cores = sum(one.ru_utime + one.ru_stime for one in used)
    return {"seconds": seconds, "core_seconds": cores, "peak_mb": peak_mb()}


def seconds_of_a_loop(folder: Path, catalog: pd.DataFrame) -> float:
    """Return the seconds that an object takes with Cutout2D, its pixels copied out of memory maps."""
    files = [fits.open(path, memmap=True) for path in sorted(folder.iterdir())]
    skies = [WCS(hdus[0].header) for hdus in files]
    started = time.perf_counter()
    for ra, dec in catalog[["RA", "DEC"]].to_numpy().tolist():
        position = SkyCoord(ra, dec, unit="deg")
        for hdus, wcs in zip(files, skies, strict=True):
            Cutout2D(hdus[0].data, position, 200, wcs, copy=True)
    seconds = (time.perf_counter() - started) / len(catalog)
    for hdus in files:
        hdus.close()
    return seconds


if __name__ == "__main__":
    print(json.dumps(measured_cut(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
