"""A cache out of an archive equals the one out of the unpacked folder; hostile archives are refused or listed."""

import gzip
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from fakes.pack import write_cutout, write_objects

from lensfold.data import archive, archive_stream
from lensfold.data.archive import build_cache_from_scan, scan_archive
from lensfold.data.cache import Cache
from lensfold.data.cache_build import Build, build_cache, building_folder
from lensfold.errors import InputError
from lensfold.frames import BANDS, pixels_per_object
from lensfold.paths import cutout_file

IDS = [200001, 200002, 200003]


@pytest.fixture
def split_folder(tmp_path):
    write_objects(tmp_path / "train", IDS, [True, False, True], seed=1)
    return tmp_path / "train"


def member(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def members_of(split_folder, order=BANDS):
    """All files of a split as members, band after band, as in the real archive."""
    return [
        member(f"Public/EUC_{band}/{path.name}", path.read_bytes())
        for band in order
        for path in sorted((split_folder / "Public" / f"EUC_{band}").iterdir(), reverse=True)
    ]


def pack(path, members):
    """Write members into a .tar or .tar.gz."""
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def build(path, folder, **options):
    return build_cache_from_scan(scan_archive(path, folder), Build(folder, **options))


def test_an_archive_of_frames_of_ten_arcsec(split_folder, tmp_path):
    write_objects(tmp_path / "small", IDS, [True, False, True], seed=1, side=100)
    path = pack(tmp_path / "train.tar", members_of(tmp_path / "small", BANDS[::-1]))
    build(path, tmp_path / "a" / "train")
    build_cache(tmp_path / "small", Build(tmp_path / "b" / "train"))
    with Cache(tmp_path / "a" / "train") as one, Cache(tmp_path / "b" / "train") as other:
        assert one.side == 100
        np.testing.assert_array_equal(one.read(IDS), other.read(IDS))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("side", [100, 64])
def test_another_shape_in_an_archive_is_that_of_a_bad_object(split_folder, tmp_path, side, first):
    """Wherever it stands in the stream, the first frame of all included."""
    odd = tmp_path / "odd.fits"
    write_cutout(odd, np.random.default_rng(0).standard_normal((side, side)))
    name = "Public/EUC_VIS/imageEUC_VIS-200002.fits"
    others = [one for one in members_of(split_folder) if one[0].name != name]
    members = [member(name, odd.read_bytes()), *others] if first else [*others, member(name, odd.read_bytes())]
    path = pack(tmp_path / "mixed.tar", members)
    with pytest.raises(InputError, match=rf"EUC_VIS-200002\.fits: image shape is \({side}, {side}\), expected \(200"):
        build(path, tmp_path / "c" / "train")
    manifest = build(path, tmp_path / "c" / "train", skip_bad=True)
    assert list(manifest["refused"]) == ["200002"] and manifest["bands"]["VIS"] == [200, 200]


def test_an_archive_of_other_shapes_is_no_pack(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "ODD_FRAMES", 3)
    write_cutout(tmp_path / "odd.fits", np.ones((64, 64)))
    content = (tmp_path / "odd.fits").read_bytes()
    members = [member(f"Public/EUC_VIS/imageEUC_VIS-{i}.fits", content) for i in range(5)]
    with pytest.raises(InputError, match=r"x\.tar: .*VIS-2\.fits: image shape is \(64, 64\)"):
        scan_archive(pack(tmp_path / "x.tar", members), tmp_path / "cache")


def test_an_archive_without_a_band(split_folder, tmp_path):
    path = pack(tmp_path / "train.tar", members_of(split_folder, ("H", "VIS")))
    manifest = build(path, tmp_path / "a" / "train")
    assert list(manifest["bands"]) == list(manifest["sigma"]) == ["VIS", "H"] and manifest["objects"] == len(IDS)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar"])
@pytest.mark.parametrize("workers", [1, 2])
def test_archive_and_folder_give_the_same_cache(split_folder, tmp_path, monkeypatch, suffix, workers):
    monkeypatch.setattr("lensfold.data.cache_build.SHARD_ROWS", 2)
    path = pack(tmp_path / f"datapack2.0train{suffix}", members_of(split_folder, BANDS[::-1]))
    from_archive = build(path, tmp_path / "a" / "train", workers=workers)
    from_folder = build_cache(split_folder, Build(tmp_path / "b" / "train"))
    origins = [manifest.pop("made_from") for manifest in (from_archive, from_folder)]
    assert json.dumps(from_archive) == json.dumps(from_folder)
    assert [(origin["kind"], origin["files"]) for origin in origins] == [("archive", 1), ("folder", 12)]
    assert origins[0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    for shard in from_folder["shards"]:
        a, b = ((tmp_path / side / "train" / shard["file"]).read_bytes() for side in "ab")
        assert a == b
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["train"]
    assert not list((tmp_path / "a" / "train").glob("*.raw"))


def test_names_are_matched_and_never_used_as_paths(split_folder, tmp_path):
    cutout = cutout_file(split_folder, "VIS", 200001).read_bytes()
    hostile = [
        member(name, cutout)
        for name in (
            "/Public/EUC_VIS/imageEUC_VIS-200007.fits",
            "../Public/EUC_VIS/imageEUC_VIS-200008.fits",
            "Public/../../EUC_VIS/imageEUC_VIS-200009.fits",
            "Public/EUC_VIS/imageEUC_Y-200010.fits",
            "Public/EUC_VIS/imageEUC_VIS-200011.fits.exe",
            "Public/EUC_VIS/imageEUC_VIS-٢.fits",
        )
    ]
    before = sorted(tmp_path.rglob("*"))
    path = pack(
        tmp_path / "x.tar", hostile + [member("datapack2.0train/" + i.name, c) for i, c in members_of(split_folder)]
    )
    manifest = build(path, tmp_path / "made" / "train")
    assert manifest["objects"] == 3 and manifest["refused"] == {}
    new = {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - set(before)}
    assert new == {"x.tar", "made"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_refuse_their_object(split_folder, tmp_path, kind):
    members = [m for m in members_of(split_folder) if m[0].name != "Public/EUC_Y/imageEUC_Y-200002.fits"]
    members.append(member("Public/EUC_Y/imageEUC_Y-200002.fits", type=kind, linkname="/etc/passwd"))
    path = pack(tmp_path / "x.tar.gz", members)
    with pytest.raises(InputError, match="200002: .*link or device"):
        build(path, tmp_path / "cache")
    assert list(build(path, tmp_path / "cache", skip_bad=True)["refused"]) == ["200002"]


def test_a_doubled_member_is_harmless_where_it_is_the_same(split_folder, tmp_path):
    members = members_of(split_folder)
    assert build(pack(tmp_path / "x.tar", [*members, members[0]]), tmp_path / "a")["objects"] == 3
    other = cutout_file(split_folder, "VIS", 200001).read_bytes()
    manifest = build(
        pack(tmp_path / "y.tar", [*members, member(members[0][0].name, other)]), tmp_path / "b", skip_bad=True
    )
    assert "twice in the archive, with different pixels" in manifest["refused"]["200003"]


def test_holes_are_listed_at_the_end(split_folder, tmp_path):
    path = pack(tmp_path / "x.tar.gz", members_of(split_folder)[:-1])
    with pytest.raises(InputError) as error:
        build(path, tmp_path / "cache", expected_ids=[*IDS, 200009])
    assert "imageEUC_H-200001.fits: not in the archive" in str(error.value)
    assert "200009: in the catalog, but no file" in str(error.value)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_archive_is_named(split_folder, tmp_path, at, damage):
    path = pack(tmp_path / "x.tar.gz", members_of(split_folder))
    data = bytearray(path.read_bytes())
    place = int(at * len(data))
    if damage == "cut":
        data = data[:place]
    else:
        data[place] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.tar\.gz: damaged or truncated"):
        scan_archive(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive " * 1000, gzip.compress(b"text " * 5000, mtime=0)])
def test_what_is_no_archive(tmp_path, content):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tar\.gz: (damaged|no cutouts)"):
        build(path, tmp_path / "cache")


@pytest.mark.parametrize("size", [1 << 40, (1 << 63) - 1, -5])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_declared_size_beyond_belief(tmp_path, size, kind):
    info, _ = member("Public/EUC_VIS/imageEUC_VIS-200001.fits", type=kind)
    info.size = size
    path = tmp_path / "x.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10240)
    with pytest.raises(InputError, match=r"x\.tar: .*(this is no pack|damaged)"):
        scan_archive(path, tmp_path / "cache")


NAME = "Public/EUC_VIS/imageEUC_VIS-200001.fits"


def sparse(tmp_path, headers: dict[str, str], content: bytes = b""):
    """Return an archive whose one member has an extended header (PAX)."""
    info, _ = member(NAME, content, pax_headers=headers)
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000000000000000"},
        {"GNU.sparse.map": "0,1,x"},
        {"GNU.sparse.size": "many"},
        {"GNU.sparse.size": str(10**40), "GNU.sparse.map": "0,1"},
        {"size": str(10**15)},
        {"size": "-5120"},
        {"size": str(10**40)},
    ],
    ids=str,
)
def test_extended_headers_of_any_kind_are_a_sentence(tmp_path, headers):
    with pytest.raises(InputError, match=r"x\.tar: "):
        build(sparse(tmp_path, headers, b"1\n0\n1\n".ljust(512, b"x")), tmp_path / "cache")


def test_a_sparse_member_is_listed(split_folder, tmp_path):
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1", "GNU.sparse.size": str(1 << 50)}
    path = sparse(tmp_path, headers, b"x")
    with tarfile.open(path, "a") as tar:
        for info, content in members_of(split_folder):
            if info.name != NAME:
                tar.addfile(info, io.BytesIO(content))
    with pytest.raises(InputError, match="declares 1125899906842624 bytes"):
        build(path, tmp_path / "cache", skip_bad=True)
    path = sparse(tmp_path, headers | {"GNU.sparse.size": "5"}, b"x")
    with tarfile.open(path, "a") as tar:
        for info, content in members_of(split_folder):
            if info.name != NAME:
                tar.addfile(info, io.BytesIO(content))
    manifest = build(path, tmp_path / "cache", skip_bad=True)
    assert "a sparse member of the archive" in manifest["refused"]["200001"] and manifest["objects"] == 2


def test_a_bomb_of_zeros_behind_the_last_member(split_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive_stream, "LARGEST_REST", 1 << 22)
    path = pack(tmp_path / "x.tar.gz", members_of(split_folder))
    path.write_bytes(path.read_bytes() + gzip.compress(b"\0" * (1 << 24)))
    with pytest.raises(InputError, match="follow its last member"):
        scan_archive(path, tmp_path / "cache")


def test_a_second_build_needs_no_second_pass(split_folder, tmp_path, monkeypatch):
    path = pack(tmp_path / "x.tar.gz", members_of(split_folder))
    scan_archive(path, tmp_path / "train")
    monkeypatch.setattr(archive, "_scanned", lambda *_: pytest.fail("read again"))
    assert build(path, tmp_path / "train")["objects"] == 3
    assert not building_folder(tmp_path / "train").exists()


def test_another_archive_is_read_again(split_folder, tmp_path):
    path = pack(tmp_path / "x.tar.gz", members_of(split_folder))
    scan_archive(path, tmp_path / "train")
    write_objects(split_folder, [200004], [True], seed=3)
    pack(path, members_of(split_folder))
    assert build(path, tmp_path / "train")["objects"] == 4


def test_rows_can_be_read(split_folder, tmp_path):
    build(pack(tmp_path / "x.tar.gz", members_of(split_folder)), tmp_path / "cache")
    with Cache(tmp_path / "cache") as cache:
        assert cache.read(IDS).shape == (3, pixels_per_object(200))
        assert np.isfinite(cache.read(IDS)).all()


def test_a_compressed_stream_of_nonsense_is_refused(split_folder, tmp_path):
    """What the decompressor says of impossible blocks is another error than those of a file that is cut short."""
    path = pack(tmp_path / "train.tar.gz", members_of(split_folder))
    data = bytearray(path.read_bytes())
    for start in range(20, 4000, 7):
        data[start] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"train\.tar\.gz: damaged or truncated"):
        scan_archive(path, tmp_path / "cache")
