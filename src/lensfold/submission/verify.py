"""Does a submission's manifest describe what is here: files, settings, networks, folds, labels, pixels, code."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from lensfold.config import Experiment, in_frames, read_toml, validated, with_given_labels
from lensfold.console import show_table
from lensfold.data import catalog as catalogs
from lensfold.data.cache import frame_side, pixels_hash, read_manifest
from lensfold.data.cache_check import is_cut, stale_reason
from lensfold.data.folds import folds_hash
from lensfold.data.given_features import features_hash
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.frames import SIDES
from lensfold.models.start.binding import bound_to_weights
from lensfold.paths import Pack, Workspace
from lensfold.runs.provenance import changed_since, code_state, versions
from lensfold.submission.explain import flat
from lensfold.submission.manifest import Manifest, MemberRecord

Verdict = Literal["matches", "differs", "absent"]


@dataclass(frozen=True)
class Check:
    """One thing that the manifest records, compared with what is here."""

    what: str
    verdict: Verdict
    expected: str
    found: str


def verify(workspace: Workspace, submission: Path, manifest: Manifest) -> bool:
    """Print each thing that the manifest records beside what is here; return whether nothing differs."""
    found = list(checks(workspace, submission, manifest))
    show_table(
        "compared with what is here",
        ("what", "verdict", "in the manifest", "found"),
        [[row.what, row.verdict, row.expected, row.found] for row in found],
    )
    counts = Counter(row.verdict for row in found)
    print(f"{counts['matches']} match, {counts['differs']} differ, {counts['absent']} absent")
    return not counts["differs"]


def checks(workspace: Workspace, submission: Path, manifest: Manifest) -> Iterator[Check]:
    """A row for the CSV files, settings, runs, their files, folds, caches, code and libraries."""
    folder = submission.parent
    pack, source = workspace.pack(manifest.pack), workspace.pack(manifest.trained_on)
    yield _file(folder / f"{manifest.submission}.csv", manifest.sha256)
    if manifest.radius:
        yield _file(folder / manifest.radius.file, manifest.radius.sha256)
    if manifest.settings_sha256 is not None:
        yield _file(workspace.submission_settings(manifest.submission), manifest.settings_sha256)
    for name, member in manifest.runs.items():
        yield from _run(workspace, manifest, source, name, member)
    yield from _folds(workspace, source, manifest)
    for name, member in manifest.runs.items():
        yield _cache(f"train cache of {name}", workspace.cache(source, "train"), member.config["data_hash"])
        twins = member.config.get("twins_hash")
        if twins:
            yield _cache(f"twins of {name}", workspace.cache(source, "twins"), twins)
        yield from _features(workspace, source, name, member)
    yield _cache("test cache", workspace.cache(pack, "test"), manifest.data_hash)
    yield _pixels(workspace, pack)
    yield from _labels(source, manifest)
    yield _code(workspace, manifest)
    here = versions()
    for name, version in manifest.versions.items():
        yield _check(f"library {name}", version, here.get(name))


def _check(what: str, expected: str, found: str | None) -> Check:
    if found is None:
        return Check(what, "absent", _cut(expected), "–")
    return Check(what, "matches" if found == expected else "differs", _cut(expected), _cut(found))


def _cut(text: str) -> str:
    """Hashes by their first twelve digits."""
    return text[:12] if len(text) == 64 else text


def _file(path: Path, expected: str) -> Check:
    try:
        found = file_sha256(path) if path.is_file() else None
    except OSError as error:
        return Check(str(path), "differs", _cut(expected), f"cannot be read ({error.strerror})")
    return _check(str(path), expected, found)


def _run(workspace: Workspace, manifest: Manifest, source: Pack, name: str, member: MemberRecord) -> Iterator[Check]:
    folder = workspace.run(manifest.trained_on, name)
    yield _check(f"manifest's settings of {name}", member.config_hash, digest(member.config))
    yield _json(folder / "config.json", member.config_hash)
    yield _json(folder / "predict.json", digest(member.predict))
    yield _experiment(workspace, source, name, member)
    for file, expected in member.files.items():
        yield _file(folder / file, expected)


def _json(path: Path, expected: str) -> Check:
    try:
        return _check(str(path), expected, digest(json.loads(path.read_text())))
    except FileNotFoundError:
        return _check(str(path), expected, None)
    except (OSError, ValueError):
        return Check(str(path), "differs", _cut(expected), "damaged")


def _experiment(workspace: Workspace, source: Pack, name: str, member: MemberRecord) -> Check:
    """Whether the experiment's file still means the settings that were trained, defaults of today filled in."""
    path, trained = workspace.experiment(name), {**member.experiment, "predict": member.predict}
    if not path.is_file():
        return _check(str(path), digest(trained), None)
    try:
        expected = validated(trained, Experiment, path).model_dump(mode="json")
        found = read_toml(path, Experiment)
        found = in_frames(found, _side(workspace.cache(source, "train")), path)
        found = bound_to_weights(found, path, workspace.root, source.name, member.config["data_hash"])
        found = with_given_labels(found) if trained["label_rule"] == catalogs.GIVEN else found
    except InputError as error:
        problem = str(error).removeprefix(f"{path}: ")
        return Check(
            str(path), "differs", _cut(digest(trained)), problem[:57] + "..." if len(problem) > 60 else problem
        )
    before, after = dict(flat(expected)), dict(flat(found.model_dump(mode="json")))
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not keys:
        return Check(str(path), "matches", _cut(digest(expected)), _cut(digest(found.model_dump(mode="json"))))
    shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
    return Check(str(path), "differs", _cut(digest(expected)), f"other {shown}")


