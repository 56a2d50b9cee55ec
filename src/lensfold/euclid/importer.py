"""Real Euclid cutouts → a pack in the challenge's geometry and units: a test split without a catalog.

Two kinds of input are known, and nothing else is guessed:
- a multi-extension MER cutout, one file an object: VIS_FLUX, NIR_Y_FLUX, NIR_J_FLUX, NIR_H_FLUX, each with its _RMS
  where there is one; other extensions (_PSF) are not looked at;
- four single-band cutouts an object: the first image of each file, and an extension RMS where there is one. FILTER or
  INSTRUME in that image's header tells the band, or else the one word of the file name that names a band (VIS, NIR_Y,
  NIR-Y, NISP_Y, Y …). Files belong together when the rest of their names is the same.

Geometry: of VIS the central 200 pixels, from pixel (size - 200) // 2 on, so the central pixel of an odd size becomes
pixel 100 (from zero). NISP is cut where VIS was, found by the WCS: 198 pixels of 0.1 arcsec added 3 x 3, or 66 of 0.3
arcsec taken as they are. NISP pixel a covers the VIS pixels 1 + 3 a … 3 + 3 a. Units: pixel x 10^(-0.4 MAGZERO).
A pixel that RMS or defects.py calls bad becomes NaN: the cache builder mends small gaps and refuses wide ones.
IDs: the integer that a name starts with, or the only one in it, without sign; where one has none, or two are alike, all
objects are numbered from 1 in the order of their names.
"""

import io
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from lensfold.data.bad_pixels import bad_pixels
from lensfold.data.cache_build import Progress
from lensfold.errors import InputError
from lensfold.paths import BAND_SHAPES, BANDS, cutout_file

#: image extension of each band in a MER cutout
EXTENSIONS = {"VIS": "VIS_FLUX", "Y": "NIR_Y_FLUX", "J": "NIR_J_FLUX", "H": "NIR_H_FLUX"}
MIDDLE = (99.5, 99.5)  # of the VIS frame: column, row from zero
MAX_SIDE = 3000  # pixels; a larger image is a mosaic, whose centre is nobody's object
MAX_OFFSET = 0.3  # arcsec between the corners of the VIS and NISP frames
BAD_RMS = 1e15  # RMS maps hold 1e16 where nothing was measured
MAX_BAD_OF_NINE = 4  # a sum with more bad pixels is bad too
# words are bounded by anything but letters and digits; an integer is no part of a decimal number
_BAND_WORD = re.compile(r"(?<![^\W_])(?:VIS|(?:(?:NIR|NISP)[-_. ]?)?[YJH])(?![^\W_])", re.IGNORECASE)
_BANDS = {"S": "VIS", "Y": "Y", "J": "J", "H": "H"}  # by the last letter of such a word
_OTHER_WORD = re.compile(r"(?<![^\W_])(?:RMS|FLAGS?|PSF|WEIGHTS?)(?![^\W_])", re.IGNORECASE)
_INTEGER = re.compile(r"(?<![^\W_])(?<![0-9]\.)[0-9]{1,18}(?![^\W_]|\.[0-9])")
_OTHER_PACK = re.compile(r"(datapack2\.0)?(train|test)(\.tar|\.tar\.gz|\.tgz)?|image_catalog.*")


@dataclass(frozen=True)
class Source:
    """One band as it was delivered: pixels as stored (rows, columns), those that its RMS calls bad (bool), the sky."""

    file: Path
    image: np.ndarray
    rms_bad: np.ndarray
    wcs: WCS
    magzero: float


@dataclass(frozen=True)
class Frame:
    """One band in the challenge's form: ``image`` float32, shape ``BAND_SHAPES[band]``, NaN where bad; ``header`` with
    its WCS, FILTER, MAGZERO = 0 and SRCFILE; ``bad``, ``bad_share``: source pixels of the cut without a measurement."""

    image: np.ndarray
    header: fits.Header
    bad: int
    bad_share: float


def import_euclid(
    files: Sequence[Path], out: Path, overwrite: bool = False, progress: Progress | None = None
) -> pd.DataFrame:
    """Write ``Public/`` and ``objects.csv`` into the folder ``out``; return the table, sorted by ID.

    Its columns: ID; file (of VIS); ra, dec (ICRS degrees of the VIS frame's centre); bad_VIS … bad_H (``bad_share``).
    Raises InputError, and leaves what ``out`` held, where files cannot be used (it lists them), where ``out`` is
    another pack, or has Public/ without ``overwrite``, or cannot be written.
    """
    _check_target(out, overwrite)
    names, groups = zip(*group_files(files), strict=True)
    numbered = sorted(zip(_ids(names), groups, strict=True))
    made, public = out / f".importing-{os.getpid()}", out / "Public"
    try:
        made.mkdir(parents=True)
        table = _write_objects(numbered, made, progress)
        (made / "objects.csv").replace(out / "objects.csv")
        if public.exists():
            public.rename(made / "old")
        (made / "Public").rename(public)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error}). Check the folder, its permissions, the disk.") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # only where nothing is inside: after a failure
    return table


