"""From delivered bands to frames in the geometry and units of the challenge.

Of VIS the central 200 pixels, from pixel (size - 200) // 2 on, so the central pixel of an odd size becomes pixel 100
(from zero), or in the same way 100 of a file that has no 200; where the object is known to lie elsewhere, the pixels
around it. NISP is cut where VIS was, found by the WCS: 198 pixels (96) of 0.1 arcsec added 3 x 3, or 66 (32) of 0.3
arcsec. NISP pixel a covers the VIS pixels 1 + 3 a … 3 + 3 a (2 + 3 a … 4 + 3 a). Pixels within 0.02 arcsec of that
place are taken as they are, others resampled by splines: the
nearest would move an object by up to 0.15 arcsec along each axis. Units: pixel x 10^(-0.4 MAGZERO). A pixel
that RMS or `lensfold.data.bad_pixels` calls bad becomes NaN: the cache builder mends small gaps and refuses wide ones.

RMS maps are cut and scaled alike, and of 3 x 3 pixels added in quadrature with no term for their correlation: MER's
maps have the noise that pixels would have if they were independent, and so hold it already. In two real cutouts sums
of 10 x 10 sky pixels scatter by 0.8 to 1.0 times the quadrature sum of the map (where no faint light adds to it), sums
of 3 x 3 by 0.5 to 0.8 and single pixels by 0.6 (VIS) and 0.2 to 0.3 (NISP). Who needs the scatter of pixels takes the
map's shape and measures its scale. Point spread functions stay at 0.1 arcsec, with the sum one.
"""

import re
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from scipy.ndimage import map_coordinates

from lensfold.data.bad_pixels import bad_pixels
from lensfold.euclid.bands import MAX_SIDE, WHOLE, EuclidBand, read_bands
from lensfold.euclid.hdus import Unusable
from lensfold.euclid.layouts import EXTENSIONS, EuclidObject, Reading, stem
from lensfold.frames import RATIO, SIDES, band_shapes, rim

MAX_TURN = 0.3  # arcsec in a corner of the frame, by which a NISP image may be turned or stretched against VIS
MAX_SHIFT = 0.02  # arcsec, by which its pixels may lie beside the frame's and be taken as they are
MAX_BAD_OF_NINE = 4  # a sum with more bad pixels is bad too
SPLINES: Literal[5] = 5  # their order: NISP is sampled hardly twice a width, where cubic ones lose 2 % of a peak
FILL_SIGMA = 1.5  # pixels, of the Gaussian that gaps are filled with before, so that their edges do not ring
MAX_UNLIKE = 2  # pixels between the sides of an image that nobody trimmed
#: a position as cutout services write it into names: RA_Dec in degrees
_POSITION = re.compile(r"(?<![\d.])(\d{1,3}\.\d{3,})_([+-]?\d{1,2}\.\d{3,})(?![\d])")


@dataclass(frozen=True)
class Frame:
    """One band in the challenge's form: ``image`` float32, shape of ``band_shapes``, NaN where bad; ``header`` with
    its WCS, FILTER, MAGZERO = 0 and SRCFILE; ``bad`` and ``bad_share``: number and share of the delivered pixels in
    the frame that have no measurement; ``rms`` (float32, the image's shape and units, NaN where bad) and ``psf``
    (float32, 0.1 arcsec, sum one) where the file has them. The same in all bands of an object: ``ra`` and ``dec`` of
    the frame's middle (ICRS degrees), and its distance ``offset`` from that of the VIS image (arcsec)."""

    image: np.ndarray
    header: fits.Header
    bad: int
    bad_share: float
    ra: float
    dec: float
    offset: float
    rms: np.ndarray | None = None
    psf: np.ndarray | None = None


@dataclass(frozen=True)
class _Cut:
    """Pixels of a frame, before they are binned: flux and noise (NaN where bad) in the frame's units, and the header
    with the WCS of the frame."""

    flux: np.ndarray
    rms: np.ndarray | None
    header: fits.Header


@dataclass(frozen=True)
class _Place:
    """Where a VIS frame is: the row and column of the VIS image where it begins, its side, and what `Frame` says."""

    corner: tuple[int, int]
    side: int
    ra: float
    dec: float
    offset: float


