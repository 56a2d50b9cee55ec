"""Sersic profiles and fluxes; grids, point spread functions and noise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gammainc, gammaincinv

from lensfold.simulate.optics.light import components, sersic_table
from lensfold.simulate.optics.light_kernels import (
    ARC,
    DUST,
    INDEX_MIN,
    INDEX_STEP,
    NODES,
    POINT,
    REACH,
    RIPPLE,
    SPIRAL,
)
from lensfold.simulate.optics.psf import moffat
from lensfold.simulate.optics.render import (
    Planes,
    add_light,
    bin_sum,
    bin_vis,
    observe_nisp,
    observe_vis,
)
from lensfold.simulate.population import Population

ORACLE = json.loads((Path(__file__).parents[2] / "golden" / "simulate_lenstronomy.json").read_text())["sersic"]
FLUXES = np.array([1.0, 2.0, 3.0, 4.0]) * 1e-8
SKY = Population()
#: A point spread function far smaller than a pixel.
SHARP = replace(SKY, psf_fwhm=(1e-3,) * 4)


def drawn(**values) -> Planes:
    planes = Planes.empty()
    add_light(planes, components(flux=FLUXES, **values), SKY)
    return planes


def table_row(index: float) -> np.ndarray:
    return sersic_table()[round((index - INDEX_MIN) / INDEX_STEP)]


@pytest.mark.parametrize("index", [0.5, 1.0, 2.5, 4.0, 6.0])
def test_flux_within_a_radius(index):
    """Against the incomplete gamma function (Graham & Driver 2005, equation 2)."""
    nodes = REACH * (np.arange(NODES) / (NODES - 1)) ** 2
    for radius in (0.5, 1.0, 3.0):
        r = np.linspace(0, radius, 20001)
        value = np.interp(np.sqrt(r), np.sqrt(nodes), table_row(index))
        flux = np.sum((value * r)[1:] + (value * r)[:-1]) * np.pi * (r[1] - r[0])
        expected = gammainc(2 * index, gammaincinv(2 * index, 0.5) * radius ** (1 / index))
        assert flux == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("index", sorted(ORACLE["per_unit_flux"]))
def test_profile_against_the_oracle(index):
    r = np.array(ORACLE["radii"]) / ORACLE["half_light_radius"]
    nodes = np.sqrt(REACH) * np.arange(NODES) / (NODES - 1)
    value = np.interp(np.sqrt(r), nodes, table_row(float(index))) / ORACLE["half_light_radius"] ** 2
    # The oracle's b_n is the line 1.9992 n - 0.3271: below n = 1 it is off by up to 2 %, ours is exact.
    np.testing.assert_allclose(value, ORACLE["per_unit_flux"][index], rtol=0.006 if float(index) > 1 else 0.06)


@pytest.mark.parametrize(
    ("index", "radius", "axis", "lost"), [(1.0, 0.1, 1.0, 0.01), (1.0, 0.5, 0.3, 0.004), (2.5, 0.3, 0.7, 0.02)]
)
def test_image_holds_the_total_magnitude(index, radius, axis, lost):
    planes = drawn(x=0.3, y=-1.2, angle=0.7, index=index, radius=radius, axis=axis)
    assert 1 - lost < planes.vis.sum(dtype=float) / FLUXES[0] < 1.002
    np.testing.assert_allclose(
        planes.nisp.sum(axis=(1, 2), dtype=float), FLUXES[1:] * planes.vis.sum() / FLUXES[0], 1e-4
    )


def test_elliptical_image_against_direct_sampling():
    values = {"x": 1.03, "y": -2.01, "angle": 0.7, "index": 1.0, "radius": 0.3, "axis": 0.5}
    fine = drawn(**values).vis
    n, b, offsets = 432, gammaincinv(2.0, 0.5), (np.arange(5) + 0.5) / 5 - 0.5
    at = ((np.arange(n) - 215.5)[:, None] + offsets) * 0.05
    dx, dy = (at.ravel() - 1.03)[None, :], (at.ravel() + 2.01)[:, None]
    u, v = np.cos(0.7) * dx + np.sin(0.7) * dy, (np.cos(0.7) * dy - np.sin(0.7) * dx) / 0.5
    expected = np.exp(-b * np.hypot(u, v) / 0.3).reshape(n, 5, n, 5).mean(axis=(1, 3))
    expected *= FLUXES[0] / expected.sum()
    assert np.abs(fine - expected).max() < 0.015 * expected.max()


@pytest.mark.parametrize(
    "values",
    [
        {"radius": 0.8, "kind": SPIRAL, "axis": 0.8, "params": (2, 3.0, 0.6, 1.0, 0.2)},
        {"radius": 0.8, "kind": RIPPLE, "params": (0.4, 2.0, 1.0, 2.0, 0.5)},
        {"radius": 2.0, "kind": ARC, "axis": 0.8, "params": (2.0, 0.2, 9.0, 0.0, 1.0)},
        {"radius": 2.0, "kind": ARC, "params": (2.0, 0.2, 0.8, 0.1, 1.0)},
    ],
)
def test_structured_components_keep_about_their_flux(values):
    assert drawn(x=1.0, **values).vis.sum(dtype=float) / FLUXES[0] == pytest.approx(1.0, abs=0.2)


def test_compact_light_is_convolved_in_a_smaller_field_with_the_same_result():
    compact, wide = drawn(x=1.5, y=-2.0, radius=0.2), drawn(x=1.5, y=-2.0, radius=0.2)
    wide.vis[1, 1] += 1e-30  # outside the smaller field
    np.testing.assert_allclose(observe_vis(compact, SKY), observe_vis(wide, SKY), atol=3e-5 * wide.vis.max())


def test_dust_only_dims():
    values = {"radius": 0.8, "axis": 0.2, "angle": 0.4}
    plain, dusty = drawn(**values).vis, drawn(kind=DUST, params=(0.7, 0.1, 0.0), **values).vis
    assert (dusty <= plain * 1.05 + 1e-15).all()
    assert 0.3 < dusty.sum() / plain.sum() < 0.9


def test_a_star_keeps_flux_and_place():
    planes = drawn(x=1.23, y=-0.71, radius=0.1, kind=POINT)
    at = (np.arange(432) - 215.5) * 0.05
    assert planes.vis.sum(dtype=float) == pytest.approx(FLUXES[0], rel=1e-5)
    assert np.sum(planes.vis * at[None, :], dtype=float) / FLUXES[0] == pytest.approx(1.23, abs=1e-5)
    assert np.sum(planes.vis * at[:, None], dtype=float) / FLUXES[0] == pytest.approx(-0.71, abs=1e-5)


def test_nisp_pixel_covers_vis_pixels_one_in():
    """NISP pixel (a, b) is the sum of VIS pixels 1+3a..3+3a, 1+3b..3+3b where all bands have the same light."""
    rng = np.random.default_rng(3)
    fine = rng.random((432, 432), dtype=np.float32)
    half = bin_sum(fine, 2)
    vis = observe_vis(Planes(fine, np.stack([half] * 3)), SHARP)
    nisp = observe_nisp(np.stack([half] * 3), SHARP)
    assert vis.shape == (200, 200)
    assert nisp.shape == (3, 66, 66)
    expected = vis[1:199, 1:199].reshape(66, 3, 66, 3).sum(axis=(1, 3))
    for band in nisp:
        np.testing.assert_allclose(band, expected, rtol=1e-5)
    np.testing.assert_allclose(vis, bin_vis(fine), rtol=1e-4)


def test_a_centred_galaxy_is_centred_in_every_frame():
    planes = drawn(radius=0.5)
    for image in (observe_vis(planes, SKY), *observe_nisp(planes.nisp, SKY)):
        np.testing.assert_allclose(image, image[::-1], atol=2e-4 * image.max())
        np.testing.assert_allclose(image, image.T, atol=2e-4 * image.max())


def test_point_spread_function_has_unit_sum_and_its_width():
    kernel = moffat(432, 0.05, 0.40, 3.5)
    assert kernel.sum() == pytest.approx(1.0)
    assert kernel[0, 4] == pytest.approx(0.5 * kernel[0, 0])  # half the maximum at half of 0.40 arcsec


def test_convolution_keeps_flux():
    planes = drawn(radius=0.4)
    assert observe_vis(planes, SKY).sum(dtype=float) == pytest.approx(planes.vis.sum(dtype=float), rel=0.003)
    seen, light = observe_nisp(planes.nisp, SKY), planes.nisp
    np.testing.assert_allclose(seen.sum(axis=(1, 2), dtype=float), light.sum(axis=(1, 2), dtype=float), rtol=0.004)


def test_adding_up_in_fourier_space_changes_nothing_but_rounding():
    """In the whole field and in the smaller one, with every kind of point spread function."""
    p = replace(SKY, psf_ellipticity=(0.1,) * 4, psf_angle=(0.4,) * 4, psf_wings=((0.1, 1.0),) * 4)
    for planes in (drawn(x=1.5, y=-2.0, radius=0.2), drawn(x=7.5, y=-8.0, radius=0.4)):
        for observe, light in ((observe_vis, planes), (observe_nisp, planes.nisp)):
            plain, folded = (observe(light, replace(p, first_version=first)) for first in (True, False))
            assert folded.dtype == np.float32 and folded.shape == plain.shape
            np.testing.assert_allclose(folded, plain, atol=2e-6 * plain.max())
