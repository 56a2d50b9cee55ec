"""Euclid cutouts of noise, in the form that Euclid delivers them."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from lensfold.data.euclid import EXTENSIONS
from lensfold.paths import BANDS

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
