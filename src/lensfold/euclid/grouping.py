"""Which files make one object.

A file with two or more bands of Euclid is an object of its own. Files of one band belong together by the first of
these that finds another band:

1. same folder and same name, but for the words for their bands in either: a_VIS.fits and a_NIR_Y.fits,
   vis/a.fits and nir_y/a.fits (where that gives two files of one band, the same folder indeed);
2. same folder in that sense, the same tile where their names have one, and images whose middles are within 1 arcsec:
   names of the archive have a hash and a time of their own in each band.

What a table lists (`lensfold.euclid.object_table`) is grouped by it alone.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from lensfold.console import Progress
from lensfold.euclid.hdus import Unusable, kind_of, open_fits
from lensfold.euclid.layouts import BAND_WORD, BandFile, EuclidObject, Reading, Skipped, bands_in, stem, without_band
from lensfold.euclid.object_table import table_objects
from lensfold.euclid.sky import read_sky
from lensfold.frames import BANDS

MAX_APART = 1.0  # arcsec between the middles of an object's images; pixels are 0.1 or 0.3
_FITS = re.compile(r".*\.(fits?|fts)(\.(gz|fz))?", re.IGNORECASE)
_FOLDER_WORD = re.compile(rf"[-_. ]?(?:{BAND_WORD}|(?<![^\W_])(?:NISP|NIR)(?![^\W_]))", re.IGNORECASE)
_TILE = re.compile(r"TILE[-_ ]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class _Single:
    """A file of one band: its keys by the two rules above, and ICRS degrees of its middle, None without a WCS."""

    band: str
    file: BandFile
    key: tuple[str, str]
    middle: tuple[float, float] | None

    @property
    def tile(self) -> str:
        found = _TILE.search(self.file.path.name)
        return found[1] if found else ""


def find_objects(
    paths: Iterable[Path], reading: Reading, progress: Progress | None = None
) -> tuple[list[EuclidObject], list[Skipped]]:
    """Return the objects in files and folders (searched to the bottom), sorted by name, and the files of no object.

    Where ``reading`` has a table, it decides which files are read, and how. InputError where that cannot be read.
    """
    if reading.table is not None:
        return table_objects(reading.table)
    objects: list[EuclidObject] = []
    singles: list[_Single] = []
    skipped: list[Skipped] = []
    files = _files(paths)
    for done, path in enumerate(files, start=1):
        if progress:
            progress(done, len(files))
        try:
            bands, single = _look_into(path)
        except Unusable as error:
            skipped.append(Skipped(path, error.reason))
            continue
        if single:
            singles.append(single)
        else:
            objects.append(EuclidObject(stem(path), bands))
    grouped, left = _grouped(singles)
    complete, without_vis = _with_vis([*objects, *grouped])
    return sorted(complete, key=lambda found: (found.name, str(found.bands["VIS"].path))), [
        *skipped,
        *left,
        *without_vis,
    ]


def _files(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and of folders those that are FITS files or that people take for cutouts, each once."""
    found: dict[str, Path] = {}
    for path in paths:
        for file in _below(path) if path.is_dir() else [path]:
            found.setdefault(str(file.absolute()), file)
    return sorted(found.values())


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that look like cutouts, links followed, hidden folders left out."""
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(here, name)
            if not name.startswith(".") and path.is_file() and (_FITS.fullmatch(name) or _is_picture_or_fits(path)):
                yield path


def _is_picture_or_fits(path: Path) -> bool:
    """Return whether a file without a name of FITS is one, or a picture or archive that was meant as a cutout."""
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError:
        return False
    kind = kind_of(start) or ""
    return start.startswith(b"SIMPLE  =") or "picture" in kind or "archive" in kind


def _look_into(path: Path) -> tuple[dict[str, BandFile], _Single | None]:
    """Return the bands of a file, and where it has but one, what it is grouped by."""
    with open_fits(path) as file:
        bands = bands_in(file)
        if len(bands) > 1:
            return bands, None
        ((band, found),) = bands.items()
        image = file.hdus[found.extension]
        middle = None
        if image.shape:
            try:
                half = (np.array(image.shape[:-3:-1]) - 1) / 2
                middle = tuple(read_sky(image.cards).world(half[None]).tolist()[0])
            except ValueError:
                middle = None  # reading refuses it, with the reason
    return bands, _Single(band, found, (_folder_key(path), without_band(stem(path), band).strip("-_. ")), middle)


def _folder_key(path: Path) -> str:
    """Return the folder of a file without words for bands and for NISP."""
    return "/".join(left for name in path.absolute().parent.parts if (left := _FOLDER_WORD.sub("", name)))


def _grouped(singles: list[_Single]) -> tuple[list[EuclidObject], list[Skipped]]:
    """Return the objects that files of one band make, by name or else by position; and files of a band too many."""
    by_name: dict[tuple[str, str], list[_Single]] = {}
    for single in singles:
        by_name.setdefault(single.key, []).append(single)
    groups = [part for group in by_name.values() for part in _parts(group)]
    groups = [group for group in groups if len(group) > 1] + _by_position([one[0] for one in groups if len(one) == 1])
    objects, skipped = [], []
    for group in groups:
        bands: dict[str, BandFile] = {}
        for single in group:
            if single.band in bands:
                first = bands[single.band].path
                reason = f"a second image of {single.band} for the object of {first}. Leave one out."
                skipped.append(Skipped(single.file.path, reason))
            else:
                bands[single.band] = single.file
        folder, name = next((one.key for one in group if one.band == "VIS"), group[0].key)
        objects.append(EuclidObject(name or Path(folder).name, _ordered(bands)))
    return objects, skipped


def _parts(group: list[_Single]) -> list[list[_Single]]:
    """Return the group, or where it has two files of a band those of each folder."""
    if len({single.band for single in group}) == len(group):
        return [group]
    folders: dict[Path, list[_Single]] = {}
    for single in group:
        folders.setdefault(single.file.path.parent, []).append(single)
    return list(folders.values())


def _by_position(singles: list[_Single]) -> list[list[_Single]]:
    """Return groups of files in one folder and tile whose images have one middle, each band once."""
    places: dict[tuple[str, str, bool], list[_Single]] = {}
    for single in singles:
        places.setdefault((single.key[0], single.tile, "BGSUB" in single.file.path.name.upper()), []).append(single)
    return [group for place in places.values() for group in _by_middle(place)]


def _by_middle(singles: list[_Single]) -> list[list[_Single]]:
    """Return a group for each VIS image, with the nearest of each other band; what is near none is a group alone."""
    groups = [[single] for single in singles if single.band == "VIS"]
    centres = np.array([_unit_vector(group[0]) for group in groups])
    others = [single for single in singles if single.band != "VIS"]
    if not groups or not others:
        return groups + [[single] for single in others]
    places = np.array([_unit_vector(single) for single in others])
    found = cKDTree(centres).query(places, distance_upper_bound=np.radians(MAX_APART / 3600))
    apart, nearest = np.asarray(found[0]), np.asarray(found[1])
    for number in np.argsort(apart, kind="stable"):
        single, group = others[number], groups[nearest[number]] if np.isfinite(apart[number]) else None
        if group is None or single.band in {one.band for one in group}:
            groups.append([single])
        else:
            group.append(single)
    return groups


def _unit_vector(single: _Single) -> tuple[float, ...]:
    """Return where a middle is on the unit sphere; far outside of it where that is not known."""
    if single.middle is None or not np.isfinite(single.middle).all():
        return (10.0, 10.0, 10.0) if single.band == "VIS" else (-10.0, -10.0, -10.0)
    ra, dec = np.radians(single.middle)
    return float(np.cos(dec) * np.cos(ra)), float(np.cos(dec) * np.sin(ra)), float(np.sin(dec))


def _ordered(bands: dict[str, BandFile]) -> dict[str, BandFile]:
    return {band: bands[band] for band in BANDS if band in bands}


def _with_vis(objects: list[EuclidObject]) -> tuple[list[EuclidObject], list[Skipped]]:
    """Return the objects that have VIS, and the files of those that have not."""
    reason = (
        "object {name!r} has {found} but no VIS, which is always needed. Expected one file with {names}, or files of "
        "one band named alike but for it (a_VIS.fits, a_NIR_Y.fits), or in folders of that name, or a --table."
    )
    skipped = [
        Skipped(path, reason.format(name=one.name, found=", ".join(one.bands), names="VIS_FLUX, NIR_Y_FLUX …"))
        for one in objects
        if "VIS" not in one.bands
        for path in dict.fromkeys(file.path for file in one.bands.values())
    ]
    return [one for one in objects if "VIS" in one.bands], skipped
