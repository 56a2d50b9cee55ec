"""What is on a real frame beside the sky: stars with spikes, cosmic rays, hot pixels, ghosts, gaps, a sloping sky.

Drawn from a generator of its own and in units of the background: it is the same with and without a lensed source,
so that it says nothing of the label.
"""

from dataclasses import dataclass, field

import numpy as np

from lensfold.compiled import kernel
from lensfold.simulate.optics.light import COLUMNS, components
from lensfold.simulate.optics.light_kernels import POINT

Range = tuple[float, float]
_SIDES = (200, 66, 66, 66)
_PIXELS = (0.1, 0.3, 0.3, 0.3)  # arcsec
_HALF = 10.0  # half side of the frame, arcsec
_VIS, _Y, _H = 0, 1, 3
_TILT = np.array([0.0, 0.46, 0.72, 1.0])  # log wavelength of VIS, Y, J, H from VIS to H
_WAVELENGTH = np.array([1.0, 1.52, 1.92, 2.48])  # over that of VIS: the scale of diffraction


@dataclass(frozen=True)
class Artefacts:
    """How much of everything there is on a frame of 20 arcsec; rates are mean numbers, all zero by default.

    All of it is a guess but where a source is named. Lengths in arcsec, levels in background sigma.
    """

    # Stars, up to ``star_reach`` from the centre, so that spikes of stars outside the frame cross it.
    stars: float = 0.0
    star_mag: Range = (13.0, 19.5)
    star_slope: float = 0.18  # of log number counts per mag, high galactic latitude
    star_colour: Range = (0.0, 1.4)  # VIS - H in AB mag
    star_reach: float = 15.0
    spike_lines: tuple[int, ...] = (3, 3, 3, 2)  # Euclid's three struts make six spikes; one in four has four
    spike_share: Range = (0.004, 0.012)  # of the star's light in VIS, in each line (a pair of spikes)
    spike_length: Range = (0.8, 2.0)  # where a spike has fallen to half, in VIS
    spike_width: float = 0.09  # sigma across, in VIS
    halo_share: Range = (0.01, 0.04)  # of the star's light, scattered far: r^-3
    # Ghosts of bright stars outside the frame: faint discs, most of them with a hole.
    ghosts: float = 0.0
    ghost_radius: Range = (2.0, 8.0)
    ghost_level: Range = (0.3, 1.5)
    # Cosmic rays that survived in VIS.
    tracks: float = 0.0
    track_long_share: float = 0.3
    track_length: tuple[Range, Range] = ((0.1, 1.5), (2.0, 25.0))  # short and long
    track_bend: float = 0.02  # scatter of the turn in radians per 0.1 arcsec; long ones are straight
    track_width: Range = (0.4, 0.7)  # sigma in pixels: resampling widens them
    track_level: Range = (4.0, 150.0)
    # Hot and dead pixels of NISP, and what earlier exposures left: blobs, and streaks of spectra.
    hot_pixels: float = 0.0
    hot_level: Range = (5.0, 200.0)
    dead_share: float = 0.2
    persistence: float = 0.0
    persistence_level: Range = (1.0, 6.0)
    persistence_streak: Range = (2.0, 12.0)
    # A strip of zeros along an edge. Wider ones could not be mended (lensfold.data.bad_pixels).
    blank_share: float = 0.0  # of frames
    blank_pixels: tuple[int, int] = (5, 3)  # at most, in VIS and NISP
    # What is left of the sky: an offset and a slope across the frame, in every band of its own.
    sky_offset: Range = (0.0, 0.0)
    sky_gradient: Range = (0.0, 0.0)  # from edge to edge


#: The wide survey as a lens searcher meets it. Stars: 0.7 per square arcmin of mag 13 to 19.5 at high galactic
#: latitude (Gaia counts), over a square of 30 arcsec. The rest are guesses, on the high side: a network must meet
#: what it is to ignore.
WIDE_SURVEY = Artefacts(
    stars=0.18,
    ghosts=0.05,
    tracks=0.20,
    hot_pixels=0.30,
    persistence=0.06,
    blank_share=0.02,
    sky_offset=(-0.1, 0.1),
    sky_gradient=(0.0, 0.4),
)


