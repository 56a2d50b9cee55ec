"""Members become a submission: learnt or fixed weights, the challenge CSVs, their manifest, and the scores shown."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from lensfold.config import CHALLENGE_BETA_SQUARED, PREVALENCE, SubmissionSettings, Task
from lensfold.data import catalog as catalogs
from lensfold.data.cache import read_manifest
from lensfold.data.folds import is_undivided
from lensfold.ensemble.build import Ensemble, TrainingData, build_ensemble, recipe_of, without_each
from lensfold.ensemble.combine import Combiner, Recipe
from lensfold.ensemble.members import check_common_folds, check_task
from lensfold.errors import InputError
from lensfold.files import sealed, write_json
from lensfold.leaderboard.history import ENSEMBLE, append_history
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cascade import cascaded_ensemble, cascaded_test
from lensfold.pipeline.predict import run_predictions, selection
from lensfold.pipeline.results.score import check_current, run_scores
from lensfold.runs.cascade import Selection
from lensfold.runs.predictions import mean_logits
from lensfold.runs.run import Run, aligned
from lensfold.scoring.curves import cuts, reliability
from lensfold.scoring.metrics import brier
from lensfold.scoring.out_of_fold import drawn_haloes, lens_task, score_oof
from lensfold.scoring.radius import radii_of_logs
from lensfold.scoring.score_table import paired_auc, paired_table
from lensfold.submission.csv_file import read_submission, write_submission
from lensfold.submission.expected_ids import split_ids
from lensfold.submission.identity import submission_identity, training_pack
from lensfold.submission.manifest import made_with, origin
from lensfold.submission.settings import read_submission_settings

#: logits that the manifest says of how many objects pass them
PASSING = 100


def submit(
    workspace: Workspace, pack: Pack, trained_on: str, name: str, beta_squared: float = CHALLENGE_BETA_SQUARED
) -> dict:
    """Combine the members' predictions into the challenge CSV, validate it, write its manifest and return that.

    Where the settings name runs of Einstein radii, these go into a second file, ``<name>_radius.csv``, the same way.
    """
    identity = submission_identity(workspace, pack, trained_on, name, beta_squared)
    settings = read_submission_settings(workspace, name, trained_on)
    recipe, training = recipe_of(settings), training_pack(workspace, pack, trained_on)
    source = TrainingData.of(workspace, training)
    members = [Run(workspace.run(trained_on, m.experiment), m.weight) for m in settings.member]
    chosen = selection(workspace, pack, trained_on, settings.cascade) if settings.cascade else None
    test = _test_logits(workspace, pack, members, "lens", chosen)
    ensemble, rows = _judged(source, members, recipe, beta_squared)
    undivided = members[0].is_undivided
    if recipe.learns and (undivided or ensemble is None):
        raise _nothing_to_learn(workspace, training, name, undivided)
    combiner = ensemble.combiner if ensemble else Combiner(recipe.how, recipe.weights)
    logits = pd.Series(combiner.apply(test.to_numpy()), index=test.index, name="logit")
    cascade: dict | None = None
    shown = ensemble
    if chosen:
        made = cascaded_test(chosen, logits)
        logits, cascade = made.logits, {**made.record, "measured": None}
        if source and ensemble:
            shown, cascade["measured"] = cascaded_ensemble(source, chosen, ensemble, made.share)
            rows = [*rows[:-1], {**rows[-1], "name": shown.name, **_scored(source, shown, beta_squared)}]
    held_out = _held_out(workspace, pack, training, shown, source)
    logits.update(held_out)
    radii = _test_radii(workspace, pack, training, source, name, settings.radius) if settings.radius else None
    cached = read_manifest(workspace.cache(pack, "test"))
    targets = [workspace.submission(pack, file) for file in (name, f"{name}_radius")]
    summary, second = _write_files(targets, settings, split_ids(pack, cached), logits, radii)
    record = None
    if source and ensemble and shown:
        record = _ensemble_record(source, ensemble, recipe, rows)
        record["against_best"] = _against_best(source, shown, rows, beta_squared) if len(members) > 1 else None
    content = {
        "submission": name,
        "pack": pack.name,
        "trained_on": trained_on,
        "made_from": identity,
        "settings": settings.model_dump(mode="json", exclude_none=True),
        **_origin(workspace, pack, _weighted(members, combiner), chosen),
        "ensemble": record,
        **made_with(workspace, name, training, cached),
        "refused": _refused_scores(targets[0], settings.header, cached["refused"]),
        "out_of_fold": 0 if undivided else len(held_out),
        "undivided": len(held_out) if undivided else None,
        "scores": rows,
        "radius": second,
        "cascade": cascade,
        **summary,
    }
    write_json(targets[0].with_suffix(".json"), sealed(content))
    _keep_history(workspace, training, name, content)
    return content


def _nothing_to_learn(workspace: Workspace, training: Pack, name: str, undivided: bool) -> InputError:
    """Return why no weights and no calibration can be learnt: there are no folds, or their files are absent."""
    path, remedy = workspace.submission_settings(name), 'combine = "logit-mean" and calibrate = "none"'
    if undivided:
        return InputError(
            f"{path}: weights or a calibration are learnt from what folds hold out, and {training.labels} has too few "
            f"of a class for folds. Write {remedy}, or submit one run by its name (SUBMISSION)."
        )
    return InputError(
        f"{path}: weights or a calibration cannot be learnt, because {training.catalog} or "
        f"{workspace.folds(training)} is absent. Put them back, or write {remedy}."
    )


def _held_out(
    workspace: Workspace, pack: Pack, training: Pack, ensemble: Ensemble | None, source: TrainingData | None
) -> pd.Series:
    """Return the logits, by ID, of the test objects that the networks were trained on: those of their held-out fold.

    No network and no weight of the ensemble that learnt from an object's label gives that object its score. NaN where
    there are no folds, and a network that did gives it. Empty where train and test split are not of one cache. Raises
    InputError where an object's own fold is not trained.
    """
    if workspace.cache(pack, "test") != workspace.cache(training, "train"):
        return pd.Series(dtype=np.float64)
    there = source.folds.index.intersection(pd.Index(sorted(source.present or ()))) if source else pd.Index([])
    if source and is_undivided(source.folds):
        return pd.Series(np.nan, there)
    remedy = f"Train all folds: make folds train PACK={training.name}."
    if ensemble is None or source is None:
        raise InputError(f"{workspace.folds(training)}: absent, and some of the objects were trained on. {remedy}")
    unheld = there.difference(ensemble.oof.index)
    if len(unheld):
        raise InputError(
            f"{pack.name}: {len(unheld)} labelled objects (first: ID {unheld[0]}) were trained on by all of the folds "
            f"that there are, and would get a score from networks that know their label. {remedy}"
        )
    return ensemble.oof["logit"]


def _keep_history(workspace: Workspace, pack: Pack, name: str, content: dict) -> None:
    """Add a line for each ensemble to the history of the pack that it was trained on, by the name of its file."""
    lenses = content["scores"] if content["ensemble"] else []
    radii = content["radius"]["scores"] if content["radius"] else []
    for file, rows in ((name, lenses), (f"{name}_radius", radii)):
        if rows and str(rows[-1]["name"]).startswith("ensemble"):
            whole = {**rows[-1], "name": f"{ENSEMBLE}{file}"}
            append_history(workspace.submission(pack, "history"), whole, content["made_from"])


def _write_files(
    targets: Sequence[Path],
    settings: SubmissionSettings,
    expected_ids: Sequence[int],
    logits: pd.Series,
    radii: tuple[pd.Series, dict] | None,
) -> tuple[dict, dict | None]:
    """Write the scores and, where there are any, the radii; return what the manifest records of each file."""
    write = partial(
        write_submission,
        expected_ids=expected_ids,
        header=settings.header,
        absent=settings.absent,
        digits=settings.digits,
    )
    summary = write(targets[0], logits, score=settings.score)
    if radii is None:
        return summary, None
    values, origins = radii
    return summary, {"file": targets[1].name, **origins, **write(targets[1], values, score="radius")}


def _test_logits(
    workspace: Workspace, pack: Pack, members: Sequence[Run], task: Task, chosen: Selection | None = None
) -> pd.DataFrame:
    """The members' predictions of the test split, or what is ``chosen`` of it, a column each, by ID.

    Raises InputError unless they fit together, and with the run that chose.
    """
    runs = [*members, *([chosen.run] if chosen else [])]
    check_task(runs, task)
    check_common_folds(runs)
    made = [mean_logits(run_predictions(workspace, pack, member, chosen)) for member in members]
    return aligned(made, "ensemble")


def _origin(workspace: Workspace, pack: Pack, members: Sequence[Run], chosen: Selection | None = None) -> dict:
    files = [[one.target for one in run_predictions(workspace, pack, member, chosen)] for member in members]
    return origin(members, files)


def _judged(
    source: TrainingData | None, members: Sequence[Run], recipe: Recipe, beta_squared: float
) -> tuple[Ensemble | None, list[dict]]:
    """The ensemble and the out-of-fold scores of its members and, last, its own.

    Without the training pack's catalog and folds there is no ensemble, and members that were scored keep their rows.
    """
    if source is None:
        return None, [row for member in members if (row := member.kept_score(member.score_origin(None, None)))]
    for member in members:
        check_current(member, source.folds, source.catalog, source.folds_file, source.pack.catalog)
    if is_undivided(source.folds):  # nothing was held out
        return None, []
    ensemble = build_ensemble(source, members, recipe)
    rows = [_member_row(source, member, beta_squared) for member in members]
    together = {
        "name": ensemble.name,
        "pack": source.pack.name,
        "of_folds": int(source.folds.max()) + 1,
        **{key: sum(row[key] for row in rows) for key in ("seconds", "parameters")},
        **_scored(source, ensemble, beta_squared),
    }
    return ensemble, [*rows, together]


def _scored(source: TrainingData, ensemble: Ensemble, beta_squared: float) -> dict:
    return score_oof(source.catalog, ensemble.oof, ensemble.rule, ensemble.members[0].task, beta_squared)


def _member_row(source: TrainingData, member: Run, beta_squared: float) -> dict:
    """The member's kept score, or a new one where that was made from other logits, labels or beta²."""
    kept = member.kept_score(member.score_origin(source.catalog_sha256, beta_squared, PREVALENCE))
    return kept or run_scores(member, source.pack.name, source.catalog, source.folds, member.oof(), beta_squared)


