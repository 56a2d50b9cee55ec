"""A scored pack of people's own cutouts → its ranked list: names, positions and flags beside the scores."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from lensfold.config import PREVALENCE
from lensfold.data.cache import read_manifest
from lensfold.data.labels.file import read_texts
from lensfold.data.labels.rounds import read_rounds
from lensfold.data.objects import read_objects
from lensfold.errors import InputError
from lensfold.files import write_if_changed
from lensfold.frames import BANDS
from lensfold.paths import Pack, Workspace, objects_file
from lensfold.runs.run import NO_SCORE
from lensfold.runs.searcher import prevalence_text
from lensfold.scoring.prevalence import purity_down_to
from lensfold.submission.csv_file import read_submission

#: rank (from 1; empty where the score is a placeholder), score, name, ra and dec (ICRS degrees), flags ("; " between),
#: label (of labels.csv, empty without), before (rank in the last round of marks, empty without), ID, and file (of VIS,
#: as it was given); behind the score stands the column of `purity_column`
COLUMNS = ("rank", "score", "name", "ra", "dec", "flags", "label", "before", "ID", "file")


def purity_column(trained_on: str) -> str:
    """Return the name of the purity down to each rank. It says of which pack, so that it never seems the list's own."""
    return f"purity_on_{trained_on}"


def write_ranking(
    workspace: Workspace, pack: Pack, submission: str, prevalence: float = PREVALENCE
) -> tuple[pd.DataFrame, dict]:
    """Write ``ranked.csv``, the scores of a submission from the highest down; return the table and the manifest.

    ``prevalence``: share of lenses in the sky that the purity is of (`about_purity`).

    Of equal scores the lower ID comes first; objects that were not scored come last, without a rank. Raises InputError
    where the submission or its manifest is absent or damaged.
    """
    target = workspace.submission(pack, submission)
    try:
        content = json.loads(target.with_suffix(".json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{target.with_suffix('.json')}: absent or damaged ({error}). Predict again.") from error
    settings = content["settings"]
    scores = read_submission(target, header=settings["header"], score=settings["score"])
    table = _ranked(scores, content["refused"])
    table = table.join(_objects(workspace, pack, table.index, content["refused"])).join(_known(workspace, pack))
    table = table.reset_index()
    column = purity_column(content["trained_on"])
    table[column] = _purity(table, content, prevalence)
    table = table[[*COLUMNS[:2], column, *COLUMNS[2:]]]
    write_if_changed(workspace.ranked(pack), table.to_csv(index=False).encode())
    return table, content


def _purity(table: pd.DataFrame, content: dict, prevalence: float) -> np.ndarray:
    """The expected purity down to each rank, to four digits; NaN where there is no rank, or no way to know."""
    if _no_purity(content):
        return np.full(len(table), np.nan)
    known = content["ensemble"]["passing"]
    if content["settings"]["score"] == "probability":
        known = {**known, "cuts": [[float(expit(logit)), *counts] for logit, *counts in known["cuts"]]}
    found = purity_down_to(known, table["score"].to_numpy(np.float64), prevalence)
    return np.where(table["rank"].notna(), [float(f"{value:.4g}") for value in found], np.nan)


def _no_purity(content: dict) -> str:
    """Why a submission's scores have no purity; "" where they have."""
    if content.get("undivided") is not None:
        return f"its networks were {NO_SCORE}"
    if not (content["ensemble"] or {}).get("passing"):
        return f"it is learnt from catalog and folds of {content['trained_on']}, and these are not here"
    if content["settings"]["combine"] == "rank-mean":
        return "the score is a mean of ranks within the list, which says nothing of another one"
    return ""


def about_purity(pack: Pack, training: Pack, content: dict, prevalence: float) -> str:
    """Return in a sentence what the purity of a ranked list rests on, or why there is none.

    ``training``: the pack of the networks; ``content``: the submission's manifest.
    """
    column = purity_column(content["trained_on"])
    if reason := _no_purity(content):
        return f"{column} is empty: {reason}."
    known, synthetic = content["ensemble"]["passing"], " (SYNTHETIC)" if training.is_simulated else ""
    elsewhere = f" Of {pack.name} it is no score: there it may be far lower." if training.name != pack.name else ""
    return (
        f"{column}: the expected share of lenses down to each rank on a sky like that of pack {training.name}"
        f"{synthetic} with {prevalence_text(prevalence)}, from {known['lenses']:,} lenses and {known['others']:,} "
        f"non-lenses of that pack out of fold.{elsewhere}"
    )


def _ranked(scores: pd.Series, refused: Mapping[str, dict]) -> pd.DataFrame:
    """Return rank (Int64) and score by ID, the highest score first and what was refused last."""
    unscored = pd.Series({int(i): record["score"] for i, record in refused.items()}, dtype=np.float64)
    table = pd.DataFrame({"score": scores.drop(unscored.index, errors="ignore")}).sort_index()
    table = table.sort_values("score", ascending=False, kind="stable")
    table["rank"] = pd.array(np.arange(1, len(table) + 1), dtype="Int64")
    return pd.concat([table, pd.DataFrame({"score": unscored.sort_index()})]).rename_axis("ID")


def _known(workspace: Workspace, pack: Pack) -> pd.DataFrame:
    """Return label (float64) and before (Int64) of the objects that have one of them, by ID."""
    label = pd.Series(dtype=np.float64, index=pd.Index([], dtype=np.int64))
    if pack.labels.is_file():
        label = read_texts(pack.labels)["label"].astype(np.float64)
    before = pd.Series(dtype="Int64", index=pd.Index([], dtype=np.int64))
    if rounds := read_rounds(workspace.rounds(pack)):
        last = rounds[-1].folder(workspace.rounds(pack)) / "ranked.csv"
        if last.is_file():
            before = pd.read_csv(last).set_index("ID")["rank"].astype("Int64")
    return pd.concat([label.rename("label"), before.rename("before")], axis=1).rename_axis("ID")


def _objects(workspace: Workspace, pack: Pack, ids: pd.Index, refused: Mapping[str, dict]) -> pd.DataFrame:
    """Return name, ra, dec, flags and file of objects by ID; of packs without a table of objects the ID is the name."""
    known = pd.DataFrame({"name": "", "ra": np.nan, "dec": np.nan, "flags": "", "file": ""}, index=ids)
    bands: list[str] = []
    if objects_file(pack.folder).is_file():
        read = read_objects(pack.folder).set_index("ID").reindex(ids)
        known = read[list(known.columns)].fillna({"name": "", "flags": "", "file": ""})
        bands = [band for band in BANDS if read[f"bad_{band}"].notna().any()]
    lacking = [band for band in BANDS if band not in bands] if bands else []
    mended = read_manifest(workspace.cache(pack, "test"))["repaired"]
    texts = [
        "; ".join(_flags(flags, lacking, mended.get(str(i), {}), refused.get(str(i))))
        for i, flags in known["flags"].items()
    ]
    return known.assign(flags=texts, name=known["name"].where(known["name"] != "", ids.astype(str)))


def _flags(known: str, lacking: Sequence[str], mended: Mapping[str, int], refused: dict | None) -> Iterator[str]:
    """Yield what a person should know before believing an object's score."""
    if refused:
        yield f"not scored: {refused['reason']}"
    if known:
        yield known
    if lacking:
        yield f"no {', '.join(lacking)}"
    if mended:
        yield f"mended pixels: {', '.join(f'{band} {count}' for band, count in mended.items())}"
