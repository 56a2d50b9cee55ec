"""Scores of runs and submissions, the files that keep them, and what the terminal shows of packs and caches."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold import catalog as catalogs
from lensfold.config import SubmissionSettings, Task, digest, read_toml
from lensfold.console import show_table
from lensfold.cutouts import read_manifest
from lensfold.ensemble import (
    Member,
    check_common_folds,
    check_task,
    combine,
    fold_folders,
    read_oof,
    read_test,
    task_of,
)
from lensfold.errors import InputError
from lensfold.expected_ids import cached_ids
from lensfold.folds import folds_hash, imbalance, read_folds, strata_counts, strata_table
from lensfold.history import append_history
from lensfold.paths import Pack, Workspace, replacing
from lensfold.radius import radii_of_logs, radius_table
from lensfold.score_tables import show_scores
from lensfold.scores import score_table
from lensfold.submission import read_submission, write_submission
from lensfold.submission_manifest import made_with, origin, read_submission_manifest
from lensfold.submission_rows import ScoreKind

LARGE = 150


def score_oof(catalog: pd.DataFrame, oof: pd.DataFrame, rule: str, grouped: bool = False, task: Task = "lens") -> dict:
    """All scores of logits (columns logit, fold; index ID) under a label rule; dropped objects are left out.

    ``grouped``: draw haloes instead of objects for the intervals. With the task "einstein-radius" the logits are log
    theta_E, and `score_radii` scores them.
    """
    if task == "einstein-radius":
        radii = pd.Series(radii_of_logs(oof["logit"]), index=oof.index)
        return score_radii(catalog, radii, oof["fold"], rule, grouped)
    labels = catalogs.labels(catalog, rule).reindex(oof.index)
    large = catalogs.large_lens_labels(catalog, rule, LARGE).reindex(oof.index)
    kept = labels.notna()
    groups = catalogs.halo_groups(catalog).reindex(oof.index)[kept] if grouped else None
    sizes = catalogs.size_bins(catalog).reindex(oof.index)[kept]
    scores = score_table(
        labels[kept], oof["logit"][kept], oof["fold"][kept], sizes=sizes, large=large[kept], groups=groups
    )
    return {"task": task, "rule": rule, **scores}


def score_radii(
    catalog: pd.DataFrame, radii: pd.Series, fold: pd.Series, rule: str, grouped: bool = False, calibrate: bool = True
) -> dict:
    """Scores of Einstein radii (arcsec, by ID as ``fold``) on the lenses of a label rule that have one.

    ``grouped`` as in `score_oof`; ``calibrate``: with a factor from other folds (see `lensfold.radius`).
    """
    truth = np.exp(catalogs.log_einstein_radius(catalog)).reindex(radii.index)
    kept = truth.notna() & (catalogs.labels(catalog, rule).reindex(radii.index) == 1)
    groups = catalogs.halo_groups(catalog).reindex(radii.index)[kept] if grouped else None
    sizes = catalogs.size_bins(catalog).reindex(radii.index)[kept]
    scores = radius_table(truth[kept], radii[kept], fold[kept], sizes=sizes, groups=groups, calibrate=calibrate)
    return {"task": "einstein-radius", "rule": rule, **scores}


def score_run(workspace: Workspace, pack: Pack, experiment: str) -> dict:
    """Score a run's complete folds, keep the result in ``score.json``, ``oof.csv`` and the pack's history."""
    member = Member(experiment, workspace.run(pack.name, experiment))
    config = member.config()
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    oof = read_oof(member.folder)
    runs = [json.loads((folder / "run.json").read_text()) for folder in fold_folders(member.folder)]
    _check_complete(member, folds, oof, workspace, pack, config)
    rule, grouped = config["experiment"]["label_rule"], folds_are_grouped(catalog, folds)
    scores = {
        "name": experiment,
        "pack": pack.name,
        "of_folds": int(folds.max()) + 1,
        "seconds": sum(run["seconds"] for run in runs),
        "parameters": runs[0]["parameters"],
        **score_oof(catalog, oof, rule, grouped, task_of(config)),
    }
    with replacing(member.folder / "oof.csv") as temporary:
        oof["logit"].to_csv(temporary)
    _write_json(member.folder / "score.json", scores)
    append_history(workspace.submission(pack, "history"), scores, digest(config))
    return scores


def folds_are_grouped(catalog: pd.DataFrame, folds: pd.Series) -> bool:
    """Whether every halo lies within one fold, and haloes do repeat."""
    haloes = catalogs.halo_groups(catalog)
    return haloes.duplicated().any() and bool((folds.groupby(haloes).nunique() == 1).all())


def _check_complete(
    member: Member, folds: pd.Series, oof: pd.DataFrame, workspace: Workspace, pack: Pack, config: dict
) -> None:
    if folds_hash(folds) != config["folds_hash"]:
        raise InputError(f"{member.folder}: trained on other folds than {workspace.folds(pack)}. Train it again.")
    cached = {i for shard in read_manifest(workspace.cache(pack, "train"))["shards"] for i in shard["ids"]}
    present = folds.index[folds.isin(oof["fold"].unique()) & folds.index.isin(cached)]
    missing = present.symmetric_difference(oof.index)
    if len(missing) or not (folds.loc[oof.index] == oof["fold"]).all():
        first = missing[0] if len(missing) else oof.index[(folds.loc[oof.index] != oof["fold"]).argmax()]
        raise InputError(
            f"{member.folder}: out-of-fold logits do not match the folds (first: ID {first}). Train again."
        )


def submit(workspace: Workspace, pack: Pack, trained_on: str, name: str) -> None:
    """Combine the members' predictions into the challenge CSV, validate it, write its manifest, show the scores.

    Where the settings name runs of Einstein radii, these go into a second file, ``<name>_radius.csv``, the same way.
    """
    settings = read_toml(workspace.submission_settings(name), SubmissionSettings)
    source = _training_pack(workspace, pack, trained_on)
    members = [Member(m.experiment, workspace.run(trained_on, m.experiment), m.weight) for m in settings.member]
    test = _test_logits(pack, members, settings.combine, "lens")
    radii = _test_radii(workspace, pack, source, name, settings.radius) if settings.radius else None
    cached = read_manifest(workspace.cache(pack, "test"))
    form = {"header": settings.header, "absent": settings.absent, "digits": settings.digits}
    write = partial(write_submission, expected_ids=cached_ids(pack, cached), **form)
    target, second_target = workspace.submission(pack, name), _radius_file(workspace, pack, name)
    summary = write(target, test, score=settings.score)
    second = None
    if radii:
        second = {"file": second_target.name, **radii[1], **write(second_target, radii[0], score="radius")}
    scores, _ = _member_scores(workspace, source, members, settings.combine)
    refused = _refused_scores(target, settings.header, cached["refused"])
    content = {
        "submission": name,
        "pack": pack.name,
        "trained_on": trained_on,
        "settings": settings.model_dump(mode="json"),
        **origin(members, pack),
        **made_with(workspace, name, source, cached),
        "refused": refused,
        "scores": scores,
        "radius": second,
        **summary,
    }
    _write_json(target.with_suffix(".json"), content)
    show_scores(trained_on, scores)
    _show_summary(target, summary, refused)
    if second:
        show_scores(trained_on, second["scores"])
        _show_radius_summary(second_target, second)


def _training_pack(workspace: Workspace, pack: Pack, trained_on: str) -> Pack:
    """The pack behind the runs: the project's, or ``pack`` itself where that lies in a folder elsewhere."""
    inside = workspace.pack(trained_on)
    return pack if pack.name == trained_on and not inside.catalog.is_file() else inside


