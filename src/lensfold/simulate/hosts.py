"""Real cutouts as hosts of simulated arcs: their pixels, what came with them, and what their light says.

A host is an object of an imported pack: frames of the challenge's geometry, zero point 0, NaN where nothing was
measured. Positions are arcsec from the frame's centre, x along columns and y along rows.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from lensfold.data.bad_pixels import UnusableFrame, mended
from lensfold.data.cache import BadCutout, OddShape
from lensfold.data.objects import read_objects
from lensfold.data.sources import check_side, object_ids, read_cutout
from lensfold.errors import InputError
from lensfold.files import check_file
from lensfold.frames import BANDS, RATIO, rim
from lensfold.paths import Pack, cutout_file, maps_file, objects_file
from lensfold.simulate.fits import NISP_PIXEL, VIS_PIXEL

APERTURE = 1.5  # radius in arcsec of the magnitudes
CENTRAL = 0.6  # arcsec from the frame's centre within which the deflector's peak is looked for
_APART = 11  # VIS pixels, side of the window in which a peak is the brightest: its half is less than CENTRAL
_SMOOTHING = 1.0  # VIS pixels, sigma of the Gaussian that peaks and moments are measured through
_OUTSKIRTS = 3.0  # an object ends at so many sigma of the smoothed frame
_PEAK = 5.0  # and has a peak of so many
_ISOPHOTE = 0.15  # share of the peak above which the shape is measured
_KEPT = 0.52  # share of a Gaussian's second moments that its light above the isophote has
_PSF_VARIANCE = (0.17 / 2.3548 / VIS_PIXEL) ** 2  # VIS pixels squared
_AXIS = (0.4, 0.98)  # range of the axis ratio: what is rounder or flatter is noise or a disc
_LEAST = 12  # VIS pixels of a deflector
_CORE = 2.0  # VIS pixels
_CLIP = 3.0
_LOCAL = 11  # pixels, side of the box whose mean is taken off before the sky's scatter is measured
_KERNEL = 199  # pixels, the largest side of a point spread function
_NAMES = ("id", "object_id", "file", "name")


class UnusableHost(Exception):
    """An object cannot carry an arc; the message says why, without its ID."""


@dataclass(frozen=True)
class Host:
    """Frames by band (float32, NaN where bad); RMS maps and point spread functions (0.1 arcsec) where there are."""

    object_id: int
    images: Mapping[str, np.ndarray]
    rms: Mapping[str, np.ndarray]
    psf: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class HostLight:
    """What a host's frames say.

    ``x``, ``y``: the central galaxy's centre; ``axis``, ``angle``: its axis ratio and the direction of its major
    axis in radians; ``flux`` (4,): within APERTURE, neighbours replaced by what lies opposite; ``sigma`` (4,) and
    ``lag`` (4,): scatter of the sky's pixels and correlation of neighbouring ones; ``central``: VIS light of the
    central galaxy, of the frame's shape; ``places`` (n, 3): x, y and VIS magnitude of the other objects.
    """

    x: float
    y: float
    axis: float
    angle: float
    flux: np.ndarray
    sigma: np.ndarray
    lag: np.ndarray
    central: np.ndarray
    places: np.ndarray


def host_folder(folder: Path) -> Path:
    """Return the folder that holds ``Public/`` of the hosts in a pack's folder; InputError where there are none."""
    pack = Pack(folder.name, folder)
    if pack.catalog.exists():
        raise InputError(
            f"{folder}: has a catalog, and hosts must be without one: its lenses would become hosts and non-lenses. "
            "Give the folder of an import (`lensfold import-euclid`)."
        )
    found = [place for place in (folder, folder / "test") if (place / "Public").is_dir()]
    if not found:
        raise InputError(
            f"{folder}: no cutouts found, expected Public/EUC_VIS/ and the other bands. Import real cutouts into it "
            "with `lensfold import-euclid`."
        )
    return found[0]