def group_files(files: Sequence[Path]) -> list[tuple[str, tuple[Path, ...]]]:
    """Sorted (name, files) of the objects: one MER cutout each, or single-band cutouts in the order of BANDS.

    Raises InputError listing the files that cannot be used, or the objects that lack a band.
    """
    objects, single, problems = [], {}, [] if files else ["no files given, expected Euclid cutouts (FITS)."]
    for path in sorted(set(files)):
        try:
            with _hdus(path) as hdus:
                bands = list(_band_hdus(path, hdus))
            if len(bands) == len(BANDS):
                objects.append((path.stem, (path,)))
            else:
                _add_single(single, path, bands[0])
        except InputError as error:
            problems.append(str(error))
    _raise_all(problems or _incomplete(single))
    objects += [(name, tuple(group[band] for band in BANDS)) for name, group in single.items()]
    return sorted(objects)


def read_bands(files: Sequence[Path]) -> dict[str, Source]:
    """All four bands of one object as delivered, from its one or four files; InputError where that cannot be."""
    sources = {}
    for path in files:
        with _hdus(path) as hdus:
            for band, (image, rms) in _band_hdus(path, hdus).items():
                sources[band] = _source(path, image, rms)
    if len(sources) < len(BANDS):
        raise InputError(f"{list(map(str, files))}: found {', '.join(sources)}, expected each of {', '.join(BANDS)}.")
    return {band: sources[band] for band in BANDS}


