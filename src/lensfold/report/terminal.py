"""The tables that answer "how good is it": scores of runs, of ensembles, and of one run against another."""

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd

from lensfold.console import show_table, show_text
from lensfold.data import catalog as catalogs
from lensfold.ensemble.combine import equal_weights
from lensfold.runs.scores import NOTHING, SCORE_NAMES, interval_text, limits_text, score_text
from lensfold.runs.searcher import heading, numbers, searcher_of

Detail = Literal["usual", "full"]

#: scores of an ensemble beside those of its best member: the low-false-positive end too, because a mean can ruin it
_ENSEMBLE_SCORES = ("auc", "average_precision", "one_minus_f_beta", "tpr0", "tpr10", "auc_large")
#: scores that are shown with their interval in the first table
_WITH_LIMITS = ("auc", "auc_large", "mse", "mse_constant")
#: names of the quantities that lenses are binned by
_BINNED = {
    "size": "lens size in pixels",
    "radius": "Einstein radius in arcsec",
    "lens_magnitude": "magnitude of the lens galaxy",
    "source_magnitude": "magnitude of the source",
}


def show_scores(pack_name: str, rows: Sequence[dict], kind: str = "out-of-fold", detail: Detail = "usual") -> None:
    """Print one row a run, all of one task and rule, with 95 % bootstrap intervals; then the same by lens size.

    ``detail``: "usual" adds the readings of F_beta and what a searcher gets, "full" also bins of other quantities.
    """
    if not rows:
        print("No out-of-fold scores: the runs have no score.json here.")
    elif rows[0].get("task", "lens") == "einstein-radius":
        _show_radius_scores(pack_name, rows, kind)
    else:
        _show_lens_scores(pack_name, rows, kind)
        _show_readings(rows)
        _show_searchers(rows)
        for name in _BINNED if detail == "full" else ("size",):
            _show_bins(name, rows)
        if detail == "full":
            _show_draws(rows)
            _show_views(rows)


def show_classes(rates: pd.DataFrame) -> None:
    """Print which classes of galaxies are taken for lenses, from `false_positives` of scoring/classes.py."""
    cells = [
        [name, f"{row['n']:.0f}", f"{row['called']:.0f}", f"{row['rate']:.3f}", f"{row['low']:.3f}–{row['high']:.3f}"]
        for name, row in rates.iterrows()
    ]
    caption = "At the threshold that 5 % of all non-lenses pass; 95 % by Wilson's interval."
    columns = ("class", "non-lenses", "called lenses", "rate", "95 %")
    show_table("false positives by class of the central galaxy", columns, cells, caption)


def _show_lens_scores(pack_name: str, rows: Sequence[dict], kind: str) -> None:
    has_sizes = "auc_large" in rows[0]
    names = ("auc", "f1", "accuracy", "one_minus_f_beta", "tpr0", "tpr10", *(["auc_large"] if has_sizes else []))
    counts = ("n", "n > 150 px") if has_sizes else ("n",)
    columns = ("run", *(SCORE_NAMES[name].label for name in names), *counts, "folds", "time")
    cells = [
        [row["name"], *_scores(row, names), str(row["n"]), *_large_count(row), *_folds_and_time(row)] for row in rows
    ]
    title = f"{kind} scores · pack {pack_name} · rule {rows[0]['rule']}"
    caption = (
        f"Thresholds of F1, accuracy and 1 − F_beta come from {rows[0]['threshold_from']}; 95 % by bootstrap over "
        f"{rows[0]['bootstrap']['over']}. "
    )
    if has_sizes:
        caption += "> 150 px: the rule's lenses larger than 150 pixels against objects without a source."
    else:
        caption += "Nothing by lens size: the labels give none."
    show_table(title, columns, cells, caption)


def _large_count(row: dict) -> list[str]:
    return [str(row["auc_large"]["n"])] if "auc_large" in row else []


