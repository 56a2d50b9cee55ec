"""The benchmarks run, and their page says what was measured."""

import json

import pytest

from benchmarks.__main__ import run_benchmarks
from lensfold.errors import InputError


def test_a_small_run_writes_the_page(tmp_path):
    page = run_benchmarks(tmp_path, 40, 80, tmp_path, "data").read_text()
    rows = json.loads((tmp_path / "benchmarks" / "data.json").read_text())["rows"]
    assert len(rows) == 7 and all(row[1] for row in rows)
    for what, measured, asked in rows:
        assert f"| {what} | {measured} | {asked} |" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks"]


def test_an_unknown_group_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="'speed' is not known. Expected one of: data, prediction, training"):
        run_benchmarks(tmp_path, 100, 200, tmp_path, "speed")
    assert not list(tmp_path.iterdir())
