import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import REAL_EINSTEIN_RADII, REAL_FIRST_ROWS, catalog_text, fake_catalog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.report.packs import show_folds
from lensfold.scoring.metrics import BIN_COUNT

GOLDEN = Path(__file__).parents[1] / "golden"
ARCSEC_PER_RADIAN = 206265
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROOMY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "catalog.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def message(path: Path) -> str:
    with pytest.raises(InputError) as error:
        catalogs.read_catalog(path)
    assert str(path) in str(error.value)
    return str(error.value)


def objects(**columns: list[float]) -> pd.DataFrame:
    """A catalog of a few objects, zero but for the given columns."""
    rows = len(next(iter(columns.values())))
    table = pd.DataFrame(0.0, index=pd.Index(range(1, rows + 1), name="ID"), columns=list(fake_catalog(1).columns))
    return table.assign(**columns)


# Reading


def test_columns_are_the_27_of_the_challenge():
    assert len(catalogs.COLUMNS) == 27
    assert catalogs.COLUMNS[:2] == ("", "ID")
    assert len(set(catalogs.COLUMNS)) == 27


def test_first_rows_hold_the_published_facts():
    table = catalogs.read_catalog(GOLDEN / "catalog_first_rows.csv")
    assert table.index.tolist() == list(REAL_FIRST_ROWS)
    for object_id, facts in REAL_FIRST_ROWS.items():
        for name, value in facts.items():
            np.testing.assert_equal(table.loc[object_id, name], value)
    radii = np.sqrt(table["ein_area"] / np.pi) * ARCSEC_PER_RADIAN
    # The quoted areas have three digits, which moves a radius by up to 0.004 arcsec.
    assert radii.to_dict() == pytest.approx(REAL_EINSTEIN_RADII, abs=0.009)
    assert table.loc[200003, "sb_contrast"] == catalogs.NO_SOURCE


def test_table_has_the_promised_shape(write):
    table = catalogs.read_catalog(write(catalog_text(fake_catalog(5))))
    assert table.index.name == "ID" and table.index.dtype == np.int64
    assert list(table.columns) == ["simulation_index", *catalogs.COLUMNS[2:]]
    assert set(table.dtypes) == {np.dtype(np.float64)}


@pytest.mark.parametrize("comments", [0, 1, 26, 28])
def test_number_of_comment_lines_does_not_matter(write, comments):
    table = fake_catalog(20)
    pd.testing.assert_frame_equal(catalogs.read_catalog(write(catalog_text(table, comments))), table)


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "-nan", "NA"])
def test_missing_magnification_becomes_nan(write, missing):
    table = fake_catalog(20)
    assert table["mag_eff"].isna().any()
    pd.testing.assert_frame_equal(catalogs.read_catalog(write(catalog_text(table, missing=missing))), table)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: text.replace("\n", "\n\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",ID", '"",ID'),
        lambda text: text.replace(",", ", "),
        lambda text: re.sub(r"(?m)^([\d.]+),(\d+),", r'"\1","\2",', text),
    ],
    ids=[
        "crlf",
        "cr",
        "no-last-newline",
        "blank-end",
        "blank-lines",
        "byte-order-mark",
        "quoted-name",
        "spaces",
        "quoted-numbers",
    ],
)
def test_other_spellings_of_the_same_file(write, change):
    table = fake_catalog(12)
    changed = change(catalog_text(table))
    assert changed != catalog_text(table)
    pd.testing.assert_frame_equal(catalogs.read_catalog(write(changed)), table)


def test_rows_are_sorted_by_id(write):
    table = fake_catalog(30)
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(catalogs.read_catalog(write(catalog_text(shuffled))), table)


def test_identical_doubled_rows_collapse(write):
    table = fake_catalog(50)
    doubled = pd.concat([table, table.iloc[[9, 19, 29, 9]], table[table["mag_eff"].isna()]])
    assert len(doubled) > len(table) + 4
    pd.testing.assert_frame_equal(catalogs.read_catalog(write(catalog_text(doubled))), table)


def test_path_may_be_text(write):
    assert len(catalogs.read_catalog(str(write(catalog_text(fake_catalog(3)))))) == 3