def _ensemble_record(source: TrainingData, ensemble: Ensemble, recipe: Recipe, rows: Sequence[dict]) -> dict:
    """What the manifest records of the ensemble: weights of the test split and of each fold, and their worth."""
    names = [member.name for member in ensemble.members]
    return {
        "combine": recipe.how,
        "select_by": recipe.select_by if recipe.how == "greedy" else None,
        "calibrate": recipe.calibrate,
        "learnt_from": ensemble.nested.learnt_from,
        "test": _weights_record(ensemble.combiner, names),
        "by_fold": {str(fold): _weights_record(combiner, names) for fold, combiner in ensemble.nested.by_part.items()},
        "adds": _adds(source, ensemble, recipe, rows) if len(names) > 1 else [],
        "calibration": _calibration_record(source, ensemble),
        "passing": _passing(source, ensemble),
    }


def _passing(source: TrainingData, ensemble: Ensemble) -> dict:
    """How many lenses and non-lenses pass logits, out of fold: what the purity of a ranked list is learnt from."""
    asked = lens_task(source.catalog, ensemble.oof.index, ensemble.rule)
    return cuts(asked.labels, ensemble.oof.loc[asked.ids, "logit"], PASSING)


def _weights_record(combiner: Combiner, names: Sequence[str]) -> dict:
    calibration = {"slope": combiner.calibration.slope, "offset": combiner.calibration.offset}
    return {
        "weights": dict(zip(names, combiner.weights, strict=True)),
        "shares": dict(zip(names, combiner.shares, strict=True)),
        "offset": combiner.offset,
        "calibration": calibration,
    }


