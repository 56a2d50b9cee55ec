"""The kinds of files that the kit reads, each with a small specimen, its reader, and a second opinion.

The second opinion is another library's, or Python's own, of the same bytes: what the kit reads out of a damaged file
must be what that finds there, since no reader can know what a number was before somebody changed it.
"""

import csv
import io
import json
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fakes.catalog import catalog_text, fake_catalog
from fakes.euclid import MAGZERO, mer_hdus, noise, wcs_header, written
from fakes.workspace import TINY

from lensfold.frames import BANDS

SIDE = 230  # pixels of a mosaic
SMALL = 100  # VIS pixels of a cutout


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    ``write``: a specimen into a folder, returning the file to damage; ``read``: what the kit makes of it, as plain
    values and arrays; ``agrees``: whether the bytes of the file say that, by the second opinion, where it is another
    reading than the specimen's; ``head``: how many of its first bytes are its header.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    agrees: Callable[[bytes, Any], bool]
    head: int = 6000


class Problem(Exception):
    """What the kit says of a file in another way than by an InputError."""


def write_fits(folder: Path) -> Path:
    from lensfold.paths import cutout_file
    from lensfold.simulate.fits import fits_bytes

    path = cutout_file(folder, "Y", 7)
    path.parent.mkdir(parents=True)
    path.write_bytes(fits_bytes(noise((66, 66)), "Y", 7, (10.0, -5.0)))
    return path


def read_fits(path: Path) -> np.ndarray:
    from lensfold.data.sources import FolderSource

    frame = FolderSource(path.parents[2]).frame("Y", 7)
    if frame.problem:
        raise Problem(frame.problem)
    return frame.pixels


def fits_agrees(data: bytes, found: np.ndarray) -> bool:
    from astropy.io import fits

    with fits.open(io.BytesIO(data), memmap=False) as hdus:
        return hdus[0].data.astype(np.float32).tobytes() == found.tobytes()


def write_mer(folder: Path) -> Path:
    return written(folder / "mer_7.fits", mer_hdus((210, 210)))


def read_mer(path: Path) -> dict[str, np.ndarray]:
    from lensfold.euclid.geometry import read_object
    from lensfold.euclid.grouping import find_objects
    from lensfold.euclid.layouts import Reading

    objects, skipped = find_objects([path], Reading())
    if skipped:
        raise Problem(f"{skipped[0].path}: {skipped[0].reason}")
    frames = read_object(objects[0], Reading())
    return {band: frame.image for band, frame in frames.items()}


def mer_agrees(data: bytes, found: dict[str, np.ndarray]) -> bool:
    """Every VIS pixel stands somewhere in the file's VIS image, in rows as they are, times the zero point's factor."""
    from astropy.io import fits

    with fits.open(io.BytesIO(data), memmap=False) as hdus:
        image = next(hdu for hdu in hdus if hdu.data is not None and hdu.name.startswith("VIS") and "FLUX" in hdu.name)
        zero = float(image.header.get("MAGZERO", hdus[0].header.get("MAGZERO", np.nan)))
        stored = image.data.astype(np.float64) * 10 ** (-0.4 * zero)
    frame = found["VIS"].astype(np.float64)
    side, known = len(frame), np.isfinite(frame)
    windows = np.lib.stride_tricks.sliding_window_view(stored, (side, side)).reshape(-1, side, side)
    with np.errstate(all="ignore"):
        return any(np.allclose(window[known], frame[known], rtol=1e-5, atol=1e-37) for window in windows)


def write_mosaic(folder: Path) -> Path:
    from astropy.io import fits
    from fakes.tiles import mosaic_name

    for number, band in enumerate(BANDS):
        header = wcs_header((SIDE, SIDE), MAGZERO=MAGZERO[band])
        written(folder / mosaic_name(band, "TILE1"), fits.PrimaryHDU(noise((SIDE, SIDE), number), header))
    return folder / mosaic_name("VIS", "TILE1")


def read_mosaic(path: Path) -> dict[str, Any]:
    from lensfold.euclid.tiles.mosaics import MosaicReader, find_tiles

    (tile,), _ = find_tiles(path.parent)
    mosaic = tile.mosaics["VIS"]
    corner = tile.sky.world(np.array([[0.0, 0.0], [9.0, 200.0]]))
    pixels = MosaicReader(whole_rows=False).window(mosaic, 3, 5, 200)
    return {"pixels": pixels.astype(np.float64), "zero": mosaic.magzero, "sky": np.round(corner, 9)}


