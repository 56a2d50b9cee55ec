"""The reader of FITS files beside astropy's: the same HDUs, names, cards and pixels; damaged ones are refused."""

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits
from fakes.euclid import mer_hdus, noise, wcs_header, written

from lensfold.errors import InputError
from lensfold.euclid.geometry import read_object
from lensfold.euclid.grouping import find_objects
from lensfold.euclid.hdus import Unusable, open_fits
from lensfold.euclid.layouts import Reading


def same_as_astropy(path) -> None:
    with open_fits(path) as file, fits.open(path, memmap=False) as hdus:
        assert [hdu.name for hdu in file.hdus] == [hdu.name if hdu.name != "PRIMARY" else "" for hdu in hdus]
        for ours, theirs in zip(file.hdus, hdus, strict=True):
            for key in theirs.header:
                if key not in ("", "COMMENT", "HISTORY", "PPOID"):  # PPOID is longer than a card
                    assert ours.cards.get(key) == theirs.header[key], key
            if ours.shape:
                expected = np.asarray(theirs.data)
                np.testing.assert_array_equal(file.pixels(ours), expected.reshape(ours.shape))
            else:
                assert not theirs.is_image or theirs.data is None


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8", "u2"])
def test_pixels_of_every_type(tmp_path, dtype):
    pixels = (np.random.default_rng(1).normal(0, 50, (7, 5)) + 100).astype(dtype)
    scaled = fits.ImageHDU(pixels.astype("i2"), name="scaled")
    scaled.header.update({"BSCALE": 0.5, "BZERO": -3.0, "BLANK": int(pixels.astype("i2")[2, 2])})
    cards = fits.Header({"A": "it's x / y ", "B": -1.5e-30, "C": True, "D": 12, "E": "", "HIERARCH long key": 3.5})
    cards["PPOID"] = "x" * 150  # CONTINUE
    cards["COMMENT"] = "MAGZERO = 1"
    hdus = [fits.PrimaryHDU(pixels, cards), scaled, fits.ImageHDU(pixels[None], name="cube"), fits.ImageHDU()]
    same_as_astropy(written(tmp_path / "a.fits", fits.HDUList(hdus)))


def test_compressed_files(tmp_path):
    path = written(tmp_path / "a.fits", mer_hdus((60, 60)))
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
    same_as_astropy(tmp_path / "a.fits.gz")
    tiles = [fits.PrimaryHDU()]
    for kind in ("RICE_1", "GZIP_2", "HCOMPRESS_1"):
        tiles.append(fits.CompImageHDU(noise((60, 60)), compression_type=kind, name=kind))
    tiles.append(fits.CompImageHDU(np.arange(3600).reshape(60, 60).astype("i2")))
    path = written(tmp_path / "b.fits.fz", fits.HDUList(tiles))
    with open_fits(path) as file, fits.open(path) as hdus:
        assert [hdu.name for hdu in file.hdus] == ["", "RICE_1", "GZIP_2", "HCOMPRESS_1", ""]
        for ours, theirs in zip(file.hdus[1:], hdus[1:], strict=True):
            np.testing.assert_array_equal(file.pixels(ours), theirs.data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"COMMENT plain", b"COMMENT pl\xe9in"),  # no ASCII
        (b"COMMENT plain", b"COMMENT\tplain"),
        (b"COMMENT plain", b"BLANK   =    -32768"),  # on floats
        (b"COMMENT plain", b"DATE-OBS= 'yesterday'"),
        (b"COMMENT plain", b"A_ORDER =          2"),  # SIP left over
    ],
)
def test_bad_cards_that_say_nothing_about_pixels(tmp_path, old, new):
    hdus = mer_hdus()
    for hdu in hdus[1:]:
        hdu.header["COMMENT"] = "plain".ljust(40)
        hdu.header.update({"RADESYS": "ICRS", "EQUINOX": 2000.0})
    content = written(tmp_path / "a.fits", hdus).read_bytes()
    assert old in content
    (tmp_path / "b.fits").write_bytes(content.replace(old.ljust(len(new)), new.ljust(len(old))))
    frames = []
    for name in ("a.fits", "b.fits"):
        (found,), _ = find_objects([tmp_path / name], Reading())
        frames.append(read_object(found, Reading()))
    for band, frame in frames[0].items():
        np.testing.assert_array_equal(frames[1][band].image, frame.image)
    assert frames[1]["VIS"].ra == frames[0]["VIS"].ra


