"""The HDUs of a FITS file, headers first and pixels when asked for.

astropy needs longer to open a cutout of thirteen HDUs than all else that an import does, and never ends on some damaged
ones. So headers and plain images are read here, by the FITS standard 4.0, sections 3 and 4, more leniently where no
pixel depends on it (bytes that are no ASCII, cards in another order, padding that is missing at the end). Images that
are compressed by tiles are left to astropy, with which the tests compare everything.
"""

import gzip
import io
import math
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lensfold.errors import InputError
from lensfold.files import check_file

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

BLOCK, CARD = 2880, 80
MAX_HEADER = 400 * BLOCK
MAX_UNPACKED = 1 << 30  # bytes of a compressed file: cutouts have a few million
MAX_AXES = 999  # section 4.4.1
_PIXELS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/]*))")
#: what files begin with that are no FITS files
_OTHERS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"PK\3\4": "a zip archive: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a parquet table",
    b"\x93NUMPY": "a numpy array without a sky position",
    b"version https://git-lfs": "a pointer to a file of Git LFS: fetch the file itself",
    b"<": "an HTML or XML page, which archives send in place of a file that they refuse: fetch it again",
}


class Unusable(InputError):
    """A file cannot be used: ``path`` and ``reason``, which are the message."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class Cards:
    """The cards of one header: key → all behind ``=``, of keys that come twice the first."""

    texts: Mapping[str, str]

    def get(self, key: str) -> str | bool | int | float | None:
        """Return the value of a card; None where it is absent or empty, its text where it is no FITS value."""
        text = self.texts.get(key)
        if text is None:
            return None
        match = _VALUE.match(text)
        if match and match[1] is not None:
            return match[1].replace("''", "'").rstrip()
        word = text.split("/")[0].strip()
        return {"": None, "T": True, "F": False}.get(word, number(word))

    def text(self, key: str) -> str:
        """Return the value of a card as text, empty where there is none."""
        value = self.get(key)
        return "" if value is None else str(value).strip()


def number(word: str) -> int | float | str:
    """Return the number that a word is, or the word."""
    for kind in (int, float):
        try:
            return kind(word if kind is int else word.upper().replace("D", "E"))
        except ValueError:
            continue
    return word


@dataclass(frozen=True)
class Hdu:
    """One HDU: its place in the file, the name of the extension in capitals, its cards, whether it is a tile-compressed
    image, and its kind: the ``shape`` of its image (rows, columns, after axes of one), () without pixels, None for a
    table. ``start`` is where its data begin, in bytes."""

    place: int
    name: str
    cards: Cards
    shape: tuple[int, ...] | None
    start: int
    compressed: bool = False


@dataclass(frozen=True)
class FitsFile:
    """An open file and its HDUs."""

    path: Path
    stream: BinaryIO
    hdus: list[Hdu]

    @cached_property
    def by_astropy(self) -> "HDUList":
        """The same file, opened by astropy."""
        from astropy.io import fits  # slow to import, and most files are not compressed

        self.stream.seek(0)
        return fits.open(io.BytesIO(self.stream.read()), memmap=False)

    def pixels(self, hdu: Hdu) -> np.ndarray:
        """Return the image of an HDU, scaled, as stored (often of the other byte order); Unusable without one."""
        if not hdu.shape:
            raise Unusable(self.path, f"[{hdu.name or hdu.place}] is no image.")
        return (_unpacked if hdu.compressed else _stored)(self, hdu)


@contextmanager
def open_fits(path: Path) -> Iterator[FitsFile]:
    """Yield a FITS file, compressed by gzip or not, all headers read; Unusable where it is none, or not whole."""
    try:
        check_file(path)
        with path.open("rb") as stream:
            source = _gunzipped(path, stream)
            yield FitsFile(path, source, _read_hdus(path, source))
    except OSError as error:
        raise Unusable(path, f"cannot be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise Unusable(path, "does not fit into memory. Is it a cutout? Leave it out, or free memory.") from error


def kind_of(start: bytes) -> str | None:
    """Return what a file is that begins with these bytes, a few hundred of them; None where it may be a FITS file."""
    if not start.strip():
        return "empty"
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it"
    return next((kind for magic, kind in _OTHERS.items() if start.lstrip(b"\xef\xbb\xbf \r\n").startswith(magic)), None)


def _gunzipped(path: Path, stream: BinaryIO) -> BinaryIO:
    """Return the stream, or where it is compressed by gzip one of its content."""
    magic = stream.read(2)
    stream.seek(0)
    if magic != b"\x1f\x8b":
        return stream
    try:
        content = gzip.GzipFile(fileobj=stream).read(MAX_UNPACKED + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unusable(path, f"its gzip compression is damaged ({error}). Fetch it again.") from error
    if len(content) > MAX_UNPACKED:
        raise Unusable(path, f"more than {MAX_UNPACKED >> 20} MB when unpacked, which is no cutout.")
    return io.BytesIO(content)


def _read_hdus(path: Path, stream: BinaryIO) -> list[Hdu]:
    """Return all HDUs; Unusable where the file is of another kind, truncated or damaged."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    first = stream.read(512)
    if not first.startswith(b"SIMPLE  ="):
        kind = kind_of(first) or f"of another format, as it begins with {first[:9]!r}"
        raise Unusable(path, f"not readable as a FITS image: it is {kind}. Fetch it again or leave it out.")
    hdus: list[Hdu] = []
    start = data = length = 0
    while start < size:
        if hdus and not _is_extension(path, stream, start, len(hdus)):
            break
        cards, data = _read_header(path, stream, start, len(hdus))
        hdus.append(_hdu(path, len(hdus), cards, data))
        length = _data_size(path, cards, len(hdus) - 1)
        start = data + length + -length % BLOCK
        # where padding begins it has to end, or the file is a part of one; some programs write none
        if data + length > size or data + length < size < start:
            found = f"HDU {len(hdus) - 1} ({hdus[-1].name or 'nameless'}) ends at byte {start}, the file at {size}"
            raise Unusable(path, f"truncated: {found}. Fetch it again.")
    if size % BLOCK and start != size and data + length != size:
        raise Unusable(
            path, f"damaged: {size} bytes are no blocks of {BLOCK}, as of a transfer as text. Fetch it again."
        )
    return hdus


