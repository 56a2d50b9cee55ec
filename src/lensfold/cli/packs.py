"""Commands that make a pack, look at it, and keep its folds and caches."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lensfold.cli.options import (
    CORES,
    AnySplit,
    DataFolder,
    FrameSide,
    MagZero,
    ObjectTable,
    PackName,
    Pad,
    Root,
    SkipBad,
    Workers,
    chosen_pack,
    zero_points,
)
from lensfold.errors import InputError
from lensfold.frames import checked_side
from lensfold.paths import Workspace, checked_split

app = typer.Typer()


@app.command()
def simulate(
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    profile: Annotated[
        str | None, typer.Option(help="The sky, such as challenge or euclid; default: the pack's name.")
    ] = None,
    train: Annotated[int | None, typer.Option(help="Objects of the train split; default: the profile's.")] = None,
    test: Annotated[int | None, typer.Option(help="Objects of the test split; default: the profile's.")] = None,
    twins: Annotated[bool, typer.Option("--twins", help="Also each train object with a source without it.")] = False,
    variation: Annotated[
        bool | None,
        typer.Option("--variation/--no-variation", help="Draw each object's unknowns anew; default: the profile's."),
    ] = None,
    side: Annotated[int, typer.Option(help='VIS pixels a side: 200 (20") or 100, the middle 10" of that.')] = 200,
    paper_task: Annotated[
        bool, typer.Option("--paper-task", help="Only lenses > 150 px and objects without a source, as many of each.")
    ] = False,
    seed: int = 1,
    workers: Workers = CORES,
) -> None:
    """Make a synthetic pack in the challenge's layout, with the key of its test split apart in truth/."""
    from lensfold.console import progress
    from lensfold.simulate import PROFILES, simulate_pack, with_variation

    _, chosen = chosen_pack(root, pack, data)
    profile = profile or chosen.name
    if profile not in PROFILES:
        raise InputError(f"no profile {profile!r}; the profiles are {', '.join(PROFILES)}. Give one with --profile.")
    sky = replace(with_variation(PROFILES[profile], variation), side=checked_side(side))
    train, test = train or sky.n_train, test or sky.n_test
    with progress(f"simulate {chosen.name}") as report:
        simulate_pack(chosen.folder, sky, train, test, seed, workers, report, twins, paper_task)


@app.command()
def folds(
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    check: Annotated[bool, typer.Option("--check", help="Write nothing: check and show the folds that exist.")] = False,
) -> None:
    """Write folds/<pack>.csv (every catalog ID once) and show what is in each fold."""
    from lensfold.pipeline.folds import check_pack_folds, make_pack_folds
    from lensfold.report.packs import show_folds, show_strata

    workspace, chosen = chosen_pack(root, pack, data)
    catalog, made = (check_pack_folds if check else make_pack_folds)(workspace, chosen)
    show_folds(chosen.name, catalog, made)
    if check:
        show_strata(catalog, made)


@app.command()
def cache(
    split: AnySplit = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
) -> None:
    """Read the FITS files of a split, or its archive, once, into shards; list what cannot be used by ID and reason."""
    asked = None if split is None else checked_split(split)
    from lensfold.data.cache_check import default_split
    from lensfold.pipeline.cache import cache_split
    from lensfold.report.packs import show_cache

    workspace, chosen = chosen_pack(root, pack, data)
    chosen_split = asked or default_split(workspace, chosen)
    show_cache(chosen.name, chosen_split, cache_split(workspace, chosen, chosen_split, skip_bad, workers))


@app.command("import-euclid")
def import_euclid(
    files: Annotated[list[Path], typer.Argument(help="Euclid cutouts (FITS), and folders searched to the bottom.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new pack, as in data/mine.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier import; with --append only what differs of it.")
    ] = False,
    append: Annotated[bool, typer.Option("--append", help="Add to an earlier import.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first unusable object instead of listing it in skipped.csv.")
    ] = False,
    side: FrameSide = None,
    pad: Pad = False,
    magzero: MagZero = None,
    table: ObjectTable = None,
    workers: Workers = CORES,
) -> None:
    """Turn real Euclid cutouts into packs in the challenge's geometry and units, ready for predict.

    One pack for each side and set of bands. Ends with status 1 where anything was skipped.
    """
    from lensfold.euclid.layouts import Reading
    from lensfold.euclid.packs import Options
    from lensfold.pipeline.look import import_pack
    from lensfold.report.packs import show_import

    options = Options(None if side is None else checked_side(side), overwrite, append, strict, workers)
    made, pictures = import_pack(files, out, Reading(zero_points(magzero), table, pad), options)
    show_import(made, out, pictures)
    for one in made.packs:
        print(f"Rank {one.folder.name} with: make rank DATA={shlex.quote(str(one.folder))}")
    if len(made.skipped):
        raise typer.Exit(1)