def test_a_tail_of_nothing_is_no_damage_and_junk_is(tmp_path):
    content = written(tmp_path / "a.fits", mer_hdus((100, 100))).read_bytes()
    (tmp_path / "b.fits").write_bytes(content + bytes(5760))
    assert len(find_objects([tmp_path / "b.fits"], Reading())[0]) == 1
    assert len(content) % 2880 == 0 and 100 * 100 * 4 % 2880
    (tmp_path / "d.fits").write_bytes(content[: len(content) + 40000 % 2880 - 2880])  # no padding at all
    assert len(find_objects([tmp_path / "d.fits"], Reading())[0]) == 1
    (tmp_path / "e.fits").write_bytes(content[:-30000] + b"\r" + content[-30000:])
    assert "damaged" in find_objects([tmp_path / "e.fits"], Reading())[1][0].reason
    (tmp_path / "c.fits").write_bytes(content + b"<html>")
    with (
        pytest.raises(Unusable, match=r"c\.fits: damaged: HDU 13 begins with b'<html>'"),
        open_fits(tmp_path / "c.fits"),
    ):
        pass


def test_gzip_that_is_damaged(tmp_path):
    content = gzip.compress(written(tmp_path / "a.fits", mer_hdus((100, 100))).read_bytes())
    for number, damaged in enumerate((content[:-2000], content[:5000] + b"x" * 50 + content[5050:])):
        path = tmp_path / f"{number}.fits.gz"
        path.write_bytes(damaged)
        with pytest.raises(Unusable, match="gzip compression is damaged"), open_fits(path):
            pass


def mutated(rng: np.random.Generator, content: bytes, headers: list[tuple[int, int]]) -> bytes:
    """A file with some bytes of its headers overwritten, a card put in another's place, or its end cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(0, 4)):
        start, length = rng.integers(*headers[rng.integers(len(headers))]), int(rng.integers(1, 12))
        text = rng.choice(np.frombuffer(b"0123456789.-E'= T", "u1"), length).tobytes()
        changed[start : start + length] = text if rng.random() < 0.7 else rng.bytes(length)
    if rng.random() < 0.4:
        (place, _), (other, _) = (headers[number] for number in rng.integers(0, len(headers), 2))
        card, source = 80 * rng.integers(0, 25, 2) + [place, other]
        changed[card : card + 80] = content[source : source + 80]
    return bytes(changed[: rng.integers(0, len(content)) if rng.random() < 0.15 else None])


@pytest.fixture(scope="module")
def cutout(tmp_path_factory) -> tuple[bytes, list[tuple[int, int]]]:
    path = written(tmp_path_factory.mktemp("cutout") / "a.fits", mer_hdus((100, 100)))
    with fits.open(path) as hdus:
        return path.read_bytes(), [(hdu.fileinfo()["hdrLoc"], hdu.fileinfo()["datLoc"]) for hdu in hdus]


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_refused_with_a_reason_or_read_as_astropy_reads_them(tmp_path, cutout, seed):
    """No exception but Unusable, no warning; and what is read has the pixels that astropy finds in the file."""
    rng, path, read = np.random.default_rng(seed), tmp_path / "a.fits", 0
    for _ in range(25):
        path.write_bytes(mutated(rng, *cutout))
        objects, skipped = find_objects([path], Reading())
        assert len(objects) + len(skipped) == 1 and all(len(one.reason) > 10 for one in skipped)
        for one in objects:
            try:
                frames = read_object(one, Reading())
            except InputError as error:
                assert isinstance(error, Unusable) and str(path) in str(error)
                continue
            expected = vis_by_astropy(path, one.bands["VIS"].extension)
            if expected is not None:
                image = np.where(np.isfinite(frames["VIS"].image), frames["VIS"].image, expected)
                np.testing.assert_allclose(image, expected, rtol=1e-5)
                read += 1
    assert 2 <= read <= 20


def vis_by_astropy(path, place: int) -> np.ndarray | None:
    """The image in units of zero point 0; None where astropy gives up on a file that lost other cards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(path, memmap=False) as hdus:
                return hdus[place].data * 10 ** (-0.4 * hdus[place].header["MAGZERO"])
        except Exception:
            return None


def test_headers_without_end_and_mosaics(tmp_path):
    header = wcs_header((20, 20), MAGZERO=24.6, FILTER="VIS")
    path = written(tmp_path / "a_VIS.fits", fits.PrimaryHDU(np.zeros((1, 3100), np.float32), header))
    (found,), _ = find_objects([path], Reading())
    with pytest.raises(Unusable, match="a mosaic and not a cutout"):
        read_object(found, Reading())
    path.write_bytes(path.read_bytes()[:2880].replace(b"END     ", b"XEND    ") + b" " * 2880 * 500)
    with pytest.raises(Unusable, match="header of HDU 0 has no end"), open_fits(path):
        pass
