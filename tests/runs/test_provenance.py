"""Hashes, versions and the state of the code."""

import hashlib
import re
import subprocess
import time
from pathlib import Path

from fakes.workspace import git

import lensfold
from lensfold.files import file_sha256
from lensfold.runs.provenance import TrainingRecord, code_state, software, training_code, versions


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


def test_a_software_bill_has_the_pins_and_what_is_installed(tmp_path):
    assert software(tmp_path)["pins_sha256"] is None
    (tmp_path / "requirements.txt").write_text("numpy==1")
    found = software(tmp_path)
    assert found["pins_sha256"] == hashlib.sha256(b"numpy==1").hexdigest()
    assert found["packages"]["numpy"] == versions()["numpy"] and "typing-extensions" in found["packages"]


def test_file_hash_and_versions(tmp_path):
    (tmp_path / "x").write_bytes(b"lens")
    assert file_sha256(tmp_path / "x") == hashlib.sha256(b"lens").hexdigest()
    assert {"python", "keras", "numpy"} <= set(versions())


def test_training_code_is_what_training_imports():
    """Every module that training and prediction import, directly or not, is recorded, but for what reads and writes."""
    code = training_code()
    package = Path(lensfold.__file__).parent
    assert code["training.network"] == file_sha256(package / "training" / "network.py")[:12]
    waiting, found = ["training.network", "training.kernel_machine", "prediction.logits"], set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            path = package.joinpath(*name.split("."))
            text = (path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py").read_text()
            waiting += re.findall(r"^ *from lensfold[.]([\w.]+) import", text, re.MULTILINE)
            waiting += [f"{a}.{b}" for a, b in re.findall(r"^ *from lensfold[.](\w+) import (\w+)", text, re.MULTILINE)
                        if (package / a / f"{b}.py").is_file()]  # fmt: skip
    assert "data.catalog" in found
    assert {name.split(".")[0] for name in found - set(code)} <= {
        "errors",
        "paths",
        "files",
        "runs",
        "scoring",
        "console",
        "workers",
    }


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
    content = record.content()
    assert content["core_seconds"] is None and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", content["finished"])
