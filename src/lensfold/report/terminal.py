"""The tables that answer "how good is it": scores of runs, of ensembles, and of one run against another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from lensfold.console import show_table
from lensfold.data import catalog as catalogs
from lensfold.data.folds import imbalance, strata_counts, strata_table
from lensfold.ensemble.combine import equal_weights

Detail = Literal["usual", "full"]

#: How a score is called in a table, and its digits.
NAMES = {
    "auc": ("AUC", 4),
    "mean_fold_auc": ("mean AUC of the folds", 4),
    "average_precision": ("average precision", 4),
    "f1": ("F1", 4),
    "accuracy": ("accuracy", 4),
    "one_minus_f_beta": ("1-F_beta", 5),
    "one_minus_f_beta_best": ("1-F_beta, best threshold", 5),
    "one_minus_f_beta_corner": ("1-F_beta, ROC corner", 5),
    "one_minus_f_beta_half": ("1-F_beta, p = 0.5", 5),
    "tpr0": ("TPR0", 4),
    "tpr10": ("TPR10", 4),
    "brier": ("Brier score", 4),
    "auc_large": ("> 150 px AUC", 4),
}
#: Of these the shares of ensembles are told: the low-false-positive end too, because a mean can destroy it.
_ENSEMBLE_SCORES = ("auc", "average_precision", "one_minus_f_beta", "tpr0", "tpr10", "auc_large")
#: How the quantities are called that lenses are binned by.
_BINNED = {
    "size": "lens size in pixels",
    "radius": "Einstein radius in arcsec",
    "lens_magnitude": "magnitude of the lens galaxy",
    "source_magnitude": "magnitude of the source",
}


def show_scores(pack_name: str, rows: Sequence[dict], kind: str = "out-of-fold", detail: Detail = "usual") -> None:
    """One row a run, all of one task and rule, with 95 % bootstrap intervals; then the same by lens size.

    ``detail``: "usual" adds the readings of F_beta, "full" also Einstein radius and magnitudes.
    """
    if not rows:
        print("No out-of-fold scores: the runs have no score.json here.")
    elif rows[0].get("task", "lens") == "einstein-radius":
        _show_radius_scores(pack_name, rows, kind)
    else:
        _show_lens_scores(pack_name, rows, kind)
        _show_readings(rows)
        for name in _BINNED if detail == "full" else ("size",):
            _show_bins(name, rows)
        if detail == "full":
            _show_draws(rows)


def _show_lens_scores(pack_name: str, rows: Sequence[dict], kind: str) -> None:
    columns = (
        "run",
        "AUC",
        "95 %",
        "F1",
        "accuracy",
        "1-F_beta",
        "TPR0",
        "TPR10",
        "n",
        "> 150 px AUC",
        "95 % ",
        "n ",
        "folds",
        "time",
    )
    title = f"{kind} scores · pack {pack_name} · rule {rows[0]['rule']}"
    caption = (
        f"Thresholds of F1, accuracy and 1-F_beta come from {rows[0]['threshold_from']}; 95 % by bootstrap over "
        f"{rows[0]['bootstrap']['over']}.\n> 150 px: the rule's lenses larger than 150 pixels against objects without "
        "a source."
    )
    show_table(title, columns, [_lens_row(row) for row in rows], caption)


def _show_readings(rows: Sequence[dict]) -> None:
    """Scores that depend on how F_beta is read, and those of whole rankings and of probabilities."""
    columns = (
        "run",
        "average precision",
        "recall",
        "1-F_beta",
        "best threshold",
        "ROC corner",
        "p = 0.5",
        "mean fold AUC",
        "Brier",
    )
    caption = (
        f"1-F_beta with beta² = {rows[0]['beta_squared']:g}: threshold from {rows[0]['threshold_from']}; the best one "
        "of the same objects (optimistic);\nthe ROC point nearest to (0, 1), from other folds; 0.5 on the probability. "
        "Recall: at the threshold of F1."
    )
    keys = ("average_precision", "recall", "one_minus_f_beta", "one_minus_f_beta_best", "one_minus_f_beta_corner")
    keys += ("one_minus_f_beta_half", "mean_fold_auc", "brier")
    digits = {key: 5 if key.startswith("one_minus") else 3 for key in keys}
    cells = [[row["name"], *(_number(row[key], digits[key]) for key in keys)] for row in rows]
    show_table("readings of F_beta, precision, probabilities", columns, cells, caption)


def _show_bins(name: str, rows: Sequence[dict]) -> None:
    bins = []
    for row in rows:
        cells = row[f"auc_by_{name}"]
        bins.append([row["name"], *(_bin(cell) for cell in cells)])
        bins.append(["  recall", *(_number(cell["recall"]) for cell in cells)])
    title = f"AUC by {_BINNED[name]}: lenses of a bin (number) against all non-lenses; recall at the threshold of F1"
    show_table(title, ("run", *catalogs.BIN_NAMES[name]), bins)


def _show_draws(rows: Sequence[dict]) -> None:
    """The AUC's interval over objects and over haloes: objects of one halo are not as good as as many haloes."""
    for row in rows:
        if told := row.get("auc_by_draws"):
            objects, haloes = (_limits(told[kind]) for kind in ("objects", "groups"))
            print(f"{row['name']}: AUC {_number(row['auc'])}, 95 % over objects {objects}, over haloes {haloes}")


