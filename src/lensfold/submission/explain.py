"""`lensfold explain-submission`: how a submission was made, and whether what is here would make it again."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from lensfold.config import Experiment, StageSettings, read_toml, validated
from lensfold.console import show_table
from lensfold.data import catalog as catalogs
from lensfold.data.cache import pixels_hash, read_manifest
from lensfold.data.cache_check import stale_reason
from lensfold.data.folds import folds_hash
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.paths import Pack, Workspace
from lensfold.runs.provenance import changed_since, code_state, versions
from lensfold.runs.run import learner_of
from lensfold.submission.manifest import Manifest, MemberRecord, read_submission_manifest
from lensfold.submission.public_scores import known_submissions, read_public_scores

Verdict = Literal["matches", "differs", "absent"]

#: Scores of the manifest that are shown, with the digits of each.
SHOWN_SCORES = {"auc": 4, "f1": 4, "accuracy": 4, "one_minus_f_beta": 5, "auc_large": 4, "mse": 4}


@dataclass(frozen=True)
class Held:
    """One thing the manifest tells, held against what is here."""

    what: str
    verdict: Verdict
    expected: str
    found: str


# How it was made


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
    defaults = dict(_flat(Experiment(stage=(stage,)).model_dump(mode="json", exclude={"stage"})))
    settings = {key: value for key, value in member.experiment.items() if key != "stage"}
    settings["predict"] = member.predict
    told = [
        f"{key} = {json.dumps(value)}"
        for key, value in _flat(settings)
        if key not in defaults or defaults[key] != value
    ]
    for number, chosen in enumerate(member.experiment.get("stage", ()), 1):
        usual = stage.model_dump(mode="json", exclude={"min_size", "epochs", "learning_rate"})
        parts = [f"{k} = {json.dumps(v)}" for k, v in chosen.items() if k not in usual or usual[k] != v]
        told.append(f"stage {number}: {', '.join(parts)}")
    return told


def _flat(settings: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _show_members(manifest: Manifest) -> None:
    rows = []
    for name, member in manifest.runs.items():
        experiment = member.experiment
        rows.append(
            [
                name,
                "Einstein radii" if name not in manifest.members else "lens",
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


def _facts(manifest: Manifest) -> Iterator[str]:
    settings = manifest.settings
    code, missing = manifest.code, {"zero": "a row that ranks last", "omit": "no row"}
    state = {True: "differs from it", False: "as committed", None: "unknown"}[code.dirty]
    yield f"code: commit {code.commit or 'unknown'}, {state}"
    fold_settings = manifest.folds.settings if manifest.folds else None
    told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in (fold_settings or {}).items())
    yield f"folds: sha256 {manifest.folds.sha256 if manifest.folds else 'not told'}, {told or 'settings not told'}"
    yield f"test data: hash of the shards {manifest.data_hash}"
    yield f"libraries: {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}"
    absent = missing.get(str(settings.get("absent")), "–")
    yield f"{manifest.absent} objects without a score ({absent}), {len(manifest.refused)} of them refused"
    form = ("score", "header", "digits")
    yield f"form: {', '.join(f'{key} = {json.dumps(settings[key])}' for key in form if key in settings)}"
    if manifest.ensemble:
        combined = ", ".join(f"{key} = {json.dumps(manifest.ensemble.get(key))}" for key in ("combine", "calibrate"))
        yield f"ensemble: {combined}, learnt from {manifest.ensemble.get('learnt_from')}"
    if manifest.radius:
        yield f"Einstein radii: {manifest.radius.file}, factor {manifest.radius.factor:.6g}, {manifest.radius.sha256}"
    if manifest.unexplained:
        yield f"also in the manifest, not explained here: {', '.join(manifest.unexplained)}"


def _show_scores(manifest: Manifest) -> None:
    tables = [manifest.scores]
    if manifest.radius:
        tables.append(manifest.radius.scores)
    for scores in tables:
        shown = [name for name in SHOWN_SCORES if any(isinstance(row.get(name), dict) for row in scores)]
        rows = [
            [row.get("name", "–"), *(_interval(row.get(name), SHOWN_SCORES[name]) for name in shown), row.get("n", "–")]
            for row in scores
        ]
        if rows:
            show_table("out-of-fold scores with 95 % intervals", ("run", *shown, "n"), rows)


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
            print(f"told by the organisers on {score.date}: {score.metric} {score.score:g}{note}")


# Whether what is here would make it again


def verify(workspace: Workspace, submission: Path, manifest: Manifest) -> bool:
    """Print each thing the manifest tells beside what is here; return whether nothing differs."""
    held = list(held_against(workspace, submission, manifest))
    show_table(
        "held against what is here",
        ("what", "verdict", "in the manifest", "found"),
        [[row.what, row.verdict, row.expected, row.found] for row in held],
    )
    counts = Counter(row.verdict for row in held)
    print(f"{counts['matches']} match, {counts['differs']} differ, {counts['absent']} absent")
    return not counts["differs"]


def held_against(workspace: Workspace, submission: Path, manifest: Manifest) -> Iterator[Held]:
    """A row for the CSV files, settings, runs, their files, folds, caches, code and libraries."""
    folder = submission.parent
    pack, source = workspace.pack(manifest.pack), workspace.pack(manifest.trained_on)
    yield _file(folder / f"{manifest.submission}.csv", manifest.sha256)
    if manifest.radius:
        yield _file(folder / manifest.radius.file, manifest.radius.sha256)
    yield _file(workspace.submission_settings(manifest.submission), manifest.settings_sha256)
    for name, member in manifest.runs.items():
        yield from _run(workspace, manifest, name, member)
    yield from _folds(workspace, source, manifest)
    for name, member in manifest.runs.items():
        yield _cache(f"train cache of {name}", workspace.cache(source, "train"), member.config["data_hash"])
        twins = member.config.get("twins_hash")
        if twins:
            yield _cache(f"twins of {name}", workspace.cache(source, "twins"), twins)
    yield _cache("test cache", workspace.cache(pack, "test"), manifest.data_hash)
    yield _pixels(workspace, pack)
    yield from _labels(source, manifest)
    yield _code(workspace, manifest)
    here = versions()
    for name, version in manifest.versions.items():
        yield _held(f"library {name}", version, here.get(name))


def _held(what: str, expected: str, found: str | None) -> Held:
    if found is None:
        return Held(what, "absent", _cut(expected), "–")
    return Held(what, "matches" if found == expected else "differs", _cut(expected), _cut(found))


def _cut(text: str) -> str:
    """Hashes by their first twelve digits."""
    return text[:12] if len(text) == 64 else text


def _file(path: Path, expected: str) -> Held:
    try:
        found = file_sha256(path) if path.is_file() else None
    except OSError as error:
        return Held(str(path), "differs", _cut(expected), f"cannot be read ({error.strerror})")
    return _held(str(path), expected, found)


def _run(workspace: Workspace, manifest: Manifest, name: str, member: MemberRecord) -> Iterator[Held]:
    folder = workspace.run(manifest.trained_on, name)
    yield _held(f"manifest's settings of {name}", member.config_hash, digest(member.config))
    yield _json(folder / "config.json", member.config_hash)
    yield _json(folder / "predict.json", digest(member.predict))
    yield _experiment(workspace.experiment(name), member)
    for file, expected in member.files.items():
        yield _file(folder / file, expected)


def _json(path: Path, expected: str) -> Held:
    try:
        return _held(str(path), expected, digest(json.loads(path.read_text())))
    except FileNotFoundError:
        return _held(str(path), expected, None)
    except (OSError, ValueError):
        return Held(str(path), "differs", _cut(expected), "damaged")


def _experiment(path: Path, member: MemberRecord) -> Held:
    """Whether the experiment's file still means the settings that were trained, defaults of today filled in."""
    trained = {**member.experiment, "predict": member.predict}
    if not path.is_file():
        return _held(str(path), digest(trained), None)
    try:
        expected = validated(trained, Experiment, path).model_dump(mode="json")
        found = read_toml(path, Experiment).model_dump(mode="json")
    except InputError as error:
        problem = str(error).removeprefix(f"{path}: ")
        return Held(str(path), "differs", _cut(digest(trained)), problem[:57] + "..." if len(problem) > 60 else problem)
    before, after = dict(_flat(expected)), dict(_flat(found))
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not keys:
        return Held(str(path), "matches", _cut(digest(expected)), _cut(digest(found)))
    shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
    return Held(str(path), "differs", _cut(digest(expected)), f"other {shown}")