def _against_best(source: TrainingData, ensemble: Ensemble, rows: Sequence[dict], beta_squared: float) -> dict:
    """The paired difference of the ensemble to the member with the highest AUC."""
    best = int(np.argmax([row["auc"]["value"] for row in rows[:-1]]))
    best_oof = ensemble.members[best].oof()
    asked = lens_task(source.catalog, ensemble.oof.index, ensemble.rule)
    first, second = (tuple(oof.loc[asked.ids, key] for key in ("logit", "fold")) for oof in (best_oof, ensemble.oof))
    groups = drawn_haloes(asked.haloes)
    paired = paired_table(
        asked.labels, first, second, asked.bins, asked.large, groups=groups, beta_squared=beta_squared
    )
    return {"best": ensemble.members[best].name, **paired}


def _adds(source: TrainingData, ensemble: Ensemble, recipe: Recipe, rows: Sequence[dict]) -> list[dict]:
    """What each member adds to the AUC: the ensemble less the same recipe without it, paired; and its own AUC."""
    asked = lens_task(source.catalog, ensemble.oof.index, ensemble.rule)
    whole, groups = ensemble.oof.loc[asked.ids, "logit"], drawn_haloes(asked.haloes)
    rests = without_each(source, ensemble.members, recipe)
    return [
        {"name": row["name"], "own": row["auc"], **paired_auc(asked.labels, rest[asked.ids], whole, groups=groups)}
        for row, rest in zip(rows[:-1], rests, strict=True)
    ]


