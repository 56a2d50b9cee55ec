"""What an experiment adds of albumentations: composed as listed, seeded per image, refused where it cannot be right."""

import numpy as np
import pytest
from fakes.inputs import OFF, augmented, preparation
from fakes.pack import SIGMA, fake_images

from lensfold.config import AugmentSettings, Experiment, PixelSettings, StageSettings, TransformSettings, read_toml
from lensfold.errors import InputError
from lensfold.inputs.pixels import fit_constants, linear_channels, standardised
from lensfold.inputs.transforms import Transforms

IMAGES = fake_images(np.random.default_rng(5), True)
SHAPE = (48, 48, 3)
STAGE = "[[stage]]\nmin_size = 20\nepochs = 1\n"
DROPOUT = TransformSettings.model_validate({"name": "PixelDropout", "dropout_prob": 0.2, "p": 1.0})


def test_a_file_of_settings_lists_them_in_order(tmp_path):
    path = tmp_path / "x.toml"
    listed = '[[augment.transforms]]\nname = "ElasticTransform"\nalpha = 3\np = 0.5\n'
    path.write_text(listed + '[[augment.transforms]]\nname = "PixelDropout"\n' + STAGE)
    experiment = read_toml(path, Experiment)
    first, second = experiment.augment.transforms
    assert first.model_extra == {"alpha": 3, "p": 0.5} and second.model_extra == {}
    assert hash(experiment) == hash(read_toml(path, Experiment))  # by which a process knows what it has open
    image = np.random.default_rng(2).normal(0, 50, SHAPE).astype(np.float32)
    assert Transforms(experiment.augment.transforms, SHAPE)(image, 1).shape == SHAPE


def test_they_come_after_ours_and_before_the_stretch():
    pixels = PixelSettings(crop=96)
    constants = fit_constants([IMAGES], pixels, SIGMA)
    made = preparation(IMAGES, pixels, AugmentSettings(**OFF, transforms=(DROPOUT,)), constants=constants)
    found = augmented(made, 4)
    linear = linear_channels(IMAGES, pixels, SIGMA)
    background = standardised(np.zeros_like(linear), pixels, constants)
    dropped = (np.abs(found - background) < 1e-6).all(axis=3)
    assert dropped.mean() == pytest.approx(0.2, abs=0.02)
    plain = np.broadcast_to(made.plain(np.array([1])), found.shape)
    np.testing.assert_allclose(found[~dropped], plain[~dropped], atol=2e-6)


def test_an_image_depends_on_its_seed_words_alone():
    made = preparation(IMAGES, PixelSettings(crop=96), AugmentSettings(transforms=(DROPOUT,)), SIGMA)
    together = augmented(made, 6)
    alone = [augmented(made, 1, start)[0] for start in reversed(range(6))]
    np.testing.assert_array_equal(together, alone[::-1])
    assert len({image.tobytes() for image in together}) == 6


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"name": "PixelDropuot"}, "augment.transforms.0, PixelDropuot: albumentations .* has no transform"),
        ({"name": "Compose"}, "has no transform of this name"),
        ({"name": "PixelDropout", "share": 1}, "refuses .*'share'"),
        ({"name": "PixelDropout", "dropout_prob": 7}, "PixelDropout: albumentations .* refuses .*dropout_prob"),
        ({"name": "RandomBrightnessContrast"}, "not for images in background sigmas.* from 0 to 1"),
        ({"name": "GaussianBlur"}, "not for images in background sigmas.* from 0 to 1"),
        ({"name": "Resize", "height": 20, "width": 20}, r"it makes \(20, 20, 3\)"),
    ],
)
def test_what_cannot_be_right_is_refused(listed, words):
    with pytest.raises(InputError, match=words):
        Transforms((TransformSettings.model_validate(listed),), SHAPE)


def test_einstein_radii_take_none():
    with pytest.raises(ValueError, match="cannot know what augment.transforms enlarge"):
        Experiment(
            task="einstein-radius",
            augment=AugmentSettings(transforms=(DROPOUT,)),
            stage=(StageSettings(min_size=20, epochs=1),),
        )
