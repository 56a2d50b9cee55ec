"""Shards of a cache made once more from what they came from: the damaged ones to repair it, or all to compare."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lensfold.console import Progress
from lensfold.data.cache import bands_of, frame_side, read_manifest, verify_cache
from lensfold.data.cache_build import ShardTask, build_shard, building_folder
from lensfold.data.sources import FrameSource
from lensfold.errors import InputError


def rebuild_damaged(source: FrameSource, cache_folder: Path) -> list[str]:
    """Build again, from the files they came from, the shards that are damaged; return their names.

    Raises InputError where the files no longer give what the manifest recorded: the cache is then of another pack.
    """
    damaged = verify_cache(cache_folder)
    shards = [shard for shard in read_manifest(cache_folder)["shards"] if shard["file"] in damaged]
    for shard, made, sha256 in _made_again(source, cache_folder, shards):
        if sha256 != shard["sha256"]:
            raise InputError(
                f"{cache_folder / shard['file']}: the files give other pixels than when the cache was built. "
                f"Delete {cache_folder} and build it again."
            )
        made.replace(cache_folder / shard["file"])
    return [shard["file"] for shard in shards]


def first_difference(source: FrameSource, cache_folder: Path, progress: Progress | None = None) -> str:
    """Return the first shard that a source gives other pixels for than are recorded; "" where none is."""
    shards = read_manifest(cache_folder)["shards"]
    for done, (shard, _, sha256) in enumerate(_made_again(source, cache_folder, shards), 1):
        if sha256 != shard["sha256"]:
            return f"{shard['file']}: sha256 {sha256[:12]}, and {shard['sha256'][:12]} when the cache was made"
        if progress:
            progress(done, len(shards))
    return ""


def _made_again(source: FrameSource, cache_folder: Path, shards: Sequence[dict]) -> Iterator[tuple[dict, Path, str]]:
    """Yield each shard with a file that it was built into and the sha256 of that, which is then removed."""
    manifest = read_manifest(cache_folder)
    building = building_folder(cache_folder)
    building.mkdir(parents=True, exist_ok=True)
    try:
        for shard in shards:
            ids, made = tuple(shard["ids"]), building / shard["file"]
            task = ShardTask(
                source.part(ids), made, ids, manifest["max_bad_share"], frame_side(manifest), bands_of(manifest)
            )
            yield shard, made, build_shard(task)["sha256"]
            made.unlink(missing_ok=True)
    finally:
        shutil.rmtree(building, ignore_errors=True)