def mosaic_agrees(data: bytes, found: dict[str, Any]) -> bool:
    from astropy.io import fits
    from astropy.wcs import WCS

    with fits.open(io.BytesIO(data), memmap=False) as hdus:
        image = next(hdu for hdu in hdus if hdu.data is not None)
        same = np.array_equal(image.data[3:203, 5:205].astype(np.float64), found["pixels"], equal_nan=True)
        sky = WCS(image.header).wcs_pix2world([[0.0, 0.0], [9.0, 200.0]], 0)
        return same and float(image.header["MAGZERO"]) == found["zero"] and np.allclose(sky, found["sky"], atol=1e-8)


def rows_of(data: bytes, separator: str = ",") -> list[list[str]]:
    """The rows of a table by Python's own reader, without blank ones and comments at the top."""
    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    while lines and (not lines[0].strip() or lines[0].startswith("#")):
        lines = lines[1:]
    rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=True)
    return [[field.strip() for field in row] for row in rows if any(field.strip() for field in row)]


def numbers(row: list[str]) -> list[float]:
    return [float(field) if field not in ("", "NA") else np.nan for field in row]


def write_catalog(folder: Path) -> Path:
    path = folder / "image_catalog2.0train.csv"
    path.write_text(catalog_text(fake_catalog(12)))
    return path


def read_catalog(path: Path) -> dict[int, list[float]]:
    from lensfold.data.catalog_file import read_challenge_catalog

    table = read_challenge_catalog(path)
    return {int(i): row for i, row in zip(table.index, table.to_numpy().tolist(), strict=True)}


def catalog_agrees(data: bytes, found: dict[int, list[float]]) -> bool:
    head, *rows = rows_of(data)
    place = head.index("ID")
    first = place - 1  # what pandas saved before the simulation's index is no value
    expected: dict[int, list[float]] = {}
    for row in rows:
        values = numbers(row)
        expected.setdefault(int(values[place]), [*values[first:place], *values[place + 1 :]])
    return same(expected, found)


def write_logits(folder: Path) -> Path:
    from lensfold.runs import logits

    path = folder / "oof.csv"
    rng = np.random.default_rng(3)
    logits.write_logits(path, np.arange(200001, 200013), rng.normal(size=12), rng.normal(size=12))
    return path


def read_logits(path: Path) -> dict[int, list[float]]:
    from lensfold.runs import logits

    table = logits.read_views(path)
    return {int(i): row for i, row in zip(table.index, table.to_numpy().tolist(), strict=True)}


def logits_agree(data: bytes, found: dict[int, list[float]]) -> bool:
    head, *rows = rows_of(data)
    return same({int(row[0]): [float(field) for field in row[1:]] for row in rows}, found) and head[0] == "ID"


def write_toml(folder: Path) -> Path:
    path = folder / "tiny.toml"
    path.write_text(TINY)
    return path


def read_toml(path: Path) -> dict[str, Any]:
    from lensfold.config import Experiment
    from lensfold.config import read_toml as read

    return read(path, Experiment).model_dump(mode="json")


def toml_agrees(data: bytes, found: dict[str, Any]) -> bool:
    return is_within(tomllib.loads(data.decode()), found)


def is_within(asked: Any, found: Any) -> bool:
    """Whether all that was asked for is among what was found, with its value."""
    if isinstance(asked, dict):
        return isinstance(found, dict) and all(key in found and is_within(asked[key], found[key]) for key in asked)
    if isinstance(asked, list):
        return len(asked) == len(found) and all(map(is_within, asked, found))
    return (
        type(asked) is type(found) and asked == found or (float(asked) == float(found) and not isinstance(asked, bool))
    )


def write_json(folder: Path) -> Path:
    from lensfold.config import Experiment
    from lensfold.config import read_toml as read

    settings = read(write_toml(folder), Experiment).model_dump(mode="json")
    run = folder / "runs" / "fake" / "tiny"
    run.mkdir(parents=True)
    (run / "predict.json").write_text(json.dumps(settings.pop("predict")))
    hashes = dict.fromkeys(("folds_hash", "data_hash", "labels_hash"), "0" * 64)
    constants = {"centre": [0.5], "scale": [1.5]}
    (run / "config.json").write_text(
        json.dumps({"experiment": settings, "pack": "fake", "constants": constants, **hashes}, indent=1)
    )
    return run / "config.json"


