"""`lensfold explain-submission`: how a submission was made, and whether what is here would make it again."""

import json
from collections.abc import Iterator
from pathlib import Path

from lensfold.config import Experiment, StageSettings
from lensfold.console import show_table
from lensfold.paths import Workspace
from lensfold.runs.run import NO_SCORE, learner_of
from lensfold.runs.scores import SCORE_NAMES
from lensfold.submission.manifest import Manifest, MemberRecord, read_submission_manifest
from lensfold.submission.public_scores import known_submissions, read_public_scores

#: scores of the manifest that are shown, with one digit more than in tables, so that two makings can be compared
SHOWN_SCORES = ("auc", "f1", "accuracy", "one_minus_f_beta", "auc_large", "mse")


def explain(workspace: Workspace, submission: Path) -> Manifest:
    """Print how to make a submission again, from its manifest; return that.

    Raises InputError where the manifest is absent, damaged or of another version.
    """
    manifest = read_submission_manifest(submission)
    print(f"{submission}: {manifest.rows} rows, sha256 {manifest.sha256}")
    print(f"of pack {manifest.pack}, with runs trained on pack {manifest.trained_on}, rule {manifest.label_rule}\n")
    print("To make it again:")
    for line in commands(manifest):
        print(f"  {line}")
    _show_members(manifest)
    for name, member in manifest.runs.items():
        print(f"\n{name}: settings that differ from the defaults")
        for line in differences(member):
            print(f"  {line}")
    print()
    for line in _facts(manifest):
        print(line)
    _show_scores(manifest)
    _show_public_scores(workspace, manifest)
    return manifest


def commands(manifest: Manifest) -> list[str]:
    """Shell commands, in order, that make a submission again; a comment where they may not suffice."""
    code, name = manifest.code, manifest.submission
    lines = []
    if code.commit is None:
        lines.append("# the commit is unknown: there was no git")
    else:
        lines.append(f"git checkout {code.commit}")
    if code.dirty:
        lines.append("# the code, experiments or fold settings differed from this commit: see --verify")
    chosen = f"SUBMISSION={name}" + (" SKIP_BAD=1" if manifest.refused else "")
    train, test = f"PACK={manifest.trained_on}", f"PACK={manifest.pack}"
    partial = _folds_left_out(manifest)
    if partial:
        lines.append(f"make folds {train}")
        for experiment, folds in partial.items():
            lines.append(f'make train {train} EXPERIMENT={experiment} FOLD="{" ".join(map(str, folds))}"')
        lines.append(
            f".venv/bin/python -m lensfold run predict --pack {manifest.pack} --trained-on {manifest.trained_on} "
            f"--submission {name}{' --skip-bad' if manifest.refused else ''}"
        )
    elif manifest.pack == manifest.trained_on:
        lines.append(f"make folds train predict {train} {chosen}")
    else:
        lines.append(f"make folds train {train} {chosen}")
        lines.append(f"make predict {test} TRAINED={manifest.trained_on} {chosen}")
    lines.append("# a pack that is not in data/ needs DATA=<its folder> too")
    lines.append(f"sha256sum submissions/{manifest.pack}/{name}.csv   # {manifest.sha256}")
    return lines


def _folds_left_out(manifest: Manifest) -> dict[str, list[int]]:
    """The folds of each run, where some run has not all of them; empty where all are complete."""
    totals = [row["of_folds"] for row in manifest.scores if isinstance(row.get("of_folds"), int)]
    total = max([*totals, *(max(member.folds, default=-1) + 1 for member in manifest.runs.values())])
    runs = {name: member.folds for name, member in manifest.runs.items()}
    return runs if any(len(folds) < total for folds in runs.values()) else {}


def differences(member: MemberRecord) -> list[str]:
    """Settings of a run that are not the defaults of this code, one "key = value" each; every stage with its own."""
    stage = StageSettings(min_size=0, epochs=1, learning_rate=1.0)
    defaults = dict(flat(Experiment(stage=(stage,)).model_dump(mode="json", exclude={"stage"})))
    settings = {key: value for key, value in member.experiment.items() if key != "stage"}
    settings["predict"] = member.predict
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in flat(settings) if key not in defaults or defaults[key] != value
    ]
    for number, chosen in enumerate(member.experiment.get("stage", ()), 1):
        usual = stage.model_dump(mode="json", exclude={"min_size", "epochs", "learning_rate"})
        parts = [f"{k} = {json.dumps(v)}" for k, v in chosen.items() if k not in usual or usual[k] != v]
        lines.append(f"stage {number}: {', '.join(parts)}")
    return lines


def flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield nested settings by dotted key."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _show_members(manifest: Manifest) -> None:
    rows = []
    for name, member in manifest.runs.items():
        experiment = member.experiment
        rows.append(
            [
                name,
                _purpose(manifest, name),
                f"{member.weight:g}",
                learner_of(experiment),
                experiment.get("seed", "–"),
                " ".join(map(str, member.folds)),
                experiment["label_rule"],
                member.config_hash[:12],
                member.config["folds_hash"][:12],
                member.config["data_hash"][:12],
            ]
        )
    columns = ("run", "for", "weight", "network", "seed", "folds", "rule", "config", "folds file", "train data")
    print()
    show_table(f"members, combined by {manifest.settings.get('combine', '–')}", columns, rows)


def _purpose(manifest: Manifest, name: str) -> str:
    """What a run is for: the score, the Einstein radii, or the choice of the objects that the others score."""
    is_first = manifest.cascade is not None and manifest.cascade.name == name
    if name in manifest.members:
        return "first, lens" if is_first else "lens"
    return "first" if is_first else "Einstein radii"


def _facts(manifest: Manifest) -> Iterator[str]:
    settings = manifest.settings
    code, missing = manifest.code, {"zero": "a row that ranks last", "omit": "no row"}
    state = {True: "differs from it", False: "as committed", None: "unknown"}[code.dirty]
    yield f"code: commit {code.commit or 'unknown'}, {state}"
    fold_settings = manifest.folds.settings if manifest.folds else None
    chosen = ", ".join(f"{key} = {json.dumps(value)}" for key, value in (fold_settings or {}).items())
    sha256 = manifest.folds.sha256 if manifest.folds else "not recorded"
    yield f"folds: sha256 {sha256}, {chosen or 'settings not recorded'}"
    yield f"train catalog: sha256 {manifest.catalog_sha256 or 'not recorded'}"
    yield f"test data: hash of the shards {manifest.data_hash}"
    yield f"libraries: {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}"
    absent = missing.get(str(settings.get("absent")), "–")
    yield f"{manifest.absent} objects without a score ({absent}), {len(manifest.refused)} of them refused"
    if manifest.undivided is not None:
        yield f"networks {NO_SCORE}; {manifest.undivided} of the objects scored were learnt from"
    if manifest.out_of_fold:
        yield f"{manifest.out_of_fold} objects were trained on; their scores are those of the fold that held them out"
    form = ("score", "header", "digits")
    yield f"form: {', '.join(f'{key} = {json.dumps(settings[key])}' for key in form if key in settings)}"
    if manifest.ensemble:
        combined = ", ".join(f"{key} = {json.dumps(manifest.ensemble.get(key))}" for key in ("combine", "calibrate"))
        yield f"ensemble: {combined}, learnt from {manifest.ensemble.get('learnt_from')}"
    if manifest.radius:
        yield f"Einstein radii: {manifest.radius.file}, factor {manifest.radius.factor:.6g}, {manifest.radius.sha256}"
    if manifest.cascade:
        kept, objects, below = manifest.cascade.kept, manifest.cascade.objects, manifest.cascade.below
        yield f"cascade: the members scored the best {kept} of {objects} objects by {manifest.cascade.name}"
        yield f"the others: {below}"
    if manifest.unexplained:
        yield f"also in the manifest, not explained here: {', '.join(manifest.unexplained)}"


def _show_scores(manifest: Manifest) -> None:
    tables = [manifest.scores]
    if manifest.radius:
        tables.append(manifest.radius.scores)
    for scores in tables:
        shown = [name for name in SHOWN_SCORES if any(isinstance(row.get(name), dict) for row in scores)]
        rows = [
            [
                row.get("name", "–"),
                *(_interval(row.get(name), SCORE_NAMES[name].digits + 1) for name in shown),
                row.get("n", "–"),
            ]
            for row in scores
        ]
        if rows:
            labels = [SCORE_NAMES[name].label for name in shown]
            show_table("out-of-fold scores with 95 % intervals", ("run", *labels, "n"), rows)


def _interval(score: object, digits: int) -> str:
    if not isinstance(score, dict):
        return "–"
    numbers = (score.get(key) for key in ("value", "low", "high"))
    value, low, high = (f"{x:.{digits}f}" if isinstance(x, float | int) else "–" for x in numbers)
    return f"{value} ({low}–{high})" if low != "–" else value


def _show_public_scores(workspace: Workspace, manifest: Manifest) -> None:
    folder = workspace.root / "submissions" / manifest.pack
    known = {manifest.submission, *known_submissions(folder)}
    for score in read_public_scores(folder / "public_scores.csv", known):
        if score.submission == manifest.submission:
            note = f" ({score.note})" if score.note else ""
            print(f"published by the organisers on {score.date}: {score.metric} {score.score:g}{note}")
