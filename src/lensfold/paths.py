"""Where everything lies. Every other module asks here for a path; none builds one of its own."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lensfold.errors import InputError

#: "twins": in simulated packs, the train objects that have a source, without it; trained on, never predicted
Split = Literal["train", "test", "twins"]

#: endings of an archive of a split
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")


def checked_split(name: str) -> Split:
    """Return the split called ``name``; InputError for an unknown one."""
    for split in get_args(Split):
        if split == name:
            return split
    raise InputError(f"--split {name!r}: expected train or test, or twins (of a simulated pack).")


#: the pack that networks which ship are runs of; it has no objects
SHIPPED = "lensfold"
#: file of a run's folder that says what its settings were last resolved from
CONFIGURED = ".configured"
#: file of the user's own labels, in a pack's folder
LABELS = "labels.csv"
#: how the catalog of a pack of real cutouts with simulated arcs begins
INJECTED = "# SYNTHETIC: simulated arcs in real cutouts"
#: what names may be: they become parts of paths
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
#: most characters of a name: file systems take 255, and names get endings
LONGEST_NAME = 100


def pack_name(files: Sequence[Path]) -> str:
    """Return what a pack of these files or folders is called: as the first folder, "_" for what names cannot have."""
    first = files[0].resolve()
    return _as_name((first if first.is_dir() else first.parent).name) or "cutouts"


def _as_name(folder: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", folder).lstrip(".-")


def checked_name(what: str, name: str) -> str:
    """Return ``name``, which becomes part of a path; InputError where it could lead anywhere else.

    ``what``: "experiment", "submission" or "pack", for the message.
    """
    if NAME.fullmatch(name) and len(name) <= LONGEST_NAME:
        return name
    raise InputError(
        f"{what} name {ascii(name[:80])}: only letters, digits, '_', '.' and '-' are allowed, {LONGEST_NAME} at most, "
        "and the first is a letter, a digit or '_'."
    )


@dataclass(frozen=True)
class Pack:
    """One data set: a folder with its splits and a catalog, and the name it is filed under."""

    name: str
    folder: Path

    def split_source(self, split: Split) -> Path:
        """Folder that holds ``Public/`` of a split, or its archive; the official names are accepted, with _v2 too.

        Raises InputError where there is neither. A folder is preferred to an archive. A bare ``Public/`` without a
        catalog is a test split.
        """
        if source := self._source(self.stored_as(split)):
            return source
        if split == "twins":
            raise InputError(
                f"{self.folder}: no twins found in twins/Public/. Only simulated packs have them: make the pack with "
                "`lensfold simulate --twins`."
            )
        if split == "train" and self.lacks_labels:
            raise InputError(f"{self.folder}: no train split. {self.without_labels}")
        if split == "train" and self.labels.is_file() and not self.is_own:
            raise InputError(
                f"{self.labels}: labels of a train split that is not here (train/Public/ or its archive). A test split "
                "may have other objects of the same IDs, unless objects.csv or a bare Public/ says they are your own."
            )
        raise InputError(
            f"{self.folder}: no {split} split found. Expected {split}/Public/EUC_VIS/, "
            f"datapack2.0{split}/Public/EUC_VIS/ or the archive datapack2.0{split}.tar.gz (for a test split also a "
            "bare Public/ without a catalog, or the cache that `lensfold cut` makes)."
        )

    def _source(self, split: Split) -> Path | None:
        names = (split, f"datapack2.0{split}", f"datapack2.0{split}_v2")
        folders = [self.folder / name for name in names]
        if split == "test" and not self.challenge_catalog.exists():
            folders.append(self.folder)
        archives = (self.folder / f"{name}{suffix}" for suffix in ARCHIVE_SUFFIXES for name in names)
        found = (*(one for one in folders if (one / "Public").is_dir()), *(one for one in archives if one.is_file()))
        return next(iter(found), None)

    def stored_as(self, split: Split) -> Split:
        """Return the split whose cutouts and cache a split has: "test" for "train" too where a pack has one split."""
        return "test" if split == "train" and self.has_one_split else split

    @property
    def has_one_split(self) -> bool:
        """Whether the train split is a part of the test split: the labelled ones of people's own cutouts."""
        return self.labels.is_file() and self.is_own and self._source("train") is None

    @property
    def is_own(self) -> bool:
        """Whether the pack is people's own cutouts, so that an ID is one object in all of it."""
        return objects_file(self.folder).is_file() or (self.folder / "Public").is_dir()

    def has_files(self, split: Split) -> bool:
        """Return whether the pack has the cutouts of a split, or their archive."""
        try:
            return bool(self.split_source(split))
        except InputError:
            return False

    @property
    def has_twins(self) -> bool:
        """Whether the pack has the cutouts of its twins, as only simulated ones can."""
        return self.has_files("twins")

    @property
    def is_here(self) -> bool:
        """Whether the folder has the pack itself, and not only what was made from it."""
        files = self.catalog, self.key, objects_file(self.folder)
        return any(file.is_file() for file in files) or self.has_files("test")

    @property
    def lacks_labels(self) -> bool:
        """Whether the pack is people's own cutouts: objects of a test split, without labels, a catalog or a key."""
        return self.is_own and not (self.catalog.is_file() or self.key.is_file())

    @property
    def without_labels(self) -> str:
        """What a message says where people's own cutouts are to be trained on, or scored with a truth."""
        return (
            f"These are cutouts without labels, which can be ranked, not trained on: make rank "
            f"DATA={shlex.quote(str(self.folder))}. To train on them put {LABELS} there (docs/labels.md)."
        )

    @property
    def labels(self) -> Path:
        """The user's own labels of train objects, which may be there in place of the catalog."""
        return self.folder / LABELS

    @property
    def catalog(self) -> Path:
        """What says which train objects are lenses: the user's own labels where they are there, else the catalog."""
        return self.labels if self.labels.is_file() else self.challenge_catalog

    @property
    def challenge_catalog(self) -> Path:
        """The train catalog: that of the challenge's first name, else of its second version's, where it is there."""
        first, second = (self.folder / f"image_catalog2.0train{version}.csv" for version in ("", "_v2"))
        return second if second.is_file() and not first.is_file() else first

    @property
    def is_simulated(self) -> bool:
        """Whether the pack was made by this kit: it has a key, or its catalog's first line says so."""
        return self.key.is_file() or self._catalog_begins("# SYNTHETIC")

    @property
    def profile(self) -> str | None:
        """The sky that a simulated pack was drawn from, by the second line of its catalog; None where that has none."""
        if not self.catalog.is_file():
            return None
        try:
            with self.catalog.open("rb") as stream:
                found = re.match(rb"# profile ([A-Za-z0-9_.-]+)[ ,]", stream.readlines(1000)[1])
        except (OSError, IndexError):
            return None
        return found[1].decode() if found else None

    @property
    def is_injected(self) -> bool:
        """Whether the pack is real cutouts with simulated arcs: its catalog's first line says so."""
        return self._catalog_begins(INJECTED)

    def _catalog_begins(self, words: str) -> bool:
        if not self.catalog.is_file():  # a pipe would never answer
            return False
        try:
            with self.catalog.open("rb") as stream:
                return stream.readline(200).startswith(words.encode())
        except OSError:
            return False

    @property
    def key(self) -> Path:
        """Truth of the test split: simulated packs only, and only grading reads it."""
        return self.folder / "truth" / "image_catalog2.0test.csv"

    @property
    def classes(self) -> Path:
        """What each object's central galaxy is, ``split,ID,class``: simulated packs only, only grading reads it."""
        return self.folder / "truth" / "classes.csv"


