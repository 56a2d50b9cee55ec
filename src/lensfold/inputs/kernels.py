"""The compiled pass from cached objects to their augmented network input (see `lensfold.inputs.augment`).

What a network's pixel may be, before it is stretched, is a channel's ``grid``: VIS on windows of ``bin`` x ``bin``
pixels, NISP spread over the VIS pixels by bilinear interpolation and averaged over the same windows. Where no affine
acts, the windows are those of the crop, side by side, which is the input of prediction. Where one does, the windows
begin at every VIS pixel, so that the value between them, again bilinear, is the mean of ``bin`` x ``bin`` values of
the moved frame; an affine that moves nothing finds the very windows of the crop.

All arrays are float32 unless a docstring says otherwise, and finite (kernels are compiled with fastmath).
"""

from typing import NamedTuple

import numpy as np

from lensfold.compiled import kernel

#: stretches: see lensfold.inputs.pixels.stretched
NONE, LOG, ASINH = range(3)
#: what an image is drawn, by column: see lensfold.inputs.augment.draws
(ELEMENT, MOVED, DEGREES, ZOOM, RIGHT, DOWN, GAIN, NOISE) = range(8)


class Windows(NamedTuple):
    """Where windows begin along an axis, and what they see of NISP."""

    #: first VIS pixel of the first window, distance of windows (1 or their width), their width: int64, (3,)
    window: np.ndarray
    #: the first of three NISP pixels that each window sees: uint32, (n,)
    first: np.ndarray
    #: how much of each it sees: float32, (3, n)
    taps: np.ndarray


_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# The natural logarithm as in Cephes' logf (Moshier 1992): bits of sqrt(1/2) and of a mantissa, log(2) in two parts,
# and the polynomial for log(1 + f) - f + f^2 / 2, over f^3, from sqrt(1/2) to sqrt(2).
_ROOT_BITS, _MANTISSA_BITS = 0x3F3504F3, 0x7FFFFF
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_L0, _L1, _L2 = np.float32(3.3333331174e-1), np.float32(-2.4999993993e-1), np.float32(2.0000714765e-1)
_L3, _L4, _L5 = np.float32(-1.6668057665e-1), np.float32(1.4249322787e-1), np.float32(-1.2420140846e-1)
_L6, _L7, _L8 = np.float32(1.1676998740e-1), np.float32(-1.1514610310e-1), np.float32(7.0376836292e-2)


@kernel
def _log(x: np.float32) -> np.float32:
    """Return the natural logarithm of a normal positive number, to its last digit or two."""
    shifted = np.float32(x).view(np.int32) - _ROOT_BITS
    exponent = np.float32(np.int32(shifted >> 23))
    f = np.int32((shifted & _MANTISSA_BITS) + _ROOT_BITS).view(np.float32) - _ONE
    tail = _L8 * f + _L7
    tail = (((((tail * f + _L6) * f + _L5) * f + _L4) * f + _L3) * f + _L2) * f + _L1
    f2 = f * f
    return exponent * _LN2_HIGH + (f + (exponent * _LN2_LOW + (f2 * (f * (tail * f + _L0) - _HALF))))


@kernel
def _wide_windows(vis: np.ndarray, start: int, step: int, weight: np.float32, grid: np.ndarray) -> None:
    """Write sums of windows of 4 x 4 pixels of VIS times ``weight``: four rows first, then four of their columns."""
    columns, sums = vis.shape[1], np.empty(vis.shape[1], dtype=np.float32)
    for i in range(grid.shape[0]):
        first, target = start + step * i, grid[i]
        row0, row1, row2, row3 = vis[first], vis[first + 1], vis[first + 2], vis[first + 3]
        for j in range(columns):
            sums[j] = (row0[j] + row1[j]) + (row2[j] + row3[j])
        if step == 1:
            for j in range(target.shape[0]):
                k = start + j
                target[j] = ((sums[k] + sums[k + 1]) + (sums[k + 2] + sums[k + 3])) * weight
        else:
            for j in range(target.shape[0]):
                k = start + 4 * j
                target[j] = ((sums[k] + sums[k + 1]) + (sums[k + 2] + sums[k + 3])) * weight