@dataclass(frozen=True)
class Marks:
    """The artefacts of one object: ``stars`` are components (n, COLUMNS) for the point spread functions, ``light``
    is added to the images of VIS, Y, J, H (None: nothing), ``blank`` is set to zero when the noise is in."""

    stars: np.ndarray = field(default_factory=lambda: np.zeros((0, COLUMNS)))
    light: tuple[np.ndarray | None, ...] = (None,) * 4
    blank: tuple[tuple[slice, slice] | None, ...] = (None,) * 4


@kernel
def _splat(image: np.ndarray, x: float, y: float, width: float, flux: float) -> None:
    """Add a Gaussian of peak ``flux`` and sigma ``width`` in pixels at column x, row y."""
    reach = int(4.0 * width) + 1
    for i in range(max(0, int(y) - reach), min(image.shape[0], int(y) + reach + 2)):
        for j in range(max(0, int(x) - reach), min(image.shape[1], int(x) + reach + 2)):
            image[i, j] += flux * np.exp(-0.5 * ((i - y) ** 2 + (j - x) ** 2) / (width * width))


@kernel
def _draw_track(
    image: np.ndarray, x: float, y: float, angle: float, bend: float, steps: int, width: float, flux: float
) -> None:
    """Add a path of ``steps`` half pixels from column x, row y, which turns by ``bend`` at each; uneven along it."""
    for k in range(steps):
        uneven = 1.0 + 0.35 * np.sin(1.3 * k + 5.0 * angle) + 0.25 * np.sin(0.37 * k + 11.0 * angle)
        _splat(image, x, y, width, 0.5 * flux * uneven)
        x += 0.5 * np.cos(angle)
        y += 0.5 * np.sin(angle)
        angle += bend


@kernel
def _draw_glare(
    image: np.ndarray,
    pixel: float,
    x: float,
    y: float,
    lines: np.ndarray,
    length: float,
    width: float,
    spikes: float,
    halo: float,
    core: float,
) -> None:
    """Add spikes (``spikes`` is the peak of each line) and halo (``halo`` its peak, ``core`` its radius) of a star."""
    half = 0.5 * (image.shape[0] - 1)
    for i in range(image.shape[0]):
        dy = (i - half) * pixel - y
        for j in range(image.shape[1]):
            dx = (j - half) * pixel - x
            far = 1.0 + (dx * dx + dy * dy) / (core * core)
            value = halo / (far * np.sqrt(far))
            for k in range(lines.shape[0]):
                across = (lines[k, 0] * dy - lines[k, 1] * dx) / width
                if across * across < 16.0:
                    along = (lines[k, 0] * dx + lines[k, 1] * dy) / length
                    value += spikes * np.exp(-0.5 * across * across) / (1.0 + along * along)
            image[i, j] += value


@kernel
def _draw_disc(image: np.ndarray, x: float, y: float, radius: float, hole: float, edge: float, flux: float) -> None:
    """Add a disc about column x, row y, with a hole of a share of its radius; everything in pixels."""
    for i in range(max(0, int(y - radius - 4 * edge)), min(image.shape[0], int(y + radius + 4 * edge) + 2)):
        for j in range(max(0, int(x - radius - 4 * edge)), min(image.shape[1], int(x + radius + 4 * edge) + 2)):
            r = np.sqrt((i - y) ** 2 + (j - x) ** 2)
            inside = 1.0 / (1.0 + np.exp((r - radius) / edge))
            image[i, j] += flux * inside / (1.0 + np.exp((hole * radius - r) / edge))


