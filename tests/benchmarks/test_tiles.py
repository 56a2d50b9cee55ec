"""The benchmark of cutting makes a tile of the form that is cut, and measures both ways to do so."""

import pandas as pd

from benchmarks.tiles import measured_cut, seconds_of_a_loop, write_catalog, write_tile


def test_a_small_tile_is_cut_both_ways(tmp_path):
    write_tile(tmp_path / "tile", 960)
    write_catalog(tmp_path / "8.csv", 8, 960)
    found = measured_cut(tmp_path, 8, 1, "here")
    assert found["seconds"] > 0 and found["peak_mb"] > 0
    assert len(pd.read_csv(tmp_path / "here" / "data" / "mine" / "objects.csv")) == 8
    assert seconds_of_a_loop(tmp_path / "tile", pd.read_csv(tmp_path / "8.csv")) > 0
