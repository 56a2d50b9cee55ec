"""What objects and packs are called: IDs made of name and sky position, and a folder for each kind of frames."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lensfold.data.fits_reader import read_frame
from lensfold.frames import BANDS, SIDES

#: IDs have 15 decimal digits, which a double holds exactly
_FIRST, _IDS = 10**14, 9 * 10**14
#: degrees to which positions are rounded in an ID are one over this: 0.036 arcsec
_PER_DEGREE = 100_000
_SUFFIX = re.compile(rf"(-({'|'.join(str(side // 10) for side in SIDES)}))?((-({'|'.join(BANDS).lower()}))+)?")


class Kind(NamedTuple):
    """What all frames of a pack share: the side in VIS pixels, and the bands in the order of BANDS."""

    side: int
    bands: tuple[str, ...]

    def __str__(self) -> str:
        return f'{self.side // 10}", {" + ".join(self.bands)}'


def id_of(name: str, ra: float, dec: float) -> int:
    """Return the ID of an object from its name and the middle of its VIS frame (ICRS degrees): 15 decimal digits.

    It depends on nothing else, and so is the same whatever else is imported with the object.
    """
    place = f"{name}\0{round(ra * _PER_DEGREE) % (360 * _PER_DEGREE)}\0{round(dec * _PER_DEGREE)}"
    number = int.from_bytes(hashlib.sha256(place.encode("utf-8", "surrogateescape")).digest()[:8])
    return _FIRST + number % _IDS


def as_text(name: str) -> str:
    """Return a name, or a path, that can be written as UTF-8: a file's name need not be text."""
    return name.encode("utf-8", "replace").decode()


def pack_folders(out: Path, counts: Mapping[Kind, int], taken: Mapping[Kind, Path]) -> dict[Kind, Path]:
    """Return the folder of each kind of frames: ``out`` for the most frequent, others named after what differs.

    ``counts``: objects of each kind; ``taken``: packs that are there already and are added to. The others have -10 or
    -20 (arcsec) behind the name of ``out`` where the side differs from that of its pack, and -vis, -vis-y … where
    the bands do.
    """
    at_out = [kind for kind, folder in taken.items() if folder == out]
    main = at_out[0] if at_out else max(counts, key=lambda kind: (counts[kind], kind.side, len(kind.bands), kind.bands))
    return {kind: taken.get(kind, out.with_name(out.name + _suffix(kind, main))) for kind in counts}


def _suffix(kind: Kind, main: Kind) -> str:
    """Return what the folder of a kind has behind its name; nothing for the main one."""
    side = "" if kind.side == main.side else f"-{kind.side // 10}"
    return side + ("" if kind.bands == main.bands else "-" + "-".join(kind.bands).lower())


def sibling_packs(out: Path) -> list[Path]:
    """Return ``out`` and the folders beside it that packs of other kinds would have, as far as they are there."""
    beside = [path for path in out.parent.glob("*") if path.name.startswith(out.name) and path.is_dir()]
    return sorted(path for path in beside if _SUFFIX.fullmatch(path.name.removeprefix(out.name)))


def kind_of(folder: Path) -> Kind | None:
    """Return the kind of frames that an imported pack has; None where the folder has no VIS image."""
    images = (folder / "Public" / "EUC_VIS").glob("*.fits")
    first = next(images, None)
    if first is None:
        return None
    bands = tuple(band for band in BANDS if (folder / "Public" / f"EUC_{band}").is_dir())
    return Kind(len(read_frame(first.read_bytes())), bands)


def kinds_of(folders: Iterable[Path]) -> dict[Kind, Path]:
    """Return the packs among these folders by their kind."""
    return {kind: folder for folder in folders if (kind := kind_of(folder)) is not None}
