"""What a cutout measures: magnitudes, noise and its correlation, width of the narrowest peak, size, crowding, colours.

Everything comes from the pixels of a cache, nothing from a catalog, so that real and simulated packs are measured
alike. Frames are in flux units of AB zero point 0, VIS at 0.1 arcsec a pixel, NISP at 0.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lensfold.console import Progress
from lensfold.data.cache import Cache, central_rows, split_bands
from lensfold.frames import BANDS

#: arcsec a pixel
SCALE = {"VIS": 0.1, "Y": 0.3, "J": 0.3, "H": 0.3}
#: radius in arcsec of the aperture of the magnitudes, and of the light whose half a size is of
APERTURE, LIGHT = 1.5, 3.0
#: a peak whose width is measured is the brightest pixel within so many arcsec, and so many sigma above the background
ALONE, BRIGHT = 1.0, 50.0
#: pixels of FWHM, in rows or columns, below which a peak is a hot pixel or a cosmic ray and no image of optics
SHARPEST = 1.0
#: sigmas above the background, of the smoothed frame, at which sources are masked, and at which peaks are counted
MASKED, COUNTED = 3.0, 5.0
#: Gaussian in arcsec that a frame is smoothed by, to find sources
SMOOTHED = 0.2
#: 1.4826 x the median absolute deviation is the sigma of a normal distribution
MAD = 1.4826
FWHM = 2 * np.sqrt(2 * np.log(2))

Frame = NDArray[np.float32]


@dataclass(frozen=True)
class Quantity:
    """Something that is measured of each object: how it is called, and how its numbers are written."""

    label: str
    form: str = ".2f"


def _of_bands(name: str, label: str, form: str = ".2f") -> dict[str, Quantity]:
    return {f"{name}_{band}": Quantity(label.format(band), form) for band in BANDS}


#: what is measured, in the order of tables
QUANTITIES: Mapping[str, Quantity] = {
    **_of_bands("mag", f'{{}} magnitude in {APERTURE:g}"'),
    **_of_bands("sigma", "{} background sigma", ".2e"),
    **_of_bands("correlation", "{} noise correlation"),
    **_of_bands("width", "{} narrowest peak (arcsec)"),
    "half_light": Quantity("VIS half-light (arcsec)"),
    "peaks": Quantity("VIS peaks", ".0f"),
    "VIS_Y": Quantity("VIS − Y"),
    "Y_J": Quantity("Y − J"),
    "J_H": Quantity("J − H"),
}


@dataclass(frozen=True)
class Background:
    """The sky of a frame: its level and sigma in flux units, where there is no source (bool), and how it correlates."""

    level: float
    sigma: float
    empty: NDArray[np.bool_]
    smoothed: Frame
    smoothed_sigma: float

    @property
    def peaks(self) -> int:
        """The number of maxima of the smoothed frame above COUNTED of its sigma, each highest within 3 pixels."""
        highest = self.smoothed == cv2.dilate(self.smoothed, np.ones((7, 7), np.uint8))
        return int(np.sum(highest & (self.smoothed > COUNTED * self.smoothed_sigma)))


def sample_ids(ids: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of the IDs, spread evenly over them in their order."""
    return ids[np.unique(np.linspace(0, len(ids) - 1, most).astype(int))] if len(ids) else ids


def measured(
    cache: Cache, ids: NDArray[np.int64], progress: Progress | None = None, side: int | None = None
) -> pd.DataFrame:
    """Return what each object measures, float64: columns QUANTITIES, index ID; NaN where something has no value.

    ``side``: VIS pixels of the middle of the frames that is measured; None for all of them.
    """
    rows = []
    for number, object_id in enumerate(ids.tolist(), start=1):
        rows.append(measure(split_bands(central_rows(cache.read([object_id])[0], side or cache.side))))
        if progress:
            progress(number, len(ids))
    index = pd.Index(ids, name="ID", dtype=np.int64)
    return pd.DataFrame(rows, index=index, columns=list(QUANTITIES), dtype=np.float64)


def measure(images: Mapping[str, Frame]) -> dict[str, float]:
    """Return the QUANTITIES of one object from its bands, in magnitudes, flux units, arcsec and counts.

    Without those of a band that is NaN, as where the pack lacks it.
    """
    found: dict[str, float] = {}
    bands = [band for band in BANDS if not np.isnan(images[band]).all()]
    for band in bands:
        image, scale = images[band], SCALE[band]
        sky = background(image, scale)
        light = image - np.float32(sky.level)
        found[f"mag_{band}"] = _magnitude(float(np.vdot(aperture(image.shape, APERTURE / scale), light)))
        found[f"sigma_{band}"] = sky.sigma
        found[f"correlation_{band}"] = correlation(image, sky.empty)
        found[f"width_{band}"] = narrowest(light, sky.sigma, scale)
        if band == "VIS":
            found["half_light"], found["peaks"] = half_light(light, sky.sigma, scale), sky.peaks
    for one, two in zip(BANDS, BANDS[1:], strict=False):
        if one in bands and two in bands:
            found[f"{one}_{two}"] = found[f"mag_{one}"] - found[f"mag_{two}"]
    return found


