"""The catalog's columns, computed from the simulation, and the CSV file they are written to."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import ndimage

from lensfold.data.cache import central
from lensfold.data.catalog import COLUMNS, NO_IMAGE_INDEX, NO_SOURCE
from lensfold.files import replacing
from lensfold.simulate.optics.lensing import Deflector, critical_cells, einstein_radius
from lensfold.simulate.optics.light import sample_brightness
from lensfold.simulate.optics.light_kernels import FLUX, RADIUS
from lensfold.simulate.optics.render import COARSE_CELLS, COARSE_STEP, PIXEL, Planes, bin_vis, central_light
from lensfold.simulate.population import Population
from lensfold.simulate.sky.field import Source

ARCSEC = math.pi / (180.0 * 3600.0)  # radians
_EIGHT = np.ones((3, 3), dtype=int)
_SOURCE_GRID = 80
_CRIT_STEP = 0.8  # arcsec of boundary per point of a critical curve
_MIN_PIECE = 2  # pixels


class Mass(Protocol):
    """What the catalog takes from a halo: redshift, masses in solar masses, and the central galaxy's components."""

    @property
    def z(self) -> float: ...
    @property
    def mass(self) -> float: ...
    @property
    def stars(self) -> float: ...
    @property
    def central(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Scene:
    """What the truth columns of one object are computed from.

    ``lens`` is what deflects and ``nodes`` are the mapped coarse nodes, ``lens_vis`` the central galaxy on VIS pixels
    (200, 200) before the point spread function, ``source_planes`` and ``source_vis`` the lensed source before and
    after it (None without a source), ``sigma`` the VIS background, ``places`` (n, 3) x, y, mag of the neighbours.
    Positions are arcsec from the frame's centre; ``centre`` is the lens's.
    """

    halo: Mass
    source: Source
    lens: Deflector
    centre: tuple[float, float]
    nodes: np.ndarray
    lens_vis: np.ndarray
    source_planes: Planes | None
    source_vis: np.ndarray | None
    sigma: float
    places: np.ndarray


def critical_curve(nodes: np.ndarray) -> dict[str, float]:
    """Return x_crit, y_crit (radians), crit_area (steradian) and n_crit of the largest tangential critical curve."""
    inside = critical_cells(nodes)
    if not inside.any():
        return {"x_crit": 0.0, "y_crit": 0.0, "crit_area": 0.0, "n_crit": 0}
    box = bounding_box(inside)
    pieces, _ = ndimage.label(inside[box])
    sizes = np.bincount(pieces.ravel())[1:]
    region = np.pad(pieces == 1 + np.argmax(sizes), 1)
    rows, columns = (at + part.start for at, part in zip(np.nonzero(region), box, strict=True))
    edges = np.count_nonzero(region[1:] != region[:-1]) + np.count_nonzero(region[:, 1:] != region[:, :-1])
    centre = 0.5 * (COARSE_CELLS + 1)
    return {
        "x_crit": float((columns.mean() - centre) * COARSE_STEP * ARCSEC),
        "y_crit": float((rows.mean() - centre) * COARSE_STEP * ARCSEC),
        "crit_area": float(sizes.max() * (COARSE_STEP * ARCSEC) ** 2),
        "n_crit": round(math.pi / 4 * edges * COARSE_STEP / _CRIT_STEP),
    }


def effective_magnification(source: Source, planes: Planes, limit: float) -> float:
    """Return the flux above a surface-brightness limit, image plane over source plane; NaN where the source has none.

    ``limit`` is in flux per square arcsec; no point spread function.
    """
    fine = planes.vis
    area = PIXEL**2
    image = float(fine[fine > limit * area].sum(dtype=np.float64))
    step = 10.0 * source.parts[0, RADIUS] / _SOURCE_GRID
    unlensed = sample_brightness(source.parts, _SOURCE_GRID, step)
    total = float(unlensed[unlensed > limit].sum()) * step**2
    return float(image / total) if total > 0 and image > 0 else math.nan


def bounding_box(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the slices of rows and columns that hold all true pixels of a mask with at least one."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def count_pieces(mask: np.ndarray) -> int:
    """Return the number of 8-connected pieces of at least two pixels."""
    if not mask.any():
        return 0
    pieces, _ = ndimage.label(mask[bounding_box(mask)], structure=_EIGHT)
    return int(np.count_nonzero(np.bincount(pieces.ravel())[1:] >= _MIN_PIECE))


def _colour(rows: np.ndarray) -> float:
    """Return VIS - H of components in mag."""
    flux = rows[:, FLUX : FLUX + 4].sum(axis=0)
    return float(2.5 * np.log10(flux[3] / flux[0]))


def source_columns(
    source: Source, planes: Planes, image: np.ndarray, sigma: float, p: Population
) -> dict[str, float | int]:
    """Return the columns that the lensed source alone decides: its size, flux, images and magnification.

    ``planes`` and ``image``: its light before and after the point spread function; ``sigma``: the VIS background's.
    """
    threshold = p.k_pix * sigma
    return {
        "n_pix_source": int(np.count_nonzero(image > threshold)),
        "source_flux": float(image.sum(dtype=np.float64)),
        "n_source_im": count_pieces(bin_vis(planes.vis) > threshold),
        "mag_eff": effective_magnification(source, planes, p.k_mag * sigma / (2 * PIXEL) ** 2),
    }


def _columns_of_source(scene: Scene, p: Population) -> dict[str, float | int]:
    """Return the columns that need the lensed source; zero, NaN or -1e130 where there is none."""
    planes, image = scene.source_planes, scene.source_vis
    if planes is None or image is None:
        return {
            "n_pix_source": 0,
            "source_flux": 0.0,
            "n_source_im": 0,
            "mag_eff": math.nan,
            "sb_contrast": NO_SOURCE,
        }
    columns = source_columns(scene.source, planes, image, scene.sigma, p)
    bright: np.ndarray = np.asarray(image > p.k_pix * scene.sigma)
    contrast = NO_SOURCE
    if not math.isnan(columns["mag_eff"]) and bright.any():
        contrast = float(np.mean(image[bright] / (scene.lens_vis[bright] + scene.sigma)))
    return {**columns, "sb_contrast": contrast}


def _in_frame(scene: Scene, side: int) -> Scene:
    """Return a scene with only the light of the middle ``side`` VIS pixels."""
    planes, image = scene.source_planes, scene.source_vis
    return replace(
        scene,
        lens_vis=central(scene.lens_vis, side),
        source_planes=None if planes is None else central_light(planes, side),
        source_vis=None if image is None else central(image, side),
    )


def truth_row(scene: Scene, p: Population, object_id: int) -> dict[str, float | int]:
    """Return the 26 named columns of the catalog for one object, whose light is measured in the frame of ``p.side``."""
    scene = _in_frame(scene, p.side)
    threshold = p.k_pix * scene.sigma
    x, y, mag = scene.places.T
    near = np.hypot(x - scene.centre[0], y - scene.centre[1])[mag < p.neighbour_mag]
    lens_bright = scene.lens_vis > threshold
    lens_flux = float(scene.lens_vis.sum(dtype=np.float64))
    values = {
        "ID": object_id,
        **critical_curve(scene.nodes),
        **_columns_of_source(scene, p),
        "source_ID": scene.source.number,
        "z_source": scene.source.z,
        "z_lens": scene.halo.z,
        "mag_source": scene.source.mag,
        "ein_area": math.pi * (einstein_radius(scene.lens) * ARCSEC) ** 2,
        "r_source": scene.source.radius,
        "n_pix_lens": int(np.count_nonzero(lens_bright)),
        "lens_flux": lens_flux,
        "color_diff": _colour(scene.halo.central) - _colour(scene.source.parts),
        **{f"n_gal_{radius}": int(np.count_nonzero(near < radius)) for radius in (3, 5, 10)},
        "halo_mass": scene.halo.mass,
        "star_mass": scene.halo.stars,
        "mag_lens": -2.5 * math.log10(lens_flux),
        "n_sources": int(scene.source_planes is not None),
    }
    return {name: values[name] for name in COLUMNS[1:]}


def _text(value: float | int) -> str:
    """Return the shortest text that reads back as the same number; NaN is empty."""
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else repr(float(value))


def write_catalog(path: Path, rows: Iterable[Mapping[str, float | int]], comments: Iterable[str]) -> None:
    """Write rows as CSV under comment lines; column one counts the rows and never reaches 10000, which
    marks objects without images."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"# {line}\n" for line in comments)
        stream.write(",".join(COLUMNS) + "\n")
        for index, row in enumerate(rows):
            values = [str(index % NO_IMAGE_INDEX), *(_text(row[name]) for name in COLUMNS[1:])]
            stream.write(",".join(values) + "\n")
