"""Hard negatives: an early type's light in another shape, and each class its share of the objects without a source."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lensfold.simulate import PROFILES, simulate_object
from lensfold.simulate.optics.light_kernels import AXIS, FLUX, RADIUS, X, Y
from lensfold.simulate.sky.galaxies import magnitude_flux
from lensfold.simulate.sky.halo import draw_halo
from lensfold.simulate.sky.negatives import NEGATIVES, draw_negative, with_negative
from lensfold.simulate.sky.sed import band_ratios

EUCLID = replace(PROFILES["euclid"], variation=None)
SEED = 5


def drawn(kind: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Components of a class and the fluxes (4,) of an early type of the same halo."""
    halo = draw_halo(EUCLID, SEED, number)
    rows = draw_negative(np.random.default_rng([1, number]), EUCLID, kind, halo)
    return rows, magnitude_flux(halo.mag) * band_ratios(EUCLID.seds.early, halo.z)


@pytest.mark.parametrize("kind", [name for name in NEGATIVES if name != "chance"])
def test_total_light_is_that_of_an_early_type(kind):
    tilts = []
    for number in range(30):
        rows, early = drawn(kind, number)
        mag = -2.5 * np.log10(rows[:, FLUX : FLUX + 4].sum(axis=0) / early)
        assert mag[0] == pytest.approx(0.0, abs=1e-9)
        tilts.append(mag[3])
        assert (rows[:, FLUX : FLUX + 4] > 0).all() and (rows[:, RADIUS] > 0).all()
        assert (rows[:, AXIS] > 0.05).all() and (rows[:, AXIS] <= 1.0).all()
    assert abs(np.mean(tilts)) < 0.08 and 0.04 < np.std(tilts) < 0.25


def test_neighbours_of_a_chance_alignment_stand_where_arcs_do():
    radii, mags = [], []
    for number in range(40):
        halo = draw_halo(EUCLID, SEED, number)
        rows, _ = drawn("chance", number)
        np.testing.assert_array_equal(rows[: len(halo.central)], halo.central)
        extra = rows[len(halo.central) :]
        assert 1 <= len(extra) <= 3
        radii += np.hypot(extra[:, X], extra[:, Y]).tolist()
        mags += (-2.5 * np.log10(extra[:, FLUX])).tolist()
    assert min(radii) >= 0.5 and max(radii) <= 2.2
    assert min(mags) > 21 and max(mags) < 25.5


def test_shares_are_of_the_objects_without_a_source():
    rng = np.random.default_rng(3)
    halo = draw_halo(EUCLID, SEED, 1)
    found = Counter(with_negative(rng, EUCLID, halo).morphology for _ in range(4000))
    for kind, share in EUCLID.negatives:
        assert found[kind] / 4000 == pytest.approx(share, abs=0.02)
    assert found[halo.morphology] / 4000 == pytest.approx(1 - sum(share for _, share in EUCLID.negatives), abs=0.03)
    assert {kind for kind, _ in EUCLID.negatives} == set(NEGATIVES)


def test_without_shares_nothing_is_drawn():
    rng, halo = np.random.default_rng(3), draw_halo(EUCLID, SEED, 1)
    assert with_negative(rng, PROFILES["challenge"], halo) is halo
    assert rng.random() == np.random.default_rng(3).random()


def test_a_twin_keeps_the_galaxy_of_its_object():
    """Negatives go by what was drawn: forcing a source in or out changes no galaxy."""
    sky = replace(EUCLID, negatives=(("spiral", 1.0),))
    for index in range(8):
        item, lens, twin = (simulate_object(sky, SEED, "train", index, put) for put in (None, True, False))
        assert item.morphology == lens.morphology == twin.morphology
        assert lens.row["mag_lens"] == twin.row["mag_lens"] and lens.row["n_pix_lens"] == twin.row["n_pix_lens"]
        if not item.row["n_sources"]:
            assert item.morphology == "spiral"
