"""`lensfold label`: marks of people → labels of the pack's objects, and a round of the loop that is kept.

A round is what one command added: the marks as they were given, the ranking they were made in, and what came of it.
A label is the mean over people of the last mark that each of them gave, whichever round that was in. Objects that
nobody marked keep the label that the file had.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lensfold.data.cache import Cache, row_hash
from lensfold.data.labels.file import read_texts
from lensfold.data.labels.marks import Marks, merged, read_marks, updated
from lensfold.data.labels.rounds import Round, read_rounds
from lensfold.data.objects import read_objects
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, write_if_changed
from lensfold.paths import Pack, Workspace, objects_file
from lensfold.report.plots.rounds import show_labelled, write_curve

#: columns of a round's inspected.csv: those that had no label before, in the order they were ranked in
INSPECTED = ("rank", "score", "ID", "name", "label", "people", "disagree")


def label(workspace: Workspace, pack: Pack, files: Sequence[Path]) -> None:
    """Merge files of marks into ``labels.csv`` of a pack, keep the round, and print what came of it.

    The same files once more change nothing. Raises InputError, before anything is written, where a file is no export
    of marks, where marks are of other objects or pixels than the pack's, and for a pack that has a catalog.
    """
    if pack.challenge_catalog.is_file() or not pack.is_own:
        raise InputError(f"{pack.folder}: has a catalog, and its labels are those. Marks label people's own cutouts.")
    marks = [read_marks(path) for path in files]
    if not sum(len(one.values) for one in marks):
        raise InputError(f"{files[0]}: nothing is marked. Mark objects in the gallery (keys l, a, b, c, x, u), export.")
    _check_pixels(workspace, pack, marks)
    rounds = read_rounds(workspace.rounds(pack))
    given = digest({"marks": sorted(file_sha256(one.path) for one in marks)})
    if rounds and rounds[-1].given == given:
        _write_absent(workspace, pack, rounds)
        print(f"These marks are round {rounds[-1].number} already: nothing is new.")
        return
    every = updated([read_marks(path) for one in rounds for path in one.marks(workspace.rounds(pack))], marks)
    table = merged(every)
    known = _known_labels(pack)
    names = _names(pack, table.index)
    new = table.index.difference(known.index)
    changed = [i for i in table.index.intersection(known.index) if float(known["label"][i]) != table["label"][i]]
    number = rounds[-1].number + 1 if rounds else 1
    made = _keep(workspace, pack, Round(number, given, _inspected(workspace, pack, table.loc[new], names)), marks)
    _write_labels(pack, known, table.loc[[*new, *changed]], names)
    shown = [*rounds, made]
    curve = write_curve(workspace.rounds(pack), shown, pack.name, pack.is_simulated)
    show_labelled(pack, every, table, names, changed, shown, curve)


def _write_absent(workspace: Workspace, pack: Pack, rounds: Sequence[Round]) -> None:
    """Write the labels that a command which was stopped kept a round for, and nothing more."""
    folder = workspace.rounds(pack)
    table = merged(updated([read_marks(path) for one in rounds for path in one.marks(folder)], []))
    known = _known_labels(pack)
    absent = table.index.difference(known.index)
    if len(absent):
        _write_labels(pack, known, table.loc[absent], _names(pack, absent))


def _check_pixels(workspace: Workspace, pack: Pack, marks: Sequence[Marks]) -> None:
    """Raise InputError where a mark is of an object that the pack has not, or that has other pixels now."""
    with Cache(workspace.cache(pack, "test")) as cache:
        there = set(cache.ids.tolist())
        for one in marks:
            absent = [i for i in one.values.index if i not in there]
            if absent:
                raise InputError(
                    f"{one.path}: {len(absent)} of {len(one.values)} marked objects are not in pack {pack.name} "
                    f"(object {absent[0]}). Are these marks of another pack?"
                )
            for i, pixels in zip(one.pixels.index.tolist(), one.pixels, strict=True):
                if row_hash(cache.read([i])[0]) != pixels:
                    raise InputError(
                        f"{one.path}: object {i} has other pixels in pack {pack.name} than those that were marked. "
                        "Are these marks of another pack, or was it imported anew? Rank it and mark again."
                    )


def _known_labels(pack: Pack) -> pd.DataFrame:
    """Return the labels that there are, as text by ID, in the columns of the file; empty where there is no file."""
    if not pack.labels.is_file():
        return pd.DataFrame({"label": pd.Series(dtype=str)}, index=pd.Index([], dtype="int64", name="ID"))
    return read_texts(pack.labels)


def _names(pack: Pack, ids: pd.Index) -> pd.Series:
    """Return the user's name of each object by ID; the ID where the pack has no table of objects."""
    names = pd.Series(ids.astype(str), index=ids, name="name")
    if not objects_file(pack.folder).is_file():
        return names
    return read_objects(pack.folder).set_index("ID")["name"].reindex(ids).fillna(names)


def _inspected(workspace: Workspace, pack: Pack, new: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Return what was labelled for the first time in this round, in the order of the ranking it was seen in."""
    ranks = pd.DataFrame({"rank": [], "score": []}, index=pd.Index([], dtype="int64"))
    if workspace.ranked(pack).is_file():
        ranks = pd.read_csv(workspace.ranked(pack)).set_index("ID")[["rank", "score"]]
    columns = new[["label", "people", "disagree"]].join(ranks).join(names)
    return columns.reset_index().sort_values(["rank", "ID"], kind="stable")[list(INSPECTED)]


def _keep(workspace: Workspace, pack: Pack, made: Round, marks: Sequence[Marks]) -> Round:
    """Write a round's folder: the marks, the ranking, and what was inspected, which comes last."""
    folder = made.folder(workspace.rounds(pack))
    shutil.rmtree(folder, ignore_errors=True)  # of a command that was stopped
    (folder / "marks").mkdir(parents=True)
    for one in marks:
        shutil.copyfile(one.path, folder / "marks" / one.path.name)
    if workspace.ranked(pack).is_file():
        shutil.copyfile(workspace.ranked(pack), folder / "ranked.csv")
    made.write(workspace.rounds(pack))
    return made


def _write_labels(pack: Pack, known: pd.DataFrame, table: pd.DataFrame, names: pd.Series) -> None:
    """Write ``labels.csv``: what was known, with the labels of this round in place of older ones."""
    labels = pd.DataFrame({"name": names[table.index], "label": table["label"].map("{:g}".format)})
    every = known.reindex(known.index.union(labels.index), fill_value="")
    every = every.reindex(columns=list(dict.fromkeys(["name", "label", *every.columns])), fill_value="")
    every.loc[labels.index, ["name", "label"]] = labels
    write_if_changed(pack.labels, every.rename_axis("ID").reset_index().to_csv(index=False).encode())
