"""Kills, damage and edits over the whole pipeline on a small pack: the same bytes as from nothing, or a refusal.

    make torture HOURS=2 SEED=7

What must come out is not written down: it is what an undisturbed run makes of the same hand-written files, from
nothing. After every step the pipeline runs again in the disturbed project, and either has these very bytes or, where
results were damaged, stops with a sentence. A step is drawn from the seed and its number alone, and a kill comes at
the n-th change of a file, so that a seed and a number of steps give the same torture again.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fakes.pack import write_pack
from fakes.workspace import SVM, lensfold, write_settings

EVERYTHING = ("run", "folds", "cache", "train", "predict", "--pack", "fake")
#: a run that takes longer hangs, in seconds: on a busy machine too
LIMIT = 600
#: what a run imports: once here, so that each run is only a fork away
IMPORTED = (
    "lensfold.data.archive",
    "lensfold.data.cache_repair",
    "lensfold.jobs.run",
    "lensfold.jobs.work",
    "lensfold.leaderboard.history",
    "lensfold.pipeline.results.outcome",
    "lensfold.pipeline.submit",
    "lensfold.report.packs",
    "lensfold.training.kernel_machine",
    "scipy.stats",
    "sklearn.model_selection",
    "sklearn.svm",
)
#: what people write, beside the cutouts; all else is made from it
GIVEN = ("experiments/kernel.toml", "submissions/default.toml", "folds/folds.toml",
         "data/fake/image_catalog2.0train.csv")  # fmt: skip
#: results whose bytes are the same in every run: no times, no versions, no places
MADE = (
    "folds/fake.csv",
    "data/fake/cache/*/shard-*.npy",
    "data/fake/cache/*/statistics.json",
    "runs/fake/kernel/config.json",
    "runs/fake/kernel/predict.json",
    "runs/fake/kernel/statistics.json",
    "runs/fake/kernel/oof.csv",
    "runs/fake/kernel/fold*/oof.csv",
    "runs/fake/kernel/fold*/objects.csv",
    "runs/fake/kernel/fold*/test/fake.csv",
    "submissions/fake/default.csv",
)
#: files that only locks are, or that tell what was printed
PASSING = re.compile(r"\.lock$|/\.jobs/|/truth/|/report/|history\.csv$")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status, what it said, and whether it was killed."""

    code: int
    said: str
    killed: bool = False

    @property
    def is_refusal(self) -> bool:
        """Whether it stopped with a sentence and nothing else."""
        return self.code == 1 and "error: " in self.said and "Traceback" not in self.said


