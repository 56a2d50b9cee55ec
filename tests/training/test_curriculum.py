import numpy as np
import pandas as pd
import pytest
from fakes.catalog import fake_catalog
from fakes.labels import given_catalog
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.config import StageSettings
from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.training.curriculum import BALANCES, class_weights, epoch_order, stage_labels, with_twins


@pytest.fixture
def catalog() -> pd.DataFrame:
    return fake_catalog(400)


def stage(min_size: int = 20, **changes) -> StageSettings:
    return StageSettings(min_size=min_size, epochs=1, learning_rate=0.001, **changes)


def labelled(lenses: int, non_lenses: int) -> pd.Series:
    """Labels of a stage with IDs from 1000: its lenses, then its non-lenses."""
    label = np.repeat([1.0, 0.0], [lenses, non_lenses])
    return pd.Series(label, index=pd.Index(1000 + np.arange(len(label)), name="ID"))


# Stages


@pytest.mark.parametrize("rule", catalogs.LABEL_RULES)
@pytest.mark.parametrize("below", ["drop", "negative"])
@pytest.mark.parametrize("negatives", ["all", "clean"])
@pytest.mark.parametrize("min_size", [0, 20, 70])
def test_stage_labels_object_by_object(catalog, rule, below, negatives, min_size):
    train_ids = catalog.index[::2]
    found = stage_labels(catalog, train_ids, rule, stage(min_size, negatives=negatives), below)
    labels = catalogs.labels(catalog, rule)
    expected = {}
    for object_id in train_ids:
        size, sourceless = catalog.loc[object_id, "n_pix_source"], catalog.loc[object_id, "n_sources"] == 0
        is_small = size <= min_size
        is_negative = labels[object_id] == 0 or (labels[object_id] == 1 and is_small and below == "negative")
        if labels[object_id] == 1 and not is_small:
            expected[object_id] = 1.0
        elif is_negative and (negatives == "all" or sourceless):
            expected[object_id] = 0.0
    assert found.to_dict() == expected
    assert found.index.dtype == np.int64 and found.dtype == np.float64


def test_drop_is_the_default_and_leaves_small_lenses_out(catalog):
    rows = stage_labels(catalog, catalog.index, "official-2020", stage(150))
    assert rows.equals(stage_labels(catalog, catalog.index, "official-2020", stage(150), "drop"))
    small = (catalogs.labels(catalog, "official-2020") == 1) & (catalog["n_pix_source"] <= 150)
    assert small.any() and not rows.index.isin(catalog.index[small]).any()


def test_official_stage_at_its_own_limit_is_the_whole_rule(catalog):
    rows = stage_labels(catalog, catalog.index, "official-2020", stage(20))
    pd.testing.assert_series_equal(rows, catalogs.labels(catalog, "official-2020"))


def test_clean_non_lenses_have_no_source(catalog):
    """As in the paper's task of large lenses, whose labels the catalog gives."""
    rows = stage_labels(catalog, catalog.index, "official-2020", stage(150, negatives="clean"))
    pd.testing.assert_series_equal(rows, catalogs.large_lens_labels(catalog, "official-2020").dropna())


def test_only_training_ids_in_their_order(catalog):
    train_ids = [200009, 200003, 200120, 200044, 200010]
    rows = stage_labels(catalog, iter(train_ids), "official-2020", stage(20))
    assert rows.index.tolist() == [i for i in train_ids if i in rows.index]


def test_stage_without_lenses_names_itself_and_counts(catalog):
    with pytest.raises(InputError) as error:
        stage_labels(catalog, catalog.index, "official-2020", stage(10**6))
    label = catalogs.labels(catalog, "official-2020")
    assert (
        f"stage with min_size = 1000000, negatives = 'all', below = 'drop' under official-2020: "
        f"0 lenses and {int((label == 0).sum())} non-lenses, with {int(label.sum())} smaller lenses, in "
        "400 training rows" in str(error.value)
    )


def test_stage_without_non_lenses(catalog):
    ids = catalog.index[catalogs.labels(catalog, "official-2020") == 1]
    with pytest.raises(InputError, match=f"{len(ids)} lenses and 0 non-lenses"):
        stage_labels(catalog, ids, "official-2020", stage(0))


