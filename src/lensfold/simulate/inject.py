"""Packs of real cutouts with simulated arcs: each host once as it is, and once or more with a lensed source.

All of it is the train split. The untouched host, the same bytes as in the hosts' pack, is a non-lens, and once more
the twin of each of its injected images. IDs: those of one host are ``100 n`` (untouched), ``100 n + 1``, …, where n is
the host's ID, or its last 13 digits. An object depends on the seed, the host and the arc's number only.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import lensfold
from lensfold.config import in_words
from lensfold.data.sources import FolderSource
from lensfold.errors import InputError
from lensfold.files import abandoned
from lensfold.frames import BANDS
from lensfold.paths import INJECTED, Pack, cutout_file
from lensfold.simulate.arcs import FaberJackson, draw_arc, draw_lens
from lensfold.simulate.hosts import Host, UnusableHost, host_folder, host_table, known_lenses, measure, read_host
from lensfold.simulate.pack import Row
from lensfold.simulate.population import Population
from lensfold.simulate.profiles import get_population
from lensfold.simulate.truth import write_catalog
from lensfold.workers import run_chunks

MOST_ARCS = 99  # IDs of a host
_IDS = 10**13  # hosts' IDs: a catalog holds whole numbers below 2^53
_CHUNK = 10  # hosts per task of a worker
_TABLE = "objects.csv"
_UNFINISHED = ".injecting-"  # and the process's number: what is not whole yet
_HOST_COLUMN = "host_ID"  # by which a table of objects is one of ours


@dataclass(frozen=True)
class Injected:
    """What was made: numbers of hosts and of arcs; of hosts kept out by the list, with RMS maps and with point spread
    functions in all bands; and of hosts left out, by reason."""

    hosts: int
    arcs: int
    excluded: int
    with_rms: int
    with_psf: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class _Chunk:
    """Hosts to be written under ``folder``, a pack's."""

    ids: tuple[int, ...]
    hosts: Path
    folder: Path
    count: int
    seed: int
    population: Population


@dataclass(frozen=True)
class _Written:
    """One host: its catalog rows, none where it was left out for ``reason``; the side of its frames in VIS pixels;
    whether it has maps in all bands."""

    host_id: int
    rows: list[Row]
    side: int = 0
    has_rms: bool = False
    has_psf: bool = False
    reason: str = ""


def inject(
    hosts: Path,
    out: Path,
    profile: str,
    count: int = 1,
    seed: int = 1,
    exclude: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Injected:
    """Write a pack of the hosts in ``hosts``, each with ``count`` arcs, into the folder ``out``; say what was made.

    ``profile`` has the sources, and the point spread functions of hosts that came without; ``exclude``: a list of
    known lenses, which become neither (see `known_lenses`). An earlier pack of this kind in ``out`` is replaced.
    Raises InputError, and leaves ``out`` as it was, where hosts cannot be used or ``out`` holds anything else.
    """
    p = get_population(profile)
    _check(hosts, out, count, seed, workers)
    table = host_table(hosts)
    _check_bands(hosts)
    excluded = known_lenses(exclude, table) if exclude else set()
    chosen = table[~table.index.isin(excluded)]
    if not len(chosen):
        raise InputError(f"{exclude}: lists every host in {hosts}, so none is left. Import others.")
    _check_ids(chosen.index.tolist())
    made = out / f"{_UNFINISHED}{os.getpid()}"
    try:
        for left in abandoned(out, _UNFINISHED):
            shutil.rmtree(left, ignore_errors=True)
        written = _write_hosts(chosen, host_folder(hosts), made, (count, seed, p), workers, progress)
        _write_tables(made, hosts, chosen, written, (count, seed, p))
        _publish(made, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error}). Check the folder, its permissions, the disk.") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # only where nothing is inside: after a failure
    used = [host for host in written if host.rows]
    return Injected(
        hosts=len(used),
        arcs=count * len(used),
        excluded=len(excluded),
        with_rms=sum(host.has_rms for host in used),
        with_psf=sum(host.has_psf for host in used),
        left_out=dict(Counter(host.reason for host in written if not host.rows)),
    )


def _check(hosts: Path, out: Path, count: int, seed: int, workers: int) -> None:
    """Raise InputError for numbers that are too small or large, and where ``out`` must not be written to."""
    limits = (("arcs a host", count, 1, MOST_ARCS), ("seed", seed, 0, 2**63), ("workers", workers, 1, 10**4))
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise InputError(f"inject: {name} = {value}, expected an integer from {least} to {most}.")
    host_folder(hosts)
    one, other = hosts.resolve(), out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise InputError(f"{out}: is the folder of the hosts, or inside it or around it. Choose another for --out.")
    pack = Pack("out", out)
    ours = pack.is_injected or (not pack.catalog.exists() and _is_our_table(out / _TABLE))
    taken = [path.name for path in sorted(out.glob("*")) if not path.name.startswith(".") and path.name != "cache"]
    if taken and not ours:
        raise InputError(
            f"{out}: is not empty (found {', '.join(taken[:5])}) and not a pack of this command. Choose another folder."
        )


def _check_bands(hosts: Path) -> None:
    """Raise InputError where the hosts' pack lacks bands: theta_E follows from H, and arcs are seen in all four."""
    bands = FolderSource(host_folder(hosts)).bands
    if lacking := [band for band in BANDS if band not in bands]:
        raise InputError(
            f"{hosts}: has no {in_words(lacking)}, and arcs are put into all four bands. Give other hosts."
        )


