"""What this machine is, as anybody may read it, and what of it will hurt."""

import getpass
import json
import platform
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from fakes.workspace import PROJECT, lensfold

from lensfold.errors import InputError
from lensfold.jobs import doctor, speed
from lensfold.jobs.doctor import examine
from lensfold.jobs.speed import StepSpeed, step_speeds
from lensfold.paths import Workspace


def test_one_table_and_sentences_without_names_and_paths(fake_workspace):
    files = sorted(fake_workspace.rglob("*"))
    done = lensfold(fake_workspace, "doctor", "--seconds", "0")
    for word in ("lensfold", "python", "tensorflow", "keras", "numpy", "cores", "memory", "GB free", "Ray", "SLURM"):
        assert word in done.stdout
    words = done.stdout.replace("|", " ").split()
    for own in (platform.node(), getpass.getuser(), str(fake_workspace), str(PROJECT), str(Path.home())):
        assert own not in words and not any(len(own) > 5 and own in word for word in words)
    assert sorted(fake_workspace.rglob("*")) == files


def test_networks_and_disk_are_timed(fake_workspace):
    done = lensfold(fake_workspace, "doctor", "--seconds", "1", "--json")
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["steps"]] == ["tiny"] and found["steps"][0]["images_per_second"] > 0
    assert found["disk_mb_s"] > 0 and found["cores"] > 0 and found["disk_gb"] > 0


def test_what_comes_too_late_is_not_timed(fake_workspace, monkeypatch):
    monkeypatch.setattr(speed, "_images_per_second", lambda *_: pytest.fail("timed"))
    problems: list[str] = []
    assert step_speeds(Workspace(fake_workspace), 0.0, problems) == [StepSpeed("tiny", None, 1)] and not problems


def test_without_a_submission_nothing_is_timed_and_it_says_so(tmp_path):
    problems: list[str] = []
    assert step_speeds(Workspace(tmp_path), 1.0, problems) == []
    assert problems == [
        "The default submission, or an experiment of it, is not here or not valid: no network is timed."
    ]


def test_each_thing_that_will_hurt_is_a_sentence(tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", ("total", "used", "free"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 9e9))
    monkeypatch.setattr(doctor, "_available_memory", lambda: 3.0)
    monkeypatch.setattr(doctor, "cores", lambda: 8)
    monkeypatch.setattr(doctor, "write_speed", lambda _: 5.0)
    monkeypatch.setattr(doctor, "step_speeds", lambda *_: [])
    monkeypatch.setattr(doctor, "versions", lambda: {"python": "3.11", "tensorflow-cpu": "2"})
    monkeypatch.setattr(doctor, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr(doctor, "_version_of", lambda _: "not here")
    monkeypatch.setattr(shutil, "which", lambda _: None)

    def refused(*_: object) -> None:
        raise InputError("x")

    monkeypatch.setattr(doctor, "exclusive", refused)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError))
    found = examine(Workspace(tmp_path), 1.0)
    for words in (
        "9.0 GB of disk are free: the cache of 100,000 objects needs 21 GB",
        "give JOBS=1 (--jobs)",
        "writes 5 MB/s",
        "OpenVINO is not here",
        "ImageNet weights are not here",
        "REQUIREMENTS=requirements-gpu.txt",
        "git is not here",
        "set TMPDIR",
        "locks no files",
    ):
        assert any(words in problem for problem in found.problems), words
    doctor.show(found)
    assert "set TMPDIR" in capsys.readouterr().out
