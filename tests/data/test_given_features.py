"""Features of others by ID: read as they are, or one sentence that names file and row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.config import Experiment, validated
from lensfold.data.given_features import features_hash, read_features, seen_hash
from lensfold.errors import InputError

IDS = np.array([200003, 200001, 9_007_199_254_740_993])
ROWS = np.arange(12.0).reshape(3, 4)


def experiment(**learner) -> Experiment:
    content = {
        "learner": {"kind": "given_features", "features": "f", **learner},
        "stage": [{"min_size": 20, "epochs": 1}],
        "predict": {"d4_average": False},
    }
    return validated(content, Experiment, "x.toml")


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "train.npy", ROWS)
    np.save(tmp_path / "train_ids.npy", IDS)
    return tmp_path / "train.npy"


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8"])
def test_rows_are_32_bit_floats_of_their_ids(path, dtype):
    np.save(path, ROWS.astype(dtype))
    found = read_features(path, IDS[:2])
    np.testing.assert_array_equal(found.ids, IDS)
    np.testing.assert_array_equal(found.rows, ROWS.astype("f4"))
    assert found.rows.dtype == np.float32 and found.sha256 == features_hash(path)


def test_a_table_of_ids_stands_for_the_array_and_other_content_is_another_hash(path):
    before = features_hash(path)
    path.with_name("train_ids.csv").write_text("name,ID\na,200003\nb,200001\nc,9007199254740993\n")
    np.testing.assert_array_equal(read_features(path, IDS).ids, IDS)
    after = features_hash(path)
    np.save(path, ROWS + 1)
    assert len({before, after, features_hash(path)}) == 3


def test_what_is_seen_of_a_test_split_depends_on_its_features(tmp_path):
    folder = tmp_path / "f" / "p"
    folder.mkdir(parents=True)
    np.save(folder / "test.npy", ROWS)
    np.save(folder / "test_ids.npy", IDS)
    first = seen_hash(experiment(), "pixels", tmp_path, "p")
    np.save(folder / "test.npy", 2 * ROWS)
    assert len({first, seen_hash(experiment(), "pixels", tmp_path, "p"), "pixels"}) == 3
    with pytest.raises(InputError, match=r"other/test\.npy: features cannot be read \(No such file.*test_ids\.csv"):
        seen_hash(experiment(), "pixels", tmp_path, "other")


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (ROWS[:2], IDS, "2 rows, and train_ids.npy has 3 IDs"),
        (ROWS, IDS[[0, 1, 0]], "ID 200003 is there 2 times"),
        (ROWS, IDS.astype(float), "an array of float64"),
        (ROWS, IDS[:, None], r"shape \(3, 1\)"),
        (ROWS, IDS.astype(object), "no IDs of features"),
        (np.where(ROWS == 5, np.nan, ROWS), IDS, r"ID 200001 \(row 1\) has a feature that is not a finite"),
        (np.where(ROWS == 9, np.inf, ROWS), IDS, r"ID 9007199254740993 \(row 2\)"),
        (np.where(ROWS == 0, 1e300, ROWS), IDS, r"ID 200003 \(row 0\)"),
        (ROWS.astype(object), IDS, "an array of objects, which would be a pickle"),
        (ROWS.astype(int), IDS, "an array of int64"),
        (ROWS[0], IDS, r"shape \(4,\)"),
        (np.asfortranarray(ROWS), IDS, "ascontiguousarray"),
        (ROWS, np.arange(3), "no features of 3 of 3 objects, first ID 200001"),
    ],
)
def test_what_cannot_be_features_is_refused(path, rows, ids, message):
    np.save(path, rows)
    np.save(path.with_name("train_ids.npy"), ids)
    with pytest.raises(InputError, match=message) as caught:
        read_features(path, IDS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["ID\n1\n2.5\n", "ID\n1\n3,4\n", "id\n1\n2\n3\n", "ID\n2e5\n1\n", "", "ID\n" + "9" * 30]
)
def test_a_table_without_whole_ids_is_refused(path, text):
    path.with_name("train_ids.csv").write_text(text)
    with pytest.raises(InputError, match="train_ids.csv: "):
        read_features(path, IDS)


@settings(max_examples=60)
@given(st.data())
def test_any_cut_and_any_flip_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flip")
    path = folder / "train.npy"
    np.save(path, ROWS)
    np.save(folder / "train_ids.npy", IDS)
    victim = folder / data.draw(st.sampled_from(["train.npy", "train_ids.npy"]))
    content = bytearray(victim.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(content)
    try:
        assert read_features(path, IDS).rows.shape == ROWS.shape
    except InputError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predict": {}}, "set predict.d4_average = false"),
        ({"augment": {"gain": 0.0}}, "given features have no use for augment.gain"),
        ({"train": {"source_map": 1.0}}, "no use for train.source_map"),
        ({"stage": [{"min_size": 20, "epochs": 1, "trainable": "block5"}]}, "no use for stage.trainable"),
        ({"stage": [{"min_size": 20}]}, "stage.0.epochs"),
        ({"learner": {"kind": "given_features"}}, "'learner.features' is needed"),
    ],
)
def test_settings_that_given_features_have_no_use_for(change, message):
    with pytest.raises(InputError, match=message):
        validated({**experiment().model_dump(mode="json"), **change}, Experiment, "x.toml")
