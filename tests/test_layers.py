"""Each module imports only modules of the layers above its own, and light commands stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lensfold"
LAYERS = (
    ("errors", "console", "platforms"),
    ("config", "frames", "paths", "files", "compiled", "workers"),
    ("data", "models", "runs"),
    ("inputs", "simulate", "euclid", "scoring", "submission"),
    ("prediction", "ensemble", "realism"),
    ("training", "leaderboard", "report"),
    ("pipeline",),
    ("jobs",),
    ("paper",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def module_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """Names of the top modules of lensfold that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "lensfold":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lensfold."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lensfold."))
    return found


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_upward_only(path):
    own = module_of(path)
    for other in imported_modules(path) - {own}:
        assert LEVEL[other] < LEVEL[own], f"{path} imports {other}, which is not above {own}"


def test_every_module_has_a_layer():
    assert {module_of(path) for path in FILES} == set(LEVEL)


LIGHT = [
    "cli.main",
    "jobs.rank",
    "jobs.run",
    "jobs.work",
    "models",
    "paper",
    "pipeline.results.leaderboard",
    "pipeline.predict",
    "pipeline.realism",
    "pipeline.submit",
    "report.explain",
    "report.pages",
    "training.kernel_machine",
]


def test_what_is_slow_to_import_is_imported_only_by_what_uses_it():
    """One process imports the light modules one after the other and names the first that is not: TensorFlow is for
    what runs a model, albumentations for what adds its transforms.
    """
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module("lensfold." + name)
    found = sorted({"albumentations", "keras", "tensorflow"} & sys.modules.keys())
    if found:
        sys.exit(f"lensfold.{name} imports {found}")
"""
    done = subprocess.run([sys.executable, "-c", code, *LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_one_module_imports_albumentations():
    users = [path.name for path in FILES if "import albumentations" in path.read_text()]
    assert users == ["transforms.py"]


def test_only_results_and_catalog_know_truth_columns():
    """What makes network input cannot even name a truth column."""
    from lensfold.data.catalog import COLUMNS

    truth = set(COLUMNS) - {"", "ID"}
    for name in (
        "data/cache.py",
        "inputs/pixels.py",
        "inputs/augment.py",
        "inputs/transforms.py",
        "inputs/batches.py",
        "prediction/logits.py",
    ):
        words = {
            node.value
            for node in ast.walk(ast.parse((SOURCE / name).read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not truth & words, name


def test_rooms_and_modules_stay_small_enough_to_overlook():
    rooms = {folder: len(list(folder.glob("*.py"))) for folder in [SOURCE, *SOURCE.rglob("*/")]}
    assert {folder.name: count for folder, count in rooms.items() if count > 16} == {}
    lengths = {path.name: len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > 350} == {}