@kernel
def _windows(vis: np.ndarray, start: int, step: int, width: int, weight: np.float32, grid: np.ndarray) -> None:
    """Write sums of windows of VIS times ``weight``; ``width`` is 1, 2 or 4, and ``step`` that or 1."""
    n = grid.shape[0]
    if width == 1:
        for i in range(n):
            row, target = vis[start + step * i], grid[i]
            for j in range(n):
                target[j] = row[start + step * j] * weight
    elif width == 2 and step == 1:
        for i in range(n):
            top, bottom, target = vis[start + i, start:], vis[start + i + 1, start:], grid[i]
            for j in range(n):
                target[j] = (top[j] + top[j + 1] + bottom[j] + bottom[j + 1]) * weight
    elif width == 2:
        for i in range(n):
            top, bottom, target = vis[start + 2 * i, start:], vis[start + 2 * i + 1, start:], grid[i]
            for j in range(n):
                target[j] = (top[2 * j] + top[2 * j + 1] + bottom[2 * j] + bottom[2 * j + 1]) * weight
    else:
        _wide_windows(vis, start, step, weight, grid)


@kernel
def _mixed(nisp: np.ndarray, weights: np.ndarray, mixed: np.ndarray) -> None:
    """Write the sum of the NISP frames times ``weights`` (3,), rows and columns swapped."""
    w0, w1, w2 = weights[0], weights[1], weights[2]
    for i in range(mixed.shape[0]):
        y, j, h = nisp[0, i], nisp[1, i], nisp[2, i]
        for k in range(mixed.shape[1]):
            mixed[k, i] = y[k] * w0 + j[k] * w1 + h[k] * w2


@kernel
def _sums(rows: np.ndarray, windows: Windows, sums: np.ndarray) -> None:
    """Write what windows see of three rows each, over whole rows: this is fast, unlike sums along a row."""
    for i in range(sums.shape[0]):
        k, w0, w1, w2 = windows.first[i], windows.taps[0, i], windows.taps[1, i], windows.taps[2, i]
        row0, row1, row2, target = rows[k], rows[k + np.uint32(1)], rows[k + np.uint32(2)], sums[i]
        for j in range(target.shape[0]):
            target[j] = row0[j] * w0 + row1[j] * w1 + row2[j] * w2


@kernel
def _spread(swapped: np.ndarray, windows: Windows, tall: np.ndarray, wide: np.ndarray, grid: np.ndarray) -> None:
    """Write the windows of a NISP frame, given with rows and columns swapped; ``tall`` and ``wide`` are room."""
    _sums(swapped, windows, tall)
    for i in range(wide.shape[0]):
        for j in range(wide.shape[1]):
            wide[i, j] = tall[j, i]
    _sums(wide, windows, grid)


@kernel
def _places(matrix: np.ndarray, n: int, place: np.ndarray, right: np.ndarray, below: np.ndarray) -> None:
    """Write where the pixels (side, side) that ``matrix`` (2, 3) moves lie on a grid of n x n windows.

    ``place`` (uint32): the window at the upper left, counted along rows; ``right`` and ``below``: how far from it,
    0 to 1. What lies outside is reflected at the first and the last window, twice where need be.
    """
    last, before, columns = np.float32(n - 1), np.uint32(n - 2), np.uint32(n)
    xx, xy, yx, yy = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    for i in range(place.shape[0]):
        x0, y0 = xy * np.float32(i) + matrix[0, 2], yy * np.float32(i) + matrix[1, 2]
        for j in range(place.shape[1]):
            x = abs(last - abs(last - abs(xx * np.float32(j) + x0)))
            y = abs(last - abs(last - abs(yx * np.float32(j) + y0)))
            column, row = min(np.uint32(x), before), min(np.uint32(y), before)
            place[i, j] = row * columns + column
            right[i, j], below[i, j] = x - np.float32(column), y - np.float32(row)


@kernel
def _between(grid: np.ndarray, place: np.ndarray, right: np.ndarray, below: np.ndarray, flat: np.ndarray) -> None:
    """Write the bilinear interpolation of ``grid`` (n, n) at the places of :func:`_places`."""
    one, columns, windows = np.uint32(1), np.uint32(grid.shape[1]), grid.reshape(grid.size)
    for i in range(flat.shape[0]):
        for j in range(flat.shape[1]):
            k = place[i, j]
            m = k + columns
            top = windows[k] + right[i, j] * (windows[k + one] - windows[k])
            bottom = windows[m] + right[i, j] * (windows[m + one] - windows[m])
            flat[i, j] = top + below[i, j] * (bottom - top)


@kernel
def _stretched(flat: np.ndarray, stretch: int, softening: np.float32, mean: np.float32, scale: np.float32) -> None:
    """Stretch a channel (n,) in place, then subtract ``mean`` and divide by ``scale``."""
    narrower, smaller = _ONE / softening, _ONE / scale
    if stretch == NONE:
        for i in range(flat.shape[0]):
            flat[i] = (flat[i] * narrower - mean) * smaller
        return
    for i in range(flat.shape[0]):
        x = flat[i]
        size = abs(x) * narrower
        curved = _log(size + np.sqrt(size * size + _ONE)) if stretch == ASINH else _log(size + _ONE)
        flat[i] = ((curved if x >= _ZERO else -curved) - mean) * smaller