def _folds(workspace: Workspace, source: Pack, manifest: Manifest) -> Iterator[Held]:
    path = workspace.folds(source)
    if manifest.folds:
        yield _file(path, manifest.folds.sha256)
    found = None
    if path.is_file():
        try:
            found = folds_hash(pd.read_csv(path, dtype="int64").set_index("ID")["fold"])
        except (OSError, ValueError, KeyError):
            found = "damaged"
    for name, member in manifest.runs.items():
        yield _held(f"folds of {name}", member.config["folds_hash"], found)


def _cache(what: str, folder: Path, expected: str) -> Held:
    """By the hashes that the cache's own manifest keeps; `lensfold verify` holds the shards against them."""
    if not (folder / "manifest.json").is_file():
        return _held(what, expected, None)
    try:
        return _held(what, expected, pixels_hash(read_manifest(folder)))
    except (InputError, KeyError, TypeError):
        return Held(what, "differs", _cut(expected), "damaged")


def _pixels(workspace: Workspace, pack: Pack) -> Held:
    """Whether the files of the test split are still those that its cache was made from."""
    what = "test files"
    try:
        pack.split_source("test")
    except InputError:
        return Held(what, "absent", "those of the test cache", "–")
    try:
        origin = read_manifest(workspace.cache(pack, "test"))["made_from"]
        difference = stale_reason(workspace, pack, "test")
    except (InputError, KeyError, TypeError) as error:
        return Held(what, "differs", "those of the test cache", _line(str(error)))
    return Held(what, "differs" if difference else "matches", _cut(origin["sha256"]), _line(difference) or "the same")


