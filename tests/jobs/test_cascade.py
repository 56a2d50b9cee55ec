"""A cascade from its settings to the CSV: two stages, in parts, stopped and gone on with, through the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.jobs import contents
from fakes.pack import write_pack
from fakes.runs import reconfigure
from fakes.workspace import SVM, lensfold
from scipy.special import expit

from lensfold.prediction import logits
from lensfold.runs.cascade import Selection
from lensfold.runs.logits import read_logits
from lensfold.submission.manifest import read_submission_manifest

PACK = ("--pack", "fake")
PREDICT = ("run", "predict", *PACK, "--submission", "cascade")
CSV = "submissions/fake/cascade.csv"
FOLDS = range(3)


def write_cascade(root: Path, keep: float = 0.5, first: str = "eight", member: str = "kernel", more: str = "") -> None:
    cascade = f'{more}\n[cascade]\nfirst = "{first}"\nkeep = {keep}\nleast = 1\n'
    (root / "submissions" / "cascade.toml").write_text(cascade + f'[[member]]\nexperiment = "{member}"\n')


@pytest.fixture(scope="module")
def two_once(fitted_workspace, tmp_path_factory) -> Path:
    """A workspace with two kernel machines: ``kernel`` has one view, ``eight`` the mean of eight."""
    workspace = tmp_path_factory.mktemp("two") / "w"
    shutil.copytree(fitted_workspace, workspace)
    eight = SVM.replace("d4_average = false", "d4_average = true").replace("objects = 24", "objects = 20")
    (workspace / "experiments" / "eight.toml").write_text(eight)
    lensfold(workspace, "run", "train", *PACK, "--experiment", "eight")
    return workspace


@pytest.fixture
def two(two_once, tmp_path) -> Path:
    shutil.copytree(two_once, tmp_path / "w")
    write_cascade(tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def asked(monkeypatch) -> list[tuple[int, bool]]:
    """Every object that a network is asked for, with whether in eight views."""
    found: list[tuple[int, bool]] = []
    logits_of = logits.logits_of

    def noted(inference, preparation, ids, batch_size, d4_average, progress=None):
        found.extend((int(i), d4_average) for i in ids)
        return logits_of(inference, preparation, ids, batch_size, d4_average, progress)

    monkeypatch.setattr(logits, "logits_of", noted)  # as predictions call it, and no proof of a machine
    return found


def mean(root: Path, run: str, file: str) -> pd.Series:
    return sum(read_logits(root / "runs" / "fake" / run / f"fold{fold}" / file) for fold in FOLDS) / 3


def scores(root: Path) -> pd.Series:
    return pd.read_csv(root / CSV, header=None, index_col=0)[1]


def refused(root: Path, *arguments: str) -> str:
    done = lensfold(root, *(arguments or PREDICT), check=False)
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    return " ".join(done.stderr.split())


def test_the_members_score_the_best_and_the_rest_stand_below(two, asked):
    out = lensfold(two, *PREDICT, "--parts", "2").stdout
    first = mean(two, "eight", "one_view/fake.csv")
    kept = first.sort_values(ascending=False).index[:4].sort_values()
    member = mean(two, "kernel", "kept/fake/eight-0.5-1.csv")
    assert member.index.equals(kept)
    assert sorted(asked) == sorted([*((i, False) for i in first.index), *((i, False) for i in kept)] * 3)
    written = scores(two)
    np.testing.assert_array_equal(written[kept], expit(member))
    rest = written.drop(kept)
    assert 0 < rest.max() < written[kept].min() and rest.rank().equals(first[rest.index].rank())
    manifest = read_submission_manifest(two / CSV)
    row, cascade = manifest.scores[-1], manifest.cascade
    assert row["name"] == "ensemble (logit-mean), cascade of the best 50 % by eight"
    assert cascade.name == "eight" and (cascade.kept, cascade.objects) == (4, 8)
    assert row["auc"]["value"] == pytest.approx(cascade.measured["auc"]["second"])
    assert cascade.measured["auc"]["first"] == pytest.approx(manifest.scores[0]["auc"]["value"])
    for words in ("the members the best 4 of them", "Of the full ensemble's best 1 % it keeps"):
        assert words in " ".join(out.split())
    before = contents(two, "**/*.csv") | contents(two, "**/*.json")
    asked.clear()
    assert "is up to date" in lensfold(two, *PREDICT).stdout and not asked
    assert before == contents(two, "**/*.csv") | contents(two, "**/*.json")
    done = lensfold(two, "explain-submission", CSV, "--verify")
    assert "the best 4 of 8 objects by eight" in done.stdout
    assert {"kept/fake/0.5-1.csv", "fold2/one_view/fake.csv"} <= set(manifest.runs["eight"].files)
    assert "fold2/kept/fake/eight-0.5-1.csv" in manifest.runs["kernel"].files
    damaged = two / "runs/fake/kernel/fold1/kept/fake/eight-0.5-1.csv"
    damaged.write_text(damaged.read_text().replace("\n", "\n ", 1))
    assert lensfold(two, "explain-submission", CSV, "--verify", check=False).returncode == 1
    lensfold(two, *PREDICT)
    assert {i for i, _ in asked} == set(kept) and len(asked) == 4  # of that fold alone


def test_stopped_between_the_stages_it_goes_on_there(two, asked, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Selection, "write", lambda _: (_ for _ in ()).throw(RuntimeError("stopped")))
        assert lensfold(two, *PREDICT, "--parts", "3", check=False).returncode == 1
    assert len(asked) == 24 and not (two / CSV).exists()
    asked.clear()
    listed = lensfold(two, "jobs", "predict", *PACK, "--submission", "cascade", "--parts", "3", "--ids").stdout.split()
    assert listed == ["keep:eight:3", *(f"predict:kernel:{n}of3" for n in (1, 2, 3)), "join:kernel:3"]
    lensfold(two, *PREDICT, "--parts", "3")
    assert len(asked) == 12


def test_jobs_one_by_one_are_the_whole(two, two_once, tmp_path):
    other = shutil.copytree(two_once, tmp_path / "other")
    write_cascade(other)
    lensfold(other, *PREDICT, "--parts", "2")
    early = refused(two, "run-job", "predict:kernel:1of1", *PACK, "--cascade", "eight:0.5:1")
    assert "kept/fake/0.5-1.csv: absent, or not of the logits of eight" in early
    for name in ("first:eight:2of2", "keep:eight:2", "predict:kernel:2of2", "join:kernel:2"):
        lensfold(two, "run-job", name, *PACK, "--cascade", "eight:0.5:1")
    lensfold(two, "submit", *PACK, "--submission", "cascade")
    assert contents(two, "runs/fake/*/**/*.csv") == contents(other, "runs/fake/*/**/*.csv")
    assert (two / CSV).read_bytes() == (other / CSV).read_bytes()
    assert "give --cascade" in refused(two, "run-job", "keep:eight:1", *PACK)
    for wrong in ("eight", "eight:2:1", "eight:0.5:0", "../x:0.5:1", "eight:0.5:1:1"):
        assert "expected RUN:SHARE:LEAST" in refused(two, "run-job", "keep:eight:1", *PACK, "--cascade", wrong)


def test_more_kept_predicts_only_what_is_new(two, asked):
    lensfold(two, *PREDICT)
    asked.clear()
    write_cascade(two, keep=0.75)
    lensfold(two, *PREDICT)
    assert len(asked) == 2 * 3
    asked.clear()
    write_cascade(two, keep=0.25)
    lensfold(two, *PREDICT)
    assert not asked and len(mean(two, "kernel", "kept/fake/eight-0.25-1.csv")) == 2


def test_all_kept_is_the_full_ensemble(two, asked):
    write_cascade(two, keep=1)
    lensfold(two, *PREDICT)
    lensfold(two, "run", "predict", *PACK, "--submission", "kernel")
    assert (two / CSV).read_bytes() == (two / "submissions/fake/kernel.csv").read_bytes()
    manifest = json.loads((two / CSV).with_suffix(".json").read_text())
    measured = manifest["cascade"]["measured"]
    assert measured["auc"]["value"] == 0 and measured["top_kept"] == 1


def test_a_first_run_with_one_view_that_is_a_member_predicts_once(two, asked):
    """What it said of all objects is what it says of those kept."""
    write_cascade(two, first="kernel")
    lensfold(two, *PREDICT)
    assert len(asked) == 8 * 3
    kept = mean(two, "kernel", "kept/fake/kernel-0.5-1.csv")
    np.testing.assert_array_equal(kept, mean(two, "kernel", "test/fake.csv")[kept.index])


def test_other_networks_choose_again(two, asked):
    lensfold(two, *PREDICT)
    asked.clear()
    experiment = two / "experiments" / "eight.toml"
    experiment.write_text(experiment.read_text().replace("objects = 20", "objects = 16"))
    lensfold(two, *PREDICT)
    assert sum(not views for _, views in asked) >= 8 * 3
    first = mean(two, "eight", "one_view/fake.csv")
    chosen = read_logits(two / "runs/fake/eight/kept/fake/0.5-1.csv")
    assert chosen.index.equals(first.sort_values(ascending=False).index[:4].sort_values())


def test_mistakes_are_told_in_a_sentence(two):
    write_cascade(two, first="nothing")
    assert 'cascade.toml: cascade.first = "nothing"' in (told := refused(two)) and "Files there: eight" in told
    for keep in (0, 1.5, -1):
        write_cascade(two, keep=keep)
        assert "cascade.keep" in refused(two)
    write_cascade(two, more='radius = ["eight"]')
    assert "leave one of the two out" in refused(two)
    write_cascade(two, more='combine = "rank-mean"')
    assert 'write combine = "logit-mean"' in refused(two)
    (two / "experiments" / "sizes.toml").write_text('task = "einstein-radius"\n' + SVM)
    write_cascade(two, first="sizes")
    assert 'cascade.first = "sizes"' in refused(two)


def test_a_first_run_that_sees_more_than_the_pack_has_is_refused(two, tmp_path):
    folder = two / "runs" / "fake" / "eight"
    config = json.loads((folder / "config.json").read_text())
    config["experiment"]["pixels"]["crop"] = 160
    reconfigure(folder, config)
    (folder / ".configured").unlink(missing_ok=True)  # else the edit is what is refused
    write_pack(tmp_path / "narrow", n_train=2, n_test=2, side=100)
    told = refused(two, *PREDICT[:2], "--data", str(tmp_path / "narrow"), "--trained-on", "fake", *PREDICT[4:])
    assert "eight: its networks see 160 VIS pixels" in told
