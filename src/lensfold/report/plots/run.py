"""Plots and numbers of a run's page, kept in the report and made again only when what they depend on changes."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from lensfold.files import digest, replacing
from lensfold.report.contents import (
    ShownRun,
    Truth,
    read_histories,
)
from lensfold.report.plots import scores as plots
from lensfold.report.plots.figure import PlotHeading, counts_text
from lensfold.report.plots.searcher import searcher_plot
from lensfold.runs.scores import limits_text
from lensfold.runs.searcher import searcher_of
from lensfold.scoring import curves as stats
from lensfold.scoring.metrics import auc
from lensfold.scoring.radius import cross_fitted_radii, fitting_parts, radii_of_logs

#: source files that decide what a run's plots and numbers look like
DECISIVE = (
    "report/plots/run.py",
    "report/plots/figure.py",
    "report/plots/scores.py",
    "report/plots/searcher.py",
    "report/contents.py",
    "scoring/checks.py",
    "scoring/curves.py",
    "scoring/metrics.py",
    "scoring/prevalence.py",
    "scoring/radius.py",
    "data/catalog.py",
)


@dataclass(frozen=True)
class RunPlots:
    """Plots as (path from the page, caption), and the cuts of a lens run (None of a run of Einstein radii)."""

    plots: list[tuple[str, str]]
    cuts: dict | None


def run_counts(run: ShownRun, radii: pd.DataFrame | None) -> str:
    """Return how many objects, lenses and folds the plots of a run are made from, as text."""
    if radii is not None:
        return counts_text(len(radii), None, run.folds, run.of_folds)
    labelled = run.labelled
    return counts_text(len(labelled), int(labelled["label"].sum()), run.folds, run.of_folds)


def run_radii(run: ShownRun, truth: Truth) -> pd.DataFrame:
    """Return true and predicted radii in arcsec, fold and size bin of the rule's lenses that have a radius, by ID."""
    lenses = run.table[run.table["label"] == 1]
    table = truth.objects.loc[lenses.index, ["theta_E", "bin"]].assign(fold=lenses["fold"], log=lenses["logit"])
    table = table[table["theta_E"].notna()]
    parts, _ = fitting_parts(table["fold"].to_numpy())
    table["predicted"] = cross_fitted_radii(table["theta_E"], radii_of_logs(table["log"]), parts)
    return table


@cache
def _code_version() -> str:
    """Return the SHA-256 (hex) of the files DECISIVE, read once."""
    folder = Path(__file__).parents[2]
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in DECISIVE)).hexdigest()


def run_plots(report: Path, truth: Truth, run: ShownRun, radii: pd.DataFrame | None) -> RunPlots:
    """Return plots and cuts of a run: the kept ones if made from the same inputs by the same code, else new ones.

    ``report``: the report's folder; ``radii``: those of `run_radii` for a run of Einstein radii, None for lenses.
    """
    folder = report / "plots" / run.name
    key = digest({"run": run.key, "catalog": truth.catalog_sha256, "folds": truth.folds_hash,
                  "code": _code_version(), "synthetic": truth.synthetic, "pack": truth.pack})  # fmt: skip
    kept = folder / "content.json"
    try:
        record = json.loads(kept.read_text())
        if record["key"] == key and all((folder / file).is_file() for file, _ in record["plots"]):
            return _content(run.name, record)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    written = _write_plots(folder, truth, run, radii)
    labelled = run.labelled
    record = {
        "key": key,
        "plots": written,
        "cuts": stats.cuts(labelled["label"], labelled["logit"]) if run.task == "lens" else None,
    }
    with replacing(kept) as temporary:
        temporary.write_text(json.dumps(record))
    return _content(run.name, record)


def _content(name: str, record: dict) -> RunPlots:
    """Return what ``content.json`` records, its plots as the page names them."""
    return RunPlots([(f"plots/{name}/{file}", caption) for file, caption in record["plots"]], record["cuts"])


def _write_plots(folder: Path, truth: Truth, run: ShownRun, radii: pd.DataFrame | None) -> list[tuple[str, str]]:
    """Write the plots of a run into ``folder``; return file name and caption of each."""
    heading = PlotHeading(run.name, truth.pack, run.rule, run_counts(run, radii), truth.synthetic)
    histories = read_histories(run.run)
    if radii is not None:
        true, predicted, sizes = (radii[name].to_numpy() for name in ("theta_E", "predicted", "bin"))
        return plots.write_radius_plots(folder, true, predicted, sizes, histories, heading)
    score = (run.score or {}).get("auc")
    labelled = run.labelled
    area = auc(labelled["label"], labelled["logit"])
    text = f"AUC {area:.3f}" + (f" ({limits_text(score)})" if score else "")
    written = plots.write_lens_plots(folder, labelled, truth.objects, histories, text, heading)
    if searcher := searcher_of(run.score or {}):
        searcher_plot(folder / "searcher.png", labelled, searcher, heading)
        written.append(("searcher.png", "Purity and completeness against objects inspected"))
    return written
