"""Hashes, versions and the state of the code."""

import hashlib
import re
import subprocess
import time
from pathlib import Path

import lensfold
from lensfold.provenance import TrainingRecord, code_state, file_sha256, training_code, versions


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
                   check=True, capture_output=True)  # fmt: skip


def test_only_what_decides_a_result_makes_it_dirty(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("1")
    (tmp_path / "README.md").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    clean = code_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "README.md").write_text("2")
    assert code_state(tmp_path)["dirty"] is False
    (tmp_path / "src" / "a.py").write_text("2")
    assert code_state(tmp_path)["dirty"] is True


def test_no_git_no_claim(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_state(tmp_path) == {"commit": None, "dirty": None}


def test_file_hash_and_versions(tmp_path):
    (tmp_path / "x").write_bytes(b"lens")
    assert file_sha256(tmp_path / "x") == hashlib.sha256(b"lens").hexdigest()
    assert {"python", "keras", "numpy"} <= set(versions())


def test_training_code_is_what_training_imports():
    code = training_code()
    assert {"train", "batches", "augment", "pixels", "models", "catalog", "config"} <= set(code)
    assert not {"cli", "results", "leaderboard", "provenance", "scores", "paths"} & set(code)
    package = Path(lensfold.__file__).parent
    assert code["train"] == hashlib.sha256((package / "train.py").read_bytes()).hexdigest()[:12]
    for name in ("train", "batches"):  # every module that one of them imports at its top is there
        text = (package / f"{name}.py").read_text()
        direct = set(re.findall(r"^from lensfold[.](\w+) import", text, re.MULTILINE))
        assert direct - {"errors", "paths", "provenance", "scores"} <= set(code)


def test_cpu_time_adds_up_over_processes():
    record = TrainingRecord()
    before, started = record.core_seconds(), time.process_time()
    while time.process_time() - started < 0.05:
        sum(range(1000))
    subprocess.run(["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], check=True)
    spent = record.core_seconds() - before
    assert 0.05 <= spent < 5
    record.resume(100.0)
    assert 100.05 <= record.core_seconds() < 105
    record.resume(None)
    told = record.told()
    assert told["core_seconds"] is None and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", told["finished"])
