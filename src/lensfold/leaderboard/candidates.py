"""Which trained networks there are to score a pack of nobody's labels with, the best first.

Best are networks that were fine-tuned on labels of the ranked pack itself (`own_first`), then those of a pack of
Euclid's sky: arcs in real cutouts, or the simulated sky ``euclid``. Then a submission of several runs before single
runs, and then the higher AUC out of fold, each on its own pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lensfold.errors import InputError
from lensfold.leaderboard.rows import Row, read_board
from lensfold.paths import SHIPPED, Pack, Workspace
from lensfold.runs.scores import Score
from lensfold.submission.settings import read_submission_settings

#: the sky that simulated packs for Euclid cutouts are of
EUCLID = "euclid"


@dataclass(frozen=True)
class Candidate:
    """Trained runs that can score a pack: a submission, or a single run by its name.

    ``members``: the runs whose scores it is made of; ``experiments``: these, and those of its Einstein radii.
    ``auc``: out of fold on the pack ``trained_on``; of a submission that was never made there, that of its best member;
    None where it is not known. ``is_of_euclid``: whether that pack is of Euclid's sky.
    """

    trained_on: str
    submission: str
    members: tuple[str, ...]
    experiments: tuple[str, ...]
    auc: Score | None = None
    is_of_euclid: bool = False
    #: whether all of them went on from a network that was trained before, on the pack's own labels
    is_tuned: bool = False

    @property
    def value(self) -> float:
        """The AUC; 0 where it is not known."""
        return (self.auc.value or 0.0) if self.auc else 0.0

    @property
    def place(self) -> tuple:
        """What candidates are sorted by, the best first."""
        return not self.is_of_euclid, len(self.members) == 1, -self.value, self.trained_on, self.submission


def candidates(workspace: Workspace, trained_on: str | None = None, submission: str | None = None) -> list[Candidate]:
    """Return what is trained and scored, the best first: at least one; of a pack, or of a name, where that is given.

    Raises InputError where there is none, and says what to run first, or what there is.
    """
    folders = sorted(path for path in (workspace.root / "runs").glob("*") if path.is_dir())
    found = [one for folder in folders for one in _of_pack(workspace, workspace.pack(folder.name))]
    if not found:
        raise InputError(
            "no network is trained here yet, and only a trained one can rank cutouts: run `make folds train "
            "PACK=euclid EXPERIMENT=euclid_cnn` first, or `make folds train predict` for a first look."
        )
    chosen = [one for one in found if trained_on in (None, one.trained_on) and submission in (None, one.submission)]
    if not chosen:
        asked = [f"--trained-on {trained_on}"] if trained_on else []
        asked += [f"--submission {submission}"] if submission else []
        there = ", ".join(f"{one.submission} of {one.trained_on}" for one in sorted(found, key=lambda one: one.place))
        raise InputError(f"{' '.join(asked)}: no such networks are trained and scored. There are: {there}.")
    return sorted(chosen, key=lambda one: one.place)


def _of_pack(workspace: Workspace, pack: Pack) -> list[Candidate]:
    """Return the scored runs that find lenses, and the submissions whose members all are among them."""
    rows, _ = read_board(workspace, pack)
    runs = {row.name: row for row in rows if row.is_run}
    made = {row.name: row for row in rows if not row.is_run and not row.notes and row.scores.pack == pack.name}
    names = sorted(path.stem for path in (workspace.root / "submissions").glob("*.toml"))
    sky = pack.is_injected or pack.profile == EUCLID
    together = [_submission(workspace, pack, name, runs, made.get(name), sky) for name in names]
    alone = [
        Candidate(
            pack.name,
            name,
            (name,),
            (name,),
            row.scores.auc,
            sky or row.members[0].config.get("sky") == EUCLID,
            _is_tuned(pack, row),
        )
        for name, row in runs.items()
        if name not in names and row.scores.task == "lens"
    ]
    return [*(one for one in together if one), *alone]


def _submission(
    workspace: Workspace, pack: Pack, name: str, runs: dict[str, Row], made: Row | None, sky: bool
) -> Candidate | None:
    """Return a submission as a candidate; None where not all of its members are trained, on the same folds."""
    try:
        settings = read_submission_settings(workspace, name, pack.name)
    except InputError:  # nothing to do with this pack; said where it is asked for
        return None
    members = tuple(member.experiment for member in settings.member)
    rows = [runs[member] for member in members if member in runs and runs[member].scores.task == "lens"]
    if len(rows) < len(members) or not runs.keys() >= set(settings.radius):
        return None
    if len({(row.folds_hash, row.scores.folds) for row in rows}) > 1:
        return None
    same = made is not None and {run.name for run in made.members} == set(members)
    auc = made.scores.auc if made and same else max((row.scores.auc for row in rows), key=_value)
    tuned = all(_is_tuned(pack, row) for row in rows)
    return Candidate(pack.name, name, members, settings.experiments, auc, sky, tuned)


def _is_tuned(pack: Pack, row: Row) -> bool:
    learner = (row.settings or {}).get("learner") or {}
    return pack.labels.is_file() and learner.get("weights") in ("lensfold", "file")


def _value(score: Score | None) -> float:
    return (score.value or 0.0) if score else 0.0


def own_first(known: Sequence[Candidate], pack: str) -> list[Candidate]:
    """Return candidates for a pack: those that were fine-tuned on its own labels come first."""
    own = [replace(one, is_tuned=one.is_tuned and one.trained_on == pack) for one in known]
    return sorted(own, key=lambda one: not one.is_tuned)


def why(chosen: Candidate, others: Sequence[Candidate]) -> str:
    """Return in words which networks are taken, and why these rather than ``others`` that would fit too."""
    kind = "run" if chosen.members == (chosen.submission,) else "submission"
    what = f"{kind} {chosen.submission} of pack {chosen.trained_on}"
    if chosen.trained_on == SHIPPED:
        what = f"{chosen.submission}, which ships with lensfold"
    if not others:
        return f"{what}, the only one that fits"
    if chosen.is_tuned:
        return f"{what}, fine-tuned on its own labels"
    rest, reasons = list(others), []
    if any(one.is_of_euclid != chosen.is_of_euclid for one in rest):
        reasons.append("trained on Euclid's sky")
        rest = [one for one in rest if one.is_of_euclid]
    if len(chosen.members) > 1 and any(len(one.members) == 1 for one in rest):
        reasons.append("several networks together")
        rest = [one for one in rest if len(one.members) > 1]
    if rest:
        reasons.append("the highest AUC out of fold")
    return f"{what}, the best of {len(others) + 1} that fit: {', then '.join(reasons)}"
