"""The benchmark of training compares the same network with the same task; without PyTorch it says so."""

import importlib.util

import numpy as np
import pytest

from benchmarks import training as bench_training
from lensfold.models import build_model


def batch(count=8, pixels=32):
    generator = np.random.default_rng(2)
    images = generator.normal(size=(count, pixels, pixels, 3)).astype("float32")
    return images, (np.arange(count) % 2).astype("float32")[:, None]


def test_without_pytorch_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ((what, measured, asked),) = bench_training.bench_training()
    assert "PyTorch" in what and 'pip install -e ".[bench]"' in measured and not asked


@pytest.mark.parametrize("pixels", [64, 75])
def test_both_networks_give_the_same_logits(pixels):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_network import TorchNetwork

    model = build_model("efficientnet_b0", pixels, 3, dropout=0.0)
    images, _ = batch(pixels=pixels)
    for training in (False, True):
        network = TorchNetwork(model).to(memory_format=torch.channels_last).train(training)
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2)).detach().numpy()
        expected = np.asarray(model(images, training=training))
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_both_steps_learn_the_same():
    """Three steps from the same weights: the same losses, which fall."""
    pytest.importorskip("torch")
    model = build_model("efficientnet_b0", 32, 3, dropout=0.0)
    images, labels = batch(count=16)
    theirs = bench_training.torch_step(model, images, labels)
    ours = bench_training.lensfold_step(model, images, labels)
    losses = np.array([[ours(), theirs()] for _ in range(3)])
    np.testing.assert_allclose(losses[0, 0], losses[0, 1], rtol=1e-4)
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=0.1)
    assert (losses[2] < losses[0]).all()
