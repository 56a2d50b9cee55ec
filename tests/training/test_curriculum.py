import numpy as np
import pandas as pd
import pytest
from fakes.catalog import fake_catalog
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.config import StageSettings
from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.training.curriculum import BALANCES, class_weights, epoch_order, stage_rows, with_twins


@pytest.fixture
def catalog() -> pd.DataFrame:
    return fake_catalog(400)


def stage(min_size: int = 20, **changes) -> StageSettings:
    return StageSettings(min_size=min_size, epochs=1, learning_rate=0.001, **changes)


def labelled(lenses: int, non_lenses: int, replayed: int = 0) -> pd.DataFrame:
    """Rows of a stage with IDs from 1000: its lenses, its non-lenses, and lenses to replay."""
    label = np.repeat([1.0, 0.0, 1.0], [lenses, non_lenses, replayed])
    replay = np.arange(len(label)) >= lenses + non_lenses
    return pd.DataFrame({"label": label, "replay": replay}, index=pd.Index(1000 + np.arange(len(label)), name="ID"))


# Stages


@pytest.mark.parametrize("rule", catalogs.LABEL_RULES)
@pytest.mark.parametrize("below", ["drop", "negative"])
@pytest.mark.parametrize("negatives", ["all", "clean"])
@pytest.mark.parametrize(("min_size", "max_size", "replay"), [(0, None, 0.0), (20, 150, 0.0), (70, 150, 0.3)])
def test_stage_rows_object_by_object(catalog, rule, below, negatives, min_size, max_size, replay):
    train_ids = catalog.index[::2]
    chosen = stage(min_size, max_size=max_size, replay=replay, negatives=negatives)
    rows = stage_rows(catalog, train_ids, rule, chosen, below)
    labels = catalogs.labels(catalog, rule)
    expected = {}
    for object_id in train_ids:
        size, sourceless = catalog.loc[object_id, "n_pix_source"], catalog.loc[object_id, "n_sources"] == 0
        is_small, is_large = size <= min_size, size > (max_size or np.inf)
        is_negative = labels[object_id] == 0 or (labels[object_id] == 1 and is_small and below == "negative")
        if labels[object_id] == 1 and not is_small and (replay or not is_large):
            expected[object_id] = (1.0, is_large)
        elif is_negative and (negatives == "all" or sourceless):
            expected[object_id] = (0.0, False)
    assert dict(zip(rows.index, rows.itertuples(index=False, name=None), strict=True)) == expected
    assert rows.columns.tolist() == ["label", "replay"] and rows.index.dtype == np.int64
    assert rows["label"].dtype == np.float64 and rows["replay"].dtype == bool


def test_drop_is_the_default_and_leaves_small_lenses_out(catalog):
    rows = stage_rows(catalog, catalog.index, "official-2020", stage(150))
    assert rows.equals(stage_rows(catalog, catalog.index, "official-2020", stage(150), "drop"))
    small = (catalogs.labels(catalog, "official-2020") == 1) & (catalog["n_pix_source"] <= 150)
    assert small.any() and not rows.index.isin(catalog.index[small]).any()


def test_official_stage_at_its_own_limit_is_the_whole_rule(catalog):
    rows = stage_rows(catalog, catalog.index, "official-2020", stage(20))
    pd.testing.assert_series_equal(rows["label"], catalogs.labels(catalog, "official-2020"))
    assert not rows["replay"].any()