def background(image: Frame, scale: float) -> Background:
    """Return the sky of a frame of ``scale`` arcsec a pixel, by medians over what no smoothed source reaches."""
    smoothed = cv2.GaussianBlur(np.ascontiguousarray(image, dtype=np.float32), (0, 0), SMOOTHED / scale)
    empty = np.ones(image.shape, dtype=bool)
    grown = np.ones(2 * (2 * round(SMOOTHED / scale) + 1,), np.uint8)
    middle, spread = 0.0, 0.0
    for _ in range(3):  # each time with less of the sources in it
        middle, spread = _middle_and_spread(smoothed[empty])
        source = (smoothed > middle + MASKED * spread).astype(np.uint8)
        empty = cv2.dilate(source, grown) == 0
        if not empty.any():
            return Background(middle, float("nan"), empty, smoothed - np.float32(middle), spread)
    level, sigma = _middle_and_spread(image[empty])
    return Background(level, sigma, empty, smoothed - np.float32(middle), spread)


def _middle_and_spread(values: NDArray) -> tuple[float, float]:
    middle = np.median(values)
    return float(middle), float(MAD * np.median(np.abs(values - middle)))


def correlation(image: Frame, empty: NDArray[np.bool_]) -> float:
    """Return the correlation of neighbouring pixels without a source, the mean of both directions; NaN without any.

    From the robust spreads of sums and differences, which faint sources hardly move: (s² - d²) / (s² + d²)
    (Gnanadesikan & Kettenring 1972).
    """
    found = []
    for one, two, both in (
        (image[:, :-1], image[:, 1:], empty[:, :-1] & empty[:, 1:]),
        (image[:-1], image[1:], empty[:-1] & empty[1:]),
    ):
        first, second = one[both], two[both]
        if len(first) > 1:
            squares = [_middle_and_spread(values)[1] ** 2 for values in (first + second, first - second)]
            found.append((squares[0] - squares[1]) / (sum(squares) or np.nan))
    return float(np.mean(found)) if found else float("nan")


@lru_cache(maxsize=16)
def aperture(shape: tuple[int, int], radius: float) -> Frame:
    """Return the share of each pixel within ``radius`` pixels of the frame's centre, float32, by 5 x 5 points."""
    points = 5
    y, x = ((np.arange(side * points) + 0.5) / points - side / 2 for side in shape)
    inside = np.hypot(*np.meshgrid(y, x, indexing="ij")) <= radius
    parts = inside.reshape(shape[0], points, shape[1], points)
    return parts.mean(axis=(1, 3)).astype(np.float32)


def _magnitude(flux: float) -> float:
    """AB magnitude; NaN where there is no light."""
    return -2.5 * float(np.log10(flux)) if flux > 0 else float("nan")


def half_light(light: Frame, sigma: float, scale: float) -> float:
    """Return the radius in arcsec around the centre that has half of the light within LIGHT; NaN below five sigma."""
    order, radii = _by_radius(light.shape, LIGHT / scale)
    grown = np.cumsum(light.ravel()[order], dtype=np.float64)
    if not grown[-1] > 5 * sigma * np.sqrt(len(order)):
        return float("nan")
    place = int(np.argmax(grown >= grown[-1] / 2))
    return float(radii[place] * scale)


@lru_cache(maxsize=16)
def _by_radius(shape: tuple[int, int], radius: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pixels within a radius by their distance from the centre, and the radius of the disc that each completes."""
    y, x = (np.arange(side) + 0.5 - side / 2 for side in shape)
    distance = np.hypot(*np.meshgrid(y, x, indexing="ij")).ravel()
    order = np.argsort(distance, kind="stable")
    order = order[: int(np.sum(distance <= radius))]
    return order, np.sqrt(np.arange(1, len(order) + 1) / np.pi)


def narrowest(light: Frame, sigma: float, scale: float) -> float:
    """Return the FWHM in arcsec of the narrowest bright peak that stands alone; NaN where there is none.

    Stars and the cores of compact galaxies set it, so that its lower quantiles over a pack follow the PSF, pixel
    included. A width is that of the Gaussian through a peak and its neighbours, the geometric mean of rows and
    columns; it does not matter where in its pixel a peak lies.
    """
    reach = round(ALONE / scale)
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    is_peak = (light == cv2.dilate(np.ascontiguousarray(light), window)) & (light > BRIGHT * sigma)
    places = np.argwhere(is_peak[reach:-reach, reach:-reach]) + reach
    widths = [_width(light, row, column) for row, column in places.tolist()]
    widths = [width for width in widths if np.isfinite(width)]
    return float(min(widths) * scale) if widths else float("nan")


def _width(light: Frame, row: int, column: int) -> float:
    """The FWHM of a peak in pixels; NaN where it is no peak of a smooth profile."""
    beside = [[light[row - 1, column], light[row + 1, column]], [light[row, column - 1], light[row, column + 1]]]
    if np.min(beside) <= 0:
        return float("nan")
    # of a Gaussian the logarithms of three pixels in a row have the curvature 1 / sigma², wherever in them it peaks
    curvature = 2 * np.log(float(light[row, column])) - np.log(np.array(beside, dtype=np.float64)).sum(axis=1)
    if not (curvature.min() > 0 and curvature.max() < (FWHM / SHARPEST) ** 2):
        return float("nan")
    return float(FWHM / np.prod(curvature) ** 0.25)