def test_stage_without_rows(catalog):
    expected = "0 lenses and 0 non-lenses, with 0 smaller lenses, in 0 training rows"
    with pytest.raises(InputError, match=expected):
        stage_labels(catalog, [], "official-2020", stage(0))


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
        stage_labels(catalog, ids, rule, stage(0), below)


# Epochs


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 4), st.integers(0, 30))
def test_undersampling(lenses, non_lenses, seed, fold, epoch):
    rows = labelled(lenses, non_lenses)
    labels = rows
    order = epoch_order(rows, seed, fold, epoch)
    smaller = min(lenses, non_lenses)
    assert order.dtype == np.int64 and len(order) == 2 * smaller
    assert len(set(order)) == len(order)
    assert labels[order].sum() == smaller
    rare = labels.index[labels == float(lenses <= non_lenses)]
    assert set(rare) <= set(order)


@settings(deadline=None)
@given(st.integers(1, 10), st.integers(1, 40), st.integers(0, 9), st.integers(0, 5))
def test_undersampling_uses_all_over_the_epochs(smaller, larger, seed, number):
    rows = labelled(smaller, smaller + larger)
    epochs = -(-(smaller + larger) // smaller)
    seen = [epoch_order(rows, seed, 0, epochs * number + epoch) for epoch in range(epochs)]
    assert set(np.concatenate(seen)) == set(rows.index)


def test_undersampling_draws_afresh():
    rows = labelled(10, 100)
    subsets = {frozenset(epoch_order(rows, 1, 0, epoch)) for epoch in range(40)}
    assert len(subsets) == 40


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30))
def test_oversampling(lenses, non_lenses, epoch):
    rows = labelled(lenses, non_lenses)
    labels = rows
    order = epoch_order(rows, 3, 1, epoch, balance="oversample")
    larger, smaller = max(lenses, non_lenses), min(lenses, non_lenses)
    assert len(order) == 2 * larger and labels[order].sum() == larger
    times = pd.Series(order).value_counts()
    assert set(times.index) == set(labels.index)
    assert set(times[labels.index[labels == float(lenses < non_lenses)]]) <= {larger // smaller, larger // smaller + 1}
    assert set(times[labels.index[labels == float(lenses >= non_lenses)]]) <= {1, larger // smaller}


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_each_object_once(balance):
    rows = labelled(5, 20)
    order = epoch_order(rows, 3, 1, 4, balance)
    assert sorted(order) == rows.index.tolist() and order.tolist() != rows.index.tolist()


def test_no_balance_takes_a_single_class():
    assert sorted(epoch_order(labelled(3, 0), 0, 0, 0, balance="none")) == [1000, 1001, 1002]


@pytest.mark.parametrize("balance", BALANCES)
def test_order_is_a_function_of_its_arguments(balance):
    rows = labelled(20, 31)
    order = epoch_order(rows, 1, 2, 3, balance)
    assert np.array_equal(order, epoch_order(rows, 1, 2, 3, balance))
    assert np.array_equal(order, epoch_order(rows[::-1], 1, 2, 3, balance))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not np.array_equal(order, epoch_order(rows, *other, balance))


def test_order_is_mixed():
    """Lenses are not shown in one block."""
    rows = labelled(500, 500)
    shown = rows[epoch_order(rows, 0, 0, 0)].to_numpy()
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
    rows = labelled(2, 2)
    rows.iloc[0] = value
    with pytest.raises(InputError, match="labels to train on must be 0 or 1"):
        epoch_order(rows, 0, 0, 0)
    with pytest.raises(InputError, match="labels to train on must be 0 or 1"):
        class_weights(rows)


def test_unknown_balance():
    expected = "balance = 'both' is unknown. Choose one of: undersample, oversample, weights, none"
    with pytest.raises(InputError, match=expected):
        epoch_order(labelled(2, 2), 0, 0, 0, "both")


# Weights


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_weights_make_classes_count_alike(lenses, non_lenses):
    labels = labelled(lenses, non_lenses)
    weights = class_weights(labels)
    assert weights.shape == (2,) and weights.dtype == np.float64
    each = weights[labels.astype(int)]
    assert each.mean() == pytest.approx(1)
    assert each[labels == 1].sum() == pytest.approx(each[labels == 0].sum())


def test_weights_by_hand():
    assert class_weights(np.array([0, 0, 0, 1], dtype=np.float32)).tolist() == [4 / 6, 4 / 2]


def test_weights_of_one_class():
    with pytest.raises(InputError, match="3 lenses and 0 non-lenses: nothing to balance"):
        class_weights(np.ones(3))


# Twins


def twinned(rows: pd.Series, twin_ids, epoch: int = 0, balance: str = "undersample"):
    order = epoch_order(rows, 1, 0, epoch, balance)
    return order, *with_twins(order, rows, twin_ids)


def test_golden_twins():
    """By hand: lenses 1 to 4, all but 2 with a twin; non-lenses 11 to 15, of which two stay, one in each half."""
    order = np.array([11, 1, 12, 2, 13, 3, 14, 15, 4])
    labels = pd.Series([1.0] * 4 + [0.0] * 5, index=[1, 2, 3, 4, 11, 12, 13, 14, 15])
    ids, is_twin, label = with_twins(order, labels, [1, 3, 4, 11, 99])
    assert ids.tolist() == [1, 1, 11, 2, 3, 3, 4, 4, 13]
    assert np.flatnonzero(is_twin).tolist() == [1, 5, 7]
    assert label.tolist() == [1, 0, 0, 1, 1, 0, 1, 0, 0]
    assert (ids.dtype, is_twin.dtype, label.dtype) == (np.int64, bool, np.float64)


@settings(deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(0, 30), st.integers(0, 5),
    st.sampled_from(["undersample", "oversample", "none"]),
)  # fmt: skip
def test_pairs_are_never_parted_by_an_even_batch(lenses, non_lenses, with_twin, epoch, balance):
    rows = labelled(lenses, non_lenses)
    twin_ids = rows.index[: min(with_twin, lenses)]
    order, ids, is_twin, label = twinned(rows, twin_ids, epoch, balance)
    twins = np.flatnonzero(is_twin)
    assert (twins % 2 == 1).all()
    assert (ids[twins] == ids[twins - 1]).all() and (label[twins - 1] == 1).all() and not is_twin[twins - 1].any()
    assert (label[twins] == 0).all()
    # each lens as often as before, each with its twin if it has one
    shown, before = ids[label == 1], order[rows[order] == 1]
    assert sorted(shown) == sorted(before)
    assert sorted(ids[twins]) == sorted(i for i in before if i in set(twin_ids))
    # other non-lenses make room for them
    others = (label == 0) & ~is_twin
    assert others.sum() == max((rows[order] == 0).sum() - len(twins), 0)
    assert set(ids[others]) <= set(rows.index[rows == 0])


@pytest.mark.parametrize("with_twin", [0, 1, 7, 20])
@pytest.mark.parametrize("balance", ["undersample", "oversample"])
def test_a_balanced_epoch_stays_balanced_and_as_long(with_twin, balance):
    rows = labelled(20, 50)
    order, ids, _, label = twinned(rows, rows.index[:with_twin], balance=balance)
    assert len(ids) == len(order) and label.mean() == 0.5


def test_without_twins_the_order_stays():
    rows = labelled(20, 50)
    order, ids, is_twin, label = twinned(rows, [])
    assert np.array_equal(ids, order) and not is_twin.any()
    assert np.array_equal(label, rows[order])


def test_non_lenses_that_stay_are_spread_over_the_epoch():
    rows = labelled(200, 600)
    _, ids, is_twin, label = twinned(rows, rows.index[:200], balance="none")
    others = (label == 0) & ~is_twin
    quarters = [part.mean() for part in np.array_split(others, 4)]
    assert others.sum() == 400 and min(quarters) > 0.4 and max(quarters) < 0.6


def test_twins_are_a_function_of_the_arguments():
    rows = labelled(20, 50)
    first = twinned(rows, rows.index[:9])
    for one, other in zip(first, twinned(rows, rows.index[:9][::-1]), strict=True):
        assert np.array_equal(one, other)


# The user's own labels


def test_without_size_stages_every_lens_counts_its_size_known_or_not():
    catalog = given_catalog(np.array([0.9, 1.0, 0.6, 0.5, 0.2]), n_pix_source=[np.nan, 0.0, 50.0, np.nan, np.nan])
    found = stage_labels(catalog, catalog.index, "given", StageSettings(min_size=0))
    assert found.to_dict() == {1: 1.0, 2: 1.0, 3: 1.0, 5: 0.0}
    found = stage_labels(catalog.iloc[1:], [2, 3, 5], "given", StageSettings(min_size=20), "negative")
    assert found.to_dict() == {2: 0.0, 3: 1.0, 5: 0.0}
