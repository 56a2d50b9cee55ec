"""``make paper``: train what the paper's tables need, measure it, write the page."""

import json
from pathlib import Path

import pandas as pd

from lensfold.config import Experiment, validated
from lensfold.console import progress
from lensfold.data import catalog as catalogs
from lensfold.data.cache_check import discard_cache
from lensfold.errors import InputError
from lensfold.files import write_if_changed, write_json
from lensfold.jobs.plan import Work, find_stale
from lensfold.jobs.run import Executor, run_needed
from lensfold.models.backend import start_tensorflow
from lensfold.paper import figures, measures, page, plan
from lensfold.paper.plan import Scale
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import cache_split_once
from lensfold.pipeline.configure import configure
from lensfold.pipeline.folds import ensure_folds
from lensfold.pipeline.look import open_album
from lensfold.pipeline.predict import predict_folds
from lensfold.pipeline.submit import submit
from lensfold.report.figure import PlotHeading

ENTRY = ("later-everything", "table3-efficientnet")
#: what stands for "a more advanced version of EfficientNet": the first of them with ImageNet weights here
LARGER = ("efficientnet_b2", "efficientnet_lite2")
#: runs whose scores under the whole label rule, by lens size, the page shows
RULE_RUNS = (
    "table2-all-seed1",
    "later-everything",
    "later-restarts",
    "later-falling-sizes",
    "scaling-pack-drop",
    "scaling-pack-negative",
    "scaling-image-drop",
    "scaling-image-negative",
)
#: pairs whose difference on the paper's task the page shows: second minus first
COMPARED = (
    ("table2-all-seed1", "table3-efficientnet"),
    ("table3-efficientnet", "later-classifier"),
    ("table3-efficientnet", "later-larger"),
    ("later-everything", "later-falling-sizes"),
    ("later-restarts", "later-falling-sizes"),
    ("scaling-pack-drop", "scaling-pack-negative"),
    ("scaling-pack-drop", "scaling-image-drop"),
    ("scaling-pack-drop", "scaling-image-negative"),
)


def reproduce_paper(
    root: Path, scale_name: str, pack_name: str | None, data: Path | None, processes: int, skip_bad: bool = False
) -> Path:
    """Run everything that is not there yet and write the page; return its path.

    The work lies in ``root/paper/<scale>/``, a project folder of its own with the experiments, runs and submissions of
    the reproduction; every other command works on it with ``--root``. Without a pack the scale's own is simulated.
    The page is ``root/paper/README.md``, at smoke scale ``root/paper/smoke/README.md``, of a pack that was asked for
    ``root/paper/<scale>/<pack>/README.md``. ``skip_bad``: leave unusable objects out.
    Raises InputError where a run fails, for an unknown scale, and for a pack without the paper's task.
    """
    scale = plan.scale_of(scale_name)
    own = pack_name is None and data is None
    pack = Workspace(root).pack(f"paper-{scale.name}" if own else pack_name, data)
    workspace = _workspace(root, scale)
    if own:
        _simulated(pack, scale, processes)
    labels = measures.paper_task(catalogs.read_catalog(pack.catalog))
    _prepare(workspace, pack, skip_bad, processes)
    networks = _networks()
    names = _write_experiments(workspace, plan.experiments(scale, *networks))
    for name in names:
        configure(workspace, pack, name)
    print(f"paper, scale {scale.name}, pack {pack.name}: {len(names)} x {scale.folds} folds")
    run_needed(Work(workspace, pack, tuple(names)), Executor(processes=processes), brief=True)
    _entry(workspace, pack)
    target = workspace.root if own else workspace.root / pack.name
    if own and scale.name != "smoke":
        target = root / "paper"
    results = _measure(workspace, pack, scale, networks, labels)
    _draw(workspace, pack, results, labels, target / "figures")
    write_json(target / "results.json", results)
    write_if_changed(target / "README.md", page.render(results).encode())
    return target / "README.md"


