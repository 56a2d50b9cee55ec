"""Temporary files of killed processes are swept; those of living ones, and of other machines, are left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fakes.workspace import environment, lensfold

from lensfold import files
from lensfold.files import replacing, sweep

#: a process that is killed in the middle of a file
KILLED = """
import os, signal, sys
from pathlib import Path
from lensfold.files import replacing
for place in sys.argv[2:]:
    replacing(Path(place)).__enter__().write_text("half")
os.kill(os.getpid(), int(sys.argv[1]))
"""


def killed_while_writing(*places: Path) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", KILLED, str(int(signal.SIGKILL)), *map(str, places)]
    assert subprocess.run(command, env=environment()).returncode == -signal.SIGKILL


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*") if path.is_file() and path.name[1].isdecimal())


def test_what_a_killed_process_left_is_swept(tmp_path):
    killed_while_writing(tmp_path / "a" / "b.csv", tmp_path / "plot.png")
    (tmp_path / ".a.png").touch()
    (tmp_path / ".123.json").touch()  # says what the folds of a pack called 123 are of
    assert len(hidden(tmp_path)) == 3
    with replacing(tmp_path / "mine.csv") as temporary:
        temporary.touch()
        assert len(sweep(tmp_path)) == 2 and temporary.exists()
    assert hidden(tmp_path) == [".123.json"] and sorted(path.name for path in tmp_path.iterdir())[-1] == "mine.csv"
    assert sweep(tmp_path / "absent") == []


def test_of_another_machine_only_what_is_old_is_swept(tmp_path):
    path = tmp_path / f".{2**22 + 1}+01234567.x.csv"  # the number of no process here
    path.touch()
    assert sweep(tmp_path) == [] and path.exists()
    os.utime(path, (time.time() - files.A_DAY - 60,) * 2)
    assert sweep(tmp_path) == [path] and not path.exists()


def test_the_next_job_sweeps(fitted):
    runs = fitted / "runs" / "fake"
    places = (runs / ".jobs" / "train:kernel:0.json", runs / "report" / "x.png", runs / "kernel" / "fold0" / "oof.csv")
    others = (fitted / "folds" / "fake.csv", fitted / "data" / "fake" / "cache" / "train" / "manifest.json")
    killed_while_writing(*places, *others, fitted / "submissions" / "fake" / "x.csv", fitted / "data/fake/look/x.png")
    assert len(hidden(fitted)) == 7
    lensfold(fitted, "run-job", "train:kernel:0", "--pack", "fake")
    assert hidden(fitted) == []
    killed_while_writing(*places)
    lensfold(fitted, "run", "train", "--experiment", "kernel", "--pack", "fake")
    assert hidden(fitted) == []