def _scores(row: dict, names: Sequence[str]) -> list[str]:
    """Scores with their digits; AUCs and squared errors with their intervals too."""
    write = {name: interval_text if name in _WITH_LIMITS else score_text for name in names}
    return [write[name](row[name], SCORE_NAMES[name].digits) for name in names]


def _show_readings(rows: Sequence[dict]) -> None:
    """Scores that depend on how F_beta is read, and those of whole rankings and of probabilities."""
    names = (
        *("average_precision", "recall", "one_minus_f_beta", "one_minus_f_beta_best", "one_minus_f_beta_corner"),
        *("one_minus_f_beta_half", "mean_fold_auc", "brier"),
    )
    caption = (
        f"1 − F_beta with beta² = {rows[0]['beta_squared']:g}: threshold from {rows[0]['threshold_from']}; the best "
        "one of the same objects (optimistic); the ROC point nearest to (0, 1), from other folds; 0.5 on the "
        "probability. Recall: at the threshold of F1."
    )
    # the readings of F_beta are close to each other
    digits = [SCORE_NAMES[name].digits + name.startswith("one_minus") for name in names]
    cells = [[row["name"], *(score_text(row[n], d) for n, d in zip(names, digits, strict=True))] for row in rows]
    columns = ("run", *(SCORE_NAMES[name].label for name in names))
    show_table("readings of F_beta, precision, probabilities", columns, cells, caption)


def _show_searchers(rows: Sequence[dict]) -> None:
    """What a searcher gets of each run, a column a run: the names of the numbers are long."""
    known = {row["name"]: searcher for row in rows if (searcher := searcher_of(row))}
    if known:
        columns = [numbers(searcher) for searcher in known.values()]
        cells = [
            [same[0][0], *(f"{value} ({limits})" if limits else value for _, value, limits in same)]
            for same in zip(*columns, strict=True)
        ]
        title = f"what a searcher gets {heading(list(known.values()))} (95 %)"
        show_table(title, ("", *known), cells, "≥, ≤ and < are limits: no false positive was left.")


def _show_bins(name: str, rows: Sequence[dict]) -> None:
    bins = []
    for row in (row for row in rows if f"auc_by_{name}" in row):
        cells = row[f"auc_by_{name}"]
        bins.append([row["name"], *(_bin(cell) for cell in cells)])
        bins.append(["  recall", *(score_text(cell["recall"]) for cell in cells)])
    if not bins:
        return
    title = f"AUC by {_BINNED[name]}: lenses of a bin (number) against all non-lenses; recall at the threshold of F1"
    show_table(title, ("run", *catalogs.BIN_NAMES[name]), bins)


def _show_draws(rows: Sequence[dict]) -> None:
    """The AUC's interval over objects and over haloes: objects that share a halo are not independent."""
    cells = [
        [row["name"], score_text(row["auc"]), *(limits_text(draws[kind]) or NOTHING for kind in ("objects", "haloes"))]
        for row in rows
        if (draws := row.get("auc_by_draws"))
    ]
    if cells:
        show_table("AUC by what the bootstrap draws", ("run", "AUC", "95 % over objects", "95 % over haloes"), cells)


def _show_views(rows: Sequence[dict]) -> None:
    """The AUC of one view beside that of the mean of eight, of the runs that kept both."""
    kept = {row["name"]: row["one_view"] for row in rows if row.get("one_view")}
    if kept:
        over = next(row["bootstrap"]["over"] for row in rows if row["name"] in kept)
        cells = [[name, *_difference_cells([paired], _difference_digits("auc"))] for name, paired in kept.items()]
        columns = ("run", "one view", "eight views", "difference", f"95 % over {over}", "above 0")
        show_table("AUC of one view, and of the mean over eight flips and rotations", columns, cells)


def show_ensemble(record: dict) -> None:
    """Print an ensemble's weights, where they come from, what its members add to it, and its calibration."""
    names = list(record["test"]["weights"])
    learnt = record["by_fold"]
    if len(names) > 1 or learnt:
        _show_weights(names, record)
    paired = record["against_best"]
    if paired:
        keys = [key for key in _ENSEMBLE_SCORES if key in paired]
        title = f"ensemble minus its best member, {paired['best']}, on the same objects"
        scores = {key: [paired[key]] for key in keys}
        _show_differences(title, paired["best"], "ensemble", scores, [paired["bootstrap"]])
        _show_adds(record.get("adds", []), paired["bootstrap"]["over"])
    if record["calibrate"] != "none":
        _show_reliability(record["calibration"])


