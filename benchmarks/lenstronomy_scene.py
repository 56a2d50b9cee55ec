"""The scenes of the simulator drawn by lenstronomy, for the benchmark; importing this needs lenstronomy.

Components with arms, dust or patches are drawn as the smooth profiles beneath them, which favours lenstronomy, and so
do the missing noise, truth columns and files.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.param_util import phi_q2_ellipticity
from scipy.special import gamma, gammaincinv

from lensfold.simulate.optics.lensing import Deflector
from lensfold.simulate.optics.light_kernels import ARC, AXIS, COS, FLUX, INDEX, KIND, POINT, RADIUS, SIN, SMOOTH, X, Y
from lensfold.simulate.optics.psf import Psf, psf_kernel
from lensfold.simulate.population import Population
from lensfold.simulate.sky.field import draw_field, draw_source, draw_source_redshift
from lensfold.simulate.sky.halo import draw_halo, turned_lens, turned_light

Kwargs = dict[str, float]
#: side in pixels, arcsec a pixel, and how much finer the light is drawn: what its point spread function needs
_FRAMES = ((200, 0.1, 2), (66, 0.3, 3), (66, 0.3, 3), (66, 0.3, 3))
_KERNEL = 31  # fine pixels, odd


@dataclass(frozen=True)
class SmoothScene:
    """What both draw: a deflector, the scale radius of its NFW halo in arcsec, and components (see light.py)."""

    lens: Deflector
    nfw_radius: float
    galaxies: np.ndarray
    source: np.ndarray


def draw_scene(p: Population, seed: int, index: int) -> SmoothScene:
    """Return scene ``index``, each with a halo, field and source of its own; arcs and stars are left out."""
    rng = np.random.default_rng([seed, index])
    halo = draw_halo(p, seed, index)
    z = draw_source_redshift(rng, p, halo.z)
    lens, einstein = turned_lens(halo, 0.5, z)
    rows = np.concatenate([*turned_light(halo, 0.5), draw_field(rng, p)[0]])
    galaxies = rows[(rows[:, KIND] != ARC) & (rows[:, KIND] != POINT)]
    galaxies[:, KIND] = SMOOTH
    return SmoothScene(lens, halo.nfw_radius, galaxies, draw_source(rng, p, z, einstein).parts)


def scene_drawer(seed: int) -> Callable[[int], list[np.ndarray]]:
    """Return what draws scene ``index`` in all four bands without noise: images of VIS, Y, J, H in flux per pixel."""
    p = Population()

    def draw(index: int) -> list[np.ndarray]:
        scene = draw_scene(p, seed, index)
        return [_image(p, band, scene) for band in range(4)]

    return draw


def _image(p: Population, band: int, scene: SmoothScene) -> np.ndarray:
    """Return the image of one band."""
    side, pixel, finer = _FRAMES[band]
    middle = 0.5 * (side - 1) * pixel
    data = ImageData(
        np.zeros((side, side)),
        transform_pix2angle=np.eye(2) * pixel,
        ra_at_xy_0=-middle,
        dec_at_xy_0=-middle,
        background_rms=1.0,
        exposure_time=1.0,
    )
    kernel = psf_kernel(256, pixel / finer, Psf(p.psf_fwhm[band], p.psf_beta[band]))
    half = _KERNEL // 2
    kernel = np.roll(kernel, (half, half), axis=(0, 1))[:_KERNEL, :_KERNEL]
    psf = PSF("PIXEL", kernel_point_source=kernel, point_source_supersampling_factor=finer)
    names, lens_kwargs = _lens(scene)
    light = [_sersic(row, band) for row in scene.galaxies]
    behind = [_sersic(row, band) for row in scene.source]
    model = ImageModel(
        data,
        psf,
        LensModel(names),
        LightModel(["SERSIC_ELLIPSE"] * len(behind)),
        LightModel(["SERSIC_ELLIPSE"] * len(light)),
        kwargs_numerics={"supersampling_factor": finer, "supersampling_convolution": True},
    )
    return model.image(lens_kwargs, behind, light)


def _lens(scene: SmoothScene) -> tuple[list[str], list[Kwargs]]:
    """Return the names and arguments of a deflector's parts."""
    lens, nfw_radius = scene.lens, scene.nfw_radius
    b, q, c, s, gamma1, gamma2 = lens.main[:6]
    e1, e2 = phi_q2_ellipticity(np.arctan2(s, c), q)
    at_scale = float(np.interp(nfw_radius, np.linspace(0, 20, lens.nfw.size), lens.nfw))
    parts: list[tuple[str, Kwargs]] = [
        ("SIE", {"theta_E": b, "e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0}),
        ("SHEAR", {"gamma1": gamma1, "gamma2": gamma2}),
        ("NFW", {"Rs": nfw_radius, "alpha_Rs": at_scale, "center_x": 0.0, "center_y": 0.0}),
        *(("SIS", {"theta_E": pull, "center_x": x, "center_y": y}) for x, y, pull in lens.satellites),
    ]
    return [name for name, _ in parts], [kwargs for _, kwargs in parts]


def _sersic(row: np.ndarray, band: int) -> Kwargs:
    """Return the arguments of a component as an elliptical Sersic profile."""
    n = float(np.clip(row[INDEX], 0.3, 8.0))
    radius = float(row[RADIUS] * np.sqrt(row[AXIS]))
    b = gammaincinv(2 * n, 0.5)
    total = 2 * np.pi * n * np.exp(b) * b ** (-2 * n) * gamma(2 * n) * radius**2
    e1, e2 = phi_q2_ellipticity(np.arctan2(row[SIN], row[COS]), row[AXIS])
    return {
        "amp": float(row[FLUX + band]) / total,
        "R_sersic": radius,
        "n_sersic": n,
        "e1": e1,
        "e2": e2,
        "center_x": float(row[X]),
        "center_y": float(row[Y]),
    }