def _radius_file(workspace: Workspace, pack: Pack, name: str) -> Path:
    """The second file of a submission: the Einstein radii."""
    return workspace.submission(pack, f"{name}_radius")


def _test_logits(pack: Pack, members: Sequence[Member], how: str, task: Task) -> pd.Series:
    """The members' predictions of the test split, combined, by ID; InputError unless they fit together."""
    check_task(members, task)
    check_common_folds(members)
    parts = [read_test(member.folder, pack.name) for member in members]
    return combine(parts, [member.weight for member in members], how)


def _test_radii(
    workspace: Workspace, pack: Pack, source: Pack, name: str, experiments: Sequence[str]
) -> tuple[pd.Series, dict]:
    """Einstein radii of the test split in arcsec by ID, and what the manifest tells of them.

    The mean of log theta_E over networks and runs, and the factor that fits it to the lenses out of fold.
    """
    taken = workspace.submission_settings(f"{name}_radius")
    if taken.is_file():
        raise InputError(f"{taken}: its file is that of the Einstein radii of {name!r}. Give it another name.")
    members = [Member(experiment, workspace.run(source.name, experiment)) for experiment in experiments]
    logs = _test_logits(pack, members, "logit-mean", "einstein-radius")
    scores, whole = _member_scores(workspace, source, members, "logit-mean")
    if whole is None:
        raise InputError(
            f"{members[0].folder}: the factor of its Einstein radii is unknown, because {source.catalog} or "
            f"{workspace.folds(source)} is absent. Put them back, or submit one run with its score.json."
        )
    record = {**origin(members, pack), "factor": whole["factor"], "oof_mse": whole["mse"], "scores": scores}
    return pd.Series(radii_of_logs(logs) * whole["factor"], index=logs.index), record


