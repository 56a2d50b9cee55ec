"""Which jobs there are, what each waits for, and when one is done."""

import json
import os
import shutil
from contextlib import suppress

import pytest
from fakes.jobs import work
from fakes.workspace import configure_tiny, lensfold, predict_fold
from hypothesis import given
from hypothesis import strategies as st

from lensfold.config import CascadeSettings
from lensfold.errors import InputError
from lensfold.jobs import run
from lensfold.jobs.job import Job, parse_job
from lensfold.jobs.plan import Work, jobs_of, needed
from lensfold.jobs.run import Executor, run_needed
from lensfold.jobs.slurm import job_script
from lensfold.paths import Workspace

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", fullmatch=True)


def to_do(asked: Work) -> list[str]:
    return [str(job) for job in needed(asked, jobs_of(asked))]


@st.composite
def any_job(draw) -> Job:
    kind, name, count = (
        draw(st.sampled_from(("cache", "merge", "train", "predict", "join", "first", "keep"))),
        draw(NAMES),
        draw(st.integers(1, 10**9 - 1)),
    )
    if kind == "train":
        return Job(kind, name, draw(st.integers(0, 99)))
    if kind in ("cache", "predict", "first"):
        return Job(kind, name, draw(st.integers(0, count - 1)), count)
    return Job(kind, name) if kind == "merge" else Job(kind, name, count=count)


@given(any_job())
def test_a_name_says_all_about_its_job(job):
    assert parse_job(str(job)) == job


@pytest.mark.parametrize(
    "text",
    ["", "train", "train:x", "train:x:-1", "train:x:01", "train:x:1of2", "train:../x:1", "cache:train:0of3", "join:x:0",
     "cache:train:4of3", "cache:train:1", "merge:train:", "merge:train:1", "merge::", "predict:x:1of", "sell:x:1",
     "train:x:1:2", "train: x:1", "train:x:٣"],
)  # fmt: skip
def test_other_names_are_refused(text):
    with pytest.raises(InputError, match="expected cache:SPLIT:1of4"):
        parse_job(text)


@given(st.text(max_size=40))
def test_any_text_is_a_job_or_refused(text):
    with suppress(InputError):
        assert str(parse_job(text)) == text


def test_everything_is_needed_at_first_in_an_order_that_can_be_followed(fake_workspace, tmp_path):
    from fakes.workspace import write_settings

    write_settings(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fake").symlink_to(fake_workspace / "data" / "fake")
    asked = work(tmp_path)  # the folder is the other workspace's, so the caches are not there
    jobs = jobs_of(asked)
    assert (tmp_path / "folds" / "fake.csv").is_file()
    assert list(map(str, jobs)) == [
        *("cache:train:1of2", "cache:train:2of2", "merge:train", "cache:test:1of2", "cache:test:2of2", "merge:test"),
        *("train:tiny:0", "train:tiny:1", "train:tiny:2", "predict:tiny:1of2", "predict:tiny:2of2", "join:tiny:2"),
    ]
    waits = {str(job): set(map(str, before)) for job, before in jobs.items()}
    assert waits["merge:train"] == {"cache:train:1of2", "cache:train:2of2"}
    assert waits["train:tiny:1"] == {"merge:train"}
    assert waits["predict:tiny:2of2"] == {"merge:test", "train:tiny:0", "train:tiny:1", "train:tiny:2"}
    assert waits["join:tiny:2"] == {"predict:tiny:1of2", "predict:tiny:2of2"}


def test_what_is_done_is_not_needed(trained):
    assert to_do(work(trained)) == ["predict:tiny:1of2", "predict:tiny:2of2", "join:tiny:2"]
    assert to_do(work(trained, predicted=())) == []
    predict_fold(trained, int("0"))
    assert to_do(work(trained))[0] == "predict:tiny:1of2"  # folds 1 and 2 are missing
    for fold in ("1", "2"):
        predict_fold(trained, int(fold))
    assert to_do(work(trained)) == []
    assert to_do(work(trained, parts=3)) == []  # however it would be divided


def test_done_means_of_these_settings_and_pixels_not_of_this_time(trained):
    run = trained / "runs" / "fake" / "tiny"
    for name in ("config.json", "predict.json", "fold0/oof.csv"):
        os.utime(run / name)
    assert to_do(work(trained, predicted=())) == []
    marker = json.loads((run / "fold0" / "done.json").read_text())
    assert set(marker) == {"settings", "predict", "folds", "pixels", "labels", "oof", "network"}
    (run / "fold0" / "done.json").write_text(json.dumps(marker | {"pixels": "others"}))
    (run / "fold1" / "oof.csv").unlink()
    assert to_do(work(trained, predicted=())) == ["train:tiny:0", "train:tiny:1"]
    (run / "fold2" / "done.json").write_text("{")
    assert "train:tiny:2" in to_do(work(trained, predicted=()))


def test_other_settings_of_prediction_are_a_reason_to_predict_again(trained):
    for fold in ("0", "1", "2"):
        predict_fold(trained, int(fold))
    experiment = trained / "experiments" / "tiny.toml"
    experiment.write_text(experiment.read_text().replace("[predict]", "[predict]\nd4_average = false"))
    configure_tiny(trained)
    assert to_do(work(trained, parts=1)) == ["train:tiny:0", "train:tiny:1", "train:tiny:2", "predict:tiny:1of1"]


def test_an_edited_experiment_is_another_one_and_a_comment_is_not(trained, capfd):
    experiment = trained / "experiments" / "tiny.toml"
    text = experiment.read_text()
    experiment.write_text(f"# a remark\n{text}")
    asked = work(trained, predicted=())
    assert len(to_do(asked)) == 3  # not resolved yet: nobody knows
    run_needed(asked, Executor())
    assert capfd.readouterr().out == "" and to_do(asked) == []
    experiment.write_text(text.replace("epochs = 2", "epochs = 1"))
    told: list[str] = []
    recorded = lambda work, jobs, engine, *_: told.extend(map(str, jobs))  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "drive", recorded)
        run_needed(asked, Executor())
    assert told == ["train:tiny:0", "train:tiny:1", "train:tiny:2"]


