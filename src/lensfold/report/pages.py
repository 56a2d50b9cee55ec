"""The report of a pack: a static folder of pages that opens from the disk, ``runs/<pack>/report/index.html``.

Each run has a page: learning curves, ROC, histograms, confusion by threshold, reliability, recall by size, and a
gallery of the objects it gets wrong. All links are relative and nothing is loaded from the internet. Plots and numbers
of a run are made again only when its out-of-fold logits, history, settings or this code change; pictures only when
pixels do.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

import lensfold
from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.files import write_if_changed
from lensfold.paths import Pack, Workspace
from lensfold.report import gallery as galleries
from lensfold.report.contents import (
    Refused,
    ShownRun,
    Truth,
    best_first,
    disagreements,
    read_run,
    read_truth,
    run_names,
)
from lensfold.report.explain import NETWORK
from lensfold.report.gallery import LISTS, Card, Picture
from lensfold.report.plots.run import run_counts, run_plots, run_radii
from lensfold.runs.scores import NOTHING, SCORE_NAMES, gain_text, limits_text, score_text
from lensfold.runs.searcher import heading, numbers, searcher_of

#: scores of a run's page, by task
NUMBERS = {
    "lens": ("auc", "f1", "accuracy", "average_precision", "one_minus_f_beta", "tpr0", "tpr10", "auc_large"),
    "einstein-radius": ("mse", "mse_constant", "relative_rms"),
}
Log = Callable[[str], None]


@dataclass(frozen=True)
class _Site:
    """Where a report is written and what every page of it knows."""

    folder: Path
    truth: Truth
    cache_folder: Path
    gallery: int
    environment: Environment

    def write(self, page: str, template: str, **values: object) -> None:
        """Write a page from its template; ``values`` are escaped, unless they are Markup."""
        text = self.environment.get_template(template).render(
            pack=self.truth.pack, synthetic=self.truth.synthetic, version=lensfold.__version__, **values
        )
        write_if_changed(self.folder / page, text.encode("utf-8"))


def write_report(
    workspace: Workspace,
    pack: Pack,
    runs: Sequence[str] = (),
    gallery: int = 200,
    leaderboard: str | None = None,
    log: Log = print,
) -> Path:
    """Write the report of a pack's runs, or of the chosen ones, and return the path of its first page.

    ``gallery``: the most objects of each list. ``leaderboard``: an HTML fragment for the first page, trusted as it
    is; its writer escapes. Runs that are half-written, or whose out-of-fold logits are not whole, are named with the
    reason, by ``log`` and on the page. Raises InputError where there is no run, catalog or folds file.
    """
    if gallery < 0:
        raise InputError(f"--gallery {gallery}: expected 0 or more objects a list.")
    if pack.lacks_labels:
        raise InputError(f"{pack.folder}: a report is of runs that were trained on a pack. {pack.without_labels}")
    names = run_names(workspace.runs(pack.name), runs)
    truth = read_truth(workspace, pack)
    found = [read_run(workspace.runs(pack.name) / name, truth) for name in names]
    shown = best_first([run for run in found if isinstance(run, ShownRun)])
    refused = [run for run in found if isinstance(run, Refused)]
    site = _Site(workspace.report(pack.name), truth, workspace.cache(pack, "train"), gallery, templates())
    for left in refused:
        log(f"{left.name}: {'skipped' if left.half_written else 'refused'}: {left.reason}")
        if _page(left.name) != "index.html":
            values = {"run": left.name, "reason": left.reason, "half_written": left.half_written}
            site.write(_page(left.name), "refused.html", **values)
    for run in shown:
        _write_run(site, run, shown)
        log(f"{site.folder / _page(run.name)}")
    _write_index(site, shown, refused, leaderboard)
    return site.folder / "index.html"


def templates() -> Environment:
    """Return the templates of pages, which escape all values and refuse unknown ones."""
    environment = Environment(
        loader=PackageLoader("lensfold", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["inlined"] = _inlined
    return environment


def _inlined(name: str) -> Markup:
    """Return a file of the templates as it is: with style and script inside, a page opens wherever it is put."""
    return Markup(resources.files("lensfold").joinpath("templates", name).read_text(encoding="utf-8"))


def _page(name: str) -> str:
    """Return the file name of a run's page."""
    return f"{name}.html"


def _write_index(site: _Site, runs: Sequence[ShownRun], refused: Sequence[Refused], leaderboard: str | None) -> None:
    left_out = [
        {"name": run.name, "reason": run.reason, "page": "#" if run.name == "index" else _page(run.name)}
        for run in refused
    ]
    site.write(
        "index.html",
        "index.html",
        objects=len(site.truth.catalog),
        of_folds=int(site.truth.folds.max()) + 1,
        leaderboard=None if leaderboard is None else Markup(leaderboard),
        rows=[_index_row(run) for run in runs],
        refused=left_out,
    )


def _index_row(run: ShownRun) -> dict[str, object]:
    """Return what the first page shows of a run."""
    key = "auc" if run.task == "lens" else "mse"
    name, score = SCORE_NAMES[key], (run.score or {}).get(key)
    value = score_text(score, name.digits + 1)
    return {
        "name": run.name,
        "page": _page(run.name),
        "task": run.task,
        "rule": run.rule,
        "folds": f"{len(run.folds)} of {run.of_folds}",
        "n": f"{len(run.labelled) if run.task == 'lens' else int((run.table['label'] == 1).sum()):,}",
        "score": value if value == NOTHING else f"{name.label} {value}",
        "limits": limits_text(score, name.digits + 1),
        "notes": run.notes,
    }


