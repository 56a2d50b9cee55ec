"""Damage at random: what disks, transfers, editors and spreadsheets do to bytes, and what somebody spiteful would."""

import re

import numpy as np

#: what takes the place of a word
WORDS = (
    b"", b"nan", b"inf", b"-1", b"0", b"1e999", b"-0.0", b"99999999999999999999999", b"9223372036854775808", b"0x10",
    b"1_0", b"\xc2\xb2", b"\xd9\xa1", b'"', b"'", b"=", b"[", b"]", b"{", b"}", b"null", b"true", b"\x00", b"\xff\xfe",
    b"\xef\xbb\xbf", b"../../x", b"%s", b"\xe2\x80\xae", b"A" * 70_000, b"1e308", b"1.7976931348623157e309", b"2,5",
    b"T", b"F",
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z0-9_.+-]+")


def damaged(data: bytes, rng: np.random.Generator, head: int) -> bytes:
    """Return ``data`` after one to three changes; seven in ten of them fall into its first ``head`` bytes."""
    for _ in range(1 + int(rng.integers(0, 3) * rng.integers(0, 2))):
        change = _CHANGES[int(rng.integers(len(_CHANGES)))]
        data = change(data, rng, _place(data, rng, head))
    return data


def _place(data: bytes, rng: np.random.Generator, head: int) -> int:
    last = min(head, len(data)) if rng.random() < 0.7 else len(data)
    return int(rng.integers(0, max(1, last)))


def _length(rng: np.random.Generator) -> int:
    return int(2 ** rng.uniform(0, 12))


def _flip(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :] if data else data


def _overwrite(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    return data[:at] + rng.bytes(1) + data[at + 1 :]


def _cut_off(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    return data[:at]


def _take_out(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    return data[:at] + data[at + _length(rng) :]


def _put_in(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    return data[:at] + rng.bytes(_length(rng)) + data[at:]


def _blank(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    length = min(_length(rng), len(data) - at)
    return data[:at] + bytes([int(rng.choice([0, 32, 255]))]) * length + data[at + length :]


def _double(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    piece = data[at : at + _length(rng)]
    return data[:at] + piece + data[at:]


def _word(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    """Another word in the place of the next one."""
    match = _WORD.search(data, at)
    word = WORDS[int(rng.integers(len(WORDS)))]
    return data[: match.start()] + word + data[match.end() :] if match else data


def _padded_word(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    """The same without a change of length, as in the cards of FITS and the headers of tar."""
    match = _WORD.search(data, at)
    if not match:
        return data
    length = match.end() - match.start()
    word = WORDS[int(rng.integers(len(WORDS)))][:length].rjust(length)
    return data[: match.start()] + word + data[match.end() :]


def _line(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    """A line twice, or gone, or with the next one."""
    start = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at) + 1 or len(data)
    way = int(rng.integers(3))
    if way == 0:
        return data[:end] + data[start:]
    return data[:start] + data[end:] if way == 1 else data[: end - 1] + data[end:]


def _separator(data: bytes, rng: np.random.Generator, at: int) -> bytes:
    """One of the characters between fields for another, from a place on: once, or everywhere."""
    old, new = (bytes([c]) for c in rng.choice(list(b",;\t \"'\n\r=.:"), 2))
    return data[:at] + data[at:].replace(old, new, 1 if rng.random() < 0.7 else -1)


_CHANGES = (
    _flip, _overwrite, _cut_off, _take_out, _put_in, _blank, _double, _word, _padded_word, _word, _padded_word, _line,
    _separator,
)  # fmt: skip
