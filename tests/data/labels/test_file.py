from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import catalog_text, fake_catalog
from fakes.labels import given_catalog, write_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensfold.data import catalog as catalogs
from lensfold.data.labels.file import read_texts
from lensfold.errors import InputError

ROOMY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: IDs of 19 digits as their owners have them: names, for a pack
LONG = ("2732915491713890101", "-523094818276512345", "2732915491713890200")
ROW = st.fixed_dictionaries(
    {
        "label": st.floats(0, 1),
        "weight": st.none() | st.floats(1e-6, 1e6),
        "n_pix_source": st.none() | st.floats(0, 1e5),
        "group": st.sampled_from(["", "a", "7", "field, north"]),
    }
)


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, names: dict[int, str] | None = None) -> Path:
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if names:
            write_table(tmp_path, names)
        return path

    return write


def message(path: Path) -> str:
    with pytest.raises(InputError) as error:
        catalogs.read_catalog(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    return str(error.value)


@ROOMY
@given(
    rows=st.dictionaries(st.integers(0, 10**18 - 1), ROW, min_size=1, max_size=12),
    order=st.permutations(["ID", "label", "weight", "n_pix_source", "group"]),
    separator=st.sampled_from([",", ";", "\t"]),
    mark=st.booleans(),
)
def test_what_is_written_is_read(write, rows, order, separator, mark):
    rows = {k: v for k, v in rows.items() if k < 10**15}  # longer ones may look rounded
    rows = {**rows, 10**15 + 1: {**dict.fromkeys(ROW_NAMES), "label": 1.0}, 10**15 + 2: {"label": 0.25}}
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=ROW_NAMES).rename_axis("ID").reset_index()
    text = "# mine\n" + table[order].to_csv(index=False, sep=separator, lineterminator="\r\n")
    found = catalogs.read_catalog(write(("\ufeff" * mark + text).encode()))
    table = table.set_index("ID").sort_index()
    assert found.index.equals(table.index) and found.index.dtype == np.int64
    np.testing.assert_array_equal(found["label"], table["label"])
    np.testing.assert_array_equal(found["weight"], table["weight"].fillna(1).astype(float))
    np.testing.assert_array_equal(found["n_pix_source"], table["n_pix_source"].astype(float))
    known = table["group"].replace("", np.nan).dropna()
    assert found["group"][known.index].groupby(known).nunique().eq(1).all()
    assert found["group"].nunique() == known.nunique() + len(table) - len(known)


ROW_NAMES = ["label", "weight", "n_pix_source", "group"]


def test_names_are_turned_into_ids_whatever_they_look_like(write):
    names = dict(enumerate(LONG, start=5))
    path = write(f"name,label\n{LONG[1]},0\n{LONG[0]},1\nelsewhere,1\n", names)
    found = catalogs.read_catalog(path)
    assert found["label"].to_dict() == {5: 1.0, 6: 0.0}
    assert found.attrs["notes"] == [
        f"{path}: 1 labels are of objects that the pack does not have (elsewhere); left out"
    ]


def test_a_label_is_its_class_and_at_one_half_none(write):
    catalog = catalogs.read_catalog(write("ID,label\n1,0.7\n2,0.5\n3,0.2\n4,1\n"))
    assert catalogs.labels(catalog, "given").tolist()[::2] == [1.0, 0.0]
    assert np.isnan(catalogs.labels(catalog, "given")[2])
    assert catalogs.without_source(catalog).tolist() == [False, False, True, False]
    assert not catalogs.has_sizes(catalog) and not catalogs.has_groups(catalog)
    assert catalogs.has_images(catalog).all()
    assert (catalogs.score_bins(catalog) == -1).all(axis=None)
    with pytest.raises(InputError, match="'official-2020' needs a catalog, and the pack has labels.csv"):
        catalogs.labels(catalog, "official-2020")
    with pytest.raises(InputError, match="'given' needs labels.csv, and the pack has a catalog"):
        catalogs.labels(fake_catalog(3), "given")


def test_training_hash_is_of_probabilities_weights_and_sizes():
    plain = given_catalog(np.array([0.9, 0.1]))
    others = [
        given_catalog(np.array([0.8, 0.1])),
        given_catalog(np.array([0.9, 0.1]), weight=[1.0, 2.0]),
        given_catalog(np.array([0.9, 0.1]), n_pix_source=[30.0, np.nan]),
    ]
    hashes = {catalogs.training_hash(one, "given") for one in (plain, *others)}
    assert len(hashes) == 4 and catalogs.training_hash(plain.copy(), "given") in hashes


