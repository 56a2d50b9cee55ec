"""The skies by name. Each is a Population; what it does not state it has from Population's defaults.

``challenge``: the statistics of the challenge's catalog. ``challenge-1``: the first try at them; ``sample``: the same
with sources two magnitudes brighter and 40 % of the objects without one; ``smoke``: a few dozen of these. Figures rest
on these three, so their pixels stay as they are. ``euclid``: the wide survey as a search for lenses meets it.
``away``: another population, for judging whether what was learnt on ours holds elsewhere.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from lensfold.data.depth import MER_SIGMA
from lensfold.errors import InputError
from lensfold.simulate.optics.artefacts import WIDE_SURVEY
from lensfold.simulate.optics.noise import MER_CORRELATION
from lensfold.simulate.optics.psf import MER_PSFS
from lensfold.simulate.population import Population
from lensfold.simulate.sky.sed import Sed, Seds
from lensfold.simulate.variation import Variation


def _challenge() -> Population:
    """Return the challenge's sky; benchmarks/fit_challenge.py fits it to all that is known of the real catalog."""
    return Population(
        name="challenge",
        first_version=False,
        separate_haloes=True,
        centre_offset=0.3,
        log_mass=(13.889, 0.2545),
        log_mass_skew=1.916,
        log_mass_range=(12.9, 15.1),  # guess
        z_lens=(0.68, 0.2977),
        z_lens_skew=0.2832,
        z_lens_range=(0.18, 1.6),  # guess
        z_source=(2.33, 0.5018),
        z_source_skew=0.8104,
        lens_mag=(19.880, 0.0, -2.0, 0.25),
        lens_mag_dex=9.033,
        lens_radius_dex=-0.55,  # a fixed size in kpc, for z 0.2 to 1
        interlopers=0.0335,  # 8 % below the fit, by which eight seeds came out too bright
        interloper_mag=(14.0, 17.5),  # guess
        interloper_early=True,
        interloper_tilt=0.30,
        source_mag=(21.37, 26.56),
        source_mag_slope=0.2345,
        source_radius=(0.3027, -0.06, 25.0, 0.2795),
        source_offset=(0.7157, 0.3891),
        far_share=0.3314,
        far_offset=(3.0, 8.634),
        frame_half=10.476,
        source_clumps=4,  # with 5 the spread of n_source_im is 0.98, known 0.916
        k_mag=0.45,
    )


def _sample() -> Population:
    return Population(name="sample", source_mag=(19.0, 25.0), share_with_source=0.60)


def _euclid() -> Population:
    """Return the wide survey: galaxy-scale lenses, hard negatives, real depth, every unknown varied.

    Lenses: theta_E = 4 pi (sigma / c)^2 D_ls / D_s of an isothermal sphere (Narayan & Bartelmann 1996, equation 36)
    with sigma = 240 km/s (M / 1.3e13)^0.3: at 1e14 solar masses and D_ls / D_s = 0.58 it is 3.35 arcsec, and falls as
    M^0.6. Lens samples have a median sigma of 240 to 260 km/s (Bolton et al. 2008); Choi et al. (2007) weighted by
    the cross section sigma^4 peaks near 230. Mass, its spread and the stellar masses are guesses that give theta_E
    of 0.3 to 3 arcsec, a median of 1, and a tail of groups.
    Deflectors: within 1.5 arcsec the four public Q1 candidates have VIS 20.9, Y 19.9, J 19.5, H 19.2 at the median;
    magnitudes and the early spectrum are set by these. Radii follow van der Wel et al. (2014).
    Instrument: point spread functions, depth, correlation of the noise and artefacts as optics/ has them from Q1.
    """
    vis, y, j, h = MER_PSFS
    return Population(
        name="euclid",
        n_train=8000,
        n_test=4000,
        first_version=False,
        centre_offset=0.3,
        halo_library=0,
        log_mass=(13.1, 0.34),
        log_mass_range=(12.2, 14.5),
        log_stars=(11.67, 0.40, 0.12),  # guess: 11.35 at log M = 13.1
        z_lens=(0.45, 0.17),  # guess: lenses of a photometric search
        z_lens_range=(0.15, 1.1),
        z_source=(1.9, 0.6),  # guess
        z_gap=0.3,  # guess
        einstein_scale=3.35,
        einstein_slope=0.60,
        einstein_scatter=0.10,  # guess: 12 % in sigma
        nfw_share=(0.0, 0.20),  # guess: dark matter beyond the isothermal sum
        shear=(0.04, 0.6),
        deflecting_satellites=3,
        lens_mag=(20.0, 3.5, -2.2, 0.35),
        lens_radius=0.95,
        lens_axis=(0.76, 0.12),  # guess
        envelope_share=(0.15, 0.45),  # guess: less than in groups
        morphology=(0.86, 0.05, 0.02, 0.02, 0.05),  # guess: few late types among deflectors
        satellites=(2.0, 0.5),  # guess: 0.7 at 1.3e13
        interlopers=0.01,  # guess: few targets stand before a bright galaxy
        stars=0.12,
        star_mag=(19.5, 25.0),  # brighter ones are among the artefacts
        share_with_source=0.60,  # made for training: about half of the objects have a source that is seen
        source_mag=(21.5, 26.5),
        source_mag_slope=0.24,  # guess: flatter than the counts, as a search finds the bright ones
        source_offset=(0.50, 0.60),  # guess: mostly inside the caustic's reach, where images are several
        far_share=0.06,
        source_clumps=6,
        seds=Seds(early=Sed(5.0, 4.6, 2.5, 1.2)),  # the candidates' VIS - Y 1.0, VIS - J 1.4, VIS - H 1.7
        negatives=(
            # guess: half of what a search looks at and drops; contaminants by eye in Q1 are mostly spirals,
            # mergers and neighbours
            ("spiral", 0.11),
            ("chance", 0.11),
            ("merger", 0.07),
            ("ring", 0.05),
            ("edge-on", 0.05),
            ("knots", 0.04),
            ("polar-ring", 0.03),
            ("dust-lane", 0.03),
            ("irregular", 0.03),
        ),
        variation=Variation(),
        psf_fwhm=(vis.fwhm, y.fwhm, j.fwhm, h.fwhm),
        psf_beta=(vis.beta, y.beta, j.beta, h.beta),
        psf_wings=tuple((psf.wing_share, psf.wing_fwhm) for psf in MER_PSFS),
        psf_ellipticity=(vis.ellipticity, y.ellipticity, j.ellipticity, h.ellipticity),
        sigma=MER_SIGMA,
        noise_correlation=MER_CORRELATION,
        artefacts=WIDE_SURVEY,
    )