def _show_adds(adds: Sequence[dict], over: str) -> None:
    """What each member adds: its own AUC, the ensemble's with and without it, paired."""
    if adds:
        digits = _difference_digits("auc")
        cells = [[part["name"], score_text(part["own"], digits), *_difference_cells([part], digits)] for part in adds]
        columns = ("member", "own AUC", "without it", "with it", "difference", f"95 % over {over}", "above 0")
        caption = "Without a member the others are combined in the same way, out of fold too."
        show_table("what each member adds to the ensemble's AUC", columns, cells, caption)


def _show_weights(names: Sequence[str], record: dict) -> None:
    parts = {"test split": record["test"], **{f"fold {fold}": part for fold, part in record["by_fold"].items()}}
    rows = [
        [name, *(f"{part['weights'][name]:.3f} ({part['shares'][name]:.0%})" for part in parts.values())]
        for name in names
    ]
    if record["combine"] == "stacking":
        rows.append(["  offset", *(f"{part['offset']:.3f}" for part in parts.values())])
    if record["calibrate"] != "none":
        for key, title in (("slope", "  slope of the calibration"), ("offset", "  offset of the calibration")):
            rows.append([title, *(f"{part['calibration'][key]:.3f}" for part in parts.values())])
    caption = ""
    if record["by_fold"]:
        caption = (
            f"Weights and calibration of a fold are learnt from {record['learnt_from']} and judged there; those of the "
            "test split from all."
        )
    alike = [title for title, part in parts.items() if _members_count_alike(record["combine"], part)]
    if alike:
        caption += f" No member ranks lenses above non-lenses, so that all count alike: {', '.join(alike)}."
    show_table(f"weights (shares) · {record['combine']}", ("member", *parts), rows, caption)


def _members_count_alike(combine: str, part: dict) -> bool:
    """Whether stacking fell back to equal weights (`ensemble.combine.stacking_weights`), as their values show."""
    weights = list(part["weights"].values())
    return combine == "stacking" and part["offset"] == 0 and weights == equal_weights(len(weights)).tolist()


def _show_reliability(record: dict) -> None:
    rows = [
        [
            f"{row['from']:.3f}–{row['to']:.3f}",
            str(row["n"]),
            f"{row['predicted']:.3f}",
            f"{row['observed']:.3f}",
            f"{row['low']:.3f}–{row['high']:.3f}",
        ]
        for row in record["reliability"]
    ]
    title = f"calibration out of fold: Brier score {record['brier']:.4f}, {record['brier_uncalibrated']:.4f} before"
    show_table(title, ("probability", "n", "mean", "share of lenses", "95 %"), rows)


def show_comparison(compared: dict) -> None:
    """Print two runs on the same objects: scores with their paired differences, size bins, and a plain sentence."""
    tables = compared["tables"]
    title = (
        f"{compared['second']} minus {compared['first']} · pack {compared['pack']} · rule {compared['rule']} · "
        f"{tables[0]['n']} objects, {tables[0]['n_lenses']} lenses"
    )
    scores = {key: [table[key] for table in tables] for key in SCORE_NAMES if key in tables[0]}
    bootstraps = [table["bootstrap"] for table in tables]
    _show_differences(title, "A", "B", scores, bootstraps)
    names = catalogs.BIN_NAMES["size"]
    bins = {
        f"{kind} {name} px ({cell['n']})": [
            table["auc_by_size"][i] if kind == "AUC" else table["auc_by_size"][i]["recall"] for table in tables
        ]
        for kind in ("AUC", "recall")
        for i, (name, cell) in enumerate(zip(names, tables[0].get("auc_by_size", ()), strict=False))
    }
    if bins:
        _show_differences("the same by lens size (lenses)", "A", "B", bins, bootstraps)
    for sentence in (f"A is {compared['first']}, B is {compared['second']}.", *compared["sentences"]):
        show_text(sentence)


