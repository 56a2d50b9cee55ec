"""Settings: defaults, and a clear refusal of everything that is not a setting."""

import json
import re
import tomllib

import pytest
from fakes.workspace import PROJECT

from lensfold.config import (
    Experiment,
    FoldSettings,
    GivenFeatures,
    KernelLearner,
    NetworkLearner,
    Settings,
    StageSettings,
    SubmissionSettings,
    read_toml,
    validated,
)
from lensfold.errors import InputError
from lensfold.files import digest

STAGE = "[[stage]]\nmin_size = 20\nepochs = 1\nlearning_rate = 0.001\n"


def experiment(tmp_path, text: str) -> Experiment:
    path = tmp_path / "x.toml"
    path.write_text(text)
    return read_toml(path, Experiment)


def test_an_experiment_lists_only_differences(tmp_path):
    settings = experiment(tmp_path, "[pixels]\ncrop = 100\n" + STAGE)
    assert settings.pixels.crop == 100
    assert settings.pixels.mix == "paper-rgb"
    assert settings.label_rule == "official-2020"
    assert settings.stage[0].trainable == "all"
    assert settings.learner == NetworkLearner(name="fast_cnn", dropout=0.2)


@pytest.mark.parametrize("path", sorted((PROJECT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_experiments_list_nothing_that_is_a_default(path):
    content, settings = tomllib.loads(path.read_text()), read_toml(path, Experiment)
    sections = [(settings, content), *zip(settings.stage, content["stage"], strict=True)]
    sections += [(getattr(settings, key), value) for key, value in content.items() if isinstance(value, dict)]
    for resolved, listed in sections:
        for key, value in listed.items():
            field = type(resolved).model_fields[key]
            needed = field.is_required() or key == "epochs"  # of a network's stages
            assert needed or value != field.default, f"{key} = {value!r} is the default"


def test_the_page_of_experiments_lists_every_setting_with_its_default():
    page = (PROJECT / "docs" / "experiments.md").read_text().split("## Every setting")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `([a-z0-9_.]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    kinds = {"stage": (StageSettings,), "learner": (NetworkLearner, KernelLearner, GivenFeatures)}
    fields = {}
    for name, field in Experiment.model_fields.items():
        for kind in kinds.get(name, (type(field.default),)):
            if issubclass(kind, Settings):
                fields |= {f"{name}.{key}": setting for key, setting in kind.model_fields.items()}
            else:
                fields[name] = field
    expected = {
        key: "needed" if field.is_required() else f"`{as_toml(field.default)}`" for key, field in fields.items()
    }
    expected |= {"learner.kind": '`"network"`', "stage.epochs": "needed"}
    expected |= {"learner.weights_file": "none", "learner.weights_sha256": "none", "stage.bin": "none"}
    assert listed == expected


def as_toml(value) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pixels]\ncorp = 100\n" + STAGE, ["x.toml", "unknown key 'pixels.corp'"]),
        ("learning = 1\n" + STAGE, ["unknown key 'learning'"]),
        ('[pixels]\ncrop = "100"\n' + STAGE, ["pixels.crop", "integer", "'100'"]),
        ("[pixels]\ncrop = 100.0\n" + STAGE, ["pixels.crop", "integer"]),
        ("[pixels]\ncrop = 201\n" + STAGE, ["pixels.crop", "201"]),
        ("[pixels]\ncrop = 98\nbin = 2\n" + STAGE, ["pixels", "multiple of 2 x bin"]),
        ('[learner]\nname = "resnet"\n' + STAGE, ["'learner.name'", "fast_cnn", "'resnet'"]),
        ('[learner]\nkind = "tree"\n' + STAGE, ["'learner'", "'network', 'kernel' or 'given_features'", "tree"]),
        ('learner = "fast_cnn"\n' + STAGE, ["'learner'"]),
        ("[learner]\ndropout = 1.0\n" + STAGE, ["'learner.dropout'"]),
        ("[learner]\nmethod = 'svm'\n" + STAGE, ["unknown key 'learner.method'"]),
        ("[[stage]]\nmin_size = 20\n", ["'stage.0.epochs'", "absent"]),
        ("[augment]\nd4 = 1\n" + STAGE, ["augment.d4", "boolean"]),
        ("seed = 1\n", ["'stage'", "absent"]),
        ("stage = []\n", ["'stage'"]),
        (STAGE.replace("epochs = 1", "epochs = 0"), ["stage.0.epochs", "0"]),
        (STAGE.replace("min_size = 20", 'trainable = "bottom"'), ["stage.0.trainable", "stage.0.min_size"]),
        ('[train]\nbelow = "keep"\n' + STAGE, ["train.below", "'drop' or 'negative'"]),
        ("pixels = [1\n", ["not valid TOML"]),
    ],
)
def test_wrong_settings_are_refused_by_key(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        experiment(tmp_path, text)
    for word in words:
        assert word in str(error.value)


FIRST = STAGE + "bin = 4\n"
WIDE = '[pixels]\nmix = "bands"\nbin = 1\n[learner]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STAGE + "bin = 3\n", ["'stage.0.bin'", "1, 2 or 4", "3"]),
        (STAGE + STAGE + "bin = 4\n", ["stage.1.bin = 4: the last stage", "pixels.bin = 2"]),
        (STAGE + "bin = 1\n" + STAGE + "bin = 1\n", ["stage.1.bin = 1: the last stage", "pixels.bin = 2"]),
        ('[learner]\nname = "paper_cnn"\n' + FIRST + STAGE, ["stage.0.bin = 4: paper_cnn takes images of one size"]),
        (WIDE + 'name = "wide_cnn"\n' + STAGE + FIRST + STAGE, ["stage.1.bin = 4: wide_cnn takes images of one size"]),
        (
            WIDE + 'name = "efficientnet_b0"\ntwo_branches = true\n' + FIRST + STAGE,
            ["stage.0.bin = 4: a network with two branches takes images of one size"],
        ),
        ("[pixels]\ncrop = 180\n" + FIRST + STAGE, ["stage.0.bin = 4: pixels.crop = 180", "multiple of 2 x bin = 8"]),
        ("[pixels]\ncrop = 120\n" + FIRST + STAGE, ["stage.0.bin = 4: pixels.crop = 120 then has 30 pixels", "32"]),
        (
            '[learner]\nname = "efficientnet_lite0"\nfrozen = true\nweights = "imagenet"\n'
            + (FIRST + STAGE).replace("epochs = 1", 'epochs = 1\ntrainable = "head"')
            + "[predict]\nd4_average = false\n",
            ["stage.0.bin = 4: learner.frozen = true has features of one resolution"],
        ),
        (
            '[learner]\nkind = "kernel"\nmethod = "svm"\n[[stage]]\nmin_size = 20\nbin = 4\n',
            ["no use for stage.bin"],
        ),
    ],
)
def test_a_resolution_that_a_stage_cannot_have_is_refused(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        experiment(tmp_path, text)
    for word in ("x.toml", *words):
        assert word in str(error.value)


def test_a_stage_has_its_own_resolution_and_shifts_by_as_many_arcseconds(tmp_path):
    settings = experiment(tmp_path, FIRST + STAGE)
    assert settings.bins == (2, 4) and [settings.bin_of(stage) for stage in settings.stage] == [4, 2]
    coarse = settings.at(4)
    assert coarse.pixels.side == 50 and coarse.augment.shift_pixels == settings.augment.shift_pixels / 2
    assert settings.at(2) == settings and experiment(tmp_path, STAGE).bins == (2,)


def test_an_absent_file_lists_those_present(tmp_path):
    (tmp_path / "small_cnn.toml").write_text(STAGE)
    with pytest.raises(InputError, match=r"other\.toml.*Files there: small_cnn"):
        read_toml(tmp_path / "other.toml", Experiment)


def test_settings_are_frozen(tmp_path):
    with pytest.raises(Exception, match="frozen"):
        experiment(tmp_path, STAGE).seed = 2


def test_resolved_settings_read_back(tmp_path):
    settings = experiment(tmp_path, STAGE)
    assert settings.model_dump(mode="json")["learner"]["kind"] == "network"
    again = validated(settings.model_dump(mode="json"), Experiment, tmp_path / "config.json")
    assert again == settings


def test_a_member_twice_is_refused(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('[[member]]\nexperiment = "a"\n[[member]]\nexperiment = "a"\n')
    with pytest.raises(InputError, match="listed twice"):
        read_toml(path, SubmissionSettings)


def test_radius_lists_experiments_that_are_no_members(tmp_path):
    path = tmp_path / "s.toml"
    member = '[[member]]\nexperiment = "a"\n'
    path.write_text('radius = ["b", "c"]\n' + member)
    settings = read_toml(path, SubmissionSettings)
    assert settings.radius == ("b", "c") and settings.experiments == ("a", "b", "c")
    path.write_text(member)
    assert read_toml(path, SubmissionSettings).radius == ()
    for wrong, words in (
        ('["b", "b"]', "listed twice, or is a member"),
        ('["a"]', "listed twice, or is a member"),
        ('["../b"]', "radius.0"),
        ('"b"', "'radius'"),
    ):
        path.write_text(f"radius = {wrong}\n" + member)
        with pytest.raises(InputError, match=words):
            read_toml(path, SubmissionSettings)


@pytest.mark.parametrize("name", ["../a", "a/b", "..", ""])
def test_a_member_is_a_name_not_a_path(tmp_path, name):
    path = tmp_path / "s.toml"
    path.write_text(f'[[member]]\nexperiment = "{name}"\n')
    with pytest.raises(InputError, match="experiment"):
        read_toml(path, SubmissionSettings)


def test_folds_need_two(tmp_path):
    path = tmp_path / "folds.toml"
    path.write_text("k = 1\n")
    with pytest.raises(InputError, match="'k'"):
        read_toml(path, FoldSettings)


def test_digest_depends_on_content_not_on_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
