"""Converted objects → whole packs, ready to be put into place: IDs, tables, and what an earlier import had."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.data.fits_reader import read_frame
from lensfold.data.objects import COLUMNS, read_objects
from lensfold.errors import InputError
from lensfold.euclid.convert import Converted, kind_folder
from lensfold.euclid.layouts import EuclidObject
from lensfold.euclid.names import Kind, as_text, id_of, kind_of, kinds_of, pack_folders, sibling_packs
from lensfold.euclid.plausibility import OBJECT, noise_warnings, odd_noise
from lensfold.euclid.publish import staged_pack
from lensfold.frames import BANDS
from lensfold.paths import cutout_file, maps_file, objects_file, skipped_file

_OTHER_PACK = re.compile(r"(datapack2\.0)?(train|test)(_v2)?(\.tar|\.tar\.gz|\.tgz)?|image_catalog.*")
_OFF_CENTRE = 0.15  # arcsec; the middle of an odd number of pixels is half a pixel off
_SHOWN = 20  # objects or reasons named in a message
_SKIPPED = ["name", "file", "reason"]


@dataclass(frozen=True)
class Options:
    """How an import goes: ``side`` of the frames in VIS pixels, None for the largest that each object has;
    ``overwrite`` an earlier import, or what differs of it where ``append`` adds to it; ``strict``: stop at the first
    object that cannot be used; ``workers``: processes."""

    side: int | None = None
    overwrite: bool = False
    append: bool = False
    strict: bool = False
    workers: int = 1


@dataclass(frozen=True)
class ImportedPack:
    """One pack of an import: its folder, the kind of its frames, all of its objects (`lensfold.data.objects`), those
    of them that are new, by ID, and what there is to ask about the noise of these."""

    folder: Path
    kind: Kind
    objects: pd.DataFrame
    new: Mapping[int, EuclidObject]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Import:
    """What an import made: its packs, that of the most objects first; what it skipped (text: name, file, reason), and
    that as a line for each reason; and packs beside them, of an earlier import, that stay as they are."""

    packs: tuple[ImportedPack, ...]
    skipped: pd.DataFrame
    reasons: tuple[str, ...]
    left: tuple[Path, ...]


def check_target(folder: Path, options: Options, kind: Kind | None = None) -> None:
    """Raise InputError where ``folder`` has another pack, or an import that is not to be touched.

    ``kind``: of the frames that are to be added to it.
    """
    names = sorted(path.name for path in folder.glob("*"))
    other = [name for name in names if _OTHER_PACK.fullmatch(name)]
    if objects_file(folder).name in names and "Public" not in names:
        other.append(f"{objects_file(folder).name} without Public")
    if other or ("Public" in names and not (options.overwrite or options.append)):
        advice = "Import into another folder" + ("." if other else ", or give --append or --overwrite.")
        raise InputError(f"{folder}: there is a pack already (found {', '.join(other or ['Public'])}). {advice}")
    if kind and options.append and (found := kind_of(folder)) not in (None, kind):
        raise InputError(
            f"{folder}: has frames of {found}, and those to add are of {kind}. Import into another folder."
        )


def make_packs(
    making: Path,
    out: Path,
    objects: Sequence[EuclidObject],
    used: Sequence[Converted],
    skipped: Sequence[Converted],
    options: Options,
) -> Import:
    """Make, below ``making``, what `lensfold.euclid.publish` puts into place: a pack for each kind of frames.

    ``objects``: all of the import, by number; ``used`` and ``skipped``: what became of them. Raises InputError where a
    folder is another pack's, and where an object is there already with other pixels and ``overwrite`` is not given.
    """
    counts = Counter(one.kind for one in used)
    beside = sibling_packs(out)
    folders = pack_folders(out, counts, kinds_of(beside) if options.append else {})
    left_out, packs = list(skipped), []
    for kind, _ in counts.most_common():
        check_target(folders[kind], options, kind)
        ones, twice = _without_doubles([one for one in used if one.kind == kind])
        left_out += twice
        packs.append(_make_pack(making, folders[kind], ones, objects, options))
    table = _skipped_table(left_out)
    staged = staged_pack(making, out)
    staged.mkdir(parents=True, exist_ok=True)
    _with_earlier(table, out, packs, options).to_csv(skipped_file(staged), index=False)
    stay = [folder for folder in beside if folder not in folders.values() and objects_file(folder).exists()]
    return Import(tuple(packs), table, tuple(reasons(left_out)), () if options.append else tuple(stay))


def reasons(skipped: Sequence[Converted]) -> list[str]:
    """Return how many were skipped for each reason, the most frequent first: a line each, with the first of its files.

    Reasons that differ alone in numbers, in quotes or in brackets count as one.
    """
    groups: dict[str, list[Converted]] = {}
    for one in skipped:
        groups.setdefault(re.sub(r"[0-9.]+|'[^']*'|\([^)]*\)", "", one.reason), []).append(one)
    ordered = sorted(groups.values(), key=len, reverse=True)
    lines = [f"{len(group)} x {as_text(str(group[0].path))}: {group[0].reason}" for group in ordered[:_SHOWN]]
    return [*lines, *([f"… and {len(ordered) - _SHOWN} more reasons"] if len(ordered) > _SHOWN else [])]


def _without_doubles(ones: Sequence[Converted]) -> tuple[dict[int, Converted], list[Converted]]:
    """Return the objects by ID, and those whose name and position an earlier one has, with that as their reason."""
    found: dict[int, Converted] = {}
    twice = []
    for one in ones:
        first = found.setdefault(id_of(one.name, one.ra, one.dec), one)
        if first is not one:
            reason = f"has the name and the sky position of {as_text(str(first.path))}. Leave one out, or rename it."
            twice.append(replace(one, reason=reason))
    return found, twice


def _make_pack(
    making: Path, target: Path, ones: dict[int, Converted], objects: Sequence[EuclidObject], options: Options
) -> ImportedPack:
    """Make one pack: files under their IDs, with those of the earlier import that it is added to, and the table."""
    kind = next(iter(ones.values())).kind
    made, staged = kind_folder(making, kind), staged_pack(making, target)
    for object_id, one in ones.items():
        for before, after in zip(_files(made, one.number), _files(staged, object_id), strict=True):
            if before.exists():
                after.parent.mkdir(parents=True, exist_ok=True)
                before.rename(after)
    rows: list[dict] = []
    if options.append and objects_file(target).exists():
        earlier = read_objects(target)
        ones = _changed(ones, earlier, target, staged, options)
        _link_earlier(target, staged, ones)
        rows = earlier[~earlier["ID"].isin(list(ones))].to_dict("records")
    rows += [_row(object_id, one) for object_id, one in ones.items()]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["name", "ID"], ignore_index=True)
    table.to_csv(objects_file(staged), index=False)
    noise = [(one.name, dict(zip(kind.bands, one.noise, strict=True))) for one in ones.values()]
    new = {object_id: objects[one.number] for object_id, one in ones.items()}
    return ImportedPack(target, kind, table, new, tuple(noise_warnings(str(target), noise)))


def _files(folder: Path, number: int) -> list[Path]:
    """Return the files that an object may have in a pack."""
    return [*(cutout_file(folder, band, number) for band in BANDS), maps_file(folder, number)]


def _changed(
    ones: dict[int, Converted], earlier: pd.DataFrame, target: Path, staged: Path, options: Options
) -> dict[int, Converted]:
    """Return the objects that are not in the earlier import, or with ``overwrite`` have other pixels there."""
    known = set(earlier["ID"]) & set(ones)
    same = {object_id for object_id in known if _same_pixels(target, staged, object_id)}
    other = [ones[object_id] for object_id in sorted(known - same)]
    if other and not options.overwrite:
        shown = ", ".join(f"{as_text(one.name)} ({as_text(str(one.path))})" for one in other[:_SHOWN])
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        raise InputError(
            f"{target}: has other pixels of {len(other)} objects already: {shown}{more}. Give --overwrite to replace "
            "these, or leave them out."
        )
    for object_id in same:
        for file in _files(staged, object_id):
            file.unlink(missing_ok=True)
    return {object_id: one for object_id, one in ones.items() if object_id not in same}


def _same_pixels(one: Path, other: Path, object_id: int) -> bool:
    """Return whether two packs have the same images of an object."""
    files = [(file, _files(other, object_id)[number]) for number, file in enumerate(_files(one, object_id)[:-1])]
    pairs = [(before, after) for before, after in files if before.exists() or after.exists()]
    return all(
        before.exists()
        and after.exists()
        and np.array_equal(read_frame(before.read_bytes()), read_frame(after.read_bytes()), equal_nan=True)
        for before, after in pairs
    )


def _link_earlier(target: Path, staged: Path, ones: Collection[int]) -> None:
    """Put the files of an earlier import beside the new ones, as links where that is possible; not those replaced.

    Where nothing is new the earlier folder stays as it is.
    """
    if not ones:
        shutil.rmtree(staged / "Public")
    replaced = {file.name for object_id in ones for file in _files(target, object_id)}
    for file in (target / "Public").rglob("*.fits") if ones else ():
        if file.name in replaced:
            continue
        link = staged / file.relative_to(target)
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, link)
        except OSError:  # a file system without links
            shutil.copy2(file, link)


def _row(object_id: int, one: Converted) -> dict[str, object]:
    """Return an object's row of ``objects.csv``."""
    shares = {f"bad_{band}": share for band, share in zip(one.kind.bands, one.bad, strict=True)}
    place = {"ra": one.ra, "dec": one.dec, "offset": round(one.offset, 3)}
    names = {"ID": object_id, "name": as_text(one.name), "file": as_text(str(one.path))}
    return {**names, **place, **shares, "flags": "; ".join(_flags(one))}


def _flags(one: Converted) -> Iterator[str]:
    if odd := odd_noise(dict(zip(one.kind.bands, one.noise, strict=True)), OBJECT):
        yield f"noise {odd} times the usual"
    if one.offset > _OFF_CENTRE:
        yield f'{one.offset:.1f}" off the middle of its file'
    if one.smaller:
        yield f'{one.kind.side // 10}" only, for bad pixels around it'


def _skipped_table(skipped: Sequence[Converted]) -> pd.DataFrame:
    rows = [(as_text(one.name), as_text(str(one.path)), one.reason) for one in skipped]
    return pd.DataFrame(sorted(rows), columns=_SKIPPED, dtype=str)


def _with_earlier(table: pd.DataFrame, out: Path, packs: Sequence[ImportedPack], options: Options) -> pd.DataFrame:
    """Return the list of what was skipped, with that of the import it is added to as far as it still holds."""
    if not options.append or not skipped_file(out).exists():
        return table
    before = pd.read_csv(skipped_file(out), dtype=str, keep_default_na=False)
    mended = {file for pack in packs for file in pack.objects["file"]}
    before = before[~before["file"].isin(mended | set(table["file"]))]
    return pd.concat([before, table]).sort_values(_SKIPPED, ignore_index=True)
