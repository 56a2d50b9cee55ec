"""What a leaderboard is made of: runs and submissions, each read from the files it left, or why it cannot be read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lensfold.ensemble.combine import Recipe
from lensfold.errors import InputError
from lensfold.files import file_sha256, is_broken, read_marker
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import NO_SCORE, Run
from lensfold.runs.scores import FORMAT as SCORE_FORMAT
from lensfold.runs.scores import Contribution, Scores, parse_scores
from lensfold.submission.identity import training_pack
from lensfold.submission.manifest import FORMAT

#: where reports of a pack lie, beside its runs
REPORT_FOLDER = "report"


@dataclass(frozen=True)
class Row:
    """One line of a leaderboard.

    ``settings``: the resolved experiment as nested values, None for a submission. ``code``: commit, dirty and modules
    at training, None where a run did not keep them. ``members``: the runs behind it (a run: itself), with the weights
    that the test split has; ``recipe``: how they are combined, None for a run. ``adds``: what each of several members
    adds, where the manifest says so. ``notes``: what a reader must know
    beside the scores.
    """

    name: str
    is_run: bool
    scores: Scores
    members: tuple[Run, ...]
    recipe: Recipe | None = None
    adds: tuple[Contribution, ...] = ()
    config_hash: str | None = None
    settings: dict | None = None
    folds_hash: str | None = None
    data_hash: str | None = None
    code: dict | None = None
    core_seconds: float | None = None
    finished: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every fold has been scored."""
        return len(self.scores.folds) >= self.scores.of_folds


@dataclass(frozen=True)
class Problem:
    """Something that belongs on the board and cannot be shown, and why."""

    name: str
    reason: str


def read_board(workspace: Workspace, pack: Pack) -> tuple[list[Row], list[Problem]]:
    """Return every run of a pack and every submission for it, in order of name, and those that cannot be read."""
    rows, problems = [], []
    catalog_sha256 = file_sha256(pack.catalog) if pack.catalog.is_file() else None
    for folder in sorted(workspace.runs(pack.name).glob("*")):
        if not folder.is_dir() or folder.name.startswith(".") or _is_report(folder):
            continue
        try:
            rows.append(read_run(folder, pack.name, catalog_sha256))
        except InputError as error:
            problems.append(Problem(folder.name, str(error)))
    for path in sorted(workspace.submission(pack, "x").parent.glob("*.json")):
        try:
            rows.extend(read_manifest_rows(path, workspace, pack))
        except InputError as error:
            problems.append(Problem(path.name, str(error)))
    return rows, problems


def _is_report(folder: Path) -> bool:
    return folder.name == REPORT_FOLDER and not (folder / "config.json").exists()


def read_run(folder: Path, pack_name: str, catalog_sha256: str | None = None) -> Row:
    """Return the row of a run folder; InputError, with the reason, where it cannot stand on a board.

    ``catalog_sha256``: of the pack's catalog; None where it is not at hand, and the labels are not checked.
    """
    run = Run(folder)
    run.check_pack()
    scores = _read_scores(run, pack_name, catalog_sha256)
    records = {fold: run.record(fold) for fold in scores.folds}
    notes = [NO_SCORE] if run.is_undivided else []
    notes += [f"fold{fold}/run.json is absent or damaged" for fold, record in records.items() if record is None]
    if later := sorted(set(run.complete_folds) - set(scores.folds)):
        notes.append(f"{_folds_named(later)} finished since: not in the score yet")
    known = [record for record in records.values() if record is not None]
    codes = [_code(record) for record in known]
    if any(code != codes[0] for code in codes):
        notes.append("its folds were trained with different states of the code")
    return Row(
        folder.name,
        True,
        scores,
        (run,),
        config_hash=run.identity,
        settings=_settings(run),
        folds_hash=run.config["folds_hash"],
        data_hash=run.config["data_hash"],
        code=codes[0] if codes else None,
        core_seconds=_sum_or_none(known, "core_seconds", len(scores.folds)),
        finished=max((str(record["finished"]) for record in known if record.get("finished")), default=None),
        notes=tuple(notes),
    )


def _read_scores(run: Run, pack_name: str, catalog_sha256: str | None) -> Scores:
    path = run.folder / "score.json"
    if not path.is_file():
        if run.complete_folds:
            raise InputError(
                f"not scored yet, {_folds_named(run.complete_folds)} complete. "
                f"Run lensfold score --experiment {run.name}."
            )
        if any(run.folder.glob("fold*/oof.csv")):
            raise run.no_fold()
        raise InputError(f"no fold is complete yet. Run make train EXPERIMENT={run.name}.")
    remedy = f"lensfold score --experiment {run.name}"
    try:
        scores = parse_scores(path.read_bytes(), remedy)
    except (OSError, InputError) as error:
        raise InputError(f"score.json: damaged ({error})") from error
    if is_broken(read_marker(path)):
        raise InputError(f"score.json: damaged, changed since it was written. Run {remedy}.")
    if scores.pack != pack_name:
        raise InputError(f"score.json is of the pack {scores.pack}, not {pack_name}. Was the folder copied?")
    if lost := sorted(set(scores.folds) - set(run.complete_folds)):
        raise InputError(
            f"score.json is of {_folds_named(lost)} too, which settings since have made incomplete. Train it again."
        )
    _check_origin(run, scores, catalog_sha256, remedy)
    return scores


