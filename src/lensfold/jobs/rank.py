"""`lensfold rank`: cutouts in, a ranked list out. Import, look, predict with the best trained network, list.

Everything on the way is done once: cutouts are imported again only where they are others than last time.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lensfold.data.cache import read_manifest
from lensfold.data.cache_check import has_manifest
from lensfold.errors import InputError
from lensfold.files import digest, is_newer, write_json
from lensfold.jobs.plan import Work
from lensfold.jobs.process import cores
from lensfold.jobs.run import Executor, order_of, run
from lensfold.leaderboard.candidates import Candidate, candidates, why
from lensfold.paths import Pack, Workspace, objects_file, skipped_file
from lensfold.pipeline.cache import current_cache
from lensfold.pipeline.look import import_pack, open_album
from lensfold.pipeline.outcome import about_another_sky
from lensfold.pipeline.predict import check_frames
from lensfold.pipeline.ranking import write_ranking
from lensfold.report.ranked import Ranking, show_ranking, write_ranked_page


@dataclass(frozen=True)
class Wanted:
    """Cutouts to rank, files or folders (none: the pack as it is), and networks that decide instead of the best."""

    files: tuple[Path, ...] = ()
    trained_on: str | None = None
    submission: str | None = None


def rank(workspace: Workspace, pack: Pack, wanted: Wanted) -> None:
    """Rank cutouts and print what came of it: ``ranked.csv`` and a page for each pack that a trained network fits.

    Raises InputError where there is no trained network, before anything is imported; where the pack's name is taken by
    other cutouts; and where no pack can be ranked, with the reasons.
    """
    known = candidates(workspace, wanted.trained_on, wanted.submission)
    packs = _imported(workspace, pack, wanted.files) if wanted.files else [pack]
    rankings, refused = [], []
    for one in packs:
        try:
            rankings.append(_ranked(workspace, one, known, pack))
        except InputError as error:
            if len(packs) == 1:
                raise
            refused.append(f"{one.name} is not ranked: {error}")
    for ranking in rankings:
        show_ranking(ranking)
    if not rankings:
        raise InputError("\n".join(refused))
    print("\n".join(refused), end="\n" if refused else "")


def _imported(workspace: Workspace, pack: Pack, files: Sequence[Path]) -> list[Pack]:
    """Return the packs of some cutouts, imported where they are not what was imported last time.

    Raises InputError where the pack is of other cutouts, or was not made by a ranking.
    """
    record = workspace.ranked_from(pack)
    asked = {"from": [str(path.resolve()) for path in files], "files": _fingerprint(files)}
    try:
        kept = json.loads(record.read_text())
    except (OSError, ValueError):
        kept = {}
    if kept and kept["from"] != asked["from"]:
        raise InputError(
            f"{pack.folder}: has the cutouts of {', '.join(kept['from'])}, and these are {', '.join(asked['from'])}. "
            "Give one of the two a name of its own: PACK=<name> (make) or --pack <name>."
        )
    if not kept and objects_file(pack.folder).exists():
        raise InputError(
            f"{pack.folder}: there is a pack already that was not made from these cutouts. Rank it as it is: make rank "
            f"PACK={pack.name}, or give the cutouts another name: PACK=<name> (make) or --pack <name>."
        )
    if kept.get("files") != asked["files"]:
        folders = _import(files, pack.folder, overwrite=bool(kept))
        asked["packs"] = [str(folder.resolve()) for folder in folders]
        write_json(record, asked)
        kept = asked
    return [workspace.pack(None, Path(folder)) for folder in kept["packs"]]


def _import(files: Sequence[Path], out: Path, overwrite: bool) -> list[Path]:
    """Import cutouts and print what came of it; return the folders of the packs they made."""
    from lensfold.report.packs import show_import

    table, pictures = import_pack(files, out, overwrite)
    show_import(table, out, pictures)
    return [out]


def _fingerprint(files: Sequence[Path]) -> str:
    """Return a hash of the paths, sizes and times of change of all files, and of those in folders."""
    return digest({str(path): [(stat := path.stat()).st_size, stat.st_mtime_ns] for path in _all_files(files)})


def _all_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder. Give Euclid cutouts (FITS), or folders of them.")
        yield from (one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def _ranked(workspace: Workspace, pack: Pack, known: Sequence[Candidate], first: Pack) -> Ranking:
    """Predict a pack with the best network that fits, and write its list and page; return what to show of it."""
    _look(workspace, pack)
    fitting = _fitting(workspace, pack, known)
    chosen = fitting[0]
    network = why(chosen, fitting[1:])
    print(f"{pack.name} is scored by {network}")
    work = Work(workspace, pack, trained_on=chosen.trained_on, skip_bad=True)
    run(order_of(work, ("predict",), submission=chosen.submission), Executor())
    table, content = write_ranking(workspace, pack, chosen.submission)
    left = skipped_file(first.folder)
    skipped = len(pd.read_csv(left)) if left.exists() else 0
    notes = tuple(about_another_sky(workspace, pack, content)) if chosen.trained_on != pack.name else ()
    target = workspace.ranked(pack)
    ranking = Ranking(pack.name, table, target, network, notes, skipped, left, pack.is_simulated)
    write_ranked_page(ranking, workspace.cache(pack, "test"))
    return ranking


def _look(workspace: Workspace, pack: Pack) -> None:
    """Build the cache where it is not of the files there are now, and draw a sheet of objects where that is older."""
    from lensfold.report.packs import show_cache
    from lensfold.report.pictures import look

    target = workspace.cache(pack, "test")
    before = read_manifest(target) if has_manifest(workspace, pack, "test") else None
    manifest = read_manifest(current_cache(workspace, pack, "test", True, cores()))
    if manifest != before:
        show_cache(pack.name, "test", manifest)
    folder = workspace.look(pack, "test")
    if not is_newer(folder / "contact.png", target / "manifest.json"):
        with open_album(workspace, pack, "test") as album:
            print("\n".join(map(str, look(album, folder))))


def _fitting(workspace: Workspace, pack: Pack, known: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that can score a pack; InputError, with what the best one lacks, where there is none."""
    fitting, reason = [], ""
    for candidate in known:
        try:
            for name in candidate.experiments:
                check_frames(workspace, pack, candidate.trained_on, name)
            fitting.append(candidate)
        except InputError as error:
            reason = reason or str(error)
    if not fitting:
        raise InputError(f"no trained network fits {pack.name}. Of the best one: {reason}")
    return fitting
