"""The paper's numbers, measured on runs: accuracy and AUC on its task, differences between steps, spectra."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import norm, t

from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.paper.plan import LARGE
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import Run
from lensfold.scoring.metrics import best_accuracy_threshold, cross_fitted_decisions, fold_ranks
from lensfold.scoring.out_of_fold import score_oof
from lensfold.scoring.score_table import paired_table, score_table
from lensfold.submission.csv_file import read_submission

RULE = "official-2020"
#: fewest objects of a class that the page is made from
LEAST = 20
#: keeps the drawing of the balanced objects apart from everything else that is random
BALANCE_PURPOSE = 0x70617065


def paper_task(catalog: pd.DataFrame) -> pd.Series:
    """Return labels of the paper's task by ID: lenses of more than 150 pixels (1), as many without a source (0).

    Of the larger class as many are drawn as the smaller has, the same for every run, as the paper loaded equal
    numbers of both.
    Raises InputError where a class has fewer than LEAST objects.
    """
    labels = catalogs.large_lens_labels(catalog, RULE, LARGE).dropna()
    labels = labels[catalogs.has_images(catalog).loc[labels.index]]
    lenses = int(labels.sum())
    smaller = min(lenses, len(labels) - lenses)
    if smaller < LEAST:
        raise InputError(
            f"{lenses} lenses of more than {LARGE} px and {len(labels) - lenses} objects without a source: the paper's "
            f"task needs {LEAST} of each. Choose a larger pack."
        )
    generator = np.random.default_rng([BALANCE_PURPOSE])
    kept = [generator.choice(np.sort(labels.index[labels == label]), smaller, replace=False) for label in (0.0, 1.0)]
    return labels.loc[np.sort(np.concatenate(kept))]


def fresh_task(pack: Pack) -> pd.Series | None:
    """Return labels of the paper's task of the test split by ID; None without a key, or where that has too few."""
    if not pack.key.is_file():
        return None
    try:
        return paper_task(catalogs.read_catalog(pack.key))
    except InputError:
        return None


def on_task(workspace: Workspace, pack: Pack, name: str, labels: pd.Series, ranked: bool = False) -> pd.DataFrame:
    """Return label, logit and fold of the task's objects that the run has, by ID, out of fold.

    ``right`` is 1.0 where the object is on the right side of the threshold most accurate on the other folds, else 0.0.
    ``ranked``: scores are ranks within their fold, for machines whose decisions have a scale of their own in each.
    """
    oof = Run(workspace.run(pack.name, name)).oof()
    common = labels.index.intersection(oof.index)
    table = pd.DataFrame({"label": labels[common], "logit": oof["logit"][common], "fold": oof["fold"][common]})
    if ranked:
        table["logit"] = logit(fold_ranks(table["logit"], table["fold"]))
    decided = cross_fitted_decisions(table["label"], table["logit"], table["fold"], best_accuracy_threshold)
    return table.assign(right=(decided == (table["label"] == 1)).astype(np.float64))


def on_test(workspace: Workspace, pack: Pack, name: str, labels: pd.Series, key: pd.Series) -> pd.DataFrame:
    """Return what `on_task` does of the test split, which no fold was trained on: ``key`` has its labels.

    The logit is the mean of the folds' networks, and the threshold the most accurate one on the train split.
    """
    known = on_task(workspace, pack, name, labels)
    threshold = best_accuracy_threshold(known["label"], known["logit"])
    values = Run(workspace.run(pack.name, name)).test_logits(pack.name)
    common = key.index.intersection(values.index)
    table = pd.DataFrame({"label": key[common], "logit": values[common], "fold": 0})
    return table.assign(right=((table["logit"] >= threshold) == (table["label"] == 1)).astype(np.float64))


def task_scores(table: pd.DataFrame) -> dict:
    """Return accuracy and AUC on the paper's task with their intervals, and n; ``table``: `on_task` or `on_test`."""
    scores = score_table(table["label"], table["logit"], table["fold"])
    value, error = _mean(table["right"].to_numpy(), table["label"])
    half = norm.ppf(0.975) * error
    return {
        "n": scores["n"],
        "accuracy": {"value": value, "low": value - half, "high": value + half},
        "auc": scores["auc"],
    }


def _mean(values: np.ndarray, labels: pd.Series) -> tuple[float, float]:
    """Return the mean over objects, and its standard error where the number of each class is given."""
    known = labels.to_numpy()
    variance = sum((known == label).sum() * values[known == label].var() for label in (0, 1))
    return float(values.mean()), float(np.sqrt(variance)) / len(values)


