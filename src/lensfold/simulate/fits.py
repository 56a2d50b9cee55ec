"""FITS files of the challenge's layout: one header block of 29 cards counting END, big-endian float32 pixels."""

from functools import cache, lru_cache

import numpy as np

_BLOCK = 2880
_CARD = 80
VIS_PIXEL = 0.1  # arcsec
NISP_PIXEL = 0.3
Value = bool | int | float | str


def _value(value: Value) -> str:
    """Return a value in the fixed format of the FITS standard 4.0, section 4.2."""
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>20}"
    if isinstance(value, str):
        return f"'{value:<8}'"
    return f"{value:>20d}" if isinstance(value, int) else f"{value:>20.12E}"


def _line(key: str, value: Value, comment: str) -> str:
    """Return one card of a header, 80 characters."""
    return f"{f'{key:<8}= {_value(value):<20}' + (f' / {comment}' if comment else ''):<{_CARD}}"


@cache
def _lines(band: str, size: int) -> dict[str, str]:
    """Return the 28 cards before END by their keys, those of one object left to be filled in.

    The reference pixel is the frame's centre, common to all bands.
    """
    step = (VIS_PIXEL if band == "VIS" else NISP_PIXEL) / 3600.0
    middle = 0.5 * (size + 1)
    cards: list[tuple[str, Value, str]] = [
        ("SIMPLE", True, "conforms to FITS standard"),
        ("BITPIX", -32, "32-bit floating point"),
        ("NAXIS", 2, "number of axes"),
        ("NAXIS1", size, "columns"),
        ("NAXIS2", size, "rows"),
        ("OBJECT", "", ""),
        ("ORIGIN", "lensfold simulate", ""),
        ("TELESCOP", "SIMULATED", "resembles Euclid"),
        ("INSTRUME", "VIS" if band == "VIS" else "NISP", ""),
        ("FILTER", band, ""),
        ("WCSAXES", 2, ""),
        ("CTYPE1", "RA---TAN", ""),
        ("CTYPE2", "DEC--TAN", ""),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
        ("CRPIX1", middle, "centre of the frame"),
        ("CRPIX2", middle, "centre of the frame"),
        ("CRVAL1", 0.0, ""),
        ("CRVAL2", 0.0, ""),
        ("CDELT1", -step, "degrees per pixel"),
        ("CDELT2", step, "degrees per pixel"),
        ("PC1_1", 1.0, ""),
        ("PC1_2", 0.0, ""),
        ("PC2_1", 0.0, ""),
        ("PC2_2", 1.0, ""),
        ("LONPOLE", 180.0, ""),
        ("RADESYS", "ICRS", ""),
        ("EQUINOX", 2000.0, ""),
    ]
    return {key: _line(key, value, comment) for key, value, comment in cards}


@lru_cache(maxsize=1)  # all bands of an object, one after the other
def _own_lines(object_id: int, centre: tuple[float, float]) -> dict[str, str]:
    """Return the cards that differ between objects, by their keys."""
    return {
        "OBJECT": _line("OBJECT", f"SYNTHETIC {object_id}", "simulated, not observed"),
        "CRVAL1": _line("CRVAL1", centre[0], ""),
        "CRVAL2": _line("CRVAL2", centre[1], ""),
    }


def fits_bytes(image: np.ndarray, band: str, object_id: int, centre: tuple[float, float]) -> bytes:
    """Return a whole FITS file of a square image (native float32 or float64); ``centre``: (RA, Dec) in degrees."""
    lines = {**_lines(band, image.shape[0]), **_own_lines(object_id, centre)}
    header = "".join([*lines.values(), f"{'END':<{_CARD}}"]).ljust(_BLOCK).encode("ascii")
    data = image.astype(">f4").tobytes()
    return header + data + b"\0" * (-len(data) % _BLOCK)