def read_euclid(files: Sequence[Path]) -> dict[str, Frame]:
    """All four bands of one object in the challenge's form, from its one or four files; errors as in read_bands."""
    sources = read_bands(files)
    vis = sources["VIS"]
    frames = {"VIS": _frame(vis, "VIS", [(length - 200) // 2 for length in vis.image.shape], _step(vis, "VIS"))}
    for band in BANDS[1:]:
        frames[band] = _nisp_frame(sources[band], band, WCS(frames["VIS"].header))
    return frames


def _check_target(out: Path, overwrite: bool) -> None:
    names = [path.name for path in out.glob("*")]
    taken = [name for name in names if _OTHER_PACK.fullmatch(name) or (name == "Public" and not overwrite)]
    if taken:
        advice = "Import into another folder" + (", or give --overwrite." if taken == ["Public"] else ".")
        raise InputError(f"{out}: holds a pack already (found {', '.join(taken)}). {advice}")


def _raise_all(problems: list[str]) -> None:
    more = [f"… and {len(problems) - 20} more inputs"] if len(problems) > 20 else []
    if problems:
        raise InputError("\n".join(problems[:20] + more))


@contextmanager
def _hdus(path: Path) -> Iterator[fits.HDUList]:
    """The HDUs of a file, all headers read; whatever goes wrong with them inside becomes an InputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give the FITS files themselves.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual header cards
            warnings.filterwarnings("error", message="File may have been truncated|Error validating header")
            with fits.open(io.BytesIO(data), memmap=False) as hdus:
                if any(hdu.fileinfo()["datSpan"] < 0 for hdu in hdus):  # astropy would go back, and never end
                    raise ValueError("an HDU of negative size")
                yield hdus
    except InputError:
        raise
    except Exception as error:  # astropy and wcslib raise many kinds on damaged files; each is the same to us
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not readable as a FITS image ({told}). Fetch it again or leave it out.") from error


def _band_hdus(path: Path, hdus: fits.HDUList) -> dict[str, tuple]:
    """Image and RMS HDU (or None) of each band in a file: all four, or one."""
    named: dict = {}
    for hdu in hdus:
        named.setdefault(hdu.name.strip().upper(), hdu)
    found, expected = ", ".join(named), ", ".join(EXTENSIONS.values())
    missing = [name for name in EXTENSIONS.values() if name not in named]
    if not missing:
        return {band: (named[name], named.get(name.replace("FLUX", "RMS"))) for band, name in EXTENSIONS.items()}
    image = next((hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS")), None)
    if image is None or len(missing) < len(BANDS):
        raise InputError(f"{path}: lacks {', '.join(missing)}. Found the extensions {found}; expected {expected}.")
    if _OTHER_WORD.search(path.stem):
        raise InputError(f"{path}: by its name a map of noise, flags or PSF, expected an image. Leave it out.")
    told = [str(image.header.get(key, "")).strip() for key in ("FILTER", "INSTRUME")]
    words = [word for word in told if _BAND_WORD.fullmatch(word)] or _BAND_WORD.findall(path.stem)
    bands = {_BANDS[word[-1].upper()] for word in words}
    if len(bands) != 1:
        told = f"FILTER {told[0]!r}, INSTRUME {told[1]!r}, words {words} in the name and the extensions {found}"
        raise InputError(f"{path}: of which band is it? Found {told}; expected {expected}, or one band in FILTER.")
    return {bands.pop(): (image, named.get("RMS"))}


def _add_single(single: dict[str, dict[str, Path]], path: Path, band: str) -> None:
    """File a single-band cutout under its name without the words for its band."""
    word = re.compile(f"[-_. ]?{_BAND_WORD.pattern}", re.IGNORECASE)
    rest = word.sub(lambda match: "" if _BANDS[match[0][-1].upper()] == band else match[0], path.stem)
    group = single.setdefault(rest, {})
    if band in group:
        raise InputError(f"{path}: a second image of {band} for the object of {group[band]}. Leave one out.")
    group[band] = path


def _incomplete(single: dict[str, dict[str, Path]]) -> list[str]:
    return [
        f"object {name!r}: lacks {', '.join(band for band in BANDS if band not in group)}, found "
        f"{', '.join(map(str, group.values()))}. All four bands are needed, in files named alike but for the band: "
        "a_VIS.fits, a_NIR_Y.fits …"
        for name, group in single.items()
        if len(group) < len(BANDS)
    ]


def _ids(names: Sequence[str]) -> list[int]:
    found = []
    for name in names:
        integers = list(_INTEGER.finditer(name))
        leads = integers and not re.search(r"[^\W_]", name[: integers[0].start()])
        found += [int(integers[0][0])] if leads or len(integers) == 1 else []
    return found if len(set(found)) == len(names) else list(range(1, len(names) + 1))


def _source(path: Path, hdu: fits.PrimaryHDU, rms: fits.ImageHDU | None) -> Source:
    """One band of an open file; what cutting needs is checked, but for sizes and scales."""
    where = f"{path} [{hdu.name}]"
    shape = getattr(hdu.data, "shape", None)
    if not hdu.is_image or shape is None or len(shape) != 2:
        raise InputError(f"{where}: the shape is {shape}, expected an image (rows, columns).")
    noise = np.ones(shape) if rms is None else rms.data
    if getattr(noise, "shape", None) != shape:
        raise InputError(f"{where}: the shape is {shape}, that of its RMS {getattr(noise, 'shape', None)}.")
    bad = ~np.isfinite(noise) | (noise <= 0) | (noise >= BAD_RMS)
    magzero = hdu.header.get("MAGZERO")
    if isinstance(magzero, bool) or not isinstance(magzero, int | float) or not abs(magzero) <= 60:
        raise InputError(f"{where}: MAGZERO is {magzero!r}, expected the AB zero point in the header, such as 24.6.")
    wcs = WCS(hdu.header, naxis=2)
    numbers = np.append(wcs.wcs.crpix, wcs.wcs_pix2world([shape[::-1]], 0))
    if not wcs.has_celestial or wcs.has_distortion or not np.isfinite(numbers).all():
        found = " ".join(wcs.wcs.ctype).strip() or "none"
        raise InputError(f"{where}: its WCS is {found}, expected a celestial one without distortions (RA---TAN).")
    return Source(path, hdu.data, bad, wcs, float(magzero))


def _step(source: Source, band: str) -> int:
    """How many source pixels a side make one pixel of the frame; InputError where scale or size do not allow it."""
    with np.errstate(all="ignore"):  # a damaged header may give infinite ones
        scales = proj_plane_pixel_scales(source.wcs) * 3600
    allowed = (0.1,) if band == "VIS" else (0.1, 0.3)
    fitting = [scale for scale in allowed if np.all(np.abs(scales / scale - 1) <= 0.01)]
    if not fitting:
        told = f"{scales[0]:.4g} x {scales[1]:.4g} arcsec, expected {' or '.join(map(str, allowed))} within 1 %"
        raise InputError(f"{source.file}: {band} pixels of {told}. Resample it, or cut it from a MER mosaic.")
    step = round(allowed[-1] / fitting[0])
    side, shape = step * BAND_SHAPES[band][0], source.image.shape
    if min(shape) < side or max(shape) > MAX_SIDE:
        told = f"{shape[0]} x {shape[1]} pixels, expected {side} to {MAX_SIDE} a side around one object"
        raise InputError(f"{source.file}: {band} has {told}. Cut it to another size.")
    return step


def _nisp_frame(source: Source, band: str, vis: WCS) -> Frame:
    """The frame of a NISP band where the frame of VIS, with this WCS, is; InputError where it is not there."""
    step, size = _step(source, band), BAND_SHAPES[band][0]
    side = size * step
    centre = np.array(source.wcs.world_to_pixel(vis.pixel_to_world(*MIDDLE)), dtype=float)[::-1]
    corner = np.rint(centre - (side - 1) / 2)
    if not np.all((corner >= 0) & (corner + side <= source.image.shape)):
        told = f"{side} pixels around (row, column) {centre.round(1)} of {source.image.shape}"
        raise InputError(f"{source.file}: {band} does not cover the VIS frame: {told}. Cut all bands at one position.")
    frame = _frame(source, band, corner.astype(int).tolist(), step)
    x, y = np.meshgrid([-0.5, size - 0.5], [-0.5, size - 0.5])
    # the NISP frame starts one VIS pixel in
    offset = WCS(frame.header).pixel_to_world(x, y).separation(vis.pixel_to_world(3 * x + 2, 3 * y + 2)).arcsec.max()
    if not offset <= MAX_OFFSET:
        told = f"{offset:.2f} arcsec in a corner, expected at most {MAX_OFFSET}"
        raise InputError(f"{source.file}: {band} is turned or stretched against VIS: {told}. Resample it to VIS.")
    return frame


def _frame(source: Source, band: str, corner: Sequence[int], step: int) -> Frame:
    """Cut ``step`` times the band's frame from ``corner`` (row, column) on, in the challenge's units, and bin it."""
    side = step * BAND_SHAPES[band][0]
    window = tuple(slice(start, start + side) for start in corner)
    pixels = source.image[window].astype(np.float64)
    bad = bad_pixels(pixels) | source.rms_bad[window]
    flux = np.where(bad, np.nan, pixels) * 10 ** (-0.4 * source.magzero)
    with np.errstate(over="ignore"):
        image = (_binned(flux) if step == 3 else flux).astype(np.float32)
    image[~np.isfinite(image)] = np.nan
    return Frame(image, _header(source, band, corner, step), int(bad.sum()), float(bad.mean()))


def _binned(flux: np.ndarray) -> np.ndarray:
    """Sums over 3 x 3 pixels; of those with a few bad ones nine times the mean of the good, of others NaN."""
    blocks = flux.reshape(flux.shape[0] // 3, 3, flux.shape[1] // 3, 3)
    good = np.isfinite(blocks).sum(axis=(1, 3))
    scaled = np.nansum(blocks, axis=(1, 3)) * (9 / np.maximum(good, 1))
    return np.where(good >= 9 - MAX_BAD_OF_NINE, scaled, np.nan)


def _header(source: Source, band: str, corner: Sequence[int], step: int) -> fits.Header:
    """The source's WCS for the cut frame, in full where to_header keeps twelve digits, and where the frame is from."""
    wcs, header = source.wcs.wcs, source.wcs.to_header()
    for axis in (0, 1):
        header[f"CRPIX{axis + 1}"] = float((wcs.crpix[axis] - 0.5 - corner[1 - axis]) / step + 0.5)
        header[f"CRVAL{axis + 1}"] = float(wcs.crval[axis])
        header[f"CDELT{axis + 1}"] = float(wcs.get_cdelt()[axis] * step)
    header["FILTER"] = EXTENSIONS[band].removesuffix("_FLUX")
    header["MAGZERO"] = (0.0, "AB zero point: pixel = 10^(-0.4 m)")
    # no quotes, which count twice, and no more than one card holds
    header["SRCFILE"] = re.sub(r"[^ -&(-~]", "?", source.file.name)[:68]
    return header


def _write_objects(objects: list[tuple[int, tuple[Path, ...]]], out: Path, progress: Progress | None) -> pd.DataFrame:
    rows, problems = [], []
    for done, (object_id, files) in enumerate(objects, start=1):
        try:
            frames = read_euclid(files)
        except InputError as error:
            problems.append(str(error))
            continue
        for band, frame in frames.items():
            target = cutout_file(out, band, object_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            fits.PrimaryHDU(frame.image, frame.header).writeto(target)
        centre = WCS(frames["VIS"].header).pixel_to_world(*MIDDLE).icrs
        name = files[0].name.encode("utf-8", "replace").decode()  # a file's name need not be text
        shares = {f"bad_{band}": frame.bad_share for band, frame in frames.items()}
        rows.append({"ID": object_id, "file": name, "ra": float(centre.ra.deg), "dec": float(centre.dec.deg)} | shares)
        if progress:
            progress(done, len(objects))
    _raise_all(problems)
    table = pd.DataFrame(rows)
    table.to_csv(out / "objects.csv", index=False)
    return table
