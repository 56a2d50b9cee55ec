"""The benchmark of prediction compares equal networks, and says so where PyTorch is absent."""

import sys

import numpy as np
import pytest

from benchmarks.prediction import Case, bench_prediction, scale_logits
from lensfold.models import build_model

SMALL = (Case("fast_cnn", 40, 9),)


def test_rows_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = bench_prediction(SMALL, repeats=1)
    assert [asked for _, _, asked in rows] == ["at least × 1.5", "at most 1e-4", "more than 0"]
    assert "PyTorch is not installed" in rows[0][1] and float(rows[1][1]) < 1e-4


def test_rows_with_pytorch():
    pytest.importorskip("torch")
    rows = bench_prediction(SMALL, repeats=1)
    assert len(rows) == 5
    assert sum("PyTorch with channels last" in what for what, _, _ in rows) == 1
    (difference,) = (told for what, told, _ in rows if "difference" in what)
    assert float(difference) < 1e-4


@pytest.mark.parametrize("name", ["fast_cnn", "efficientnet_b0", "efficientnet_lite0"])
def test_the_network_in_pytorch_is_the_same(name):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_network import TorchNetwork

    model = build_model(name, 41, 3)
    images = np.random.default_rng(1).standard_normal((2, 41, 41, 3)).astype(np.float32)
    scale_logits(model, images)
    with torch.inference_mode():
        found = TorchNetwork(model)(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found, model(images, training=False), atol=1e-4)
