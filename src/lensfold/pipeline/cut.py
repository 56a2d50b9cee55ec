"""Objects cut out of MER mosaics: a pack that is a cache and a table of its objects, without a file an object.

What such a pack is bound to: its cache's manifest has name, size, times, inode and the hash of the header of each
mosaic, where in there each object is, and the SHA-256 of every shard, which is that of all the pixels that were cut.
Mosaics are not hashed as a whole: a tile has 6 GB, most of it sky that no object is in, and half a minute of hashing
would prove no more about the pack's own pixels than their shards' hashes do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.console import progress
from lensfold.data.cache import frame_side, read_manifest
from lensfold.data.cache_build import Build, assemble
from lensfold.data.cache_check import has_manifest, is_cut
from lensfold.data.objects import COLUMNS, read_objects
from lensfold.errors import InputError
from lensfold.euclid.plausibility import noise_ratio, noise_warnings
from lensfold.euclid.tiles.mosaics import Tile, find_tiles
from lensfold.euclid.tiles.positions import Columns, Positions, read_positions
from lensfold.euclid.tiles.source import Placed, TileSource, place, source_of
from lensfold.files import replacing, sealed
from lensfold.frames import BANDS
from lensfold.paths import Pack, Workspace, objects_file, skipped_file
from lensfold.pipeline.cache import exclusive_cache
from lensfold.pipeline.statistics import cache_statistics


@dataclass(frozen=True)
class Cutting:
    """What is asked for: the folder of the mosaics, the catalog and its columns, the side of frames in VIS pixels, and
    the AB zero points of bands whose mosaics have none."""

    tiles: Path
    positions: Path
    columns: Columns = Columns()
    side: int = 200
    magzero: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """What came of it: the tables of objects (as in objects.csv) and of those left out (skipped.csv), and what a person
    should know."""

    objects: pd.DataFrame
    skipped: pd.DataFrame
    notes: list[str]


def cut_pack(workspace: Workspace, pack: Pack, asked: Cutting, overwrite: bool, workers: int) -> Cut:
    """Cut the objects of a catalog out of the tiles they are whole in, into the pack's test cache and its two tables.

    What was cut before in the same way is kept; a cut that was stopped goes on with the shards it has. Raises
    InputError, and leaves the pack as it was, where catalog or mosaics cannot be used, where no object is in a tile,
    and where the folder has another pack, or another cut without ``overwrite``.
    """
    _check_no_files(pack)
    positions = read_positions(asked.positions, asked.columns)
    tiles, unusable = find_tiles(asked.tiles, asked.magzero)
    placed = place(tiles, positions.table, asked.side)
    if not len(placed.windows):
        raise InputError(_nothing_found(asked, positions, placed, tiles))
    source = source_of(asked.tiles, tiles, placed, asked.side, asked.magzero)
    target = workspace.cache(pack, "test")
    with exclusive_cache(workspace, pack, "test"):
        if not _is_there(workspace, pack, source, overwrite):
            with progress(f"cut {pack.name}") as report:
                build = Build(target, side=asked.side, skip_bad=True, workers=workers, progress=report)
                assemble(source, asked.tiles, placed.windows["id"].tolist(), {}, build)
        manifest = _without_refused(target)
        cache_statistics(target)
        objects = _objects(positions.table, placed, tiles, manifest)
        skipped = _skipped(positions, placed, tiles, manifest)
        _write(objects, objects_file(pack.folder))
        _write(skipped, skipped_file(pack.folder))
    noise = {band: noise_ratio(band, sigma) for band, sigma in manifest["sigma"].items()}
    warnings = noise_warnings(str(pack.folder), [(pack.name, noise)])
    return Cut(objects, skipped, [positions.columns, *_notes(tiles, unusable), *warnings])


def _without_refused(cache_folder: Path) -> dict:
    """Return the manifest of a cut, in which what could not be used is no object of the pack that lacks its pixels.

    As in an import: it is listed in skipped.csv and gets no score.
    """
    manifest = read_manifest(cache_folder)
    if "left_out" not in manifest["made_from"]:
        manifest["made_from"]["left_out"], manifest["refused"] = manifest["refused"], {}
        with replacing(cache_folder / "manifest.json") as temporary:
            temporary.write_text(json.dumps(sealed(manifest)))
    return manifest


def cut_source(pack: Pack, origin: dict, side: int) -> TileSource:
    """Return what a pack was cut out of, to cut it again: the same tiles, and the positions of its table of objects.

    Raises InputError where mosaics or table are not there any more, or of other objects.
    """
    folder = Path(origin["path"])
    tiles = [tile for tile in find_tiles(folder, origin["magzero"])[0] if tile.name in origin["tiles"]]
    placed = place(tiles, read_objects(pack.folder), side)
    if placed.reasons:
        raise InputError(f"{folder}: the mosaics do not have all objects of {pack.name} any more. Fetch them again.")
    return source_of(folder, tiles, placed, side, origin["magzero"])


def _check_no_files(pack: Pack) -> None:
    """Raise InputError where the pack's folder has a pack of files."""
    found = [pack.challenge_catalog.name] if pack.challenge_catalog.exists() else []
    for split in ("train", "test"):
        try:
            found.append(str(pack.split_source(split)))
        except InputError:
            continue
    if found:
        raise InputError(
            f"{pack.folder}: there is another pack already (found {', '.join(found)}). Cut into a new one."
        )


