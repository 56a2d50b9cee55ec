"""Packs made from Euclid cutouts: whole or not at all, with the IDs that their names give."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fakes.euclid import MAGZERO, all_strict, check_sky, frames_of, mer_hdus, mer_with, refused, write_group, written
from fakes.workspace import PROJECT

from lensfold.data.cache import central
from lensfold.data.cache_build import Build, build_cache
from lensfold.data.fits_reader import read_frame
from lensfold.errors import InputError
from lensfold.euclid.importer import import_euclid
from lensfold.euclid.layouts import EXTENSIONS
from lensfold.paths import BAND_SHAPES, BANDS, Pack, band_shapes, cutout_file, maps_file

REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_the_real_example_gives_the_reference_in_every_band(tmp_path):
    source = REAL / "mer" / "EUC_MER_example_300px.fits"
    out = tmp_path / "real"
    table = import_euclid([source], out)
    assert table["ID"].tolist() == [1] and table["file"].tolist() == [source.name]  # 300px is no number
    assert table[[f"bad_{band}" for band in BANDS]].to_numpy().max() == 0
    for band, frame in frames_of(out, 1).items():
        reference = read_frame(cutout_file(REAL, band, 900001).read_bytes())
        np.testing.assert_allclose(frame, reference, rtol=2e-7, atol=0)
    with fits.open(source) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_sky({band: WCS(hdus[EXTENSIONS[band]].header) for band in BANDS}, out, 1, (50, 50))
    manifest = build_cache(Pack("real", out).split_source("test"), Build(tmp_path / "cache"))
    assert manifest["objects"] == 1 and not manifest["refused"] and not manifest["repaired"]


def trimmed(hdus: fits.HDUList, side: int) -> fits.HDUList:
    """The same cutout with only its middle."""
    for hdu in hdus[1:]:
        edge = (len(hdu.data) - side) // 2
        if edge > 0:
            hdu.data = hdu.data[edge : edge + side, edge : edge + side]
            for axis in (1, 2):
                hdu.header[f"CRPIX{axis}"] = hdu.header.get(f"CRPIX{axis}", 0.0) - edge
    return hdus


def test_smaller_cutouts_give_the_middle_of_the_frame(tmp_path):
    sides = {"20": (300, None), "10": (300, 100), "100px": (100, None), "150px": (150, None)}
    for name, (delivered, side) in sides.items():
        file = written(tmp_path / f"{name}.fits", trimmed(mer_hdus((300, 300)), delivered))
        table = import_euclid([file], tmp_path / name, side=side)
        assert table.loc[0, "ra"] == pytest.approx(359.12345678912345, abs=1e-9)
    large = frames_of(tmp_path / "20", 20)
    for name, object_id in (("10", 10), ("100px", 1), ("150px", 1)):
        for band, image in frames_of(tmp_path / name, object_id).items():
            np.testing.assert_allclose(image, central(large[band], band_shapes(100)[band][0]), rtol=1e-6)
    with fits.open(maps_file(tmp_path / "100px", 1)) as hdus:
        assert hdus["Y_RMS"].data.shape == (32, 32)
    assert build_cache(tmp_path / "100px", Build(tmp_path / "cache"))["bands"]["H"] == [32, 32]


def test_cutouts_of_two_sizes_are_imported_apart(tmp_path):
    files = [
        written(tmp_path / f"{side}_{number}.fits", mer_hdus((side, side)))
        for side, number in ((120, 1), (210, 1), (210, 2))
    ]
    words = ('1 for 10"', "120_1.fits", '2 for 20"', "210_1.fits", "--side 100")
    assert "\n" not in refused(files, tmp_path / "out", *words)
    assert len(import_euclid(files, tmp_path / "out", side=100)) == 3
    refused(files, tmp_path / "other", "120_1.fits", "120 x 120 pixels, expected 200 to 3000", side=200)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_the_real_example_of_ten_arcsec(tmp_path):
    table = import_euclid([REAL / "mer" / "EUC_MER_example_100px.fits"], tmp_path / "real")
    assert table["ID"].tolist() == [1]
    assert {band: frame.shape for band, frame in frames_of(tmp_path / "real", 1).items()} == band_shapes(100)
    assert build_cache(tmp_path / "real", Build(tmp_path / "cache"))["objects"] == 1


def test_an_object_with_an_unusable_band_is_imported_and_reported(tmp_path):
    hdus = mer_hdus((200, 200))
    hdus["VIS_FLUX"].data[:, :40] = 0  # a blank strip
    hdus["NIR_Y_FLUX"].data[:] = np.nan
    hdus["NIR_J_RMS"].data[:] = 1e16
    hdus["NIR_H_FLUX"].data[150:] = 3.0  # another kind of blank strip
    good = written(tmp_path / "2.fits", mer_hdus((200, 200)))
    table = import_euclid([written(tmp_path / "1.fits", hdus), good], tmp_path / "out")
    shares = table.set_index("ID")[[f"bad_{band}" for band in BANDS]]
    assert shares.loc[1].tolist() == pytest.approx([0.2, 1, 1, 49 / 198]) and (shares.loc[2] == 0).all()
    frames = frames_of(tmp_path / "out", 1)
    assert np.isnan(frames["Y"]).all() and np.isnan(frames["J"]).all()
    assert np.isnan(frames["VIS"]).mean() == 0.2
    manifest = build_cache(tmp_path / "out", Build(tmp_path / "cache", skip_bad=True))
    assert list(manifest["refused"]) == ["1"] and manifest["objects"] == 1


def test_small_gaps_are_mended_by_the_cache(tmp_path):
    hdus = mer_hdus((200, 200))
    hdus["VIS_RMS"].data[50:53, 60:62] = 1e16
    import_euclid([written(tmp_path / "5.fits", hdus)], tmp_path / "out")
    assert build_cache(tmp_path / "out", Build(tmp_path / "cache"))["repaired"] == {"5": {"VIS": 6}}


def test_a_pack_is_a_test_split_in_the_challenges_form(tmp_path):
    done = []
    files = [written(tmp_path / f"obj_{number}.fits", mer_hdus()) for number in (30, 4)]
    out = tmp_path / "deep" / "mine"
    table = import_euclid(files, out, progress=lambda *at: done.append(at))
    assert table["ID"].tolist() == [4, 30] and done == [(1, 2), (2, 2)]
    assert list(table.columns) == ["ID", "file", "ra", "dec", "bad_VIS", "bad_Y", "bad_J", "bad_H"]
    pd.testing.assert_frame_equal(pd.read_csv(out / "objects.csv"), table)
    assert Pack("mine", out).split_source("test") == out
    assert sorted(path.name for path in out.iterdir()) == ["Public", "objects.csv"]
    assert len(list(out.rglob("image*.fits"))) == 8
    for band, frame in frames_of(out, 4).items():
        assert frame.shape == BAND_SHAPES[band]
        header = fits.getheader(cutout_file(out, band, 4))
        assert (header["BITPIX"], header["MAGZERO"], header["SRCFILE"]) == (-32, 0, "obj_4.fits")
    assert all_strict(out)


def test_what_was_imported_can_be_imported_again(tmp_path):
    hdus = mer_hdus()
    hdus["VIS_RMS"].data[100, 100] = 1e16
    import_euclid([written(tmp_path / "8.fits", hdus)], tmp_path / "one")
    import_euclid(sorted((tmp_path / "one").rglob("image*.fits")), tmp_path / "two")
    again = frames_of(tmp_path / "two", 8)
    for band, frame in frames_of(tmp_path / "one", 8).items():
        np.testing.assert_array_equal(again[band], frame)


def test_a_pack_is_replaced_only_when_told(tmp_path):
    first, second = (written(tmp_path / f"{number}.fits", mer_hdus()) for number in (1, 2))
    out = tmp_path / "out"
    import_euclid([first], out)
    (out / "cache").mkdir()
    refused([second], out, str(out), "found Public", "--overwrite")
    broken = tmp_path / "3.fits"
    broken.write_bytes(b"no")
    refused([second, broken], out, "3.fits", overwrite=True)
    import_euclid([second], out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["Public", "cache", "objects.csv"]
    names = [*(f"imageEUC_{band}-2.fits" for band in BANDS), "maps-2.fits"]
    assert sorted(path.name for path in out.rglob("*.fits")) == sorted(names)


@pytest.mark.parametrize("name", ["train", "datapack2.0test.tar.gz", "test", "image_catalog2.0train.csv"])
def test_another_kind_of_pack_is_left_alone(tmp_path, name):
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    refused([written(tmp_path / "1.fits", mer_hdus())], out, name, "another folder", overwrite=True)


def test_a_failure_half_way_leaves_nothing(tmp_path):
    """The second object fails only when its pixels are looked at, after the first was written."""
    hdus = mer_hdus()
    hdus["NIR_J_FLUX"].header["MAGZERO"] = "none"
    files = [written(tmp_path / "1.fits", mer_hdus()), written(tmp_path / "2.fits", hdus)]
    refused(files, tmp_path / "new" / "pack", "2.fits", "MAGZERO", "'none'")


def test_all_unusable_files_are_listed(tmp_path):
    files = []
    for number in range(23):
        files.append(tmp_path / f"bad{number:02d}.fits")
        files[-1].write_text("no FITS")
    message = refused(files, tmp_path / "out", "bad00.fits", "bad19.fits", "3 more")
    assert "bad20.fits" not in message


def test_the_folder_cannot_be_written(tmp_path):
    source = written(tmp_path / "1.fits", mer_hdus())
    with pytest.raises(InputError, match="cannot be written"):
        import_euclid([source], source / "out")


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["12_a_7", "3"], [12, 3]),  # leading
        (["tile 5 b", "c-0009"], [5, 9]),  # the only one
        (["-523574860290315045"], [523574860290315045]),  # Euclid's own have a sign
        (["12a", "7"], [1, 2]),  # a part of a word is none
        (["a_63.25_-49.5"], [1]),  # nor is a part of a decimal number
        (["7_a", "07_b"], [2, 1]),  # alike: in the order of the names
        (["a_1_2"], [1]),  # two, none leading
        (["1234567890123456789"], [1]),  # more than the challenge's names can hold
    ],
)
def test_ids_come_from_the_names(tmp_path, names, ids):
    files = [written(tmp_path / f"{name}.fits", mer_hdus()) for name in names]
    table = import_euclid(files, tmp_path / "out").set_index("file")
    assert table.loc[[path.name for path in files], "ID"].tolist() == ids


@pytest.mark.parametrize(
    "name", ["../../x' \n/*", "ä" * 60, "q" * 200, "\udcff"], ids=["path", "accents", "long", "bytes"]
)
def test_a_name_is_only_text(tmp_path, name):
    path = written(tmp_path / "in" / (name.replace("/", "∕") + ".fits"), mer_hdus())
    import_euclid([path], tmp_path / "out")
    assert all_strict(tmp_path / "out")
    card = fits.getheader(cutout_file(tmp_path / "out", "Y", 1))["SRCFILE"]
    assert card.isascii() and len(card) <= 68
    assert len(pd.read_csv(tmp_path / "out" / "objects.csv")) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_two_folders_may_hold_the_same_name(tmp_path):
    files = [written(tmp_path / folder / "5.fits", mer_hdus()) for folder in "ab"]
    assert import_euclid(files, tmp_path / "out")["ID"].tolist() == [1, 2]


def test_old_cards_do_no_harm(tmp_path):
    """A deprecated keyword, a date: none may warn or stop the import."""

    def change(hdus):
        for name in EXTENSIONS.values():
            header = hdus[name].header
            header.update({"RADECSYS": "FK5", "EQUINOX": 2000.0, "DATE-OBS": "2024-10-18T16:12:43", "MJD-OBS": 60601.0})
            header.update({"TELESCOP": "Euclid", "BUNIT": "ADU"})

    out = tmp_path / "out"
    import_euclid(mer_with(tmp_path, change), out)
    assert all_strict(out)
    WCS(fits.getheader(cutout_file(out, "Y", 1)))


def test_maps_are_cut_scaled_and_added_as_the_images_are(tmp_path):
    """RMS in quadrature of nine, four of which may be bad; the point spread function of the sum one, as it was."""
    hdus = mer_hdus((210, 210))
    rng = np.random.default_rng(1)
    for band, name in EXTENSIONS.items():
        hdus[name.replace("FLUX", "RMS")].data = rng.uniform(1, 3, (210, 210)).astype(np.float32)
        hdus[name.replace("FLUX", "PSF")].data = rng.uniform(0, 2, (33, 33)).astype(np.float32) * len(band)
    hdus["NIR_H_RMS"].data[6:9, 6:8] = 1e16  # six of nine
    hdus["NIR_H_RMS"].data[6:9, 9] = 1e16  # three of nine
    import_euclid([written(tmp_path / "7.fits", hdus)], tmp_path / "out")
    with fits.open(maps_file(tmp_path / "out", 7)) as maps:
        for band, name in EXTENSIONS.items():
            delivered = hdus[name.replace("FLUX", "RMS")].data.astype(np.float64) * 10 ** (-0.4 * MAGZERO[band])
            rms, psf = maps[f"{band}_RMS"].data, maps[f"{band}_PSF"].data
            stamp = hdus[name.replace("FLUX", "PSF")].data.astype(np.float64)
            np.testing.assert_allclose(psf, stamp / stamp.sum(), rtol=1e-6)
            if band == "VIS":
                np.testing.assert_allclose(rms, delivered[5:205, 5:205], rtol=1e-6)
                continue
            blocks = delivered[6:204, 6:204].reshape(66, 3, 66, 3).transpose(0, 2, 1, 3).reshape(66, 66, 9)
            np.testing.assert_allclose(rms[2:], np.sqrt((blocks**2).sum(-1))[2:], rtol=1e-6)
            if band == "H":
                assert np.isnan(rms[0, 0]) and np.isnan(frames_of(tmp_path / "out", 7)["H"][0, 0])
                good = np.sqrt((blocks[0, 1, [1, 2, 4, 5, 7, 8]] ** 2).sum() * 9 / 6)
                assert rms[0, 1] == pytest.approx(good, rel=1e-6)


def test_only_maps_that_are_there_are_kept(tmp_path):
    hdus = mer_hdus()
    for name in ("VIS_RMS", "NIR_Y_RMS", "NIR_J_RMS", "NIR_H_RMS", "NIR_J_PSF"):
        del hdus[name]
    hdus["NIR_Y_PSF"].data[:] = 0
    hdus["NIR_H_PSF"].data[3, 3] = np.nan
    bare = fits.HDUList([hdu for hdu in mer_hdus() if not hdu.name.endswith(("RMS", "PSF"))])
    files = [written(tmp_path / "1.fits", hdus), written(tmp_path / "2.fits", bare)]
    import_euclid(files, tmp_path / "out")
    with fits.open(maps_file(tmp_path / "out", 1)) as maps:
        assert [hdu.name for hdu in maps[1:]] == ["VIS_PSF"]
    assert not maps_file(tmp_path / "out", 2).exists()
    import_euclid(files[1:], tmp_path / "out", overwrite=True)
    assert not maps_file(tmp_path / "out", 1).exists()


def test_single_band_files_have_maps_too(tmp_path):
    files = []
    for path in write_group(tmp_path / "in"):
        with fits.open(path) as one:
            extra = [fits.ImageHDU(np.ones((210, 210), np.float32), name="RMS")]
            extra.append(fits.ImageHDU(np.ones((21, 21), np.float32), name="PSF"))
            files.append(written(tmp_path / "whole" / path.name, fits.HDUList([one[0].copy(), *extra])))
    import_euclid(files, tmp_path / "out")
    with fits.open(maps_file(tmp_path / "out", 7)) as maps:
        assert len(maps) == 9 and maps["J_PSF"].data[0, 0] == pytest.approx(1 / 441)
        assert maps["J_RMS"].data[5, 5] == pytest.approx(3 * 10 ** (-0.4 * 30))