def _check_origin(run: Run, scores: Scores, catalog_sha256: str | None, remedy: str) -> None:
    """Raise InputError where a score is of other logits or another catalog than there are now."""
    if scores.made_from is None:
        raise InputError(f"score.json: damaged, it does not say what it was made from. Run {remedy}.")
    if scores.made_from.format != SCORE_FORMAT:
        raise InputError(f"score.json is of an earlier version of lensfold, with other intervals. Run {remedy}.")
    for fold in scores.folds:
        found, now = scores.made_from.oof.get(str(fold), "unknown"), run.oof_hashes[str(fold)]
        if found != now:
            raise InputError(
                f"score.json is of other logits of fold {fold} ({found[:12]}) than oof.csv ({now[:12]}). Run {remedy}."
            )
    found = scores.made_from.catalog
    if catalog_sha256 is not None and found != catalog_sha256:
        raise InputError(
            f"score.json is of another catalog ({found[:12]}) than the pack has ({catalog_sha256[:12]}). Run {remedy}."
        )


def _code(record: dict) -> dict | None:
    """The state of the code that a fold was trained with, None where it was not kept."""
    code = record.get("code")
    if not isinstance(code, dict) or not isinstance(code.get("modules"), dict):
        return None
    return {"commit": str(code.get("commit") or ""), "dirty": bool(code.get("dirty")), "modules": code["modules"]}


def _sum_or_none(records: Sequence[dict], key: str, expected: int) -> float | None:
    values = [record.get(key) for record in records]
    known = [value for value in values if isinstance(value, int | float)]
    return sum(known) if len(known) == expected else None


def _settings(run: Run) -> dict:
    """The experiment with today's defaults for what did not exist when it was configured, and its prediction."""
    try:
        return run.settings.model_dump(mode="json")
    except InputError:
        return run.experiment  # of a version with other settings: compared as it stands


def _folds_named(folds: Sequence[int]) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"


def read_manifest_rows(path: Path, workspace: Workspace, pack: Pack) -> list[Row]:
    """Return the rows of a submission: its ensemble, and where it has a second file, that of its Einstein radii.

    Raises InputError, with the reason, where the manifest is damaged or of another version, has no score of the whole,
    or scores of another catalog than the pack has now.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        settings = manifest["settings"]
        weights = tuple(float(member["weight"]) for member in settings["member"])
        recipe = Recipe(settings["combine"], weights, settings["calibrate"], settings["select_by"])
        _check_manifest(manifest, training_pack(workspace, pack, manifest["trained_on"]))
        rows = [_manifest_row(path.stem, manifest, manifest, recipe, workspace)]
        if second := manifest.get("radius"):
            recipe = Recipe("logit-mean", (1.0,) * len(second["members"]))
            rows.append(_manifest_row(f"{path.stem} (radii)", manifest, second, recipe, workspace))
        return rows
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"damaged ({type(error).__name__}: {error}). Run make predict again.") from error


def _check_manifest(manifest: dict, training: Pack) -> None:
    """Raise InputError where a manifest is of another version, or its scores are of other labels than there are now."""
    if is_broken(manifest):
        raise InputError("changed since it was written. Run make predict again.")
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"its manifest has format {manifest.get('format')!r}, and this version of lensfold has format {FORMAT}. "
            "Run make predict again."
        )
    found, now = manifest["catalog_sha256"], file_sha256(training.catalog) if training.catalog.is_file() else None
    if found is not None and now is not None and found != now:
        raise InputError(
            f"its scores are of another catalog ({found[:12]}) than pack {training.name} has ({now[:12]}). "
            "Run make predict again."
        )


def _manifest_row(name: str, manifest: dict, part: dict, recipe: Recipe, workspace: Workspace) -> Row:
    described, trained_on = part["members"], manifest["trained_on"]
    whole = part["scores"][-1] if part["scores"] else {}
    if manifest.get("undivided") is not None:
        raise InputError(f"its networks were {NO_SCORE}.")
    if not whole or (len(described) > 1 and not str(whole["name"]).startswith("ensemble")):
        raise InputError("no score of the whole: the pack it was trained on was not at hand. Run make predict there.")
    members = tuple(Run(workspace.run(trained_on, key), float(of["weight"])) for key, of in described.items())
    since = [member.name for member in members if _identity_now(member) != described[member.name]["config_hash"]]
    kept = [m.record(fold) for m in members if m.name not in since for fold in described[m.name]["folds"]]
    records = [record for record in kept if record is not None]
    first = next(iter(described.values()))["config"]
    return Row(
        name,
        False,
        parse_scores(json.dumps(whole).encode(), "make predict again"),
        members,
        recipe,
        tuple(map(Contribution.model_validate, (part.get("ensemble") or {}).get("adds", ()))),
        folds_hash=first.get("folds_hash"),
        data_hash=first.get("data_hash"),
        core_seconds=_sum_or_none(records, "core_seconds", sum(len(of["folds"]) for of in described.values())),
        notes=(f"trained again with other settings since, or gone: {', '.join(since)}",) if since else (),
    )


def _identity_now(run: Run) -> str | None:
    try:
        return run.identity
    except InputError:
        return None
