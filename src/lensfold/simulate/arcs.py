"""One simulated arc in one real cutout: a deflector read off the host's light, a lensed source, and its truth.

A host has one deflector, whatever is lensed by it, so that all that is made of one cutout is one halo of the catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from lensfold.data.cache import central
from lensfold.frames import BANDS
from lensfold.simulate.hosts import Host, HostLight
from lensfold.simulate.optics.lensing import make_deflector
from lensfold.simulate.optics.light import components, shifted
from lensfold.simulate.optics.noise import correlated_noise
from lensfold.simulate.optics.psf import image_transfer
from lensfold.simulate.optics.render import (
    FINE,
    Planes,
    bin_sum,
    coarse_nodes,
    lensed_source,
    observe_nisp,
    observe_vis,
)
from lensfold.simulate.population import Population
from lensfold.simulate.sky.cosmology import HUBBLE, LIGHT_SPEED, OMEGA_MATTER, comoving_distance, distance_ratio
from lensfold.simulate.sky.field import draw_source, draw_source_redshift
from lensfold.simulate.truth import ARCSEC, Scene, truth_row
from lensfold.simulate.variation import vary

STREAM = 3  # beside the splits 0 and 1 and the library 2 in the seed sequence
_GRAVITY = 4.30091e-9  # Mpc (km/s)^2 / solar mass
_HALF = FINE // 2  # pixels of 0.1 arcsec
FLOOR = 1e-3  # sky sigmas


@dataclass(frozen=True)
class FaberJackson:
    """From a host's H magnitude within 1.5 arcsec to the velocity dispersion of a singular isothermal lens.

    Rest-frame M_H = H - distance modulus - ``correction`` z; sigma = ``dispersion`` (L / L*)^(1/4), log-normal.
    """

    # guess: mean at magnitude ``pivot``, slope with magnitude, scatter; red galaxies of H 19 lie near z 0.5
    redshift: tuple[float, float, float] = (0.50, 0.08, 0.12)
    pivot: float = 19.2  # median of four real lens candidates
    redshift_range: tuple[float, float] = (0.15, 1.1)  # guess
    correction: float = -1.4  # guess: K-correction (-0.6) and passive evolution (-0.8) of an old galaxy per unit z
    star: float = -22.5  # L* in H, AB, at H0 = 70: Kochanek et al. 2001 (K), with H - K = 0.25
    dispersion: float = 225.0  # km/s at L*: Kochanek 1996
    slope: float = 0.25  # Faber & Jackson 1976
    scatter: float = 0.07  # dex: Bernardi et al. 2003
    einstein_range: tuple[float, float] = (0.3, 3.5)  # arcsec, guess: what Euclid resolves and galaxies reach
    axis_scatter: float = 0.07  # of the mass about the light, as in the simulated sky
    angle_scatter: float = 0.1  # radians
    sun: float = 4.66  # absolute H magnitude, AB: Willmer 2018
    mass_to_light: float = 1.0  # guess: solar units, for the column star_mass


@dataclass(frozen=True)
class HostLens:
    """The deflector of a host: redshift, velocity dispersion (km/s), axis ratio, angle, shear of its mass, stellar
    mass (solar masses), and its light as one component of which only the fluxes are right."""

    z: float
    dispersion: float
    axis: float
    angle: float
    shear: tuple[float, float]
    stars: float
    central: np.ndarray

    @property
    def einstein(self) -> float:
        """theta_E / (D_ls / D_s) of a singular isothermal sphere in arcsec: 4 pi (sigma / c)^2."""
        return 4.0 * np.pi * (self.dispersion / LIGHT_SPEED) ** 2 / ARCSEC

    @property
    def mass(self) -> float:
        """Mass within r_200 of the isothermal sphere, in solar masses: 2^(3/2) sigma^3 / (10 G H(z))."""
        hubble = HUBBLE * np.sqrt(OMEGA_MATTER * (1 + self.z) ** 3 + 1 - OMEGA_MATTER)
        return float(2.0**1.5 * self.dispersion**3 / (10.0 * _GRAVITY * hubble))


@dataclass(frozen=True)
class Arc:
    """What was added to a host, by band (float32, 0 where nothing was), and the catalog's 26 named columns."""

    added: dict[str, np.ndarray]
    row: dict[str, float | int]


def draw_lens(seed: int, host_id: int, light: HostLight, p: Population, model: FaberJackson) -> HostLens:
    """Return the deflector of a host, a function of seed, host and its light only."""
    rng = np.random.default_rng([seed, STREAM, host_id, 0])
    mag = -2.5 * np.log10(light.flux[3])
    mean, slope, spread = model.redshift
    z = float(np.clip(rng.normal(mean + slope * (mag - model.pivot), spread), *model.redshift_range))
    modulus = 5.0 * np.log10((1 + z) * comoving_distance(z) * 1e5)  # Mpc in units of 10 pc
    absolute = mag - modulus - model.correction * z
    log_sigma = np.log10(model.dispersion) - 0.4 * model.slope * (absolute - model.star)
    shear, direction = p.shear[0] * np.exp(rng.normal(0.0, p.shear[1])), rng.uniform(0, 2 * np.pi)
    return HostLens(
        z=z,
        dispersion=float(10.0 ** (log_sigma + rng.normal(0.0, model.scatter))),
        axis=float(np.clip(light.axis + rng.normal(0.0, model.axis_scatter), 0.4, 0.99)),
        angle=light.angle + rng.normal(0.0, model.angle_scatter),
        shear=(shear * np.cos(direction), shear * np.sin(direction)),
        stars=float(model.mass_to_light * 10.0 ** (-0.4 * (absolute - model.sun))),
        central=components(radius=1.0, flux=light.flux),
    )


