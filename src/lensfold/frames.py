"""The bands of an object, and the frames that they have in pixels."""

from lensfold.errors import InputError

BANDS = ("VIS", "Y", "J", "H")
#: Sides that the frames of a pack may have, in VIS pixels of 0.1 arcsec, and the NISP pixels of 0.3 arcsec inside. An
#: even number of these has its middle where VIS has it (33 would lie half a pixel off), and 34 would need pixels that
#: a file of 100 does not have: so a rim of 1 or 2 VIS pixels has no NISP, and a frame of 100 is exactly the central
#: part of one of 200: VIS rows 50 to 149, NISP rows 17 to 48.
_NISP_SIDES = {200: 66, 100: 32}
SIDES = tuple(_NISP_SIDES)
#: VIS pixels along one of NISP
RATIO = 3


def band_shapes(side: int) -> dict[str, tuple[int, int]]:
    """Return the frame of each band as (rows, columns) in pixels, of packs whose VIS frames have this side."""
    nisp = _NISP_SIDES[side]
    return {"VIS": (side, side)} | dict.fromkeys(BANDS[1:], (nisp, nisp))


def rim(side: int) -> int:
    """Return the VIS pixels of a frame before the first NISP pixel, and behind the last one."""
    return (side - RATIO * _NISP_SIDES[side]) // 2


def pixels_per_object(side: int) -> int:
    """Return the pixels of all bands of an object."""
    return sum(rows * columns for rows, columns in band_shapes(side).values())


#: the frames of the challenge's own packs, which are those of the simulator before any cut
BAND_SHAPES = band_shapes(200)


def checked_side(side: int) -> int:
    """Return a side that frames can have; InputError for any other."""
    if side in SIDES:
        return side
    expected = " or ".join(f'{known} ({known // 10}")' for known in SIDES)
    raise InputError(f"--side {side}: expected {expected}, in VIS pixels.")
