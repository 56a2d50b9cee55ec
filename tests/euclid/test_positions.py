"""Catalogs of positions: whatever table people have, with names that stay as they are."""

import sys

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table

from lensfold.errors import InputError
from lensfold.euclid.tiles.positions import Columns, Positions, read_positions


def read(path, **columns) -> Positions:
    return read_positions(path, Columns(**columns))


def written(path, table):
    Table(table).write(path, format={".vot": "votable", ".ecsv": "ascii.ecsv"}.get(path.suffix))
    return path


def test_a_csv_keeps_its_names_as_they_are_written(tmp_path):
    (tmp_path / "c.csv").write_text(
        "﻿Object_ID,RA,Dec,mag\n2697231412345678901,10.5,-20.25,\n-12,370,0\n 007 ,-5,1e1,3\n"
    )
    found = read(tmp_path / "c.csv")
    assert found.table["name"].tolist() == ["2697231412345678901", "-12", "007"]
    assert found.table[["ra", "dec"]].to_numpy().tolist() == [[10.5, -20.25], [370.0, 0.0], [-5.0, 10.0]]
    assert found.columns == "positions from the columns RA and Dec, names from Object_ID"
    assert found.table["ID"].between(10**14, 10**15 - 1).all() and found.skipped.empty


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot"])
def test_integers_of_64_bits_are_exact(tmp_path, ending):
    ids = np.array([9223372036854775807, -9223372036854775807])
    table = {"SOURCE_ID": ids, "ALPHA_J2000": [1.25, 2.5], "DELTA_J2000": [3.0, 4.0]}
    found = read(written(tmp_path / f"c.{ending}", table)).table
    assert found["name"].tolist() == ["9223372036854775807", "-9223372036854775807"]
    assert found["ra"].tolist() == [1.25, 2.5]


def test_text_masks_and_units_of_a_fits_table(tmp_path):
    table = Table({"name": np.array([b"a b  ", b"c", b"d"]), "dec": [0.1, 0.2, 0.3] * units.rad})
    table["ra"] = MaskedColumn([1.0, 2.0, 3.0], mask=[False, True, False], unit="deg")
    found = read(written(tmp_path / "c.fits", table))
    assert found.table["name"].tolist() == ["a b", "d"]
    assert found.table["dec"].to_numpy() == pytest.approx(np.degrees([0.1, 0.3]), rel=1e-14)
    assert found.skipped.to_numpy().tolist() == [["c", "its RA or Dec is not a number"]]


def test_columns_may_be_named_and_names_may_be_absent(tmp_path):
    path = written(tmp_path / "c.fits", {"a": [1.0, 2.0], "b": [3.0, -4.0], "ra": [7.0, 8.0]})
    found = read(path, ra="a", dec="b").table
    assert found["ra"].tolist() == [1.0, 2.0]
    assert found["name"].tolist() == ["1.00000+3.00000", "2.00000-4.00000"]
    with pytest.raises(InputError, match="no column of declination by a usual name; its columns are a, b, ra"):
        read(path)
    with pytest.raises(InputError, match="--id objid: no such column; its columns are a, b, ra"):
        read(path, ra="a", dec="b", id="objid")


def test_rows_without_a_usable_position_are_left_out_with_the_reason(tmp_path):
    (tmp_path / "c.csv").write_text("id,ra,dec\na,1,2\nb,nan,2\nc,,2\nd,1,91\ne,1e5,0\na,1,2\na,1,3\nf,inf,0\n")
    found = read(tmp_path / "c.csv")
    assert found.table["name"].tolist() == ["a", "a"]
    assert dict(found.skipped.to_numpy().tolist()[:4]) == {
        "b": "its RA or Dec is not a number",
        "c": "its RA or Dec is not a number",
        "d": "its Dec is beyond ±90 degrees",
        "e": "its RA is no angle in degrees",
    }
    assert found.skipped["reason"].tolist()[4:] == [
        "its name and position are those of an earlier row",
        "its RA is no angle in degrees",
    ]


def test_an_object_has_its_id_whatever_else_is_in_the_catalog(tmp_path):
    rows = pd.DataFrame({"id": ["x", "y", "x"], "ra": [1.0, 359.999999, 2.0], "dec": [2.0, 3.0, 2.0]})
    ids = read(written(tmp_path / "a.fits", Table.from_pandas(rows))).table["ID"]
    assert ids.nunique() == 3
    turned = rows[::-1].assign(ra=lambda table: table["ra"] - 360)
    assert read(written(tmp_path / "b.fits", Table.from_pandas(turned))).table["ID"].tolist() == ids.tolist()[::-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,ra,dec\n", "has no rows, expected one an object"),
        ("id,ra,dec\na,12:34:56.7,-10:00:00\n", "column ra: found '12:34:56.7' in row 1, expected degrees"),
        ("", "not readable as a table"),
    ],
)
def test_a_catalog_that_says_nothing_is_refused(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "c.csv")


def test_ids_that_have_lost_digits_are_refused(tmp_path):
    table = {"ra": [1.0], "dec": [1.0], "id": [2.697231412345678901e18]}
    with pytest.raises(InputError, match="column id holds floating-point numbers, in which IDs lose digits"):
        read(written(tmp_path / "a.fits", table))
    assert read(written(tmp_path / "b.fits", table | {"id": [42.0]})).table["name"].tolist() == ["42"]


def test_files_that_are_no_tables_are_refused(tmp_path):
    (tmp_path / "a.fits").write_bytes(b"SIMPLE  =")
    for name, message in (("a.fits", "not readable as a table"), ("b.csv", "no such file")):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


def test_parquet_is_read_where_its_package_is_there(tmp_path, monkeypatch):
    path = tmp_path / "c.parquet"
    path.write_bytes(b"PAR1")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(InputError, match=r"reading it needs another package .*pyarrow"):
            read(path)
    pytest.importorskip("pyarrow")
    pd.DataFrame({"object_id": [2**62 + 1], "right_ascension": [1.5], "declination": [2.5]}).to_parquet(path)
    assert read(path).table[["name", "ra"]].to_numpy().tolist() == [[str(2**62 + 1), 1.5]]
