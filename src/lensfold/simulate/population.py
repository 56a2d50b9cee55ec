"""Every number that describes the simulated sky, in one frozen dataclass; profiles.py has the skies built from it.

Angles are arcsec, fluxes are 10^(-0.4 m_AB) per pixel (zero point 0), masses are solar masses. A pair is
(low, high) of a range or (mean, standard deviation) of a normal distribution, as its comment says. Where the field
of the same name and ``_skew`` is not zero, the normal distribution is bent: the pair is its median and its spread
there, see :func:`lensfold.simulate.sky.halo.bent_normal`.
"""

from dataclasses import dataclass

from lensfold.simulate.optics.artefacts import Artefacts
from lensfold.simulate.sky.sed import Seds
from lensfold.simulate.variation import Variation


@dataclass(frozen=True)
class Population:
    """Statistics of a simulated sky; the defaults are the first, frozen one (profiles.py)."""

    name: str = "challenge-1"
    n_train: int = 4000
    n_test: int = 2000
    first_version: bool = True  # what later skies mend is left as it was

    # Haloes: a finite library, drawn with probability rank^-exponent; 0: each object has a halo of its own.
    halo_library: int = 1500
    halo_exponent: float = 0.85
    separate_haloes: bool = False  # objects of the test split have haloes that no train object has
    log_mass: tuple[float, float] = (13.92, 0.35)  # normal
    log_mass_skew: float = 0.0
    log_mass_range: tuple[float, float] = (12.9, 14.9)
    log_stars: tuple[float, float, float] = (11.85, 0.28, 0.15)  # at log M = 13.9, slope, scatter
    z_lens: tuple[float, float] = (0.62, 0.14)  # normal
    z_lens_skew: float = 0.0
    z_lens_range: tuple[float, float] = (0.22, 1.0)
    z_source: tuple[float, float] = (2.1, 0.45)  # normal
    z_source_skew: float = 0.0
    z_gap: float = 0.4  # least z_source - z_lens

    # Deflection: theta_E = scale (M / 1e14)^slope 10^N(0, scatter) (D_ls / D_s) / ratio.
    einstein_scale: float = 2.85
    einstein_slope: float = 0.385
    einstein_scatter: float = 0.06
    einstein_ratio: float = 0.58
    nfw_share: tuple[float, float] = (0.03, 0.18)  # range, share of the deflection at theta_E
    nfw_concentration: float = 5.0
    power_slope: float = 0.0  # of the density of the round part of the mass; 0: it is an NFW halo
    mass_axis_scatter: float = 0.07
    shear: tuple[float, float] = (0.04, 0.6)  # median and sigma of a lognormal
    deflecting_satellites: int = 8
    satellite_einstein: tuple[float, float] = (0.22, 0.35)  # arcsec at mag 21.5 and D_ls/D_s 0.58; slope per dex

    # Light of the central galaxy.
    lens_mag: tuple[float, float, float, float] = (19.55, 6.0, -2.0, 0.25)  # zero, per z, per log M*, scatter
    lens_mag_dex: float = 0.0  # mag per dex of z_lens / 0.62, beside that
    lens_sersic: tuple[float, float] = (3.3, 0.8)  # normal
    lens_sersic_range: tuple[float, float] = (1.5, 6.0)
    lens_radius: float = 0.65
    lens_radius_dex: float = 0.0  # dex per dex of z_lens / 0.62
    lens_axis: tuple[float, float] = (0.78, 0.10)  # normal
    envelope_share: tuple[float, float] = (0.25, 0.55)
    envelope_radius: tuple[float, float] = (2.2, 3.2)  # times the radius of the body
    envelope_sersic: float = 1.4
    # early, spiral, ring, edge-on, merger: the same mix with and without a source
    morphology: tuple[float, float, float, float, float] = (0.76, 0.10, 0.04, 0.04, 0.06)

    # Field, satellites, interlopers.
    field_density: float = 100.0  # per square arcmin
    field_mag_limit: float = 26.0
    field_mag_bright: float = 18.0
    field_mag_slope: float = 0.34
    field_early_share: float = 0.20
    field_spiral_mag: float = 22.5
    satellites: tuple[float, float] = (3.0, 0.4)  # mean number at 1e14 and slope with mass
    satellite_red_share: float = 0.75
    interlopers: float = 0.03  # mean number per image
    interloper_mag: tuple[float, float] = (13.5, 17.5)
    interloper_early: bool = False  # early types at z 0.2, else discs at 0.1
    interloper_tilt: float = 1.0  # mag in VIS - H
    stars: float = 0.10  # mean number per image
    star_mag: tuple[float, float] = (17.5, 25.0)
    neighbour_mag: float = 25.6  # limit of n_gal_*

    # Sources.
    share_with_source: float = 0.90
    source_mag: tuple[float, float] = (21.0, 27.0)
    source_mag_slope: float = 0.21
    source_radius: tuple[float, float, float, float] = (0.25, -0.06, 25.0, 0.23)  # arcsec, slope, mag, scatter
    source_sersic: tuple[float, float] = (1.0, 1.0)  # range
    source_offset: tuple[float, float] = (0.97, 0.65)  # median in theta_E and sigma of a lognormal
    far_share: float = 0.12
    far_offset: tuple[float, float] = (3.0, 7.0)  # theta_E
    centre_offset: float = 0.0  # the lens is anywhere within this distance of the frame's centre, arcsec
    frame_half: float = 9.6  # the outermost image of a source lies within this half side, arcsec
    source_red_share: float = 0.12
    source_bulge: tuple[float, float] = (0.0, 0.25)
    source_clumps: int = 5
    clump_share: tuple[float, float] = (0.05, 0.30)
    colour_scatter: float = 0.35  # mag in VIS - H

    # Spectra, galaxies that look like lenses, and what is drawn anew for each object.
    seds: Seds = Seds()
    # Class (negatives.py) and its share of the objects without a source; the others have the usual galaxies.
    negatives: tuple[tuple[str, float], ...] = ()
    variation: Variation | None = None

    side: int = 200  # of the frame in VIS pixels; of 100: all is drawn, and then only the middle kept and measured

    # Instrument, per band in the order VIS, Y, J, H.
    psf_fwhm: tuple[float, float, float, float] = (0.17, 0.34, 0.36, 0.40)
    psf_beta: tuple[float, float, float, float] = (3.0, 3.5, 3.5, 3.5)
    psf_wings: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4  # share of the light, full width (psf.Psf)
    psf_ellipticity: tuple[float, float, float, float] = (0.0,) * 4
    psf_angle: tuple[float, float, float, float] = (0.0,) * 4
    sigma: tuple[tuple[float, float], ...] = (
        (4.0e-13, 5.0e-13),
        (6.5e-12, 8.7e-12),
        (8.5e-12, 10.0e-12),
        (6.0e-12, 8.0e-12),
    )
    flux_per_electron: tuple[float, float, float, float] = (3.7e-14, 3.0e-13, 3.0e-13, 3.0e-13)
    noise_correlation: tuple[float, float, float, float] = (0.0,) * 4  # of neighbouring pixels (noise.py)
    zero_point_error: tuple[float, float, float, float] = (0.0,) * 4  # mag added to all light
    artefacts: Artefacts = Artefacts()

    # Truth columns.
    k_pix: float = 2.0  # threshold of source pixels in units of the VIS background sigma
    k_mag: float = 2.0  # that of mag_eff
