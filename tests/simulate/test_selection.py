"""Packs of the paper's task alone: which objects they have, and that they are those of a pack of all objects."""

from dataclasses import replace

import pandas as pd
import pytest

from lensfold.data.catalog import large_lens_labels, read_catalog
from lensfold.errors import InputError
from lensfold.frames import BANDS
from lensfold.paths import Pack, cutout_file
from lensfold.simulate import FIRST_ID, PROFILES, get_population, selection, simulate_object, simulate_pack
from lensfold.simulate.fits import fits_bytes
from lensfold.simulate.selection import is_large_lens, select_task

KINDS = {True: 1.0, False: 0.0}


def label(row: dict) -> float:
    """1.0, 0.0 or NaN: what the catalog row of an object says of the task."""
    return large_lens_labels(pd.DataFrame([row]), "official-2020").iloc[0]


@pytest.mark.parametrize(("profile", "count"), [("challenge-1", 50), ("sample", 30), ("euclid", 12)])
def test_the_kind_is_that_of_the_catalog_row(profile, count):
    found = [is_large_lens(get_population(profile), 3, "train", index) for index in range(count)]
    known = [label(simulate_object(profile, 3, "train", index).row) for index in range(count)]
    assert [KINDS.get(kind) for kind in found] == [None if value != value else value for value in known]
    assert {True, False, None} == set(found) or profile == "euclid"


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Pack:
    folder = tmp_path_factory.mktemp("packs") / "task"
    seen = []
    simulate_pack(
        folder, "sample", 8, 4, 7, 1, lambda done, total: seen.append((done, total)), twins=True, paper_task=True
    )
    assert seen == sorted(seen) and seen[-1] == (24, 24)
    return Pack("task", folder)


def test_counts_are_exact_and_nothing_of_the_task_is_passed_over(pack):
    for split, path, count in (("train", pack.catalog, 8), ("test", pack.key, 4)):
        table = read_catalog(path)
        assert large_lens_labels(table, "official-2020").value_counts().to_dict() == {1.0: count / 2, 0.0: count / 2}
        drawn = range(table.index[-1] + 1 - FIRST_ID)
        kinds = {FIRST_ID + k: is_large_lens(get_population("sample"), 7, split, k) for k in drawn}
        for wanted in (True, False):
            kept = [i for i, kind in kinds.items() if kind is wanted][: count // 2]
            assert set(kept) <= set(table.index)
        assert f"kept of the first {len(drawn)} objects" in path.read_text()


def test_what_is_kept_is_as_in_a_pack_of_all_objects(pack):
    for split, path in (("train", pack.catalog), ("test", pack.key)):
        table = read_catalog(path)
        for object_id in table.index[::4]:
            item = simulate_object("sample", 7, split, object_id - FIRST_ID)
            assert table.loc[object_id, "ein_area"] == item.row["ein_area"]
            for band in BANDS:
                expected = fits_bytes(item.images[band], band, object_id, item.centre)
                assert cutout_file(pack.split_source(split), band, object_id).read_bytes() == expected
        files = {file.name for file in cutout_file(pack.split_source(split), "VIS", 0).parent.iterdir()}
        assert files == {f"imageEUC_VIS-{object_id}.fits" for object_id in table.index}
    lenses = table_of_lenses(pack)
    assert {int(f.stem[13:]) for f in cutout_file(pack.folder / "twins", "VIS", 0).parent.iterdir()} == lenses


def table_of_lenses(pack: Pack) -> set[int]:
    table = read_catalog(pack.catalog)
    return set(table.index[table["n_sources"] > 0])


def test_workers_and_rounds_change_nothing(monkeypatch):
    p = PROFILES["sample"]
    alone = select_task(p, 7, "train", 6, 1, lambda found: None)
    assert select_task(p, 7, "train", 6, 2, lambda found: None) == alone
    monkeypatch.setattr(selection, "_CHUNK", 3)
    monkeypatch.setattr(selection, "run_chunks", lambda work, chunks, _: [(c, work(c)) for c in reversed(chunks)])
    assert select_task(p, 7, "train", 6, 1, lambda found: None) == alone


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="13 train and 6 test objects, half of them lenses: expected even"):
        simulate_pack(tmp_path / "p", "sample", 13, 6, 7, 1, paper_task=True)
    empty = replace(PROFILES["sample"], share_with_source=0.0)
    with pytest.raises(InputError, match="objects of profile sample have 1 too few of the 1 lenses"):
        simulate_pack(tmp_path / "p", empty, 2, 2, 7, 1, paper_task=True)
    assert not (tmp_path / "p").exists()