def draw_arc(
    host: Host, light: HostLight, lens: HostLens, seed: int, number: int, p: Population, model: FaberJackson
) -> Arc:
    """Return arc ``number`` (from 1) of a host; number 0 is none: the row of the host itself, with a source unused.

    Where the population varies from object to object, source and point spread function do.
    """
    streams = np.random.SeedSequence([seed, STREAM, host.object_id, max(number, 1)]).spawn(3)
    source_rng, noise_rng, conditions_rng = (np.random.default_rng(stream) for stream in streams)
    sky = vary(conditions_rng, p)
    z_source = draw_source_redshift(source_rng, sky, lens.z)
    einstein = float(np.clip(lens.einstein * distance_ratio(lens.z, z_source), *model.einstein_range))
    centre = (light.x, light.y)
    source = draw_source(source_rng, sky, z_source, einstein)
    source = replace(source, parts=shifted(source.parts, centre))
    deflector = make_deflector(einstein, lens.axis, lens.angle, lens.shear, centre=centre)
    nodes = coarse_nodes(deflector)
    planes = lensed_source(deflector, nodes, source.parts, sky) if number else None
    images = [] if planes is None else observe(planes, host.psf, sky)
    images = [central(image, len(host.images[band])) for image, band in zip(images, BANDS, strict=bool(images))]
    seen = np.where(np.isfinite(host.images["VIS"]), images[0], np.float32(0)) if images else None
    sigma = float(light.sigma[0])
    scene = Scene(lens, source, deflector, centre, nodes, light.central, planes, seen, sigma, light.places)
    framed = replace(p, side=len(light.central))
    return Arc(_added(noise_rng, host, light, images, p), truth_row(scene, framed, host.object_id))


def _added(
    rng: np.random.Generator, host: Host, light: HostLight, images: list[np.ndarray], p: Population
) -> dict[str, np.ndarray]:
    """Return what is added to a host by band for noise-free images of an arc; nothing without images."""
    each = zip(BANDS, images, light.sigma, light.lag, p.flux_per_electron, strict=True) if images else ()
    return {
        band: noisy(rng, image, host.images[band], sigma, lag, per_electron)
        for band, image, sigma, lag, per_electron in each
    }


def kernel_transfer(kernel: np.ndarray) -> np.ndarray:
    """Return the transform of a delivered point spread function on 216 x 216 pixels of 0.1 arcsec: (216, 109).

    Delivered functions hold the pixel already, and the light that they are applied to was added two by two from fine
    pixels: that sum's transform, a cosine along each axis, is divided out.
    """
    rows, columns = (fft.fftfreq(_HALF), fft.rfftfreq(_HALF))
    pairs = np.cos(0.5 * np.pi * rows)[:, None] * np.cos(0.5 * np.pi * columns)
    return (image_transfer(kernel, _HALF) / pairs).astype(np.complex64)


def observe(planes: Planes, kernels: Mapping[str, np.ndarray], p: Population) -> list[np.ndarray]:
    """Return noise-free images of light in VIS, Y, J, H, float32.

    A band is convolved with its kernel (0.1 arcsec), or with the population's point spread function without one.
    """
    images = [observe_vis(planes, p), *observe_nisp(planes.nisp, p)]
    for number, band in enumerate(BANDS):
        if band not in kernels:
            continue
        light = bin_sum(planes.vis, 2) if band == "VIS" else planes.nisp[number - 1]
        image = fft.irfft2(fft.rfft2(light) * kernel_transfer(kernels[band]), s=light.shape).astype(np.float32)
        images[number] = image[8:-8, 8:-8] if band == "VIS" else bin_sum(np.ascontiguousarray(image[9:-9, 9:-9]), 3)
    return images


def noisy(
    rng: np.random.Generator, arc: np.ndarray, host: np.ndarray, sigma: float, lag: float, per_electron: float
) -> np.ndarray:
    """Return an arc with the Poisson noise of its own light (the host has the sky's), float32.

    ``lag``: correlation of neighbouring pixels, which a mosaic gives all of its noise.
    Where it has less than FLOOR of the sky's sigma, and where the host has no measurement, it is exactly 0.
    """
    spread = np.sqrt(np.float32(per_electron) * np.maximum(arc, np.float32(0)))
    light = arc + spread * correlated_noise(rng, (arc.shape[0], arc.shape[1]), lag)
    touched = (np.abs(arc) > FLOOR * sigma) & np.isfinite(host)
    return np.where(touched, light, np.float32(0))
