"""The benchmark of the import imports what it says."""

from benchmarks import importing
from lensfold.data.objects import read_objects


def test_rows_of_a_small_run(tmp_path, monkeypatch):
    def here(folder, count, workers):
        return importing.measured_import(folder / str(count), folder / f"out-{count}-{workers}", 1)

    monkeypatch.setattr(importing, "_import_in_process", here)
    rows = importing.bench_importing(tmp_path, 2, 4)
    assert len(rows) == 4 and all(measured for _, measured, _ in rows)
    table = read_objects(tmp_path / "out-4-1")
    assert len(table) == 4 and table["flags"].tolist() == [""] * 4
