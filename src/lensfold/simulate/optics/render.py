"""From components to images: the fine grid, the point spread functions, binning and noise.

The fine grid has 432 x 432 pixels of 0.05 arcsec, pixel i at (i - 215.5) * 0.05 arcsec. VIS is convolved there,
cut to 400 and added two by two. NISP is added two by two first, convolved at 0.1 arcsec, cut to 198 and added
three by three, so that NISP pixel (a, b) covers exactly VIS pixels 1+3a..3+3a, 1+3b..3+3b.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import fft

from lensfold.simulate.optics.lensing import Deflector, draw_lensed, map_nodes
from lensfold.simulate.optics.light import draw
from lensfold.simulate.optics.light_kernels import AXIS, FLUX, RADIUS, sum_blocks, sum_pairs
from lensfold.simulate.population import Population

FINE = 432
PIXEL = 0.05  # arcsec
COARSE_CELLS = 108
COARSE_STEP = FINE * PIXEL / COARSE_CELLS  # 0.2 arcsec
PRUNE = 0.01  # components end where they fall below this share of the VIS background sigma
SOURCE_REACH = 7.5  # half-light radii
_DISC_B = 1.6783469900166605  # b_n of an exponential disc
_MARGIN = 16  # fine pixels
_SMALL = 256  # fine pixels of the smaller field for compact light


@dataclass(frozen=True)
class Planes:
    """Noise-free light before the point spread function: ``vis`` (432, 432) and ``nisp`` (3, 216, 216), float32."""

    vis: np.ndarray
    nisp: np.ndarray

    @classmethod
    def empty(cls) -> "Planes":
        """Return planes of zeros."""
        return cls(np.zeros((FINE, FINE), np.float32), np.zeros((3, FINE // 2, FINE // 2), np.float32))


def add_light(planes: Planes, rows: np.ndarray, p: Population) -> None:
    """Draw components onto the planes."""
    if len(rows):
        draw(planes.vis, planes.nisp, rows, PIXEL, PRUNE * p.sigma[0][0])


def source_reach(parts: np.ndarray, p: Population) -> float:
    """Return the radius (arcsec) beyond which a source is not drawn: 7.5 half-light radii, less for a faint disc."""
    disc = parts[0]
    flux = disc[FLUX : FLUX + 4].max() / disc[AXIS]
    peak = flux * _DISC_B**2 / (2.0 * np.pi * disc[RADIUS] ** 2) * (2 * PIXEL) ** 2
    faint = np.log(max(peak / (PRUNE * p.sigma[0][0]), np.e)) / _DISC_B
    return float(disc[RADIUS] * min(SOURCE_REACH, max(faint, 3.0)))


def coarse_nodes(lens: Deflector) -> np.ndarray:
    """Return the source positions of the nodes of the 0.2 arcsec grid: (109, 109, 2) float64."""
    return map_nodes(lens, COARSE_CELLS, COARSE_STEP)


def lensed_source(lens: Deflector, nodes: np.ndarray, parts: np.ndarray, p: Population) -> Planes:
    """Return the image of a source through a lens, before the point spread function."""
    planes = Planes.empty()
    draw_lensed(planes.vis, planes.nisp, nodes, PIXEL, source_reach(parts, p), lens, parts)
    return planes


def moffat(n: int, pixel: float, fwhm: float, beta: float) -> np.ndarray:
    """Return a Moffat kernel of unit sum on an n x n grid, centred on pixel (0, 0) with wrap-around: float64."""
    offset = fft.fftfreq(n, 1.0 / n) * pixel
    alpha = 0.5 * fwhm / np.sqrt(2.0 ** (1.0 / beta) - 1.0)
    kernel = (1.0 + (offset[:, None] ** 2 + offset[None, :] ** 2) / alpha**2) ** -beta
    return kernel / kernel.sum()


@cache
def _vis_transfer(n: int, fwhm: float, beta: float) -> np.ndarray:
    """Return the transform of the VIS kernel on n x n fine pixels: (n, n / 2 + 1) complex64."""
    return fft.rfft2(moffat(n, PIXEL, fwhm, beta)).astype(np.complex64)


@cache
def _nisp_transfer(fwhm: tuple[float, ...], beta: tuple[float, ...]) -> np.ndarray:
    """Return the transforms of the Y, J, H kernels at 0.1 arcsec: (3, 216, 109) complex64."""
    kernels = [fft.rfft2(moffat(FINE // 2, 2 * PIXEL, f, b)) for f, b in zip(fwhm, beta, strict=True)]
    return np.stack(kernels).astype(np.complex64)


def _convolve(image: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    spectrum = fft.rfft2(image)
    spectrum *= transfer
    return fft.irfft2(spectrum, s=image.shape[-2:], overwrite_x=True)


def bin_sum(image: np.ndarray, factor: int) -> np.ndarray:
    """Return sums of factor x factor pixels of an image whose sides factor divides, in its dtype."""
    out = np.empty((image.shape[0] // factor, image.shape[1] // factor), image.dtype)
    if factor == 2:
        sum_pairs(image, out)
    else:
        sum_blocks(image, factor, out)
    return out


def bin_vis(fine: np.ndarray) -> np.ndarray:
    """Return the VIS frame (200, 200) of a fine image (432, 432)."""
    return bin_sum(fine[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN], 2)


def observe_vis(planes: Planes, p: Population) -> np.ndarray:
    """Return the noise-free VIS image, (200, 200) float32; compact light (+-5.6 arcsec) takes a smaller field."""
    edge = (FINE - _SMALL) // 2
    inner = slice(edge + _MARGIN, FINE - edge - _MARGIN)
    small = not (planes.vis[: inner.start].any() or planes.vis[inner.stop :].any())
    small = small and not (planes.vis[:, : inner.start].any() or planes.vis[:, inner.stop :].any())
    n, fine = FINE, planes.vis
    if small:
        n, fine = _SMALL, planes.vis[edge:-edge, edge:-edge]
    image = _convolve(fine, _vis_transfer(n, p.psf_fwhm[0], p.psf_beta[0]))
    if not small:
        return bin_vis(image)
    frame = np.zeros((FINE // 2 - _MARGIN,) * 2, np.float32)
    skip = (edge - _MARGIN) // 2
    frame[skip:-skip, skip:-skip] = bin_sum(image, 2)
    return frame


def observe_nisp(nisp: np.ndarray, p: Population) -> np.ndarray:
    """Return the noise-free Y, J, H images (3, 66, 66) float32 of planes (3, 216, 216)."""
    image = _convolve(nisp, _nisp_transfer(p.psf_fwhm[1:], p.psf_beta[1:]))
    edge = _MARGIN // 2 + 1
    return np.stack([bin_sum(band[edge:-edge, edge:-edge], 3) for band in image])


def draw_sigma(rng: np.random.Generator, p: Population) -> np.ndarray:
    """Return the background sigma of an object in VIS, Y, J, H: (4,) float64."""
    low, high = np.array(p.sigma).T
    return rng.uniform(low, high)


def add_noise(rng: np.random.Generator, image: np.ndarray, sigma: float, flux_per_electron: float) -> np.ndarray:
    """Return the image plus uncorrelated Gaussian noise of variance sigma^2 + flux_per_electron * flux: float32."""
    variance = np.float32(sigma**2) + np.float32(flux_per_electron) * np.maximum(image, np.float32(0))
    return image + np.sqrt(variance) * rng.standard_normal(image.shape, dtype=np.float32)
