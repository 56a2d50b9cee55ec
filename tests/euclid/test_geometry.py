"""Frames cut from Euclid cutouts: the same sky, the same flux, the same position in all bands."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fakes.euclid import (
    MAGZERO,
    check_sky,
    frames_in,
    frames_of,
    imported,
    mer_hdus,
    mer_with,
    noise,
    refused,
    wcs_header,
    write_group,
    write_single,
    written,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensfold.errors import InputError
from lensfold.euclid.layouts import EXTENSIONS, Reading
from lensfold.frames import BAND_SHAPES, BANDS


@pytest.mark.parametrize("form", ["cd", "pc", "both"])
@pytest.mark.parametrize(("shape", "corner"), [((200, 200), (0, 0)), ((201, 203), (1, 0)), ((260, 258), (29, 30))])
def test_the_sky_stays_where_it_is(tmp_path, form, shape, corner):
    path = written(tmp_path / "12.fits", mer_hdus(shape, form))
    table = imported([path], tmp_path / "out")
    wcs = WCS(wcs_header(shape, form=form))
    check_sky(dict.fromkeys(BANDS, wcs), tmp_path / "out", "12", corner)
    centre = wcs.pixel_to_world(corner[0] + 99.5, corner[1] + 99.5)
    assert table.loc[0, "ra"] == pytest.approx(centre.ra.deg, abs=1e-10)
    assert table.loc[0, "dec"] == pytest.approx(centre.dec.deg, abs=1e-10)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(200, 260), more=st.integers(0, 2))
def test_any_size_is_cut_at_the_same_sky_in_all_bands(tmp_path, rows, more):
    columns = rows + more
    hdus = mer_hdus((rows, columns))
    path = written(tmp_path / "a.fits", hdus)
    frames = frames_in([path])
    row, column = (rows - 200) // 2, (columns - 200) // 2
    vis = hdus["VIS_FLUX"].data[row : row + 200, column : column + 200]
    np.testing.assert_allclose(frames["VIS"].image, vis * 10 ** (-0.4 * 24.6), rtol=1e-6)
    for band in BANDS[1:]:
        under = hdus[EXTENSIONS[band]].data[row + 1 : row + 199, column + 1 : column + 199].astype(np.float64)
        sums = under.reshape(66, 3, 66, 3).sum(axis=(1, 3)) * 10 ** (-0.4 * MAGZERO[band])
        np.testing.assert_allclose(frames[band].image, sums, rtol=1e-5, atol=1e-17)


@pytest.mark.parametrize("side", [201, 205, 255])
def test_the_central_pixel_of_an_odd_size(tmp_path, side):
    """It becomes VIS pixel 100, and lies in the NISP pixel that covers VIS pixels 100 … 102."""
    hdus = mer_hdus((side, side))
    for name in EXTENSIONS.values():
        hdus[name].data[side // 2, side // 2] = 1e6
    frames = frames_in([written(tmp_path / "a.fits", hdus)])
    for band, frame in frames.items():
        brightest = np.unravel_index(frame.image.argmax(), frame.image.shape)
        assert brightest == ((100, 100) if band == "VIS" else (33, 33)), band


def test_bands_of_other_sizes_are_cut_at_the_same_sky(tmp_path):
    """The NISP image is 198 wide and begins one VIS pixel in, or is larger and off centre."""
    hdus = mer_hdus((200, 200))
    expected = {band: frame.image for band, frame in frames_in([written(tmp_path / "a.fits", hdus)]).items()}
    for band, before, after in (("Y", 0, 0), ("J", 3, 8)):
        name = EXTENSIONS[band]
        inner = hdus[name].data[1:199, 1:199]
        hdus[name].data = np.pad(inner, ((before, after), (after, before)), constant_values=7)
        hdus[name.replace("FLUX", "RMS")].data = np.ones_like(hdus[name].data)
        hdus[name].header["CRPIX1"] += after - 1
        hdus[name].header["CRPIX2"] += before - 1
    found = frames_in([written(tmp_path / "b.fits", hdus)])
    for band in BANDS:
        np.testing.assert_array_equal(found[band].image, expected[band])


def test_a_star_keeps_its_magnitude_in_every_band(tmp_path):
    """Magnitude 20 spread over 3 x 3 pixels is 10^(-8) in the sum, whatever the zero point."""
    hdus = mer_hdus((210, 210))
    for band, name in EXTENSIONS.items():
        hdus[name].data *= np.float32(1e-6)
        hdus[name].data[103:106, 103:106] = 10 ** (0.4 * (MAGZERO[band] - 20)) / 9
    frames = frames_in([written(tmp_path / "a.fits", hdus)])
    for band, frame in frames.items():
        assert frame.image.dtype == np.float32 and frame.image.shape == BAND_SHAPES[band]
        assert np.abs(frame.image).astype(np.float64).sum() == pytest.approx(1e-8, rel=1e-3), band


@pytest.mark.parametrize("value", [1e16, 1e15, 0.0, -1.0, np.nan, np.inf])
def test_rms_tells_bad_pixels(tmp_path, value):
    hdus = mer_hdus((200, 200))
    hdus["VIS_RMS"].data[3, 4] = value
    frame = frames_in([written(tmp_path / "a.fits", hdus)])["VIS"]
    assert np.argwhere(np.isnan(frame.image)).tolist() == [[3, 4]]
    assert frame.bad == 1 and frame.bad_share == 1 / 40000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30])
def test_pixels_without_a_measurement_are_bad_without_rms_too(tmp_path, value):
    hdus = mer_hdus((200, 200))
    hdus["VIS_FLUX"].data[3, 4] = value
    del hdus["VIS_RMS"]
    frame = frames_in([written(tmp_path / "a.fits", hdus)])["VIS"]
    assert np.argwhere(np.isnan(frame.image)).tolist() == [[3, 4]]


@pytest.mark.parametrize("count", range(10))
def test_sums_with_bad_pixels(tmp_path, count):
    """Up to four of nine are made good by the others' mean; of five the sum is bad."""
    hdus = mer_hdus((200, 200))
    hdus["NIR_H_RMS"].data[1:4, 1:4] = np.where(np.arange(9).reshape(3, 3) < count, 1e16, 1)
    frame = frames_in([written(tmp_path / "a.fits", hdus)])["H"]
    good = hdus["NIR_H_FLUX"].data[1:4, 1:4].astype(np.float64).ravel()[count:]
    assert frame.bad == count and frame.bad_share == count / 198**2
    if count > 4:
        assert np.isnan(frame.image[0, 0])
    else:
        assert frame.image[0, 0] == pytest.approx(good.sum() * 9 / good.size * 10 ** (-0.4 * 29.9), rel=1e-5)
    assert np.count_nonzero(np.isnan(frame.image)) == (count > 4)


