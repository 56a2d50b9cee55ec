"""Distances and scale radii against astropy."""

import astropy.cosmology
import numpy as np
import pytest

from lensfold.simulate.sky import cosmology


def test_distances_against_astropy():
    oracle = astropy.cosmology.FlatLambdaCDM(H0=cosmology.HUBBLE, Om0=cosmology.OMEGA_MATTER, Tcmb0=0)
    for z in (0.1, 0.62, 2.1, 5.0):
        assert cosmology.comoving_distance(z) == pytest.approx(oracle.comoving_distance(z).value, rel=1e-5)
    ratio = 1 - oracle.comoving_distance(0.62) / oracle.comoving_distance(2.1)
    assert cosmology.distance_ratio(0.62, 2.1) == pytest.approx(float(ratio), rel=1e-5)


def test_nfw_scale_radius_against_astropy():
    oracle = astropy.cosmology.FlatLambdaCDM(H0=cosmology.HUBBLE, Om0=cosmology.OMEGA_MATTER, Tcmb0=0)
    density = 200 * oracle.critical_density(0.6).to_value("solMass / Mpc3")
    r200 = (3e14 / (4 * np.pi * density)) ** (1 / 3)
    arcsec = np.degrees(r200 / oracle.angular_diameter_distance(0.6).to_value("Mpc")) * 3600
    assert cosmology.nfw_scale_radius(1e14, 5.0, 0.6) == pytest.approx(arcsec / 5.0, rel=1e-4)
