"""The last thing a run prints: one table and one sentence that answer "how good, and is it better than before?"."""

import textwrap
from collections.abc import Sequence

from lensfold.console import show_table, width

#: widest table, in columns of the terminal
WIDEST = 100


def show_outcome(pack_name: str, rows: Sequence[dict], before: Sequence[float | None], simulated: bool) -> None:
    """Print the scores of runs and, last, of their ensemble, all of one task and rule.

    ``before``: the last earlier score of each, AUC or MSE, None where there is none.
    """
    if not rows:
        print("No out-of-fold scores: the runs have no score.json here.")
        return
    score = "mse" if rows[0].get("task", "lens") == "einstein-radius" else "auc"
    narrow = width() < WIDEST
    columns = ["run", *(_RADIUS if score == "mse" else _LENS_NARROW if narrow else _LENS), "n", "since last"]
    cells = [_cells(row, earlier, score, columns) for row, earlier in zip(rows, before, strict=True)]
    sky = "simulated" if simulated else "real"
    title = f"out of fold · pack {pack_name} ({sky}) · rule {rows[0]['rule']}"
    show_table(title, columns, cells, most=WIDEST)
    sentence = _sentence(rows[-1], before[-1], score, pack_name, simulated)
    print(textwrap.fill(sentence, min(width(), WIDEST), break_long_words=False, break_on_hyphens=False))


_LENS = ("AUC (95 %)", "> 150 px", "F1", "TPR10")
_LENS_NARROW = ("AUC (95 %)", "> 150 px")
_RADIUS = ("MSE (95 %)", "constant")


def _cells(row: dict, earlier: float | None, score: str, columns: Sequence[str]) -> list[object]:
    known = {
        "run": _name(row),
        "AUC (95 %)": _interval(row.get("auc")),
        "> 150 px": _number(row.get("auc_large")),
        "F1": _number(row.get("f1")),
        "TPR10": _number(row.get("tpr10")),
        "MSE (95 %)": _interval(row.get("mse")),
        "constant": _number(row.get("mse_constant")),
        "n": row["n"],
        "since last": _difference(row, earlier, score),
    }
    return [known[column] for column in columns]


def _name(row: dict) -> str:
    folds, of_folds = len(row["folds"]), row["of_folds"]
    return str(row["name"]) if folds >= of_folds else f"{row['name']} ({folds} of {of_folds} folds)"


def _number(score: dict | None) -> str:
    value = (score or {}).get("value")
    return "–" if value is None else f"{value:.3f}"


def _interval(score: dict | None) -> str:
    if not score or score.get("low") is None:
        return _number(score)
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def _difference(row: dict, earlier: float | None, score: str) -> str:
    value = row[score]["value"]
    return "first" if earlier is None or value is None else f"{value - earlier:+.3f}"


def _sentence(row: dict, earlier: float | None, score: str, pack_name: str, simulated: bool) -> str:
    """How good the last row is, on what, and whether it is better than its last score."""
    name = "MSE in arcsec²" if score == "mse" else "AUC"
    objects = f"{row['n']:,} {'simulated ' if simulated else ''}objects"
    start = f"{_name(row)}: {name} {_interval(row[score])} out of fold on {objects} of pack {pack_name}"
    value = row[score]["value"]
    if earlier is None or value is None:
        return f"{start}; there is no earlier score to compare it with."
    half = (row[score]["high"] - row[score]["low"]) / 2 if row[score].get("low") is not None else 0.0
    change = f"{value - earlier:+.3f} against its last score"
    if abs(value - earlier) <= half:
        return f"{start}, {change}: within its 95 % interval, so it may be chance (`lensfold compare` says more)."
    better = (value < earlier) == (score == "mse")
    return f"{start}, {change}: {'better' if better else 'worse'}, by more than its 95 % interval."