def trained_objects(workspace: Workspace, pack: Pack, names: Sequence[str]) -> int:
    """Return the most objects that a fold of these kernel machines was fitted to."""
    runs = [Run(workspace.run(pack.name, name)) for name in names]
    records = [run.record(fold) or {} for run in runs for fold in run.complete_folds]
    return max(record["objects"] for record in records)


def seeds_together(parts: Sequence[dict]) -> dict:
    """Return the mean of the scores, and of the intervals, of runs that differ only in their seed."""
    mean: dict[str, object] = {"n": parts[0]["n"], "seeds": len(parts)}
    for key in ("accuracy", "auc"):
        mean[key] = {limit: float(np.mean([part[key][limit] for part in parts])) for limit in ("value", "low", "high")}
    return mean


def improvement(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], score: str = "accuracy") -> dict:
    """Return what the second runs gain over the first ones, a pair for each seed: mean, and its 95 % limits.

    A run is its table, `on_task` or `on_test`. Two half-widths are added in squares: of the objects (normal, with the
    mean standard error of the paired differences: the same objects for every seed, so it does not shrink with them) and
    of the seeds (Student's t, with the standard error of their mean). Of a single seed the second is not known, and not
    in it.
    """
    differences, errors = [], []
    for one, two in pairs:
        if score == "accuracy":
            value, error = _mean((two["right"] - one["right"]).to_numpy(), one["label"])
        else:
            paired: dict = paired_table(
                one["label"], (one["logit"], one["fold"]), (two["logit"], two["fold"]), draws=300
            )
            value, error = paired[score]["value"], paired[score]["error"]
        differences.append(value)
        errors.append(error)
    mean, count = float(np.mean(differences)), len(differences)
    half = norm.ppf(0.975) * float(np.mean(errors))
    if count > 1:
        half = float(np.hypot(half, t.ppf(0.975, count - 1) * np.std(differences, ddof=1) / np.sqrt(count)))
    return {"n": len(pairs[0][0]), "value": mean, "low": mean - half, "high": mean + half, "seeds": count}


def learning(histories: Mapping[int, pd.DataFrame]) -> dict:
    """Return what the learning curves say: the held-out fold's AUC, one view, and the loss, as means over the folds.

    Both after half of the epochs, three quarters and all of them; ``rises``: of the AUC in the last quarter, by fold.
    """
    tables = list(histories.values())
    epochs = min(len(table) for table in tables)
    places = [max(1, round(epochs * share)) - 1 for share in (0.5, 0.75, 1.0)]
    auc, loss = (np.array([table[name].to_numpy()[places] for table in tables]) for name in ("valid_auc", "loss"))
    return {
        "epochs": epochs,
        "auc": auc.mean(axis=0).tolist(),
        "loss": loss.mean(axis=0).tolist(),
        "rises": (auc[:, 2] - auc[:, 1]).tolist(),
    }


def rule_scores(workspace: Workspace, pack: Pack, name: str, catalog: pd.DataFrame) -> dict:
    """Return AUC under the label rule, of all lenses and by lens size, with intervals, and the mean of the folds'."""
    scores = score_oof(catalog, Run(workspace.run(pack.name, name)).oof(), RULE)
    kept = ("n", "auc", "auc_large", "auc_by_size", "mean_fold_auc")
    return {name: scores[name] for name in kept}


def entry_grade(workspace: Workspace, pack: Pack) -> dict:
    """Return AUC of the entry on the key of a simulated pack's test split, all lenses and those of the paper's task."""
    submitted = read_submission(workspace.submission(pack, "entry"), header=False, score="probability")
    key = catalogs.read_catalog(pack.key)
    table = pd.DataFrame({"logit": submitted[submitted.index.isin(key.index)], "fold": 0})
    scores = score_oof(key, table, RULE, probabilities=True)
    return {"n": scores["n"], "auc": scores["auc"], "auc_large": scores["auc_large"]}


def eigenvalues(workspace: Workspace, pack: Pack, name: str) -> list[float]:
    """Return shares of the first ten eigenvalues of a kernel PCA in their sum, of the first fold."""
    table = pd.read_csv(workspace.run(pack.name, name) / "fold0" / "eigenvalues.csv")
    return table["share"].head(10).tolist()
