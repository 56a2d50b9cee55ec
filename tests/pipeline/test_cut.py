"""`lensfold cut` as a user runs it: a pack without files, bound to the pixels that were cut."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.euclid import mer_hdus, written
from fakes.tiles import PLACES, TILES, Sky, make_sky, write_mosaic, write_noise, write_tiles
from fakes.workspace import SVM, lensfold, write_settings

from lensfold.data import cache_build
from lensfold.data.cache import Cache, read_manifest, split_bands
from lensfold.pipeline import cut as cutting

OUT = ("--out", "data/mine", "--workers", "1")
CUT = ("cut", "--tiles", "tiles", "--positions", "cat.csv", *OUT)
CACHE = Path("data/mine/cache/test")


@pytest.fixture(scope="module")
def sky() -> Sky:
    return make_sky()


@pytest.fixture(scope="module")
def tiles_once(sky, tmp_path_factory) -> Path:
    return write_tiles(tmp_path_factory.mktemp("tiles"), sky)


@pytest.fixture
def place(sky, tiles_once, tmp_path) -> Path:
    """A workspace with mosaics and a catalog."""
    shutil.copytree(tiles_once, tmp_path / "w" / "tiles")
    sky.catalog().to_csv(tmp_path / "w" / "cat.csv", index=False)
    return tmp_path / "w"


def table(workspace: Path, name: str = "objects") -> pd.DataFrame:
    return pd.read_csv(workspace / "data" / "mine" / f"{name}.csv", dtype={"name": str}, keep_default_na=False)


def refused(workspace: Path, *arguments: str) -> str:
    done = lensfold(workspace, *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def add_rows(workspace: Path, *rows: tuple) -> None:
    catalog = pd.read_csv(workspace / "cat.csv", dtype=str)
    more = pd.DataFrame([[str(value) for value in row] for row in rows], columns=catalog.columns)
    pd.concat([catalog, more]).to_csv(workspace / "cat.csv", index=False)


def test_a_pack_without_files_has_what_was_asked_for(place, sky):
    first = next(iter(PLACES.values()))
    hole = slice(first[0], first[0] + 66), slice(first[1], first[1] + 40)
    write_noise(place / "tiles", sky, "VIS", next(iter(TILES)), hole)
    add_rows(place, ("edge", *sky.position(250, 20)), ("far", 10, 10), ("none", "nan", 10))
    printed = lensfold(place, *CUT).stdout
    for line in (
        "positions from the columns RIGHT_ASCENSION and DECLINATION, names from OBJECT_ID",
        "left out: 1 x too many bad pixels",
        "left out: 1 x in no tile",
        "data/mine: 2 objects cut out of 1 tile, 4 left out (listed in skipped.csv)",
        "Rank them with: make rank DATA=data/mine",
    ):
        assert line in printed
    objects, skipped = table(place), table(place, "skipped")
    names = list(PLACES)
    assert sorted(objects["name"]) == sorted(names[1:])
    assert skipped["name"].tolist() == ["none", "edge", "far", names[0]]
    assert skipped["reason"].tolist()[:3] == [
        "its RA or Dec is not a number",
        "cut off by the edge of TILE102018211",
        "in no tile",
    ]
    assert read_manifest(place / CACHE)["refused"] == {}  # it is in no pack, and gets no score
    assert "2640 of 40000 pixels are bad" in skipped["reason"][3] and "TILE102018211" in skipped["file"][3]
    with Cache(place / CACHE) as cache:
        assert cache.ids.tolist() == objects["ID"].tolist()
        for row, pixels in zip(objects.itertuples(), cache.read(objects["ID"]), strict=True):
            for band, image in split_bands(pixels).items():
                np.testing.assert_allclose(image, sky.frames[row.name][band], rtol=2e-6, atol=1e-17)
    assert lensfold(place, "verify", "--split", "test", "--data", "data/mine", "--deep").stdout.endswith(
        "every shard is as it was written\n"
    )
    for command in (("look",), ("show", str(objects["ID"][0]))):
        pictures = lensfold(place, *command, "--split", "test", "--data", "data/mine").stdout.split()
        assert pictures and all((place / picture).is_file() for picture in pictures)


def test_the_same_cut_is_not_made_twice_and_another_one_not_without_a_word(place, sky):
    lensfold(place, *CUT)
    made = contents(place / "data")
    add = "--overwrite"
    assert "objects, " not in lensfold(place, *CUT).stdout
    assert contents(place / "data") == made
    add_rows(place, ("more", *sky.position(250, 450)))
    assert "has 3 objects of another cut, from" in refused(place, *CUT)
    assert "has 3 objects of another cut" in refused(place, *CUT, "--side", "100")
    assert contents(place / "data") == made
    lensfold(place, *CUT, add)
    assert len(table(place)) == 4
    assert set(table(place)["ID"]) >= {int(line.split(",")[0]) for line in _lines(made, "objects.csv")}


def _lines(made: dict[str, bytes], name: str) -> list[str]:
    return next(content for path, content in made.items() if path.endswith(name)).decode().splitlines()[1:]


def test_a_cut_that_was_stopped_goes_on_and_leaves_nothing_half(place, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # the shards are there, and no manifest yet
        patch.setattr(cache_build, "_manifest", stop)
        assert lensfold(place, *CUT, check=False).returncode == 130
    assert not (place / CACHE).exists() and not (place / "data/mine/objects.csv").exists()
    assert "or the cache that `lensfold cut` makes" in refused(place, "run", "cache", "--data", "data/mine")
    with monkeypatch.context() as patch:  # the cache is there, and the tables of what it has are not
        patch.setattr(cutting, "_objects", stop)
        patch.setattr(cache_build, "_write_shard", None)  # the shard of before is taken
        assert lensfold(place, *CUT, check=False).returncode == 130
    assert "lists 0 objects, not the 3 that were cut" in refused(place, "run", "cache", "--data", "data/mine")
    lensfold(place, *CUT)
    assert len(table(place)) == 3
    lensfold(place, "run", "cache", "--data", "data/mine")


def test_a_table_of_other_objects_is_refused(place):
    lensfold(place, *CUT)
    table(place).head(2).to_csv(place / "data/mine/objects.csv", index=False)
    assert "Give the same `lensfold cut` command once more" in refused(place, "run", "cache", "--data", "data/mine")
    shutil.copytree(place / "data" / "mine", place / "elsewhere" / "mine")
    assert "objects.csv: is there already" in refused(
        place, *CUT[:-4], "--out", "elsewhere/mine", "--root", "elsewhere"
    )


def test_a_damaged_shard_is_cut_again_from_the_same_mosaics(place, sky):
    lensfold(place, *CUT)
    shard = next((place / CACHE).glob("shard-*"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-4] + b"xxxx")
    verify = ("verify", "--split", "test", "--data", "data/mine")
    assert "its content differs" in lensfold(place, *verify, check=False).stdout
    lensfold(place, *verify, "--rebuild")
    assert shard.read_bytes() == whole
    write_mosaic(place / "tiles", sky, "J", "TILE102018212", add=1.0)
    lensfold(place, *verify)
    assert "files: shard-00000.npy: sha256" in lensfold(place, *verify, "--deep", check=False).stdout
    shutil.rmtree(place / "tiles")
    lensfold(place, *verify)
    assert "no such folder" in refused(place, *verify, "--deep")
    lensfold(place, "run", "cache", "--data", "data/mine")


def test_packs_of_files_and_cut_packs_do_not_mix(place, tmp_path):
    written(tmp_path / "x1.fits", mer_hdus())
    lensfold(place, "import-euclid", str(tmp_path / "x1.fits"), "--out", "data/mine")
    assert "there is another pack already (found data/mine)" in refused(place, *CUT, "--overwrite")
    shutil.rmtree(place / "data")
    lensfold(place, *CUT)
    message = refused(place, "import-euclid", str(tmp_path / "x1.fits"), "--out", "data/mine", "--overwrite")
    assert "there is a pack already (found objects.csv without Public)" in message
    lensfold(place, "run", "cache", "--data", "data/mine")


def test_nothing_is_written_where_no_object_is_in_a_tile(place):
    (place / "cat.csv").write_text("id,ra,dec\na,23.9,-50\nb,nan,0\n")
    message = refused(place, *CUT)
    assert (
        "none of 2 positions is whole in a tile of tiles (1 x its RA or Dec is not a number; 1 x in no tile)" in message
    )
    assert "TILE102018211 around 359.1" in message and "the first at 23.900 -50.000" in message
    assert not (place / "data").exists()


def test_other_objects_in_the_same_folder_never_get_the_old_scores(fitted, sky, tiles_once):
    """The folder, its name, the number of objects and their shard's file are the same; the objects are others."""
    (fitted / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "kernel"\n')
    shutil.copytree(tiles_once, fitted / "tiles")
    predict = ("run", "predict", "--data", "data/mine", "--trained-on", "fake")

    def scores(rows: list[int]) -> pd.Series:
        sky.catalog().iloc[rows].to_csv(fitted / "cat.csv", index=False)
        lensfold(fitted, *CUT, "--overwrite")
        lensfold(fitted, *predict)
        path = fitted / "submissions" / "mine" / "default.csv"
        return pd.read_csv(path, header=None, index_col=0)[1].rename(table(fitted).set_index("ID")["name"])

    every, first, second = scores([0, 1, 2]), scores([0, 1]), scores([2, 1])
    names = list(PLACES)
    assert sorted(first.index) == sorted(names[:2]) and sorted(second.index) == sorted(names[1:])
    for found in (first, second):
        assert found.to_dict() == every[found.index].to_dict()
    assert every.nunique() == 3
    printed = lensfold(fitted, "rank", "--data", "data/mine", "--trained-on", "fake").stdout
    ranked = pd.read_csv(fitted / "data" / "mine" / "ranked.csv", dtype={"name": str}).set_index("name")
    assert ranked["score"].to_dict() == second.to_dict() and "mine is scored by" in printed
    assert set(ranked["file"]) == set(table(fitted)["file"])


def test_objects_that_were_cut_are_trained_on_where_they_are_labelled(place, sky):
    write_settings(place)
    (place / "folds/folds.toml").write_text("k = 2\nseed = 1\n")
    (place / "experiments/few_labels.toml").write_text(SVM.replace("min_size = 20", "min_size = 0"))
    add_rows(place, ("another", *sky.position(270, 400)))
    lensfold(place, *CUT)
    names = table(place)["name"].tolist()
    rows = "".join(f"{name},{number % 2}\n" for number, name in enumerate(names))
    (place / "data/mine/labels.csv").write_text("name,label\n" + rows)
    assert "given" in lensfold(place, "run", "folds", "cache", "--pack", "mine").stdout
    assert {path.name for path in (place / "data/mine/cache").iterdir() if path.is_dir()} == {"test"}
    assert len(pd.read_csv(place / "folds/mine.csv")) == len(names)
    lensfold(place, *CUT)  # the same cut again is none
