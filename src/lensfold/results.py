"""Scores of runs and submissions, the files that keep them, and the tables that show them."""

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold import catalog as catalogs
from lensfold.config import SubmissionSettings, digest, read_toml
from lensfold.console import show_table
from lensfold.cutouts import read_manifest
from lensfold.ensemble import Member, check_common_folds, combine, fold_folders, read_oof, read_test
from lensfold.errors import InputError
from lensfold.folds import folds_hash, imbalance, read_folds, strata_counts, strata_table
from lensfold.paths import Pack, Workspace, replacing
from lensfold.provenance import code_state, file_sha256, versions
from lensfold.scores import score_table
from lensfold.submission import read_submission, write_submission

LARGE = 150
HISTORY_COLUMNS = (
    "time",
    "pack",
    "name",
    "folds",
    "rule",
    "n",
    "auc",
    "f1",
    "accuracy",
    "one_minus_f_beta",
    "tpr0",
    "tpr10",
    "auc_large",
    "seconds",
    "config",
)


def score_oof(catalog: pd.DataFrame, oof: pd.DataFrame, rule: str, grouped: bool = False) -> dict:
    """All scores of logits (columns logit, fold; index ID) under a label rule; dropped objects are left out.

    ``grouped``: draw haloes instead of objects for the intervals.
    """
    labels = catalogs.labels(catalog, rule).reindex(oof.index)
    large = catalogs.large_lens_labels(catalog, rule, LARGE).reindex(oof.index)
    kept = labels.notna()
    groups = catalogs.halo_groups(catalog).reindex(oof.index)[kept] if grouped else None
    sizes = catalogs.size_bins(catalog).reindex(oof.index)[kept]
    scores = score_table(
        labels[kept], oof["logit"][kept], oof["fold"][kept], sizes=sizes, large=large[kept], groups=groups
    )
    return {"rule": rule, **scores}


def score_run(workspace: Workspace, pack: Pack, experiment: str) -> dict:
    """Score a run's complete folds, keep the result in ``score.json``, ``oof.csv`` and the pack's history."""
    member = Member(experiment, workspace.run(pack.name, experiment))
    config = member.config()
    catalog = catalogs.read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    oof = read_oof(member.folder)
    runs = [json.loads((folder / "run.json").read_text()) for folder in fold_folders(member.folder)]
    _check_complete(member, folds, oof, workspace, pack, config)
    scores = {
        "name": experiment,
        "pack": pack.name,
        "of_folds": int(folds.max()) + 1,
        "seconds": sum(run["seconds"] for run in runs),
        "parameters": runs[0]["parameters"],
        **score_oof(catalog, oof, config["experiment"]["label_rule"], folds_are_grouped(catalog, folds)),
    }
    with replacing(member.folder / "oof.csv") as temporary:
        oof["logit"].to_csv(temporary)
    _write_json(member.folder / "score.json", scores)
    _append_history(workspace.submission(pack, "history"), scores, digest(config))
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
    """Combine the members' predictions into the challenge CSV, validate it, write its manifest, show the scores."""
    settings_file = workspace.submission_settings(name)
    settings = read_toml(settings_file, SubmissionSettings)
    members = [Member(m.experiment, workspace.run(trained_on, m.experiment), m.weight) for m in settings.member]
    check_common_folds(members)
    weights = [member.weight for member in members]
    test = combine([read_test(member.folder, pack.name) for member in members], weights, settings.combine)
    manifest = read_manifest(workspace.cache(pack, "test"))
    expected = _expected_ids(pack, manifest)
    target = workspace.submission(pack, name)
    summary = write_submission(
        target,
        test,
        expected_ids=expected,
        header=settings.header,
        absent=settings.absent,
        digits=settings.digits,
        score=settings.score,
    )
    scores = _member_scores(workspace, trained_on, members, settings)
    refused = _refused_scores(target, settings.header, manifest["refused"])
    _write_json(
        target.with_suffix(".json"),
        {
            "submission": name,
            "pack": pack.name,
            "trained_on": trained_on,
            "settings": settings.model_dump(mode="json"),
            "settings_sha256": file_sha256(settings_file),
            "members": {
                m.name: {
                    "weight": m.weight,
                    "config_hash": digest(m.config()),
                    "config": m.config(),
                    "folds": [int(f.name[4:]) for f in fold_folders(m.folder)],
                }
                for m in members
            },
            "code": code_state(workspace.root),
            "versions": versions(),
            "data_hash": digest({"shards": [shard["sha256"] for shard in manifest["shards"]]}),
            "refused": refused,
            "label_rule": members[0].config()["experiment"]["label_rule"],
            "scores": scores,
            **summary,
        },
    )
    show_scores(trained_on, scores)
    _show_summary(target, summary, refused)


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


def _expected_ids(pack: Pack, manifest: dict) -> list[int]:
    """The test split's IDs: those with files, and those the pack's catalog says have no image in either split."""
    ids = {object_id for shard in manifest["shards"] for object_id in shard["ids"]}
    ids.update(int(object_id) for object_id in manifest["refused"])
    if pack.catalog.is_file():
        catalog = catalogs.read_catalog(pack.catalog)
        ids.update(catalog.index[~catalogs.has_images(catalog)].tolist())
    return sorted(ids)


