"""Finished packs into their places, so that a kill at any moment leaves an earlier import, or a whole new one.

All is made in ``<out>/.importing-<process>``. One renaming makes it ``.imported-<process>``; from then on it only
needs to be moved into place, which the next import does where this one was stopped.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lensfold.errors import InputError
from lensfold.files import abandoned
from lensfold.paths import objects_file, skipped_file

_MAKING, _MADE = ".importing-", ".imported-"
_PACKS = "packs"  # inside: a folder for each pack, called as the pack's


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """Yield an empty folder to make packs in, one below ``packs/`` each; put them beside ``out`` when all went well.

    What killed imports left is put into place where it was whole, and else removed. After an exception everything is
    as it was. Raises InputError where the folder cannot be written.
    """
    making = out / f"{_MAKING}{os.getpid()}"
    try:
        finish_abandoned(out)
        making.mkdir(parents=True)
        yield making
        _publish(making.rename(out / f"{_MADE}{os.getpid()}"), out.parent)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error}). Check the folder, its permissions, the disk.") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
        with suppress(OSError):
            out.rmdir()  # only where nothing is inside: after a failure


def finish_abandoned(out: Path) -> None:
    """Put into place what a killed import had finished, and remove what it had not."""
    for left in abandoned(out, _MADE):
        _publish(left, out.parent)
    for left in abandoned(out, _MAKING):
        shutil.rmtree(left, ignore_errors=True)


def staged_pack(making: Path, target: Path) -> Path:
    """Return where the pack that will be ``target`` is made."""
    return making / _PACKS / target.name


def _publish(made: Path, parent: Path) -> None:
    """Move each pack into its place, and earlier ones out of it; may be stopped anywhere and done again."""
    for staged in sorted((made / _PACKS).iterdir()):
        target = parent / staged.name
        target.mkdir(parents=True, exist_ok=True)
        if (staged / "Public").exists():
            if (target / "Public").exists():
                shutil.move(target / "Public", made / f"old-{staged.name}")
            shutil.move(staged / "Public", target / "Public")
        for table in (objects_file, skipped_file):
            if table(staged).exists():
                shutil.move(table(staged), table(target))
    shutil.rmtree(made, ignore_errors=True)