def _workspace(root: Path, scale: Scale) -> Workspace:
    """Make the project folder of a scale, which shares the packs and caches of the project around it."""
    workspace = Workspace(root / "paper" / scale.name)
    for name in ("experiments", "folds", "submissions"):
        (workspace.root / name).mkdir(parents=True, exist_ok=True)
    (root / "data").mkdir(exist_ok=True)
    shared = workspace.root / "data"
    if not shared.exists():
        shared.symlink_to(Path("..") / ".." / "data", target_is_directory=True)
    settings = f"# Folds of the paper's reproduction.\nk = {scale.folds}\nseed = 1\n"
    write_if_changed(workspace.root / "folds" / "folds.toml", settings.encode())
    return workspace


def _simulated(pack: Pack, scale: Scale, processes: int) -> None:
    """Make the scale's own pack where it is not there: the frozen sky that the committed figures rest on."""
    if pack.catalog.is_file():
        found = len(catalogs.read_catalog(pack.catalog))
        if found != scale.train:
            raise InputError(
                f"{pack.folder}: has {found} train objects, scale {scale.name} has {scale.train}. Delete the folder, "
                f"and {Path('paper', scale.name)}, to make them again."
            )
        return
    from lensfold.simulate import simulate_pack

    with progress(f"simulate {pack.name}") as report:
        simulate_pack(pack.folder, "challenge-1", scale.train, scale.test, 1, processes, report, False)


def _prepare(workspace: Workspace, pack: Pack, skip_bad: bool, processes: int) -> None:
    """Make the folds and both caches, where they are not of the files there are now."""
    for split, reason in find_stale(Work(workspace, pack)).items():
        print(f"cache {pack.name} {split} is built again: {reason}")
        discard_cache(workspace, pack, split)
    ensure_folds(workspace, pack)
    for split in ("train", "test"):
        cache_split_once(workspace, pack, split, skip_bad, processes)


def _networks() -> tuple[str, str, bool]:
    """Return Table 3's EfficientNet (B0 if its file is here), a larger one, and whether that has ImageNet weights."""
    start_tensorflow()
    from lensfold.models.pretrained import find_source

    def at_hand(name: str) -> bool:
        try:
            find_source(name, None)
        except InputError:
            return False
        return True

    first = "efficientnet_b0" if at_hand("efficientnet_b0") else "efficientnet_lite0"
    larger = next((name for name in LARGER if at_hand(name)), None)
    return first, larger or LARGER[0], larger is not None


def _write_experiments(workspace: Workspace, experiments: dict[str, dict]) -> list[str]:
    """Write a TOML file for each, checked against the settings; return their names."""
    for name, content in experiments.items():
        validated(content, Experiment, workspace.experiment(name))
        write_if_changed(workspace.experiment(name), as_toml(content).encode())
    return list(experiments)


def as_toml(content: dict) -> str:
    """Return an experiment's plain values as TOML: numbers and strings first, then tables, then the stages."""
    single = [f"{key} = {json.dumps(value)}" for key, value in content.items() if not isinstance(value, dict | list)]
    parts = ["\n".join(single)] if single else []
    for key, value in content.items():
        for table in [value] if isinstance(value, dict) else value if isinstance(value, list) else []:
            head = f"[{key}]" if isinstance(value, dict) else f"[[{key}]]"
            parts.append("\n".join([head, *(f"{name} = {json.dumps(entry)}" for name, entry in table.items())]))
    return "\n\n".join(parts) + "\n"


def _entry(workspace: Workspace, pack: Pack) -> None:
    """Submit an entry: the test split, scored by the network of all lenses and the EfficientNet."""
    members = "".join(f'\n[[member]]\nexperiment = "{name}"\n' for name in ENTRY)
    settings = f'# The entry for the challenge.\ncombine = "logit-mean"\n{members}'
    write_if_changed(workspace.submission_settings("entry"), settings.encode())
    for name in ENTRY:
        predict_folds(workspace, pack, pack.name, name)
    submit(workspace, pack, pack.name, "entry")


