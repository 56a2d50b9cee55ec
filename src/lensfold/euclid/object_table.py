"""A table that says which files make which object, for layouts that names and cards do not explain.

Columns, in any order and case: ``object`` and ``file`` (against the table's folder) are needed; ``band`` and
``extension`` (name or number) where the file leaves them open; ``RA`` and ``Dec`` (ICRS degrees) where the object is
not in the middle of its VIS image. A row without band stands for all bands of its file.
"""

import math
from pathlib import Path

import pandas as pd

from lensfold.errors import InputError
from lensfold.euclid.hdus import FitsFile, Unusable, open_fits
from lensfold.euclid.layouts import (
    BAND_WORDS,
    BandFile,
    EuclidObject,
    Skipped,
    band_of_image,
    bands_in,
    extension_of,
)
from lensfold.files import check_file
from lensfold.frames import BANDS

_ALIASES = {"name": "object", "object_id": "object", "ext": "extension", "path": "file", "right_ascension": "ra"}
_COLUMNS = ("object", "file", "band", "extension", "ra", "dec")


def table_objects(table: Path) -> tuple[list[EuclidObject], list[Skipped]]:
    """Return the objects of a table (CSV, TSV or FITS), in its order, and the files of those that cannot be used.

    Raises InputError where the table cannot be read, or lacks a column.
    """
    rows = _read(table)
    found: dict[int, dict[str, BandFile]] = {}
    problems: dict[str, Skipped] = {}
    for name, of_file in rows.groupby("file", sort=False):
        path = table.parent / str(name)
        try:
            with open_fits(path) as file:
                for number, row in zip(of_file.index, of_file.to_dict("records"), strict=True):
                    try:
                        found[number] = _bands_of_row(file, row["band"], row["extension"])
                    except Unusable as error:
                        problems.setdefault(row["object"], Skipped(path, error.reason))
        except Unusable as error:
            for one in of_file["object"]:
                problems.setdefault(one, Skipped(path, error.reason))
    objects = []
    for name, of_object in rows.groupby("object", sort=False):
        if name in problems:
            continue
        try:
            objects.append(_object(table, str(name), of_object, [found[number] for number in of_object.index]))
        except Unusable as error:
            problems[str(name)] = Skipped(table.parent / of_object["file"].iloc[0], error.reason)
    return objects, [Skipped(one.path, f"object {name!r}: {one.reason}") for name, one in problems.items()]


def _read(table: Path) -> pd.DataFrame:
    """Return the table as text in the columns above, empty where a cell or a column is."""
    try:
        check_file(table)
        if table.suffix.lower() in (".fits", ".fit"):
            from astropy.table import Table

            frame = Table.read(table, format="fits", character_as_bytes=False).to_pandas().astype(str)
        else:
            frame = pd.read_csv(table, dtype=str, sep="\t" if table.suffix.lower() == ".tsv" else ",", comment="#")
    except Exception as error:  # pandas and astropy raise many kinds; each is the same to us
        raise InputError(f"{table}: not readable as a table ({error}). Expected CSV with object,file.") from error
    frame = frame.fillna("").rename(columns=lambda name: str(name).strip().lower()).apply(lambda one: one.str.strip())
    frame = frame.rename(columns={old: new for old, new in _ALIASES.items() if new not in frame})
    missing = [name for name in ("object", "file") if name not in frame or (frame[name] == "").any()]
    if missing or frame.empty:
        what = f"an empty or no column {missing[0]!r}" if missing else "no rows"
        raise InputError(f"{table}: has {what}; found {', '.join(frame)}. Expected {','.join(_COLUMNS)}.")
    return frame.reindex(columns=list(_COLUMNS), fill_value="")


def _bands_of_row(file: FitsFile, band: str, extension: str) -> dict[str, BandFile]:
    """Return the bands that one row stands for."""
    word = band.upper()
    if word and word not in BAND_WORDS:
        raise Unusable(file.path, f"band is {band!r} in the table, expected one of {', '.join(BAND_WORDS)}.")
    images = [hdu for hdu in file.hdus if hdu.shape]
    if not extension and (not word or len(images) != 1):
        bands = bands_in(file)
        if word and BAND_WORDS[word] not in bands:
            raise Unusable(file.path, f"has {', '.join(bands)}, not {band}: say which extension it is.")
        return {BAND_WORDS[word]: bands[BAND_WORDS[word]]} if word else bands
    image = extension_of(file, extension) if extension else images[0]
    if not image.shape:
        raise Unusable(file.path, f"[{image.name or image.place}] is no image.")
    maps = _maps_beside(file, image.name)
    found = BandFile(file.path, image.place, maps.get("RMS"), maps.get("PSF"), alone=len(images) == 1)
    return {BAND_WORDS[word] if word else band_of_image(file, image): found}


def _maps_beside(file: FitsFile, name: str) -> dict[str, int]:
    """Return the places of RMS and PSF named as this image is: X_RMS beside X_FLUX."""
    begin = name.rpartition("_")[0]
    return {kind: hdu.place for hdu in file.hdus for kind in ("RMS", "PSF") if begin and hdu.name == f"{begin}_{kind}"}


def _object(table: Path, name: str, rows: pd.DataFrame, parts: list[dict[str, BandFile]]) -> EuclidObject:
    """Return the object of these rows; Unusable where a band comes twice, or VIS not at all."""
    bands: dict[str, BandFile] = {}
    for part in parts:
        for band, file in part.items():
            if band in bands:
                raise Unusable(table, f"two rows have its {band}: {bands[band].path} and {file.path}.")
            bands[band] = file
    if "VIS" not in bands:
        raise Unusable(table, f"has {', '.join(bands)} but no VIS, which is always needed.")
    return EuclidObject(name, {band: bands[band] for band in BANDS if band in bands}, _position(table, rows))


def _position(table: Path, rows: pd.DataFrame) -> tuple[float, float] | None:
    """Return RA and Dec of an object, None where no row has them; Unusable where they are no position, or several."""
    places = {(ra, dec) for ra, dec in zip(rows["ra"], rows["dec"], strict=True) if ra or dec}
    if not places:
        return None
    try:
        ((ra, dec),) = {(float(ra), float(dec)) for ra, dec in places}
    except ValueError as error:
        raise Unusable(table, f"RA and Dec are {sorted(places)} in the table, expected one position.") from error
    if not (math.isfinite(ra) and -360 <= ra <= 360 and -90 <= dec <= 90):
        raise Unusable(table, f"RA and Dec are {ra}, {dec} in the table, expected degrees.")
    return ra, dec