@app.command()
def cut(
    tiles: Annotated[Path, typer.Option("--tiles", help="Folder of MER mosaics, one file a band and tile.")],
    positions: Annotated[Path, typer.Option("--positions", help="Catalog of objects: FITS, CSV, ECSV or parquet.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new pack, as in data/mine.")],
    ra: Annotated[str | None, typer.Option("--ra", help="Column of RA in degrees; default: by its usual name.")] = None,
    dec: Annotated[str | None, typer.Option("--dec", help="Column of Dec in degrees; the same.")] = None,
    name: Annotated[str | None, typer.Option("--id", help="Column of the objects' names; the same.")] = None,
    side: Annotated[int, typer.Option(help='VIS pixels a side: 200 (20") or 100 (10").')] = 200,
    magzero: MagZero = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier cut.")] = False,
    root: Root = Path(),
    workers: Workers = CORES,
) -> None:
    """Cut objects out of MER mosaics straight into the shards of a pack, ready for predict."""
    from lensfold.euclid.tiles.positions import Columns
    from lensfold.pipeline.cut import Cutting, cut_pack
    from lensfold.report.packs import show_cut

    workspace, chosen = chosen_pack(root, None, out)
    asked = Cutting(tiles, positions, Columns(ra, dec, name), checked_side(side), zero_points(magzero))
    made = cut_pack(workspace, chosen, asked, overwrite, workers)
    show_cut(made.objects, made.skipped, made.notes, out)


@app.command()
def inject(
    hosts: Annotated[Path, typer.Option("--hosts", help="Pack of real cutouts, made by import-euclid.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new pack, as in data/injected.")],
    count: Annotated[int, typer.Option("--count", help="Arcs a host, each in an image of its own.")] = 1,
    exclude: Annotated[
        Path | None, typer.Option("--exclude", help="CSV of known lenses (ID or file): kept out altogether.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Whose sources are lensed: a profile of simulate.")] = "euclid",
    seed: int = 1,
    workers: Workers = CORES,
) -> None:
    """Add simulated arcs to real cutouts: a train split of hosts with and without, twins and a full catalog."""
    from lensfold.console import progress
    from lensfold.report.packs import show_injected
    from lensfold.simulate.inject import inject as inject_arcs

    with progress(f"inject {out.name}", "hosts") as report:
        made = inject_arcs(hosts, out, profile, count, seed, exclude, workers, report)
    show_injected(made, out)


@app.command()
def show(
    objects: Annotated[list[str], typer.Argument(help="IDs of objects, or their names in objects.csv.")],
    split: AnySplit = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
) -> None:
    """A PNG sheet of each object: VIS, colour, the NISP bands, and what catalog or objects.csv say."""
    asked = None if split is None else checked_split(split)
    from lensfold.pipeline.look import open_album, split_to_look_at
    from lensfold.report.pictures import show_objects

    workspace, chosen = chosen_pack(root, pack, data)
    chosen_split = split_to_look_at(workspace, chosen, asked, skip_bad, workers)
    with open_album(workspace, chosen, chosen_split) as album:
        for path in show_objects(album, album.ids_of(objects), workspace.look(chosen, chosen_split)):
            print(path)


@app.command()
def look(
    split: AnySplit = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    page: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Only a small sheet of the first 40 objects, for a page of text.")
    ] = None,
) -> None:
    """A sheet of objects, of a pack with a catalog drawn from each lens size, and the histogram of lens sizes."""
    asked = None if split is None else checked_split(split)
    from lensfold.pipeline.look import open_album, split_to_look_at
    from lensfold.report.page_sheet import page_sheet
    from lensfold.report.pictures import look as draw

    workspace, chosen = chosen_pack(root, pack, data)
    chosen_split = split_to_look_at(workspace, chosen, asked, skip_bad, workers)
    with open_album(workspace, chosen, chosen_split) as album:
        folder = workspace.look(chosen, chosen_split)
        for path in draw(album, folder, seed) if page is None else [page_sheet(page, album.cache)]:
            print(path)


@app.command()
def realism(
    real: Annotated[Path, typer.Option("--real", help="Folder of a pack, as in data/mine.")],
    simulated: Annotated[Path, typer.Option("--simulated", help="Folder of the pack to set beside it.")],
    split: Annotated[
        str | None, typer.Option("--split", help="train or test; default: train where there is one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the sheet; default: the second's look/.")
    ] = None,
    root: Root = Path(),
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
) -> None:
    """How far apart are two packs? Noise, PSF, magnitudes and sizes side by side, and a probe that tells them apart."""
    chosen_split = None if split is None else checked_split(split)
    from lensfold.pipeline.realism import compare_packs
    from lensfold.report.plots.realism import show_comparison

    workspace = Workspace(root)
    one, two = (workspace.pack(None, folder) for folder in (real, simulated))
    show_comparison(*compare_packs(workspace, one, two, chosen_split, out, skip_bad, workers))


@app.command()
def verify(
    split: AnySplit = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build damaged shards again, and only these.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every FITS file too, and compare it with the cache.")
    ] = False,
) -> None:
    """Compare every shard of a cache with its recorded checksum; name the damaged ones."""
    asked = None if split is None else checked_split(split)
    from lensfold.data.cache_check import default_split
    from lensfold.pipeline.cache import verify_split
    from lensfold.report.packs import show_verified

    workspace, chosen = chosen_pack(root, pack, data)
    chosen_split = asked or default_split(workspace, chosen)
    problems = verify_split(workspace, chosen, chosen_split, rebuild, deep)
    show_verified(chosen.name, chosen_split, problems, rebuild)
    if problems and (not rebuild or "files" in problems):
        raise typer.Exit(1)


@app.command()
def label(
    marks: Annotated[list[Path], typer.Option("--marks", help="A file that a gallery exported (key e); one a person.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE…]", help="More of them.")] = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
) -> None:
    """Merge what people marked into labels.csv of the pack, and keep it as a round: who disagreed, what was found."""
    from lensfold.pipeline.label import label as do

    do(*chosen_pack(root, pack, data), [*marks, *(more or ())])
