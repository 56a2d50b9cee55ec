"""Benchmarks as ratios taken in one run: what is kept is the comparison, since machines and their load differ.

Each group of benchmarks writes ``benchmarks/<group>.json``; ``benchmarks/README.md`` is made from all of them.
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cascade import bench_cascade
from benchmarks.data import Rows, bench_data
from benchmarks.feeding import bench_feeding
from benchmarks.importing import bench_importing
from benchmarks.prediction import bench_prediction
from benchmarks.scaling import bench_scaling
from benchmarks.simulation import bench_simulation
from benchmarks.tiles import bench_tiles
from benchmarks.training import bench_training
from lensfold.errors import InputError
from lensfold.files import replacing

#: group -> its title
GROUPS = {
    "data": "Data layer",
    "prediction": "Prediction",
    "training": "Training",
    "scaling": "Jobs side by side",
    "cascade": "A cascade against the ensemble for all",
    "simulation": "Simulator",
    "importing": "Import of Euclid cutouts",
    "tiles": "Objects out of MER mosaics",
}


def run_benchmarks(root: Path, small: int, large: int, scratch: Path | None = None, only: str | None = None) -> Path:
    """Run all groups of benchmarks, or one, into tables under ``root/benchmarks``; return the page of all tables.

    ``small``, ``large``: objects of the two packs of "data". ``scratch``: where they are made for a while (default:
    the system's temporary folder); 500 KB an object, and 12 GB for "tiles".
    Raises InputError for a group that is not known.
    """
    if only is not None and only not in GROUPS:
        raise InputError(f"benchmark group {only!r} is not known. Expected one of: {', '.join(GROUPS)}.")
    target = root / "benchmarks"
    for group in GROUPS if only is None else [only]:
        table = {
            "title": GROUPS[group],
            "rows": _rows(group, small, large, scratch),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        }
        with replacing(target / f"{group}.json") as temporary:
            temporary.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    with replacing(target / "README.md") as temporary:
        temporary.write_text(_page(target))
    return target / "README.md"


def _rows(group: str, small: int, large: int, scratch: Path | None) -> Rows:
    if group == "prediction":
        return bench_prediction()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        if group == "scaling":
            return bench_scaling(Path(folder))
        if group == "cascade":
            return bench_cascade(Path(folder))
        if group == "training":
            return [*bench_feeding(Path(folder)), *bench_training()]
        if group == "simulation":
            return bench_simulation(Path(folder))
        if group == "importing":
            return bench_importing(Path(folder))
        if group == "tiles":
            return bench_tiles(Path(folder))
        return bench_data(Path(folder), small, large)


def _page(folder: Path) -> str:
    parts = [
        "# Benchmarks\n\nMade by `make bench`. Ratios are taken in one run on one machine; rates are that machine's.\n"
    ]
    for path in sorted(folder.glob("*.json")):
        table = json.loads(path.read_text())
        lines = [f"\n## {table['title']}\n", f"{table['machine']}\n", "| what | measured | asked |", "|---|---|---|"]
        lines += [f"| {what} | {measured} | {asked} |" for what, measured, asked in table["rows"]]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def main(
    root: Annotated[Path, typer.Option(help="Project folder.")] = Path(),
    small: Annotated[int, typer.Option(min=100, help="Objects of the small pack.")] = 2000,
    large: Annotated[int, typer.Option(min=100, help="Objects of the large pack.")] = 20000,
    scratch: Annotated[
        Path | None, typer.Option(help="Where the packs are made: 0.5 MB an object, 12 GB for tiles.")
    ] = None,
    group: Annotated[str | None, typer.Option(help=f"One of {', '.join(GROUPS)}; default: all.")] = None,
) -> None:
    """Measure data layer, prediction, training, jobs, simulator, import and others into benchmarks/README.md."""
    try:
        print(run_benchmarks(root, small, large, scratch, group).read_text())
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    typer.run(main)