def _draw(workspace: Workspace, pack: Pack, results: dict, labels: pd.Series, folder: Path) -> None:
    """Draw the figures, from the pack and the results."""
    curves = {"small-cnn": "table2-all-seed1", "efficientnet": "table3-efficientnet"}
    with open_album(workspace, pack, "train") as album:
        figures.pack_figures(album, folder)
    figures.run_figures(workspace, pack, curves, labels, results["task"], folder)
    heading = PlotHeading("kernel PCA", pack.name, "lenses > 150 px against no source", "fold 0", pack.is_simulated)
    figures.spectrum_figure(results["spectra"], heading, folder / "spectrum.png")


def _measure(workspace: Workspace, pack: Pack, scale: Scale, networks: tuple, labels: pd.Series) -> dict:
    """Return every number of the page."""
    catalog = catalogs.read_catalog(pack.catalog)
    kernels = list(plan.table1(scale))
    known = {
        name: measures.task_scores(workspace, pack, name, labels, ranked=name in kernels)
        for name in plan.experiments(scale, *networks)
    }
    return {
        "scale": scale.name,
        "says": scale.says,
        "pack": pack.name,
        "synthetic": pack.is_simulated,
        "objects": len(catalog),
        "task_objects": len(labels),
        "folds": scale.folds,
        "seeds": len(scale.seeds),
        "epochs": scale.epochs,
        "pixels": scale.crop // scale.bin,
        "kernel_objects": measures.trained_objects(workspace, pack, kernels),
        "efficientnet": networks[0],
        "larger": networks[1],
        "larger_weights": networks[2],
        "task": known,
        "spectra": _spectra(workspace, pack),
        "table2": _table2(workspace, pack, scale, labels, known),
        "rule": {name: measures.rule_scores(workspace, pack, name, catalog) for name in RULE_RUNS},
        "gains": _gains(workspace, pack, labels),
        "layers": _layers(scale, networks[0]),
        "grade": measures.entry_grade(workspace, pack) if pack.key.is_file() else None,
    }


def _spectra(workspace: Workspace, pack: Pack) -> dict[str, list[float]]:
    return {
        f"{source}, {kernel}": measures.eigenvalues(workspace, pack, f"table1-{source}-pca-{kernel}-none")
        for source in ("pixels", "embeddings")
        for kernel in plan.KERNELS
    }


def _table2(workspace: Workspace, pack: Pack, scale: Scale, labels: pd.Series, known: dict) -> dict[str, dict]:
    """Return each step's scores over the seeds, and what it gains over none."""
    rows = {}
    for step in plan.PREPROCESSING:
        runs = [f"table2-{step.replace(' ', '-')}-seed{seed}" for seed in scale.seeds]
        base = [f"table2-none-seed{seed}" for seed in scale.seeds]
        pairs = list(zip(base, runs, strict=True))
        gain = None if step == "none" else measures.improvement(workspace, pack, pairs, labels)
        rows[step] = {**measures.seeds_together([known[run] for run in runs]), "gain": gain}
    return rows


def _gains(workspace: Workspace, pack: Pack, labels: pd.Series) -> dict[str, dict]:
    """Return what one run gains over another on the paper's task, in AUC."""
    return {
        f"{first} → {second}": measures.improvement(workspace, pack, [(first, second)], labels, "auc")
        for first, second in COMPARED
    }


def _layers(scale: Scale, efficientnet: str) -> dict[str, object]:
    """Return figures 7 and 8: layers with output shapes and parameters."""
    from lensfold.models import build_model, layer_table

    side = scale.crop // scale.bin
    small = layer_table(build_model("paper_cnn", side, 2))
    whole = layer_table(build_model(efficientnet, side, 3, dense=(32, 16)))
    head = [row for row in whole if row[0].startswith("head_")]
    body = sum(parameters for name, _, parameters in whole if not name.startswith("head_"))
    return {"small_cnn": small, "efficientnet_head": head, "efficientnet_body_parameters": body}