def test_nisp_at_its_own_scale_is_taken_as_it_is(tmp_path):
    files = write_group(tmp_path / "in", nisp=0.3 / 3600)
    table = imported(files, tmp_path / "out")
    assert table["file"].tolist() == [str(files[0])]
    frames = frames_of(tmp_path / "out", table.loc[0, "name"])
    # 210 and 68 pixels around the same position: the frames of 200 and 66 are in the middle of both
    expected = noise((68, 68), 1)[1:67, 1:67] * 10 ** (-0.4 * 29.8)
    np.testing.assert_allclose(frames["Y"], expected, rtol=1e-6)


def changed_card(extension: str, key: str, value) -> object:
    """A change: one header card, or its removal."""

    def change(hdus):
        if value is None:
            del hdus[extension].header[key]
        else:
            hdus[extension].header[key] = value

    return change


@pytest.mark.parametrize(("scale", "band"), [(0.102, "VIS"), (0.3, "VIS"), (0.29, "NIR_Y"), (0.2, "NIR_H")])
def test_pixel_scales(tmp_path, scale, band):
    def change(hdus):
        hdus[f"{band}_FLUX"].header.update(wcs_header((210, 210), scale / 3600))

    words = "x1.fits", f"{scale:.4g} x {scale:.4g} arcsec", "expected 0.1", "within 1 %"
    refused(mer_with(tmp_path, change), tmp_path / "out", *words)


@pytest.mark.parametrize("scale", [0.0992, 0.1008])
def test_pixel_scales_within_one_percent(tmp_path, scale):
    def change(hdus):
        for name in EXTENSIONS.values():
            hdus[name].header.update(wcs_header((210, 210), scale / 3600))

    assert frames_in(mer_with(tmp_path, change))["Y"].image.shape == (66, 66)


def test_sizes(tmp_path):
    refused(mer_with(tmp_path, lambda hdus: None, (99, 99)), tmp_path / "out", "99 x 99 pixels", "100 to 3000")
    refused(mer_with(tmp_path, lambda hdus: None, (200, 3001)), tmp_path / "out", "200 x 3001 pixels", "lensfold cut")
    files = [write_single(tmp_path / "s" / f"a_{EXTENSIONS[band][:-5]}.fits", band, 200) for band in BANDS]
    write_single(files[2], "J", 65, 0.3 / 3600)
    refused(files, tmp_path / "out", "a_NIR_J.fits", "J does not cover the VIS frame: 66 pixels")


