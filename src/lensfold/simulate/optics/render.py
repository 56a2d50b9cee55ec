"""From components to noise-free images: the fine grid, the point spread functions, binning.

The fine grid has 432 x 432 pixels of 0.05 arcsec, pixel i at (i - 215.5) * 0.05 arcsec. VIS is convolved there,
cut to 400 and added two by two. NISP is added two by two first, convolved at 0.1 arcsec, cut to 198 and added
three by three, so that NISP pixel (a, b) covers exactly VIS pixels 1+3a..3+3a, 1+3b..3+3b.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from lensfold.data.cache import central
from lensfold.simulate.optics.lensing import Deflector, draw_lensed, map_nodes
from lensfold.simulate.optics.light import draw
from lensfold.simulate.optics.light_kernels import AXIS, FLUX, INDEX, RADIUS, sum_blocks, sum_pairs
from lensfold.simulate.optics.psf import Psf, fold, transfers
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
    if disc[INDEX] > 1.0:  # its wings are wider than a disc's
        return float(SOURCE_REACH * disc[RADIUS])
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


def psfs(p: Population) -> tuple[Psf, ...]:
    """Return the point spread functions of VIS, Y, J, H."""
    numbers = zip(p.psf_fwhm, p.psf_beta, p.psf_wings, p.psf_ellipticity, p.psf_angle, strict=True)
    return tuple(Psf(fwhm, beta, *wings, ellipticity, angle) for fwhm, beta, wings, ellipticity, angle in numbers)


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


def central_light(planes: Planes, side: int) -> Planes:
    """Return the VIS light of the middle ``side`` VIS pixels and of the margin around them; NISP as it is."""
    return Planes(central(planes.vis, 2 * (side + _MARGIN)), planes.nisp)


def _convolve(images: np.ndarray, kernels: np.ndarray, factor: int, edge: int, first_version: bool) -> np.ndarray:
    """Return images (k, n, n) convolved with kernels (transforms, psf.transfers), without ``edge`` pixels at each
    side, and added up over factor x factor pixels.

    But for the first version they are added up in Fourier space, where that is folding, and only what is left is
    transformed back: the same but for rounding, and the way back costs 1 / factor^2.
    """
    n = images.shape[-1]
    spectrum = fft.rfft2(images)
    if not first_version:
        binned = fft.irfft2(fold(spectrum, kernels, factor), s=(n // factor,) * 2, overwrite_x=True)
        return _cut(binned, edge // factor)
    spectrum *= kernels
    fine = _cut(fft.irfft2(spectrum, s=(n, n), overwrite_x=True), edge)
    return np.stack([bin_sum(one, factor) for one in fine])


def _cut(images: np.ndarray, edge: int) -> np.ndarray:
    return images[:, edge:-edge, edge:-edge] if edge else images


def observe_vis(planes: Planes, p: Population) -> np.ndarray:
    """Return the noise-free VIS image, (200, 200) float32; compact light (+-5.6 arcsec) takes a smaller field."""
    edge = (FINE - _SMALL) // 2
    inner = slice(edge + _MARGIN, FINE - edge - _MARGIN)
    small = not (planes.vis[: inner.start].any() or planes.vis[inner.stop :].any())
    small = small and not (planes.vis[:, : inner.start].any() or planes.vis[:, inner.stop :].any())
    fine = planes.vis[edge:-edge, edge:-edge] if small else planes.vis
    kernel = transfers(len(fine), PIXEL, psfs(p)[:1], 1 if p.first_version else 2)
    image = _convolve(fine[None], kernel, 2, 0 if small else _MARGIN, p.first_version)[0]
    return np.pad(image, (edge - _MARGIN) // 2) if small else image


def observe_nisp(nisp: np.ndarray, p: Population) -> np.ndarray:
    """Return the noise-free Y, J, H images (3, 66, 66) float32 of planes (3, 216, 216)."""
    kernels = transfers(FINE // 2, 2 * PIXEL, psfs(p)[1:], 1 if p.first_version else 3)
    return _convolve(nisp, kernels, 3, _MARGIN // 2 + 1, p.first_version)


def draw_sigma(rng: np.random.Generator, p: Population) -> np.ndarray:
    """Return the background sigma of an object in VIS, Y, J, H: (4,) float64."""
    low, high = np.array(p.sigma).T
    return rng.uniform(low, high)