def _between(rng: np.random.Generator, limits: Range) -> float:
    """Return a number, uniform in logarithm where both limits are positive, else uniform."""
    low, high = limits
    return float(np.exp(rng.uniform(np.log(low), np.log(high)))) if low > 0 else float(rng.uniform(low, high))


class _Frames:
    """Images of VIS, Y, J, H to add to, each made when it is first asked for."""

    def __init__(self, sigma: np.ndarray) -> None:
        self.sigma = sigma
        self.images: list[np.ndarray | None] = [None] * len(_SIDES)

    def image(self, band: int) -> np.ndarray:
        image = self.images[band]
        if image is None:
            image = self.images[band] = np.zeros((_SIDES[band],) * 2, np.float32)
        return image


def draw_artefacts(rng: np.random.Generator, a: Artefacts, sigma: np.ndarray) -> Marks:
    """Return the artefacts of one object, whose background is ``sigma`` (4,) in VIS, Y, J, H."""
    if a == Artefacts():
        return Marks()
    frames = _Frames(sigma)
    stars = [_star(rng, a, frames) for _ in range(rng.poisson(a.stars))]
    for _ in range(rng.poisson(a.ghosts)):
        _ghost(rng, a, frames)
    for _ in range(rng.poisson(a.tracks)):
        _track(rng, a, frames)
    for _ in range(rng.poisson(a.hot_pixels)):
        _hot_pixel(rng, a, frames)
    for _ in range(rng.poisson(a.persistence)):
        _persistence(rng, a, frames)
    _sky(rng, a, frames)
    blank = _blank(rng, a)
    return Marks(np.concatenate([np.zeros((0, COLUMNS)), *stars]), tuple(frames.images), blank)


def marked(image: np.ndarray, light: np.ndarray | None, zero_point_error: float) -> np.ndarray:
    """Return a noise-free image with the light of its artefacts, all of it fainter by ``zero_point_error`` mag."""
    if light is not None:
        image = image + light
    return image * np.float32(10.0 ** (-0.4 * zero_point_error)) if zero_point_error else image


def _star(rng: np.random.Generator, a: Artefacts, frames: _Frames) -> np.ndarray:
    """Draw spikes and halo of a star; return its core as a component (1, COLUMNS)."""
    low, high = a.star_mag
    faintest = 10.0 ** (a.star_slope * (low - high))
    mag = high + np.log10(faintest + rng.random() * (1.0 - faintest)) / a.star_slope
    flux = 10.0 ** (-0.4 * mag) * 10.0 ** (0.4 * rng.uniform(*a.star_colour) * _TILT)
    x, y = rng.uniform(-a.star_reach, a.star_reach, 2)
    n = a.spike_lines[int(rng.integers(len(a.spike_lines)))]
    angles = rng.uniform(0, np.pi) + np.arange(n) * np.pi / n
    lines = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    share, length, halo = (_between(rng, limits) for limits in (a.spike_share, a.spike_length, a.halo_share))
    core = rng.uniform(0.6, 1.2)
    for band, (pixel, scale) in enumerate(zip(_PIXELS, _WAVELENGTH, strict=True)):
        # of a pixel's width too: NISP's are three times as wide
        width = float(np.hypot(a.spike_width * scale, 0.29 * pixel))
        spikes = flux[band] * share * pixel**2 / (np.pi * length * scale * np.sqrt(2 * np.pi) * width)
        peak = flux[band] * halo * pixel**2 / (2 * np.pi * core**2)
        _draw_glare(frames.image(band), pixel, x, y, lines, length * scale, width, spikes, peak, core)
    light = (1.0 - n * share - halo) * flux
    return components(x=x, y=y, radius=0.1, flux=light, kind=POINT)


def _place(rng: np.random.Generator, band: int, reach: float = _HALF) -> tuple[float, float]:
    """Return column and row in pixels of a place up to ``reach`` arcsec from the centre along each axis."""
    x, y = rng.uniform(-reach, reach, 2) / _PIXELS[band] + 0.5 * (_SIDES[band] - 1)
    return float(x), float(y)


