"""Write a pack from Euclid cutouts: a test split without a catalog, and a table of its objects.

What the files have beside the images, RMS maps and point spread functions, goes into ``Public/maps/``: inside the
folder that takes an earlier import's place as a whole, so that maps never lie beside other images than their own.

IDs: the integer that a file's name starts with, or the only one in it, without sign; where one has none, or two are
alike, all objects are numbered from 1 in the order of their names.
"""

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from lensfold.console import Progress
from lensfold.errors import InputError
from lensfold.euclid.geometry import Frame, middle, read_object
from lensfold.euclid.layouts import EuclidObject, Reading, find_objects, raise_all
from lensfold.paths import cutout_file, maps_file

# a whole word that is no part of a decimal number; words are bounded by anything but letters and digits
_INTEGER = re.compile(r"(?<![^\W_])(?<![0-9]\.)[0-9]{1,18}(?![^\W_]|\.[0-9])")
_OTHER_PACK = re.compile(r"(datapack2\.0)?(train|test)(\.tar|\.tar\.gz|\.tgz)?|image_catalog.*")


def import_euclid(
    files: Sequence[Path],
    out: Path,
    overwrite: bool = False,
    progress: Progress | None = None,
    side: int | None = None,
) -> pd.DataFrame:
    """Write ``Public/`` and ``objects.csv`` into the folder ``out``; return the table, sorted by ID.

    ``side``: of the frames in VIS pixels; None for the largest that the files have. Its columns: ID; file (of VIS);
    ra, dec (ICRS degrees of the VIS frame's centre); bad_VIS … bad_H (``bad_share``). Raises InputError, and leaves
    ``out`` as it was, where files cannot be used (it lists them) or are not of one size, where ``out`` is another pack,
    or has Public/ without ``overwrite``, or cannot be written.
    """
    _check_target(out, overwrite)
    found, skipped = find_objects(files, Reading())
    raise_all([f"{file.path}: {file.reason}" for file in skipped])
    if not found:
        raise InputError("no files given, expected Euclid cutouts (FITS).")
    numbered = sorted(zip(_ids([one.name for one in found]), found, strict=True), key=lambda pair: pair[0])
    made, public = out / f".importing-{os.getpid()}", out / "Public"
    try:
        made.mkdir(parents=True)
        table = _write_objects(numbered, made, progress, side)
        (made / "objects.csv").replace(out / "objects.csv")
        if public.exists():
            public.rename(made / "old")
        (made / "Public").rename(public)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error}). Check the folder, its permissions, the disk.") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # only where nothing is inside: after a failure
    return table


def _check_target(out: Path, overwrite: bool) -> None:
    """Raise InputError where another pack, or an import not to be overwritten, is in ``out``."""
    names = [path.name for path in out.glob("*")]
    taken = [name for name in names if _OTHER_PACK.fullmatch(name) or (name == "Public" and not overwrite)]
    if taken:
        advice = "Import into another folder" + (", or give --overwrite." if taken == ["Public"] else ".")
        raise InputError(f"{out}: there is a pack already (found {', '.join(taken)}). {advice}")


def _ids(names: Sequence[str]) -> list[int]:
    """Return the objects' IDs, from their names or from 1 on (see the top of this file)."""
    found: list[int] = []
    for name in names:
        integers = list(_INTEGER.finditer(name))
        leads = integers and not re.search(r"[^\W_]", name[: integers[0].start()])
        found += [int(integers[0][0])] if leads or len(integers) == 1 else []
    return found if len(set(found)) == len(names) else list(range(1, len(names) + 1))


def _write_maps(target: Path, frames: dict[str, Frame]) -> None:
    """Write what there is of RMS maps and point spread functions: extensions VIS_RMS, VIS_PSF, Y_RMS …"""
    maps = {f"{band}_RMS": frame.rms for band, frame in frames.items()}
    maps |= {f"{band}_PSF": frame.psf for band, frame in frames.items()}
    hdus = [fits.ImageHDU(image, name=name) for name, image in maps.items() if image is not None]
    if hdus:
        target.parent.mkdir(parents=True, exist_ok=True)
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(target)


def _write_objects(
    objects: list[tuple[int, EuclidObject]], out: Path, progress: Progress | None, side: int | None
) -> pd.DataFrame:
    """Write ``Public/`` and ``objects.csv`` into ``out``; return the table; InputError listing what cannot be used."""
    rows: list[dict[str, object]] = []
    problems: list[str] = []
    sizes: dict[int, list[Path]] = {}
    for done, (object_id, found) in enumerate(objects, start=1):
        path = found.bands["VIS"].path
        try:
            frames = read_object(found, Reading(), side)
        except InputError as error:
            problems.append(str(error))
            continue
        own_side = len(frames["VIS"].image)
        sizes.setdefault(own_side, []).append(path)
        for band, frame in frames.items():
            target = cutout_file(out, band, object_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            fits.PrimaryHDU(frame.image, frame.header).writeto(target)
        _write_maps(maps_file(out, object_id), frames)
        centre = WCS(frames["VIS"].header).pixel_to_world(*middle(own_side)).icrs
        name = path.name.encode("utf-8", "replace").decode()  # a file's name need not be text
        shares = {f"bad_{band}": frame.bad_share for band, frame in frames.items()}
        rows.append({"ID": object_id, "file": name, "ra": float(centre.ra.deg), "dec": float(centre.dec.deg)} | shares)
        if progress:
            progress(done, len(objects))
    raise_all(problems or _two_sizes(sizes))
    table = pd.DataFrame(rows)
    table.to_csv(out / "objects.csv", index=False)
    return table


def _two_sizes(files: dict[int, list[Path]]) -> list[str]:
    """Return what is wrong where files give frames of more than one side, which ``files`` has by side."""
    if len(files) < 2:
        return []
    found = "; ".join(f'{len(named)} for {side // 10}" ({named[0]} …)' for side, named in sorted(files.items()))
    return [
        f"The files are not of one size, found {found}, and a pack has frames of one. Import the two kinds apart, or "
        'give --side 100, which takes the middle 10" of all.'
    ]
