"""MER cutouts as the archive delivers them, made of simulated objects without a source: real size, depth and maps."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from fakes.euclid import MAGZERO, wcs_header, written
from lensfold.euclid.layouts import EXTENSIONS
from lensfold.frames import BANDS
from lensfold.simulate import PROFILES, Population, simulate_object

SIDE = 300  # pixels of 0.1 arcsec
PSF_SIDES = {"VIS": 21, "Y": 33, "J": 33, "H": 33}


def robust(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def psf_stamp(fwhm: float, beta: float, side: int) -> np.ndarray:
    """A Moffat of pixels of 0.1 arcsec, each the mean of 5 x 5 points, of the sum one."""
    at = (np.arange(5 * side) - 0.5 * (5 * side - 1)) * 0.02
    alpha = 0.5 * fwhm / np.sqrt(2 ** (1 / beta) - 1)
    points = (1 + (at[:, None] ** 2 + at[None, :] ** 2) / alpha**2) ** -beta
    stamp = points.reshape(side, 5, side, 5).mean(axis=(1, 3))
    return (stamp / stamp.sum()).astype(np.float32)


def _widened(rng: np.random.Generator, image: np.ndarray, sigma: float) -> np.ndarray:
    """A frame in the middle of 300 x 300 pixels of 0.1 arcsec: NISP pixels are divided by nine, and given noise of
    which the nine sum to nothing, so that their sum is what it was."""
    step = 1 if len(image) == 200 else 3
    fine = np.kron(image.astype(np.float64), np.ones((step, step))) / step**2
    if step == 3:
        split = rng.normal(0.0, sigma / 3, (66, 3, 66, 3))
        fine += (split - split.mean(axis=(1, 3), keepdims=True)).reshape(198, 198)
    whole = rng.normal(0.0, sigma / step, (SIDE, SIDE))
    first = 50 + step // 3
    whole[first : first + len(fine), first : first + len(fine)] = fine
    return whole


def mer_file(
    path: Path, seed: int, index: int, maps: tuple[str, ...] = ("RMS", "PSF"), profile: str = "euclid"
) -> dict[str, np.ndarray]:
    """Write a MER cutout of object ``index`` without its source; return the frames that it was made of."""
    p: Population = PROFILES[profile]
    rng = np.random.default_rng([seed, index])
    images = simulate_object(p, seed, "test", index, with_source=False).images
    hdus: list[fits.hdu.base.ExtensionHDU | fits.PrimaryHDU] = [fits.PrimaryHDU()]
    for number, band in enumerate(BANDS):
        unit, sigma = 10 ** (-0.4 * MAGZERO[band]), robust(images[band])
        name = EXTENSIONS[band]
        header = wcs_header((SIDE, SIDE), MAGZERO=MAGZERO[band], FILTER=name[:-5])
        pixels = _widened(rng, images[band], sigma) / unit
        hdus.append(fits.ImageHDU(pixels.astype(np.float32), header, name=name))
        rms = np.full((SIDE, SIDE), sigma / (1 if band == "VIS" else 3) / unit, np.float32)
        psf = psf_stamp(p.psf_fwhm[number], p.psf_beta[number], PSF_SIDES[band])
        for kind, image in (("RMS", rms), ("PSF", psf)):
            if kind in maps:
                hdus.append(fits.ImageHDU(image, name=name.replace("FLUX", kind)))
    written(path, fits.HDUList(hdus))
    return images
