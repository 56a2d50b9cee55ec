"""A map of the source as a second target, through the command line, on the fake pack with twins."""

import json

import numpy as np
import pandas as pd
import pytest
from fakes.pack import fake_images, write_cutout
from fakes.workspace import lensfold

from lensfold.data.catalog import labels, read_catalog
from lensfold.models.saved import load_model
from lensfold.paths import cutout_file
from lensfold.training import network

FOLD0 = ("runs", "fake", "tiny", "fold0")


def write_twins(workspace) -> None:
    """Write each lens of the pack without its ring, its noise the same."""
    pack = workspace / "data" / "fake"
    catalog = read_catalog(pack / "image_catalog2.0train.csv")
    for object_id in catalog.index[labels(catalog, "official-2020") == 1]:
        for band, image in fake_images(np.random.default_rng([0, object_id]), False).items():
            write_cutout(cutout_file(pack / "twins", band, object_id), image)


def asking(workspace, **changes: str) -> None:
    """Have the tiny experiment learn a map, and replace text of it."""
    settings = workspace / "experiments" / "tiny.toml"
    text = settings.read_text().replace("batch_size = 8", "batch_size = 8\nsource_map = 0.3\ntwins = 0.5")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)


def trained(workspace, check: bool = True):
    return lensfold(workspace, "run", "train", "--experiment", "tiny", "--pack", "fake", "--fold", "0", check=check)


def test_it_changes_what_is_learnt_not_what_predicts(workspace, trained_workspace, monkeypatch):
    """Stages of two resolutions, a stop in each: the same bytes, and the network of an experiment without a map."""
    write_twins(workspace)
    asking(workspace, **{"crop = 64": "crop = 128", "learning_rate = 0.002": "learning_rate = 0.002\nbin = 4"})
    steps, step = [], network._FoldTraining._step
    with monkeypatch.context() as patch:
        patch.setattr(
            network._FoldTraining,
            "_step",
            lambda self, images, targets, *rest: (
                steps.append((images.shape[1], targets)) or step(self, images, targets, *rest)
            ),
        )
        trained(workspace)
    for side, cells in ((32, 4), (64, 8)):
        maps = np.concatenate([targets for one, targets in steps if one == side])
        shown = maps[:, 1:].any(axis=1)
        assert maps.shape[1] == 1 + cells**2
        np.testing.assert_array_equal(shown, maps[:, 0] == 1)  # a ring for each lens, none for twins and others
        assert 0.02 < maps[shown, 1:].mean() < 0.5
    fold = workspace.joinpath(*FOLD0)
    undisturbed, history = (fold / "oof.csv").read_bytes(), pd.read_csv(fold / "history.csv")
    model = load_model(fold / "model.keras")
    other = load_model(trained_workspace.joinpath(*FOLD0, "model.keras"))
    assert [layer.name for layer in model.layers] == [layer.name for layer in other.layers]
    run, plain = (json.loads((f.joinpath(*FOLD0) / "run.json").read_text()) for f in (workspace, trained_workspace))
    assert run["parameters"] == plain["parameters"]
    assert json.loads((fold.parent / "config.json").read_text())["twins_hash"]

    for path in fold.iterdir():
        path.unlink()
    settings = workspace / "experiments" / "tiny.toml"
    settings.write_text("# resumed\n" + settings.read_text())
    save = network.save_checkpoint
    for epochs in (1, 3):

        def save_and_die(path, variables, history, config_hash, last=epochs):
            save(path, variables, history, config_hash)
            if len(history) == last:
                raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(network, "save_checkpoint", save_and_die)
            assert trained(workspace, check=False).returncode == 1
    assert "resuming after epoch 3" in trained(workspace).stdout
    assert (fold / "oof.csv").read_bytes() == undisturbed
    columns = ["epoch", "bin", "loss", "valid_auc"]
    pd.testing.assert_frame_equal(pd.read_csv(fold / "history.csv")[columns], history[columns])


def test_a_pack_without_twins_is_trained_on_without_a_map(workspace, trained_workspace):
    """It is said, and gives the bytes of an experiment that asks for none."""
    asking(workspace, **{"twins = 0.5": "twins = 0.0"})
    assert "the pack has no twins: trained without a map of the source" in trained(workspace).stdout
    fold, plain = (folder.joinpath(*FOLD0) for folder in (workspace, trained_workspace))
    assert (fold / "oof.csv").read_bytes() == (plain / "oof.csv").read_bytes()
    assert "twins_hash" not in json.loads((fold.parent / "config.json").read_text())

    write_twins(workspace)  # which is another run
    assert "no twins" not in trained(workspace).stdout
    assert (fold / "oof.csv").read_bytes() != (plain / "oof.csv").read_bytes()


FROZEN = 'name = "efficientnet_lite0"\nweights = "imagenet"\nfrozen = true'
REFUSED = {
    "no twins found": {},
    "paper_cnn has no middle block": {'"fast_cnn"': '"paper_cnn"'},
    "frozen = true has no block that learns": {
        "twins = 0.5": "twins = 0.0",
        'name = "fast_cnn"': FROZEN,
        'trainable = "top"': 'trainable = "head"',
        "batch_size = 16": "batch_size = 16\nd4_average = false",
    },
    "cannot know what augment.transforms move": {
        "noise_sigma = 0.2": "noise_sigma = 0.2\ntransforms = [{name = 'D4'}]"
    },
}


@pytest.mark.parametrize("problem", REFUSED)
def test_where_there_is_none_to_learn_it_is_refused(workspace, problem):
    asking(workspace, **REFUSED[problem])
    done = trained(workspace, check=False)
    assert done.returncode == 1 and problem in done.stderr and "Traceback" not in done.stderr
    assert not workspace.joinpath(*FOLD0).exists()
