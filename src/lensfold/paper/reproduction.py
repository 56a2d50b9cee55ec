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
from lensfold.paper.results import TESTED, Packs, measured
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cache import cache_split_once
from lensfold.pipeline.configure import configure
from lensfold.pipeline.folds import ensure_folds
from lensfold.pipeline.look import open_album
from lensfold.pipeline.submit import submit
from lensfold.report.plots.figure import PlotHeading
from lensfold.simulate import simulate_pack

#: members of the entry: the networks of all lenses
ENTRY = ("later-falling-sizes", "later-efficientnet")
#: what stands for "a more advanced version of EfficientNet": the first of them with ImageNet weights here
LARGER = ("efficientnet_b2", "efficientnet_lite2", "efficientnet_lite1")


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
    workspace = _workspace(root, scale)
    packs = _own_packs(root, scale, processes) if own else Packs(*2 * (Workspace(root).pack(pack_name, data),))
    labels = {pack.name: measures.paper_task(catalogs.read_catalog(pack.catalog)) for pack in packs}
    for pack in dict.fromkeys(packs):
        _prepare(workspace, pack, skip_bad, processes)
    networks = _networks()
    on_task = plan.task_experiments(scale, *networks)
    on_whole = plan.whole_experiments(scale, networks[0])
    executor = Executor(processes=processes)
    _run(workspace, packs.task, on_task, () if measures.fresh_task(packs.task) is None else TESTED, executor)
    _run(workspace, packs.whole, on_whole, ENTRY, executor)
    _submit_entry(workspace, packs.whole)
    target = workspace.root if own else workspace.root / packs.task.name
    if own and scale.name != "smoke":
        target = root / "paper"
    results = measured(workspace, packs, scale, networks, labels)
    _draw(workspace, packs, results, labels, target / "figures")
    write_json(target / "results.json", results)
    write_if_changed(target / "README.md", page.render(results).encode())
    return target / "README.md"


def _run(
    workspace: Workspace, pack: Pack, experiments: dict[str, dict], predicted: tuple[str, ...], executor: Executor
) -> None:
    """Train what is not trained yet, and predict the test split with some of it."""
    names = _write_experiments(workspace, experiments)
    for name in names:
        configure(workspace, pack, name)
    print(f"paper, pack {pack.name}: {len(names)} experiments")
    run_needed(Work(workspace, pack, tuple(names), predicted), executor, brief=True)


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


def _own_packs(root: Path, scale: Scale, processes: int) -> Packs:
    """Return the scale's own packs, made where they are not there: the frozen sky that its figures rest on."""
    packs = Packs(*(Workspace(root).pack(f"paper-{scale.name}-{kind}") for kind in ("task", "all")))
    for pack, train, test in (
        (packs.task, scale.train, scale.test),
        (packs.whole, scale.whole_train, scale.whole_test),
    ):
        if pack.catalog.is_file():
            _check_count(pack, scale, train)
            continue
        with progress(f"simulate {pack.name}") as report:
            simulate_pack(pack.folder, "challenge-1", train, test, 1, processes, report, paper_task=pack is packs.task)
    return packs


def _check_count(pack: Pack, scale: Scale, train: int) -> None:
    """Raise InputError for a pack that an earlier version, or somebody, made with another number of objects."""
    found = len(catalogs.read_catalog(pack.catalog))
    if found != train:
        raise InputError(
            f"{pack.folder}: has {found} train objects, scale {scale.name} has {train}. Delete the folder, and "
            f"{Path('paper', scale.name)}, to make them again."
        )


def _prepare(workspace: Workspace, pack: Pack, skip_bad: bool, processes: int) -> None:
    """Make the folds and both caches, where they are not of the files there are now."""
    for split, reason in find_stale(Work(workspace, pack)).items():
        print(f"cache {pack.name} {split} is built again: {reason}")
        discard_cache(workspace, pack, split)
    ensure_folds(workspace, pack)
    for split in ("train", "test"):
        cache_split_once(workspace, pack, split, skip_bad, processes)


def _networks() -> tuple[str, str | None]:
    """Return Table 3's EfficientNet (B0 if its file is here), and a larger one that has ImageNet weights, or None."""
    start_tensorflow()
    from lensfold.models.start.pretrained import find_source

    def at_hand(name: str) -> bool:
        try:
            find_source(name, None)
        except InputError:
            return False
        return True

    first = "efficientnet_b0" if at_hand("efficientnet_b0") else "efficientnet_lite0"
    return first, next((name for name in LARGER if at_hand(name)), None)


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


def _submit_entry(workspace: Workspace, pack: Pack) -> None:
    """Submit an entry: the test split, scored by the networks of all lenses."""
    members = "".join(f'\n[[member]]\nexperiment = "{name}"\n' for name in ENTRY)
    settings = f'# The entry for the challenge.\ncombine = "logit-mean"\n{members}'
    write_if_changed(workspace.submission_settings("entry"), settings.encode())
    submit(workspace, pack, pack.name, "entry")


def _draw(workspace: Workspace, packs: Packs, results: dict, labels: dict[str, pd.Series], folder: Path) -> None:
    """Draw the figures, from the packs and the results."""
    with open_album(workspace, packs.whole, "train") as album:
        figures.pack_figures(album, folder)
    figures.run_figures(workspace, packs.task, labels[packs.task.name], results["task"], folder)
    heading = PlotHeading(
        "kernel PCA", packs.task.name, "lenses > 150 px against no source", "fold 0", packs.task.is_simulated
    )
    figures.spectrum_figure(results["spectra"], heading, folder / "spectrum.png")
