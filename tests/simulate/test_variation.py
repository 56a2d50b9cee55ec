"""Variation: off it changes nothing, on every unknown is drawn anew for each object, within its stated range."""

from dataclasses import fields, replace

import numpy as np
import pytest

from lensfold.frames import BANDS
from lensfold.simulate import PROFILES, Population, simulate_object, with_variation
from lensfold.simulate.variation import Variation, colour_law, vary

SEED = 5
V = Variation()
CHALLENGE = replace(PROFILES["challenge"], variation=V)


@pytest.fixture(scope="module")
def drawn() -> list[Population]:
    return [vary(np.random.default_rng([SEED, k]), CHALLENGE) for k in range(1500)]


# What is compared with the population's own number, by what, and the range of Variation it fills.
FACTORS = {
    "noise": (lambda p, q: np.exp(np.log(np.array(q.sigma) / np.array(p.sigma)).mean()), 0.9 * V.noise[0], V.noise[1]),
    "gain": (lambda p, q: q.flux_per_electron[2] / p.flux_per_electron[2], *V.gain),
    "psf": (lambda p, q: q.psf_fwhm[0] / p.psf_fwhm[0], *V.psf_width),
    "wings": (lambda p, q: q.psf_wings[2][0], *V.wing_share),
    "ellipticity": (lambda p, q: q.psf_ellipticity[3], *V.psf_ellipticity),
    "correlation of VIS": (lambda p, q: q.noise_correlation[0], *V.vis_correlation),
    "correlation of H": (lambda p, q: q.noise_correlation[3], *V.nisp_correlation),
    "zero point": (lambda p, q: q.zero_point_error[1], *V.zero_point),
    "beta": (lambda p, q: q.psf_beta[1], *V.psf_beta),
    "infrared": (
        lambda p, q: q.seds.disc.infrared,
        0.8 * V.slope[0] + V.tilt[0],
        0.8 * V.slope[1] + V.tilt[1],
    ),
    "break": (lambda p, q: q.seds.early.jump / p.seds.early.jump, *V.jump),
    "lens mag": (lambda p, q: q.lens_mag[0] - p.lens_mag[0], *V.lens_mag),
    "lens index": (lambda p, q: q.lens_sersic[0], *V.lens_index),
    "envelope": (lambda p, q: q.envelope_share[1] / p.envelope_share[1], *V.envelope),
    "lens radius": (lambda p, q: q.lens_radius / p.lens_radius, *V.lens_radius),
    "theta_E": (lambda p, q: q.einstein_scale / p.einstein_scale, *V.einstein),
    "mass axis": (lambda p, q: q.mass_axis_scatter / p.mass_axis_scatter, *V.mass_axis),
    "halo share": (lambda p, q: q.nfw_share[0], *V.halo_share),
    "source mag": (lambda p, q: q.source_mag[0] - p.source_mag[0], *V.source_mag),
    "source radius": (lambda p, q: q.source_radius[0] / p.source_radius[0], *V.source_radius),
    "source index": (lambda p, q: q.source_sersic[0], *V.source_index),
    "clumps": (lambda p, q: q.source_clumps, 0, V.source_clumps),
    "density": (lambda p, q: q.field_density / p.field_density, *V.field_density),
    "satellites": (lambda p, q: q.satellites[0] / p.satellites[0], *V.satellites),
    "stars": (lambda p, q: q.stars / p.stars, *V.stars),
}


@pytest.mark.parametrize("name", FACTORS)
def test_every_unknown_fills_its_range_and_stays_in_it(drawn, name):
    value, low, high = FACTORS[name]
    values = np.array([value(CHALLENGE, q) for q in drawn])
    assert low - 1e-9 <= values.min() and values.max() <= high + 1e-9 or name == "noise"
    assert np.ptp(values) > 0.8 * (high - low)
    assert np.percentile(values, 90) - np.percentile(values, 10) > 0.4 * (high - low)


def test_round_mass_is_a_power_law_in_half_of_the_objects(drawn):
    slopes = np.array([q.power_slope for q in drawn])
    assert 0.45 < (slopes > 0).mean() < 0.55
    assert V.power_slope[0] <= slopes[slopes > 0].min() and slopes.max() <= V.power_slope[1]


def test_lists_are_short_and_the_same_for_every_object(drawn):
    assert len({q.seds for q in drawn}) == V.laws
    assert len({q.psf_fwhm for q in drawn}) == V.psfs
    assert colour_law(V, CHALLENGE.seds, 3) == colour_law(Variation(), CHALLENGE.seds, 3)


def test_what_is_drawn_has_no_variation_left(drawn):
    kept = {"name", "n_train", "share_with_source", "k_pix", "halo_library", "morphology", "negatives"}
    assert all(getattr(q, name) == getattr(CHALLENGE, name) for q in drawn for name in kept)
    assert all(q.variation is None for q in drawn)
    assert kept < {field.name for field in fields(Population)}


def test_off_draws_nothing():
    rng = np.random.default_rng(1)
    assert vary(rng, PROFILES["challenge"]) is PROFILES["challenge"]
    assert rng.random() == np.random.default_rng(1).random()


def test_switch():
    assert with_variation(PROFILES["challenge"], None) is PROFILES["challenge"]
    assert with_variation(PROFILES["challenge"], True) == CHALLENGE
    assert with_variation(PROFILES["euclid"], False).variation is None
    assert with_variation(PROFILES["euclid"], True) == PROFILES["euclid"]
    assert PROFILES["euclid"].variation is not None
    assert all(PROFILES[name].variation is None for name in ("challenge", "sample", "smoke", "away"))


def test_a_varied_object_is_a_function_of_seed_and_index_and_keeps_its_twin():
    once, again, twin = (simulate_object(CHALLENGE, SEED, "train", 4, put) for put in (True, True, False))
    plain = simulate_object(PROFILES["challenge"], SEED, "train", 4, True)
    for band in BANDS:
        np.testing.assert_array_equal(once.images[band], again.images[band])
        assert not np.array_equal(once.images[band], plain.images[band])
    assert once.halo == twin.halo == plain.halo
    assert once.row["z_lens"] == plain.row["z_lens"] and once.row["halo_mass"] == plain.row["halo_mass"]
    assert once.row["z_source"] != plain.row["z_source"] and once.row["ein_area"] != plain.row["ein_area"]
    assert once.row["mag_lens"] == twin.row["mag_lens"]
