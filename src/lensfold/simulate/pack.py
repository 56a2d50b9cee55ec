"""Whole packs: folders of FITS files and catalogs in the challenge's layout.

Beside its two splits a pack may have twins: each train object with a source once more without it, under the same ID.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import lensfold
from lensfold.errors import InputError
from lensfold.files import replacing
from lensfold.frames import BANDS, SIDES
from lensfold.paths import Pack, cutout_file
from lensfold.simulate.fits import fits_bytes
from lensfold.simulate.objects import FIRST_ID, DrawnSplit, SimulatedObject, simulate_object
from lensfold.simulate.population import Population
from lensfold.simulate.profiles import get_population
from lensfold.simulate.selection import LARGE, Selection, select_task
from lensfold.simulate.truth import write_catalog
from lensfold.workers import run_chunks

_CHUNK = 20  # objects per task of a worker
Row = dict[str, float | int]
Report = Callable[[int], None]
Written = tuple[Row, str]  # an object's catalog row and the class of its central galaxy


@dataclass(frozen=True)
class _Chunk:
    """Objects of a split by their ``indices``, to be written under ``folder``; their twins under ``twins``."""

    population: Population
    seed: int
    split: DrawnSplit
    indices: Sequence[int]
    folder: Path
    twins: Path | None


def write_object(folder: Path, item: SimulatedObject) -> None:
    """Write the four FITS files of an object under a split's folder, whose ``Public/EUC_*`` exist."""
    object_id = int(item.row["ID"])
    for band in BANDS:
        data = fits_bytes(item.images[band], band, object_id, item.centre)
        cutout_file(folder, band, object_id).write_bytes(data)


def _write_chunk(chunk: _Chunk) -> list[Written]:
    """Draw and write the objects of a chunk, each with its twin where twins are wanted; return rows and classes."""
    written: list[Written] = []
    for index in chunk.indices:
        item = simulate_object(chunk.population, chunk.seed, chunk.split, index)
        write_object(chunk.folder, item)
        if chunk.twins is not None and item.row["n_sources"]:
            twin = simulate_object(chunk.population, chunk.seed, chunk.split, index, with_source=False)
            write_object(chunk.twins, twin)
        written.append((item.row, item.morphology))
    return written


def _check(n_train: int, n_test: int, seed: int, workers: int, paper_task: bool) -> None:
    """Raise InputError for a count, seed or number of workers that is too small, and odd counts of two kinds."""
    for name, value, least in (
        ("train objects", n_train, 1),
        ("test objects", n_test, 1),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value < least:
            raise InputError(f"simulator: {name} = {value}, expected an integer of at least {least}.")
    if paper_task and (n_train % 2 or n_test % 2):
        raise InputError(
            f"simulator: {n_train} train and {n_test} test objects, half of them lenses: expected even numbers."
        )


def _refuse_foreign(pack: Pack) -> None:
    """Raise InputError where a file would be overwritten that is not from this simulator, such as a real pack's."""
    hint = "is not from this simulator and would be overwritten. Choose another folder."
    for catalog in (pack.catalog, pack.key):
        if catalog.is_file():
            with catalog.open("rb") as stream:
                if b"SYNTHETIC" not in stream.readline():
                    raise InputError(f"{catalog}: {hint}")
    for split in ("train", "test", "twins"):
        for file in sorted((pack.folder / split / "Public").glob("EUC_*/*.fits"))[:1]:
            with file.open("rb") as stream:
                if b"SYNTHETIC" not in stream.read(2880):
                    raise InputError(f"{file}: {hint}")


def _prepare(pack: Pack, chosen: dict[DrawnSplit, Selection], twins: bool) -> None:
    """Remove catalogs first, then the cutouts of objects that are not asked for and every twin; make the folders."""
    pack.catalog.unlink(missing_ok=True)
    pack.key.unlink(missing_ok=True)
    pack.classes.unlink(missing_ok=True)
    pack.key.parent.mkdir(parents=True, exist_ok=True)
    for split, selection in chosen.items():
        _make_folders(pack.folder / split)
        _remove_cutouts(pack.folder / split, {FIRST_ID + index for index in selection.indices})
    twins_folder = pack.folder / "twins"
    # none of an earlier run may stay: which objects have one differs from seed to seed
    _remove_cutouts(twins_folder, ())
    if twins:
        _make_folders(twins_folder)
    else:
        _remove_empty(twins_folder)


def _band_folders(split_folder: Path) -> dict[str, Path]:
    return {band: cutout_file(split_folder, band, FIRST_ID).parent for band in BANDS}


def _make_folders(split_folder: Path) -> None:
    for folder in _band_folders(split_folder).values():
        folder.mkdir(parents=True, exist_ok=True)


def _remove_cutouts(split_folder: Path, kept: Container[int]) -> None:
    """Remove the cutouts of a split except those of the IDs ``kept``."""
    for band, folder in _band_folders(split_folder).items():
        for file in folder.glob(f"imageEUC_{band}-*.fits"):
            if int(file.stem.rsplit("-", 1)[1]) not in kept:
                file.unlink()


def _remove_empty(split_folder: Path) -> None:
    """Remove the empty folders of a split."""
    for folder in (*_band_folders(split_folder).values(), split_folder / "Public", split_folder):
        with suppress(OSError):
            folder.rmdir()


def _comments(p: Population, seed: int, split: DrawnSplit, selection: Selection) -> list[str]:
    n, drawn = len(selection.indices), selection.drawn
    profile = f"{p.name} with variation" if p.variation else p.name
    frames = "" if p.side == SIDES[0] else f", frames of {p.side} VIS pixels"
    selected = f"kept of the first {drawn} objects: as many lenses > {LARGE} px (official-2020) as without a source"
    return [
        f"SYNTHETIC: simulated by lensfold {lensfold.__version__}, not observed",
        f"profile {profile}, seed {seed}, {split} split, {n} objects, k_pix {p.k_pix}{frames}",
        *([selected] if drawn > n else []),
        "angles x_crit, y_crit in radians; ein_area, crit_area in steradian; r_source in arcsec",
        "fluxes are 10^(-0.4 m_AB); mag_eff is empty and sb_contrast -1e+130 where no source is seen",
    ]


def simulate_pack(
    folder: Path,
    profile: str | Population,
    n_train: int,
    n_test: int,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    twins: bool = False,
    paper_task: bool = False,
) -> None:
    """Write a pack: both splits' FITS files, ``truth/image_catalog2.0test.csv``, ``truth/classes.csv``, and last the
    train catalog.

    With ``twins`` each train object that has a source is written once more without it, under the same ID, into
    ``twins/Public/``; see :func:`simulate_object` for how far the two are the same. Without, twins that are there
    are removed. All other files do not depend on it.
    With ``paper_task`` objects of other kinds are drawn and left out, until there are as many lenses of more than
    150 pixels as objects without a source (:mod:`lensfold.simulate.selection`): half of either count, which is even.
    What is kept has the files, row and ID that it has in a pack of all objects.
    The catalog's presence means that the pack is complete, twins included; an interrupted run leaves none and can be
    started again. ``progress`` is called with (objects done, objects in all), a twin being part of its object; with
    ``paper_task`` finding an object and drawing it are one half each. Needs
    an importable main module where ``workers`` > 1 (processes are spawned). Raises InputError for an unknown
    profile, counts below one or odd ones for the paper's task, a sky without it, and a folder that cannot be written
    or has another pack in it.
    """
    p = get_population(profile)
    _check(n_train, n_test, seed, workers, paper_task)
    pack = Pack(Path(folder).name, Path(folder))
    counts: dict[DrawnSplit, int] = {"train": n_train, "test": n_test}
    n = n_train + n_test
    total, found = (2 * n, n) if paper_task else (n, 0)

    def report(done: int) -> None:
        if progress is not None:
            progress(done, total)

    try:
        _refuse_foreign(pack)
        chosen = _chosen(p, seed, counts, workers, paper_task, report)
        _prepare(pack, chosen, twins)
        written = _simulate(_chunks(pack, p, chosen, seed, twins), workers, _after(found, report))
        _write_classes(pack.classes, written)
        catalogs: tuple[tuple[DrawnSplit, Path], ...] = (("test", pack.key), ("train", pack.catalog))
        for split, path in catalogs:
            comments = _comments(p, seed, split, chosen[split])
            write_catalog(path, (row for row, _ in written[split]), comments)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}). "
            "Check the path, its permissions and the free space."
        ) from error