def test_a_lens_of_exactly_the_largest_size_is_the_stage_s_own(catalog):
    lenses = catalog[catalogs.labels(catalog, "official-2020") == 1]
    size = int(sorted(lenses["n_pix_source"])[len(lenses) // 2])
    rows = stage_rows(catalog, catalog.index, "official-2020", stage(20, max_size=size, replay=0.5))
    at_limit = lenses.index[lenses["n_pix_source"] == size]
    assert len(at_limit) and not rows.loc[at_limit, "replay"].any()
    assert rows.loc[lenses.index[lenses["n_pix_source"] > size], "replay"].all()


def test_clean_non_lenses_have_no_source(catalog):
    """As in the paper's task of large lenses, whose labels the catalog gives."""
    rows = stage_rows(catalog, catalog.index, "official-2020", stage(150, negatives="clean"))
    pd.testing.assert_series_equal(rows["label"], catalogs.large_lens_labels(catalog, "official-2020").dropna())


def test_only_training_ids_in_their_order(catalog):
    train_ids = [200009, 200003, 200120, 200044, 200010]
    rows = stage_rows(catalog, iter(train_ids), "official-2020", stage(20))
    assert rows.index.tolist() == [i for i in train_ids if i in rows.index]


def test_stage_without_lenses_names_itself_and_counts(catalog):
    with pytest.raises(InputError) as error:
        stage_rows(catalog, catalog.index, "official-2020", stage(10**6))
    label = catalogs.labels(catalog, "official-2020")
    assert (
        f"stage with min_size = 1000000, max_size = None, negatives = 'all', below = 'drop' under official-2020: "
        f"0 lenses and {int((label == 0).sum())} non-lenses, with {int(label.sum())} smaller and 0 larger lenses, in "
        "400 training rows" in str(error.value)
    )


def test_replay_alone_is_no_stage(catalog):
    lenses = catalog[catalogs.labels(catalog, "official-2020") == 1]
    kept = catalog.drop(lenses.index[lenses["n_pix_source"] <= 150])
    large = int((lenses["n_pix_source"] > 150).sum())
    with pytest.raises(InputError, match=f" 0 lenses and .* with 0 smaller and {large} larger lenses"):
        stage_rows(kept, kept.index, "official-2020", stage(20, max_size=150, replay=1.0))


def test_stage_without_non_lenses(catalog):
    ids = catalog.index[catalogs.labels(catalog, "official-2020") == 1]
    with pytest.raises(InputError, match=f"{len(ids)} lenses and 0 non-lenses"):
        stage_rows(catalog, ids, "official-2020", stage(0))


def test_stage_without_rows(catalog):
    expected = "0 lenses and 0 non-lenses, with 0 smaller and 0 larger lenses, in 0 training rows"
    with pytest.raises(InputError, match=expected):
        stage_rows(catalog, [], "official-2020", stage(0))


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
        stage_rows(catalog, ids, rule, stage(0), below)


# Epochs


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 4), st.integers(0, 30))
def test_undersampling(lenses, non_lenses, seed, fold, epoch):
    rows = labelled(lenses, non_lenses)
    labels = rows["label"]
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
    labels = rows["label"]
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
    rows = labelled(20, 31, 12)
    order = epoch_order(rows, 1, 2, 3, balance, 0.5)
    assert np.array_equal(order, epoch_order(rows, 1, 2, 3, balance, 0.5))
    assert np.array_equal(order, epoch_order(rows[::-1], 1, 2, 3, balance, 0.5))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not np.array_equal(order, epoch_order(rows, *other, balance, 0.5))


def test_order_is_mixed():
    """Lenses are not shown in one block."""
    rows = labelled(500, 500)
    shown = rows["label"][epoch_order(rows, 0, 0, 0)].to_numpy()
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
    rows.iloc[0, 0] = value
    with pytest.raises(InputError, match="labels to train on must be 0 or 1"):
        epoch_order(rows, 0, 0, 0)
    with pytest.raises(InputError, match="labels to train on must be 0 or 1"):
        class_weights(rows["label"])


def test_unknown_balance():
    expected = "balance = 'both' is unknown. Choose one of: undersample, oversample, weights, none"
    with pytest.raises(InputError, match=expected):
        epoch_order(labelled(2, 2), 0, 0, 0, "both")


# Replay


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 2), (0.25, 5), (1.0, 20)])
@pytest.mark.parametrize("balance", BALANCES)
def test_a_share_of_the_larger_lenses_is_shown_again(balance, share, count):
    rows = labelled(10, 60, 20)
    order = epoch_order(rows, 1, 0, 0, balance, share)
    labels = rows["label"][order]
    assert len(set(order) & set(rows.index[rows["replay"]])) == count
    assert set(rows.index[:10]) <= set(order)
    if balance in ("undersample", "oversample"):
        assert labels.mean() == 0.5
    assert len(order) == {"undersample": 2 * (10 + count), "oversample": 120}.get(balance, 70 + count)


def test_replay_is_drawn_afresh_and_shows_every_lens_in_time():
    rows = labelled(10, 60, 20)
    replayed = set(rows.index[rows["replay"]])
    drawn = [frozenset(replayed & set(epoch_order(rows, 1, 0, epoch, replay=0.25))) for epoch in range(30)]
    assert len(set(drawn)) > 25
    assert frozenset().union(*drawn) == replayed
    assert drawn[0] != replayed & set(epoch_order(rows, 1, 1, 0, replay=0.25))


def test_replay_changes_nothing_else():
    """With a share of nothing the order is that of a stage without larger lenses."""
    assert np.array_equal(epoch_order(labelled(10, 60, 20), 1, 0, 3), epoch_order(labelled(10, 60), 1, 0, 3))


# Weights


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_weights_make_classes_count_alike(lenses, non_lenses):
    labels = labelled(lenses, non_lenses)["label"]
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


def twinned(rows: pd.DataFrame, twin_ids, epoch: int = 0, balance: str = "undersample"):
    order = epoch_order(rows, 1, 0, epoch, balance)
    return order, *with_twins(order, rows["label"], twin_ids)


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
    shown, before = ids[label == 1], order[rows["label"][order] == 1]
    assert sorted(shown) == sorted(before)
    assert sorted(ids[twins]) == sorted(i for i in before if i in set(twin_ids))
    # other non-lenses make room for them
    others = (label == 0) & ~is_twin
    assert others.sum() == max((rows["label"][order] == 0).sum() - len(twins), 0)
    assert set(ids[others]) <= set(rows.index[rows["label"] == 0])


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
    assert np.array_equal(label, rows["label"][order])


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
