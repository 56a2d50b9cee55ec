"""What the terminal shows of a pack: its folds, its caches, and real cutouts that were imported."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lensfold.config import in_words
from lensfold.console import show_table, show_text
from lensfold.data import catalog as catalogs
from lensfold.data.folds import imbalance, is_undivided, strata_counts, strata_table
from lensfold.frames import BANDS
from lensfold.paths import objects_file, skipped_file

if TYPE_CHECKING:  # the simulator and astropy take long to import
    from lensfold.euclid.packs import Import, ImportedPack
    from lensfold.simulate.inject import Injected

#: objects of an import that are printed
LISTED = 20


def show_folds(pack_name: str, catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Print each fold's objects, share of lenses by rule, and what is known of lens sizes and shared haloes."""
    if is_undivided(folds):
        lenses = int((catalogs.labels(catalog, catalogs.GIVEN) == 1).sum())
        show_text(
            f"No folds of pack {pack_name}: {len(folds)} labelled objects, {lenses} of them lenses, are too few of a "
            "class to hold any out. One network is fine-tuned on all of them, and no score is claimed."
        )
    rows = strata_table(catalog, folds)
    rules, what = catalogs.rules_of(catalog), "share of lenses by rule"
    written = {rule: (lambda share: "–" if share is None else f"{share:.3f}") for rule in rules}
    if catalogs.has_sizes(catalog):
        what += ", objects by lens size in pixels"
        written |= dict.fromkeys(catalogs.SIZE_BIN_NAMES, str)
    written |= {name: "{:.3f}".format for name in ("largest_halo", "shared_haloes") if name in rows[0]}
    cells = [[row["fold"], row["n"], *(write(row[name]) for name, write in written.items())] for row in rows]
    names = [name.replace("_", " ") for name in written]
    if catalogs.is_given(catalog):
        names = [name.replace("haloes", "groups").replace("halo", "group") for name in names]
    show_table(f"folds · pack {pack_name} · {what}", ("fold", "n", *names), cells)
    if warning := imbalance(catalog, folds):
        print(warning)
    for note in catalog.attrs.get("notes", ()):
        print(f"note: {note}")


def show_strata(catalog: pd.DataFrame, folds: pd.Series) -> None:
    """Print the objects of each stratum in each fold, and what makes the folds unequal where something does."""
    counts = strata_counts(catalog, folds)
    titles = ["lens size" if name == "size" else str(name) for name in counts.index.names]
    names = [*titles, *(f"fold {fold}" for fold in counts.columns), "all"]
    keys = counts.index.to_frame().to_numpy().tolist()
    rows = counts.to_numpy().tolist()
    show_table("objects by stratum", names, [[*key, *row, sum(row)] for key, row in zip(keys, rows, strict=True)])


def show_cache(pack_name: str, split: str, manifest: dict) -> None:
    """Print what is in a cache, and what was left out and why."""
    sigma = ", ".join(f"{band} {value:.3g}" for band, value in manifest["sigma"].items())
    show_text(
        f"cache {pack_name} {split}: {manifest['objects']} objects, {len(manifest['shards'])} shards; "
        f"background sigma {sigma}"
    )
    if lacking := [band for band in BANDS if band not in manifest["bands"]]:
        print(f"  without {in_words(lacking)}: only experiments that do not need these can be used")
    if manifest["repaired"]:
        pixels = sum(count for bands in manifest["repaired"].values() for count in bands.values())
        print(f"  mended {pixels} pixels of {len(manifest['repaired'])} objects (listed in the cache's manifest.json)")
    for object_id, reason in list(manifest["refused"].items())[:20]:
        print(f"  left out {object_id}: {reason}")
    if len(manifest["refused"]) > 20:
        print(f"  … {len(manifest['refused'])} left out in all; every one is in the cache's manifest.json")


def show_import(made: "Import", out: Path, pictures: Sequence[Path]) -> None:
    """Print the packs of an import with their first objects, what to ask about them, and what was skipped and why."""
    for pack in made.packs:
        _show_pack(pack)
    for picture in pictures:
        print(picture)
    for warning in (warning for pack in made.packs for warning in pack.warnings):
        print(f"warning: {warning}")
    for folder in made.left:
        print(f"{folder}: of an earlier import, has nothing of this one and stays as it is")
    if len(made.skipped):
        print(f"skipped {len(made.skipped)}, listed in {skipped_file(out)}: they are in no pack and get no score")
        print("\n".join(f"  {reason}" for reason in made.reasons))


def _show_pack(pack: "ImportedPack") -> None:
    """Print how many objects a pack has, and the first of them with their share of bad pixels and their flags."""
    first = pack.objects.head(LISTED)
    bad = [f"bad_{band}" for band in pack.kind.bands]
    flags = ["flags"] if any(first["flags"]) else []
    rows = [
        [row["name"], f"{row['ra']:.5f}", f"{row['dec']:.5f}", *(f"{row[name]:.2%}" for name in bad), *row[flags]]
        for _, row in first.iterrows()
    ]
    new = f", {len(pack.new)} of them new" if len(pack.new) < len(pack.objects) else ""
    more = f"The first {len(rows)}; all" if len(rows) < len(pack.objects) else "All"
    columns = ("name", "RA", "Dec", *(name.replace("_", " ") for name in bad), *flags)
    title = f"{len(pack.objects)} objects of {pack.kind} in {pack.folder}{new}"
    show_table(title, columns, rows, f"{more} are in {objects_file(pack.folder)}, with ID and file")


def show_cut(objects: pd.DataFrame, skipped: pd.DataFrame, notes: Sequence[str], out: Path) -> None:
    """Print how many objects were cut out of mosaics, what was left out and why, and where to go from there."""
    for note in notes:
        print(note)
    reasons = skipped["reason"].str.replace(r".* pixels are bad .*", "too many bad pixels", regex=True)
    for reason, number in reasons.value_counts().items():
        print(f"left out: {number} x {reason}")
    rest = f", {len(skipped)} left out (listed in skipped.csv)" if len(skipped) else ""
    tiles = objects["file"].nunique()
    print(f"{out}: {len(objects)} objects cut out of {tiles} tile{'s' if tiles > 1 else ''}{rest}")
    print(f"Rank them with: make rank DATA={shlex.quote(str(out))}")


def show_injected(made: "Injected", out: Path) -> None:
    """Print what an injection made of its hosts, and where to go from there."""
    print(f"{out}: {made.hosts} hosts as they are and {made.arcs} images with an arc")
    if made.excluded:
        print(f"kept out: {made.excluded} x known lens")
    without = "the sky's scatter measured in the frame", "the profile's point spread function"
    for what, number, instead in zip(("noise maps", "PSFs"), (made.with_rms, made.with_psf), without, strict=True):
        rest = f", {made.hosts - number} without: {instead}" if number < made.hosts else ""
        print(f"{what}: {number} hosts with their own{rest}")
    for reason, number in made.left_out.items():
        print(f"left out: {number} x {reason}")
    print(f"Learn from them with: make folds train DATA={shlex.quote(str(out))}")


def show_verified(pack_name: str, split: str, problems: dict[str, str], rebuilt: bool) -> None:
    """Print which shards are damaged, and what became of them."""
    for shard, problem in problems.items():
        print(f"{shard}: {problem}")
    if not problems:
        print(f"cache {pack_name} {split}: every shard is as it was written")
    elif rebuilt:
        print(f"cache {pack_name} {split}: {len(problems)} shards built again")
    else:
        print(f"cache {pack_name} {split}: {len(problems)} damaged shards; --rebuild builds them again, and only them")