def read_object(found: EuclidObject, reading: Reading, side: int | None = None) -> dict[str, Frame]:
    """Return the bands of one object in the challenge's form: those that it has.

    ``side``: of the frame in VIS pixels; None for the largest that the VIS image has around the object. Raises Unusable
    as `read_bands` does, and where size, scale or position of a band do not allow it.
    """
    return frames_of_bands(found, read_bands(found, reading), reading.pad, side)


@np.errstate(all="ignore")  # NaN of any kind in maps, infinite values in headers
def frames_of_bands(
    found: EuclidObject, sources: dict[str, EuclidBand], pad: bool = False, side: int | None = None
) -> dict[str, Frame]:
    """Return what `read_object` does, of bands that have been read. With ``pad`` pixels that a frame lacks are NaN."""
    vis = sources["VIS"]
    _step(vis, "VIS")
    place = _place(vis, _object_pixel(found, vis), pad, side)
    frames = {}
    for band, source in sources.items():
        step = _step(source, band)
        whole = band == "VIS"
        cut = _window(source, place.corner, place.side, step) if whole else _nisp(source, band, vis, place, step, pad)
        frames[band] = _frame(source, band, cut, step, place)
    return frames


def _step(source: EuclidBand, band: str) -> int:
    """Return how many delivered pixels per side make one of the frame; Unusable where the scale does not fit."""
    scales = source.sky.scales
    allowed = (0.1,) if band == "VIS" else (0.1, 0.3)
    with np.errstate(all="ignore"):  # a damaged header may give infinite ones
        fitting = [scale for scale in allowed if np.all(np.abs(scales / scale - 1) <= 0.01)]
    if not fitting:
        found = f"{scales[0]:.4g} x {scales[1]:.4g} arcsec, expected {' or '.join(map(str, allowed))} within 1 %"
        raise Unusable(source.file.path, f"{band} pixels of {found}. Resample it, or cut it from a MER mosaic.")
    return round(allowed[-1] / fitting[0])


def _object_pixel(found: EuclidObject, vis: EuclidBand) -> np.ndarray:
    """Return the row and column of the object in the VIS image: its middle, unless a table, or the name of a trimmed
    image, says where it is; Unusable where a trimmed image does not say it."""
    position, (rows, columns) = found.position, vis.image.shape
    if position is None and abs(rows - columns) > MAX_UNLIKE:
        match = _POSITION.search(stem(vis.file.path))
        if match is None:
            raise Unusable(
                vis.file.path,
                f"VIS has {rows} x {columns} pixels: trimmed at an edge, so the object is not in the middle, and the "
                "name has no position. Say where it is in a --table with RA and Dec.",
            )
        position = float(match[1]), float(match[2])
    delivered = (np.array([rows, columns]) - 1) / 2
    if position is None:
        return delivered
    pixel = vis.sky.pixels(np.array([position]))[0, ::-1]
    if not np.all((pixel >= -0.5) & (pixel <= np.array([rows, columns]) - 0.5)):
        place = f"RA {position[0]}, Dec {position[1]}"
        raise Unusable(vis.file.path, f"the object's position {place} is not in the VIS image. Check both.")
    # a pixel is what the cutting tool rounds to: then the middle is meant
    return np.where(np.abs(pixel - delivered) <= 1, delivered, pixel)


def _place(vis: EuclidBand, middle: np.ndarray, pad: bool, wanted: int | None) -> _Place:
    """Return the VIS frame around a row and column; Unusable where the image lacks pixels."""
    shape = np.array(vis.image.shape)
    for side in [wanted] if wanted else SIDES:
        # of an even number of pixels, the first half lies before the middle, as in (size - side) // 2
        corner = np.ceil(middle - side / 2).astype(int)
        if np.all((corner >= 0) & (corner + side <= shape)) or (pad and side in (wanted, SIDES[-1])):
            centre = corner + (side - 1) / 2
            offset = (centre - (shape - 1) / 2) * vis.sky.scales[::-1]
            ra, dec = vis.sky.world(centre[None, ::-1])[0].tolist()
            return _Place((int(corner[0]), int(corner[1])), side, ra, dec, float(np.hypot(*offset)))
    room = 0.1 * min(*(middle + 0.5), *(shape - middle - 0.5))
    size = f"{shape[0]} x {shape[1]} pixels, expected {side} to {MAX_SIDE} a side around the object for a frame of"
    advice = "Cut it larger, or give --pad, which takes what is missing for bad pixels"
    raise Unusable(vis.file.path, f'VIS has {size} {side // 10}", but an edge is {room:.1f} arcsec from it. {advice}.')


