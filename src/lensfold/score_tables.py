"""The tables that answer "how good is it": scores of runs that find lenses, and of runs that predict Einstein radii."""

from collections.abc import Sequence

from lensfold import catalog as catalogs
from lensfold.console import show_table


def show_scores(pack_name: str, rows: Sequence[dict], kind: str = "out-of-fold") -> None:
    """One row a run, all of one task and rule, with 95 % bootstrap intervals; then the same by lens size."""
    if not rows:
        print("No out-of-fold scores: the runs have no score.json here.")
    elif rows[0].get("task", "lens") == "einstein-radius":
        _show_radius_scores(pack_name, rows, kind)
    else:
        _show_lens_scores(pack_name, rows, kind)


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
    bins = [[row["name"], *(_bin(cell) for cell in row["auc_by_size"])] for row in rows]
    show_table(
        "AUC by lens size in pixels: the lenses of a bin (number) against all non-lenses",
        ("run", *catalogs.SIZE_BIN_NAMES),
        bins,
    )


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
