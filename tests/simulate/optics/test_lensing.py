"""Deflection angles and magnification against closed forms and stored numbers of an oracle."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from lensfold.simulate.optics.lensing import Deflector, critical_cells, deflection, make_deflector, nfw_shape
from lensfold.simulate.optics.light import components
from lensfold.simulate.optics.render import COARSE_STEP, coarse_nodes, lensed_source
from lensfold.simulate.population import Population

# Made with lenstronomy in a separate environment; its "_made_by" entry says how.
ORACLE = json.loads((Path(__file__).parents[2] / "golden" / "simulate_lenstronomy.json").read_text())
ROUND = 0.9999  # the axis ratio that stands for a circle


def ring(radius: float, n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    phi = 0.1 + np.arange(n) * 2 * np.pi / n
    return radius * np.cos(phi), radius * np.sin(phi)


@pytest.mark.parametrize("slope", [1.5, 2.0, 2.6])
@pytest.mark.parametrize("radius", [0.4, 1.7, 6.0])
def test_round_part_may_be_a_power_law(slope, radius):
    """A density r^-slope deflects by theta_E (r / theta_E)^(2 - slope): half of the mass here, the rest isothermal."""
    ax, ay = deflection(make_deflector(1.7, 1.0, 0.0, nfw_share=0.5, power_slope=slope), *ring(radius))
    expected = 0.85 + 0.85 * (radius / 1.7) ** (2.0 - slope)
    np.testing.assert_allclose(np.hypot(ax, ay), expected, rtol=0.0015 / radius + 3e-4)


@pytest.mark.parametrize("radius", [0.2, 1.0, 3.0, 9.0])
def test_circular_isothermal_lens_deflects_by_theta_e_everywhere(radius):
    x, y = ring(radius)
    ax, ay = deflection(make_deflector(1.7, 1.0, 0.0), x, y)
    np.testing.assert_allclose(np.hypot(ax, ay), 1.7, rtol=0.0015 / radius)
    np.testing.assert_allclose(np.arctan2(ay, ax), np.arctan2(y, x), atol=1e-3)


@pytest.mark.parametrize("q", [0.5, 0.7, 0.9])
def test_ellipsoid_on_its_axes(q):
    """Kormann, Schneider & Bartelmann (1994), equation 27a, on the major and the minor axis."""
    f = np.sqrt(1 - q * q)
    lens = make_deflector(2.0, q, 0.0)
    major, minor = deflection(lens, 3.0, 0.0)[0], deflection(lens, 0.0, 3.0)[1]
    assert float(major) == pytest.approx(2.0 * np.sqrt(q) / f * np.arcsin(f), rel=1e-3)
    assert float(minor) == pytest.approx(2.0 * np.sqrt(q) / f * np.arcsinh(f / q), rel=1e-3)


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.3])
def test_divergence_is_twice_the_convergence_and_curl_is_zero(angle):
    q, b, h = 0.65, 1.8, 1e-4
    lens = make_deflector(b, q, angle)
    x, y = ring(2.3)
    x_plus, x_minus = deflection(lens, x + h, y), deflection(lens, x - h, y)
    y_plus, y_minus = deflection(lens, x, y + h), deflection(lens, x, y - h)
    divergence = (x_plus[0] - x_minus[0] + y_plus[1] - y_minus[1]) / (2 * h)
    curl = (x_plus[1] - x_minus[1] - y_plus[0] + y_minus[0]) / (2 * h)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    kappa = b / (2 * np.sqrt(q * u**2 + v**2 / q))
    np.testing.assert_allclose(divergence, 2 * kappa, rtol=2e-3)
    np.testing.assert_allclose(curl, 0, atol=1e-4)


def test_nfw_deflection_is_its_enclosed_mass_over_radius():
    """Against the integral of the projected profile of Wright & Brainerd (2000), equation 11."""

    def sigma(x: float) -> float:
        if x < 1:
            return (1 - 2 / np.sqrt(1 - x * x) * np.arctanh(np.sqrt((1 - x) / (1 + x)))) / (x * x - 1)
        return (1 - 2 / np.sqrt(x * x - 1) * np.arctan(np.sqrt((x - 1) / (1 + x)))) / (x * x - 1)

    x = np.array([0.02, 0.3, 0.9, 1.5, 6.0])
    mass = [quad(lambda t: t * sigma(t), 0, value, points=[1.0] if value > 1 else None)[0] for value in x]
    np.testing.assert_allclose(nfw_shape(x), mass / x, rtol=1e-6)
    assert nfw_shape(np.array([0.0]))[0] == 0.0
    np.testing.assert_allclose(nfw_shape(np.array([1.0 - 1e-7, 1.0])), 1 + np.log(0.5), rtol=1e-5)


def test_shear_alone():
    ax, ay = deflection(make_deflector(1e-12, 1.0, 0.0, shear=(0.05, -0.03)), 2.0, -3.0)
    assert (float(ax), float(ay)) == pytest.approx((0.05 * 2 + 0.03 * 3, -0.03 * 2 + 0.05 * 3), abs=1e-9)


def test_satellite_far_away_deflects_by_its_theta_e():
    lens = make_deflector(1e-12, 1.0, 0.0, satellites=np.array([[1.0, 2.0, 0.3]]))
    ax, ay = deflection(lens, 1.0 + 3.0, 2.0 - 4.0)
    assert (float(ax), float(ay)) == pytest.approx((0.3 * 3 / 5, -0.3 * 4 / 5), rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_mean_convergence_is_one_inside_theta_e(share):
    """By Gauss's law: the mean radial deflection of a circular lens at theta_E is theta_E."""
    x, y = ring(2.5, 60)
    ax, ay = deflection(make_deflector(2.5, ROUND, 0.0, nfw_share=share, nfw_radius=25.0), x, y)
    assert np.mean((ax * x + ay * y) / 2.5) == pytest.approx(2.5, rel=1e-3)