@st.composite
def tables(draw) -> pd.DataFrame:
    ids = draw(st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=6, unique=True))
    values = {name: draw(st.lists(FINITE, min_size=len(ids), max_size=len(ids))) for name in fake_catalog(1).columns}
    table = pd.DataFrame(values, index=pd.Index(sorted(ids), name="ID"), dtype=np.float64)
    empty = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    table["mag_eff"] = table["mag_eff"].mask(np.array(empty))
    return table


@ROOMY
@given(tables(), st.integers(0, 3), st.randoms())
def test_any_valid_table_comes_back_exactly(write, table, comments, random):
    order = list(range(len(table))) * 2
    random.shuffle(order)
    path = write(catalog_text(table.iloc[order], comments))
    pd.testing.assert_frame_equal(catalogs.read_catalog(path), table, check_exact=True)


@ROOMY
@given(st.data())
def test_any_damage_is_an_input_error_or_harmless(write, data):
    content = bytearray(catalog_text(fake_catalog(4), comments=2).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 30))
        content[place : place + length] = data.draw(st.binary(max_size=4) | st.sampled_from(DAMAGE))
    try:
        table = catalogs.read_catalog(write(bytes(content)))
    except InputError:
        return
    assert table.index.is_unique and np.isfinite(table.drop(columns="mag_eff")).all(axis=None)


DAMAGE = [
    b"",
    b",",
    b"\n",
    b'"',
    b"#",
    b"nan",
    b"inf",
    b"1_0",
    b"0x1",
    b"1e999",
    b"\0",
    b" ",
    b"True",
    b"-",
    b"\xd9\xa1",
]


@ROOMY
@given(st.integers(0, 7), st.sampled_from(catalogs.COLUMNS[1:]), st.sampled_from(["x", "1e999", "-inf", "None", "1 2"]))
def test_a_bad_value_is_named_by_line_and_column(write, row, name, value):
    text = with_field(fake_catalog(8), row, name, value)
    assert f"line {row + 28}, column {name}: found " in message(write(text))


def with_field(table: pd.DataFrame, row: int, name: str, value: str) -> str:
    """The file with one field replaced; data rows begin in line 28."""
    lines = catalog_text(table).split("\n")
    fields = lines[27 + row].split(",")
    fields[catalogs.COLUMNS.index(name)] = value
    lines[27 + row] = ",".join(fields)
    return "\n".join(lines)


# Wrong input


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mag_lens", "bright", "column mag_lens: found 'bright', expected a number"),
        ("mag_lens", "1\0", r"column mag_lens: found '1\x00', expected a number"),
        ("mag_lens", "9" * 60 + "x", f"found '{'9' * 40}...', expected a number"),
        ("mag_lens", "nan ", "found 'nan ', expected a number"),
        ("mag_lens", "1_000", "found '1_000', expected a number"),
        ("mag_lens", "\u0661", "found '\u0661', expected a number"),
        ("mag_lens", '"1"2', "expected a number"),
        ("mag_eff", "inf", "column mag_eff: found inf, expected a finite number"),
        ("mag_lens", "1e400", "column mag_lens: found inf, expected a finite number"),
        ("z_lens", "", "column z_lens: found nan, expected a number (only mag_eff may be empty)"),
        ("n_sources", "nan", "column n_sources: found nan, expected a number (only mag_eff may be empty)"),
        ("", "", "column simulation_index (the unnamed first): found nan, expected a number"),
        ("ID", "200001.5", "column ID: found 200001.5, expected a whole number that is not negative"),
        ("ID", "-1", "column ID: found -1.0, expected a whole number that is not negative"),
        ("ID", "1e16", "column ID: found 1e+16, expected a whole number that is not negative"),
    ],
)
def test_wrong_value(write, name, value, expected):
    found = message(write(with_field(fake_catalog(4), 2, name, value)))
    assert "line 30, " in found and expected in found


def test_an_id_with_two_different_rows(write):
    table = fake_catalog(6)
    other = table.iloc[[2]].assign(z_source=9.0, n_sources=7.0)
    found = message(write(catalog_text(pd.concat([table, other]))))
    assert "ID 200003 twice, in lines 30 and 34, with different rows: z_source is" in found
    assert "and then 9.0. Delete the wrong one." in found