def _refused_scores(target: Path, header: bool, reasons: dict[str, str]) -> dict[str, dict]:
    """The objects whose cutouts could not be used, each with the reason and the score it got (None without a row)."""
    written = read_submission(target, header=header)
    return {
        object_id: {"reason": reason, "score": float(written[int(object_id)]) if int(object_id) in written else None}
        for object_id, reason in reasons.items()
    }


def _show_summary(target: Path, summary: dict, refused: dict[str, dict]) -> None:
    print(
        f"{target}: {summary['rows']} rows, scores {summary['min']:.3g} to {summary['max']:.3g}, "
        f"{summary['ties_at_top']} at the top; re-read and valid. Manifest: {target.with_suffix('.json').name}"
    )
    if summary["absent"]:
        print(f"{summary['absent']} objects have no images or were refused; {len(refused)} refused:")
    for object_id, told in list(refused.items())[:20]:
        score = "no row" if told["score"] is None else f"score {told['score']:.3g}"
        print(f"  {object_id}: {score}, because {told['reason']}")
    if len(refused) > 20:
        print(f"  … every one is in {target.with_suffix('.json').name}")


def _show_radius_summary(target: Path, second: dict) -> None:
    print(
        f"{target}: {second['rows']} rows, theta_E {second['min']:.3g} to {second['max']:.3g} arcsec, out-of-fold MSE "
        f"{second['oof_mse']['value']:.3g} arcsec²; re-read and valid."
    )


def _member_scores(
    workspace: Workspace, source: Pack, members: Sequence[Member], how: str
) -> tuple[list[dict], dict | None]:
    """Out-of-fold scores of the members that were scored and of all together, and again the latter alone.

    Without the training pack's catalog and folds, one member's own score is that of all; of more there is none.
    """
    rows = [json.loads(path.read_text()) for m in members if (path := m.folder / "score.json").is_file()]
    if not (source.catalog.is_file() and workspace.folds(source).is_file()):
        return rows, rows[0] if rows and len(members) == 1 else None
    catalog, config = catalogs.read_catalog(source.catalog), members[0].config()
    folds, task = read_folds(workspace.folds(source), catalog), task_of(config)
    parts = [read_oof(member.folder) for member in members]
    combined = combine([part["logit"] for part in parts], [m.weight for m in members], how, parts[0]["fold"])
    oof = pd.DataFrame({"logit": combined, "fold": parts[0]["fold"]})
    sums = {key: sum(row[key] for row in rows) for key in ("seconds", "parameters")}
    together = {
        "name": f"ensemble ({how if task == 'lens' else 'log-mean'})",
        "pack": source.name,
        "of_folds": int(folds.max()) + 1,
        **(sums if len(rows) == len(members) else dict.fromkeys(sums)),
        **score_oof(catalog, oof, config["experiment"]["label_rule"], folds_are_grouped(catalog, folds), task),
    }
    return [*rows, together], together


def grade_submission(workspace: Workspace, pack: Pack, name: str) -> None:
    """Score the CSV against the key of a simulated pack; the rule is the one its members were trained under.

    The file of Einstein radii too, where the submission has one.
    """
    if not pack.key.is_file():
        raise InputError(f"{pack.key}: no key. Only simulated packs have one; the challenge's was never published.")
    target = workspace.submission(pack, name)
    manifest = read_submission_manifest(target)
    header, second = manifest.settings["header"], manifest.radius
    key = catalogs.read_catalog(pack.key)
    row = {"name": f"{name} on the test key", "pack": pack.name, "of_folds": 1, "seconds": None}
    table = _graded_rows(target, key, header, "probability")
    show_scores(pack.name, [{**row, **score_oof(key, table, manifest.label_rule)}], kind="test")
    if second:
        table = _graded_rows(_radius_file(workspace, pack, name), key, header, "radius")
        scores = score_radii(key, table["logit"], table["fold"], second.label_rule, calibrate=False)
        show_scores(pack.name, [{**row, **scores}], kind="test")


