"""Euclid cutouts → packs without a catalog, one for each side and band set, with a table of their objects.

What the files have beside the images, RMS maps and point spread functions, goes into ``Public/maps/``: inside the
folder that takes an earlier import's place as a whole, so that maps never lie beside other images than their own.
An object that cannot be used is listed in ``skipped.csv`` and takes nothing else with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

from lensfold.console import Progress
from lensfold.errors import InputError
from lensfold.euclid.convert import Chunk, Converted, convert_chunk
from lensfold.euclid.grouping import find_objects
from lensfold.euclid.layouts import EuclidObject, Reading
from lensfold.euclid.packs import Import, Options, check_target, make_packs, reasons
from lensfold.euclid.publish import finish_abandoned, workplace
from lensfold.workers import run_chunks

_CHUNK = 8  # objects a task of a worker
_ALONE = 40  # objects that are done sooner than processes have started
_FEW = 500  # files that are looked at in a second
#: shows the progress of a step: title, unit, and up to how many of it nothing is shown
Bars: TypeAlias = Callable[[str, str, int], AbstractContextManager[Progress]]


@contextmanager
def no_bars(title: str, unit: str, least: int) -> Iterator[Progress]:
    """Show nothing."""
    yield lambda done, total: None


def import_euclid(
    paths: Iterable[Path],
    out: Path,
    reading: Reading | None = None,
    options: Options | None = None,
    bars: Bars = no_bars,
) -> Import:
    """Write ``Public/``, ``objects.csv`` and ``skipped.csv`` into the folder ``out``, and other kinds of frames beside.

    ``paths``: files, and folders searched to the bottom; ``bars``: what shows progress (`lensfold.console.progress`).
    Raises InputError, and leaves all packs as they were, where
    nothing can be used, or with ``options.strict`` something cannot; where ``out`` is another pack, or has an import
    and neither ``overwrite`` nor ``append`` is given; where ``append`` meets an ID that has other pixels; and where
    the folder cannot be written.
    """
    reading, options = reading or Reading(), options or Options()
    out = out if out.name not in ("", "..") else out.resolve()
    finish_abandoned(out)
    check_target(out, options)
    with bars("look at files", "files", _FEW) as report:
        objects, unread = find_objects(paths, reading, report)
    skipped = [Converted(-1, file.path.name, file.path, file.reason) for file in unread]
    if not objects and not skipped:
        raise InputError("no files given, expected Euclid cutouts (FITS), or folders of them.")
    if skipped and (options.strict or not objects):
        raise InputError("\n".join(reasons(skipped)))
    with workplace(out) as making:
        with bars("import", "objects", 0) as report:
            converted = _converted(objects, making, reading, options, report)
        skipped += [one for one in converted if one.reason]
        used = sorted((one for one in converted if not one.reason), key=lambda one: (one.name, str(one.path)))
        if not used:
            raise InputError("\n".join(["none of the objects can be used:", *reasons(skipped)]))
        return make_packs(making, out, objects, used, skipped, options)


def _converted(
    objects: Sequence[EuclidObject], folder: Path, reading: Reading, options: Options, progress: Progress
) -> list[Converted]:
    """Return what became of each object, in any order; their files are in ``folder`` then."""
    chunks = [
        Chunk(first, tuple(objects[first : first + _CHUNK]), reading, options.side, folder)
        for first in range(0, len(objects), _CHUNK)
    ]
    done: list[Converted] = []
    try:
        for _, part in run_chunks(convert_chunk, chunks, options.workers if len(objects) > _ALONE else 1):
            done += part
            bad = [one for one in part if one.reason]
            if bad and options.strict:
                raise InputError("\n".join(reasons(bad[:1])))
            progress(len(done), len(objects))
    except BrokenProcessPool as error:
        raise InputError(
            "A process that read cutouts was killed (too little memory?). Run it again, with fewer --workers if it "
            "happens again."
        ) from error
    return done