@pytest.mark.parametrize("name", sorted(ORACLE["cases"]))
def test_deflection_against_the_oracle(name):
    case = ORACLE["cases"][name]
    given, points = case["arguments"], np.array(ORACLE["points"])
    if name == "nfw":
        scale = given["Rs"]
        lens = make_deflector(scale, ROUND, 0.0, nfw_share=given["alpha_Rs"] / scale, nfw_radius=scale)
        lens = Deflector(lens.main * np.array([0, 1, 1, 1, 1, 1, 1, 1]), lens.nfw, lens.satellites)
    else:
        satellites = np.array(given["satellites"]) if "satellites" in given else None
        lens = make_deflector(
            given.get("b", 1e-12), given.get("q", 1.0), given.get("angle", 0.0), given.get("gamma", (0.0, 0.0)),
            satellites=satellites,
        )  # fmt: skip
    ours = np.stack(deflection(lens, *points.T), axis=1)
    difference = np.abs(ours - case["alpha"])
    assert np.median(difference) < (1e-3 if "b" in given else 2e-5)
    assert difference.max() < (0.006 if "b" in given else 2e-4)  # the softened core, nearest point


@pytest.mark.parametrize("beta", [0.5, 0.8])
def test_total_magnification_of_a_circular_isothermal_lens(beta):
    """Both images of a point together are magnified 2 theta_E / beta; a small disc by the mean over itself."""
    theta, radius, p = 1.6, 0.15, Population()
    parts = components(x=beta, radius=radius, flux=np.full(4, 1e-8))
    lens = make_deflector(theta, 1.0, 0.0)
    planes = lensed_source(lens, coarse_nodes(lens), parts, p)
    b = 1.67835
    phi = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    r = np.linspace(0, 7.5 * radius, 600)[1:]
    weight = r * np.exp(-b * r / radius)
    inverse = [np.mean(1 / np.hypot(beta + s * np.cos(phi), s * np.sin(phi))) for s in r]
    expected = 2 * theta * np.sum(weight * inverse) / np.sum(weight)
    assert expected == pytest.approx(2 * theta / beta, rel=0.15)
    assert planes.vis.sum(dtype=float) / 1e-8 == pytest.approx(expected, rel=0.004)
    np.testing.assert_allclose(planes.nisp.sum(axis=(1, 2), dtype=float) / 1e-8, expected, rtol=0.004)


def test_an_extended_disc_without_a_lens_keeps_its_flux():
    lens = make_deflector(1e-12, 1.0, 0.0)
    parts = components(x=1.0, y=-2.0, axis=0.6, angle=0.5, radius=0.3, flux=np.array([1.0, 2.0, 3.0, 4.0]) * 1e-8)
    planes = lensed_source(lens, coarse_nodes(lens), parts, Population())
    assert planes.vis.sum(dtype=float) == pytest.approx(1e-8, rel=0.003)
    np.testing.assert_allclose(planes.nisp.sum(axis=(1, 2), dtype=float), np.array([2, 3, 4]) * 1e-8, rtol=0.003)


def test_critical_curve_of_a_circular_lens_is_the_einstein_ring():
    cells = critical_cells(coarse_nodes(make_deflector(2.5, 1.0, 0.0)))
    assert cells.sum() * COARSE_STEP**2 == pytest.approx(np.pi * 2.5**2, rel=0.03)
