"""A pack of random frames in the challenge's layout: fast to make, and with a ring where the catalog has a lens."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from fakes.catalog import catalog_text, fake_catalog
from lensfold.data.cache import central
from lensfold.data.catalog import labels
from lensfold.frames import BAND_SHAPES, BANDS, band_shapes
from lensfold.paths import Pack, cutout_file

SIGMA = {"VIS": 4.5e-13, "Y": 7.5e-12, "J": 9e-12, "H": 7e-12}


def fake_images(generator: np.random.Generator, is_lens: bool, noise_level: float = 1.0) -> dict[str, np.ndarray]:
    """Four frames, float32: noise, a central galaxy, and for a lens a ring of 2 arcsec radius."""
    images = {}
    for band in BANDS:
        side = BAND_SHAPES[band][0]
        scale = 19.8 / side
        y, x = (np.indices((side, side)) - (side - 1) / 2) * scale
        radius = np.hypot(x, y)
        profile = 60 * np.exp(-radius) + (40 * np.exp(-(((radius - 2) / 0.3) ** 2)) if is_lens else 0)
        noise = noise_level * generator.standard_normal((side, side))
        images[band] = ((profile + noise) * SIGMA[band]).astype(np.float32)
    return images


def write_cutout(path: Path, image: np.ndarray) -> None:
    """One frame as a FITS file of the challenge's kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(image.astype(">f4")).writeto(path, overwrite=True)


def write_objects(
    split_folder: Path, ids: list[int], is_lens: list[bool], seed: int, noise_level: float = 1.0, side: int = 200
) -> None:
    """All four bands of each object; frames of 100 VIS pixels are the middles of those of 200."""
    for object_id, lens in zip(ids, is_lens, strict=True):
        images = fake_images(np.random.default_rng([seed, object_id]), bool(lens), noise_level)
        for band, image in images.items():
            write_cutout(cutout_file(split_folder, band, object_id), central(image, band_shapes(side)[band][0]))


def write_pack(
    folder: Path, n_train: int = 36, n_test: int = 8, seed: int = 0, noise_level: float = 1.0, side: int = 200
) -> Pack:
    """A pack named after its folder, with catalog and key; ``noise_level``: of the background, in SIGMA."""
    pack = Pack(folder.name, folder)
    for split, count, target in (("train", n_train, pack.catalog), ("test", n_test, pack.key)):
        catalog = fake_catalog(count, seed=seed + (split == "test"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(catalog_text(catalog))
        lenses = labels(catalog, "official-2020") == 1
        ids, own_seed = catalog.index.tolist(), seed + 10 * (split == "test")
        write_objects(folder / split, ids, lenses.tolist(), own_seed, noise_level, side)
    return pack