def _show_differences(
    title: str, first: str, second: str, scores: Mapping[str, Sequence[dict]], bootstraps: Sequence[dict]
) -> None:
    """One row a score: both values, their difference with its error, and an interval for each kind of draw."""
    over = [bootstrap["over"] for bootstrap in bootstraps]
    columns = ["score", first, second, "difference", *(f"95 % over {kind}" for kind in over), "above 0"]
    rows = [[_label(key), *_difference_cells(parts, _difference_digits(key))] for key, parts in scores.items()]
    caption = (
        f"± is the standard error of {bootstraps[0]['draws']} paired bootstrap draws over {over[-1]}, above 0 the "
        "share of them. Of 1 − F_beta and the Brier score, less is better."
    )
    show_table(title, columns, rows, caption)


def _label(key: str) -> str:
    return SCORE_NAMES[key].label if key in SCORE_NAMES else key


def _difference_digits(key: str) -> int:
    return 1 + (SCORE_NAMES[key].digits if key in SCORE_NAMES else 3)


def _difference_cells(parts: Sequence[dict], digits: int) -> list[str]:
    """Both values, their difference, its interval by each kind of draw, and the share of draws above 0."""
    last = parts[-1]
    if last["value"] is None:
        return [NOTHING] * (4 + len(parts))
    error = "" if last["error"] is None else f" ± {last['error']:.{digits}f}"
    limits = [
        NOTHING if part["low"] is None else f"{part['low']:+.{digits}f} to {part['high']:+.{digits}f}" for part in parts
    ]
    values = [f"{last[which]:.{digits}f}" for which in ("first", "second")]
    above = NOTHING if last["above"] is None else f"{last['above']:.1%}"
    return [*values, f"{last['value']:+.{digits}f}{error}", *limits, above]


def _show_radius_scores(pack_name: str, rows: Sequence[dict], kind: str) -> None:
    names = ("mse", "mse_constant", "relative_rms")
    labels = [SCORE_NAMES[name].label for name in (*names, "median_error")]
    title = f"{kind} Einstein radii · pack {pack_name} · lenses of rule {rows[0]['rule']}"
    caption = (
        f"MSE in arcsec², median error in arcsec. The constant, a mean radius, comes from {rows[0]['fitted_on']}; "
        f"95 % by bootstrap over {rows[0]['bootstrap']['over']}."
    )
    if rows[0]["factor"] is not None:
        caption += (
            " A factor, also from there, turns the exp(mean log) of a fold into a mean radius; the one shown is of "
            "all lenses, for the test split."
        )
    cells = [
        [
            row["name"],
            *_scores(row, names),
            f"{row['median_error']:.3f}",
            NOTHING if row["factor"] is None else f"{row['factor']:.3f}",
            str(row["n"]),
            *_folds_and_time(row),
        ]
        for row in rows
    ]
    show_table(title, ("run", *labels, "factor", "lenses", "folds", "time"), cells, caption)
    bins = [[row["name"], *(_bin(cell, cell["constant"]) for cell in row["mse_by_size"])] for row in rows]
    title = "MSE by lens size in pixels, that of the constant behind the stroke (number)"
    show_table(title, ("run", *catalogs.SIZE_BIN_NAMES), bins)


def _folds_and_time(row: dict) -> tuple[str, str]:
    count, total = len(row["folds"]), row["of_folds"]
    return (
        f"{total}" if count == total else f"{count} of {total} folds",
        NOTHING if row["seconds"] is None else f"{row['seconds'] / 60:.1f} min",
    )


def _bin(cell: dict, constant: float | None = None) -> str:
    if cell["value"] is None:
        return NOTHING
    return f"{cell['value']:.3f}{'' if constant is None else f' / {constant:.3f}'} ({cell['n']})"
