import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import fake_catalog
from fakes.labels import given_catalog
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lensfold.data import catalog as catalogs
from lensfold.data.folds import (
    folds_hash,
    is_undivided,
    make_folds,
    read_folds,
    strata_table,
    too_few,
    write_folds,
)
from lensfold.errors import InputError
from lensfold.report.packs import show_folds, show_strata

GOLDEN = Path(__file__).parents[1] / "golden" / "folds_first_twenty.csv"


@pytest.fixture
def catalog() -> pd.DataFrame:
    return fake_catalog(600, absent=3)


def lenses(catalog: pd.DataFrame) -> pd.Series:
    return catalogs.labels(catalog, "official-2020")


# Making


@pytest.mark.parametrize("group", [False, True])
def test_every_id_once(catalog, group):
    folds = make_folds(catalog, 5, seed=1, group=group)
    assert folds.index.equals(catalog.index)
    assert (folds.name, folds.index.name, folds.dtype) == ("fold", "ID", np.int64)
    assert sorted(folds.unique()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("group", [False, True])
def test_a_function_of_catalog_and_seed(catalog, group):
    folds = make_folds(catalog, 4, seed=7, group=group)
    pd.testing.assert_series_equal(make_folds(catalog, 4, seed=7, group=group), folds)
    shuffled = catalog.sample(frac=1, random_state=2)
    pd.testing.assert_series_equal(make_folds(shuffled, 4, seed=7, group=group), folds)
    assert not make_folds(catalog, 4, seed=8, group=group).equals(folds)


def test_stratified_on_size_images_and_sources(catalog):
    folds = make_folds(catalog, 5, seed=1)
    images = catalog["n_source_im"].clip(upper=3)
    strata = pd.DataFrame({"bin": catalogs.size_bins(catalog), "images": images, "sources": catalog["n_sources"]})
    for _, members in strata.groupby(list(strata.columns)):
        if len(members) >= 5:
            counts = np.bincount(folds[members.index], minlength=5)
            assert counts.max() - counts.min() <= 2


def test_more_than_three_images_count_as_three(catalog):
    assert (catalog["n_source_im"] > 3).sum() > 5
    fewer = catalog.assign(n_source_im=catalog["n_source_im"].clip(upper=3))
    pd.testing.assert_series_equal(make_folds(catalog, 5, seed=1), make_folds(fewer, 5, seed=1))


@pytest.mark.parametrize("group", [False, True])
def test_share_of_lenses_is_even(group):
    catalog = fake_catalog(3000)
    share = lenses(catalog).groupby(make_folds(catalog, 5, seed=3, group=group)).mean()
    assert share.max() - share.min() < 0.05


@pytest.mark.parametrize("group", [False, True])
def test_folds_do_not_depend_on_the_label_rule(catalog, group):
    """mag_eff decides both official rules and may not move an object; nor may any other column outside the strata."""
    changed = catalog.copy()
    keep = {"n_pix_source", "n_source_im", "n_sources", "z_lens", "halo_mass"}
    for name in set(catalog.columns) - keep:
        changed[name] = catalog[name].to_numpy()[::-1]
    for rule in ("official-2019", "official-2020"):
        assert not catalogs.labels(changed, rule).equals(catalogs.labels(catalog, rule))
    pd.testing.assert_series_equal(
        make_folds(changed, 5, seed=1, group=group), make_folds(catalog, 5, seed=1, group=group)
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(60, 300), st.integers(2, 5), st.integers(0, 99), st.integers(20, 60))
def test_grouped_folds_never_split_a_halo(rows, k, seed, haloes):
    catalog = fake_catalog(rows, seed, haloes)
    try:
        folds = make_folds(catalog, k, seed, group=True)
    except InputError:
        assume(False)
    assert folds.groupby(catalogs.halo_groups(catalog)).nunique().max() == 1
    assert folds.nunique() == k


def test_plain_folds_do_split_haloes(catalog):
    """Otherwise the test above would prove nothing."""
    assert make_folds(catalog, 5, seed=1).groupby(catalogs.halo_groups(catalog)).nunique().max() > 1


@settings(deadline=None, max_examples=60)
@given(st.integers(6, 80), st.integers(2, 8), st.integers(0, 9))
def test_rare_strata_are_merged_without_a_warning(rows, k, seed):
    catalog = fake_catalog(rows, seed)
    counts = lenses(catalog).value_counts()
    if len(counts) < 2 or counts.min() < k:
        with pytest.raises(InputError):
            make_folds(catalog, k, seed)
        return
    sizes = np.bincount(make_folds(catalog, k, seed))
    assert len(sizes) == k and sizes.max() - sizes.min() <= 10 and sizes.min() > 0


def test_every_object_its_own_stratum():
    """Pooling must go on until the pools are large enough, here down to a single one."""
    catalog = fake_catalog(6).assign(
        n_pix_source=[0, 30, 50, 100, 200, 400], n_source_im=[0, 1, 2, 3, 0, 1], n_sources=1, mag_eff=5
    )
    folds = make_folds(catalog, 2, seed=0)
    assert np.bincount(folds).tolist() == [3, 3]


def test_too_few_folds(catalog):
    with pytest.raises(InputError, match=r"k = 1 folds: at least 2 are needed"):
        make_folds(catalog, 1, seed=0)


def test_too_few_of_a_class():
    catalog = fake_catalog(10).assign(n_source_im=0.0)
    with pytest.raises(InputError, match="by official-2020 the catalog has 0 lenses and 10 non-lenses. Take fewer"):
        make_folds(catalog, 3, seed=0)


def test_too_few_haloes():
    catalog = fake_catalog(200, haloes=3)
    with pytest.raises(InputError, match="has 3 haloes with lenses and 3 haloes with non-lenses"):
        make_folds(catalog, 4, seed=0, group=True)


def test_one_huge_halo_leaves_no_fold_empty():
    catalog = fake_catalog(100, haloes=60)
    huge = catalog.index[:60]
    catalog.loc[huge, ["z_lens", "halo_mass"]] = [0.7, 1e14]
    folds = make_folds(catalog, 3, seed=0, group=True)
    assert folds[huge].nunique() == 1 and folds.nunique() == 3


def test_haloes_that_cannot_fill_the_folds(monkeypatch, catalog):
    """scikit-learn promises no member to each fold; an empty one must not pass."""

    def nothing_for_the_last(self, *_):
        rows = np.arange(len(catalog))
        return iter([(rows[:0], rows), (rows, rows[:0])])

    monkeypatch.setattr("sklearn.model_selection.StratifiedGroupKFold.split", nothing_for_the_last)
    with pytest.raises(InputError, match="cannot be divided into 2 folds: objects per fold would be 600, 0"):
        make_folds(catalog, 2, seed=0, group=True)


# Files


def test_file_comes_back(tmp_path, catalog):
    path = tmp_path / "new" / "folds.csv"
    folds = make_folds(catalog, 5, seed=1)
    write_folds(path, folds.sample(frac=1, random_state=1))
    pd.testing.assert_series_equal(read_folds(path, catalog), folds)
    assert [found.name for found in path.parent.iterdir()] == ["folds.csv"]


def test_rows_of_a_file_may_stand_in_any_order(tmp_path, catalog):
    folds = make_folds(catalog, 5, seed=1)
    rows = [f"{object_id},{fold}\n" for object_id, fold in folds[::-1].items()]
    (tmp_path / "folds.csv").write_text("ID,fold\n" + "".join(rows))
    pd.testing.assert_series_equal(read_folds(tmp_path / "folds.csv", catalog), folds)


def test_hash_is_that_of_the_file_and_ignores_row_order(tmp_path, catalog):
    folds = make_folds(catalog, 5, seed=1)
    write_folds(tmp_path / "folds.csv", folds)
    assert folds_hash(folds) == hashlib.sha256((tmp_path / "folds.csv").read_bytes()).hexdigest()
    assert folds_hash(folds[::-1]) == folds_hash(folds)
    changed = folds.copy()
    changed.iloc[0] = (changed.iloc[0] + 1) % 5
    assert folds_hash(changed) != folds_hash(folds)


def test_golden_folds(tmp_path):
    """A change here means that every published out-of-fold score loses its folds."""
    catalog = fake_catalog(20)
    write_folds(tmp_path / "folds.csv", make_folds(catalog, 4, seed=2020))
    assert (tmp_path / "folds.csv").read_text() == GOLDEN.read_text()


def test_absent_file(tmp_path, catalog):
    with pytest.raises(InputError, match="no folds yet. Run `make folds`"):
        read_folds(tmp_path / "folds.csv", catalog)


@pytest.mark.parametrize("content", [None, b"ID,fold\n\xff,1\n"])
def test_unreadable_file(tmp_path, catalog, content):
    path = tmp_path
    if content:
        path = tmp_path / "folds.csv"
        path.write_bytes(content)
    with pytest.raises(InputError, match="the folds cannot be read"):
        read_folds(path, catalog)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "line 1: found '', expected the header 'ID,fold'"),
        ("ID;fold\n1,0\n", "line 1: found 'ID;fold', expected the header 'ID,fold'"),
        ("1,0\n2,1\n", "line 1: found '1,0', expected the header"),
        ("ID,fold\n1,0\n2,-1\n", "line 3: found '2,-1', expected an ID and a fold number"),
        ("ID,fold\n1,0\n2\n", "line 3: found '2', expected"),
        ("ID,fold\n1,0\n\n2,1\n", "line 3: found '', expected"),
        ("ID,fold\n1,0,0\n", "line 2: found '1,0,0', expected"),
        ("ID,fold\n1,0\n2,1.0\n", "line 3: found '2,1.0', expected"),
        ("ID,fold\n1,0\n2,1\n2,1\n3,0\n4,1\n", "1 of the IDs doubled: 2. Do the folds belong to this pack?"),
        ("ID,fold\n1,0\n2,1\n3,0\n4,1\n9,1\n", "1 of the IDs not in the catalog: 9."),
        ("ID,fold\n1,0\n2,1\n", "2 of the IDs missing: 3, 4."),
        ("ID,fold\n", "4 of the IDs missing: 1, 2, 3, 4."),
        ("ID,fold\n1,0\n2,2\n3,0\n4,2\n", "fold numbers are 0, 2; expected 0, 1, ... without a gap"),
        ("ID,fold\n1,1\n2,2\n3,1\n4,2\n", "fold numbers are 1, 2; expected"),
        ("ID,fold\n1,0\n2,0\n3,0\n4,0\n", "fold numbers are 0; expected 0, 1, ... without a gap, at least two"),
    ],
)
def test_wrong_file(tmp_path, content, expected):
    catalog = fake_catalog(4)
    catalog.index = pd.Index([1, 2, 3, 4], name="ID")
    path = tmp_path / "folds.csv"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_folds(path, catalog)
    assert expected in str(error.value) and str(path) in str(error.value)


