"""Marks → labels.csv and rounds, through the command line."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from fakes.pack import write_objects
from fakes.workspace import lensfold

from lensfold.data.cache import Cache, row_hash

IDS = [101, 102, 103, 104, 105]
NAMES = ["-7", "NA", 'c, "d"', "e", "f"]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A workspace with a pack of people's own cutouts, cached and ranked; not to be written to."""
    workspace = tmp_path_factory.mktemp("own") / "w"
    folder = workspace / "data" / "own"
    write_objects(folder / "test", IDS, [True, False, True, False, False], seed=3)
    pd.DataFrame({"ID": IDS, "name": NAMES, "file": "f.fits"}).to_csv(folder / "objects.csv", index=False)
    lensfold(workspace, "cache", "--pack", "own", "--split", "test")
    table = pd.DataFrame({"rank": [1, 2, 3, 4, 5], "score": [0.9, 0.8, 0.7, 0.2, 0.1], "ID": [103, 101, 102, 105, 104]})
    table.to_csv(folder / "ranked.csv", index=False)
    return workspace


@pytest.fixture
def workspace(own, tmp_path) -> Path:
    shutil.copytree(own, tmp_path / "w")
    return tmp_path / "w"


def export(workspace: Path, name: str, marks: dict[int, str]) -> str:
    """Write marks as a gallery does; return the file's name."""
    with Cache(workspace / "data" / "own" / "cache" / "test") as cache:
        rows = [f"{i},ranked,{mark},,{row_hash(cache.read([i])[0])}" for i, mark in marks.items()]
    (workspace / name).write_text("\n".join(["ID,list,mark,note,pixels", *rows]) + "\n")
    return name


def label(workspace: Path, *files: str) -> str:
    return lensfold(workspace, "label", "--pack", "own", "--marks", *files).stdout


def refused(workspace: Path, *arguments: str) -> str:
    """What is said where nothing is done."""
    done = lensfold(workspace, "label", *arguments, check=False)
    assert done.returncode == 1
    return done.stderr


def labels(workspace: Path) -> pd.DataFrame:
    return pd.read_csv(workspace / "data" / "own" / "labels.csv", dtype={"name": str}, keep_default_na=False)


def test_people_are_merged_and_the_round_is_kept(workspace):
    a = export(workspace, "ada.csv", {103: "A", 101: "lens", 105: "not a lens"})
    b = export(workspace, "bob.csv", {103: "A", 101: "not a lens", 102: "unsure"})
    printed = label(workspace, a, b)
    assert labels(workspace).to_dict("list") == {
        "ID": [101, 102, 103, 105],
        "name": ["-7", "NA", 'c, "d"', "f"],
        "label": [0.5, 0.5, 1.0, 0.0],
    }
    folder = workspace / "data" / "own" / "rounds" / "1"
    inspected = pd.read_csv(folder / "inspected.csv", dtype={"name": str}, keep_default_na=False)
    assert inspected["ID"].tolist() == [103, 101, 102, 105] and inspected["rank"].tolist() == [1, 2, 3, 4]
    assert inspected["disagree"].tolist() == [False, True, False, False]
    kept = json.loads((folder / "round.json").read_text())
    assert (kept["inspected"], kept["lenses"]) == (4, 1)
    assert sorted(path.name for path in (folder / "marks").iterdir()) == ["ada.csv", "bob.csv"]
    assert (folder / "ranked.csv").is_file() and (folder.parent / "rounds.png").stat().st_size > 10_000
    assert "1 that they do not agree on" in printed and "4 new labels" in printed


def test_a_second_round_counts_what_is_new_alone(workspace):
    label(workspace, export(workspace, "ada.csv", {103: "A", 101: "A"}))
    again = label(workspace, "ada.csv")
    assert "round 1 already" in again
    printed = label(workspace, export(workspace, "ada.csv", {103: "A", 101: "not a lens", 104: "B", 102: "not a lens"}))
    assert labels(workspace)["label"].tolist() == [0.0, 0.0, 1.0, 0.8]
    assert "2 new labels, 1 of those labelled before" in " ".join(printed.split())
    second = pd.read_csv(workspace / "data" / "own" / "rounds" / "2" / "inspected.csv")
    assert second["ID"].tolist() == [102, 104]


def test_labels_that_a_stopped_command_did_not_write_are_written_by_the_next(workspace):
    file = export(workspace, "ada.csv", {103: "A", 101: "not a lens"})
    label(workspace, file)
    whole = labels(workspace)
    (workspace / "data" / "own" / "labels.csv").unlink()
    assert "round 1 already" in label(workspace, file)
    pd.testing.assert_frame_equal(labels(workspace), whole)


def test_what_another_person_said_before_counts_on(workspace):
    label(workspace, export(workspace, "ada.csv", {103: "A"}), export(workspace, "bob.csv", {103: "not a lens"}))
    label(workspace, export(workspace, "ada.csv", {103: "B", 101: "A"}))
    assert labels(workspace)["label"].tolist() == [1.0, 0.4]


def test_labels_by_hand_and_their_columns_stay(workspace):
    path = workspace / "data" / "own" / "labels.csv"
    path.write_text("name,label,group\ne,1,north\n-7,0,south\n")
    label(workspace, export(workspace, "ada.csv", {103: "A"}))
    table = labels(workspace).set_index("ID")
    assert table["label"].to_dict() == {101: 0.0, 103: 1.0, 104: 1.0}
    assert table["group"].to_dict() == {101: "south", 103: "", 104: "north"}


def test_marks_of_other_objects_or_pixels_change_nothing(workspace):
    other = export(workspace, "ada.csv", {103: "A"})
    text = (workspace / other).read_text()
    (workspace / "bob.csv").write_text(text.replace("103,", "999,"))
    (workspace / "eve.csv").write_text(text[:-5] + "0000\n")
    for name, words in (("bob.csv", "1 of 1 marked objects are not in pack own"), ("eve.csv", "has other pixels")):
        assert words in refused(workspace, "--pack", "own", "--marks", name)
    assert not (workspace / "data" / "own" / "labels.csv").exists()
    assert not (workspace / "data" / "own" / "rounds").exists()


def test_a_pack_with_a_catalog_has_its_labels(fake_workspace, tmp_path):
    (tmp_path / "a.csv").write_text("ID,mark,pixels\n200001,A,aa\n")
    words = refused(fake_workspace, "--pack", "fake", "--marks", str(tmp_path / "a.csv"))
    assert "has a catalog, and its labels are those" in words