@dataclass(frozen=True)
class Workspace:
    """The project folder: hand-written settings and everything that is made."""

    root: Path

    def pack(self, name: str | None, data: Path | None = None) -> Pack:
        """The pack called ``name``, or the one in the folder ``data``, filed under ``name`` or the folder's name.

        Where the folder's name has spaces and the like, "_" stands for them; InputError where another pack has that
        name.
        """
        if data is None:
            name = checked_name("pack", "sample" if name is None else name)
            data = self.root / "data" / name
        folder = data.resolve().name
        filed = checked_name("pack", _as_name(folder) if name is None else name)
        other = self.root / "data" / filed
        if filed not in (name, folder) and Pack(filed, other).is_here:
            raise InputError(
                f"{data}: would be filed under {filed}, which is the name of {other}. Give it a name of its own: "
                "PACK=<name> (make) or --pack <name>."
            )
        return Pack(filed, data)

    def cache(self, pack: Pack, split: Split) -> Path:
        """Cache folder of a split; always inside the project, since a pack's own folder may be read-only.

        A folder in ``data/`` has one cache, whatever names it is used under; a pack with one split has one for both.
        """
        split = pack.stored_as(split)
        inside = pack.folder.resolve().parent == (self.root / "data").resolve()
        return self.root / "data" / (pack.folder.resolve().name if inside else pack.name) / "cache" / split

    def look(self, pack: Pack, split: Split) -> Path:
        """Folder for pictures of a split."""
        return self.root / "data" / pack.name / "look" / split

    def ranked(self, pack: Pack) -> Path:
        """The pack's objects, those most like lenses first; the page of the first is beside it, as .html."""
        return self.root / "data" / pack.name / "ranked.csv"

    def rounds(self, pack: Pack) -> Path:
        """Folder of the rounds of marking a pack's objects, each in a folder of its number."""
        return self.root / "data" / pack.name / "rounds"

    def ranked_from(self, pack: Pack) -> Path:
        """File that says which cutouts a ranking imported into a pack."""
        return self.root / "data" / pack.name / ".ranked-from.json"

    def realism(self, real: Pack, simulated: Pack) -> Path:
        """Folder for what sets a simulated pack apart from a real one."""
        return self.root / "data" / simulated.name / "look" / f"beside-{real.name}"

    def folds(self, pack: Pack) -> Path:
        """The pack's fold of every catalog ID."""
        return self.root / "folds" / f"{pack.name}.csv"

    def fold_settings(self) -> Path:
        """Hand-written settings of all folds."""
        return self.root / "folds" / "folds.toml"

    def folds_marker(self, pack: Pack) -> Path:
        """File that says what a pack's folds were made from."""
        return self.root / "folds" / f".{pack.name}.json"

    def experiment(self, name: str) -> Path:
        """Settings of an experiment."""
        return self.root / "experiments" / f"{checked_name('experiment', name)}.toml"

    def shipped(self, name: str) -> Path:
        """File of a network that ships."""
        return self.root / "weights" / f"{checked_name('network', name)}.safetensors"

    def run(self, pack_name: str, experiment: str) -> Path:
        """Folder of an experiment trained on a pack."""
        return self.runs(pack_name) / checked_name("experiment", experiment)

    def configured(self, pack_name: str, experiment: str) -> Path:
        """File that says what a run's settings were last resolved from."""
        return self.run(pack_name, experiment) / CONFIGURED

    def runs(self, pack_name: str) -> Path:
        """Folder of a pack's runs."""
        return self.root / "runs" / checked_name("pack", pack_name)

    def jobs(self, pack_name: str) -> Path:
        """Folder of what a pack's jobs print, and when and where they ran."""
        return self.runs(pack_name) / ".jobs"

    def report(self, pack_name: str) -> Path:
        """Folder of the report of a pack's runs."""
        return self.runs(pack_name) / "report"

    def submission_settings(self, name: str) -> Path:
        """Hand-written members and options of a submission."""
        return self.root / "submissions" / f"{checked_name('submission', name)}.toml"

    def submission(self, pack: Pack, name: str) -> Path:
        """The challenge CSV; its manifest is beside it with the suffix .json."""
        return self.root / "submissions" / pack.name / f"{checked_name('submission', name)}.csv"


def objects_file(folder: Path) -> Path:
    """Table of the objects of a pack of people's own cutouts: which ID is which object."""
    return folder / "objects.csv"


def skipped_file(folder: Path) -> Path:
    """What an import could not use, and why: beside the pack's table of objects."""
    return folder / "skipped.csv"


def cutout_file(split_folder: Path, band: str, object_id: int) -> Path:
    """FITS file of one object and band, named as in the challenge pack."""
    return split_folder / f"Public/EUC_{band}/imageEUC_{band}-{object_id}.fits"


def maps_file(split_folder: Path, object_id: int) -> Path:
    """FITS file of an imported object's noise maps and point spread functions: extensions VIS_RMS, VIS_PSF, Y_RMS …

    Absent where the object came with neither.
    """
    return split_folder / "Public" / "maps" / f"maps-{object_id}.fits"