def _member_scores(
    workspace: Workspace, trained_on: str, members: Sequence[Member], settings: SubmissionSettings
) -> list[dict]:
    """Out-of-fold scores of the members and of their combination; none where the training pack's catalog is gone."""
    rows = [json.loads(path.read_text()) for m in members if (path := m.folder / "score.json").is_file()]
    pack = workspace.pack(trained_on)
    if len(rows) < len(members) or not pack.catalog.is_file():
        return rows
    catalog = catalogs.read_catalog(pack.catalog)
    parts = [read_oof(member.folder) for member in members]
    weights = [member.weight for member in members]
    combined = combine([part["logit"] for part in parts], weights, settings.combine, parts[0]["fold"])
    oof = pd.DataFrame({"logit": combined, "fold": parts[0]["fold"]})
    grouped = folds_are_grouped(catalog, read_folds(workspace.folds(pack), catalog))
    scores = score_oof(catalog, oof, members[0].config()["experiment"]["label_rule"], grouped)
    summed = {"seconds": sum(row["seconds"] for row in rows), "parameters": sum(row["parameters"] for row in rows)}
    ensemble = {"name": f"ensemble ({settings.combine})", "pack": trained_on, "of_folds": rows[0]["of_folds"]}
    return [*rows, {**ensemble, **summed, **scores}]


def grade_submission(workspace: Workspace, pack: Pack, name: str) -> None:
    """Score the CSV against the key of a simulated pack; the rule is the one its members were trained under."""
    if not pack.key.is_file():
        raise InputError(f"{pack.key}: no key. Only simulated packs have one; the challenge's was never published.")
    target = workspace.submission(pack, name)
    manifest = _read_manifest_of(target)
    settings = manifest["settings"]
    submitted = read_submission(target, header=settings["header"])
    key = catalogs.read_catalog(pack.key)
    submitted = submitted[submitted.index.isin(key.index)]
    table = pd.DataFrame({"logit": submitted, "fold": 0})
    scores = {
        "name": f"{name} on the test key",
        "pack": pack.name,
        "of_folds": 1,
        "seconds": None,
        **score_oof(key, table, manifest["label_rule"]),
    }
    show_scores(pack.name, [scores], kind="test")


def _read_manifest_of(target: Path) -> dict:
    path = target.with_suffix(".json")
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: absent or damaged ({error}). Make the submission again: make predict.") from error


def show_scores(pack_name: str, rows: Sequence[dict], kind: str = "out-of-fold") -> None:
    """The table that answers "how good is it": one row a run, with 95 % bootstrap intervals of the two AUCs."""
    if not rows:
        print("No out-of-fold scores: the runs have no score.json here.")
        return
    columns = (
        "run",
        "AUC",
        "95 %",
        "F1",
        "accuracy",
        "1-F_beta",
        "TPR0",
        "TPR10",
        "n",
        "> 150 px AUC",
        "95 % ",
        "n ",
        "folds",
        "time",
    )
    title = f"{kind} scores · pack {pack_name} · rule {rows[0]['rule']}"
    caption = (
        f"Thresholds of F1, accuracy and 1-F_beta come from {rows[0]['threshold_from']}; 95 % by bootstrap over "
        f"{rows[0]['bootstrap']['over']}.\n> 150 px: the rule's lenses larger than 150 pixels against objects without "
        "a source."
    )
    show_table(title, columns, [_score_row(row) for row in rows], caption)
    bins = [[row["name"], *(_bin(cell) for cell in row["auc_by_size"])] for row in rows]
    show_table(
        "AUC by lens size in pixels: the lenses of a bin (number) against all non-lenses",
        ("run", *catalogs.SIZE_BIN_NAMES),
        bins,
    )


def _score_row(row: dict) -> list[str]:
    large = row["auc_large"]
    count, total = len(row["folds"]), row["of_folds"]
    return [
        row["name"],
        _number(row["auc"]),
        _limits(row["auc"]),
        _number(row["f1"]),
        _number(row["accuracy"]),
        _number(row["one_minus_f_beta"], 4),
        _number(row["tpr0"], 3),
        _number(row["tpr10"], 3),
        str(row["n"]),
        _number(large),
        _limits(large),
        str(large["n"]),
        f"{total}" if count == total else f"{count} of {total} folds",
        "–" if row["seconds"] is None else f"{row['seconds'] / 60:.1f} min",
    ]


def _number(score: dict, digits: int = 3) -> str:
    return "–" if score["value"] is None else f"{score['value']:.{digits}f}"


def _limits(score: dict) -> str:
    return "–" if score["low"] is None else f"{score['low']:.3f}–{score['high']:.3f}"


def _bin(cell: dict) -> str:
    return "–" if cell["value"] is None else f"{cell['value']:.3f} ({cell['n']})"


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


def _append_history(path: Path, scores: dict, config_hash: str) -> None:
    """One line a finished score, so that editing an experiment loses no past result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: scores[name]["value"] for name in HISTORY_COLUMNS if isinstance(scores.get(name), dict)}
    row = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "config": config_hash[:12],
        **{name: scores[name] for name in ("pack", "name", "rule", "n", "seconds")},
        **values,
        "folds": f"{len(scores['folds'])} of {scores['of_folds']}",
    }
    is_new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, HISTORY_COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerow(row)