def _is_extension(path: Path, stream: BinaryIO, start: int, place: int) -> bool:
    """Return whether another HDU begins here, False at a tail of nothing; Unusable where it is neither."""
    stream.seek(start)
    found = stream.read(BLOCK)
    if found.startswith(b"XTENSION"):
        return True
    if not found.strip(b" \0"):
        return False
    raise Unusable(path, f"damaged: HDU {place} begins with {found[:9]!r}, expected XTENSION. Fetch it again.")


def _read_header(path: Path, stream: BinaryIO, start: int, place: int) -> tuple[Cards, int]:
    """Return the cards of the header that begins at a byte, and where its data begin."""
    stream.seek(start)
    texts: dict[str, str] = {}
    for end in range(start + BLOCK, start + MAX_HEADER, BLOCK):
        block = stream.read(BLOCK).decode("latin-1")
        if len(block) < BLOCK:
            break
        for at in range(0, BLOCK, CARD):
            key = block[at : at + 8].rstrip()
            if block[at + 8 : at + 10] == "= ":
                texts.setdefault(key, block[at + 10 : at + CARD])
            elif key == "HIERARCH":
                key, _, text = block[at + 9 : at + CARD].partition("=")
                texts.setdefault(key.strip(), text)
            elif key == "END" and not block[at + 8 : at + CARD].strip():
                return Cards(texts), end
    raise Unusable(path, f"truncated: the header of HDU {place} has no end. Fetch it again.")