def _graded_rows(path: Path, key: pd.DataFrame, header: bool, score: ScoreKind) -> pd.DataFrame:
    """What a file says of the objects of the key, as one fold."""
    submitted = read_submission(path, header=header, score=score)
    return pd.DataFrame({"logit": submitted[submitted.index.isin(key.index)], "fold": 0})


def show_folds(pack_name: str, catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Per fold: objects, share of lenses under each rule, objects by lens size, and how haloes are shared."""
    rows = strata_table(catalog, folds)
    columns = ("fold", "n", *catalogs.LABEL_RULES, *catalogs.SIZE_BIN_NAMES, "largest halo", "shared haloes")
    cells = []
    for row in rows:
        shares = [("–" if row[rule] is None else f"{row[rule]:.3f}") for rule in catalogs.LABEL_RULES]
        counts = [row[name] for name in catalogs.SIZE_BIN_NAMES]
        cells.append(
            [row["fold"], row["n"], *shares, *counts, f"{row['largest_halo']:.3f}", f"{row['shared_haloes']:.3f}"]
        )
    show_table(f"folds · pack {pack_name} · share of lenses by rule, objects by lens size in pixels", columns, cells)
    told = imbalance(catalog, folds)
    if told:
        print(told)


def show_strata(catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Objects of each stratum in each fold, and what makes the folds unequal where something does."""
    counts = strata_counts(catalog, folds)
    names = ["lens size", "images", "source", *(f"fold {fold}" for fold in counts.columns), "all"]
    show_table("objects by stratum", names, [[*key, *row, sum(row)] for key, *row in counts.itertuples()])


def show_cache(pack_name: str, split: str, manifest: dict) -> None:
    """What a cache holds, and what was left out and why."""
    sigma = ", ".join(f"{band} {value:.3g}" for band, value in manifest["sigma"].items())
    print(
        f"cache {pack_name} {split}: {manifest['objects']} objects, {len(manifest['shards'])} shards; "
        f"background sigma {sigma}"
    )
    if manifest["repaired"]:
        pixels = sum(count for bands in manifest["repaired"].values() for count in bands.values())
        print(f"  mended {pixels} pixels of {len(manifest['repaired'])} objects (listed in the cache's manifest.json)")
    for object_id, reason in list(manifest["refused"].items())[:20]:
        print(f"  left out {object_id}: {reason}")
    if len(manifest["refused"]) > 20:
        print(f"  … {len(manifest['refused'])} left out in all; every one is in the cache's manifest.json")


def show_import(table: pd.DataFrame, out: Path, pictures: Sequence[Path]) -> None:
    """The objects of an import with their share of bad pixels, and where to go from there."""
    bad = [name for name in table.columns if name.startswith("bad_")]
    rows = [
        [row["ID"], row["file"], f"{row['ra']:.5f}", f"{row['dec']:.5f}", *(f"{row[name]:.2%}" for name in bad)]
        for _, row in table.head(20).iterrows()
    ]
    show_table(f"{len(table)} objects in {out}", ("ID", "file", "RA", "Dec", *(n.replace("_", " ") for n in bad)), rows)
    for picture in pictures:
        print(picture)
    print(f"Rank them with: make predict DATA={out} TRAINED=<pack you trained on>")


def show_verified(pack_name: str, split: str, problems: dict[str, str], rebuilt: bool) -> None:
    """Which shards are damaged, and what became of them."""
    for shard, problem in problems.items():
        print(f"{shard}: {problem}")
    if not problems:
        print(f"cache {pack_name} {split}: every shard is as it was written")
    elif rebuilt:
        print(f"cache {pack_name} {split}: {len(problems)} shards built again")
    else:
        print(f"cache {pack_name} {split}: {len(problems)} damaged shards; --rebuild builds them again, and only them")


def _write_json(path: Path, content: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} does not go into JSON")