def host_table(folder: Path) -> pd.DataFrame:
    """Return the hosts by ID, ascending, with the columns of ``objects.csv`` (empty where absent)."""
    ids = pd.Index(object_ids(host_folder(folder)), name="ID")
    if not objects_file(folder).is_file():
        return pd.DataFrame({"name": "", "file": "", "ra": np.nan, "dec": np.nan}, index=ids)
    return read_objects(folder).drop_duplicates("ID").set_index("ID").reindex(ids)


def known_lenses(path: Path, hosts: pd.DataFrame) -> set[int]:
    """Return the IDs of the hosts that a list names.

    The list is CSV: a column ID, object_id, file or name (several may be there), or one column without a header.
    An entry is an ID, an object's name, or a file's with or without folder and ending. InputError where it is no such
    list.
    """
    try:
        check_file(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if any(map(str.strip, row))]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: the list of known lenses cannot be read ({error}).") from error
    header = [cell.lower() for cell in rows[0]] if rows else []
    columns = [place for place, name in enumerate(header) if name in _NAMES]
    if not columns and any(len(row) > 1 for row in rows):
        raise InputError(
            f"{path}, line 1: found {', '.join(rows[0])[:80]!r}, expected a column ID or file. Name one so."
        )
    entries = {row[place] for row in rows[1:] for place in columns if place < len(row)} if columns else set()
    entries |= set() if columns else {row[0] for row in rows}
    wanted = entries | {Path(entry).name for entry in entries} | {Path(entry).stem for entry in entries}
    texts = hosts[["name", "file"]].fillna("").itertuples()
    names = {int(i): {str(i), name, file, Path(file).name, Path(file).stem} - {""} for i, name, file in texts}
    return {object_id for object_id, own in names.items() if own & wanted}


def read_host(split_folder: Path, object_id: int) -> Host:
    """Return a host as its files have it.

    Raises UnusableHost where a file is missing, damaged or has too many bad pixels, InputError where a frame has
    a size that packs do not have, or that does not go with that of VIS.
    """
    images = {}
    for band in BANDS:
        try:
            images[band] = read_cutout(split_folder, band, object_id)
            check_side(images[band].shape, band, cutout_file(split_folder, band, object_id), len(images["VIS"]))
            mended(images[band])
        except OddShape as error:
            raise InputError(str(error)) from error
        except BadCutout as error:
            raise UnusableHost(f"no readable file in {band}") from error
        except UnusableFrame as error:
            raise UnusableHost(f"too many bad pixels in {band}") from error
    rms, psf = _read_maps(maps_file(split_folder, object_id))
    shapes = {band: image.shape for band, image in images.items()}
    return Host(object_id, images, {band: rms[band] for band in rms if rms[band].shape == shapes[band]}, psf)


