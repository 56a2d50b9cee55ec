"""Frames out of FITS bytes: a strict reader for the challenge's one kind of file, astropy for everything else.

The strict reader knows one form: a primary HDU of two axes in 32-bit floats, unscaled, complete to the last byte of
padding (FITS standard 4.0, sections 3 and 4). Whatever differs from it in anything that may touch the pixels is left
to astropy, so the strict reader never changes what is accepted or how it is read.
"""

import io
import re
import warnings

import numpy as np

BLOCK = 2880
CARD = 80
#: the first five cards, each followed by nothing or a comment
_FIRST = tuple(
    re.compile(card + rb" *(?:/.*)?")
    for card in (
        rb"SIMPLE  = {20}T",
        rb"BITPIX  = {18}-32",
        rb"NAXIS   = {20}2",
        rb"NAXIS1  = {1,20}([0-9]{1,4})",
        rb"NAXIS2  = {1,20}([0-9]{1,4})",
    )
)
_EXTEND = re.compile(rb"EXTEND  = {20}T *(?:/.*)?")
_END = b"END".ljust(CARD)
_KEYWORD = re.compile(rb"[A-Z0-9_-]{1,8} *")
#: keywords that change what the pixels mean, or where they are
_RELEVANT = frozenset(
    (b"SIMPLE", b"BITPIX", b"NAXIS", b"NAXIS1", b"NAXIS2", b"BSCALE", b"BZERO", b"BLANK", b"XTENSION", b"GROUPS")
    + (b"PCOUNT", b"GCOUNT", b"HIERARCH", b"END")
)
_NAXIS = re.compile(rb"NAXIS   = *([+-]?[0-9]+)")
#: FITS standard 4.0, section 4.4.1
_MOST_AXES = 999
_TEXT = frozenset((b"COMMENT", b"HISTORY"))


class NotFits(Exception):
    """The bytes are no frame that can be used; the message says why."""


def read_frame(data: bytes) -> np.ndarray:
    """Return the primary image of a whole FITS file: native float32, shape (rows, columns).

    Scaling by BSCALE and BZERO is applied. Raises NotFits where the file is damaged, truncated, without an image or
    of another pixel type than 32-bit floats.
    """
    frame = strict_frame(data)
    return astropy_frame(data) if frame is None else frame


def strict_frame(data: bytes) -> np.ndarray | None:
    """Return what :func:`read_frame` does for the one form of file described above; None for any other."""
    end = _header_end(data)
    if end is None:
        return None
    cards = [data[start : start + CARD] for start in range(0, end, CARD)]
    first = [pattern.fullmatch(card) for pattern, card in zip(_FIRST, cards, strict=False)]
    if len(cards) < len(_FIRST) or not all(first) or not all(map(_is_plain, cards[len(_FIRST) :])):
        return None
    columns, rows = (int(match[1]) for match in first[3:] if match)
    start = end + CARD + (-(end + CARD)) % BLOCK
    size = 4 * rows * columns
    if size == 0 or len(data) != start + size + (-size) % BLOCK or data[end + CARD : start].strip(b" "):
        return None
    return np.frombuffer(data, ">f4", rows * columns, start).reshape(rows, columns).astype(np.float32)


def _header_end(data: bytes) -> int | None:
    """Return where the END card starts; None where there is none, or the header is not plain text."""
    at = data.find(_END, 0, 36 * BLOCK)
    while at % CARD and at > 0:
        at = data.find(_END, at + 1, 36 * BLOCK)
    return at if at > 0 and data[:at].isascii() and data[:at].decode("ascii").isprintable() else None


def _is_plain(card: bytes) -> bool:
    """Return whether a card after the fifth has the simplest form, and says nothing about the pixels."""
    keyword = card[:8].rstrip(b" ")
    if keyword == b"EXTEND":
        return _EXTEND.fullmatch(card) is not None
    if keyword in _RELEVANT:
        return False
    if not keyword or keyword in _TEXT:
        return True
    return card[8:10] == b"= " and _KEYWORD.fullmatch(card[:8]) is not None


def astropy_frame(data: bytes) -> np.ndarray:
    """Return what :func:`read_frame` does, by astropy; raises NotFits as it does."""
    from astropy.io import fits  # slow to import, and most files are of the one form

    for axes in _NAXIS.findall(data[: 36 * BLOCK]):
        if abs(int(axes)) > _MOST_AXES:  # astropy would look for each of them, for hours
            raise NotFits(f"NAXIS is {int(axes)}, more than the {_MOST_AXES} that FITS allows")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # astropy only warns of a truncated file
            with fits.open(io.BytesIO(data), memmap=False) as hdus:
                found, pixels = hdus[0].header.get("BITPIX"), hdus[0].data
    except Exception as error:  # astropy raises many kinds on damaged files; each is the same to us
        raise NotFits(f"not readable as FITS ({error or type(error).__name__})") from error
    if found != -32:
        raise NotFits(f"BITPIX is {found}, expected -32 (32-bit floats)")
    if pixels is None or pixels.ndim != 2:
        raise NotFits(f"the image has the shape {None if pixels is None else pixels.shape}, expected (rows, columns)")
    return pixels.astype(np.float32)
