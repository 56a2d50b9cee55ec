import numpy as np
import pandas as pd
import pytest
from fake_catalog import fake_catalog
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold import catalog as catalogs
from lensfold.curriculum import BALANCES, epoch_order, stage_rows
from lensfold.errors import InputError


@pytest.fixture
def catalog() -> pd.DataFrame:
    return fake_catalog(400)


def labelled(lenses: int, non_lenses: int) -> pd.Series:
    values = np.repeat([1.0, 0.0], [lenses, non_lenses])
    return pd.Series(values, index=pd.Index(1000 + np.arange(len(values)), name="ID"), name="label")


# Stages


@pytest.mark.parametrize("rule", catalogs.LABEL_RULES)
@pytest.mark.parametrize("below", ["drop", "negative"])
@pytest.mark.parametrize("min_size", [-1, 0, 20, 70, 150])
def test_stage_rows_object_by_object(catalog, rule, below, min_size):
    train_ids = catalog.index[::2]
    rows = stage_rows(catalog, train_ids, rule, min_size, below)
    labels = catalogs.labels(catalog, rule)
    expected = {}
    for object_id in train_ids:
        large = catalog.loc[object_id, "n_pix_source"] > min_size
        if labels[object_id] == 0 or (labels[object_id] == 1 and large):
            expected[object_id] = labels[object_id]
        elif labels[object_id] == 1 and below == "negative":
            expected[object_id] = 0.0
    assert rows.to_dict() == expected
    assert rows.dtype == np.float64 and rows.index.dtype == np.int64


def test_drop_is_the_default_and_leaves_small_lenses_out(catalog):
    rows = stage_rows(catalog, catalog.index, "official-2020", 150)
    assert rows.equals(stage_rows(catalog, catalog.index, "official-2020", 150, "drop"))
    small = (catalogs.labels(catalog, "official-2020") == 1) & (catalog["n_pix_source"] <= 150)
    assert small.any() and not rows.index.isin(catalog.index[small]).any()


def test_official_stage_at_its_own_limit_is_the_whole_rule(catalog):
    rows = stage_rows(catalog, catalog.index, "official-2020", 20)
    pd.testing.assert_series_equal(rows, catalogs.labels(catalog, "official-2020"))


def test_negative_size_keeps_lenses_without_a_pixel(catalog):
    invisible = catalog.index[(catalog["n_sources"] > 0) & (catalog["n_pix_source"] == 0)]
    assert len(invisible)
    assert (stage_rows(catalog, catalog.index, "any-source", -1)[invisible] == 1).all()
    assert not stage_rows(catalog, catalog.index, "any-source", 0).index.isin(invisible).any()


def test_only_training_ids_in_their_order(catalog):
    train_ids = [200009, 200003, 200120, 200044, 200010]
    rows = stage_rows(catalog, iter(train_ids), "official-2020", 20)
    assert rows.index.tolist() == [i for i in train_ids if i in rows.index]


def test_stage_without_lenses_names_itself_and_counts(catalog):
    with pytest.raises(InputError) as error:
        stage_rows(catalog, catalog.index, "official-2020", 10**6)
    label = catalogs.labels(catalog, "official-2020")
    assert (
        f"stage with min_size = 1000000, below = 'drop' under official-2020: 0 lenses and {int((label == 0).sum())} "
        f"non-lenses, with {int(label.sum())} smaller lenses, in 400 training rows" in str(error.value)
    )


def test_stage_without_non_lenses(catalog):
    ids = catalog.index[catalogs.labels(catalog, "official-2020") == 1]
    with pytest.raises(InputError, match=f"{len(ids)} lenses and 0 non-lenses"):
        stage_rows(catalog, ids, "official-2020", 0)


def test_stage_without_rows(catalog):
    with pytest.raises(InputError, match="0 lenses and 0 non-lenses, with 0 smaller lenses, in 0 training rows"):
        stage_rows(catalog, [], "official-2020", 0)


@pytest.mark.parametrize(
    ("ids", "below", "rule", "expected"),
    [
        ([200001, 1, 2], "drop", "official-2020", "training IDs not in the catalog: 1, 2 .2 in all"),
        ([200001, 200001], "drop", "official-2020", "training IDs doubled: 200001"),
        ([200001], "keep", "official-2020", "below = 'keep' is unknown. Choose one of: drop, negative"),
        ([200001], "drop", "official", "label rule 'official' is unknown"),
    ],
)
def test_wrong_stage(catalog, ids, below, rule, expected):
    with pytest.raises(InputError, match=expected):
        stage_rows(catalog, ids, rule, 0, below)


