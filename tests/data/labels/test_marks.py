"""Files of marks: what is read, what is refused, and how several people's become one label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensfold.data.labels.marks import VALUES, Marks, merged, read_marks, updated
from lensfold.errors import InputError

HEAD = "ID,list,mark,note,pixels,rank"


def written(path: Path, *rows: str, head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def marks_of(person: str, **values: float) -> Marks:
    series = pd.Series({int(name[1:]): value for name, value in values.items()}, dtype=float)
    return Marks(person, Path(f"{person}.csv"), series, series.astype(str), 0)


def test_marks_are_read_with_their_pixels_and_notes_alone_are_not_marks(tmp_path):
    path = written(
        tmp_path / "ada.csv", '3,ranked,A,"an arc, faint",aa,1', "1,ranked,not a lens,,bb,2", "2,ranked,,look,cc,3"
    )
    found = read_marks(path)
    assert (found.person, found.notes) == ("ada", 1)
    assert found.values.to_dict() == {1: 0.0, 3: 1.0} and found.pixels.to_dict() == {1: "bb", 3: "aa"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_a_spreadsheet_may_have_saved_it(tmp_path, separator, mark):
    path = tmp_path / "a.csv"
    path.write_text(f"{mark}{HEAD}\r\n12,ranked,b,,aa,1\r\n".replace(",", separator), encoding="utf-8")
    assert read_marks(path).values.to_dict() == {12: VALUES["B"]}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1.23457E+14,ranked,A,,aa,1", "line 2: found '1.23457E+14'; a spreadsheet rounded the ID"),
        ("1,23E+14,ranked,A,,aa", "line 2"),
        ("seven,ranked,A,,aa,1", "line 2: found 'seven'; expected an ID"),
        ("-7,ranked,A,,aa,1", "line 2: found '-7'; expected an ID"),
        ("7,ranked,maybe,,aa,1", "line 2: found 'maybe'; expected one of lens, A, B, C"),
        ("7,ranked,A,,aa,1\n7,moved,C,,aa,1", "object 7 is marked A and C"),
    ],
)
def test_what_is_no_mark_is_refused_with_its_line(tmp_path, row, words):
    with pytest.raises(InputError) as caught:
        read_marks(written(tmp_path / "a.csv", row))
    assert words in str(caught.value)


def test_the_same_mark_in_two_lists_is_one(tmp_path):
    path = written(tmp_path / "a.csv", "7,ranked,A,,aa,1", "7,moved,A,,aa,1")
    assert read_marks(path).values.to_dict() == {7: 1.0}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"ID,label\n1,1\n", b"\x00\x01"])
def test_what_is_no_export_is_refused(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv.*key e"):
        read_marks(path)
    with pytest.raises(InputError, match="no such file"):
        read_marks(tmp_path / "b.csv")


def test_labels_are_means_and_those_on_both_sides_disagree():
    table = merged([marks_of("ada", o1=1.0, o2=1.0, o4=0.5), marks_of("bob", o2=0.0, o3=0.0, o4=1.0)])
    assert table["label"].to_dict() == {1: 1.0, 2: 0.5, 3: 0.0, 4: 0.75}
    assert table["people"].to_dict() == {1: 1, 2: 2, 3: 1, 4: 2}
    assert table.index[table["disagree"]].tolist() == [2]
    assert np.isnan(table["bob"][1]) and table["ada"][2] == 1.0


def test_two_files_of_one_name_are_refused():
    with pytest.raises(InputError, match="two files are called ada"):
        updated([], [marks_of("ada", o1=1.0), marks_of("ada", o2=1.0)])


def test_of_each_person_the_last_mark_counts():
    rounds = [marks_of("ada", o1=1.0, o2=0.0), marks_of("bob", o1=0.0), marks_of("ada", o2=1.0)]
    people = {one.person: one.values.to_dict() for one in updated(rounds, [marks_of("bob", o3=0.8)])}
    assert people == {"ada": {1: 1.0, 2: 1.0}, "bob": {1: 0.0, 3: 0.8}}


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(sorted(VALUES))), max_size=12), st.randoms())
def test_the_order_of_people_does_not_matter(votes, order):
    people: dict[str, dict[str, float]] = {"ada": {}, "bob": {}, "eve": {}}
    for number, (i, word) in enumerate(votes):
        people[list(people)[number % 3]][f"o{i}"] = VALUES[word]
    marks = [marks_of(name, **values) for name, values in people.items()]
    first = merged(marks)
    order.shuffle(marks)
    pd.testing.assert_frame_equal(first, merged(marks)[first.columns])
    assert ((first["label"] >= 0) & (first["label"] <= 1)).all()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2,ranked,A", "line 3: 3 columns, and the header has 6"),
        ("2,ranked,A,,aa,1,7", "line 3: 7 columns, and the header has 6"),
        ('2,ranked,A,"an open quote,aa,1', "not a table"),
    ],
)
def test_a_row_that_is_cut_or_joined_is_refused(tmp_path, row, words):
    path = written(tmp_path / "ada.csv", "1,ranked,B,,bb,1", row)
    with pytest.raises(InputError, match=rf"ada\.csv.*{words}"):
        read_marks(path)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = written(tmp_path / "ada.csv", "1,A,B,,bb,1", head="ID,mark,mark,note,pixels,rank")
    with pytest.raises(InputError, match="line 1: a column is there twice"):
        read_marks(path)


def test_a_note_of_several_lines_moves_no_line_number(tmp_path):
    path = written(tmp_path / "ada.csv", '1,ranked,B,"two', 'lines",bb,1', "x,ranked,A,,aa,1")
    with pytest.raises(InputError, match="line 4: found 'x'"):
        read_marks(path)
