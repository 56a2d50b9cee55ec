"""Features of others from training to a submission, through the command line, bound to the content of their files."""

import shutil

import numpy as np
import pytest
from fakes.workspace import lensfold

from lensfold.data.cache import Cache
from lensfold.data.catalog import labels, read_catalog
from lensfold.runs.run import Run

GIVEN = """
[learner]
kind = "given_features"
features = "features/dino"
[train]
batch_size = 8
[[stage]]
min_size = 20
epochs = 2
[predict]
d4_average = false
"""
RUN = ("run", "folds", "cache", "train", "predict", "--pack", "fake", "--submission", "given")


@pytest.fixture
def given(workspace):
    """A workspace with features of its pack's objects, the first of which says what is a lens."""
    catalog = read_catalog(workspace / "data" / "fake" / "image_catalog2.0train.csv")
    known = labels(catalog, "official-2020")
    (workspace / "experiments" / "given.toml").write_text(GIVEN)
    (workspace / "submissions" / "given.toml").write_text('[[member]]\nexperiment = "given"\n')
    folder = workspace / "features" / "dino" / "fake"
    folder.mkdir(parents=True)
    with Cache(workspace / "data" / "fake" / "cache" / "test") as cache:
        tests = cache.ids
    generator = np.random.default_rng(3)
    for split, ids in (("train", known.index.to_numpy()), ("test", tests)):
        rows = generator.normal(size=(len(ids), 5))
        if split == "train":
            rows[:, 0] += 4 * known.fillna(0).to_numpy()
        order = generator.permutation(len(ids))
        np.save(folder / f"{split}.npy", rows[order])
        np.save(folder / f"{split}_ids.npy", ids[order])
    return workspace


def test_from_training_to_a_submission_twice_the_same_and_again_for_other_content(given):
    lensfold(given, *RUN)
    run, submission = given / "runs" / "fake" / "given", given / "submissions" / "fake" / "given.csv"
    assert len(submission.read_text().splitlines()) == 8
    before = {path: path.read_bytes() for path in (submission, *run.glob("fold*/oof.csv"))}
    assert len(before) == 4 and "up to date" in lensfold(given, *RUN).stdout
    shutil.rmtree(run)
    lensfold(given, *RUN)
    assert {path: path.read_bytes() for path in before} == before

    test = given / "features" / "dino" / "fake" / "test.npy"
    np.save(test, -np.load(test))
    out = lensfold(given, *RUN).stdout
    assert "epoch" not in out and submission.read_bytes() != before[submission]
    identity, train = Run(run).identity, test.with_name("train.npy")
    np.save(train, np.load(train)[:, ::-1].copy())
    assert "epoch  2/2" in lensfold(given, *RUN).stdout
    assert Run(run).identity != identity

    np.save(test, np.load(test)[:, :3])
    assert "3 features an object, and the run was trained with 5" in refused(given)
    np.save(train, np.load(train)[:-1])
    assert "59 rows, and train_ids.npy has 60 IDs" in refused(given)


def refused(workspace) -> str:
    """What the command that cannot be done says."""
    done = lensfold(workspace, *RUN, check=False)
    assert done.returncode and "Traceback" not in done.stderr
    return " ".join(done.stderr.split())
