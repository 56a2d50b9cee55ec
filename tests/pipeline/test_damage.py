"""Bytes that changed on disk are noticed where they are read: made again by `lensfold run`, else refused in a sentence.

Each of these went through without a word once: other logits, another ensemble, another experiment came of it.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.workspace import lensfold

PACK = ("--pack", "fake")
EVERYTHING = ("run", "folds", "cache", "train", "predict", *PACK)
PREDICT = ("run", "predict", *PACK, "--trained-on", "fake")
RUN = "runs/fake/kernel"
CSV = "submissions/fake/default.csv"


@pytest.fixture(scope="module")
def made_once(fitted_workspace, tmp_path_factory) -> Path:
    """A workspace with a submission of a kernel machine. Copy it before writing there."""
    workspace = tmp_path_factory.mktemp("damage") / "w"
    shutil.copytree(fitted_workspace, workspace)
    (workspace / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "kernel"\n')
    lensfold(workspace, *EVERYTHING)
    return workspace


@pytest.fixture
def made(made_once, tmp_path) -> Path:
    """A fresh copy of ``made_once``."""
    shutil.copytree(made_once, tmp_path / "w")
    return tmp_path / "w"


def refused(workspace: Path, *arguments: str) -> str:
    """What a command says that stops."""
    done = lensfold(workspace, *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stderr


def flipped(path: Path, place: int) -> None:
    """Change one bit of a file, and neither its length nor, where that can be helped, anything else."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def altered(path: Path) -> None:
    """Change a digit of the last logit of a CSV file: it stays a whole file of finite numbers."""
    head, _, last = path.read_text().rstrip("\n").rpartition("\n")
    object_id, logit, *rest = last.split(",")
    path.write_text("\n".join([head, ",".join([object_id, str(float(logit) + 0.125), *rest])]) + "\n")


