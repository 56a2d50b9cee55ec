"""The benchmark of the simulator counts objects and files, and says so where lenstronomy is absent."""

import sys

import pytest

from benchmarks import simulation
from lensfold.frames import BANDS
from lensfold.paths import cutout_file
from lensfold.simulate.optics.render import Planes, add_light, coarse_nodes, lensed_source, observe_nisp, observe_vis
from lensfold.simulate.population import Population


def test_a_profile_has_a_rate_and_its_files(tmp_path):
    measured = simulation.measure(tmp_path, "challenge", 2, 1)
    assert measured["rate"] > 1
    for band in BANDS:
        assert len(list(cutout_file(tmp_path, band, 1).parent.glob("*.fits"))) == 2


def test_without_lenstronomy_a_row_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lenstronomy", None)
    assert simulation.measure(tmp_path, "lenstronomy", 1, 1) == {}
    monkeypatch.setattr(simulation, "_measured", simulation.measure)
    what, measured, asked = simulation._lenstronomy_row(tmp_path, 100.0)
    assert "lenstronomy" in what and 'pip install -e ".[bench]"' in measured and not asked


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, under numpy 2
def test_lenstronomy_draws_the_same_light():
    """So that the benchmark compares like with like: the flux of a whole scene in every band."""
    pytest.importorskip("lenstronomy")
    from benchmarks.lenstronomy_scene import draw_scene, scene_drawer

    p = Population()
    scene, theirs = draw_scene(p, 3, 0), scene_drawer(3)(0)
    light = Planes.empty()
    add_light(light, scene.galaxies, p)
    source = lensed_source(scene.lens, coarse_nodes(scene.lens), scene.source, p)
    ours = [observe_vis(light, p) + observe_vis(source, p), *observe_nisp(light.nisp + source.nisp, p)]
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert one.sum(dtype=float) == pytest.approx(other.sum(), rel=0.01)