def _away() -> Population:
    """Return another population of the same task, for judging transfer alone: never train, select or tune on it.

    It is what a colleague might write from the same public catalog: haloes whose mass falls more steeply than an
    isothermal sphere's, single Sersic profiles of de Vaucouleurs's kind, sources of one Sersic profile with many
    clumps, another colour law, a broad round-shouldered point spread function, deeper crowding, and noisier detectors.
    Every number is a guess, made once, before the first training on these profiles; some lie outside the ranges of
    Variation on purpose. The catalog's shape (theta_E, sizes, share of lenses) stays the challenge's.
    """
    return Population(
        name="away",
        first_version=False,
        separate_haloes=True,
        centre_offset=0.4,
        halo_library=900,
        halo_exponent=0.7,
        log_mass=(13.95, 0.28),
        log_mass_range=(13.0, 14.9),
        log_stars=(11.75, 0.35, 0.20),
        z_lens=(0.66, 0.20),
        z_lens_range=(0.2, 1.3),
        z_source=(2.3, 0.6),
        einstein_scale=2.95,
        einstein_slope=0.36,
        einstein_scatter=0.09,
        nfw_share=(0.35, 0.65),
        power_slope=2.7,
        mass_axis_scatter=0.20,
        shear=(0.07, 0.5),
        deflecting_satellites=2,
        satellite_einstein=(0.15, 0.30),
        lens_mag=(19.4, 4.5, -1.5, 0.4),
        lens_sersic=(4.6, 1.0),
        lens_sersic_range=(2.0, 7.5),
        lens_radius=1.25,
        lens_axis=(0.68, 0.14),
        envelope_share=(0.0, 0.0),
        morphology=(0.66, 0.14, 0.05, 0.07, 0.08),
        field_density=170.0,
        field_mag_bright=17.0,
        field_mag_slope=0.28,
        field_early_share=0.40,
        satellites=(5.0, 0.25),
        satellite_red_share=0.5,
        interlopers=0.08,
        stars=0.5,
        star_mag=(16.0, 24.0),
        source_mag=(21.2, 26.8),
        source_mag_slope=0.26,
        source_radius=(0.21, -0.10, 25.0, 0.30),
        source_sersic=(0.5, 4.0),
        source_offset=(0.80, 0.75),
        far_share=0.10,
        source_red_share=0.25,
        source_bulge=(0.0, 0.05),
        source_clumps=16,
        clump_share=(0.2, 0.7),
        colour_scatter=0.5,
        seds=Seds(
            early=Sed(7.0, 5.2, 2.4, 0.9),
            disc=Sed(2.8, 1.5, 2.0, 0.4),
            star_forming=Sed(0.5, 1.9, 1.2, 0.2),
            young=Sed(-0.4, -0.3, 0.6, 0.0),
            stellar=Sed(3.0, 3.0, -1.5, 0.1),
        ),
        psf_fwhm=(0.21, 0.52, 0.50, 0.58),
        psf_beta=(5.5, 6.0, 6.0, 6.0),
        psf_wings=((0.10, 0.7), (0.08, 1.6), (0.08, 1.6), (0.08, 1.6)),
        psf_ellipticity=(0.12, 0.10, 0.10, 0.10),
        psf_angle=(0.6, 2.0, 2.0, 2.0),
        noise_correlation=(0.35, 0.15, 0.15, 0.15),
        zero_point_error=(0.0, 0.12, -0.16, 0.06),
        sigma=((5.0e-13, 7.0e-13), (8.0e-12, 12.0e-12), (9.0e-12, 14.0e-12), (8.0e-12, 13.0e-12)),
        flux_per_electron=(9.0e-14, 9.0e-13, 9.0e-13, 9.0e-13),
        k_mag=0.34,
        k_pix=1.5,  # both limits are those of challenge in flux: the noise is 1.33 times its
    )


#: The skies by name.
PROFILES: Mapping[str, Population] = MappingProxyType(
    {
        "challenge": _challenge(),
        "challenge-1": Population(),
        "sample": _sample(),
        "smoke": replace(_sample(), name="smoke", n_train=60, n_test=24),
        "euclid": _euclid(),
        "away": _away(),
    }
)


def get_population(profile: str | Population) -> Population:
    """Return the population of a profile name (a Population is returned as it is).

    Raises InputError for an unknown name.
    """
    if isinstance(profile, Population):
        return profile
    if profile not in PROFILES:
        raise InputError(f"simulator profile {profile!r} is unknown. Choose one of: {', '.join(PROFILES)}.")
    return PROFILES[profile]


def with_variation(p: Population, on: bool | None) -> Population:
    """Return a population with every unknown varied or with none; None leaves it as it is.

    A population that varies already keeps its ranges.
    """
    if on is None:
        return p
    return replace(p, variation=(p.variation or Variation()) if on else None)
