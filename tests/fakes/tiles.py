"""Small MER mosaics: two tiles that overlap, with known frames pasted into noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from fakes.euclid import MAGZERO, wcs_header
from fakes.pack import SIGMA, fake_images
from lensfold.frames import BANDS

SKY = (520, 900)  # rows, columns
#: first and last column of each tile in the sky
TILES = {"TILE102018211": (0, 600), "TILE102018212": (300, 900)}
#: first row and column of each object's VIS frame in the sky, by name: in the first tile, in both, in the second
PLACES = {"-9223372036854775806": (13, 22), "2697231412345678901": (250, 390), "007": (300, 661)}
WORDS = {"VIS": "VIS", "Y": "NIR-Y", "J": "NIR-J", "H": "NIR-H"}


@dataclass(frozen=True)
class Sky:
    """What tiles are cut from: pixels as stored by band, the header, and the frames that were pasted, by name."""

    pixels: dict[str, np.ndarray]
    header: fits.Header
    frames: dict[str, dict[str, np.ndarray]]

    def position(self, row: float, column: float) -> tuple[float, float]:
        """RA and Dec of a pixel of the sky, from zero."""
        ra, dec = WCS(self.header).wcs_pix2world([[column, row]], 0)[0]
        return float(ra), float(dec)

    def catalog(self, shift: float = 0.0) -> pd.DataFrame:
        """OBJECT_ID, RIGHT_ASCENSION and DECLINATION of the objects, ``shift`` pixels beside the central one."""
        rows = [
            (name, *self.position(row + 100 + shift, column + 100 - shift)) for name, (row, column) in PLACES.items()
        ]
        return pd.DataFrame(rows, columns=["OBJECT_ID", "RIGHT_ASCENSION", "DECLINATION"])


def make_sky() -> Sky:
    """Noise with three objects; NISP pixels of a frame are shared among nine of the mosaic."""
    rng = np.random.default_rng(5)
    pixels, frames = {}, {}
    for number, name in enumerate(PLACES):
        frames[name] = fake_images(np.random.default_rng(number), is_lens=number == 1)
    for band in BANDS:
        unit, step = 10 ** (-0.4 * MAGZERO[band]), 1 if band == "VIS" else 3
        image = rng.normal(0, SIGMA[band] / step / unit, SKY)
        for name, (row, column) in PLACES.items():
            fine = np.kron(frames[name][band].astype(np.float64), np.ones((step, step))) / step**2 / unit
            first = row + step // 3, column + step // 3
            image[first[0] : first[0] + len(fine), first[1] : first[1] + len(fine)] = fine
        pixels[band] = image.astype(np.float32)
    return Sky(pixels, wcs_header(SKY), frames)


def mosaic_name(band: str, tile: str, kind: str = "BGSUB-MOSAIC", suffix: str = "") -> str:
    return f"EUC_MER_{kind}-{WORDS[band]}{suffix}_{tile}-A1B2C3_20241018T142710.276838Z_00.00.fits"


def write_mosaic(folder: Path, sky: Sky, band: str, tile: str, kind: str = "BGSUB-MOSAIC", add: float = 0.0) -> Path:
    """Write one band of a tile; ``add``: a background in it."""
    first, last = TILES[tile]
    header = sky.header.copy()
    header.update({"CRPIX1": header["CRPIX1"] - first, "MAGZERO": MAGZERO[band]})
    path = folder / mosaic_name(band, tile, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(sky.pixels[band][:, first:last] + np.float32(add), header).writeto(path, overwrite=True)
    return path


def write_noise(folder: Path, sky: Sky, band: str, tile: str, hole: tuple[slice, slice]) -> Path:
    """Write the RMS mosaic of a band, 1e16 in a hole (rows and columns of the sky)."""
    first, last = TILES[tile]
    rms = np.ones(SKY, np.float32)
    rms[hole] = 1e16
    header = sky.header.copy()
    header["CRPIX1"] -= first
    path = folder / mosaic_name(band, tile, "MOSAIC", "-RMS")
    fits.PrimaryHDU(rms[:, first:last], header).writeto(path)
    return path


def write_tiles(folder: Path, sky: Sky) -> Path:
    """Write all mosaics of both tiles; return the folder."""
    for tile in TILES:
        for band in BANDS:
            write_mosaic(folder, sky, band, tile)
    return folder
