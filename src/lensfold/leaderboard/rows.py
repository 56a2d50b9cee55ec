"""What a leaderboard is made of: runs and submissions, each read from the files it left, or why it cannot be read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lensfold.config import Experiment, validated
from lensfold.ensemble.combine import Recipe
from lensfold.errors import InputError
from lensfold.files import digest
from lensfold.paths import Pack, Workspace
from lensfold.runs.run import Member
from lensfold.runs.scores import Scores, parse_scores

#: where reports of a pack lie, beside its runs
REPORT_FOLDER = "report"


@dataclass(frozen=True)
class Row:
    """One line of a leaderboard.

    ``settings``: the resolved experiment as nested values, None for a submission. ``code``: commit, dirty and modules
    at training, None where a run did not keep them. ``members``: the runs behind it (a run: itself), with the weights
    that the test split has; ``recipe``: how they are combined, None for a run. ``notes``: what a reader must know
    beside the scores.
    """

    name: str
    is_run: bool
    scores: Scores
    members: tuple[Member, ...]
    recipe: Recipe | None = None
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
    """Every run of a pack and every submission for it, in order of name, and those that cannot be read."""
    rows, problems = [], []
    for folder in sorted(workspace.run(pack.name, "x").parent.glob("*")):
        if not folder.is_dir() or folder.name.startswith(".") or _is_report(folder):
            continue
        try:
            rows.append(read_run(folder, pack.name))
        except InputError as error:
            problems.append(Problem(folder.name, str(error)))
    for path in sorted(workspace.submission(pack, "x").parent.glob("*.json")):
        try:
            rows.extend(read_manifest_rows(path, workspace))
        except InputError as error:
            problems.append(Problem(path.name, str(error)))
    return rows, problems


def _is_report(folder: Path) -> bool:
    return folder.name == REPORT_FOLDER and not (folder / "config.json").exists()


def read_run(folder: Path, pack_name: str) -> Row:
    """The row of a run folder; InputError, with the reason, where it cannot stand on a board."""
    config = Member(folder.name, folder).config()
    if not isinstance(config, dict) or not isinstance(config.get("experiment"), dict):
        raise InputError("config.json: damaged, it holds no experiment. Delete it and train again.")
    complete = _complete_folds(folder)
    scores = _read_scores(folder, complete, pack_name)
    records, notes = _fold_records(folder, scores.folds)
    config_hash = digest(config)
    if any(record.get("config_hash", config_hash) != config_hash for record in records):
        raise InputError("its folds were trained with other settings than config.json says. Train it again.")
    if later := sorted(set(complete) - set(scores.folds)):
        notes.append(f"{_folds_named(later)} finished since: not in the score yet")
    codes = [_code(record) for record in records]
    if any(code != codes[0] for code in codes):
        notes.append("its folds were trained with different states of the code")
    return Row(
        folder.name,
        True,
        scores,
        (Member(folder.name, folder),),
        config_hash=config_hash,
        settings=_settings(config["experiment"], folder),
        folds_hash=config.get("folds_hash"),
        data_hash=config.get("data_hash"),
        code=codes[0] if codes else None,
        core_seconds=_sum_or_none(records, "core_seconds", len(scores.folds)),
        finished=max((str(record["finished"]) for record in records if record.get("finished")), default=None),
        notes=tuple(notes),
    )


def _complete_folds(folder: Path) -> list[int]:
    paths = [path for path in folder.glob("fold*") if (path / "oof.csv").is_file()]
    odd = [path.name for path in paths if not path.name[4:].isdecimal()]
    if odd:
        raise InputError(f"{odd[0]}: no fold is called so. Move it out of the run folder.")
    return sorted(int(path.name[4:]) for path in paths)


def _read_scores(folder: Path, complete: Sequence[int], pack_name: str) -> Scores:
    path = folder / "score.json"
    if not path.is_file():
        if complete:
            raise InputError(
                f"not scored yet, {_folds_named(complete)} complete. Run lensfold score --experiment {folder.name}."
            )
        raise InputError(f"no fold is complete yet. Run make train EXPERIMENT={folder.name}.")
    try:
        scores = parse_scores(path.read_bytes(), f"lensfold score --experiment {folder.name}")
    except (OSError, InputError) as error:
        raise InputError(f"score.json: damaged ({error})") from error
    if scores.pack != pack_name:
        raise InputError(f"score.json is of the pack {scores.pack}, not {pack_name}. Was the folder copied?")
    if lost := sorted(set(scores.folds) - set(complete)):
        raise InputError(
            f"score.json is of {_folds_named(lost)} too, which settings since have made incomplete. Train it again."
        )
    return scores


def _fold_records(folder: Path, folds: Sequence[int]) -> tuple[list[dict], list[str]]:
    """``run.json`` of the folds that have a readable one, and a note for each of the others."""
    records, notes = [], []
    for fold in folds:
        try:
            record = json.loads((folder / f"fold{fold}" / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            notes.append(f"fold{fold}/run.json is absent or damaged")
    return records, notes


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


def _settings(experiment: dict, folder: Path) -> dict:
    """The experiment with today's defaults for what did not exist when it was configured, and its prediction."""
    try:
        predict = json.loads((folder / "predict.json").read_text(encoding="utf-8"))
        return validated({**experiment, "predict": predict}, Experiment, folder).model_dump(mode="json")
    except (OSError, ValueError, InputError):
        return experiment  # of a version with other settings: compared as it stands


def _folds_named(folds: Sequence[int]) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"


def read_manifest_rows(path: Path, workspace: Workspace) -> list[Row]:
    """The rows of a submission: its ensemble, and where it has a second file, that of its Einstein radii.

    InputError, with the reason, where the manifest is damaged or holds no score of the whole.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        told = manifest["settings"]
        weights = tuple(float(member["weight"]) for member in told["member"])
        recipe = Recipe(told["combine"], weights, told.get("calibrate", "none"), told.get("select_by", "auc"))
        rows = [_manifest_row(path.stem, manifest, manifest, recipe, workspace)]
        if second := manifest.get("radius"):
            recipe = Recipe("logit-mean", (1.0,) * len(second["members"]))
            rows.append(_manifest_row(f"{path.stem} (radii)", manifest, second, recipe, workspace))
        return rows
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"damaged ({type(error).__name__}: {error}). Run make predict again.") from error


def _manifest_row(name: str, manifest: dict, part: dict, recipe: Recipe, workspace: Workspace) -> Row:
    told, trained_on = part["members"], manifest["trained_on"]
    whole = part["scores"][-1] if part["scores"] else {}
    if not whole or (len(told) > 1 and not str(whole["name"]).startswith("ensemble")):
        raise InputError("no score of the whole: the pack it was trained on was not at hand. Run make predict there.")
    members = tuple(Member(key, workspace.run(trained_on, key), float(of["weight"])) for key, of in told.items())
    since = [member.name for member in members if _hash_now(member) != told[member.name]["config_hash"]]
    records = [r for m in members if m.name not in since for r in _fold_records(m.folder, told[m.name]["folds"])[0]]
    first = next(iter(told.values()))["config"]
    return Row(
        name,
        False,
        parse_scores(json.dumps(whole).encode(), "make predict again"),
        members,
        recipe,
        folds_hash=first.get("folds_hash"),
        data_hash=first.get("data_hash"),
        core_seconds=_sum_or_none(records, "core_seconds", sum(len(of["folds"]) for of in told.values())),
        notes=(f"trained again with other settings since, or gone: {', '.join(since)}",) if since else (),
    )


def _hash_now(member: Member) -> str | None:
    try:
        return digest(member.config())
    except InputError:
        return None