def _axes(path: Path, cards: Cards, place: int, prefix: str = "") -> list[int]:
    """Return NAXIS1, NAXIS2 … (with the prefix Z those of a compressed image)."""
    count = _whole(path, cards, f"{prefix}NAXIS", place, MAX_AXES)
    return [_whole(path, cards, f"{prefix}NAXIS{axis + 1}", place) for axis in range(count)]


def _whole(path: Path, cards: Cards, key: str, place: int, most: int = 1 << 40, default: int | None = None) -> int:
    """Return a card that counts something; Unusable where it does not."""
    value = cards.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise Unusable(path, f"damaged: {key} of HDU {place} is {value!r}, expected a whole number. Fetch it again.")
    return value


def _bitpix(path: Path, cards: Cards, place: int, prefix: str = "") -> int:
    """Return BITPIX; Unusable where the standard does not know it."""
    value = cards.get(f"{prefix}BITPIX")
    if not isinstance(value, int) or value not in _PIXELS:
        raise Unusable(path, f"damaged: {prefix}BITPIX of HDU {place} is {value!r}, expected 8 to 64, -32 or -64.")
    return value


def _data_size(path: Path, cards: Cards, place: int) -> int:
    """Return the bytes of an HDU's data, without padding (equation 2 of the standard)."""
    axes = _axes(path, cards, place)
    groups, heap = (_whole(path, cards, key, place, default=least) for key, least in (("GCOUNT", 1), ("PCOUNT", 0)))
    return abs(_bitpix(path, cards, place)) // 8 * groups * (heap + math.prod(axes)) if axes else 0


def _hdu(path: Path, place: int, cards: Cards, start: int) -> Hdu:
    """Return the HDU with these cards, whose data begin at ``start``."""
    name = cards.text("EXTNAME").upper()
    compressed = cards.get("ZIMAGE") is True
    image = compressed or place == 0 or cards.text("XTENSION") in ("IMAGE", "IUEIMAGE")
    axes = _axes(path, cards, place, "Z" if compressed else "")
    while len(axes) > 2 and axes[-1] == 1:
        axes.pop()
    shape = tuple(axes[::-1]) if math.prod(axes) and axes else ()
    return Hdu(place, "" if name == "COMPRESSED_IMAGE" else name, cards, shape if image else None, start, compressed)


def _stored(file: FitsFile, hdu: Hdu) -> np.ndarray:
    """Return a plain image; what BLANK marks is NaN."""
    assert hdu.shape
    dtype = np.dtype(_PIXELS[_bitpix(file.path, hdu.cards, hdu.place)])
    file.stream.seek(hdu.start)
    data = file.stream.read(dtype.itemsize * math.prod(hdu.shape))
    image = np.frombuffer(data, dtype).reshape(hdu.shape)
    blank = hdu.cards.get("BLANK") if dtype.kind in "iu" else None
    scale, zero = (_scaling(file.path, hdu, key, usual) for key, usual in (("BSCALE", 1.0), ("BZERO", 0.0)))
    if dtype.kind == "f" and (scale, zero) == (1.0, 0.0):
        return image
    scaled = image * scale + zero
    return scaled if blank is None else np.where(image == blank, np.nan, scaled)


def _scaling(path: Path, hdu: Hdu, key: str, usual: float) -> float:
    """Return BSCALE or BZERO."""
    value = hdu.cards.get(key)
    if value is None:
        return usual
    if isinstance(value, str) or not math.isfinite(value) or (key == "BSCALE" and value == 0):
        raise Unusable(path, f"[{hdu.name or hdu.place}] its {key} is {value!r}, expected a number.")
    return float(value)


def _unpacked(file: FitsFile, hdu: Hdu) -> np.ndarray:
    """Return a tile-compressed image, by astropy."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual cards
            image = file.by_astropy[hdu.place].data
        return image.reshape(hdu.shape)
    except Exception as error:  # astropy raises many kinds on damaged tiles; each is the same to us
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(
            file.path, f"[{hdu.name or hdu.place}] cannot be unpacked ({reason}). Fetch it again."
        ) from error
