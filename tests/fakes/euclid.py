"""Euclid cutouts of noise, as delivered, and what the tests of their import share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lensfold.data.fits_reader import read_frame, strict_frame
from lensfold.data.objects import read_objects
from lensfold.errors import InputError
from lensfold.euclid.geometry import Frame, read_object
from lensfold.euclid.grouping import find_objects
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import EXTENSIONS, EuclidObject, Reading
from lensfold.euclid.packs import Options
from lensfold.frames import BANDS
from lensfold.paths import cutout_file

MAGZERO = {"VIS": 24.6, "Y": 29.8, "J": 30.0, "H": 29.9}
PIXEL = 0.1 / 3600


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Pixels of which none is zero, NaN or like its neighbours."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) + np.float32(0.01)


def wcs_header(shape: tuple[int, int], pixel: float = PIXEL, form: str = "cd", **cards) -> fits.Header:
    """A tangential projection around the image's centre, turned by 30 degrees."""
    matrix = pixel * np.array([[-np.cos(0.5), np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update({"CRVAL1": 359.12345678912345, "CRVAL2": -49.987654321098765})
    header.update({"CRPIX1": (shape[1] + 1) / 2, "CRPIX2": (shape[0] + 1) / 2})
    for i in (0, 1):
        for j in (0, 1):
            if form in ("cd", "both"):
                header[f"CD{i + 1}_{j + 1}"] = matrix[i, j]
            if form in ("pc", "both"):
                header[f"PC{i + 1}_{j + 1}"] = matrix[i, j] / (pixel if form == "pc" else 1)
        if form in ("pc", "both"):
            header[f"CDELT{i + 1}"] = pixel if form == "pc" else 1.0
    header.update(cards)
    return header


def mer_hdus(shape: tuple[int, int] = (210, 210), form: str = "cd", seed: int = 0) -> fits.HDUList:
    """A MER cutout of noise in all bands, as Euclid delivers it."""
    hdus = [fits.PrimaryHDU()]
    for number, band in enumerate(BANDS):
        name = EXTENSIONS[band]
        header = wcs_header(shape, form=form, MAGZERO=MAGZERO[band], FILTER=name[:-5])
        hdus.append(fits.ImageHDU(noise(shape, number + seed), header, name=name))
        hdus.append(fits.ImageHDU(np.ones((21, 21), np.float32), name=name.replace("FLUX", "PSF")))
        hdus.append(fits.ImageHDU(np.ones(shape, np.float32), name=name.replace("FLUX", "RMS")))
    return fits.HDUList(hdus)


def written(path: Path, hdus: fits.HDUList | fits.PrimaryHDU) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus.writeto(path, overwrite=True)
    return path


def write_single(path: Path, band: str, side: int = 200, pixel: float = PIXEL, **cards) -> Path:
    """A single-band cutout in a primary HDU; a card of None is left out."""
    cards = {"MAGZERO": MAGZERO[band], "FILTER": EXTENSIONS[band][:-5]} | cards
    header = wcs_header((side, side), pixel)
    header.update({key: value for key, value in cards.items() if value is not None})
    return written(path, fits.PrimaryHDU(noise((side, side), BANDS.index(band)), header))


def write_group(folder: Path, name: str = "{}_7", nisp: float = PIXEL, **cards) -> list[Path]:
    """Four single-band cutouts named ``name`` with the band's extension in it."""
    nisp_side = 210 if nisp == PIXEL else 68
    return [
        write_single(
            folder / f"{name.format(EXTENSIONS[band][:-5])}.fits",
            band,
            210 if band == "VIS" else nisp_side,
            PIXEL if band == "VIS" else nisp,
            **cards,
        )
        for band in BANDS
    ]


def object_of(files: list[Path], reading: Reading | None = None) -> EuclidObject:
    """The one object of these files; InputError where one of them cannot be used."""
    objects, skipped = find_objects(files, reading or Reading())
    if skipped:
        raise InputError(f"{skipped[0].path}: {skipped[0].reason}")
    (found,) = objects
    return found


def frames_in(files: list[Path], side: int | None = None, reading: Reading | None = None) -> dict[str, Frame]:
    """The frames of the one object of these files; InputError where one of them cannot be used."""
    return read_object(object_of(files, reading), reading or Reading(), side)


def imported(files: Sequence[Path], out: Path, reading: Reading | None = None, **options) -> pd.DataFrame:
    """The objects of an import that must use all files and make one pack, in ``out``."""
    made = import_euclid(files, out, reading, Options(**options))
    assert made.skipped.empty, made.reasons
    (pack,) = made.packs
    assert pack.folder == out
    return pack.objects


def import_numbered(files: Sequence[Path], out: Path, **options) -> None:
    """An import of files that are called as numbers; these become the IDs."""
    table = imported(files, out, **options)
    for object_id, name in table[["ID", "name"]].itertuples(index=False):
        for file in list(out.rglob(f"*-{object_id}.fits")):
            file.rename(file.with_name(file.name.replace(str(object_id), name)))
    table.assign(ID=table["name"].astype(int)).to_csv(out / "objects.csv", index=False)


def refused(files: Sequence[Path], out: Path, *words: str, reading: Reading | None = None, **options) -> str:
    """The message of an import that must fail, and leave nothing behind."""
    before = sorted(out.rglob("*")) if out.exists() else None
    with pytest.raises(InputError) as error:
        import_euclid(files, out, reading, Options(**options))
    assert (sorted(out.rglob("*")) if out.exists() else None) == before
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)
    return str(error.value)


def id_in(out: Path, name: str) -> int:
    """The ID of the one object of this name."""
    objects = read_objects(out)
    (found,) = objects.loc[objects["name"] == name, "ID"].tolist()
    return found


def frames_of(out: Path, name: str) -> dict[str, np.ndarray]:
    """Pixels of an imported object."""
    return {band: read_frame(cutout_file(out, band, id_in(out, name)).read_bytes()) for band in BANDS}


def all_strict(out: Path) -> bool:
    """Whether every file has the one form that needs no astropy to be read."""
    return all(strict_frame(path.read_bytes()) is not None for path in out.rglob("image*.fits"))


def check_sky(sources: dict[str, WCS], out: Path, name: str, corner: tuple[int, int]) -> None:
    """A source's pixels have the sky they had; ``corner``: column and row where the VIS frame starts."""
    for band in BANDS:
        wcs = WCS(fits.getheader(cutout_file(out, band, id_in(out, name))))
        step, first = (1, 0) if band == "VIS" else (3, 2)
        inside = np.array([[0, 0], [10, 60], [65, 3], [32, 32]])
        before = sources[band].pixel_to_world(*(inside * step + first + corner).T)
        assert before.separation(wcs.pixel_to_world(*inside.T)).arcsec.max() < 1e-6, band


def mer_with(tmp_path: Path, change, shape: tuple[int, int] = (210, 210)) -> list[Path]:
    """A MER cutout after ``change`` was made to its HDUs."""
    hdus = mer_hdus(shape)
    hdus = change(hdus) or hdus
    return [written(tmp_path / "x1.fits", hdus)]