def _read_maps(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return RMS maps and point spread functions by band, as far as there are any."""
    from astropy.io import fits  # slow to import

    found: dict[str, dict[str, np.ndarray]] = {"RMS": {}, "PSF": {}}
    if not path.is_file():
        return {}, {}
    try:
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus[1:]:
                band, kind = hdu.name.split("_")
                found[kind][band] = _square(hdu.data) if kind == "PSF" else hdu.data.astype(np.float64)
    except Exception as error:  # astropy raises many kinds on damaged files; each is the same to us
        raise InputError(f"{path}: not the maps of an import ({error}). Import the cutouts again.") from error
    return found["RMS"], found["PSF"]


def _square(kernel: np.ndarray) -> np.ndarray:
    """Return the middle of a kernel as a square of an odd side within the frame, which its centre is the middle of."""
    side = min(*kernel.shape, _KERNEL)
    side -= 1 - side % 2
    rows, columns = ((length - side) // 2 for length in kernel.shape)
    return kernel[rows : rows + side, columns : columns + side].astype(np.float64)


def scatter(values: np.ndarray) -> float:
    """Return the robust standard deviation of values: 1.4826 times the median distance from their median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def sky_pixels(image: np.ndarray) -> np.ndarray:
    """Return which pixels show sky (bool): finite, and within three sigma of the median of those that do."""
    sky = np.isfinite(image)
    for _ in range(10):
        middle, sigma, before = np.median(image[sky]), scatter(image[sky]), np.count_nonzero(sky)
        if not sigma > 0:
            break
        sky = np.isfinite(image) & (np.abs(image - middle) < _CLIP * sigma)
        if np.count_nonzero(sky) == before:
            break
    return sky


def sky_noise(image: np.ndarray, rms: np.ndarray | None) -> tuple[float, float, float]:
    """Return the sky's level, the scatter of its pixels about the mean around them, and the correlation of neighbours.

    With an RMS map the scatter is the map's value in the middle of the frame (median of the central quarter) times
    how much the pixels scatter in units of the map, whose scale is that of uncorrelated pixels.
    """
    sky = sky_pixels(image)
    level = float(np.median(image[sky]))
    difference = np.where(sky, image - level, 0.0)
    # light too faint to be seen, such as the wings of galaxies, is smooth: it would pass for correlated noise
    share = ndimage.uniform_filter(sky.astype(np.float64), _LOCAL)
    difference -= ndimage.uniform_filter(difference, _LOCAL) / np.maximum(share, 1e-6)
    difference[~sky] = np.nan
    sigma = scatter(difference[sky])
    pairs = [difference[:, 1:] * difference[:, :-1], difference[1:] * difference[:-1]]
    variance = float(np.nanmean(difference**2))
    lag = float(np.mean([np.nanmean(pair) for pair in pairs])) / variance if variance > 0 else 0.0
    if rms is not None and (known := sky & np.isfinite(rms) & (rms > 0)).any():
        quarter = rms[tuple(slice(side // 4, side - side // 4) for side in rms.shape)]
        sigma = scatter(difference[known] / rms[known]) * float(np.nanmedian(quarter))
    return level, sigma, round(float(np.clip(lag, 0.0, 0.9)), 2)


def measure(host: Host) -> HostLight:
    """Return what a host's frames say; UnusableHost where no object stands out in the middle, or no noise is seen."""
    sky = [sky_noise(host.images[band].astype(np.float64), host.rms.get(band)) for band in BANDS]
    level, sigma, lag = np.array(sky).T
    if not (sigma > 0).all():
        raise UnusableHost("a frame without noise")
    frames = [mended(host.images[band])[0].astype(np.float64) - own for band, own in zip(BANDS, level, strict=True)]
    smooth = ndimage.gaussian_filter(frames[0], _SMOOTHING)
    pieces, peaks = _objects(smooth)
    number = _central(smooth, peaks)
    if np.count_nonzero(pieces == number) < _LEAST:
        raise UnusableHost("its galaxy is outshone by a neighbour")
    row, column, axis, angle = _shape(smooth, pieces == number)
    others = (pieces > 0) & (pieces != number)
    bare, length = rim(len(others)), len(frames[1])
    covered = others[bare : len(others) - bare, bare : len(others) - bare]
    masks = [others, *[covered.reshape(length, RATIO, length, RATIO).any(axis=(1, 3))] * 3]
    first = bare + RATIO // 2  # the centre of the first NISP pixel
    centres = [(row, column), *[((row - first) / RATIO, (column - first) / RATIO)] * 3]
    radii = [APERTURE / VIS_PIXEL, *[APERTURE / NISP_PIXEL] * 3]
    flux = [_aperture(*each) for each in zip(frames, masks, centres, radii, strict=True)]
    middle = 0.5 * (np.array(smooth.shape) - 1)
    y, x = (np.array([row, column]) - middle) * VIS_PIXEL
    return HostLight(
        x=float(x),
        y=float(y),
        axis=axis,
        angle=angle,
        flux=np.maximum(flux, sigma),  # a magnitude for colours, whatever the noise
        sigma=sigma,
        lag=lag,
        central=np.where(pieces == number, np.maximum(frames[0], 0.0), 0.0),
        places=_places(frames[0], pieces, number),
    )


def _objects(smooth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the object that each pixel belongs to (0: none), and the peaks (n, 2) of objects 1 … n.

    A bright pixel belongs to the peak that would be brightest there, were each to fall with the square of the distance.
    """
    noise = scatter(smooth[sky_pixels(smooth)])
    bright = smooth > _OUTSKIRTS * noise
    peak = (ndimage.maximum_filter(smooth, _APART) == smooth) & (smooth > _PEAK * noise)
    peaks = np.argwhere(peak)
    markers = np.zeros(smooth.shape, np.int32)
    if not len(peaks):
        return markers, peaks
    places = np.argwhere(bright)
    square = ((places[:, None, :] - peaks[None, :, :]) ** 2).sum(axis=2)
    markers[bright] = 1 + np.argmax(smooth[tuple(peaks.T)] / (square + _CORE**2), axis=1)
    return markers, peaks


def _central(smooth: np.ndarray, peaks: np.ndarray) -> int:
    """Return the number of the brightest object near the frame's centre."""
    distance = np.hypot(*(peaks - 0.5 * (np.array(smooth.shape) - 1)).T) * VIS_PIXEL
    near = np.flatnonzero(distance <= CENTRAL)
    if not len(near):
        raise UnusableHost("no object in the middle")
    return int(near[np.argmax(smooth[tuple(peaks[near].T)])]) + 1


def _shape(smooth: np.ndarray, own: np.ndarray) -> tuple[float, float, float, float]:
    """Return centre (row, column), axis ratio and angle of an object, from the moments of what is above an isophote.

    Smoothing and point spread function are taken off the second moments.
    """
    peak = smooth[own].max()
    weight = np.where(own, np.maximum(smooth - _ISOPHOTE * peak, 0.0), 0.0)
    rows, columns = np.indices(smooth.shape)
    total = weight.sum()
    row, column = (weight * rows).sum() / total, (weight * columns).sum() / total
    dy, dx = rows - row, columns - column
    round_part = _KEPT * (_SMOOTHING**2 + _PSF_VARIANCE)
    xx, yy = ((weight * d * d).sum() / total - round_part for d in (dx, dy))
    xy = (weight * dx * dy).sum() / total
    half, spread = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    long, short = half + spread, half - spread
    axis = float(np.sqrt(short / long)) if short > 0 else 0.0 if long > round_part else 1.0
    return float(row), float(column), float(np.clip(axis, *_AXIS)), float(0.5 * np.arctan2(2 * xy, xx - yy))


def _aperture(frame: np.ndarray, others: np.ndarray, centre: tuple[float, float], radius: float) -> float:
    """Return the flux within a radius (pixels) of a centre; pixels of others count as those opposite the centre."""
    rows, columns = np.indices(frame.shape)
    inside = np.hypot(rows - centre[0], columns - centre[1]) <= radius
    opposite = tuple(
        np.clip(np.rint(2 * c - index).astype(int), 0, side - 1)
        for c, index, side in zip(centre, (rows, columns), frame.shape, strict=True)
    )
    filled = np.where(others, np.where(others[opposite], 0.0, frame[opposite]), frame)
    return float(filled[inside].sum())


def _places(frame: np.ndarray, pieces: np.ndarray, central: int) -> np.ndarray:
    """Return x, y and magnitude of every object but the central one: (n, 3)."""
    numbers = np.setdiff1d(np.unique(pieces), (0, central))
    if not len(numbers):
        return np.zeros((0, 3))
    flux = ndimage.sum_labels(frame, pieces, numbers)
    middle = 0.5 * (len(frame) - 1)
    y, x = (np.array(ndimage.center_of_mass(np.maximum(frame, 0), pieces, numbers)) - middle).T * VIS_PIXEL
    return np.stack([x, y, -2.5 * np.log10(np.maximum(flux, 1e-20))], axis=1)