def test_a_fold_vouches_for_the_settings_it_was_trained_with(trained, monkeypatch):
    """Though another process resolves others meanwhile."""
    config = trained / "runs" / "fake" / "tiny" / "config.json"
    before = json.loads(config.read_text())

    def train_fold(task, log):
        config.write_text(json.dumps(before | {"folds_hash": "others"}))
        (task.folder / "oof.csv").write_text("ID,logit\n")

    (config.parent / "fold1" / "oof.csv").unlink()
    monkeypatch.setattr("lensfold.training.network.train_fold", train_fold)
    lensfold(trained, "run-job", "train:tiny:1", "--pack", "fake")
    marker = json.loads((config.parent / "fold1" / "done.json").read_text())
    assert marker["folds"] == before["folds_hash"] != "others"
    assert "train:tiny:1" in to_do(work(trained, predicted=()))


def test_a_pack_without_a_catalog_is_cached_once(trained):
    """As ``import-euclid`` makes them: a bare test split, predicted with runs of another pack."""
    bare = trained / "data" / "bare"
    shutil.copytree(trained / "data" / "fake" / "test" / "Public", bare / "Public")
    workspace = Workspace(trained)
    asked = Work(workspace, workspace.pack("bare"), predicted=("tiny",), trained_on="fake")
    assert to_do(asked) == ["cache:test:1of1", "merge:test", "predict:tiny:1of1"]
    lensfold(trained, "cache", "--split", "test", "--pack", "bare")
    assert to_do(asked) == ["predict:tiny:1of1"]


def test_a_cache_that_is_to_be_built_brings_all_that_is_made_from_it(trained):
    catalog = trained / "data" / "fake" / "image_catalog2.0train.csv"
    os.utime(catalog)
    assert to_do(work(trained, predicted=())) == []  # a time decides nothing
    catalog.write_text("\n".join(catalog.read_text().splitlines()[:-1]) + "\n")
    found = to_do(work(trained, parts=1))
    assert found[:2] == ["cache:train:1of1", "merge:train"] and "train:tiny:0" in found


def test_a_cascade_has_two_stages(trained):
    asked = work(trained, cascade=CascadeSettings(first="tiny", keep=0.5, least=1))
    waits = {str(job): set(map(str, before)) for job, before in needed(asked, jobs_of(asked)).items()}
    parts = ["predict:tiny:1of2", "predict:tiny:2of2"]
    assert list(waits) == ["first:tiny:1of2", "first:tiny:2of2", "keep:tiny:2", *parts, "join:tiny:2"]
    assert waits["keep:tiny:2"] == {"first:tiny:1of2", "first:tiny:2of2"}
    assert [waits[part] for part in parts] == [{"keep:tiny:2"}] * 2
    assert " ".join(asked.command(Job("keep", "tiny", count=2))).endswith("--cascade tiny:0.5:1 keep:tiny:2")
    assert "--cascade tiny:0.5:1" in job_script(asked)


def test_only_some_folds(trained):
    (trained / "runs" / "fake" / "tiny" / "fold1" / "oof.csv").unlink()
    assert to_do(work(trained, predicted=(), folds=(0, 2))) == []
    assert to_do(work(trained, predicted=(), folds=(1,))) == ["train:tiny:1"]
    with pytest.raises(InputError, match="fold 7 does not exist: the folds of fake are 0 to 2"):
        jobs_of(work(trained, folds=(7,)))


def test_twins_are_cached_for_experiments_that_ask_for_them(workspace):
    experiment = workspace / "experiments" / "tiny.toml"
    experiment.write_text(experiment.read_text().replace("[train]", "[train]\ntwins = 0.5"))
    with pytest.raises(InputError, match="no twins found"):
        jobs_of(work(workspace))


def test_unknown_experiments_are_told_before_anything_is_made(workspace):
    with pytest.raises(InputError, match=r"nothing\.toml"):
        jobs_of(work(workspace, trained=("nothing",)))


def test_the_command_line_lists_them(trained):
    done = lensfold(trained, "jobs", "--pack", "fake", "--experiment", "tiny", "--parts", "2")
    assert "jobs · pack fake · 9 of 12 done" in done.stdout and "predict:tiny" in done.stdout
    options = ("--pack", "fake", "--parts", "2", "--ids")
    assert lensfold(trained, "jobs", *options).stdout.split() == [
        "predict:tiny:1of2",
        "predict:tiny:2of2",
        "join:tiny:2",
    ]
    assert "expected some of folds, cache, train, predict" in lensfold(trained, "jobs", "sell", check=False).stderr
