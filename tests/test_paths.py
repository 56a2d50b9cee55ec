"""Where packs are found, and that nothing half-written is left."""

import pytest

from lensfold.errors import InputError
from lensfold.files import replacing
from lensfold.frames import RATIO, SIDES, band_shapes, checked_side, pixels_per_object, rim
from lensfold.paths import Pack, Workspace


@pytest.mark.parametrize("name", ["train", "datapack2.0train", "datapack2.0train_v2"])
def test_all_names_of_a_split(tmp_path, name):
    pack = Pack("p", tmp_path)
    (tmp_path / f"{name}.tar.gz").touch()
    assert pack.split_source("train") == tmp_path / f"{name}.tar.gz"
    (tmp_path / name / "Public").mkdir(parents=True)
    assert pack.split_source("train") == tmp_path / name


def test_both_names_of_a_catalog(tmp_path):
    pack, first, second = Pack("p", tmp_path), "image_catalog2.0train.csv", "image_catalog2.0train_v2.csv"
    assert pack.catalog == tmp_path / first
    (tmp_path / second).touch()
    assert pack.catalog == tmp_path / second
    (tmp_path / first).touch()
    assert pack.catalog == tmp_path / first


def test_a_bare_public_without_catalog_is_a_test_split(tmp_path):
    (tmp_path / "Public").mkdir()
    pack = Pack("p", tmp_path)
    assert pack.split_source("test") == tmp_path
    with pytest.raises(InputError, match="no train split"):
        pack.split_source("train")
    pack.catalog.write_text("")
    with pytest.raises(InputError, match="no test split"):
        pack.split_source("test")


def test_twins_are_a_split_of_simulated_packs(tmp_path):
    pack, workspace = Pack("p", tmp_path), Workspace(tmp_path)
    (tmp_path / "Public").mkdir()
    with pytest.raises(InputError, match="no twins found.*lensfold simulate --twins"):
        pack.split_source("twins")
    (tmp_path / "twins" / "Public").mkdir(parents=True)
    assert pack.split_source("twins") == tmp_path / "twins"
    assert workspace.cache(pack, "twins") == tmp_path / "data" / "p" / "cache" / "twins"


def test_a_simulated_pack_has_a_key_or_says_so_in_its_catalog(tmp_path):
    pack = Pack("p", tmp_path)
    assert not pack.is_simulated
    pack.catalog.write_text(",ID\n# SYNTHETIC\n")
    assert not pack.is_simulated
    pack.catalog.write_text("# SYNTHETIC: simulated\n,ID\n")
    assert pack.is_simulated
    pack.catalog.unlink()
    pack.key.parent.mkdir()
    pack.key.write_text("")
    assert pack.is_simulated


def test_a_pack_is_filed_under_its_folder_or_given_name(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.pack(None).folder == tmp_path / "data" / "sample"
    assert workspace.pack(None, tmp_path / "q1").name == "q1"
    assert workspace.pack("mine", tmp_path / "q1").name == "mine"
    odd, other = tmp_path / ".my Q1 (2)", tmp_path / "data" / "my_Q1_2_" / "test" / "Public"
    assert workspace.pack(None, odd).name == "my_Q1_2_"
    other.mkdir(parents=True)
    assert workspace.pack(None, other.parents[1]).name == "my_Q1_2_" and workspace.pack("q1", odd).name == "q1"
    with pytest.raises(InputError, match=r"\(2\): would be filed under my_Q1_2_, which is the name of .*PACK=<name>"):
        workspace.pack(None, odd)
    for name in ("../x", "a/b", ".hidden", "a b"):
        with pytest.raises(InputError, match="pack name"):
            workspace.pack(name)


def test_replacing_keeps_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_folder_in_data_has_one_cache_under_every_name(tmp_path):
    workspace, inside = Workspace(tmp_path), tmp_path / "data" / "sky"
    plain, grouped = workspace.pack(None, inside), workspace.pack("sky-grouped", inside)
    assert workspace.cache(plain, "train") == workspace.cache(grouped, "train") == inside / "cache" / "train"
    assert workspace.folds(plain) != workspace.folds(grouped)
    elsewhere = workspace.pack("mine", tmp_path / "far" / "sky")
    assert workspace.cache(elsewhere, "test") == tmp_path / "data" / "mine" / "cache" / "test"


def nisp_centres(side: int) -> list[int]:
    """The VIS pixels of a frame that NISP pixels have their centres on."""
    return [rim(side) + RATIO // 2 + RATIO * pixel for pixel in range(band_shapes(side)["Y"][0])]


def test_a_small_frame_is_the_middle_of_a_large_one():
    large, small = SIDES
    edge = (large - small) // 2
    assert (large, small) == (200, 100) and [pixels_per_object(side) for side in SIDES] == [53068, 13072]
    assert [edge + centre for centre in nisp_centres(small)] == nisp_centres(large)[17:49]
    for side in SIDES:  # the same rim at both ends, so that turned and flipped frames are frames too
        assert nisp_centres(side)[0] - 1 == rim(side) == side - 2 - nisp_centres(side)[-1]


def test_no_other_sides():
    assert checked_side(100) == 100
    with pytest.raises(InputError, match=r'--side 150: expected 200 \(20"\) or 100 \(10"\)'):
        checked_side(150)