def in_pack_units(source: EuclidBand, window: tuple[slice, ...] = WHOLE) -> tuple[np.ndarray, np.ndarray | None]:
    """Return flux and noise of a window in the units of a pack (float64), NaN where bad; no noise without a map."""
    flux = _flux(source.image[window], source.rms_bad(window), source.magzero)
    if source.rms is None:
        return flux, None
    unit = 10 ** (-0.4 * source.magzero)
    return flux, np.where(np.isfinite(flux), source.rms[window].astype(np.float64) * unit, np.nan)


def frame_pixels(pixels: np.ndarray, rms_bad: np.ndarray, magzero: float, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a band's frame and which of the delivered pixels in it are bad (bool, their shape).

    ``pixels``: those of the frame, as stored; ``rms_bad`` (bool, alike): where the RMS map finds no measurement;
    ``step``: 1, or 3 for pixels that are added 3 x 3. The frame is float32 in units of zero point 0, NaN where bad.
    """
    flux = _flux(pixels, rms_bad, magzero)
    return _framed(flux, step), ~np.isfinite(flux)


def _flux(pixels: np.ndarray, rms_bad: np.ndarray, magzero: float) -> np.ndarray:
    """Return pixels in units of zero point 0 (float64), NaN where bad."""
    with np.errstate(all="ignore"):  # NaN of any kind, infinite values
        pixels = pixels.astype(np.float64)
        bad = bad_pixels(pixels) | rms_bad
        flux = pixels * 10 ** (-0.4 * magzero)
    flux[bad] = np.nan
    return flux


def _framed(flux: np.ndarray, step: int) -> np.ndarray:
    """Return the frame (float32) of these pixels, each of its own of ``step`` x ``step`` of them."""
    with np.errstate(over="ignore"):
        image = (_binned(flux) if step == 3 else flux).astype(np.float32)
    image[~np.isfinite(image)] = np.nan
    return image


def _window(source: EuclidBand, corner: tuple[int, int], side: int, step: int) -> _Cut:
    """Return pixels as they were delivered; NaN where the image has none."""
    inside = tuple(
        slice(max(start, 0), min(start + side, length))
        for start, length in zip(corner, source.image.shape, strict=True)
    )
    flux, rms = in_pack_units(source, inside)
    edges = [(part.start - start, start + side - part.stop) for part, start in zip(inside, corner, strict=True)]
    if np.any(edges):
        flux = np.pad(flux, edges, constant_values=np.nan)
        rms = None if rms is None else np.pad(rms, edges, constant_values=np.nan)
    return _Cut(flux, rms, source.sky.cut(corner, step))


def _nisp(source: EuclidBand, band: str, vis: EuclidBand, place: _Place, step: int, pad: bool) -> _Cut:
    """Return the pixels of a NISP band at the place of a VIS frame; Unusable where it does not cover it."""
    side = step * band_shapes(place.side)[band][0]
    # VIS pixels at the middles of the first and last of these pixels, along one axis
    ends = (np.array([0, side - 1]) - (step - 1) / 2) * RATIO / step + rim(place.side) + RATIO // 2
    columns, rows = np.meshgrid(ends + place.corner[1], ends + place.corner[0])
    corners = source.sky.pixels(vis.sky.world(np.stack([columns.ravel(), rows.ravel()], axis=1)))[:, ::-1]
    shifts = corners - np.array([[0, 0], [0, side - 1], [side - 1, 0], [side - 1, side - 1]])
    shift = shifts.mean(axis=0)
    begin, shape = np.rint(shift), np.array(source.image.shape)
    aligned = np.abs(shifts - begin).max() * source.sky.scales.mean() <= MAX_SHIFT
    first, last = (begin, begin + side - 1) if aligned else (corners.min(axis=0) + 0.5, corners.max(axis=0) - 0.5)
    covered = np.all((first >= 0) & (last <= shape - 1))
    if not covered and not (pad and np.all((first < shape) & (last >= 0))):
        where = f"{side} pixels around (row, column) {corners.mean(axis=0).round(1)} of {source.image.shape}"
        raise Unusable(
            source.file.path, f"{band} does not cover the VIS frame: {where}. Cut all bands at one position."
        )
    turned = np.abs(shifts - shift).max() * source.sky.scales.mean()
    if turned > MAX_TURN:
        offset = f"{turned:.2f} arcsec in a corner, expected at most {MAX_TURN}"
        raise Unusable(source.file.path, f"{band} is turned or stretched against VIS: {offset}. Resample it to VIS.")
    if aligned:
        return _window(source, (int(begin[0]), int(begin[1])), side, step)
    header = vis.sky.cut((place.corner[0] + rim(place.side), place.corner[1] + rim(place.side)), RATIO)
    return _between(source, corners, side, header)


def _between(source: EuclidBand, corners: np.ndarray, side: int, header: fits.Header) -> _Cut:
    """Return resampled pixels; ``corners``: rows and columns of the delivered image in the frame's four."""
    down, along = np.meshgrid(*2 * [np.linspace(0, 1, side)], indexing="ij")
    # over a frame a projection is bilinear to far below 0.001 pixels
    parts = np.stack([(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along])
    places = np.einsum("kd,kij->dij", corners, parts)
    area = abs(np.linalg.det(corners[1:3] - corners[0])) / (side - 1) ** 2
    flux, rms = in_pack_units(source)
    noise = None if rms is None else _resampled_rms(rms, places) * area
    return _Cut(_resampled(flux, places) * area, noise, header)


def _resampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the image (float64, NaN where bad) at ``places``, shape (2, rows, columns): rows and columns from zero.

    Bad is what lies further than half a pixel outside, or beside a bad pixel.
    """
    bad = ~np.isfinite(image)
    if bad.all():
        return np.full(places.shape[1:], np.nan)
    filled = _filled(image) if bad.any() else image
    values = np.asarray(map_coordinates(filled, places, order=SPLINES, mode="mirror"))
    # of the four pixels around a place none may be bad, but for one whose weight is next to nothing
    return np.where(_outside(image, places) | (_linear(bad.astype(np.float64), places) > 0.01), np.nan, values)


def _resampled_rms(rms: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a map of the noise (float64, NaN where bad) at ``places``: variances between four pixels, linearly."""
    bad = ~np.isfinite(rms)
    variance = _linear(np.where(bad, 0, rms) ** 2, places)
    return np.where(_outside(rms, places) | (_linear(bad.astype(np.float64), places) > 0.01), np.nan, np.sqrt(variance))


def _linear(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.asarray(map_coordinates(image, places, order=1, mode="nearest"))


def _outside(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    last = np.array(image.shape)[:, None, None] - 0.5
    return np.any((places < -0.5) | (places > last), axis=0)


def _filled(image: np.ndarray) -> np.ndarray:
    """Return the image with its gaps filled from their neighbours, wide ones with the median."""
    middle = float(np.nanmedian(np.where(np.isfinite(image), image, np.nan)))
    holes = np.where(np.isfinite(image), image - middle, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # of pixels that it could not fill
        filled = interpolate_replace_nans(holes, Gaussian2DKernel(FILL_SIGMA), boundary="extend")
    return np.nan_to_num(filled, nan=0.0) + middle


def _frame(source: EuclidBand, band: str, cut: _Cut, step: int, place: _Place) -> Frame:
    """Return the frame of these pixels, each of its own of ``step`` x ``step`` of them."""
    bad = ~np.isfinite(cut.flux)
    rms = cut.rms if cut.rms is None or step == 1 else np.sqrt(_binned(cut.rms**2))
    return Frame(
        _framed(cut.flux, step),
        _completed(cut.header, source, band),
        bad=int(bad.sum()),
        bad_share=float(bad.mean()),
        ra=place.ra,
        dec=place.dec,
        offset=place.offset,
        rms=None if rms is None else rms.astype(np.float32),
        psf=None if source.psf is None else (source.psf / source.psf.sum(dtype=np.float64)).astype(np.float32),
    )


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


def _completed(header: fits.Header, source: EuclidBand, band: str) -> fits.Header:
    """Return a frame's header with units and file beside its WCS."""
    header["FILTER"] = EXTENSIONS[band].removesuffix("_FLUX")
    header["MAGZERO"] = (0.0, "AB zero point: pixel = 10^(-0.4 m)")
    # no quotes, which count twice, and no more than fits into one card
    header["SRCFILE"] = re.sub(r"[^ -&(-~]", "?", source.file.path.name)[:68]
    return header
