"""The benchmarks run, and their page says what was measured."""

import json

from lensfold.bench import run_benchmarks


def test_a_small_run_writes_the_page(tmp_path):
    page = run_benchmarks(tmp_path, 100, 200, tmp_path).read_text()
    rows = json.loads((tmp_path / "benchmarks" / "data.json").read_text())["rows"]
    assert len(rows) == 7 and all(row[1] for row in rows)
    for what, measured, asked in rows:
        assert f"| {what} | {measured} | {asked} |" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks"]