def early_release(rows: int = 30) -> pd.DataFrame:
    """A catalog of IDs around 210000, whose row comes back, another one, as the first of column one's next run."""
    table = fake_catalog(rows)
    table.index = pd.Index(209_980 + np.arange(rows), name="ID")
    table["simulation_index"] = np.append(np.arange(9_979.0, 10_000), np.arange(1.0, rows - 20))
    again = table.loc[[210_000]].assign(simulation_index=0.0, z_source=9.0, n_sources=7.0)
    return pd.concat([table.loc[:210_000], again, table.loc[210_001:]])


def test_of_a_chunks_end_that_comes_back_the_first_row_counts(write):
    early = early_release()
    path = write(catalog_text(early))
    table = catalogs.read_catalog(path)
    pd.testing.assert_frame_equal(table, early[~early.index.duplicated()])
    assert table.loc[210_000, "z_source"] != 9
    assert table.attrs["notes"] == [
        f"{path}: 1 IDs have two different rows (210000: the last of a chunk, and again as the first row of the next, "
        "as in the challenge's early release); the first row counts"
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.rename(index={210_000: 209_990}),
        lambda table: table.assign(simulation_index=table["simulation_index"].replace(0.0, 5.0)),
        lambda table: pd.concat([table, table.loc[[210_000]].iloc[1:].assign(z_source=8.0)]),
        lambda table: table.sort_values("simulation_index"),
    ],
    ids=["other-id", "no-new-run", "three-rows", "second-first"],
)
def test_other_doubled_ids_with_different_rows_stay_errors(write, change):
    assert "twice, in lines" in message(write(catalog_text(change(early_release()))))


def test_identical_rows_are_kept_once_and_that_is_said(write):
    table = fake_catalog(6)
    path = write(catalog_text(pd.concat([table, table.iloc[[1, 3]]])))
    found = catalogs.read_catalog(path)
    pd.testing.assert_frame_equal(found, table)
    assert found.attrs["notes"] == [f"{path}: 2 rows are there twice (200002, 200004); one of each counts"]
    assert catalogs.read_catalog(write(catalog_text(table))).attrs["notes"] == []


def test_making_folds_says_which_rows_were_left_out(write, capsys):
    table = catalogs.read_catalog(write(catalog_text(early_release())))
    show_folds("p", table, pd.Series(np.arange(len(table)) % 3, index=table.index))
    assert f"note: {table.attrs['notes'][0]}\n" in capsys.readouterr().out


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("index", [False, True])
def test_a_catalog_that_pandas_read_and_wrote(write, times, index):
    table, path = fake_catalog(30, absent=2), write("")
    path.write_text(catalog_text(table))
    for _ in range(times):
        pd.read_csv(path, comment="#").to_csv(path, index=index)
    assert "Unnamed: 0" in path.read_text()
    found = catalogs.read_catalog(path)
    pd.testing.assert_frame_equal(found, table)
    assert catalogs.has_images(found).sum() == 28
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first}\n{rest.replace('0.', 'x.', 1)}")
    assert "line 2, column" in message(path) or "line 3, column" in message(path)


def test_a_counter_of_rows_says_nothing_of_images():
    table = fake_catalog(3).assign(simulation_index=[9_999.0, 10_000.0, 10_001.0])
    assert catalogs.has_images(table).all()


@pytest.mark.parametrize("values", [(np.nan, 2.0), (2.0, np.nan)])
def test_an_id_with_and_without_magnification(write, values):
    row = fake_catalog(1)
    text = catalog_text(pd.concat([row.assign(mag_eff=value) for value in values]))
    assert f"with different rows: mag_eff is {values[0]} and then {values[1]}" in message(write(text))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda names: names[:-1], "missing n_sources. Expected these 27 names"),
        (lambda names: [*names, "extra"], "unexpected 'extra'"),
        (lambda names: [*names, "ID"], "column 28 is ID, expected the end"),
        (lambda names: [names[1], names[0], *names[2:]], "column 1 is ID, expected simulation_index (the unnamed"),
        (lambda names: ["index", *names[1:]], "missing simulation_index (the unnamed first); unexpected 'index'"),
        (lambda names: [name.upper() for name in names], "missing x_crit, y_crit"),
    ],
)
def test_wrong_header(write, change, expected):
    lines = catalog_text(fake_catalog(3), comments=2).split("\n")
    lines[2] = ",".join(change(list(catalogs.COLUMNS)))
    found = message(write("\n".join(lines)))
    assert "line 3: not the header of a catalog: " in found and expected in found