def read_json(path: Path) -> dict[str, Any]:
    from lensfold.runs.run import Run

    run = Run(path.parent)
    run.check_pack()
    settings = run.settings.model_dump(mode="json")
    return {"settings": settings, "config": run.config, "identity": run.identity}


def json_agrees(data: bytes, found: dict[str, Any]) -> bool:
    from lensfold.files import digest

    content = json.loads(data)
    return (
        content == found["config"]
        and digest(content) == found["identity"]
        and is_within(content["experiment"], found["settings"])
    )


def _write_tar(folder: Path, suffix: str) -> Path:
    from fakes.pack import write_objects

    write_objects(folder / "train", [1, 2, 3], [True, False, True], seed=1, side=SMALL)
    path = folder / f"datapack2.0train{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as archive:
        archive.add(folder / "train" / "Public", "Public", filter=_undated)
    return path


def _undated(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same header in every run, so that a try can be repeated."""
    member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
    return member


def write_tar(folder: Path) -> Path:
    return _write_tar(folder, ".tar")


def write_tar_gz(folder: Path) -> Path:
    return _write_tar(folder, ".tar.gz")


def read_tar(path: Path) -> dict[str, bytes]:
    """The pixels by member; a member that is refused is named among the refused."""
    import shutil

    from lensfold.data.archive import scan_archive

    cache_folder = path.parent / "cache" / "train"
    shutil.rmtree(cache_folder.parent, ignore_errors=True)
    scan = scan_archive(path, cache_folder)
    found = {}
    for band, places in scan.source.places.items():
        for object_id in places:
            frame = scan.source.frame(band, object_id)
            if str(object_id) not in scan.refused:
                found[f"{band}-{object_id}"] = frame.pixels.tobytes()
    return {**found, **{f"refused {i}": b"" for i in scan.refused}}


def tar_agrees(data: bytes, found: dict[str, bytes]) -> bool:
    """Each frame that was read is a member's, by Python's own reader of archives, and astropy's of FITS."""
    from astropy.io import fits

    members: dict[str, set[bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            name = member.name.rpartition("imageEUC_")[2].removesuffix(".fits")
            if content is not None and f"{name}" in found:
                with fits.open(io.BytesIO(content.read()), memmap=False) as hdus:
                    members.setdefault(name, set()).add(hdus[0].data.astype(np.float32).tobytes())
    return all(pixels in members.get(name, ()) for name, pixels in found.items() if not name.startswith("refused"))


@cache
def _network_bytes() -> bytes:
    import tempfile

    import keras

    with tempfile.TemporaryDirectory() as folder:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((8, 8, 1))
        hidden = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        outputs = keras.layers.Dense(1, name="head_logit")(keras.layers.GlobalAveragePooling2D()(hidden))
        keras.Model(inputs, outputs, name="fast_cnn").save(Path(folder) / "model.keras")
        return (Path(folder) / "model.keras").read_bytes()


def write_keras(folder: Path) -> Path:
    path = folder / "model.keras"
    path.write_bytes(_network_bytes())
    return path


def read_keras(path: Path) -> dict[str, Any]:
    import keras

    from lensfold.models.saved import load_model

    keras.backend.clear_session()
    network = load_model(path)
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    return {"weights": [np.asarray(w) for w in network.get_weights()], "output": np.asarray(network(image))}


def keras_agrees(data: bytes, found: dict[str, Any]) -> bool:
    """An archive whose checksums hold has what was written; others must not be read at all."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.testzip() is None


def write_weights(folder: Path) -> Path:
    from lensfold.models.shipped import write_shipped

    rng = np.random.default_rng(4)
    arrays = {f"layer{n}/kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float16) for n in range(4)}
    arrays["layer0/moving_mean"] = rng.normal(size=4).astype(np.float32)
    path = folder / "net.safetensors"
    write_shipped(path, arrays, {"config": {"pack": "lensfold"}, "predict": {"batch_size": 8}})
    return path


def read_weights(path: Path) -> dict[str, Any]:
    from lensfold.models.shipped import read_shipped

    arrays, description = read_shipped(path)
    return {**arrays, "description": description}


def weights_agree(data: bytes, found: dict[str, Any]) -> bool:
    """By the format's own definition: a length, a header in JSON, and numbers where that says."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    kinds = {"F16": "<f2", "F32": "<f4"}
    expected: dict[str, Any] = {"description": json.loads(header.pop("__metadata__")["lensfold"])}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        expected[name] = np.frombuffer(data[8 + length :][start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return same(expected, found)


def write_marks(folder: Path) -> Path:
    marks = ("lens", "A", "b", "C", "unsure", "not a lens", "")
    rows = [f'{i},ranked,{mark},"a note, {i}",{i:016x},{i}' for i, mark in enumerate(marks, 1)]
    path = folder / "ada.csv"
    path.write_text("\n".join(["ID,list,mark,note,pixels,rank", *rows]) + "\n")
    return path


def read_marks(path: Path) -> dict[int, list]:
    from lensfold.data.labels.marks import read_marks as read

    marks = read(path)
    return {int(i): [value, marks.pixels[i]] for i, value in marks.values.items()}


def marks_agree(data: bytes, found: dict[int, list]) -> bool:
    from lensfold.data.labels.marks import VALUES

    words = {word.lower(): value for word, value in VALUES.items()}
    head_line = data.decode("utf-8-sig").splitlines()[0]
    head, *rows = rows_of(data, next((one for one in ",;\t" if one in head_line), ","))
    expected: dict[int, list] = {}
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        if cells["mark"]:
            expected.setdefault(int(cells["ID"]), [words[cells["mark"].lower()], cells["pixels"]])
    return same(expected, found)


def write_labels(folder: Path) -> Path:
    path = folder / "labels.csv"
    rows = [f"{i},{i % 2},{20 + i},{1 + i / 10},{'ab'[i % 2]}" for i in range(1, 9)]
    path.write_text("\n".join(["ID,label,n_pix_source,weight,group", *rows]) + "\n")
    return path


def read_labels(path: Path) -> dict[int, list[float]]:
    from lensfold.data.labels.file import read_labels as read

    table = read(path)[["label", "n_pix_source", "weight"]]
    return {int(i): row for i, row in zip(table.index, table.to_numpy().tolist(), strict=True)}


def labels_agree(data: bytes, found: dict[int, list[float]]) -> bool:
    head_line = next(line for line in data.decode("utf-8-sig").splitlines() if line.strip() and line[0] != "#")
    head, *rows = rows_of(data, max(",;\t", key=head_line.count))
    default = {"n_pix_source": np.nan, "weight": 1.0}
    missing = ("", "nan", "NaN", "NA")
    expected = {}
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        given = {name: default[name] if cells.get(name, "") in missing else float(cells[name]) for name in default}
        expected[int(cells["ID"])] = [float(cells["label"]), given["n_pix_source"], given["weight"]]
    return same(expected, found)


def same(one: Any, other: Any) -> bool:
    """Whether two readings are the same to the last bit; NaN is NaN."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | float):
        first, second = np.asarray(one), np.asarray(other)
        return first.shape == second.shape and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    return one == other


KINDS = {
    "fits": Kind(write_fits, read_fits, fits_agrees, 2880),
    "mer": Kind(write_mer, read_mer, mer_agrees),
    "mosaic": Kind(write_mosaic, read_mosaic, mosaic_agrees, 2880),
    "catalog": Kind(write_catalog, read_catalog, catalog_agrees, 1 << 30),
    "logits": Kind(write_logits, read_logits, logits_agree, 1 << 30),
    "toml": Kind(write_toml, read_toml, toml_agrees, 1 << 30),
    "json": Kind(write_json, read_json, json_agrees, 1 << 30),
    "tar": Kind(write_tar, read_tar, tar_agrees, 4000),
    "tar.gz": Kind(write_tar_gz, read_tar, tar_agrees, 4000),
    "keras": Kind(write_keras, read_keras, keras_agrees),
    "weights": Kind(write_weights, read_weights, weights_agree, 700),
    "marks": Kind(write_marks, read_marks, marks_agree, 1 << 30),
    "labels": Kind(write_labels, read_labels, labels_agree, 1 << 30),
}
