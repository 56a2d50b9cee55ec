"""Maps point at what a network of known answer looks at, and the command draws them of the held-out fold."""

import keras
import numpy as np
import pytest
from fakes.workspace import lensfold
from keras import layers
from PIL import Image

from lensfold.config import PixelSettings
from lensfold.data.cache_build import Build, build_cache
from lensfold.data.catalog import labels, read_catalog
from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.prediction.saliency import background_value, grad_cam, occlusion_map, scored_by
from lensfold.report.explain import explain_objects, on_frame

SIDE = 32
PACK = ("--pack", "fake")


def corner_sum(images):
    """A network whose answer is known: three times the light of the corner [4:12, 20:28] of the first channel."""
    return 3 * images[:, 4:12, 20:28, 0].sum(axis=(1, 2))


def arcs(count, seed):
    """Noise, and in every other image a bright short arc at a random place: images, labels, centres (row, column)."""
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 0.3, (count, SIDE, SIDE, 1)).astype(np.float32)
    centres = generator.integers(6, SIDE - 6, (count, 2))
    is_lens = np.arange(count) % 2
    rows, columns = np.indices((SIDE, SIDE))
    for image, (row, column), lens in zip(images, centres, is_lens, strict=True):
        radius, angle = np.hypot(rows - row - 3, columns - column), np.arctan2(row + 3 - rows, columns - column)
        image[..., 0] += 3 * lens * (np.abs(radius - 3) < 0.8) * (np.abs(angle - np.pi / 2) < 1)
    return images, is_lens.astype(np.float32), centres