def _side(train_cache: Path) -> int:
    """The side of a cache's frames; of the challenge's where no manifest says, which another check tells."""
    try:
        return frame_side(read_manifest(train_cache))
    except (InputError, KeyError, TypeError, IndexError):
        return SIDES[0]


def _folds(workspace: Workspace, source: Pack, manifest: Manifest) -> Iterator[Check]:
    path = workspace.folds(source)
    if manifest.folds:
        yield _file(path, manifest.folds.sha256)
    found = None
    if path.is_file():
        try:
            found = folds_hash(pd.read_csv(path, dtype="int64").set_index("ID")["fold"])
        except (OSError, ValueError, OverflowError, KeyError):
            found = "damaged"
    for name, member in manifest.runs.items():
        yield _check(f"folds of {name}", member.config["folds_hash"], found)


def _cache(what: str, folder: Path, expected: str) -> Check:
    """By the hashes that the cache's own manifest keeps; `lensfold verify` compares the shards with them."""
    if not (folder / "manifest.json").is_file():
        return _check(what, expected, None)
    try:
        return _check(what, expected, pixels_hash(read_manifest(folder)))
    except (InputError, KeyError, TypeError):
        return Check(what, "differs", _cut(expected), "damaged")


def _pixels(workspace: Workspace, pack: Pack) -> Check:
    """Whether the files of the test split are still those that its cache was made from."""
    what = "test files"
    try:
        pack.split_source("test")
    except InputError:
        if not _is_cut(workspace, pack):
            return Check(what, "absent", "those of the test cache", "–")
    try:
        origin = read_manifest(workspace.cache(pack, "test"))["made_from"]
        difference = stale_reason(workspace, pack, "test")
    except (InputError, KeyError, TypeError) as error:
        return Check(what, "differs", "those of the test cache", _line(str(error)))
    return Check(what, "differs" if difference else "matches", _cut(origin["sha256"]), _line(difference) or "the same")


def _is_cut(workspace: Workspace, pack: Pack) -> bool:
    """Whether the test cache was cut out of mosaics, and so is all there is of its pixels."""
    try:
        return is_cut(read_manifest(workspace.cache(pack, "test"))["made_from"])
    except (InputError, KeyError, TypeError):
        return False


def _line(text: str) -> str:
    return text[:117] + "..." if len(text) > 120 else text


def _features(workspace: Workspace, source: Pack, name: str, member: MemberRecord) -> Iterator[Check]:
    """Whether the features that a run was given are those of its training."""
    features = member.config.get("features")
    if isinstance(features, dict):
        folder = workspace.root / str(member.config["experiment"]["learner"]["features"])
        try:
            found = features_hash(folder / source.name / "train.npy")
        except InputError:
            found = None
        yield _check(f"features of {name}", str(features.get("sha256")), found)


def _labels(source: Pack, manifest: Manifest) -> Iterator[Check]:
    """Whether the training pack's catalog still gives the labels that each run was trained on."""
    catalog = None
    if source.catalog.is_file():
        try:
            catalog = catalogs.read_catalog(source.catalog)
        except InputError as error:
            yield Check("catalog", "differs", "labels of the runs", _line(str(error)))
            return
    for name, member in manifest.runs.items():
        rule = str(member.experiment["label_rule"])
        found = (
            None
            if catalog is None or rule not in catalogs.rules_of(catalog)
            else catalogs.training_hash(catalog, rule, str(member.experiment["task"]))
        )
        yield _check(f"labels of {name}", member.config["labels_hash"], found)


def _code(workspace: Workspace, manifest: Manifest) -> Check:
    """Whether what decides results is as it was in the manifest's commit, whatever commit this is."""
    commit, here = manifest.code.commit, code_state(workspace.root)["commit"]
    if commit is None or here is None:
        return Check("code", "absent", commit[:12] if commit else "no git", here[:12] if here else "no git")
    expected, found = commit[:12], here[:12]
    if manifest.code.dirty:
        return Check("code", "differs", f"{expected}, with changes that were not committed", found)
    changed = changed_since(workspace.root, commit)
    if changed is None:
        return Check("code", "differs", expected, f"{found}, where that commit is unknown")
    if changed:
        shown = ", ".join(changed[:2]) + (f" and {len(changed) - 2} more" if len(changed) > 2 else "")
        return Check("code", "differs", expected, f"{found}, other {shown}")
    return Check("code", "matches", expected, found if here == commit else f"{found}, nothing that decides differs")
