"""From delivered bands to frames in the geometry and units of the challenge.

Of VIS the central 200 pixels, from pixel (size - 200) // 2 on, so the central pixel of an odd size becomes pixel 100
(from zero), or in the same way 100 of a file that has no 200. NISP is cut where VIS was, found by the WCS: 198 pixels
(96) of 0.1 arcsec added 3 x 3, or 66 (32) of 0.3 arcsec taken as they are. NISP pixel a covers the VIS pixels 1 + 3 a …
3 + 3 a (2 + 3 a … 4 + 3 a). Units: pixel x 10^(-0.4 MAGZERO). A pixel that RMS or `lensfold.data.bad_pixels` calls bad
becomes NaN: the cache builder mends small gaps and refuses wide ones.

RMS maps are cut and scaled alike, and of 3 x 3 pixels added in quadrature with no term for their correlation: MER's
maps have the noise that pixels would have if they were independent, and so hold it already. In two real cutouts sums
of 10 x 10 sky pixels scatter by 0.8 to 1.0 times the quadrature sum of the map (where no faint light adds to it), sums
of 3 x 3 by 0.5 to 0.8 and single pixels by 0.6 (VIS) and 0.2 to 0.3 (NISP). Who needs the scatter of pixels takes the
map's shape and measures its scale. Point spread functions stay at 0.1 arcsec, with the sum one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from lensfold.data.bad_pixels import bad_pixels
from lensfold.euclid.layouts import EXTENSIONS, EuclidBand, EuclidObject, Reading, Unusable, read_bands
from lensfold.paths import RATIO, SIDES, band_shapes, rim

MAX_SIDE = 3000  # pixels; a larger image is a mosaic, whose centre is nobody's object
MAX_OFFSET = 0.3  # arcsec between the corners of the VIS and NISP frames
MAX_BAD_OF_NINE = 4  # a sum with more bad pixels is bad too


@dataclass(frozen=True)
class Frame:
    """One band in the challenge's form: ``image`` float32, shape of ``band_shapes``, NaN where bad; ``header`` with
    its WCS, FILTER, MAGZERO = 0 and SRCFILE; ``bad`` and ``bad_share``: number and share of the delivered pixels in
    the frame that have no measurement; ``rms`` (float32, the image's shape and units, NaN where bad) and ``psf``
    (float32, 0.1 arcsec, sum one) where the file has them."""

    image: np.ndarray
    header: fits.Header
    bad: int
    bad_share: float
    rms: np.ndarray | None = None
    psf: np.ndarray | None = None


def read_object(found: EuclidObject, reading: Reading, side: int | None = None) -> dict[str, Frame]:
    """Return the bands of one object in the challenge's form.

    ``side``: of the frame in VIS pixels; None for the largest that the VIS image has. Raises Unusable as read_bands
    does, and where size, scale or position of a band do not allow it.
    """
    sources = read_bands(found, reading)
    vis = sources["VIS"]
    if side is None:
        side = next((known for known in SIDES if min(vis.image.shape) >= known), min(SIDES))
    step, corner = _step(vis, "VIS", side), [(length - side) // 2 for length in vis.image.shape]
    frames = {"VIS": _frame(vis, "VIS", corner, step, side)}
    for band in list(sources)[1:]:
        frames[band] = _nisp_frame(sources[band], band, WCS(frames["VIS"].header), side)
    return frames


def middle(side: int) -> tuple[float, float]:
    """Return the column and row, from zero, of the middle of a VIS frame."""
    return 0.5 * (side - 1), 0.5 * (side - 1)


def _step(source: EuclidBand, band: str, frame: int) -> int:
    """Return how many delivered pixels per side make one of the frame; Unusable where scale or size do not fit."""
    with np.errstate(all="ignore"):  # a damaged header may give infinite ones
        scales = proj_plane_pixel_scales(source.wcs) * 3600
    allowed = (0.1,) if band == "VIS" else (0.1, 0.3)
    fitting = [scale for scale in allowed if np.all(np.abs(scales / scale - 1) <= 0.01)]
    if not fitting:
        found = f"{scales[0]:.4g} x {scales[1]:.4g} arcsec, expected {' or '.join(map(str, allowed))} within 1 %"
        raise Unusable(source.file, f"{band} pixels of {found}. Resample it, or cut it from a MER mosaic.")
    step = round(allowed[-1] / fitting[0])
    side, shape = step * band_shapes(frame)[band][0], source.image.shape
    if min(shape) < side or max(shape) > MAX_SIDE:
        size = f'{side} to {MAX_SIDE} a side around one object for a frame of {frame // 10}"'
        found = f"{shape[0]} x {shape[1]} pixels, expected {size}"
        raise Unusable(source.file, f"{band} has {found}. Cut it to another size.")
    return step


def _nisp_frame(source: EuclidBand, band: str, vis: WCS, frame_side: int) -> Frame:
    """Return the frame of a NISP band at the place of the VIS frame with this WCS; Unusable if not covered."""
    step, size = _step(source, band, frame_side), band_shapes(frame_side)[band][0]
    side = size * step
    centre = np.array(source.wcs.world_to_pixel(vis.pixel_to_world(*middle(frame_side))), dtype=float)[::-1]
    corner = np.rint(centre - (side - 1) / 2)
    if not np.all((corner >= 0) & (corner + side <= source.image.shape)):
        found = f"{side} pixels around (row, column) {centre.round(1)} of {source.image.shape}"
        raise Unusable(source.file, f"{band} does not cover the VIS frame: {found}. Cut all bands at one position.")
    frame = _frame(source, band, corner.astype(int).tolist(), step, frame_side)
    x, y = np.meshgrid([-0.5, size - 0.5], [-0.5, size - 0.5])
    first = rim(frame_side) + RATIO // 2  # VIS pixel at the centre of the first NISP pixel
    expected = vis.pixel_to_world(RATIO * x + first, RATIO * y + first)
    offset = WCS(frame.header).pixel_to_world(x, y).separation(expected).arcsec.max()
    if not offset <= MAX_OFFSET:
        found = f"{offset:.2f} arcsec in a corner, expected at most {MAX_OFFSET}"
        raise Unusable(source.file, f"{band} is turned or stretched against VIS: {found}. Resample it to VIS.")
    return frame


def _frame(source: EuclidBand, band: str, corner: Sequence[int], step: int, frame_side: int) -> Frame:
    """Return the frame that begins at ``corner`` (row, column), each pixel of ``step`` x ``step`` delivered ones."""
    side = step * band_shapes(frame_side)[band][0]
    window = tuple(slice(start, start + side) for start in corner)
    image, bad = frame_pixels(source.image[window], source.rms_bad[window], source.magzero, step)
    psf = None if source.psf is None else (source.psf / source.psf.sum(dtype=np.float64)).astype(np.float32)
    header = _header(source, band, corner, step)
    return Frame(image, header, int(bad.sum()), float(bad.mean()), _rms(source, window, bad, step), psf)


def frame_pixels(pixels: np.ndarray, rms_bad: np.ndarray, magzero: float, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a band's frame and which of the delivered pixels in it are bad (bool, their shape).

    ``pixels``: those of the frame, as stored; ``rms_bad`` (bool, alike): where the RMS map finds no measurement;
    ``step``: 1, or 3 for pixels that are added 3 x 3. The frame is float32 in units of zero point 0, NaN where bad.
    """
    pixels = pixels.astype(np.float64)
    bad = bad_pixels(pixels) | rms_bad
    with np.errstate(over="ignore"):
        flux = pixels * 10 ** (-0.4 * magzero)
        flux[bad] = np.nan
        image = (_binned(flux) if step == 3 else flux).astype(np.float32)
    image[~np.isfinite(image)] = np.nan
    return image, bad


def _rms(source: EuclidBand, window: tuple[slice, ...], bad: np.ndarray, step: int) -> np.ndarray | None:
    """Return the RMS map of a frame, in its units; None where the file has none."""
    if source.rms is None:
        return None
    rms = np.where(bad, np.nan, source.rms[window].astype(np.float64)) * 10 ** (-0.4 * source.magzero)
    return (np.sqrt(_binned(rms**2)) if step == 3 else rms).astype(np.float32)


def _binned(flux: np.ndarray) -> np.ndarray:
    """Return sums over 3 x 3 pixels: nine times the mean of the good where a few are bad, NaN where many are."""
    good = np.isfinite(flux)
    if good.all():
        return _sums(flux)
    number = _sums(good.astype(np.float64))
    scaled = _sums(np.where(good, flux, 0)) * (9 / np.maximum(number, 1))
    return np.where(number >= 9 - MAX_BAD_OF_NINE, scaled, np.nan)


def _sums(values: np.ndarray) -> np.ndarray:
    rows = values[0::3] + values[1::3] + values[2::3]
    return rows[:, 0::3] + rows[:, 1::3] + rows[:, 2::3]


def _header(source: EuclidBand, band: str, corner: Sequence[int], step: int) -> fits.Header:
    """Return the frame's header: its WCS in full precision (to_header keeps twelve digits), units and file."""
    wcs, header = source.wcs.wcs, source.wcs.to_header()
    for axis in (0, 1):
        header[f"CRPIX{axis + 1}"] = float((wcs.crpix[axis] - 0.5 - corner[1 - axis]) / step + 0.5)
        header[f"CRVAL{axis + 1}"] = float(wcs.crval[axis])
        header[f"CDELT{axis + 1}"] = float(wcs.get_cdelt()[axis] * step)
    header["FILTER"] = EXTENSIONS[band].removesuffix("_FLUX")
    header["MAGZERO"] = (0.0, "AB zero point: pixel = 10^(-0.4 m)")
    # no quotes, which count twice, and no more than fits into one card
    header["SRCFILE"] = re.sub(r"[^ -&(-~]", "?", source.file.name)[:68]
    return header