def _is_there(workspace: Workspace, pack: Pack, source: TileSource, overwrite: bool) -> bool:
    """Return whether the same was cut before; InputError where the pack has something else, not to be overwritten."""
    if not has_manifest(workspace, pack, "test"):
        table = objects_file(pack.folder)
        if table.exists() and not overwrite:
            raise InputError(f"{table}: is there already. Cut into another folder, or give --overwrite.")
        return False
    manifest = read_manifest(workspace.cache(pack, "test"))
    origin = manifest["made_from"]
    if not is_cut(origin):
        raise InputError(
            f"{workspace.cache(pack, 'test')}: is the cache of a pack of files in {origin['path']}. Cut into a folder "
            "of another name."
        )
    ids = source.windows["id"].tolist()
    if origin["sha256"] == source.fingerprint(ids) and frame_side(manifest) == source.side:
        return True
    if not overwrite:
        raise InputError(
            f"{pack.folder}: has {manifest['objects']} objects of another cut, from {origin['path']}. Cut into another "
            "folder, or give --overwrite."
        )
    return False


def _objects(positions: pd.DataFrame, placed: Placed, tiles: list[Tile], manifest: dict) -> pd.DataFrame:
    """Return the table of the objects that were cut, sorted by ID."""
    rows = positions.set_index("ID").loc[placed.windows["id"]].rename_axis("ID").reset_index()
    rows.insert(2, "file", [str(tiles[number].mosaics["VIS"].path) for number in placed.windows["tile"].tolist()])
    rows["offset"] = placed.offsets.round(4)
    shares = manifest["bad_shares"]
    for band in BANDS:
        rows[f"bad_{band}"] = [shares.get(str(object_id), {}).get(band, 0.0) for object_id in rows["ID"]]
    flags = [_flag(tile) for tile in tiles]
    rows["flags"] = [flags[number] for number in placed.windows["tile"].tolist()]
    cut = ~rows["ID"].astype(str).isin(manifest["made_from"]["left_out"])
    return rows.loc[cut, list(COLUMNS)].sort_values("ID").reset_index(drop=True)


def _skipped(positions: Positions, placed: Placed, tiles: list[Tile], manifest: dict) -> pd.DataFrame:
    """Return the rows of the catalog that are no object of the pack: name, file (of VIS) and reason."""
    names = positions.table["name"]
    rows = [(name, "", reason) for name, reason in positions.skipped.itertuples(index=False)]
    rows += [(names[row], file, reason) for row, (reason, file) in placed.reasons.items()]
    by_id = dict(zip(positions.table["ID"], names, strict=True))
    tile_of = dict(zip(placed.windows["id"].tolist(), placed.windows["tile"].tolist(), strict=True))
    for object_id, reason in manifest["made_from"]["left_out"].items():
        file = str(tiles[tile_of[int(object_id)]].mosaics["VIS"].path)
        rows.append((by_id[int(object_id)], file, reason))
    return pd.DataFrame(rows, columns=["name", "file", "reason"])


def _write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def _nothing_found(asked: Cutting, positions: Positions, placed: Placed, tiles: list[Tile]) -> str:
    count = len(positions.skipped) + len(positions.table)
    middles = [tile.sky.world(np.array([tile.shape[::-1]]) / 2)[0].tolist() for tile in tiles[:5]]
    where = ", ".join(
        f"{tile.name} around {ra:.3f} {dec:+.3f}" for tile, (ra, dec) in zip(tiles, middles, strict=False)
    )
    reasons = pd.Series([*positions.skipped["reason"], *(reason for reason, _ in placed.reasons.values())])
    why = "; ".join(f"{number} x {reason}" for reason, number in reasons.value_counts().items())
    first = positions.table.head(1)
    begins = f", the first at {first['ra'].iloc[0]:.3f} {first['dec'].iloc[0]:+.3f}" if len(first) else ""
    return (
        f"{asked.positions}: none of {count} positions is whole in a tile of {asked.tiles} ({why}). The tiles: "
        f"{where}; {positions.columns}{begins}. Give the catalog of these tiles, in degrees."
    )


def _notes(tiles: list[Tile], unusable: dict[str, str]) -> list[str]:
    notes = [f"not cut from: {reason}" for reason in unusable.values()]
    plain = [f"{tile.name} ({flag})" for tile in tiles if (flag := _flag(tile))]
    if plain:
        notes.append(f"no background-subtracted mosaics of {', '.join(plain[:4])}{' …' if len(plain) > 4 else ''}")
    return notes


def _flag(tile: Tile) -> str:
    """Return what a person should know of the objects of a tile."""
    plain = [band for band, mosaic in tile.mosaics.items() if not mosaic.subtracted]
    return f"background not subtracted in {', '.join(plain)}" if plain else ""
