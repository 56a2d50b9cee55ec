"""Every number of the page, measured on the runs of both packs."""

from typing import NamedTuple

import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.paper import measures, plan
from lensfold.paper.plan import Scale
from lensfold.paths import Pack, Workspace
from lensfold.report.contents import read_histories
from lensfold.runs.run import Run

#: the networks of Table 3, which a fresh test judges too, and whose learning the page shows
TESTED = ("table3-small-cnn", "table3-fast-cnn", "table3-efficientnet")
#: runs on the whole population whose scores under the whole label rule, by lens size, the page shows
RULE_RUNS = (
    "later-everything",
    "later-restarts",
    "later-falling-sizes",
    "later-efficientnet",
    "scaling-pack-drop",
    "scaling-pack-negative",
    "scaling-image-drop",
    "scaling-image-negative",
)
#: pairs whose difference on the paper's task the page shows, second minus first: of the pack of the task …
COMPARED_ON_TASK = (
    ("table3-small-cnn", "table3-efficientnet"),
    ("table3-fast-cnn", "table3-efficientnet"),
    ("table3-efficientnet", "later-classifier"),
    ("table3-efficientnet", "later-larger"),
)
#: … and of the pack of the whole population
COMPARED_ON_WHOLE = (
    ("later-everything", "later-falling-sizes"),
    ("later-restarts", "later-falling-sizes"),
    ("later-falling-sizes", "later-efficientnet"),
    ("scaling-pack-drop", "scaling-pack-negative"),
    ("scaling-pack-drop", "scaling-image-drop"),
    ("scaling-pack-drop", "scaling-image-negative"),
)


class Packs(NamedTuple):
    """The pack of the paper's task, and that of the whole population; one pack twice where the user named one."""

    task: Pack
    whole: Pack


class _Runs:
    """The tables of the runs on one pack, on the paper's task."""

    def __init__(self, workspace: Workspace, pack: Pack, labels: pd.Series, names: list[str]):
        kernels = [name for name in names if name.startswith("table1-")]
        self.tables = {name: measures.on_task(workspace, pack, name, labels, ranked=name in kernels) for name in names}
        self.scores = {name: measures.task_scores(table) for name, table in self.tables.items()}

    def gains(self, pairs: tuple[tuple[str, str], ...]) -> dict[str, dict]:
        """Return what one run gains over another, in AUC; of runs that are there."""
        return {
            f"{first} → {second}": measures.improvement([(self.tables[first], self.tables[second])], "auc")
            for first, second in pairs
            if second in self.tables
        }


def measured(
    workspace: Workspace, packs: Packs, scale: Scale, networks: tuple[str, str | None], labels: dict[str, pd.Series]
) -> dict:
    """Return every number of the page. ``networks``: Table 3's EfficientNet and a larger one; ``labels``: by pack."""
    names = plan.task_experiments(scale, *networks), plan.whole_experiments(scale, networks[0])
    task, whole = (_Runs(workspace, pack, labels[pack.name], list(own)) for pack, own in zip(packs, names, strict=True))
    catalog, population = (catalogs.read_catalog(pack.catalog) for pack in packs)
    kernels = list(plan.table1(scale))
    return {
        "scale": scale.name,
        "says": scale.says,
        "task_pack": packs.task.name,
        "whole_pack": packs.whole.name,
        "synthetic": packs.task.is_simulated,
        "objects": len(population),
        "task_objects": len(labels[packs.task.name]),
        "whole_task_objects": len(labels[packs.whole.name]),
        "folds": scale.folds,
        "seeds": len(scale.seeds),
        "step_epochs": scale.step_epochs,
        "step_pixels": scale.step_crop // scale.bin,
        "pixels": scale.crop // scale.bin,
        "kernel_objects": measures.trained_objects(workspace, packs.task, kernels),
        "efficientnet": networks[0],
        "larger": networks[1],
        "task": task.scores | whole.scores,
        "spectra": _spectra(workspace, packs.task),
        "table2": _table2(scale, task),
        "fresh": _fresh(workspace, packs.task, labels[packs.task.name]),
        "wins": _wins(task),
        "learning": {
            name: measures.learning(read_histories(Run(workspace.run(packs.task.name, name)))) for name in TESTED
        },
        "rule": {name: measures.rule_scores(workspace, packs.task, name, catalog) for name in TESTED}
        | {name: measures.rule_scores(workspace, packs.whole, name, population) for name in RULE_RUNS},
        "gains": task.gains(COMPARED_ON_TASK) | whole.gains(COMPARED_ON_WHOLE),
        "layers": _layers(scale, networks[0]),
        "grade": measures.entry_grade(workspace, packs.whole) if packs.whole.key.is_file() else None,
    }


def _spectra(workspace: Workspace, pack: Pack) -> dict[str, list[float]]:
    return {
        f"{source}, {kernel}": measures.eigenvalues(workspace, pack, f"table1-{source}-pca-{kernel}-none")
        for source in ("pixels", "embeddings")
        for kernel in plan.KERNELS
    }


def _table2(scale: Scale, runs: _Runs) -> dict[str, dict]:
    """Return each step's scores over the seeds, and what it gains over none."""
    rows = {}
    for step in plan.PREPROCESSING:
        names = [f"table2-{step.replace(' ', '-')}-seed{seed}" for seed in scale.seeds]
        base = [f"table2-none-seed{seed}" for seed in scale.seeds]
        pairs = [(runs.tables[one], runs.tables[two]) for one, two in zip(base, names, strict=True)]
        gain = None if step == "none" else measures.improvement(pairs)
        rows[step] = {**measures.seeds_together([runs.scores[name] for name in names]), "gain": gain}
    return rows


def _wins(runs: _Runs) -> dict[str, dict]:
    """Return what the EfficientNet gains over the paper's small CNN out of fold, in each score."""
    pair = (runs.tables["table3-small-cnn"], runs.tables["table3-efficientnet"])
    return {score: measures.improvement([pair], score) for score in ("auc", "accuracy")}


def _fresh(workspace: Workspace, pack: Pack, labels: pd.Series) -> dict | None:
    """Return scores of Table 3's networks on the test split, and the gain over the small CNN; None if it has none."""
    key = measures.fresh_task(pack)
    if key is None:
        return None
    tables = {name: measures.on_test(workspace, pack, name, labels, key) for name in TESTED}
    pair = (tables["table3-small-cnn"], tables["table3-efficientnet"])
    return {
        "task": {name: measures.task_scores(table) for name, table in tables.items()},
        "wins": {score: measures.improvement([pair], score) for score in ("auc", "accuracy")},
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
