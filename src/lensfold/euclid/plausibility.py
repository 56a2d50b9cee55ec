"""Is the noise what Euclid's depth gives? A wrong zero point, swapped bands or electrons for flux show here.

The scatter of a frame's border, in the pack's flux units, over that of the wide survey's mosaics. It asks, and changes
and refuses nothing: deep fields and crowded frames have reasons of their own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lensfold.data.depth import MER_SIGMA
from lensfold.frames import BANDS

#: a pack's median, and one object's noise, that many times the usual or less than one over it is named. Skies differ
#: by 1.3, a bright galaxy over the whole frame by 2; a deep field's is a sixth.
PACK, OBJECT = 2.5, 3.0
#: bands of one instrument that are off alike, within this factor, are named as one
_ALIKE = 1.5
_USUAL = {band: float(np.sqrt(low * high)) for band, (low, high) in zip(BANDS, MER_SIGMA, strict=True)}
_SHOWN = 5  # objects named in a warning
_WRONG = "Is MAGZERO right, is each band what it is called, are the pixels flux and not electrons?"
_DEEP = "Is it a deep field, or is MAGZERO wrong?"


def noise_ratio(band: str, sigma: float) -> float:
    """Return a background sigma (flux units of a pack) over the usual one of the band's pixels."""
    return sigma / _USUAL[band]


def odd_noise(ratios: Mapping[str, float], limit: float) -> str:
    """Return the bands whose noise is ``limit`` times the usual or more, or less than one over it, with the ratio.

    Such as "NISP 105" or "VIS 0.16, Y 90"; empty where none is.
    """
    odd = {band: ratio for band, ratio in ratios.items() if not 1 / limit < ratio < limit}
    nisp = [odd[band] for band in BANDS[1:] if band in odd]
    if len(nisp) == len(BANDS) - 1 and 0 < max(nisp) < _ALIKE * min(nisp):
        odd = {band: ratio for band, ratio in odd.items() if band == "VIS"} | {"NISP": float(np.prod(nisp) ** (1 / 3))}
    return ", ".join(f"{band} {ratio:.3g}" for band, ratio in odd.items())


def noise_warnings(where: str, objects: Sequence[tuple[str, Mapping[str, float]]]) -> list[str]:
    """Return what to ask about the noise of a pack: a line about its medians, and one about objects that stand out.

    ``where``: the pack, for the message; ``objects``: name, and ratios by band.
    """
    medians = {str(band): float(ratio) for band, ratio in pd.DataFrame([one for _, one in objects]).median().items()}
    found = []
    if odd := odd_noise(medians, PACK):
        deep = all(ratio < 1 / PACK for ratio in medians.values())
        found.append(f"{where}: the noise is {odd} times that of Euclid's wide survey. {_DEEP if deep else _WRONG}")
    usual = [band for band, ratio in medians.items() if not odd_noise({band: ratio}, PACK)]
    odds = [(name, odd_noise({band: ratios[band] for band in usual}, OBJECT)) for name, ratios in objects]
    rest = [f"{name}: {odd} times" for name, odd in odds if odd]
    if rest:
        shown = "; ".join(rest[:_SHOWN])
        more = f"; and {len(rest) - _SHOWN} more, flagged in objects.csv" if len(rest) > _SHOWN else ""
        some = f"{len(rest)} of {len(objects)} objects have noise unlike the wide survey's"
        found.append(f"{where}: {some} ({shown}{more}). {_WRONG}")
    return found