# Epochs


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 4), st.integers(0, 30))
def test_undersampling(lenses, non_lenses, seed, fold, epoch):
    labels = labelled(lenses, non_lenses)
    order = epoch_order(labels, seed, fold, epoch)
    smaller = min(lenses, non_lenses)
    assert order.dtype == np.int64 and len(order) == 2 * smaller
    assert len(set(order)) == len(order)
    assert labels[order].sum() == smaller
    rare = labels.index[labels == float(lenses <= non_lenses)]
    assert set(rare) <= set(order)


@settings(deadline=None)
@given(st.integers(1, 10), st.integers(1, 40), st.integers(0, 9), st.integers(0, 5))
def test_undersampling_uses_all_over_the_epochs(smaller, larger, seed, number):
    labels = labelled(smaller, smaller + larger)
    epochs = -(-(smaller + larger) // smaller)
    seen = [epoch_order(labels, seed, 0, epochs * number + epoch) for epoch in range(epochs)]
    assert set(np.concatenate(seen)) == set(labels.index)


def test_undersampling_draws_afresh():
    labels = labelled(10, 100)
    subsets = {frozenset(epoch_order(labels, 1, 0, epoch)) for epoch in range(40)}
    assert len(subsets) == 40


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30))
def test_oversampling(lenses, non_lenses, epoch):
    labels = labelled(lenses, non_lenses)
    order = epoch_order(labels, 3, 1, epoch, balance="oversample")
    larger, smaller = max(lenses, non_lenses), min(lenses, non_lenses)
    assert len(order) == 2 * larger and labels[order].sum() == larger
    times = pd.Series(order).value_counts()
    assert set(times.index) == set(labels.index)
    assert set(times[labels.index[labels == float(lenses < non_lenses)]]) <= {larger // smaller, larger // smaller + 1}
    assert set(times[labels.index[labels == float(lenses >= non_lenses)]]) <= {1, larger // smaller}


def test_no_balance_shows_each_object_once():
    labels = labelled(5, 20)
    order = epoch_order(labels, 3, 1, 4, balance="none")
    assert sorted(order) == labels.index.tolist() and order.tolist() != labels.index.tolist()


def test_no_balance_takes_a_single_class():
    assert sorted(epoch_order(labelled(3, 0), 0, 0, 0, balance="none")) == [1000, 1001, 1002]


@pytest.mark.parametrize("balance", BALANCES)
def test_order_is_a_function_of_its_arguments(balance):
    labels = labelled(20, 31)
    order = epoch_order(labels, 1, 2, 3, balance)
    assert np.array_equal(order, epoch_order(labels, 1, 2, 3, balance))
    assert np.array_equal(order, epoch_order(labels[::-1], 1, 2, 3, balance))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not np.array_equal(order, epoch_order(labels, *other, balance))


def test_order_is_mixed():
    """Lenses are not shown in one block."""
    shown = labelled(500, 500)[epoch_order(labelled(500, 500), 0, 0, 0)].to_numpy()
    assert 0.4 < shown[:500].mean() < 0.6


def test_golden_order():
    """A change here means that a rerun no longer gives the same oof.csv."""
    assert epoch_order(labelled(3, 5), 2020, 1, 2).tolist() == [1002, 1003, 1000, 1005, 1004, 1001]


@pytest.mark.parametrize("balance", ["undersample", "oversample"])
def test_nothing_to_balance(balance):
    with pytest.raises(InputError, match="0 lenses and 4 non-lenses: nothing to balance"):
        epoch_order(labelled(0, 4), 0, 0, 0, balance)


@pytest.mark.parametrize("value", [np.nan, 2.0, -1.0, 0.5])
def test_wrong_labels(value):
    labels = labelled(2, 2)
    labels.iloc[0] = value
    with pytest.raises(InputError, match="labels to train on must be 0 or 1"):
        epoch_order(labels, 0, 0, 0)


def test_unknown_balance():
    with pytest.raises(InputError, match="balance = 'both' is unknown. Choose one of: undersample, oversample, none"):
        epoch_order(labelled(2, 2), 0, 0, 0, "both")
