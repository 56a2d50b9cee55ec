"""`lensfold rank`: cutouts in, a ranked list out. Import, look, predict with the best trained network, list.

Everything on the way is done once: cutouts are imported again only where they are others than last time.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lensfold.config import PREVALENCE
from lensfold.console import show_text
from lensfold.errors import InputError
from lensfold.euclid.layouts import Reading
from lensfold.euclid.packs import Options
from lensfold.files import digest, is_newer, write_json
from lensfold.jobs.plan import Work
from lensfold.jobs.process import cores
from lensfold.jobs.run import Executor, order_of, run
from lensfold.leaderboard.candidates import Candidate, candidates, own_first, why
from lensfold.paths import Pack, Workspace, objects_file, skipped_file
from lensfold.pipeline.cache import current_cache
from lensfold.pipeline.look import import_pack, open_album
from lensfold.pipeline.predict import check_frames
from lensfold.pipeline.results.outcome import about_another_sky
from lensfold.pipeline.results.ranking import about_purity, write_ranking
from lensfold.pipeline.results.teaching import write_teaching
from lensfold.pipeline.shipped import unpack_shipped
from lensfold.report.ranked import Ranking, show_ranking, write_ranked_page


@dataclass(frozen=True)
class Wanted:
    """Cutouts to rank, files or folders (none: the pack as it is), how they are imported, and networks that decide
    instead of the best; share of lenses in the sky that the purity is of."""

    files: tuple[Path, ...] = ()
    reading: Reading = Reading()
    options: Options = Options()
    trained_on: str | None = None
    submission: str | None = None
    prevalence: float = PREVALENCE
    #: how many of the objects are listed whose label would teach most
    teach: int = 0


def rank(workspace: Workspace, pack: Pack, wanted: Wanted) -> None:
    """Rank cutouts and print what came of it: ``ranked.csv`` and a page for each pack that a trained network fits.

    Raises InputError where there is no trained network, before anything is imported; where the pack's name is taken by
    other cutouts; and where no pack can be ranked, with the reasons.
    """
    unpack_shipped(workspace)
    known = candidates(workspace, wanted.trained_on, wanted.submission)
    packs = _imported(workspace, pack, wanted) if wanted.files else [pack]
    rankings, refused = [], []
    for one in packs:
        try:
            rankings.append(_ranked(workspace, one, known, pack, wanted))
        except InputError as error:
            if len(packs) == 1:
                raise
            refused.append(f"{one.name} is not ranked: {error}")
    if not rankings:
        raise InputError("\n".join(refused))
    for text in refused:
        show_text(text)
    for ranking in rankings:
        show_ranking(ranking)


def _imported(workspace: Workspace, pack: Pack, wanted: Wanted) -> list[Pack]:
    """Return the packs of some cutouts, imported where they are not what was imported last time.

    Raises InputError where the pack is of other cutouts, or was not made by a ranking.
    """
    record, kept = workspace.ranked_from(pack), _record(workspace.ranked_from(pack))
    asked = {"from": [str(path.resolve()) for path in wanted.files], "files": _fingerprint(wanted)}
    _check_ours(pack, kept, asked)
    if not asked.items() <= kept.items():
        write_json(record, {"from": asked["from"], "files": None, "packs": []})  # where it is stopped, it is known
        try:
            folders = _import(wanted, pack.folder, overwrite=bool(kept))
        except InputError:
            _restore(record, kept)
            raise
        kept = {**asked, "packs": [folder.name for folder in folders]}
        write_json(record, kept)
    main = pack.folder.resolve()
    return [pack if name == main.name else workspace.pack(None, pack.folder.parent / name) for name in kept["packs"]]


def _check_ours(pack: Pack, kept: dict, asked: dict) -> None:
    """Raise InputError where a pack is not of the cutouts asked for: neither from the same place nor the same files."""
    if kept and kept["from"] != asked["from"] and kept["files"] != asked["files"]:
        raise InputError(
            f"{pack.folder}: has the cutouts of {', '.join(kept['from'])}, and these are {', '.join(asked['from'])}. "
            "Give one of the two a name of its own: PACK=<name> (make) or --pack <name>."
        )
    if not kept and objects_file(pack.folder).exists():
        raise InputError(
            f"{pack.folder}: there is a pack already that was not made from these cutouts. Rank it as it is: make rank "
            f"PACK={pack.name}, or give the cutouts another name: PACK=<name> (make) or --pack <name>."
        )


def _record(path: Path) -> dict:
    """Return what a ranking imported last time; empty where it did not."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) and {"from", "files", "packs"} <= kept.keys() else {}


