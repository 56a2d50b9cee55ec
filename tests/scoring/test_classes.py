"""False positives by class: a closed form, ties, and files that are no such table."""

import numpy as np
import pandas as pd
import pytest

from lensfold.errors import InputError
from lensfold.scoring.classes import false_positives, read_classes


def test_five_per_cent_of_the_non_lenses_pass_and_each_class_has_its_share():
    ids = np.arange(1, 401)
    labels = pd.Series(np.where(ids <= 200, 0.0, 1.0), ids)
    scores = pd.Series(ids.astype(float), ids)  # the ten best non-lenses are 191..200
    classes = pd.Series(np.where((ids > 192) & (ids <= 200), "ring", "early"), ids)
    table = false_positives(scores, labels, classes)
    assert table["called"].sum() == 10 and table["n"].sum() == 200
    assert table.loc["ring", ["n", "called", "rate"]].tolist() == [8, 8, 1.0]
    assert table.loc["early", "called"] == 2
    # Wilson's interval of 8 of 8: low = n / (n + z^2)
    assert table.loc["ring", "low"] == pytest.approx(8 / (8 + 1.959964**2))
    assert table.loc["ring", "high"] == pytest.approx(1.0)


def test_ties_at_the_threshold_do_not_pass():
    ids = np.arange(100)
    table = false_positives(pd.Series(0.5, ids), pd.Series(0.0, ids), pd.Series("early", ids))
    assert table.loc["early", ["n", "called"]].tolist() == [100, 0]


def test_objects_without_a_class_or_a_label_are_told_apart():
    ids = np.arange(4)
    labels = pd.Series([0.0, 0.0, np.nan, 1.0], ids)
    table = false_positives(pd.Series(1.0, ids), labels, pd.Series({0: "early", 2: "ring"}))
    assert table["n"].to_dict() == {"early": 1, "no class": 1}
    assert false_positives(pd.Series(1.0, ids), pd.Series(1.0, ids), pd.Series({0: "early"})).empty


def test_reading_keeps_the_split(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("split,ID,class\ntrain,200001,early\ntest,200001,polar-ring\n")
    assert read_classes(path).to_dict() == {200001: "polar-ring"}
    assert read_classes(path, "train").to_dict() == {200001: "early"}


@pytest.mark.parametrize("text", ["ID,class\n200001,early\n", "split,ID,class\ntest,first,early\n", ""])
def test_another_table_is_refused_by_name(tmp_path, text):
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="classes.csv: is not a table of the columns split, ID and class"):
        read_classes(path)
