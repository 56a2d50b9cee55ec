"""Which bands a file has, by the names of its extensions, its cards, its own name or that of its folder.

Nothing is guessed: what names two bands, or an instrument that is not Euclid's, is refused with what was found.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lensfold.errors import InputError
from lensfold.euclid.hdus import FitsFile, Hdu, Unusable
from lensfold.frames import BANDS

#: image extension of each band in a MER cutout
EXTENSIONS = {"VIS": "VIS_FLUX", "Y": "NIR_Y_FLUX", "J": "NIR_J_FLUX", "H": "NIR_H_FLUX"}
#: a band as a word of a name, between anything but letters and digits
BAND_WORD = r"(?<![^\W_])(?:VIS|(?:(?:NIR|NISP)[-_. ]?)?[YJH])(?![^\W_])"
_BAND = re.compile(BAND_WORD, re.IGNORECASE)
_EXTENSION = re.compile(
    r"(?:EUC(?:LID)?[-_. ])?(VIS|(?:(?:NIR|NISP)[-_. ]?)?[YJH])"
    r"(?:[-_. ](FLUX|BGSUB|SCI|IMAGE|RMS|PSF)(?:[-_. ](?:MICROJANSKY|JANSKY|UJY))?)?"
)
_MAP_WORD = re.compile(r"(?<![^\W_])(?:RMS|FLAGS?|PSF|WEIGHTS?|WHT|MASK|BGMOD|CATALOG)(?![^\W_])", re.IGNORECASE)
#: instruments and surveys that also have a y, J or H, or that MER delivers beside Euclid's
_FOREIGN = re.compile(
    r"(?<![^\W_])(PS1|PANSTARRS|PAN-STARRS\d?|GPC1?|HSC|HYPER SUPRIME-?CAM|SUBARU|DES|DECAM|DECALS|LEGACY|MEGACAM|"
    r"MEGAPRIME|CFHT|CFIS|UNIONS|WISHES|JPCAM|JEDIS|LSST|LSSTCAM|RUBIN|WFCAM|UKIRT|UKIDSS|VIRCAM|VISTA|VIDEO|SDSS|KIDS|OMEGACAM|"
    r"HST|ACS|WFC3|JWST|NIRCAM|MIRI|SPITZER|IRAC|WISE|2MASS|GALEX|ZTF|GAIA)(?:[-_. ][A-Z]\w?)?(?![^\W_])",
    re.IGNORECASE,
)
_INSTRUMENT_CARDS = ("FILTER", "INSTRUME", "TELESCOP", "SURVEY", "DETECTOR", "CAMERA", "OBSERVAT", "FPA.INSTRUMENT")
#: of several images of one band the first of these: without its background it is what networks know
_IMAGES = ("BGSUB", "FLUX", "SCI", "IMAGE", "")
_SINGLE = ("", "PRIMARY", "SCI", "IMAGE")
#: what a band is called in tables and options
BAND_WORDS = {"VIS": "VIS"} | {f"{begin}{band}": band for band in "YJH" for begin in ("", "NIR_", "NISP_", "NIR-")}
MOST_PROBLEMS = 20  # files named in one message
NAMES = "VIS_FLUX or VIS_BGSUB, NIR_Y_FLUX …"


@dataclass(frozen=True)
class BandFile:
    """Where one band of an object is: a file, and the places of image, RMS map and point spread function among its
    HDUs, None where there is no such map. ``alone``: whether no other band of Euclid is in the file."""

    path: Path
    extension: int
    rms: int | None = None
    psf: int | None = None
    alone: bool = False


@dataclass(frozen=True)
class EuclidObject:
    """One object: its name, its bands in the order of BANDS, of which VIS is always there, and where it is (ICRS
    degrees), None for the middle of the VIS image."""

    name: str
    bands: Mapping[str, BandFile]
    position: tuple[float, float] | None = None


@dataclass(frozen=True)
class Skipped:
    """A file that is part of no object, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Reading:
    """How files are read: ``magzero``, the AB zero point of a band whose file has none; ``table``, which says what
    objects there are; ``pad``, whether pixels that an image lacks are taken for missing ones."""

    magzero: Mapping[str, float] = field(default_factory=dict)
    table: Path | None = None
    pad: bool = False


def raise_all(problems: list[str]) -> None:
    """Raise InputError with the first of the problems, a line each, if there are any."""
    more = [f"… and {len(problems) - MOST_PROBLEMS} more inputs"] if len(problems) > MOST_PROBLEMS else []
    if problems:
        raise InputError("\n".join(problems[:MOST_PROBLEMS] + more))


def bands_in(file: FitsFile) -> dict[str, BandFile]:
    """Return the bands of Euclid in a file; Unusable, saying what it is instead, where there are none."""
    named: dict[str, dict[str, Hdu]] = {}
    for hdu in file.hdus:
        match = None if hdu.shape is None else _EXTENSION.fullmatch(hdu.name)
        if match:
            kinds = named.setdefault(_band_of(match[1]), {})
            if (match[2] or "") in kinds:
                raise Unusable(file.path, f"has two extensions {hdu.name}. Leave one out.")
            kinds[match[2] or ""] = hdu
    if not named:
        return _one_band(file)
    return {band: _band_file(file, band, named[band], len(named) == 1) for band in BANDS if band in named}


def stem(path: Path) -> str:
    """Return a file's name without its endings: of ``a.1.fits.gz`` it is ``a.1``."""
    return re.sub(r"\.(fits?|fts)?(\.(gz|fz))?$", "", path.name, flags=re.IGNORECASE) or path.name


