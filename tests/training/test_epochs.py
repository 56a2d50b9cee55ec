"""What an epoch asks to learn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import fake_catalog
from fakes.inputs import augmented, preparation
from fakes.labels import given_catalog

from lensfold.config import (
    AugmentSettings,
    Experiment,
    NetworkLearner,
    PixelSettings,
    PredictSettings,
    StageSettings,
    TrainSettings,
)
from lensfold.data.catalog import log_einstein_radius
from lensfold.frames import BAND_SHAPES, BANDS
from lensfold.training.epochs import Epochs
from lensfold.training.task import FoldTask

ZOOM = AugmentSettings(affine_probability=0.8, zoom=0.3, rotate_degrees=0.0, shift_pixels=0.0, gain=0.0)


def epochs_of(experiment: Experiment, catalog: pd.DataFrame | None = None):
    catalog = fake_catalog(200) if catalog is None else catalog
    constants = {"sigma": dict.fromkeys(BANDS, 1.0), "mean": [0.0], "scale": [1.0]}
    task = FoldTask(experiment, constants, "", 0, catalog["n_sources"], catalog, Path(), None, Path())
    return Epochs(task, catalog.index.to_numpy(), np.empty(0, dtype=np.int64)), log_einstein_radius(catalog)


def radius_experiment(**changes) -> Experiment:
    return Experiment(
        task="einstein-radius", stage=(StageSettings(min_size=20, epochs=1, trainable="head"),), **changes
    )


def test_an_enlarged_ring_has_an_enlarged_radius():
    """Images are zoomed; the radius that is learned of them once was not."""
    experiment = radius_experiment(augment=ZOOM)
    epochs, radii = epochs_of(experiment)
    epoch = epochs.epoch(epochs.labels_of(experiment.stage[0]), 3)
    enlarged = np.exp(epoch.targets[:, 0] - radii.loc[epoch.ids].to_numpy())
    images = {band: np.zeros(BAND_SHAPES[band]) for band in BANDS}
    down, right = np.indices(BAND_SHAPES["VIS"]) - 99.5
    images["VIS"] = np.exp(-0.5 * ((np.hypot(down, right) - 40) / 4) ** 2)
    pixels = PixelSettings(mix="vis", stretch="none", softening=1.0, scaling="none")
    shown = augmented(preparation(images, pixels, ZOOM), len(epoch.ids))[..., 0]
    radius = np.hypot(*(np.indices((100, 100)) - 49.5))
    measured = (shown * radius).sum(axis=(1, 2)) / shown.sum(axis=(1, 2))
    still = (images["VIS"] * np.hypot(down, right)).sum() / images["VIS"].sum() / 2
    np.testing.assert_allclose(enlarged, measured / still, rtol=2e-3)
    assert enlarged.min() < 0.8 and enlarged.max() > 1.2 and np.isclose(enlarged, 1, atol=1e-6).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": AugmentSettings(affine_probability=0.0, zoom=0.3)},
        {
            "learner": NetworkLearner(name="efficientnet_lite0", weights="imagenet", frozen=True),
            "predict": PredictSettings(d4_average=False),
            "augment": ZOOM,
        },
    ],
    ids=["no affine", "features of images that are not augmented"],
)
def test_radii_of_images_that_are_not_zoomed_stay(changes):
    experiment = radius_experiment(**changes)
    epochs, radii = epochs_of(experiment)
    epoch = epochs.epoch(epochs.labels_of(experiment.stage[0]), 0)
    np.testing.assert_array_equal(epoch.targets[:, 0], radii.loc[epoch.ids].to_numpy(np.float32))
    assert epoch.targets.shape == (len(epoch.ids), 1) and len(epoch.ids) > 20


# The user's own labels


def given_experiment(min_size: int = 0, **train) -> Experiment:
    stage = StageSettings(min_size=min_size, epochs=1)
    return Experiment(label_rule="given", train=TrainSettings(**train), stage=(stage,))


@pytest.mark.parametrize("balance", ["none", "weights", "oversample"])
def test_graders_probabilities_are_learned_and_their_weights_count(balance):
    label, weight = np.array([1.0, 0.7, 0.5, 0.3, 0.1, 0.0]), np.array([1.0, 2.0, 9.0, 3.0, 1.0, 2.0])
    experiment = given_experiment(balance=balance)
    epochs, _ = epochs_of(experiment, given_catalog(label, weight=weight))
    epoch = epochs.epoch(epochs.labels_of(experiment.stage[0]), 0)
    places = epoch.ids - 1
    assert set(epoch.ids) == {1, 2, 4, 5, 6}  # at 0.5 there is no class, and nothing to learn
    np.testing.assert_array_equal(epoch.targets[:, 0], label[places].astype(np.float32))
    of_class = {"none": [1, 1], "oversample": [1, 1], "weights": [5 / 6, 5 / 4]}[balance]
    expected = weight / weight.mean() * np.where(label > 0.5, of_class[1], of_class[0])
    np.testing.assert_allclose(epoch.weights, expected[places])


def test_labels_of_equal_weight_have_none():
    experiment = given_experiment()
    epochs, _ = epochs_of(experiment, given_catalog(np.array([1.0, 0.0]), weight=3.0))
    assert epochs.epoch(epochs.labels_of(experiment.stage[0]), 0).weights is None


def test_a_lens_that_a_stage_calls_a_non_lens_is_learned_as_one():
    experiment = given_experiment(20, below="negative", balance="none")
    catalog = given_catalog(np.array([0.9, 0.8, 0.2]), n_pix_source=[50.0, 10.0, np.nan])
    epochs, _ = epochs_of(experiment, catalog)
    epoch = epochs.epoch(epochs.labels_of(experiment.stage[0]), 0)
    found = dict(zip(epoch.ids.tolist(), epoch.targets[:, 0].tolist(), strict=True))
    assert found == pytest.approx({1: 0.9, 2: 0.0, 3: 0.2})
