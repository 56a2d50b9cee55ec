"""Hashes, versions and the state of the code."""

import hashlib
import subprocess

from lensfold.provenance import code_state, file_sha256, versions


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