def test_long_lists_of_ids_are_cut(tmp_path, catalog):
    write_folds(tmp_path / "folds.csv", make_folds(catalog, 2, seed=0)[10:])
    with pytest.raises(InputError, match="10 of the IDs missing: 200001, 200002, 200003, 200004, 200005, ..."):
        read_folds(tmp_path / "folds.csv", catalog)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text("0123456789,\nIDfold", max_size=40).map(lambda t: ("ID,fold\n" + t).encode()))
def test_any_file_is_read_or_refused(tmp_path, content):
    catalog = fake_catalog(4)
    catalog.index = pd.Index([1, 2, 3, 4], name="ID")
    path = tmp_path / "folds.csv"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert read_folds(path, catalog).index.equals(catalog.index)


# Table


def test_strata_table(catalog):
    folds = make_folds(catalog, 3, seed=1)
    rows = strata_table(catalog, folds)
    assert [row["fold"] for row in rows] == [0, 1, 2, "all"]
    assert [row["n"] for row in rows] == [*np.bincount(folds), 600]
    for row in rows:
        members = catalog if row["fold"] == "all" else catalog[folds == row["fold"]]
        assert sum(row[name] for name in catalogs.SIZE_BIN_NAMES) == row["n"]
        assert row[">300"] == (members["n_pix_source"] > 300).sum()
        for rule in catalogs.LABEL_RULES:
            assert row[rule] == catalogs.labels(members, rule).mean()
        halo = members.groupby(["z_lens", "halo_mass"]).size()
        assert row["largest_halo"] == pytest.approx(halo.max() / row["n"])
        assert row["shared_haloes"] > 0.9


