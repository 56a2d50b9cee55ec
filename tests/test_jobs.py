"""Training jobs as processes: which are missing, what a failure leaves, what is said."""

import os
import sys

import pytest
from conftest import lensfold

from lensfold.errors import InputError
from lensfold.jobs import TrainingJob, missing_jobs, run_jobs
from lensfold.paths import Pack, Workspace


class Written(TrainingJob):
    """A job whose process only says that it was here, and fails for fold 1."""

    def command(self, workspace, pack):
        text = f"print('{self.experiment} {self.fold} in', __import__('os').environ['TF_CPP_MIN_LOG_LEVEL']);"
        return [sys.executable, "-c", text + f"raise SystemExit({int(self.fold == 1)})"]


def place(root):
    return Workspace(root), Pack("fake", root / "data" / "fake")


def test_jobs_are_the_folds_that_are_not_trained_with_these_settings(trained):
    workspace, pack = place(trained)
    assert missing_jobs(workspace, pack, ["tiny"]) == []
    (workspace.run("fake", "tiny") / "fold1" / "oof.csv").unlink()
    assert missing_jobs(workspace, pack, ["tiny"]) == [TrainingJob("tiny", 1)]
    os.utime(workspace.run("fake", "tiny") / "config.json")  # as after a change of settings
    assert len(missing_jobs(workspace, pack, ["tiny"])) == 3


def test_a_job_is_the_command_that_trains_one_fold(trained, capfd):
    workspace, pack = place(trained)
    target = workspace.run("fake", "tiny") / "fold2" / "oof.csv"
    before = target.read_bytes()
    target.unlink()
    run_jobs(workspace, pack, [TrainingJob("tiny", 2)], 2)
    assert target.read_bytes() == before  # the network was there, only its predictions were missing
    assert "tiny fold 2 trained  1/1 folds  left 0 min" in capfd.readouterr().out
    assert missing_jobs(workspace, pack, ["tiny"]) == []


def test_each_job_has_a_log_and_is_counted(tmp_path, capsys):
    workspace, pack = place(tmp_path)
    run_jobs(workspace, pack, [Written("a", 0), Written("b", 2)], 2)
    assert (tmp_path / "runs" / "fake" / "b" / "fold2" / "log.txt").read_text() == "b 2 in 2\n"
    assert "2/2 folds" in capsys.readouterr().out


def test_a_failure_is_told_with_the_end_of_its_log_and_stops_what_waits(tmp_path):
    workspace, pack = place(tmp_path)
    with pytest.raises(InputError, match=r"a fold 1 failed \(exit status 1\).*log\.txt ends: a 1 in 2"):
        run_jobs(workspace, pack, [Written("a", 1), *(Written("b", fold) for fold in range(2, 60))], 1)
    assert not (tmp_path / "runs" / "fake" / "b" / "fold59").exists()


def test_no_jobs_no_processes(tmp_path, capsys):
    run_jobs(*place(tmp_path), [], 2)
    assert capsys.readouterr().out == ""


def test_what_a_failing_command_said_reaches_the_user(workspace):
    place_of, pack = place(workspace)
    lensfold(workspace, "configure", "--experiment", "tiny", "--pack", "fake")
    with pytest.raises(InputError, match="fold 7 does not exist"):
        run_jobs(place_of, pack, [TrainingJob("tiny", 7)], 1)