def _write_run(site: _Site, run: ShownRun, runs: Sequence[ShownRun]) -> None:
    """Write a run's page, with its plots and pictures."""
    radii = None if run.task == "lens" else run_radii(run, site.truth)
    content = run_plots(site.folder, site.truth, run, radii)
    lists, left_out = _lens_lists(site, run, runs) if radii is None else (_radius_lists(site, run, radii), {})
    ids = list(dict.fromkeys(card.id for part in lists for card in part["cards"]))
    network = run.run.learner
    site.write(
        _page(run.name),
        "run.html",
        run=run.name,
        task=run.task,
        rule=run.rule,
        counts=run_counts(run, radii),
        network=network,
        notes=run.notes,
        numbers=_numbers(run),
        views=_views(run),
        searcher=_searcher(run),
        threshold_from=(run.score or {}).get("threshold_from"),
        drawn=((run.score or {}).get("bootstrap") or {}).get("over", "objects"),
        plots=content.plots,
        cuts=content.cuts,
        lists=lists,
        pictures=_pictures(site, ids),
        explained=_explained(site, run, ids),
        filters=galleries.run_filters((part["key"] for part in lists), catalogs.has_sizes(site.truth.catalog)),
        left_out=left_out,
        settings=json.dumps(run.run.experiment, indent=1, sort_keys=True),
    )


def _numbers(run: ShownRun) -> list[tuple[str, str, str]]:
    """Return name, value and limits of the scores that ``score.json`` has; behind the AUC that of one view."""
    found = [(SCORE_NAMES[key], (run.score or {}).get(key)) for key in NUMBERS[run.task]]
    numbers = [
        (name.with_unit, score_text(score, name.digits), limits_text(score, name.digits))
        for name, score in found
        if score_text(score) != NOTHING
    ]
    paired = (run.score or {}).get("one_view")
    return [numbers[0], ("AUC of one view", f"{paired['first']:.3f}", ""), *numbers[1:]] if paired else numbers


def _views(run: ShownRun) -> str:
    """Return in words what eight views add to the AUC of one, or that one was not kept; "" where one is all."""
    if paired := (run.score or {}).get("one_view"):
        gain = gain_text(paired).replace("-", "−")
        return f"The AUC is that of the mean logit of eight flips and rotations, which adds {gain} to that of one view."
    averaged = run.task == "lens" and run.score and run.run.predict.get("d4_average")
    return "The logits of one view were not kept when it was trained." if averaged else ""


def _searcher(run: ShownRun) -> tuple[str, list[tuple[str, str, str]], int] | None:
    """Return what a searcher gets: what it is of, the numbers, and the test's non-lenses; None where no score says."""
    found = searcher_of(run.score or {})
    return (heading([found]), numbers(found), found.n_others) if found else None


# ---- the gallery


def _lens_lists(site: _Site, run: ShownRun, runs: Sequence[ShownRun]) -> tuple[list[dict], dict[str, str]]:
    """Return the lists of a lens run for the page, and the runs that its disagreements leave out, with why."""
    labelled, objects = run.labelled, site.truth.objects
    ids = galleries.lens_lists(labelled, objects, site.gallery)
    differing, left_out = disagreements(run, runs, site.gallery)
    notes = galleries.disagreement_notes(differing)
    ids["disagreements"] = differing.index.tolist()
    empty = {"disagreements": "No other run of this pack shares its folds, data and label rule."}
    lists = [
        _list(name, galleries.lens_cards(name, part, labelled, run.ranks, objects, {}), empty.get(name))
        for name, part in ids.items()
        if name != "disagreements"
    ]
    cards = galleries.lens_cards("disagreements", ids["disagreements"], labelled, run.ranks, objects, notes)
    return [*lists, _list("disagreements", cards, empty["disagreements"])], left_out


def _radius_lists(site: _Site, run: ShownRun, radii: pd.DataFrame) -> list[dict]:
    ids = galleries.worst_radii(radii["theta_E"], radii["predicted"], site.gallery)
    objects = site.truth.objects
    cards = galleries.radius_cards(ids, radii["theta_E"], radii["predicted"], run.table["fold"], objects)
    return [_list("worst", cards)]


def _list(name: str, cards: list[Card], empty: str | None = None) -> dict[str, object]:
    title, about = LISTS[name]
    return {"key": name, "title": title, "about": about, "cards": cards, "empty": empty or "There is none."}


def _pictures(site: _Site, ids: Sequence[int]) -> dict[int, Picture]:
    return galleries.write_pictures(site.folder / "images", site.cache_folder, ids)


def _explained(site: _Site, run: ShownRun, ids: Sequence[int]) -> dict[int, str]:
    """Return the paths, as the page names them, of these objects' pictures by `lensfold.report.explain`.

    Pictures of a network that was trained again since are left out.
    """
    found = {}
    for i in ids:
        source = run.run.folder / "explain" / f"{i}.png"
        if source.is_file() and _network_of(source) == run.run.marker(int(run.table["fold"][i])).get("network"):
            write_if_changed(site.folder / "explain" / run.name / source.name, source.read_bytes())
            found[i] = f"explain/{run.name}/{source.name}"
    return found


def _network_of(picture: Path) -> str | None:
    """Return the SHA-256 of the network that a PNG explains; None where it does not say, or is damaged."""
    try:
        with Image.open(picture) as image:
            return image.info.get(NETWORK)
    except (OSError, ValueError, SyntaxError):
        return None