def test_header_lost(write):
    text = catalog_text(fake_catalog(3), comments=0)
    assert "line 1: not the header of a catalog" in message(write(text.split("\n", 1)[1]))


@pytest.mark.parametrize("count", [1, 17, 26])
def test_file_cut_off(write, count):
    text = catalog_text(fake_catalog(3))
    lines = text.rstrip("\n").split("\n")
    lines[-1] = ",".join(lines[-1].split(",")[:count])
    assert f"line 30: {count} columns, expected 27 (1 such lines). Is the file cut off?" in message(
        write("\n".join(lines))
    )


def test_row_too_long(write):
    text = catalog_text(fake_catalog(3)).rstrip("\n") + ",1\n"
    assert "line 30: 28 columns, expected 27" in message(write(text))


def test_comment_after_the_header(write):
    assert "line 31: 1 columns, expected 27" in message(write(catalog_text(fake_catalog(3)) + "# end\n"))


def test_blank_lines_keep_line_numbers_right(write):
    text = with_field(fake_catalog(3), 2, "z_lens", "x").replace("\n", "\n\n")
    assert f"line {2 * 30 - 1}, column z_lens" in message(write(text))


@pytest.mark.parametrize("content", ["", "\n\n", " "])
def test_empty_file(write, content):
    assert "the catalog is empty" in message(write(content))


def test_comments_only(write):
    assert "the catalog has comment lines only" in message(write("# a\n# b\n"))


def test_header_only(write):
    assert "no rows after the header in line 27" in message(write(catalog_text(fake_catalog(0))))


def test_not_text(write):
    content = catalog_text(fake_catalog(2), comments=1).encode().replace(b"0.", b"\xff.", 1)
    assert "not UTF-8 text (byte 0xff). Is it the catalog, or still a compressed file?" in message(write(content))


def test_absent_file(tmp_path):
    assert "no such catalog. Put image_catalog2.0train.csv there." in message(tmp_path / "nowhere.csv")