def show_ensemble(record: dict) -> None:
    """Weights of an ensemble, where they come from, what it gains over its best member, and its calibration."""
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
    if record["calibrate"] != "none":
        _show_reliability(record["calibration"])


def _show_weights(names: Sequence[str], record: dict) -> None:
    told = {"test split": record["test"], **{f"fold {fold}": part for fold, part in record["by_fold"].items()}}
    rows = [
        [name, *(f"{part['weights'][name]:.3f} ({part['shares'][name]:.0%})" for part in told.values())]
        for name in names
    ]
    if record["combine"] == "stacking":
        rows.append(["  offset", *(f"{part['offset']:.3f}" for part in told.values())])
    if record["calibrate"] != "none":
        for key, title in (("slope", "  slope of the calibration"), ("offset", "  offset of the calibration")):
            rows.append([title, *(f"{part['calibration'][key]:.3f}" for part in told.values())])
    caption = ""
    if record["by_fold"]:
        caption = (
            f"Weights and calibration of a fold are learnt from {record['learnt_from']} and judged there; those of the "
            "test split from all."
        )
    alike = [title for title, part in told.items() if _members_count_alike(record["combine"], part)]
    if alike:
        caption += f" No member ranks lenses above non-lenses, so that all count alike: {', '.join(alike)}."
    show_table(f"weights (shares) · {record['combine']}", ("member", *told), rows, caption)


def _members_count_alike(combine: str, part: dict) -> bool:
    """Whether stacking fell back to equal weights (`stacking.stacking_weights`), which it says by their values."""
    weights = list(part["weights"].values())
    return combine == "stacking" and part["offset"] == 0 and weights == equal_weights(len(weights)).tolist()


def _show_reliability(record: dict) -> None:
    rows = [
        [f"{row['from']:.2f}–{row['to']:.2f}", str(row["n"])]
        + (
            [f"{row['predicted']:.3f}", f"{row['observed']:.3f}", f"{row['low']:.3f}–{row['high']:.3f}"]
            if row["n"]
            else ["–"] * 3
        )
        for row in record["reliability"]
    ]
    title = f"calibration out of fold: Brier score {record['brier']:.4f}, {record['brier_uncalibrated']:.4f} before"
    show_table(title, ("probability", "n", "mean", "share of lenses", "95 %"), rows)


def show_comparison(compared: dict) -> None:
    """Two runs on the same objects: every score with its paired difference, the size bins, and a plain sentence."""
    tables = compared["tables"]
    title = (
        f"{compared['second']} minus {compared['first']} · pack {compared['pack']} · rule {compared['rule']} · "
        f"{tables[0]['n']} objects, {tables[0]['n_lenses']} lenses"
    )
    scores = {key: [table[key] for table in tables] for key in NAMES if key in tables[0]}
    told = [table["bootstrap"] for table in tables]
    _show_differences(title, "A", "B", scores, told)
    names = catalogs.BIN_NAMES["size"]
    bins = {
        f"{kind} {name} px ({cell['n']})": [
            table["auc_by_size"][i] if kind == "AUC" else table["auc_by_size"][i]["recall"] for table in tables
        ]
        for kind in ("AUC", "recall")
        for i, (name, cell) in enumerate(zip(names, tables[0]["auc_by_size"], strict=True))
    }
    _show_differences("the same by lens size (lenses)", "A", "B", bins, told)
    print(f"A is {compared['first']}, B is {compared['second']}.")
    for sentence in compared["sentences"]:
        print(sentence)