def _is_our_table(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return _HOST_COLUMN.encode() in stream.readline(200)
    except OSError:
        return False


def _check_ids(ids: Sequence[int]) -> None:
    """Raise InputError where two hosts would have the same IDs in the pack."""
    numbers = Counter(_number(host_id) for host_id in ids)
    if twice := [host_id for host_id in ids if numbers[_number(host_id)] > 1]:
        raise InputError(
            f"hosts {twice[0]} and {twice[1]} have the same last 13 digits, and an ID of the pack can hold no more. "
            "Leave one of them out with --exclude."
        )


def _number(host_id: int) -> int:
    return host_id % _IDS


def _write_hosts(
    table: pd.DataFrame,
    hosts: Path,
    made: Path,
    settings: tuple[int, int, Population],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[_Written]:
    """Write all FITS files under ``made``; return what became of each host, by ID. InputError where none is used."""
    for split in ("train", "twins"):
        for band in BANDS:
            cutout_file(made / split, band, 0).parent.mkdir(parents=True, exist_ok=True)
    ids = table.index.tolist()
    chunks = [
        _Chunk(tuple(ids[first : first + _CHUNK]), hosts, made, *settings) for first in range(0, len(ids), _CHUNK)
    ]
    written: list[_Written] = []
    for _, part in run_chunks(_write_chunk, chunks, workers):
        written += part
        if progress is not None:
            progress(len(written), len(ids))
    if not any(host.rows for host in written):
        reasons = ", ".join(f"{n} x {reason}" for reason, n in Counter(host.reason for host in written).items())
        raise InputError(f"{hosts}: none of the {len(written)} hosts can be used ({reasons}). Import others.")
    sides = Counter(host.side for host in written if host.rows)
    if len(sides) > 1:
        found = ", ".join(f'{number} of {side} VIS pixels ({side // 10}")' for side, number in sides.items())
        raise InputError(f"{hosts}: hosts of two sizes ({found}), and a pack has frames of one. Import them apart.")
    return sorted(written, key=lambda host: host.host_id)


def _write_chunk(chunk: _Chunk) -> list[_Written]:
    return [_write_host(chunk, host_id) for host_id in chunk.ids]


def _write_host(chunk: _Chunk, host_id: int) -> _Written:
    """Write one host as it is and with its arcs."""
    model = FaberJackson()
    try:
        host = read_host(chunk.hosts, host_id)
        light = measure(host)
    except UnusableHost as error:
        return _Written(host_id, [], reason=str(error))
    lens = draw_lens(chunk.seed, host_id, light, chunk.population, model)
    rows = []
    for number in range(chunk.count + 1):
        arc = draw_arc(host, light, lens, chunk.seed, number, chunk.population, model)
        object_id = 100 * _number(host_id) + number
        rows.append({**arc.row, "ID": object_id})
        _copy(chunk.hosts, host_id, chunk.folder / ("twins" if number else "train"), object_id)
        if number:
            _write_image(chunk, host, arc.added, object_id)
    return _Written(host_id, rows, len(light.central), set(host.rms) == set(BANDS), set(host.psf) == set(BANDS))


def _copy(hosts: Path, host_id: int, folder: Path, object_id: int) -> None:
    """Copy the files of a host as they are."""
    for band in BANDS:
        shutil.copyfile(cutout_file(hosts, band, host_id), cutout_file(folder, band, object_id))


def _write_image(chunk: _Chunk, host: Host, added: dict[str, np.ndarray], object_id: int) -> None:
    """Write the host with an arc: the host's header, and a card that says so."""
    from astropy.io import fits  # slow to import

    for band in BANDS:
        header = fits.getheader(cutout_file(chunk.hosts, band, host.object_id))
        header["OBJECT"] = (f"SYNTHETIC {object_id}", "simulated arc in a real cutout")
        hdu = fits.PrimaryHDU(host.images[band] + added[band], header)
        hdu.writeto(cutout_file(chunk.folder / "train", band, object_id))


def _write_tables(
    made: Path, hosts: Path, table: pd.DataFrame, written: list[_Written], settings: tuple[int, int, Population]
) -> None:
    """Write the catalog, and which object is which host's."""
    count, seed, p = settings
    rows = [row for host in written for row in host.rows]
    name = "".join(letter if letter.isprintable() else "?" for letter in hosts.resolve().name)
    comments = [
        f"{INJECTED.removeprefix('# ')}, by lensfold {lensfold.__version__}",
        f"hosts {name}, {count} arcs each, sources of profile {p.name}, seed {seed}, k_pix {p.k_pix}",
        "z_lens, halo_mass and star_mass are drawn for the host's H magnitude (Faber-Jackson), not measured",
        "one host, one (z_lens, halo_mass): folds keep its images together",
    ]
    write_catalog(made / "image_catalog2.0train.csv", rows, comments)
    owners = [host.host_id for host in written for _ in host.rows]
    objects = table.reindex(owners).reset_index().rename(columns={"ID": _HOST_COLUMN})
    objects.insert(0, "ID", [row["ID"] for row in rows])
    objects["arc"] = [row["n_sources"] for row in rows]
    objects[["ID", _HOST_COLUMN, "arc", "name", "file", "ra", "dec"]].to_csv(made / _TABLE, index=False)


def _publish(made: Path, out: Path) -> None:
    """Put a finished pack into ``out``: an earlier catalog goes first and the new one comes last, so that a pack with a
    catalog is whole. The table comes before the files, and says whose they are should this be cut off."""
    catalog = Pack("made", made).catalog.name
    (out / catalog).unlink(missing_ok=True)
    (made / _TABLE).replace(out / _TABLE)
    for name in ("train", "twins"):
        if (out / name).exists():
            (out / name).rename(made / f"old-{name}")
        (made / name).rename(out / name)
    (made / catalog).replace(out / catalog)