def test_shared_haloes_by_hand():
    """Halo A in folds 0 and 1, B only in fold 0, C in all three."""
    catalog = fake_catalog(8).assign(halo_mass=1e14, z_lens=[0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3])
    folds = pd.Series([0, 1, 0, 0, 0, 0, 1, 2], index=catalog.index, name="fold")
    rows = strata_table(catalog, folds)
    assert [row["shared_haloes"] for row in rows] == [2 / 5, 1, 1, 5 / 8]
    assert [row["largest_halo"] for row in rows] == [3 / 5, 1 / 2, 1, 3 / 8]


def test_strata_table_of_grouped_folds_shares_no_halo(catalog):
    rows = strata_table(catalog, make_folds(catalog, 3, seed=1, group=True))
    assert {row["shared_haloes"] for row in rows} == {0.0}


def test_strata_table_without_a_labelled_object(catalog):
    catalog = catalog.assign(mag_eff=1.5, n_sources=1.0)
    folds = make_folds(fake_catalog(600, absent=3), 3, seed=1)
    assert strata_table(catalog, folds)[0]["official-2019"] is None


# The user's own labels


def test_given_labels_are_spread_evenly_and_groups_kept_together():
    label = np.where(np.arange(90) % 9 == 0, 0.8, 0.1)
    folds = make_folds(given_catalog(label), 3, seed=1)
    lenses = folds[label > 0.5]
    assert lenses.value_counts().max() - lenses.value_counts().min() <= 1
    grouped = given_catalog(label, group=np.arange(90) // 5)
    folds = make_folds(grouped, 3, seed=1, group=True)
    assert (folds.groupby(grouped["group"]).nunique() == 1).all()


def test_too_few_given_labels_of_a_class_are_not_divided(tmp_path):
    catalog = given_catalog(np.array([1.0, 0.9, 0.5, 0.0, 0.1, 0.2]))
    assert "3 folds need at least 3 lenses and non-lenses; labels.csv has 2 lenses" in too_few(catalog, 3, False)
    folds = make_folds(catalog, 3, seed=1)
    assert folds.eq(0).all() and is_undivided(folds) and folds.index.tolist() == catalog.index.tolist()
    write_folds(tmp_path / "folds.csv", folds)
    pd.testing.assert_series_equal(read_folds(tmp_path / "folds.csv", catalog), folds)
    assert not is_undivided(make_folds(catalog, 2, seed=1)) and too_few(catalog, 2, False) == ""


def test_strata_of_given_labels_say_only_what_is_known(capsys):
    catalog = given_catalog(np.array([1.0, 0.9, 0.5, 0.0, 0.1, 0.2]))
    folds = make_folds(catalog, 2, seed=1)
    assert set(strata_table(catalog, folds)[0]) == {"fold", "n", "given"}
    show_folds("mine", catalog, folds)
    sized = catalog.assign(n_pix_source=[30.0, *[np.nan] * 5], group=[1, 1, 2, 2, 3, 3])
    show_folds("mine", sized, folds)
    show_strata(sized, folds)
    printed = capsys.readouterr().out
    assert "halo" not in printed and "largest group" in printed and "shared groups" in printed
    assert strata_table(sized, folds)[-1]["21-40"] == 1 and "unknown" in printed