def _show_differences(
    title: str, first: str, second: str, scores: dict[str, Sequence[dict]], bootstraps: Sequence[dict]
) -> None:
    """One row a score: both values, their difference with its error, and an interval for each kind of draw."""
    over = ["haloes" if bootstrap["over"] == "groups" else bootstrap["over"] for bootstrap in bootstraps]
    columns = ["score", first, second, "difference", *(f"95 % over {kind}" for kind in over), "above 0"]
    rows = []
    for key, told in scores.items():
        name, digits = NAMES.get(key, (key, 4))
        last = told[-1]
        if last["value"] is None:
            rows.append([name, *("–" for _ in columns[1:])])
            continue
        error = "" if last["error"] is None else f" ± {last['error']:.{digits}f}"
        limits = ["–" if t["low"] is None else f"{t['low']:+.{digits}f} to {t['high']:+.{digits}f}" for t in told]
        values = [f"{last[which]:.{digits}f}" for which in ("first", "second")]
        above = "–" if last["above"] is None else f"{last['above']:.1%}"
        rows.append([name, *values, f"{last['value']:+.{digits}f}{error}", *limits, above])
    caption = (
        f"± is the standard error of {bootstraps[0]['draws']} paired bootstrap draws over {over[-1]}, above 0 the "
        "share of them. Of 1-F_beta and the Brier score, less is better."
    )
    show_table(title, columns, rows, caption)


def _lens_row(row: dict) -> list[str]:
    large = row["auc_large"]
    return [
        row["name"],
        _number(row["auc"]),
        _limits(row["auc"]),
        _number(row["f1"]),
        _number(row["accuracy"]),
        _number(row["one_minus_f_beta"], 4),
        _number(row["tpr0"], 3),
        _number(row["tpr10"], 3),
        str(row["n"]),
        _number(large),
        _limits(large),
        str(large["n"]),
        *_folds_and_time(row),
    ]


def _show_radius_scores(pack_name: str, rows: Sequence[dict], kind: str) -> None:
    columns = (
        "run",
        "MSE",
        "95 %",
        "MSE of a constant",
        "95 % ",
        "relative rms",
        "median error",
        "factor",
        "lenses",
        "folds",
        "time",
    )
    title = f"{kind} Einstein radii · pack {pack_name} · lenses of rule {rows[0]['rule']}"
    caption = (
        f"MSE in arcsec², median error in arcsec. The constant, a mean radius, comes from {rows[0]['fitted_on']}; "
        f"95 % by bootstrap over {rows[0]['bootstrap']['over']}."
    )
    if rows[0]["factor"] is not None:
        caption += (
            "\nA factor, also from there, turns the exp(mean log) of a fold into a mean radius; the one shown is of "
            "all lenses, for the test split."
        )
    show_table(title, columns, [_radius_row(row) for row in rows], caption)
    bins = [[row["name"], *(_bin(cell, cell["constant"]) for cell in row["mse_by_size"])] for row in rows]
    show_table(
        "MSE by lens size in pixels, that of the constant behind the stroke (number)",
        ("run", *catalogs.SIZE_BIN_NAMES),
        bins,
    )


def _radius_row(row: dict) -> list[str]:
    return [
        row["name"],
        _number(row["mse"]),
        _limits(row["mse"]),
        _number(row["mse_constant"]),
        _limits(row["mse_constant"]),
        _number(row["relative_rms"]),
        f"{row['median_error']:.3f}",
        "–" if row["factor"] is None else f"{row['factor']:.3f}",
        str(row["n"]),
        *_folds_and_time(row),
    ]


