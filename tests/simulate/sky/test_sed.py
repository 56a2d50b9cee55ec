"""Colours of galaxies at their redshifts."""

import numpy as np
import pytest

from lensfold.simulate.sky.sed import DISC, EARLY, STAR_FORMING, YOUNG, band_ratios


def test_early_type_colours_redden_as_the_break_enters_vis():
    for z, colour in ((0.52, 2.0), (0.62, 2.3), (0.69, 2.6)):
        assert 2.5 * np.log10(band_ratios(EARLY, z)[3]) == pytest.approx(colour, abs=0.1)


@pytest.mark.parametrize(("sed", "low", "high"), [(STAR_FORMING, 0.8, 1.2), (YOUNG, 0.0, 0.35), (DISC, 1.0, 2.2)])
def test_colours_of_sources(sed, low, high):
    assert low <= 2.5 * np.log10(band_ratios(sed, 2.1)[3]) <= high


def test_tilt_is_added_to_vis_minus_h():
    ratios = band_ratios(DISC, np.array([0.3, 0.7]), np.array([0.0, 0.5]))
    assert ratios.shape == (2, 4)
    np.testing.assert_allclose(ratios[:, 0], 1.0)
    assert 2.5 * np.log10(ratios[1, 3] / band_ratios(DISC, 0.7)[3]) == pytest.approx(0.5)
