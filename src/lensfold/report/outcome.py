"""The last thing a run prints: one table, and two sentences: is it better than before, and what does a searcher get?"""

from collections.abc import Sequence

from lensfold.console import show_table, show_text, width
from lensfold.runs.scores import NOTHING, SCORE_NAMES, Score, interval_text, score_text
from lensfold.runs.searcher import searcher_of, sentence

#: widest table, in columns of the terminal
WIDEST = 100
#: scores beside the first one: on a wide terminal, and on one that is narrower than WIDEST
_LENS = ("auc_large", "f1", "tpr10")
_LENS_NARROW = ("auc_large",)
_RADIUS = ("mse_constant",)


def show_outcome(
    pack_name: str, rows: Sequence[dict], before: Sequence[Score | None], simulated: bool, kind: str = "out of fold"
) -> None:
    """Print the scores of runs and, last, of their ensemble, all of one task and rule.

    ``before``: the last other AUC or MSE of each, None where there is none. ``kind``: how the scores were made.
    """
    if not rows:
        print("No out-of-fold scores: the runs have no score.json here.")
        return
    key = "mse" if rows[0].get("task", "lens") == "einstein-radius" else "auc"
    wanted: tuple[str, ...] = _RADIUS if key == "mse" else _LENS_NARROW if width() < WIDEST else _LENS
    others = tuple(name for name in wanted if name in rows[0])
    first = f"{SCORE_NAMES[key].label} (95 % over {rows[0]['bootstrap']['over']})"
    columns = ["run", first, *(SCORE_NAMES[name].label for name in others), "n"]
    cells = [
        [
            _name(row),
            interval_text(row.get(key)),
            *(score_text(row.get(name)) for name in others),
            f"{row['n']:,}",
            _difference(row, earlier, key),
        ]
        for row, earlier in zip(rows, before, strict=True)
    ]
    sky = "SYNTHETIC" if simulated else "not simulated"
    title = f"{kind} · pack {pack_name} ({sky}) · rule {rows[0]['rule']}"
    show_table(title, [*columns, "since last"], cells, most=WIDEST)
    best = _best(rows, key)
    show_text(_sentence(rows[best], before[best], key, kind, simulated))
    if searcher := searcher_of(rows[best]):
        show_text(sentence(searcher))


def elsewhere(pack_name: str, trained_on: str, simulated: bool, scores: Sequence[Sequence[dict]], has_key: bool) -> str:
    """Return in words what is known of the scores that runs of another pack gave to a pack's objects.

    ``scores``: out-of-fold rows on the pack ``trained_on``, of each task; ``simulated``: whether that pack is;
    ``has_key``: whether the labels of the pack's own test split are kept apart for grading.
    """
    graded = f"`lensfold grade --pack {pack_name}` says" if has_key else "is not known: it has no labels"
    start = f"How good these scores are on {pack_name} {graded}. The networks learnt from {trained_on}"
    start += " (SYNTHETIC)" if simulated else ""
    known = " and ".join(_best_score(rows) for rows in scores if rows)
    if not known:
        return f"{start}, and their own scores are not at hand."
    return (
        f"{start}, and out of fold their {known} there. That is no score of {pack_name}, where they may do far worse: "
        "see docs/euclid.md#what-networks-learn-on-these-skies."
    )


def _best_score(rows: Sequence[dict]) -> str:
    key = "mse" if rows[0].get("task", "lens") == "einstein-radius" else "auc"
    name = SCORE_NAMES[key]
    return f"{name.label} is {interval_text(rows[_best(rows, key)][key])}{f' {name.unit}' if name.unit else ''}"


def _best(rows: Sequence[dict], key: str) -> int:
    """The row that the sentence is about: the ensemble's, or that of the run with the best score."""
    if _is_ensemble(rows[-1]):
        return len(rows) - 1
    sign = -1 if SCORE_NAMES[key].is_loss else 1
    values = [row[key]["value"] for row in rows]
    return max(range(len(rows)), key=lambda i: (values[i] is not None, sign * (values[i] or 0.0)))


def _is_ensemble(row: dict) -> bool:
    return str(row["name"]).startswith("ensemble")


def _name(row: dict) -> str:
    folds, of_folds = len(row["folds"]), row["of_folds"]
    return str(row["name"]) if folds >= of_folds else f"{row['name']} ({folds} of {of_folds} folds)"


def _difference(row: dict, earlier: Score | None, key: str) -> str:
    value = row[key]["value"]
    if value is None:
        return NOTHING
    return "first" if earlier is None or earlier.value is None else f"{value - earlier.value:+.3f}"


def _sentence(row: dict, earlier: Score | None, key: str, kind: str, simulated: bool) -> str:
    """How good the last row is, on what, and whether it is better than before."""
    subject = "The ensemble" if _is_ensemble(row) else _name(row)
    unit = f" {SCORE_NAMES[key].unit}" if SCORE_NAMES[key].unit else ""
    objects = f"{row['n']:,}{' simulated' if simulated else ''} {'lenses' if key == 'mse' else 'objects'}"
    value = row[key]["value"]
    if value is None:
        return f"{subject} has no {SCORE_NAMES[key].label} on {objects}: it is not defined there."
    start = f"{subject}'s {SCORE_NAMES[key].label} {kind} is {interval_text(row[key])}{unit} on {objects}"
    if earlier is None or earlier.value is None:
        return f"{start}; there is no earlier score of the same rule, objects and folds to compare it with."
    verdict = _verdict(Score.model_validate(row[key]), earlier, key)
    return f"{start}, {value - earlier.value:+.3f} against its last other score{verdict}"


def _verdict(now: Score, earlier: Score, key: str) -> str:
    """Whether a difference to an earlier score, of an interval of its own where that was kept, may be chance."""
    if now.low is None or now.high is None or now.value is None or earlier.value is None:
        return "."
    if now.value == earlier.value:
        return ": the same."
    if earlier.low is None or earlier.high is None:
        overlap, what = now.low <= earlier.value <= now.high, "that score is {}within the 95 % interval of this one"
        what = what.format("" if overlap else "not ")
    else:
        overlap = now.low <= earlier.high and earlier.low <= now.high
        what = f"the intervals {'overlap' if overlap else 'do not overlap'}"
    if overlap:
        return f"; {what}: may be chance."
    better = (now.value < earlier.value) == SCORE_NAMES[key].is_loss
    return f"; {what}: {'better' if better else 'worse'}, and hardly by chance."