@kernel
def _turned(flat: np.ndarray, element: int, out: np.ndarray) -> None:
    """Write a channel flipped or turned into ``out`` (side, side), which may be a channel among others.

    ``element``: 0 to 7, of which bit 2 swaps rows and columns, then bit 0 flips rows, and bit 1 columns.
    """
    last = flat.shape[0] - 1
    for i in range(last + 1):
        for j in range(last + 1):
            r = last - i if element & 1 else i
            c = last - j if element & 2 else j
            out[i, j] = flat[c, r] if element & 4 else flat[r, c]


@kernel
def _channel(
    row: np.ndarray,
    channel: int,
    weights: np.ndarray,
    windows: Windows,
    sides: tuple[int, int],
    room: np.ndarray,
    grid: np.ndarray,
) -> None:
    """Write one channel of one object's windows into ``grid`` (n, n); ``room`` is for what comes between."""
    vis, nisp = sides
    if channel == 0:
        start, step, width = windows.window[0], windows.window[1], windows.window[2]
        _windows(row[: vis * vis].reshape(vis, vis), start, step, width, weights[0], grid)
        return
    n = grid.shape[0]
    first, second, third = nisp * nisp, nisp * (nisp + n), nisp * (nisp + 2 * n)
    mixed = room[:first].reshape(nisp, nisp)
    tall, wide = room[first:second].reshape(n, nisp), room[second:third].reshape(nisp, n)
    _mixed(row[vis * vis :].reshape(3, nisp, nisp), weights[1:], mixed)
    _spread(mixed, windows, tall, wide, grid)


@kernel
def _matrix(one: np.ndarray, side: int, n: int, width: int, matrix: np.ndarray) -> None:
    """Write the matrix (2, 3) from a pixel's column and row in the input, and 1, to those of the window it shows."""
    angle, scale = np.deg2rad(one[DEGREES]), width / one[ZOOM]
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    right, down = 0.5 * (side - 1) + one[RIGHT], 0.5 * (side - 1) + one[DOWN]
    matrix[0, 0], matrix[0, 1], matrix[0, 2] = cosine, sine, 0.5 * (n - 1) - cosine * right - sine * down
    matrix[1, 0], matrix[1, 1], matrix[1, 2] = -sine, cosine, 0.5 * (n - 1) + sine * right - cosine * down


@kernel
def prepare(
    rows: np.ndarray,
    drawn: np.ndarray,
    noise: np.ndarray,
    sides: tuple[int, int],
    weights: np.ndarray,
    still: Windows,
    moving: Windows,
    curves: np.ndarray,
    stretch: int,
    images: np.ndarray,
) -> None:
    """Write network input into ``images`` (n, side, side, channels).

    ``rows`` (n, pixels): cached objects; ``drawn`` (n, 8) float64: what each is drawn; ``noise`` (n, channels, side,
    side): what is added, or (0, 0, 0, 0); ``sides``: of the VIS and of the NISP frames; ``weights`` (channels, 4): what
    each channel takes of the bands; ``still``, ``moving``: windows of objects that no affine moves, and of the others;
    ``curves`` (channels, 3): softening, mean and scale; ``stretch``: see above.
    """
    side, n, nisp = images.shape[1], moving.first.shape[0], sides[1]
    place, matrix = np.empty((side, side), dtype=np.uint32), np.empty((2, 3), dtype=np.float32)
    right, below = np.empty((side, side), dtype=np.float32), np.empty((side, side), dtype=np.float32)
    flat, grid = np.empty((side, side), dtype=np.float32), np.empty((n, n), dtype=np.float32)
    room, scaled = np.empty(nisp * (nisp + 2 * n), dtype=np.float32), np.empty_like(weights)
    values = flat.reshape(side * side)
    for k in range(images.shape[0]):
        one = drawn[k]
        if one[MOVED]:
            _matrix(one, side, n, moving.window[2], matrix)
            _places(matrix, n, place, right, below)
        for channel in range(images.shape[3]):
            for band in range(4):
                scaled[channel, band] = weights[channel, band] * one[GAIN]
            if one[MOVED]:
                _channel(rows[k], channel, scaled[channel], moving, sides, room, grid)
                _between(grid, place, right, below, flat)
            else:
                _channel(rows[k], channel, scaled[channel], still, sides, room, flat)
            if noise.shape[0]:
                values += noise[k, channel].reshape(side * side)
            _stretched(values, stretch, curves[channel, 0], curves[channel, 1], curves[channel, 2])
            _turned(flat, int(one[ELEMENT]), images[k, :, :, channel])