def _ghost(rng: np.random.Generator, a: Artefacts, frames: _Frames) -> None:
    band = int(rng.integers(_VIS, _H + 1))
    radius = _between(rng, a.ghost_radius) / _PIXELS[band]
    hole = rng.uniform(0.2, 0.6) if rng.random() < 0.7 else 0.0
    level = _between(rng, a.ghost_level) * frames.sigma[band]
    x, y = _place(rng, band, 1.4 * _HALF)
    edge = 0.15 / _PIXELS[band]
    _draw_disc(frames.image(band), x, y, radius, hole, edge, level)


def _track(rng: np.random.Generator, a: Artefacts, frames: _Frames) -> None:
    is_long = rng.random() < a.track_long_share
    steps = int(2.0 * _between(rng, a.track_length[int(is_long)]) / _PIXELS[_VIS])
    bend = 0.0 if is_long else 0.5 * rng.normal(0.0, a.track_bend)
    x, y = _place(rng, _VIS)
    angle, width, level = rng.uniform(0, 2 * np.pi), rng.uniform(*a.track_width), _between(rng, a.track_level)
    _draw_track(frames.image(_VIS), x, y, angle, bend, max(steps, 1), width, level * frames.sigma[_VIS])


def _hot_pixel(rng: np.random.Generator, a: Artefacts, frames: _Frames) -> None:
    band = int(rng.integers(_Y, _H + 1))
    sign = -0.3 if rng.random() < a.dead_share else 1.0
    level = sign * _between(rng, a.hot_level) * frames.sigma[band]
    _splat(frames.image(band), *_place(rng, band), rng.uniform(0.35, 0.55), level)


def _persistence(rng: np.random.Generator, a: Artefacts, frames: _Frames) -> None:
    band = int(rng.integers(_Y, _H + 1))
    level = _between(rng, a.persistence_level) * frames.sigma[band]
    x, y = _place(rng, band)
    angle = 0.5 * np.pi * rng.integers(4)  # spectra lie along rows or columns
    steps = int(2.0 * _between(rng, a.persistence_streak) / _PIXELS[band])
    if rng.random() < 0.5:
        _draw_track(frames.image(band), x, y, angle, 0.0, steps, rng.uniform(0.6, 1.0), 0.5 * level)
    else:
        _splat(frames.image(band), x, y, rng.uniform(0.7, 1.8), level)


def _sky(rng: np.random.Generator, a: Artefacts, frames: _Frames) -> None:
    if a.sky_offset == a.sky_gradient == (0.0, 0.0):
        return
    for band, side in enumerate(_SIDES):
        offset, slope, angle = rng.uniform(*a.sky_offset), rng.uniform(*a.sky_gradient), rng.uniform(0, 2 * np.pi)
        along = np.linspace(-0.5, 0.5, side, dtype=np.float32) * np.float32(slope * frames.sigma[band])
        frames.image(band)[:] += along * np.float32(np.cos(angle)) + np.float32(offset * frames.sigma[band])
        frames.image(band)[:] += (along * np.float32(np.sin(angle)))[:, None]


def _blank(rng: np.random.Generator, a: Artefacts) -> tuple[tuple[slice, slice] | None, ...]:
    """Return the strip of zeros of each band: along the same edge in all bands, in VIS, or in NISP."""
    if not rng.random() < a.blank_share:
        return (None,) * len(_SIDES)
    edge, which = rng.integers(4), rng.integers(3)
    strips: list[tuple[slice, slice] | None] = []
    for band, side in enumerate(_SIDES):
        width = int(rng.integers(1, a.blank_pixels[min(band, 1)] + 1))
        strip = slice(0, width) if edge % 2 else slice(side - width, side)
        full = slice(None)
        covered = which == 0 or (which == 1) == (band == _VIS)
        strips.append(((strip, full) if edge < 2 else (full, strip)) if covered else None)
    return tuple(strips)