def edited(path: Path, change: Callable[[dict], None]) -> None:
    """Change a JSON file by hand."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def only_shard(workspace: Path, split: str) -> Path:
    (shard,) = (workspace / "data" / "fake" / "cache" / split).glob("shard-*.npy")
    return shard


# ---- pixels


def test_a_bit_of_a_shard_gives_no_other_logits(made):
    flipped(only_shard(made, "test"), 5003)
    for path in (made / RUN).glob("fold*/test/*"):
        path.unlink()
    message = refused(made, *PREDICT)
    assert "shard-00000.npy: damaged" in message and "lensfold verify --split test --rebuild" in message
    lensfold(made, "verify", "--split", "test", "--rebuild", *PACK)
    before = (made / CSV).read_bytes()
    lensfold(made, *EVERYTHING)
    assert (made / CSV).read_bytes() == before


def test_a_bit_of_a_shard_trains_nothing(made):
    flipped(only_shard(made, "train"), 5003)
    shutil.rmtree(made / RUN / "fold1")
    assert "shard-00000.npy: damaged" in refused(made, *EVERYTHING)


def test_ids_that_changed_places_in_a_manifest_build_the_cache_again(made):
    def swap(manifest: dict) -> None:
        ids = manifest["shards"][0]["ids"]
        ids[0], ids[1] = ids[1], ids[0]

    before = (made / CSV).read_bytes()
    edited(only_shard(made, "test").with_name("manifest.json"), swap)
    assert "manifest.json: damaged" in refused(made, "verify", "--split", "test", *PACK)
    lensfold(made, *EVERYTHING)
    assert (made / CSV).read_bytes() == before


def test_a_shard_that_changed_while_a_build_was_stopped_is_built_again(made):
    cache = made / "data" / "fake" / "cache"
    before = only_shard(made, "test").read_bytes()
    shutil.rmtree(cache / "test")
    lensfold(made, "run-job", "cache:test:1of1", *PACK)
    flipped(cache / ".building-test" / "shard-00000.npy", 5003)
    lensfold(made, *EVERYTHING)
    assert only_shard(made, "test").read_bytes() == before


# ---- logits


def test_a_changed_logit_of_a_fold_leaves_no_fold_out(made):
    """The others made a submission without a word."""
    before, oof = (made / CSV).read_bytes(), made / RUN / "fold1" / "oof.csv"
    altered(oof)
    for command in (("submit", *PACK), ("score", "--experiment", "kernel", *PACK), PREDICT):
        message = refused(made, *command)
        assert f"{oof.relative_to(made)}: damaged" in message and "make train EXPERIMENT=kernel" in message
    assert "oof.csv: damaged" in lensfold(made, "leaderboard", *PACK).stdout.replace("\n", "")
    lensfold(made, *EVERYTHING)
    assert (made / CSV).read_bytes() == before


def test_a_changed_test_logit_is_predicted_again(made):
    before, path = (made / CSV).read_bytes(), made / RUN / "fold1" / "test" / "fake.csv"
    altered(path)
    assert "make predict PACK=fake" in refused(made, "submit", *PACK)
    lensfold(made, *EVERYTHING)
    assert (made / CSV).read_bytes() == before


def test_a_changed_logit_of_a_part_is_predicted_again(made):
    before = (made / CSV).read_bytes()
    shutil.rmtree(made / RUN / "fold1" / "test")
    lensfold(made, "run-job", "predict:kernel:1of2", *PACK)
    (part,) = (made / RUN / "fold1" / "test").glob(".fake-*/part-1of2.csv")
    altered(part)
    lensfold(made, *EVERYTHING, "--parts", "2")
    assert (made / CSV).read_bytes() == before


# ---- settings and records


def test_an_edit_of_resolved_settings_is_no_experiment(made):
    """Neither of what was trained nor of how it predicts, where runs are taken as they are."""
    before = {path: path.read_bytes() for path in (made / RUN).glob("*.json")}
    edited(made / RUN / "config.json", lambda config: config["experiment"]["learner"].update(objects=20))
    for command in (("score", "--experiment", "kernel", *PACK), PREDICT, ("submit", *PACK)):
        message = refused(made, *command)
        assert "config.json: changed since" in message and "experiments/kernel.toml" in message
    lensfold(made, *EVERYTHING)
    edited(made / RUN / "predict.json", lambda predict: predict.update(batch_size=7))
    assert "predict.json: changed since" in refused(made, *PREDICT)
    (made / RUN / ".configured").unlink()  # of before it was kept: the folds say it
    assert "predict.json: settings" in refused(made, *PREDICT)
    lensfold(made, *EVERYTHING)
    assert {path: path.read_bytes() for path in (made / RUN).glob("*.json")} == before


def test_settings_are_resolved_again_and_compared(made):
    """Whatever the marker says: it may have been made of the edited file."""
    from lensfold.files import file_sha256

    config = made / RUN / "config.json"
    before = config.read_bytes()
    edited(config, lambda config: config["experiment"]["learner"].update(objects=20))
    edited(made / RUN / ".configured", lambda marker: marker.update(config=file_sha256(config)))
    lensfold(made, *EVERYTHING)
    assert config.read_bytes() == before


@pytest.mark.parametrize("file", ["score.json", "oof.csv", "statistics.json"])
def test_a_changed_score_is_made_again(made, file):
    path = made / RUN / file
    before = path.read_bytes()
    if path.suffix == ".csv":
        altered(path)
    else:
        path.write_bytes(before.replace(b"0.", b"0.1", 1))
    if file == "score.json":
        shown = lensfold(made, "leaderboard", *PACK).stdout.replace("\n", "")
        assert "changed since it was written" in shown
    lensfold(made, *EVERYTHING)
    assert path.read_bytes() == before


def test_a_changed_manifest_of_a_submission_is_made_again(made):
    path = (made / CSV).with_suffix(".json")
    edited(path, lambda manifest: manifest["scores"][0]["auc"].update(value=0.999))
    assert "changed since it was written" in refused(made, "explain-submission", CSV)
    assert "changed since it was written" in lensfold(made, "leaderboard", *PACK).stdout.replace("\n", "")
    lensfold(made, *EVERYTHING)
    assert json.loads(path.read_text())["scores"][0]["auc"]["value"] != 0.999


@pytest.mark.parametrize("file", ["run.json", "objects.csv"])
def test_a_fold_whose_record_changed_is_trained_again(made, file):
    path, before = made / RUN / "fold1" / file, (made / CSV).read_bytes()
    text = path.read_text()
    path.write_text(text.replace('"parameters": ', '"parameters": 1') if file == "run.json" else text[:-3])
    if file == "run.json":
        assert "run.json: absent, or not as training wrote it" in refused(
            made, "score", "--experiment", "kernel", *PACK
        )
    for target in (made / RUN).glob("fold1/test/*"):
        target.unlink()
    assert str(path.parent.relative_to(made)) in refused(made, *PREDICT)
    lensfold(made, *EVERYTHING)
    assert (made / CSV).read_bytes() == before


def test_a_record_without_a_hash_is_taken_as_it_is(made):
    """Of before hashes were kept: that it is whole cannot be told, and making it again could cost hours."""
    sealed = [*(made / RUN).rglob("run.json"), made / RUN / "score.json", *(made / "data").rglob("manifest.json")]
    for path in sealed:
        edited(path, lambda content: content.pop("seal"))
        assert "seal" not in path.read_text()
    out = lensfold(made, *EVERYTHING).stdout
    assert "settings tried" not in out and "is built again" not in out