def _restore(record: Path, kept: dict) -> None:
    if kept:
        write_json(record, kept)
        return
    record.unlink(missing_ok=True)
    with suppress(OSError):
        record.parent.rmdir()  # only where nothing is inside


def _import(wanted: Wanted, out: Path, overwrite: bool) -> list[Path]:
    """Import cutouts and print what came of it; return the folders of the packs they made."""
    from lensfold.report.packs import show_import

    options = replace(wanted.options, overwrite=overwrite)
    made, pictures = import_pack(wanted.files, out, wanted.reading, options)
    show_import(made, out, pictures)
    return [one.folder for one in made.packs]


def _fingerprint(wanted: Wanted) -> str:
    """Return a hash of the files, those in folders too, by name, size and time of change, and of how they are read.

    Where the folders lie is no part of it. Raises InputError where one is absent or empty.
    """
    reading, options = wanted.reading, wanted.options
    found = [_files_of(path) for path in (*wanted.files, *([reading.table] if reading.table else []))]
    return digest({"files": found, "magzero": dict(reading.magzero), "pad": reading.pad, "side": options.side})


def _files_of(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change (ns) of a file, or of all files in a folder."""
    files = [one for one in sorted(path.rglob("*")) if one.is_file()] if path.is_dir() else [path]
    if not files or not path.exists():
        what = "no such file or folder" if not path.exists() else "an empty folder"
        raise InputError(f"{path}: {what}. Give Euclid cutouts (FITS), or folders of them.")
    stats = [(one.relative_to(path).as_posix(), one.stat()) for one in files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _ranked(workspace: Workspace, pack: Pack, known: Sequence[Candidate], first: Pack, wanted: Wanted) -> Ranking:
    """Predict a pack with the best network that fits, and write its list and page; return what to show of it."""
    _look(workspace, pack)
    fitting = own_first(_fitting(workspace, pack, known), pack.name)
    chosen = fitting[0]
    network = why(chosen, fitting[1:])
    show_text(f"{pack.name} is scored by {network}.")
    work = Work(workspace, pack, trained_on=chosen.trained_on, skip_bad=True)
    run(order_of(work, ("predict",), submission=chosen.submission), Executor())
    table, content = write_ranking(workspace, pack, chosen.submission, wanted.prevalence)
    teach = write_teaching(workspace, pack, table, content, wanted.teach)
    left = skipped_file(first.folder)
    skipped = len(pd.read_csv(left)) if left.exists() else 0
    notes = tuple(about_another_sky(workspace, pack, content)) if chosen.trained_on != pack.name else ()
    purity = about_purity(pack, workspace.pack(chosen.trained_on), content, wanted.prevalence)
    target = workspace.ranked(pack)
    ranking = Ranking(pack.name, table, target, network, notes, purity, skipped, left, pack.is_simulated, teach)
    write_ranked_page(ranking, workspace.cache(pack, "test"))
    return ranking


def _look(workspace: Workspace, pack: Pack) -> None:
    """Build the cache where it is not of the files there are now, and draw a sheet of objects where that is older."""
    from lensfold.report.pictures import look

    target = current_cache(workspace, pack, "test", True, cores())
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
        raise InputError(f"no trained network fits its frames. Of the best one: {reason}")
    return fitting