def _folds_and_time(row: dict) -> tuple[str, str]:
    count, total = len(row["folds"]), row["of_folds"]
    return (
        f"{total}" if count == total else f"{count} of {total} folds",
        "–" if row["seconds"] is None else f"{row['seconds'] / 60:.1f} min",
    )


def _number(score: dict, digits: int = 3) -> str:
    return "–" if score["value"] is None else f"{score['value']:.{digits}f}"


def _limits(score: dict) -> str:
    return "–" if score["low"] is None else f"{score['low']:.3f}–{score['high']:.3f}"


def _bin(cell: dict, constant: float | None = None) -> str:
    if cell["value"] is None:
        return "–"
    return f"{cell['value']:.3f}{'' if constant is None else f' / {constant:.3f}'} ({cell['n']})"


def show_folds(pack_name: str, catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Per fold: objects, share of lenses under each rule, objects by lens size, and how haloes are shared."""
    rows = strata_table(catalog, folds)
    columns = ("fold", "n", *catalogs.LABEL_RULES, *catalogs.SIZE_BIN_NAMES, "largest halo", "shared haloes")
    cells = []
    for row in rows:
        shares = [("–" if row[rule] is None else f"{row[rule]:.3f}") for rule in catalogs.LABEL_RULES]
        counts = [row[name] for name in catalogs.SIZE_BIN_NAMES]
        cells.append(
            [row["fold"], row["n"], *shares, *counts, f"{row['largest_halo']:.3f}", f"{row['shared_haloes']:.3f}"]
        )
    show_table(f"folds · pack {pack_name} · share of lenses by rule, objects by lens size in pixels", columns, cells)
    told = imbalance(catalog, folds)
    if told:
        print(told)


def show_strata(catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Objects of each stratum in each fold, and what makes the folds unequal where something does."""
    counts = strata_counts(catalog, folds)
    names = ["lens size", "images", "source", *(f"fold {fold}" for fold in counts.columns), "all"]
    show_table("objects by stratum", names, [[*key, *row, sum(row)] for key, *row in counts.itertuples()])


def show_cache(pack_name: str, split: str, manifest: dict) -> None:
    """What a cache holds, and what was left out and why."""
    sigma = ", ".join(f"{band} {value:.3g}" for band, value in manifest["sigma"].items())
    print(
        f"cache {pack_name} {split}: {manifest['objects']} objects, {len(manifest['shards'])} shards; "
        f"background sigma {sigma}"
    )
    if manifest["repaired"]:
        pixels = sum(count for bands in manifest["repaired"].values() for count in bands.values())
        print(f"  mended {pixels} pixels of {len(manifest['repaired'])} objects (listed in the cache's manifest.json)")
    for object_id, reason in list(manifest["refused"].items())[:20]:
        print(f"  left out {object_id}: {reason}")
    if len(manifest["refused"]) > 20:
        print(f"  … {len(manifest['refused'])} left out in all; every one is in the cache's manifest.json")


def show_import(table: pd.DataFrame, out: Path, pictures: Sequence[Path]) -> None:
    """The objects of an import with their share of bad pixels, and where to go from there."""
    bad = [name for name in table.columns if name.startswith("bad_")]
    rows = [
        [row["ID"], row["file"], f"{row['ra']:.5f}", f"{row['dec']:.5f}", *(f"{row[name]:.2%}" for name in bad)]
        for _, row in table.head(20).iterrows()
    ]
    show_table(f"{len(table)} objects in {out}", ("ID", "file", "RA", "Dec", *(n.replace("_", " ") for n in bad)), rows)
    for picture in pictures:
        print(picture)
    print(f"Rank them with: make predict DATA={out} TRAINED=<pack you trained on>")


def show_verified(pack_name: str, split: str, problems: dict[str, str], rebuilt: bool) -> None:
    """Which shards are damaged, and what became of them."""
    for shard, problem in problems.items():
        print(f"{shard}: {problem}")
    if not problems:
        print(f"cache {pack_name} {split}: every shard is as it was written")
    elif rebuilt:
        print(f"cache {pack_name} {split}: {len(problems)} shards built again")
    else:
        print(f"cache {pack_name} {split}: {len(problems)} damaged shards; --rebuild builds them again, and only them")