def _after(before: int, report: Report) -> Report:
    """Return what reports the objects done beside the ``before`` that were."""
    return lambda done: report(before + done)


def _chosen(
    p: Population, seed: int, counts: dict[DrawnSplit, int], workers: int, paper_task: bool, report: Report
) -> dict[DrawnSplit, Selection]:
    """Return which objects each split has: the first ones, or those of the paper's task; report what is found."""
    if not paper_task:
        return {split: Selection(range(n), n) for split, n in counts.items()}
    chosen: dict[DrawnSplit, Selection] = {}
    for split, n in counts.items():
        before = sum(len(one.indices) for one in chosen.values())
        chosen[split] = select_task(p, seed, split, n, workers, _after(before, report))
    return chosen


def _chunks(pack: Pack, p: Population, chosen: dict[DrawnSplit, Selection], seed: int, twins: bool) -> list[_Chunk]:
    """Return the work, in the order of the splits and IDs."""
    twins_folder: dict[DrawnSplit, Path | None] = {"train": pack.folder / "twins" if twins else None, "test": None}
    return [
        _Chunk(p, seed, split, selection.indices[first : first + _CHUNK], pack.folder / split, twins_folder[split])
        for split, selection in chosen.items()
        for first in range(0, len(selection.indices), _CHUNK)
    ]


def _simulate(chunks: list[_Chunk], workers: int, report: Report) -> dict[DrawnSplit, list[Written]]:
    """Write all FITS files; return rows and classes of each split in the order of the IDs."""
    parts: dict[_Chunk, list[Written]] = {}
    done = 0
    for chunk, items in run_chunks(_write_chunk, chunks, workers):
        parts[chunk] = items
        done += len(items)
        report(done)
    written: dict[DrawnSplit, list[Written]] = {}
    for chunk in chunks:
        written.setdefault(chunk.split, []).extend(parts[chunk])
    return written


def _write_classes(path: Path, written: Mapping[DrawnSplit, list[Written]]) -> None:
    """Write the class of each object's central galaxy as ``split,ID,class``."""
    with replacing(path) as temporary:
        lines = [f"{split},{row['ID']},{kind}\n" for split, items in written.items() for row, kind in items]
        temporary.write_text("split,ID,class\n" + "".join(lines), encoding="utf-8")