def _calibration_record(source: TrainingData, ensemble: Ensemble) -> dict:
    """Brier scores before and after calibration, and the reliability diagram after it, all out of fold."""
    labels = catalogs.labels(source.catalog, ensemble.rule).loc[ensemble.oof.index].to_numpy()
    kept = ~np.isnan(labels)
    before, after = (expit(logits[kept]) for logits in (ensemble.nested.uncalibrated, ensemble.nested.logits))
    return {
        "brier_uncalibrated": brier(labels[kept], before),
        "brier": brier(labels[kept], after),
        "reliability": reliability(labels[kept], after),
    }


def _test_radii(
    workspace: Workspace, pack: Pack, training: Pack, source: TrainingData | None, name: str, experiments: Sequence[str]
) -> tuple[pd.Series, dict]:
    """Einstein radii of the test split in arcsec by ID, and what the manifest records of them.

    The mean of log theta_E over networks and runs, and the factor that fits it to the lenses out of fold.
    """
    taken = workspace.submission_settings(f"{name}_radius")
    if taken.is_file():
        raise InputError(f"{taken}: its file is that of the Einstein radii of {name!r}. Give it another name.")
    members = [Run(workspace.run(training.name, experiment)) for experiment in experiments]
    recipe = Recipe("logit-mean", (1.0,) * len(members))
    logs, combiner = _test_logits(workspace, pack, members, "einstein-radius"), Combiner(recipe.how, recipe.weights)
    ensemble, rows = _judged(source, members, recipe, CHALLENGE_BETA_SQUARED)
    if ensemble is None and not (len(members) == 1 and rows):
        raise InputError(
            f"{members[0].folder}: the factor of its Einstein radii is unknown, because {training.catalog} or "
            f"{workspace.folds(training)} is absent. Put them back, or submit one run with its score.json."
        )
    whole = rows[-1]
    scored = {"factor": whole["factor"], "oof_mse": whole["mse"], "scores": rows}
    record = {**_origin(workspace, pack, _weighted(members, combiner)), **scored}
    radii = radii_of_logs(combiner.apply(logs.to_numpy())) * whole["factor"]
    return pd.Series(radii, index=logs.index), record


def _weighted(members: Sequence[Run], combiner: Combiner) -> list[Run]:
    """The members with the weights that combine the test split, learnt or given."""
    return [replace(member, weight=float(w)) for member, w in zip(members, combiner.weights, strict=True)]


def _refused_scores(target: Path, header: bool, reasons: dict[str, str]) -> dict[str, dict]:
    """The objects whose cutouts could not be used, each with the reason and the score it got (None without a row)."""
    written = read_submission(target, header=header)
    return {
        object_id: {"reason": reason, "score": float(written[int(object_id)]) if int(object_id) in written else None}
        for object_id, reason in reasons.items()
    }
