"""The table of transfer: every network on every test split, beside the one that was trained there."""

import numpy as np
import pytest
from fakes.runs import known, write_catalogs, write_correlated_run

from benchmarks.transfer import transfer_lines
from lensfold.data.cache import pixels_hash, read_manifest
from lensfold.data.catalog import read_catalog
from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.runs.predictions import fold_predictions
from lensfold.runs.run import Run
from lensfold.scoring.metrics import auc

SCATTER = {"fake": 1.0, "other": 2.5}
EXPERIMENT = {"seed": 1, "stage": [{"min_size": 20, "epochs": 1}]}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Two packs, a run on each that is predicted already: that of "other" is the worse one everywhere."""
    root = tmp_path_factory.mktemp("transfer")
    workspace = Workspace(root)
    catalogs = {name: write_catalogs(root, name, n=90, n_test=120) for name in SCATTER}
    for trained, scatter in SCATTER.items():
        folder = write_correlated_run(
            root, catalogs[trained], "net", scatter, trained, n_test=120, experiment=EXPERIMENT
        )
        for number, judged in enumerate(SCATTER):
            pack = workspace.pack(judged)
            key = read_catalog(pack.key)
            pixels = pixels_hash(read_manifest(workspace.cache(pack, "test")))
            for prediction in fold_predictions(Run(folder), judged, pixels):
                noise = np.random.default_rng([number, prediction.fold, int(10 * scatter)]).normal(size=len(key))
                prediction.write(key.index.to_numpy(), known(key).to_numpy() + scatter * noise)
    return workspace


def test_each_network_on_each_pack(workspace):
    lines = list(transfer_lines(workspace, ["fake", "other"], "net", 1))
    cells = {tuple(parts[:2]): parts[2:] for parts in (line.strip("| ").split(" | ") for line in lines[2:6])}
    assert set(cells) == {(one, two) for one in SCATTER for two in SCATTER}
    key = read_catalog(workspace.pack("other").key)
    found = {name: auc(known(key), Run(workspace.run(name, "net")).test_logits("other")[key.index]) for name in SCATTER}
    for name in SCATTER:
        assert cells["other", name][0].startswith(f"{found[name]:.3f} [")
    assert cells["other", "other"][1] == cells["other", "other"][3] == "–"
    assert cells["other", "fake"][1].startswith(f"{found['fake'] - found['other']:+.3f} [+")
    assert "Simulated scores" in lines[-1]
    assert any("3 folds, training seed" in line for line in lines) and any("n = 120" in line for line in lines)


def test_a_run_that_nobody_trained_is_asked_for(workspace):
    with pytest.raises(InputError, match="no fold of absent is complete on fake, other"):
        list(transfer_lines(workspace, ["fake", "other"], "absent", 1))


def test_a_pack_without_a_key_is_refused(workspace):
    with pytest.raises(InputError, match="no key, so nowhere cannot be judged on"):
        list(transfer_lines(workspace, ["fake", "nowhere"], "net", 1))
