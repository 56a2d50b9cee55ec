"""A scored pack of people's own cutouts → its ranked list: names, positions and flags beside the scores."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from lensfold.data.cache import read_manifest
from lensfold.data.labels_file import read_texts
from lensfold.data.objects import read_objects
from lensfold.data.rounds import read_rounds
from lensfold.errors import InputError
from lensfold.files import write_if_changed
from lensfold.paths import BANDS, Pack, Workspace, objects_file
from lensfold.submission.csv_file import read_submission

#: rank (from 1; empty where the score is a placeholder), score, name, ra and dec (ICRS degrees), flags ("; " between),
#: label (of labels.csv, empty without), before (rank in the last round of marks, empty without), ID, and file (of VIS,
#: as it was given)
COLUMNS = ("rank", "score", "name", "ra", "dec", "flags", "label", "before", "ID", "file")


def write_ranking(workspace: Workspace, pack: Pack, submission: str) -> tuple[pd.DataFrame, dict]:
    """Write ``ranked.csv``, the scores of a submission from the highest down; return the table and the manifest.

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
    write_if_changed(workspace.ranked(pack), table[list(COLUMNS)].to_csv(index=False).encode())
    return table[list(COLUMNS)], content


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