def _line(text: str) -> str:
    return text[:117] + "..." if len(text) > 120 else text


def _labels(source: Pack, manifest: Manifest) -> Iterator[Held]:
    """Whether the training pack's catalog still gives the labels that each run was trained on."""
    catalog = None
    if source.catalog.is_file():
        try:
            catalog = catalogs.read_catalog(source.catalog)
        except InputError as error:
            yield Held("catalog", "differs", "labels of the runs", _line(str(error)))
            return
    for name, member in manifest.runs.items():
        rule = str(member.experiment["label_rule"])
        found = (
            None
            if catalog is None or rule not in catalogs.LABEL_RULES
            else catalogs.training_hash(catalog, rule, str(member.experiment.get("task", "lens")))
        )
        yield _held(f"labels of {name}", member.config["labels_hash"], found)


def _code(workspace: Workspace, manifest: Manifest) -> Held:
    """Whether what decides results is as it was in the manifest's commit, whatever commit this is."""
    commit, here = manifest.code.commit, code_state(workspace.root)["commit"]
    if commit is None or here is None:
        return Held("code", "absent", commit[:12] if commit else "no git", here[:12] if here else "no git")
    expected, found = commit[:12], here[:12]
    if manifest.code.dirty:
        return Held("code", "differs", f"{expected}, with changes that were not committed", found)
    changed = changed_since(workspace.root, commit)
    if changed is None:
        return Held("code", "differs", expected, f"{found}, where that commit is unknown")
    if changed:
        shown = ", ".join(changed[:2]) + (f" and {len(changed) - 2} more" if len(changed) > 2 else "")
        return Held("code", "differs", expected, f"{found}, other {shown}")
    return Held("code", "matches", expected, found if here == commit else f"{found}, nothing that decides differs")
