"""What a submission's manifest records of its origin, so that it can be made again; written, and read checked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lensfold.config import FoldSettings, read_toml
from lensfold.data.cache import pixels_hash
from lensfold.errors import InputError
from lensfold.files import SEAL, file_sha256, is_broken
from lensfold.paths import NAME, Pack, Workspace
from lensfold.runs.provenance import code_state, software, versions
from lensfold.runs.run import Run

#: number of the manifest's layout; a submission of another one is made again. 4: intervals over haloes
FORMAT = 4
#: files of a fold whose hashes are kept, beside its test logits: those that are there
FOLD_FILES = ("oof.csv", "model.keras")
#: and those of a kernel machine, which has no network: what it was fitted to, and the settings that were chosen
KERNEL_FILES = ("oof.csv", "objects.csv", "run.json")

# these are printed as parts of commands, and of paths
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]


class _Record(BaseModel):
    # keys that a later commit added are kept, and listed as unexplained
    model_config = ConfigDict(extra="allow", frozen=True)


class _ExperimentRecord(_Record):
    label_rule: str
    task: str
    learner: dict[str, Any] = Field(default_factory=dict)
    stage: list[dict[str, Any]] = Field(default_factory=list)


class _ConfigRecord(_Record):
    experiment: _ExperimentRecord
    folds_hash: str
    data_hash: str
    labels_hash: str
    twins_hash: str | None = None


class MemberRecord(_Record):
    """One run behind a submission."""

    weight: float = 1.0
    config_hash: str
    #: the run's ``config.json``
    config: dict[str, Any]
    #: the run's ``predict.json``
    predict: dict[str, Any]
    #: numbers of the folds whose networks predicted
    folds: list[int]
    #: sha256 of files of a run's folder, by path in it
    files: dict[str, str]

    @field_validator("config")
    @classmethod
    def _config_is_one(cls, config: dict[str, Any]) -> dict[str, Any]:
        _ConfigRecord.model_validate(config)  # kept as it is, because its hash is recorded
        return config

    @property
    def experiment(self) -> dict[str, Any]:
        """The resolved settings that trained it, without those of prediction."""
        return self.config["experiment"]


class CodeRecord(_Record):
    """State of the code; None where there was no git."""

    commit: Commit | None
    dirty: bool | None


class SoftwareRecord(_Record):
    """The software bill: what was installed, and the hash of the file that pins it."""

    pins_sha256: str | None
    packages: dict[str, str]


class FoldsRecord(_Record):
    """The folds file of the training pack."""

    sha256: str
    settings: dict[str, Any] | None = None


class RadiusRecord(_Record):
    """The second file of a submission: Einstein radii."""

    file: Name
    sha256: str
    members: dict[Name, MemberRecord]
    label_rule: str
    factor: float
    scores: list[dict[str, Any]] = Field(default_factory=list)


class CascadeRecord(_Record):
    """The first run of a cascade, and how many objects it left to the members."""

    name: Name
    run: MemberRecord
    kept: int
    objects: int
    #: how the objects that no member scored got theirs
    below: str
    #: what the cascade costs out of fold; None where the training pack was not at hand
    measured: dict[str, Any] | None = None


class Manifest(_Record):
    """What lies beside a submission as ``<name>.json``."""

    format: int
    submission: Name
    pack: Name
    trained_on: Name
    settings: dict[str, Any]
    #: of the submission's file; None where it is a single experiment, and has none
    settings_sha256: str | None
    members: dict[Name, MemberRecord]
    label_rule: str
    code: CodeRecord
    versions: dict[str, str]
    #: None in manifests of before it was kept
    software: SoftwareRecord | None = None
    #: of the test cache's shards
    data_hash: str
    folds: FoldsRecord | None = None
    #: sha256 of the training pack's catalog, whose labels the scores are of; None where it was not at hand
    catalog_sha256: str | None
    #: hash of all that the submission was made from, see `lensfold.submission.identity`
    made_from: str
    #: how the members were combined and what that is worth; None where the training pack was not at hand
    ensemble: dict[str, Any] | None = None
    #: test objects that were trained on, whose scores are those of the fold that held them out
    out_of_fold: int = 0
    #: of networks without folds: test objects that they learnt from, and scored; None where there are folds
    undivided: int | None = None
    scores: list[dict[str, Any]]
    radius: RadiusRecord | None = None
    cascade: CascadeRecord | None = None
    refused: dict[str, Any]
    rows: int
    absent: int
    sha256: str

    @property
    def unexplained(self) -> list[str]:
        """Top keys that this code does not know, beside the summary of the CSV."""
        return sorted(set(self.model_extra or {}) - {"ties_at_top", "min", "max", "sorted", SEAL})

    @property
    def runs(self) -> dict[str, MemberRecord]:
        """Every run behind the submission: its members, those of the Einstein radii, and the first of a cascade."""
        found = {**self.members, **(self.radius.members if self.radius else {})}
        if self.cascade:
            name, first = self.cascade.name, self.cascade.run
            known = found.get(name, first)
            found[name] = known.model_copy(update={"files": {**known.files, **first.files}})
        return found


def origin(members: Sequence[Run], predicted: Sequence[Sequence[Path]]) -> dict:
    """Return what the manifest records of the runs behind a file; ``predicted``: the files that each predicted."""
    records = {member.name: run_record(member, files) for member, files in zip(members, predicted, strict=True)}
    return {"members": records, "label_rule": members[0].label_rule}


def run_record(run: Run, predicted: Sequence[Path]) -> dict:
    """Return what the manifest records of a run; ``predicted``: files in its folder that it predicted."""
    names = KERNEL_FILES if run.is_kernel_machine else FOLD_FILES
    paths = [*(run.fold_folder(fold) / name for fold in run.complete_folds for name in names), *predicted]
    return {
        "weight": run.weight,
        "config_hash": run.identity,
        "config": run.config,
        "predict": run.predict,
        "folds": run.complete_folds,
        "files": {str(path.relative_to(run.folder)): file_sha256(path) for path in paths if path.is_file()},
    }


def made_with(workspace: Workspace, name: str, source: Pack, cached: dict) -> dict:
    """Return what the manifest records of settings, code and pixels, and of the catalog and folds of ``source``."""
    folds = workspace.folds(source)
    settings, submission = workspace.root / "folds" / "folds.toml", workspace.submission_settings(name)
    record = None
    if folds.is_file():
        chosen = read_toml(settings, FoldSettings).model_dump() if settings.is_file() else None
        record = {"sha256": file_sha256(folds), "settings": chosen}
    return {
        "format": FORMAT,
        "settings_sha256": file_sha256(submission) if submission.is_file() else None,
        "code": code_state(workspace.root),
        "versions": versions(),
        "software": software(workspace.root),
        "folds": record,
        "catalog_sha256": file_sha256(source.catalog) if source.catalog.is_file() else None,
        "data_hash": pixels_hash(cached),
    }


def read_submission_manifest(submission: Path) -> Manifest:
    """The manifest of a CSV, or of the CSV whose second file this is.

    Raises InputError where it is absent, damaged or of another version, naming the keys.
    """
    if not submission.name:
        raise InputError(f"{str(submission)!r}: no file. Give a submission, as submissions/<pack>/<name>.csv.")
    path = _manifest_of(submission)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no manifest beside {submission.name}. Only submissions that `lensfold submit` (make predict) "
            "wrote have one; `lensfold check-submission` works on any file."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: absent or damaged ({error}). Make the submission again: make predict.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged, no keys and values in it. Make the submission again: make predict.")
    found = content.get("format")
    if found != FORMAT:
        raise InputError(
            f"{path}: format {found!r}, and this version of lensfold has format {FORMAT}. Make the submission again "
            f"(make predict), or use the commit that wrote it: {_commit(content)}."
        )
    if is_broken(content):
        raise InputError(f"{path}: changed since it was written. Make the submission again: make predict.")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise InputError(
            f"{path}: not a manifest that this version of lensfold knows ({problems}). It is damaged, or of the commit "
            f"{_commit(content)}: use that one, or make the submission again."
        ) from error


def _manifest_of(submission: Path) -> Path:
    if submission.suffix == ".json":
        return submission
    path = submission.with_suffix(".json")
    if not path.exists() and submission.stem.endswith("_radius"):
        return submission.with_name(submission.stem.removesuffix("_radius") + ".json")
    return path


def _commit(content: dict) -> str:
    code = content.get("code")
    commit = code.get("commit") if isinstance(code, dict) else None
    return commit[:64] if isinstance(commit, str) else "unknown"