BAD = {
    "ID,label,wieght\n1,1,2\n": "line 1: 'wieght' is no column of it. Expected ID or name (or both), label",
    "label\n1\n": "line 1: neither ID nor name",
    "ID,n_pix_source\n1,20\n": "line 1: no label",
    "ID,label,label\n1,1,1\n": "line 1: 'label' is there 2 times",
    "# nothing\n": "no labels in it",
    "ID,label\n": "no row after the header in line 1",
    "ID,label\n1,1\n2\n": "line 3: 1 columns, and the header has 2",
    "ID,label\n1,1.2\n2,0\n": "line 2, column label: found '1.2', expected a number from 0 to 1",
    "ID,label\n1,1\n2,-0.1\n": "line 3, column label: found '-0.1'",
    "ID,label\n1,nan\n2,0\n": "line 2, column label: found 'nan'",
    "ID,label\n1,\n2,0\n": "line 2, column label: found ''",
    "ID;label\n1;0,5\n2;0\n": "line 2, column label: found '0,5'",
    "ID,label\n1,lens\n2,0\n": "line 2, column label: found 'lens'",
    "ID,label,weight\n1,1,0\n2,0,1\n": "line 2, column weight: found '0', expected a number above 0",
    "ID,label,weight\n1,1,1\n2,0,inf\n": "line 3, column weight: found 'inf'",
    "ID,label,n_pix_source\n1,1,-3\n2,0,\n": "line 2, column n_pix_source: found '-3', expected a number of pixels",
    "# a\nID,label\n1,1\n2,0\n1,0\n": "ID 1 is there 2 times, in the lines 3, 5, labelled 1, 0, and its rows differ",
    "ID,label\n1,1\n2,0.6\n": "2 lenses (label above 0.5) and 0 non-lenses (below it); both are needed",
    "ID,label\n1.23E+18,1\n2,0\n": "line 2: '1.23E+18' seems to be a number that a spreadsheet rounded",
    "ID,label\n123456789012345000,1\n2,0\n": "line 2: '123456789012345000' seems to be a number that a spreadsheet",
    "ID,label\nabell,1\n2,0\n": "line 2: ID 'abell' is no whole number of up to 18 digits",
    "name,label\nabell,1\n": "has names, and the pack has no objects.csv",
    b"\xff\xfeI\x00D\x00": "not UTF-8 text",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text)[:40])
def test_what_is_wrong_is_one_sentence(write, text):
    assert BAD[text] in message(write(text))


def test_what_names_no_object_of_the_pack(write):
    names = {5: LONG[0], 6: "abell", 7: "abell"}
    assert "none of its 2 labels is of an object of the pack (1, 2)" in message(write("ID,label\n1,1\n2,0\n", names))
    assert "line 2: '2.73292E+18' seems" in message(write("name,label\n2.73292E+18,1\n", names))
    assert "line 2: '2732915491713890000' seems" in message(write("name,label\n2732915491713890000,1\n", names))
    assert "is the name of several objects" in message(write("name,label\nabell,1\n", names))
    long = {5: "123456789012345678"}
    assert "is the name of an object. What you call" in message(write("ID,label\n123456789012345678,1\n", long))


def test_a_catalog_beside_it_is_refused(write, tmp_path):
    (tmp_path / "image_catalog2.0train.csv").write_text(catalog_text(fake_catalog(3)))
    assert "either its catalog or labels of your own" in message(write("ID,label\n1,1\n2,0\n"))


def test_the_same_row_twice_counts_once(write):
    assert catalogs.read_catalog(write("ID,label\n1,1\n2,0\n1,1\n"))["label"].tolist() == [1.0, 0.0]


def test_with_both_the_name_has_to_be_the_ids_own(write):
    names = {5: "a", 6: "b"}
    assert catalogs.read_catalog(write("ID,name,label\n5,a,1\n6,,0\n", names))["label"].tolist() == [1.0, 0.0]
    assert "line 3: ID 6 is 'b', and the row says 'a'" in message(write("ID,name,label\n5,a,1\n6,a,0\n", names))


def test_rows_to_be_written_again_keep_their_text(write):
    path = write("# by hand\nname;label;group\nb;1;north\na;0.50;\n", {5: "a", 6: "b"})
    assert read_texts(path).to_dict("index") == {
        6: {"name": "b", "label": "1", "group": "north"},
        5: {"name": "a", "label": "0.50", "group": ""},
    }
    with pytest.raises(InputError, match=r"1 labels are of objects that the pack does not have \(c\)"):
        read_texts(write("name,label\nc,1\n"))