def without_band(name: str, band: str) -> str:
    """Return a name without the words for this band."""
    word = re.compile(f"[-_. ]?{BAND_WORD}", re.IGNORECASE)
    return word.sub(lambda match: "" if _band_of(match[0]) == band else match[0], name)


def extension_of(file: FitsFile, wanted: str) -> Hdu:
    """Return the HDU of a name or number; Unusable where the file has none."""
    for hdu in file.hdus:
        if wanted.upper() == hdu.name or wanted == str(hdu.place):
            return hdu
    raise Unusable(file.path, f"has no extension {wanted!r}, found {_extensions(file)}.")


def band_of_image(file: FitsFile, hdu: Hdu) -> str:
    """Return the band of an image, by its extension, cards, name or folder; Unusable where it is not clear."""
    match = _EXTENSION.fullmatch(hdu.name)
    if match:
        return _band_of(match[1])
    cards = {key: hdu.cards.text(key) or file.hdus[0].cards.text(key) for key in _INSTRUMENT_CARDS}
    name = stem(file.path)
    by_card = [word for word in (cards["FILTER"], cards["INSTRUME"]) if _BAND.fullmatch(word)]
    by_name = _BAND.findall(name)
    strong = {_band_of(word) for word in by_name if len(word) > 1}
    # SDSS J1234 VIS.fits is of Euclid, and J of SDSS_J.fits is not
    foreign = _foreign([*cards.values(), *([] if by_card or strong else [hdu.name, name])])
    if foreign:
        raise Unusable(file.path, f"of {foreign}, not of Euclid. Leave it out.")
    bands = {_band_of(word) for word in by_card or by_name or _folder_words(file.path)}
    if len(bands) == 1 and (not by_card or not strong or bands <= strong):
        return bands.pop()
    clues = f"FILTER {cards['FILTER']!r}, INSTRUME {cards['INSTRUME']!r}, words {by_name} in the name"
    found = f"{clues} and the extensions {_extensions(file)}"
    raise Unusable(file.path, f"of which band is it? Found {found}; expected {NAMES}, or one band in FILTER.")


def _band_of(word: str) -> str:
    return "VIS" if word[-1].upper() == "S" else word[-1].upper()


def _band_file(file: FitsFile, band: str, kinds: Mapping[str, Hdu], alone: bool) -> BandFile:
    """Return where a band is whose extensions have its name; Unusable where there are only maps of it."""
    image = next((kinds[kind] for kind in _IMAGES if kind in kinds), None)
    if image is None:
        found = ", ".join(hdu.name for hdu in kinds.values())
        raise Unusable(file.path, f"has {found} but no image of {band}, found {_extensions(file)}; expected {NAMES}.")
    if not image.shape:
        raise Unusable(file.path, f"[{image.name}] is empty, expected an image.")
    card = image.cards.text("FILTER")
    if _BAND.fullmatch(card) and _band_of(card) != band:
        raise Unusable(file.path, f"[{image.name}] FILTER is {card!r}: of which band is it? Name both alike.")
    rms, psf = (kinds[kind].place if kind in kinds and kinds[kind].shape else None for kind in ("RMS", "PSF"))
    return BandFile(file.path, image.place, rms, psf, alone)


def _one_band(file: FitsFile) -> dict[str, BandFile]:
    """Return the one band of a file whose extensions name none."""
    images = [hdu for hdu in file.hdus if hdu.shape]
    foreign = _foreign([hdu.name for hdu in images])
    if not images:
        raise Unusable(file.path, _no_image(file))
    if foreign:
        raise Unusable(file.path, f"of {foreign}, not of Euclid: found {_extensions(file)}; expected {NAMES}.")
    if _MAP_WORD.search(stem(file.path)):
        raise Unusable(file.path, "by its name a map of noise, flags, background or PSF, not an image. Leave it out.")
    pictures = [hdu for hdu in images if hdu.name in _SINGLE] or [
        hdu for hdu in images if not _MAP_WORD.search(hdu.name)
    ]
    if not pictures:
        raise Unusable(file.path, f"has maps but no image, found {_extensions(file)}; expected {NAMES}.")
    if len(pictures) > 1:
        found = f"{len(pictures)} images and no band in the name of any, found {_extensions(file)}"
        raise Unusable(file.path, f"has {found}; expected {NAMES}, or say in a --table which is which.")
    maps = {hdu.name: hdu.place for hdu in images}
    band = band_of_image(file, pictures[0])
    return {band: BandFile(file.path, pictures[0].place, maps.get("RMS"), maps.get("PSF"), alone=True)}


def _no_image(file: FitsFile) -> str:
    """Return what a file is without an image."""
    table = next((hdu for hdu in file.hdus if hdu.shape is None), None)
    if table is None:
        return f"lacks an image, found {_extensions(file)}, all empty; expected {NAMES}."
    rows = table.cards.text("NAXIS2")
    return f"a table of {rows} rows ({table.name or table.cards.text('XTENSION')}), not an image. Leave it out."


def _foreign(texts: Sequence[str]) -> str | None:
    """Return the first word for an instrument or survey that is not Euclid's."""
    return next((match[0] for text in texts if (match := _FOREIGN.search(text))), None)


def _folder_words(path: Path) -> list[str]:
    """Return the band that names the nearest folder that names one, such as VIS, nir_y, EUC_J or images-NIR-H."""
    return next((words for folder in path.parent.parts[:-3:-1] if (words := _BAND.findall(folder))), [])


def _extensions(file: FitsFile) -> str:
    return ", ".join(hdu.name or ("PRIMARY" if hdu.place == 0 else f"HDU {hdu.place}") for hdu in file.hdus)