@dataclass
class Torture:
    """A project that is tortured, and what came of it."""

    folder: Path
    seed: int
    counts: Counter = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    _known: dict[str, tuple[Outcome, dict[str, str]]] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """The disturbed project."""
        return self.folder / "w"

    def begin(self) -> None:
        """Make the pack and the hand-written files, and run everything once."""
        for module in IMPORTED:
            importlib.import_module(module)
        write_settings(self.project)
        (self.project / "experiments" / "kernel.toml").write_text(SVM)
        (self.project / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "kernel"\n')
        write_pack(self.project / "data" / "fake", n_train=36, n_test=6, side=100)
        outcome = run(self.project)
        assert outcome.code == 0, outcome.said

    def step(self, number: int) -> None:
        """Do one disturbance, run everything again, and hold what came out against a run from nothing."""
        draw = random.Random(f"{self.seed}:{number}")
        kind = draw.choice(("kill", "damage", "damage", "damage", "edit"))
        before = {name: (self.project / name).read_bytes() for name in GIVEN}
        what, may_refuse = getattr(self, f"_{kind}")(draw)
        self.counts[f"{kind}: tries"] += 1
        found = run(self.project)
        problem = self._problem(found, may_refuse)
        if problem:
            self.counts[f"{kind}: broken"] += 1
            self.broken.append(f"SEED={self.seed} step {number} · {what}: {problem}")
        else:
            self.counts[f"{kind}: {'refused' if found.code else 'same bytes'}"] += 1
        if found.code or problem:  # what people wrote is put right, and all else is begun anew
            for name, content in before.items():
                (self.project / name).write_bytes(content)
            clear(self.project)
            again = run(self.project)
            assert again.code == 0, again.said

    def _problem(self, found: Outcome, may_refuse: bool) -> str:
        """Return what is wrong with the outcome of a run after a disturbance; "" where nothing is."""
        if found.code and not found.is_refusal:
            return f"exit status {found.code}: {found.said[-1500:]}"
        expected, files = self._from_nothing()
        if found.code:
            return "" if may_refuse or expected.code else f"refused, and from nothing it is not: {found.said[-500:]}"
        if expected.code:
            return f"done, and from nothing it is refused: {expected.said[-500:]}"
        now = hashes(self.project)
        other = sorted(name for name in {**now, **files} if now.get(name) != files.get(name))
        return f"other bytes than from nothing: {', '.join(other[:5])}" if other else ""

    def _from_nothing(self) -> tuple[Outcome, dict[str, str]]:
        """Return what an undisturbed run makes of the hand-written files that there are now."""
        given = hashlib.sha256(b"".join((self.project / name).read_bytes() for name in GIVEN)).hexdigest()
        if given not in self._known:
            fresh = self.folder / "fresh" / "w"
            shutil.rmtree(fresh.parent, ignore_errors=True)
            shutil.copytree(self.project, fresh)
            clear(fresh)
            self._known[given] = run(fresh), hashes(fresh)
        return self._known[given]

    def _kill(self, draw: random.Random) -> tuple[str, bool]:
        """Kill a run that has something to do at one of its changes of files."""
        results = [path for path in made(self.project) if "cache" not in path.parts or draw.random() < 0.3]
        for path in draw.sample(results, min(len(results), draw.randint(1, 4))):
            path.unlink()
        place = draw.randint(1, 90)
        outcome = run(self.project, die_at=place)
        return f"killed at change {place} ({'killed' if outcome.killed else 'had ended'})", False

    def _damage(self, draw: random.Random) -> tuple[str, bool]:
        """Damage one result on disk."""
        files = [path for path in made(self.project) if path.stat().st_size]
        path = draw.choice(files)
        how = draw.choice(DAMAGES)
        how(path, draw, files)
        if draw.random() < 0.5:  # so that something is left to do with what was damaged
            shutil.rmtree(draw.choice(list(self.project.glob("runs/fake/kernel/fold*"))) / "test", ignore_errors=True)
        return f"{how.__name__} {path.relative_to(self.project)}", True

    def _edit(self, draw: random.Random) -> tuple[str, bool]:
        """Edit a hand-written file as people do, or as an editor with a slip of the finger does."""
        name, old, new = draw.choice(EDITS)
        path = self.project / name
        text = path.read_text()
        if old:
            found = re.search(old, text)
            assert found, name
            path.write_text(text[: found.start()] + draw.choice(new) + text[found.end() :])
        else:
            lines = text.splitlines(keepends=True)
            del lines[draw.randrange(len(lines))]
            path.write_text("".join(lines))
        return f"edit of {name}", False


EDITS = (
    ("experiments/kernel.toml", r"objects = \d+", ("objects = 20", "objects = 24", "objects = 0")),
    ("experiments/kernel.toml", r"settings_tried = \d+", ("settings_tried = 3", "settings_tried = 4")),
    ("submissions/default.toml", r"^", ("digits = 5\n", "# better\n", "digit = 5\n")),
    ("folds/folds.toml", r"seed = \d+", ("seed = 5", "seed = 6")),
    ("folds/folds.toml", r"k = \d+", ("k = 3", "k = 2", "k = 1")),
    ("data/fake/image_catalog2.0train.csv", "", ()),
)


def bit(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def digit(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Change one digit, so that the file still reads well; of files without one a bit."""
    content = bytearray(path.read_bytes())
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if path.suffix == ".npy" or not places:
        return bit(path, draw, files)
    place = draw.choice(places)
    content[place] = 48 + (content[place] - 48 + draw.randint(1, 9)) % 10
    return path.write_bytes(content) and None


def cut(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Cut the end off, as a full disk does."""
    os.truncate(path, draw.randrange(path.stat().st_size))


def longer(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Add bytes."""
    with path.open("ab") as stream:
        stream.write(draw.randbytes(draw.randint(1, 40)))


def zeros(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Leave the length and none of the content, as a crash of a machine does."""
    path.write_bytes(bytes(path.stat().st_size))


def gone(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Delete it."""
    path.unlink()


def of_another(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Put another file of the same name or kind in its place, with its times."""
    alike = [other for other in files if other.suffix == path.suffix and other != path] or files
    shutil.copy2(draw.choice(alike), path)


def row(path: Path, draw: random.Random, files: list[Path]) -> None:
    """Put two lines in each other's place; of one line a bit."""
    lines = path.read_bytes().splitlines(keepends=True)
    if path.suffix == ".npy" or len(lines) < 2:
        return bit(path, draw, files)
    first, second = draw.sample(range(len(lines)), 2)
    lines[first], lines[second] = lines[second], lines[first]
    return path.write_bytes(b"".join(lines)) and None


DAMAGES = (bit, digit, digit, cut, longer, zeros, gone, of_another, row)


def made(project: Path) -> list[Path]:
    """Return the results that can be damaged, in order: shards, tables, records, markers."""
    places = [project / "data/fake/cache", project / "runs", project / "submissions/fake", project / "folds"]
    found = [path for place in places if place.is_dir() for path in place.rglob("*") if path.is_file()]
    given = {project / name for name in GIVEN}
    return sorted(path for path in found if path not in given and not PASSING.search(str(path)))


def clear(project: Path) -> None:
    """Delete everything that was made."""
    for place in ("data/fake/cache", "runs", "submissions/fake"):
        shutil.rmtree(project / place, ignore_errors=True)
    for path in ("fake.csv", ".fake.json"):
        (project / "folds" / path).unlink(missing_ok=True)


def hashes(project: Path) -> dict[str, str]:
    """Return the hash of each result whose bytes are the same in every run."""
    paths = sorted(path for pattern in MADE for path in project.glob(pattern))
    return {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def run(project: Path, die_at: int | None = None) -> Outcome:
    """Run everything in a process of its own, which is killed at its ``die_at``-th change of a file, if given."""
    told = project.parent / "told.json"
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.alarm(LIMIT)
            if die_at is not None:
                _die_at(die_at, str(project.resolve()))
            try:
                done = lensfold(project, *EVERYTHING, check=False)
                outcome = {"code": done.returncode, "said": done.stderr}
            except BaseException:
                outcome = {"code": 99, "said": traceback.format_exc()}
            told.write_text(json.dumps(outcome))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if told.is_file():
        return Outcome(**json.loads(told.read_text()))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return Outcome(137, "killed", killed=True)
    return Outcome(98, f"no answer within {LIMIT} s (status {status})")


def _die_at(count: int, project: str) -> None:
    """Have this process killed when it opens for writing, renames or removes in the project for the n-th time."""
    left = [count]

    def hook(event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            place = arguments[0] if isinstance(arguments[0], str | os.PathLike) else ""
            if str(Path(place).absolute()).startswith(project):
                left[0] -= 1
                if left[0] <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def torture(folder: Path, seed: int, steps: int | None = None, seconds: float | None = None) -> Torture:
    """Do so many steps, or steps for so long, in an empty folder; print what broke, and the counts by class."""
    started, work, number = time.monotonic(), Torture(folder, seed), 0
    work.begin()
    while (steps is None or number < steps) and (seconds is None or time.monotonic() - started < seconds):
        work.step(number)
        number += 1
        for line in work.broken[sum(n for name, n in work.counts.items() if name.endswith("broken")) - 1 :]:
            if work.counts["shown"] < len(work.broken):
                work.counts["shown"] += 1
                print(f"BROKEN {line}", flush=True)
    del work.counts["shown"]
    broken = len(work.broken)
    print(f"SEED={seed}: {number} steps, {number - broken} clean, {broken} broken")
    for name, count in sorted(work.counts.items()):
        print(f"  {name:24s} {count:5d}")
    return work


def main() -> None:
    """Read the command line; exit status 1 where something broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        work = torture(Path(folder), given.seed, given.steps, None if given.steps else 3600 * given.hours)
    sys.exit(bool(work.broken))


if __name__ == "__main__":
    main()