def test_folder(tmp_path):
    assert "a folder, not a file, expected the catalog itself" in message(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs a file that is no regular file")
def test_file_below_a_file(write):
    assert "the catalog cannot be read" in message(write("") / "catalog.csv")


# Rules and bins


def test_any_source():
    table = objects(n_sources=[0, 1, 2])
    assert catalogs.labels(table, "any-source").tolist() == [0, 1, 1]


def test_official_2019():
    nan = np.nan
    table = objects(mag_eff=[2.1, 2.0, 1.2, 1.19, nan, nan, 1.5, 3.0], n_sources=[1, 1, 1, 1, 1, 0, 0, 0])
    np.testing.assert_equal(catalogs.labels(table, "official-2019").to_numpy(), [1, nan, nan, 0, nan, 0, 0, 0])


def test_official_2020():
    table = objects(
        n_source_im=[1, 0, 1, 1, 1], mag_eff=[1.61, 1.61, 1.6, 1.61, np.nan], n_pix_source=[21, 21, 21, 20, 21]
    )
    assert catalogs.labels(table, "official-2020").tolist() == [1, 0, 0, 0, 0]


def test_labels_are_float_by_id():
    table = fake_catalog(200)
    for rule in catalogs.LABEL_RULES:
        labels = catalogs.labels(table, rule)
        assert labels.dtype == np.float64 and labels.index.equals(table.index)
        assert set(labels.dropna()) == {0.0, 1.0}
        assert labels.isna().any() == (rule == "official-2019")
    assert catalogs.DEFAULT_RULE in catalogs.LABEL_RULES


def test_first_rows_under_the_rules_that_need_no_elided_column():
    table = catalogs.read_catalog(GOLDEN / "catalog_first_rows.csv")
    assert catalogs.labels(table, "any-source").tolist() == [1, 1, 0, 1, 1]
    np.testing.assert_equal(catalogs.labels(table, "official-2019").to_numpy(), [1, 1, 0, 1, np.nan])


def test_unknown_rule():
    with pytest.raises(InputError, match="'official' is unknown.*any-source, official-2019, official-2020"):
        catalogs.labels(fake_catalog(3), "official")


def test_size_bins():
    sizes = [0, 20, 21, 40, 41, 70, 71, 150, 151, 300, 301, 9999]
    assert catalogs.size_bins(objects(n_pix_source=sizes)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert len(catalogs.SIZE_BIN_NAMES) == len(catalogs.SIZE_BINS) + 1 == BIN_COUNT


def test_score_bins():
    radii = np.array([0.5, 1.5, 1.6, 2.5, 3.5, 4.5, 60.0])
    table = objects(
        n_pix_source=[0, 30, 50, 100, 200, 400, 400],
        ein_area=np.pi * (radii * (1 - 1e-12) / catalogs.ARCSEC_PER_RADIAN) ** 2,
        mag_lens=[17, 18, 18.1, 19.5, 20.5, 22, 22.1],
        mag_source=[28, 27, 26, 25, 24, 23, 22],
    )
    table.loc[7, "ein_area"] = 0.0  # no radius
    bins = catalogs.score_bins(table)
    assert list(bins.columns) == list(catalogs.BIN_NAMES) and (bins.dtypes == np.int64).all()
    assert bins["size"].tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert bins["radius"].tolist() == [0, 0, 1, 2, 3, 4, -1]
    assert catalogs.radius_bins(radii).tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert bins["lens_magnitude"].tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert bins["source_magnitude"].tolist() == [5, 4, 3, 2, 1, 0, 0]
    assert {len(names) for names in catalogs.BIN_NAMES.values()} == {BIN_COUNT}


def test_large_lens_labels():
    table = objects(
        n_sources=[1, 1, 0, 0, 2],
        n_pix_source=[151, 150, 400, 0, 999],
        mag_eff=[3, 3, np.nan, np.nan, 1.5],
        n_source_im=[1, 1, 0, 0, 1],
    )
    large = catalogs.large_lens_labels
    np.testing.assert_equal(large(table, "any-source").to_numpy(), [1, np.nan, 0, 0, 1])
    np.testing.assert_equal(large(table, "any-source", 500).to_numpy(), [np.nan, np.nan, 0, 0, 1])
    np.testing.assert_equal(large(table, "official-2020").to_numpy(), [1, np.nan, 0, 0, np.nan])
    with pytest.raises(InputError, match="rule"):
        large(table, "mine")


def test_halo_groups():
    groups = catalogs.halo_groups(objects(z_lens=[0.7, 0.5, 0.7, 0.7], halo_mass=[2.0, 2.0, 2.0, 3.0]))
    assert groups.tolist() == [1, 0, 1, 2] and groups.dtype == np.int64
    assert catalogs.halo_groups(fake_catalog(500, haloes=7)).nunique() == 7


def test_has_images():
    table = fake_catalog(30, absent=3)
    assert catalogs.has_images(table).tolist() == [True] * 27 + [False] * 3


def test_log_einstein_radius():
    table = pd.DataFrame(REAL_FIRST_ROWS).T
    logs = catalogs.log_einstein_radius(table)
    assert logs.dtype == np.float64
    assert np.exp(logs).to_dict() == pytest.approx(REAL_EINSTEIN_RADII, abs=0.009)
    # a circle of one arcsec; then what is no area, and the smallest normal float
    area = np.pi * np.radians(1 / 3600) ** 2
    logs = catalogs.log_einstein_radius(objects(ein_area=[area, 0.0, -area, np.finfo(float).tiny]))
    assert logs.iloc[0] == pytest.approx(0, abs=1e-12) and np.isfinite(logs.iloc[3])
    assert np.isnan(logs.iloc[1]) and np.isnan(logs.iloc[2])
