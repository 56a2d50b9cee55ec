"""The strict reader gives what astropy gives, or leaves the file to it; damage is refused, whatever it is."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from lensfold.data.fits_reader import BLOCK, CARD, NotFits, astropy_frame, read_frame, strict_frame
from lensfold.simulate.fits import fits_bytes

KEYWORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=8).filter(
    lambda name: (
        not name.startswith("NAXIS") and name not in ("SIMPLE", "BITPIX", "EXTEND", "END", "COMMENT", "HISTORY")
    )
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.text("abc XYZ/'=0", max_size=20).map(str.strip),
)
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def written(image: np.ndarray, cards: dict | None = None, comment: str = "") -> bytes:
    """A file as astropy writes it."""
    hdu = fits.PrimaryHDU(image)
    for keyword, value in (cards or {}).items():
        hdu.header[keyword] = value
    if comment:
        hdu.header["COMMENT"] = comment
    stream = io.BytesIO()
    hdu.writeto(stream, output_verify="silentfix")
    return stream.getvalue()


def outcome(read, data: bytes) -> tuple:
    """Pixels as bytes, or that they were refused."""
    try:
        frame = read(data)
    except NotFits:
        return ("refused",)
    return frame.shape, frame.dtype.str, frame.tobytes()


@settings(deadline=None)
@given(st.dictionaries(KEYWORDS, VALUES, max_size=40), SHAPES, st.integers(0, 2**32 - 1), st.text("ab c", max_size=90))
def test_any_header_gives_the_pixels_that_astropy_gives(cards, shape, seed, comment):
    # every bit pattern is a pixel: NaN payloads, infinities and subnormals included
    pixels = np.random.default_rng(seed).integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    cards = {key: value for key, value in cards.items() if key not in ("BSCALE", "BZERO", "BLANK", "GROUPS")}
    data = written(pixels, cards, comment)
    frame = read_frame(data)
    assert frame.dtype == np.float32 and frame.flags.writeable
    np.testing.assert_array_equal(frame, pixels)
    assert outcome(read_frame, data) == outcome(astropy_frame, data)


def test_the_packs_own_form_needs_no_astropy():
    image = np.random.default_rng(0).standard_normal((66, 66)).astype(np.float32)
    for data in (written(image, {"OBJECT": "x"}), fits_bytes(image, "Y", 200001, (10.0, -5.0))):
        np.testing.assert_array_equal(strict_frame(data), image)


@pytest.mark.parametrize(
    "cards", [{"BSCALE": 2.0}, {"BZERO": -1.5}, {"BSCALE": 1e-12, "BZERO": 3.0}, {"HIERARCH long keyword": 1}]
)
def test_scaling_is_left_to_astropy_and_applied(cards):
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = written(image)
    header = fits.Header.fromstring(data[:BLOCK].decode())
    header.update(cards)
    data = header.tostring().encode() + data[BLOCK:]
    assert strict_frame(data) is None
    expected = image * cards.get("BSCALE", 1.0) + cards.get("BZERO", 0.0)
    np.testing.assert_allclose(read_frame(data), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["i2", "i4", "f8", "u1"])
def test_another_pixel_type_is_refused(kind):
    with pytest.raises(NotFits, match="BITPIX is .*expected -32"):
        read_frame(written(np.ones((4, 4), dtype=kind)))


def test_no_image_three_axes_and_an_extension_are_refused():
    for hdu in (fits.PrimaryHDU(), fits.PrimaryHDU(np.ones((2, 3, 4), dtype="f4"))):
        stream = io.BytesIO()
        hdu.writeto(stream)
        with pytest.raises(NotFits):
            read_frame(stream.getvalue())


def test_fuzz_never_crashes_and_never_differs_from_astropy():
    """2,400 damaged files: changed, doubled, removed and swapped header bytes and cards, cut and stretched bodies."""
    generator = np.random.default_rng(4)
    image = generator.standard_normal((12, 11)).astype(np.float32)
    whole = written(image, {"BUNIT": "Jy", "EXPTIME": 1.5, "OBJECT": "a/b'c"}, "some words")
    taken = 0
    for number in range(2400):
        data = bytes(mutated(whole, generator, number % 6))
        frame = strict_frame(data)
        if frame is not None:
            taken += 1
            assert outcome(strict_frame, data) == outcome(astropy_frame, data), data[:BLOCK]
        else:
            outcome(read_frame, data)  # refused or read, but nothing else
    assert 200 < taken < 2200


def mutated(whole: bytes, generator: np.random.Generator, kind: int) -> bytearray:
    """One kind of damage to a whole file."""
    data = bytearray(whole)
    cards = data.index(b"END" + b" " * 77) // CARD + 1
    card = int(generator.integers(cards)) * CARD
    if kind == 0:  # any byte of the header
        data[int(generator.integers(cards * CARD))] = int(generator.integers(256))
    elif kind == 1:  # a printable byte of a card's first thirty columns
        data[card + int(generator.integers(30))] = int(generator.integers(32, 127))
    elif kind == 2:  # a card twice, the header one card longer
        data[card:card] = data[card : card + CARD]
        del data[BLOCK : BLOCK + CARD]
    elif kind == 3:  # two cards change places
        other = int(generator.integers(cards)) * CARD
        data[card : card + CARD], data[other : other + CARD] = data[other : other + CARD], data[card : card + CARD]
    elif kind == 4:  # cut anywhere, or followed by something
        cut = int(generator.integers(len(data)))
        data = data[:cut] if generator.random() < 0.7 else data + data[:cut]
    else:  # pixels
        data[BLOCK + int(generator.integers(4 * 132))] = int(generator.integers(256))
    return data


@pytest.mark.parametrize("axes", [b"99999999", b"-1234567", b"    1000"])
def test_more_axes_than_fits_allows_do_not_hang(axes):
    data = written(np.ones((9, 9), dtype=np.float32))
    data = data.replace(b"NAXIS   =                    2", b"NAXIS   = " + axes.rjust(20))
    with pytest.raises(NotFits, match=f"NAXIS is {int(axes)}, more than the 999"):
        read_frame(data)