@pytest.fixture(scope="module")
def trained_cnn():
    """A tiny network that has learned arcs from nothing."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Conv2D(8, 5, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="last")(x)
    outputs = layers.Dense(1)(layers.GlobalMaxPooling2D()(x))
    model = keras.Model(inputs, outputs)
    images, is_lens, _ = arcs(400, 0)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(images, is_lens, epochs=6, batch_size=32, verbose=0)
    return model


def test_occlusion_of_a_known_network_is_its_light():
    """The fall at a patch is three times the light of what it hides of the corner, and 0 where it hides none."""
    image = np.ones((SIDE, SIDE, 2), dtype=np.float32)
    found = occlusion_map(corner_sum, image, np.zeros(2, dtype=np.float32), patch=4, step=4)
    expected = np.zeros((SIDE, SIDE))
    expected[4:12, 20:28] = 3 * 16
    np.testing.assert_allclose(found, expected)


def test_occlusion_has_signs_and_reaches_the_edge():
    image = np.zeros((30, 30, 1), dtype=np.float32)
    image[27:30, 27:30] = 1.0
    found = occlusion_map(lambda images: -images.sum(axis=(1, 2, 3)), image, np.zeros(1, np.float32), patch=8, step=5)
    assert found[29, 29] == -9 and np.isfinite(found).all() and found[:15, :15].max() == 0


@pytest.mark.parametrize(("patch", "step"), [(0, 1), (4, 0), (4, 5), (40, 2)])
def test_impossible_patches_are_refused(patch, step):
    with pytest.raises(InputError, match="step <= patch"):
        occlusion_map(corner_sum, np.zeros((SIDE, SIDE, 1), np.float32), np.zeros(1, np.float32), patch, step)


def test_grad_cam_of_a_known_network_is_its_channel():
    """The output sums channel 1 of the last convolution and ignores channel 0: the map is channel 1."""
    inputs = keras.Input((SIDE, SIDE, 2))
    x = layers.Conv2D(2, 1, use_bias=False, name="last")(inputs)
    outputs = layers.Dense(1, use_bias=False)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    model.get_layer("last").set_weights([np.eye(2, dtype=np.float32)[None, None]])
    model.layers[-1].set_weights([np.array([[0.0], [5.0]], dtype=np.float32)])
    image = np.random.default_rng(0).random((SIDE, SIDE, 2)).astype(np.float32)
    expected = image[..., 1] * 5 / SIDE**2
    np.testing.assert_allclose(grad_cam(model, image), expected, rtol=1e-4, atol=1e-7)
    model.trainable = False  # as a loaded network may be
    np.testing.assert_allclose(grad_cam(model, image), expected, rtol=1e-4, atol=1e-7)


def test_grad_cam_needs_a_convolution():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(InputError, match="occlusion"):
        grad_cam(model, np.zeros((4, 4, 1), dtype=np.float32))


def test_maps_of_a_trained_network_have_their_maximum_on_the_arc(trained_cnn):
    images, is_lens, centres = arcs(60, 7)
    score = scored_by(trained_cnn)
    logits = score(images)
    assert np.mean((logits > 0) == is_lens) > 0.9
    hits = {"occlusion": [], "grad-cam": []}
    sure = [i for i in np.flatnonzero(is_lens) if logits[i] > 2][:12]
    assert len(sure) >= 8
    for i in sure:
        maps = {
            "occlusion": occlusion_map(score, images[i], np.zeros(1, dtype=np.float32), 5, 2),
            "grad-cam": grad_cam(trained_cnn, images[i]),
        }
        for name, values in maps.items():
            brightest = np.unravel_index(np.argmax(values), values.shape)
            hits[name].append(np.hypot(*(np.array(brightest) - centres[i])) <= 5)
    assert np.mean(hits["occlusion"]) > 0.9 and np.mean(hits["grad-cam"]) > 0.9, hits


def test_scores_do_not_depend_on_the_batch(trained_cnn):
    images, _, _ = arcs(70, 3)
    np.testing.assert_allclose(scored_by(trained_cnn)(images), trained_cnn.predict(images, verbose=0)[:, 0], atol=1e-5)


def test_background_is_where_no_light_is():
    assert background_value({"mean": [1.0, -3.0], "scale": [2.0, 1.5], "sigma": {}}).tolist() == [-0.5, 2.0]


def test_a_map_of_a_smaller_frame():
    placed = on_frame(np.ones((32, 32)), PixelSettings(crop=64, bin=2), 100)
    assert placed.shape == (100, 100) and np.nansum(placed) == 64**2 and placed[18:82, 18:82].all()


def test_a_map_lies_in_the_middle_of_the_frame():
    placed = on_frame(np.arange(64.0**2).reshape(64, 64), PixelSettings(crop=128, bin=2), 200)
    assert placed.shape == (200, 200) and np.isnan(placed[:36]).all() and np.isnan(placed[:, 164:]).all()
    assert placed[36:38, 36:38].tolist() == [[0.0, 0.0], [0.0, 0.0]] and placed[163, 163] == 64**2 - 1


@pytest.mark.parametrize("method", ["occlusion", "grad-cam"])
def test_the_command_draws_each_object(trained, method):
    catalog = read_catalog(trained / "data" / "fake" / "image_catalog2.0train.csv")
    lenses = catalog.index[labels(catalog, "official-2020") == 1].tolist()[:2]
    ids = [str(i) for i in (*lenses, lenses[0])]
    out = lensfold(trained, "explain", *PACK, "--experiment", "tiny", "--method", method, *ids).stdout
    for object_id in lenses:
        path = trained / "runs" / "fake" / "tiny" / "explain" / f"{object_id}.png"
        assert out.count(f"{path.relative_to(trained)}\n") == 1
        with Image.open(path) as picture:
            assert picture.format == "PNG" and picture.size == (1689, 627)


def test_an_object_is_explained_by_the_fold_that_held_it_out(trained):
    """Networks of the other folds are not even there."""
    oof = (trained / "runs" / "fake" / "tiny" / "fold1" / "oof.csv").read_text().splitlines()
    object_id = int(oof[1].split(",")[0])
    for fold in (0, 2):
        (trained / "runs" / "fake" / "tiny" / f"fold{fold}" / "model.keras").unlink()
    assert lensfold(trained, "explain", *PACK, "--experiment", "tiny", str(object_id)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--experiment", "tiny", "77"), ["no complete fold has held out ID 77"]),
        (("--experiment", "gone", "200001"), ["no such run"]),
        (("--experiment", "tiny", "--method", "guess", "200001"), ["--method 'guess'", "occlusion"]),
    ],
)
def test_mistakes_are_told(trained, arguments, words):
    done = lensfold(trained, "explain", *PACK, *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not (trained / "runs" / "fake" / "tiny" / "explain").exists()


def test_a_cutout_that_is_gone_is_told(trained):
    """A cutout that is gone from the cache since."""
    workspace = Workspace(trained)
    pack = workspace.pack("fake")
    gone = read_catalog(pack.catalog).index[0]
    for path in (pack.folder / "train" / "Public").glob(f"*/*{gone}.fits"):
        path.unlink()
    kept = [i for i in read_catalog(pack.catalog).index.tolist() if i != gone]
    build_cache(pack.folder / "train", Build(workspace.cache(pack, "train"), kept, workers=1))
    with pytest.raises(InputError, match=f"ID {gone}"):
        explain_objects(workspace, pack, "tiny", [int(gone)])
