"""Pixels in flux units, made into grey and colour by one fixed stretch, so that all pictures compare.

Grey and colour are in units of the split's background sigma. Pixels without data are magenta.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from astropy.visualization import ManualInterval, make_lupton_rgb

from lensfold.frames import BANDS, SIDES
from lensfold.inputs.pixels import on_vis_grid

#: grey levels: asinh(x / SOFTENING) from BLACK to WHITE, all in background sigmas; a NISP pixel has nine times the sky
SOFTENING, BLACK = 2.0, -2.0
WHITE = {"VIS": 250.0, "Y": 800.0, "J": 800.0, "H": 800.0}
#: factors on H, mean(Y, J) and VIS in sigmas: an early-type galaxy comes out warm, a young source blue; black, in
#: sigmas; the share of each channel that is the mean of all three
COLOUR_WEIGHTS, COLOUR_BLACK, COLOUR_MEAN = (0.4, 0.6, 1.0), -0.5, 0.25
#: Gaussian that blurs VIS to the width of NISP, in pixels; sigmas added to VIS so that its noise is not sharpened
VIS_BLUR, PEDESTAL = 2.0, 5.0
NO_DATA = (255, 0, 255)
#: an object's bands in flux units, and the background sigma of each
Images = Mapping[str, np.ndarray]
Sigmas = Mapping[str, float]


def zoom(side: int) -> int:
    """Return how many times a frame of this side is enlarged, so that pictures of all packs are of one size."""
    return SIDES[0] // side


def grey(image: np.ndarray, sigma: float, band: str, white: float | None = None) -> np.ndarray:
    """Return one frame, (height, width) in flux, in grey: uint8 (height, width, 3), NO_DATA where not finite.

    ``white``: the level, in sigmas, that is white; None for the band's own.
    """
    bad = ~np.isfinite(image)
    x = np.where(bad, 0, image) / (sigma or 1)  # sigma is zero for frames without noise
    low, high = np.arcsinh(BLACK / SOFTENING), np.arcsinh((white or WHITE[band]) / SOFTENING)
    level = np.clip((np.arcsinh(x / SOFTENING) - low) / (high - low), 0, 1)
    shown = np.repeat(np.rint(255 * level).astype(np.uint8)[..., None], 3, axis=-1)
    shown[bad] = NO_DATA
    return shown


def colour(images: Images, sigma: Sigmas, gain: float = 1.0) -> np.ndarray:
    """Return H, mean(Y, J), VIS as red, green, blue: uint8 (side, side, 3), NO_DATA where any band has no data.

    Of packs that lack NISP bands, those that ``sigma`` has stand for the others, and VIS for all, which gives grey.

    Blue is VIS blurred to the width of NISP, so that cores are not blue; VIS over that then sharpens all three.
    ``gain`` multiplies the result: more than 1 shows fainter light.
    """
    if not any(band in sigma for band in BANDS[1:]):
        return grey(images["VIS"], sigma["VIS"], "VIS", WHITE["VIS"] / gain)
    nisp = {band: on_vis_grid(images[band] / (sigma[band] or 1)) for band in BANDS[1:] if band in sigma}
    green = [nisp[band] for band in ("Y", "J") if band in nisp] or [nisp["H"]]
    red = nisp.get("H", green[-1])
    planes: np.ndarray = np.stack([red, sum(green[1:], green[0]) / len(green), images["VIS"] / (sigma["VIS"] or 1)])
    bad = ~np.isfinite(planes).all(axis=0)
    planes = np.where(bad, 0, planes).astype(np.float32)
    blurred = cv2.GaussianBlur(planes[2], (0, 0), VIS_BLUR)
    sharper = np.maximum(planes[2] + PEDESTAL, 0) / np.maximum(blurred + PEDESTAL, 1)
    mixed = np.stack([planes[0], planes[1], blurred]) * sharper * np.reshape(COLOUR_WEIGHTS, (3, 1, 1)) * gain
    mixed += COLOUR_MEAN * (mixed.mean(axis=0) - mixed)
    with np.errstate(divide="ignore", invalid="ignore"):  # astropy divides by an intensity of zero, then mends it
        shown = make_lupton_rgb(*mixed, interval=ManualInterval(COLOUR_BLACK, None))
    shown[bad] = NO_DATA
    return shown
