"""Score runs out of fold, and submissions against the key of a simulated pack."""

from pathlib import Path

import pandas as pd

from lensfold.config import CHALLENGE_BETA_SQUARED, PREVALENCE
from lensfold.data import catalog as catalogs
from lensfold.data.cache import cached_ids, read_manifest
from lensfold.data.folds import folds_hash, read_folds
from lensfold.ensemble.members import check_oof
from lensfold.errors import InputError
from lensfold.files import file_sha256, replacing, sealed, write_json
from lensfold.leaderboard.history import append_history
from lensfold.paths import Pack, Workspace
from lensfold.report.terminal import show_classes, show_scores
from lensfold.runs.run import Run
from lensfold.scoring.classes import false_positives, read_classes
from lensfold.scoring.out_of_fold import score_oof, score_radii
from lensfold.submission.csv_file import read_submission
from lensfold.submission.finding import ScoreKind
from lensfold.submission.manifest import read_submission_manifest


def score_run(
    workspace: Workspace,
    pack: Pack,
    experiment: str,
    beta_squared: float = CHALLENGE_BETA_SQUARED,
    prevalence: float = PREVALENCE,
) -> dict:
    """Score a run's complete folds, keep the result in ``score.json`` and the pack's history, and return it.

    Of a run without folds it has no score, and stands in no history.
    """
    run = Run(workspace.run(pack.name, experiment))
    run.check_pack()
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    check_current(run, folds, catalog, workspace.folds(pack), pack.catalog)
    made_from = run.score_origin(file_sha256(pack.catalog), beta_squared, prevalence)
    if run.is_undivided:
        nothing = _whole(run, pack.name, folds) | {"n": 0, "folds": [0], "undivided": True, "made_from": made_from}
        write_json(run.folder / "score.json", sealed(nothing))
        return nothing
    oof = run.oof()
    check_oof(run, oof, folds, cached_ids(read_manifest(workspace.cache(pack, "train"))))
    scores = run_scores(run, pack.name, catalog, folds, oof, beta_squared, prevalence)
    scores["made_from"] = made_from
    with replacing(run.folder / "oof.csv") as temporary:
        oof["logit"].to_csv(temporary)
    scores["logits"] = file_sha256(run.folder / "oof.csv")
    write_json(run.folder / "score.json", sealed(scores))
    append_history(workspace.submission(pack, "history"), scores, run.identity)
    return scores


def run_scores(
    run: Run,
    pack_name: str,
    catalog: pd.DataFrame,
    folds: pd.Series,
    oof: pd.DataFrame,
    beta_squared: float,
    prevalence: float = PREVALENCE,
) -> dict:
    """Return the row of a run: its name and cost, and every score of its out-of-fold logits."""
    scores = score_oof(catalog, oof, run.label_rule, run.task, beta_squared, prevalence=prevalence)
    return _whole(run, pack_name, folds) | scores


def _whole(run: Run, pack_name: str, folds: pd.Series) -> dict:
    """Return the name of a run, what it learnt and its cost."""
    records = [_record(run, fold) for fold in run.complete_folds]
    if not records:
        raise run.no_fold()
    return {
        "name": run.name,
        "pack": pack_name,
        "task": run.task,
        "rule": run.label_rule,
        "of_folds": int(folds.max()) + 1,
        "seconds": sum(record["seconds"] for record in records),
        "parameters": records[0]["parameters"],
    }


def _record(run: Run, fold: int) -> dict:
    record = run.record(fold)
    if record is None or not {"seconds", "parameters"} <= record.keys():
        raise InputError(
            f"{run.fold_folder(fold) / 'run.json'}: absent, or not as training wrote it. Train the fold again: make "
            f"train EXPERIMENT={run.name}."
        )
    return record


def check_current(run: Run, folds: pd.Series, catalog: pd.DataFrame, folds_file: Path, catalog_file: Path) -> None:
    """Raise InputError unless a run was trained on these folds and labels, read from these files."""
    _check_trained_on(run, "folds", folds_file, run.config["folds_hash"], folds_hash(folds))
    check_labels(run, catalog, catalog_file)


def check_labels(run: Run, catalog: pd.DataFrame, catalog_file: Path) -> None:
    """Raise InputError unless a run was trained on the labels of this catalog, read from this file."""
    expected = catalogs.training_hash(catalog, run.label_rule, run.task)
    _check_trained_on(run, "labels", catalog_file, run.config["labels_hash"], expected)


def _check_trained_on(run: Run, what: str, path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise InputError(
            f"{run.folder}: trained on other {what} ({found[:12]}) than those of {path} ({expected[:12]}). "
            "Train it again."
        )


def grade_submission(
    workspace: Workspace,
    pack: Pack,
    name: str,
    beta_squared: float = CHALLENGE_BETA_SQUARED,
    prevalence: float = PREVALENCE,
) -> None:
    """Score the CSV against the key of a simulated pack; the rule is the one its members were trained under.

    The file of Einstein radii too, where the submission has one.
    """
    if pack.lacks_labels:
        raise InputError(f"{pack.folder}: there is no key to grade by. {pack.without_labels}")
    if not pack.key.is_file():
        raise InputError(f"{pack.key}: no key. Only simulated packs have one; the challenge's was never published.")
    target = workspace.submission(pack, name)
    manifest = read_submission_manifest(target)
    found = file_sha256(target) if target.is_file() else "no file"
    if found != manifest.sha256:
        raise InputError(
            f"{target}: is not the file that its manifest describes ({found[:12]}, expected {manifest.sha256[:12]}). "
            "Make it again: make predict."
        )
    header, second = manifest.settings["header"], manifest.radius
    key = catalogs.read_catalog(pack.key)
    # the key knows nothing of labels of the user's own
    rule = catalogs.DEFAULT_RULE if manifest.label_rule == catalogs.GIVEN else manifest.label_rule
    row = {"name": f"{name} on the test key", "pack": pack.name, "of_folds": 1, "seconds": None}
    table = _graded_rows(target, key, header, "probability")
    probabilities = manifest.settings.get("score", "probability") == "probability"
    scores = score_oof(key, table, rule, beta_squared=beta_squared, probabilities=probabilities, prevalence=prevalence)
    show_scores(pack.name, [{**row, **scores}], kind="test")
    if pack.classes.is_file():
        show_classes(false_positives(table["logit"], catalogs.labels(key, rule), read_classes(pack.classes)))
    if second:
        table = _graded_rows(workspace.submission(pack, f"{name}_radius"), key, header, "radius")
        scores = score_radii(key, table["logit"], table["fold"], second.label_rule, calibrate=False)
        show_scores(pack.name, [{**row, **scores}], kind="test")


def _graded_rows(path: Path, key: pd.DataFrame, header: bool, score: ScoreKind) -> pd.DataFrame:
    """What a file says of the objects of the key, as one fold."""
    submitted = read_submission(path, header=header, score=score)
    return pd.DataFrame({"logit": submitted[submitted.index.isin(key.index)], "fold": 0})
