"""From a manifest to the commands that make a submission again, and to what differs here."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from fakes.catalog import give_lenses, give_radii
from fakes.runs import RULE, reconfigure, write_predicting_run, write_submission_settings
from fakes.workspace import PROJECT, TINY, git, lensfold
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensfold.config import Experiment, read_toml
from lensfold.data.cache import pixels_hash
from lensfold.errors import InputError
from lensfold.files import file_sha256, sealed
from lensfold.paths import Workspace
from lensfold.runs.provenance import changed_since
from lensfold.runs.run import Run
from lensfold.submission.explain import commands, differences, explain
from lensfold.submission.manifest import FORMAT, Manifest, MemberRecord, read_submission_manifest
from lensfold.submission.verify import checks

PACK = ("--pack", "fake")
CSV = "submissions/fake/default.csv"


def resolve(workspace: Path, name: str, task: str) -> None:
    """Give a made-up run the settings of an experiment file, as `lensfold configure` does."""
    file = workspace / "experiments" / f"{name}.toml"
    file.write_text((f'task = "{task}"\n' if task != "lens" else "") + TINY)
    experiment = read_toml(file, Experiment)
    folder = workspace / "runs" / "fake" / name
    config = json.loads((folder / "config.json").read_text())
    config["experiment"] = experiment.model_dump(mode="json", exclude={"predict"})
    manifest = json.loads((workspace / "data/fake/cache/train/manifest.json").read_text())
    config["data_hash"] = pixels_hash(manifest)
    (folder / "predict.json").write_text(json.dumps(experiment.predict.model_dump(mode="json")))
    reconfigure(folder, config)


@pytest.fixture(scope="module")
def submitted_once(fake_workspace, tmp_path_factory) -> Path:
    """A committed workspace with a submission of two runs, one of them of Einstein radii. Copy it before use."""
    workspace = tmp_path_factory.mktemp("submitted") / "w"
    shutil.copytree(fake_workspace, workspace)
    pack = Workspace(workspace).pack("fake")
    give_radii(pack.catalog, 1)
    give_radii(pack.key, 2)
    give_lenses(pack.key, range(200001, 200005))
    for name, task, seed in (("ranks", "lens", 3), ("sizes", "einstein-radius", 4)):
        write_predicting_run(workspace, name, task, seed)
        resolve(workspace, name, task)
    write_submission_settings(workspace, 'radius = ["sizes"]\n[[member]]\nexperiment = "ranks"\n')
    (workspace / "src").mkdir()
    (workspace / "src" / "a.py").write_text("1")
    (workspace / ".gitignore").write_text("data/\nruns/\n")
    git(workspace, "init")
    git(workspace, "add", ".")
    git(workspace, "commit", "-m", "x")
    lensfold(workspace, "submit", *PACK)
    # pictures of the train split are not needed any more, only what was made of them
    shutil.rmtree(workspace / "data" / "fake" / "train")
    return workspace


@pytest.fixture
def submitted(submitted_once, tmp_path) -> Path:
    """A fresh copy of ``submitted_once``."""
    shutil.copytree(submitted_once, tmp_path / "w")
    return tmp_path / "w"


def manifest_of(workspace: Path) -> dict:
    return json.loads((workspace / CSV).with_suffix(".json").read_text())


def change(workspace: Path, **values: object) -> None:
    """Write the manifest with other values, as if it had been made with them; None deletes a key."""
    content = {key: value for key, value in {**manifest_of(workspace), **values}.items() if value is not None}
    (workspace / CSV).with_suffix(".json").write_text(json.dumps(sealed(content)))


def verdicts(workspace: Path) -> dict[str, str]:
    found = Workspace(workspace)
    manifest = read_submission_manifest(workspace / CSV)
    held = list(checks(found, workspace / CSV, manifest))
    assert len({row.what for row in held}) == len(held)
    return {row.what.removeprefix(f"{workspace}/"): row.verdict for row in held}


def refusal(workspace: Path, *arguments: str) -> str:
    done = lensfold(workspace, "explain-submission", *(arguments or (CSV,)), check=False)
    assert done.returncode == 1 and "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_the_manifest_tells_files_folds_and_settings(submitted):
    manifest = manifest_of(submitted)
    member = manifest["members"]["ranks"]
    run = submitted / "runs" / "fake" / "ranks"
    assert manifest["format"] == FORMAT and set(member["files"]) == {
        f"fold{fold}/{name}" for fold in range(3) for name in ("oof.csv", "model.keras", "test/fake.csv")
    }
    assert all(file_sha256(run / file) == found for file, found in member["files"].items())
    assert member["predict"] == json.loads((run / "predict.json").read_text())
    assert manifest["folds"]["sha256"] == file_sha256(submitted / "folds" / "fake.csv")
    assert manifest["folds"]["settings"]["seed"] == 1
    assert manifest["radius"]["members"]["sizes"]["files"]


def test_everything_that_was_told_matches(submitted):
    found = verdicts(submitted)
    assert {what for what, verdict in found.items() if verdict != "matches"} == set()
    for what in (CSV, "submissions/fake/default_radius.csv", "submissions/default.toml", "folds/fake.csv",
                 "experiments/ranks.toml", "runs/fake/sizes/fold2/test/fake.csv", "test cache", "code"):  # fmt: skip
        assert what in found
    done = lensfold(submitted, "explain-submission", CSV, "--verify")
    assert done.stdout.splitlines()[-1] == f"{len(found)} match, 0 differ, 0 absent"


def test_what_is_explained(submitted):
    out = lensfold(submitted, "explain-submission", CSV).stdout
    manifest = manifest_of(submitted)
    for words in (
        f"sha256 {manifest['sha256']}",
        f"  git checkout {manifest['code']['commit']}\n  make folds train predict PACK=fake SUBMISSION=default\n",
        "members, combined by logit-mean",
        "ranks: settings that differ from the defaults",
        "  pixels.crop = 64\n",
        '  stage 2: min_size = 20, epochs = 2, learning_rate = 0.001, trainable = "top"\n',
        '  task = "einstein-radius"\n',
        "as committed",
        "seed = 1",
        "0 objects without a score (a row that ranks last), 0 of them refused",
        "Einstein radii: default_radius.csv, factor",
        "ensemble (logit-mean)",
        "ensemble (log-mean)",
    ):
        assert words in out, words
    score = manifest["scores"][-1]["auc"]
    assert f"{score['value']:.4f} ({score['low']:.4f}–{score['high']:.4f})" in out
    second = lensfold(submitted, "explain-submission", "submissions/fake/default_radius.csv").stdout
    assert second.split("\n", 1)[1] == out.split("\n", 1)[1]


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (CSV, [CSV]),
        ("submissions/fake/default_radius.csv", ["submissions/fake/default_radius.csv"]),
        ("submissions/default.toml", ["submissions/default.toml"]),
        ("runs/fake/ranks/config.json", ["runs/fake/ranks/config.json"]),
        ("runs/fake/ranks/predict.json", ["runs/fake/ranks/predict.json"]),
        ("runs/fake/sizes/fold1/oof.csv", ["runs/fake/sizes/fold1/oof.csv"]),
        ("runs/fake/ranks/fold0/test/fake.csv", ["runs/fake/ranks/fold0/test/fake.csv"]),
        ("folds/fake.csv", ["folds/fake.csv", "folds of ranks", "folds of sizes"]),
        ("data/fake/cache/test/manifest.json", ["test cache", "test files"]),
        ("data/fake/test/Public/EUC_Y/imageEUC_Y-200003.fits", ["test files"]),
        ("data/fake/cache/train/manifest.json", ["train cache of ranks", "train cache of sizes"]),
        ("experiments/ranks.toml", ["code", "experiments/ranks.toml"]),
        ("src/a.py", ["code"]),
        ("src/new.py", ["code"]),
    ],
)
def test_a_change_is_named_and_a_loss_is_absent(submitted, file, what):
    before = (submitted / file).read_bytes() if (submitted / file).exists() else None
    (submitted / file).write_bytes(b"x")
    assert sorted(name for name, verdict in verdicts(submitted).items() if verdict == "differs") == sorted(what)
    done = lensfold(submitted, "explain-submission", CSV, "--verify", check=False)
    assert done.returncode == 1 and f"{len(what)} differ, 0 absent" in done.stdout and not done.stderr
    (submitted / file).unlink()
    lost = {name for name, verdict in verdicts(submitted).items() if verdict != "matches"}
    assert lost == (set(what) if before else set())
    if not {"code", "test files"} & set(what):
        assert lensfold(submitted, "explain-submission", CSV, "--verify").returncode == 0


def test_the_same_settings_in_other_words_match(submitted):
    """A comment, and a default that is written out; the commit differs, and that is shown too."""
    path = submitted / "experiments" / "ranks.toml"
    path.write_text('# better\nlabel_rule = "official-2020"\n' + path.read_text())
    found = verdicts(submitted)
    assert found["experiments/ranks.toml"] == "matches" and found["code"] == "differs"


def test_a_later_commit_that_decides_nothing_matches(submitted):
    (submitted / "README.md").write_text("more")
    git(submitted, "add", "README.md")
    git(submitted, "commit", "-m", "y")
    assert verdicts(submitted)["code"] == "matches"
    assert "nothing that decides differs" in lensfold(submitted, "explain-submission", CSV, "--verify").stdout


def test_code_that_was_not_committed_differs(submitted):
    change(submitted, code={**manifest_of(submitted)["code"], "dirty": True})
    assert verdicts(submitted)["code"] == "differs"
    assert "differed from this commit" in lensfold(submitted, "explain-submission", CSV).stdout
    change(submitted, code={"commit": "f" * 40, "dirty": False})
    assert verdicts(submitted)["code"] == "differs"
    change(submitted, code={"commit": None, "dirty": None})
    assert verdicts(submitted)["code"] == "absent"


def test_an_edited_manifest_and_another_library_differ(submitted):
    content = manifest_of(submitted)
    content["members"]["ranks"]["config"]["experiment"]["seed"] = 2
    change(submitted, members=content["members"], versions={**content["versions"], "numpy": "1.0", "gone": "3"})
    found = verdicts(submitted)
    assert found["manifest's settings of ranks"] == found["experiments/ranks.toml"] == "differs"
    assert (found["library numpy"], found["library gone"]) == ("differs", "absent")


def test_changed_since_lists_what_decides(submitted):
    commit = manifest_of(submitted)["code"]["commit"]
    assert changed_since(submitted, commit) == []
    (submitted / "src" / "a.py").write_text("2")
    (submitted / "src" / "b.py").write_text("2")
    (submitted / "README.md").write_text("2")
    assert changed_since(submitted, commit) == ["src/a.py", "src/b.py"]
    assert changed_since(submitted, "f" * 40) is None


# Commands


def member(folds: list[int]) -> MemberRecord:
    config = {
        "folds_hash": "f",
        "data_hash": "d",
        "labels_hash": "l",
        "experiment": {"label_rule": RULE, "task": "lens"},
    }
    return MemberRecord(config_hash="c", config=config, folds=folds, predict={}, files={})


def manifest(**values: object) -> Manifest:
    usual = {
        "submission": "best", "pack": "mine", "trained_on": "mine", "settings": {}, "settings_sha256": "s",
        "members": {"a": member([0, 1, 2]), "b": member([0, 1, 2])}, "label_rule": RULE, "versions": {},
        "code": {"commit": "a" * 40, "dirty": False}, "data_hash": "d", "scores": [{"of_folds": 3}], "refused": {},
        "rows": 1, "absent": 0, "sha256": "e" * 64, "format": FORMAT, "made_from": "m" * 64,
        "catalog_sha256": None,
    }  # fmt: skip
    return Manifest(**{**usual, **values})


def plain(lines: list[str]) -> list[str]:
    return [line for line in lines[:-1] if not line.startswith("#")]


def test_commands_in_order():
    checkout = f"git checkout {'a' * 40}"
    assert plain(commands(manifest())) == [checkout, "make folds train predict PACK=mine SUBMISSION=best"]
    assert commands(manifest())[-1].startswith("sha256sum submissions/mine/best.csv")
    assert plain(commands(manifest(trained_on="sample", refused={"1": {}}))) == [
        checkout,
        "make folds train PACK=sample SUBMISSION=best SKIP_BAD=1",
        "make predict PACK=mine TRAINED=sample SUBMISSION=best SKIP_BAD=1",
    ]
    assert plain(commands(manifest(members={"a": member([0, 2]), "b": member([0, 1, 2])}))) == [
        checkout,
        "make folds PACK=mine",
        'make train PACK=mine EXPERIMENT=a FOLD="0 2"',
        'make train PACK=mine EXPERIMENT=b FOLD="0 1 2"',
        ".venv/bin/python -m lensfold run predict --pack mine --trained-on mine --submission best",
    ]
    assert commands(manifest(code={"commit": None, "dirty": None}))[0].startswith("# the commit is unknown")


def test_make_knows_the_variables_and_targets_of_the_commands():
    makefile = (PROJECT / "Makefile").read_text()
    for word in ("PACK", "TRAINED", "SUBMISSION", "SKIP_BAD", "EXPERIMENT", "FOLD", "DATA"):
        assert f",{word}," in makefile or f"$(value {word})" in makefile
    asked = ["make", "-n", "folds", "train", "predict", "PACK=smoke", "SUBMISSION=default"]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and "run folds train predict --pack 'smoke'" in done.stdout


def test_differences_are_those_from_the_defaults():
    stages = [{"min_size": 20, "epochs": 2, "learning_rate": 0.1, "trainable": "all"}]
    train = {"batch_size": 32, "of_another_version": 1}
    experiment = {"label_rule": RULE, "task": "lens", "seed": 7, "train": train, "stage": stages}
    config = {"experiment": experiment, "folds_hash": "f", "data_hash": "d", "labels_hash": "l"}
    predict = {"batch_size": 128, "d4_average": False}
    record = MemberRecord(config_hash="c", config=config, folds=[0], predict=predict, files={})
    assert differences(record) == [
        "seed = 7",
        "train.of_another_version = 1",
        "predict.d4_average = false",
        "stage 1: min_size = 20, epochs = 2, learning_rate = 0.1",
    ]


# Manifests that are none


def test_keys_of_a_later_commit_are_named(submitted):
    change(submitted, calibration={"slope": 1})
    assert "not explained here: calibration" in lensfold(submitted, "explain-submission", CSV).stdout


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": FORMAT + 1}, ["format 5", "has format 4", "use the commit"]),
        ({"format": None}, ["format None", "Make the submission again"]),
        ({"format": "new"}, ["format 'new'"]),
        ({"members": None}, ["members: Field required"]),
        ({"sha256": 5, "rows": "many"}, ["sha256", "rows"]),
        ({"members": {"a": {"weight": 1}}}, ["members.a.config_hash"]),
        ({"members": {"a": {"config_hash": "", "config": {}, "folds": []}}}, ["members.a.config"]),
        ({"pack": "a; rm -rf x"}, ["pack"]),
        ({"code": {"commit": "HEAD; true", "dirty": False}}, ["code.commit"]),
        ({"radius": {"file": "../x.csv"}}, ["radius.file"]),
    ],
)
def test_manifests_of_other_versions_are_refused(submitted, values, words):
    change(submitted, **values)
    message = refusal(submitted)
    assert all(word in message for word in ["submissions/fake/default.json", *words]), message


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "null", '{"submission": "default"'])
def test_half_written_manifests_are_refused(submitted, text):
    (submitted / CSV).with_suffix(".json").write_text(text)
    assert "damaged" in refusal(submitted)
    (submitted / CSV).with_suffix(".json").write_bytes(b"\xff\xfe\x00")
    assert "damaged" in refusal(submitted)


def test_a_file_without_a_manifest_is_told(submitted):
    (submitted / "submissions/fake/other.csv").write_text("1,0.5\n")
    assert "no manifest beside other.csv" in refusal(submitted, "submissions/fake/other.csv")
    assert "no manifest beside gone.csv" in refusal(submitted, "submissions/fake/gone.csv")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["value", "low", "n", "name"]), inner),
    max_leaves=4,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_refused_or_explained(tmp_path_factory, capsys, data):
    content = manifest().model_dump()
    content["scores"] = [{"name": "a", "of_folds": 3, "auc": {"value": 0.5, "low": None, "high": None}, "n": 3}]
    target = content
    for _ in range(data.draw(st.integers(0, 4))):
        inner = [value for value in (target.values() if isinstance(target, dict) else target) if value]
        inner = [value for value in inner if isinstance(value, dict | list)]
        if not inner:
            break
        target = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else list(range(len(target)))))
    target[key] = data.draw(JSON)
    folder = tmp_path_factory.mktemp("m")
    (folder / "best.json").write_text(json.dumps(content))
    try:
        explain(Workspace(folder), folder / "best.csv")
        found = read_submission_manifest(folder / "best.csv")
        assert list(checks(Workspace(folder), folder / "best.csv", found))
    except InputError as error:
        assert "best.json" in str(error)
    capsys.readouterr()


def test_a_damaged_run_is_told_before_a_manifest_is_written(submitted):
    (submitted / "runs/fake/ranks/predict.json").write_text("{")
    done = lensfold(submitted, "submit", *PACK, check=False)
    assert done.returncode == 1 and "predict.json: absent or damaged" in done.stderr
    assert Run(submitted / "runs/fake/ranks").config