def test_bands_of_another_sky(tmp_path):
    files = mer_with(tmp_path, changed_card("NIR_Y_FLUX", "CRVAL2", -49.98))
    refused(files, tmp_path / "out", "x1.fits", "Y does not cover the VIS frame", "(210, 210)")
    files = mer_with(tmp_path, changed_card("NIR_Y_FLUX", "CRVAL1", 100.0))  # below its horizon
    refused(files, tmp_path / "out", "Y does not cover the VIS frame")

    def mirrored(hdus):
        for key in ("CD1_1", "CD2_1"):
            hdus["NIR_H_FLUX"].header[key] *= -1

    refused(mer_with(tmp_path, mirrored), tmp_path / "out", "H is turned or stretched", "expected at most 0.3")


def test_galactic_coordinates_are_converted(tmp_path):
    def change(hdus):
        for name in EXTENSIONS.values():
            hdus[name].header.update({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 120.0, "CRVAL2": 30.0})

    table = imported(mer_with(tmp_path, change), tmp_path / "out")
    assert table.loc[0, "dec"] > 80  # Galactic (123, 27) is the pole


def test_integers_and_scaled_pixels_are_read(tmp_path):
    hdus = mer_hdus((200, 200))
    values = np.random.default_rng(1).integers(1, 30000, (200, 200))
    hdus["VIS_FLUX"].data = values.astype(np.int16)
    hdus["VIS_FLUX"].header.update({"BSCALE": 2.0, "BZERO": 10.0})
    frame = frames_in([written(tmp_path / "a.fits", hdus)])["VIS"]
    assert np.isfinite(frame.image).all()


def moffat_files(folder, shift: tuple[float, float], side: int = 70, turn: float = 0.0) -> list:
    """VIS, and NISP at 0.3 arcsec whose pixels lie ``shift`` of theirs beside VIS': a point source of FWHM 0.5 arcsec
    five arcsec from the middle, and pixels that integrate it."""
    files = write_group(folder, nisp=0.3 / 3600)
    sky = WCS(wcs_header((210, 210))).pixel_to_world(*STAR)
    for path in files[1:]:
        header = wcs_header((side, side), 0.3 / 3600, MAGZERO=29.9, FILTER=fits.getval(path, "FILTER"))
        header["CRPIX1"] += shift[0]
        header["CRPIX2"] += shift[1]
        if turn:
            header.update(turned(header, turn))
        written(path, fits.PrimaryHDU(star(WCS(header).world_to_pixel(sky), side), header))
    return files


STAR = (125.3, 83.9)  # column and row of the VIS image


def star(place, side: int, scale: float = 0.3) -> np.ndarray:
    at = (np.arange(side * 9) - 4) / 9
    sigma = 0.5 / 2.3548 / scale
    one = [np.exp(-((at - centre) ** 2) / (2 * sigma**2)).reshape(side, 9).mean(axis=1) for centre in place]
    return (1000 * np.outer(one[1], one[0]) + 1e-3 * noise((side, side), 5)).astype(np.float32)


