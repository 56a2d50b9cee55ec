"""Benchmark of `lensfold import-euclid` on multi-extension cutouts, beside astropy and Cutout2D in a loop."""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from benchmarks.data import Rows, peak_mb
from lensfold.data.depth import MER_SIGMA
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import EXTENSIONS
from lensfold.euclid.packs import Options
from lensfold.frames import BANDS
from lensfold.paths import cutout_file

#: pixels a side of a delivered cutout, and of a frame
SIDE, FRAME = 300, 200
MAGZERO = {"VIS": 24.6, "Y": 29.8, "J": 30.0, "H": 29.9}
LOOPED = 100


def bench_importing(folder: Path, few: int = 300, many: int = 1200) -> Rows:
    """Return the rows of importing ``few`` and ``many`` objects, which are made in ``folder``: 0.5 MB each."""
    for count in (few, many):
        write_cutouts(folder / str(count), count)
    two, one, less = (_import_in_process(folder, count, workers) for count, workers in ((many, 2), (many, 1), (few, 1)))
    loop = _looped(sorted((folder / str(few)).iterdir())[:LOOPED], folder / "loop")
    files = f"multi-extension cutouts of {SIDE} px"
    rate = many / two["seconds"]
    return [
        (f"importing {many:,} {files}, two processes", f"{rate:.0f} objects/s", "at least 60"),
        ("core time of an object in one process, against astropy's open, Cutout2D and writeto in a loop",
         f"× {loop * many / one['core_seconds']:.1f} less ({1000 * one['core_seconds'] / many:.0f} core-ms)", ""),
        (f"core time of an import, {many:,} objects against {few:,}, one process",
         f"× {one['core_seconds'] / less['core_seconds']:.1f}", f"at most × {1.1 * many / few:.1f}"),
        (f"peak memory of an import, one process, {many:,} objects against {few:,}",
         f"{one['peak_mb'] - less['peak_mb']:+.0f} MB", "at most +50 MB"),
    ]  # fmt: skip


def write_cutouts(folder: Path, count: int) -> None:
    """Write MER cutouts of noise, links of one file: image, RMS map and point spread function of each band."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(1)
    hdus = [fits.PrimaryHDU()]
    for band, sigma in zip(BANDS, MER_SIGMA, strict=True):
        name = EXTENSIONS[band]
        noise = sigma[0] * 10 ** (0.4 * MAGZERO[band]) * (1 if band == "VIS" else 1 / 3)
        pixels = noise * generator.standard_normal((SIDE, SIDE), dtype=np.float32)
        hdus.append(fits.ImageHDU(pixels, _header(band), name=name))
        hdus.append(fits.ImageHDU(np.ones((21, 21), np.float32), name=name.replace("FLUX", "PSF")))
        hdus.append(fits.ImageHDU(np.full_like(pixels, noise), _header(band), name=name.replace("FLUX", "RMS")))
    fits.HDUList(hdus).writeto(folder / "object_0.fits")
    for number in range(1, count):
        os.link(folder / "object_0.fits", folder / f"object_{number}.fits")


def _header(band: str) -> fits.Header:
    """Return a header with as many cards as MER's."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 63.256503, "CRVAL2": -49.5})
    header.update({"CRPIX1": 7854.0, "CRPIX2": 6798.0, "CD1_1": -0.1 / 3600, "CD2_2": 0.1 / 3600, "RADESYS": "ICRS"})
    header.update({"MAGZERO": MAGZERO[band], "FILTER": EXTENSIONS[band].removesuffix("_FLUX")})
    header.update({f"CARD{number}": (float(number), "as many as the pipeline leaves") for number in range(40)})
    return header


def _import_in_process(folder: Path, count: int, workers: int) -> dict[str, float]:
    """Return what `measured_import` does in a process of its own."""
    out = folder / f"out-{count}-{workers}"
    command = [sys.executable, "-m", "benchmarks.importing", str(folder / str(count)), str(out), str(workers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured_import(cutouts: Path, out: Path, workers: int) -> dict[str, float]:
    """Import in this process; return its seconds, core-seconds and peak memory in MB, workers not counted."""
    started, before = time.perf_counter(), time.process_time()
    import_euclid([cutouts], out, options=Options(workers=workers))
    seconds, core_seconds = time.perf_counter() - started, time.process_time() - before
    return {"seconds": seconds, "core_seconds": core_seconds, "peak_mb": peak_mb()}


def _looped(files: list[Path], out: Path) -> float:
    """Return the core-seconds that the plain way needs for an object: open, cut each band by its WCS, write it."""
    for band in BANDS:
        cutout_file(out, band, 0).parent.mkdir(parents=True)
    started = time.process_time()
    for number, file in enumerate(files):
        with warnings.catch_warnings(), fits.open(file) as hdus:
            warnings.simplefilter("ignore")
            centre = WCS(hdus["VIS_FLUX"].header).pixel_to_world((SIDE - 1) / 2, (SIDE - 1) / 2)
            for band, name in EXTENSIONS.items():
                piece = Cutout2D(hdus[name].data, centre, FRAME, wcs=WCS(hdus[name].header))
                flux = (piece.data * 10 ** (-0.4 * hdus[name].header["MAGZERO"])).astype(np.float32)
                fits.PrimaryHDU(flux, piece.wcs.to_header()).writeto(cutout_file(out, band, number))
    return (time.process_time() - started) / len(files)


if __name__ == "__main__":
    print(json.dumps(measured_import(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