def turned(header, degrees: float) -> dict[str, float]:
    matrix = np.array([[header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = matrix @ np.array([[c, -s], [s, c]])
    return {f"CD{i}_{j}": float(matrix[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}


@pytest.mark.parametrize(("shift", "turn"), [((0.5, 0.5), 0.0), ((-0.2, 0.45), 0.0), ((0.3, 0.0), 0.4)])
def test_nisp_beside_the_vis_pixels_is_resampled(tmp_path, shift, turn):
    frames = frames_in(moffat_files(tmp_path / "in", shift, turn=turn))
    column, row = ((at - 5 - 1 - 1) / 3 for at in STAR)  # VIS is cut from 5 on, and NISP begins one pixel in
    expected = star((column, row), 66) * 10 ** (-0.4 * 29.9)
    for band in BANDS[1:]:
        image = frames[band].image
        assert np.abs(image - expected).max() < 0.05 * expected.max()  # the nearest pixels: 0.6
        weights = image / image.sum(dtype=np.float64)
        centre = [(weights.sum(axis=axis) * np.arange(66)).sum() for axis in (0, 1)]
        assert np.hypot(centre[0] - column, centre[1] - row) * 0.3 < 0.01  # arcsec
        assert image.sum(dtype=np.float64) == pytest.approx(expected.sum(dtype=np.float64), rel=0.002)
        sky = WCS(frames[band].header).pixel_to_world(column, row)
        assert sky.separation(WCS(wcs_header((210, 210))).pixel_to_world(*STAR)).arcsec < 0.001


def test_bad_pixels_are_resampled_as_bad_and_noise_as_variances(tmp_path):
    files = moffat_files(tmp_path / "in", (0.5, 0.0))
    pixels, header = fits.getdata(files[1], header=True)
    rms = np.full(pixels.shape, 2.0, np.float32)
    rms[40, 30], pixels[20:24, 50] = 1e16, np.nan
    hdus = [fits.PrimaryHDU(pixels, header), fits.ImageHDU(rms, name="RMS")]
    written(files[1], fits.HDUList(hdus))
    frame = frames_in(files)["Y"]
    whole = frames_in(moffat_files(tmp_path / "whole", (0.5, 0.0)))["Y"].image
    bad = np.isnan(frame.image)
    assert np.count_nonzero(bad) == 2 + 8 and bad.sum() == frame.bad  # each pixel lies between two columns
    np.testing.assert_allclose(frame.image[~bad], whole[~bad], rtol=0.02, atol=0.002 * np.nanmax(whole))
    np.testing.assert_allclose(frame.rms[~bad], 2 * 10 ** (-0.4 * 29.9), rtol=1e-6)
    assert (np.isnan(frame.rms) == bad).all()


@pytest.mark.parametrize("pixels", [66, 67])
def test_nisp_half_a_pixel_off_needs_no_more_than_the_frame(tmp_path, pixels):
    frames = frames_in(moffat_files(tmp_path / "in", (0.4, 0.4), side=pixels))
    assert not np.isnan(frames["Y"].image).any()
    with pytest.raises(InputError, match="Y does not cover the VIS frame"):
        frames_in(moffat_files(tmp_path / "far", (1.6, 0.4), side=pixels))
    padded = frames_in(moffat_files(tmp_path / "far", (1.6, 0.4), side=pixels), reading=Reading(pad=True))
    assert np.isnan(padded["Y"].image).any(axis=0).sum() in (1, 2)


def test_a_position_in_a_table_moves_the_frame(tmp_path):
    hdus = mer_hdus((300, 300))
    hdus.append(fits.ImageHDU())
    path = written(tmp_path / "a.fits", hdus)
    place = WCS(wcs_header((300, 300))).pixel_to_world(180.3, 129.2)
    table = tmp_path / "t.csv"
    table.write_text(f"object,file,RA,Dec\nx,a.fits,{place.ra.deg:.9f},{place.dec.deg:.9f}\n")
    reading = Reading(table=table)
    frames = frames_in([path], reading=reading)
    vis = hdus["VIS_FLUX"].data * 10 ** (-0.4 * 24.6)
    np.testing.assert_allclose(frames["VIS"].image, vis[30:230, 81:281], rtol=1e-6)
    assert frames["VIS"].offset == pytest.approx(0.1 * np.hypot(31, 20), rel=1e-4)
    assert (frames["VIS"].ra, frames["VIS"].dec) == pytest.approx((place.ra.deg, place.dec.deg), abs=0.05 / 3600)
    table.write_text(f"object,file,RA,Dec\nx,a.fits,{place.ra.deg:.9f},{place.dec.deg + 0.01:.9f}\n")
    with pytest.raises(InputError, match="is not in the VIS image"):
        frames_in([path], reading=reading)
    table.write_text("object,file,RA,Dec\nx,a.fits,359.12345678912345,-49.987654321098765\n")
    assert frames_in([path], reading=reading)["VIS"].offset == 0  # a rounded position of the middle is the middle
    edge = WCS(wcs_header((300, 300))).pixel_to_world(240.0, 149.5)
    table.write_text(f"object,file,RA,Dec\nx,a.fits,{edge.ra.deg:.9f},{edge.dec.deg:.9f}\n")
    assert frames_in([path], reading=reading)["VIS"].image.shape == (100, 100)  # what fits around it


def test_padding(tmp_path):
    path = written(tmp_path / "a.fits", mer_hdus((90, 90)))
    with pytest.raises(InputError, match=r"90 x 90 pixels, expected 100 to 3000.*4\.5 arcsec.*--pad"):
        frames_in([path])
    frames = frames_in([path], reading=Reading(pad=True))
    assert np.isfinite(frames["VIS"].image[5:95, 5:95]).all()
    assert frames["VIS"].bad == np.isnan(frames["VIS"].image).sum() == 100**2 - 90**2
    assert np.isnan(frames["VIS"].rms).sum() == 1900 and frames["H"].image.shape == (32, 32)
    whole = frames_in([written(tmp_path / "b.fits", mer_hdus((190, 190)))], 200, Reading(pad=True))
    assert np.isnan(whole["VIS"].image).sum() == 200**2 - 190**2


def test_an_image_trimmed_nobody_knows_where_is_refused(tmp_path):
    path = written(tmp_path / "a.fits", mer_hdus((260, 231)))
    with pytest.raises(InputError, match="260 x 231 pixels: trimmed at an edge.*--table with RA and Dec"):
        frames_in([path])
    place = WCS(wcs_header((260, 231))).pixel_to_world(100.0, 129.5)
    path = path.rename(tmp_path / f"a_{place.ra.deg:.7f}_{place.dec.deg:.7f}.fits")
    assert frames_in([path])["VIS"].offset == pytest.approx(1.5, abs=0.1)
