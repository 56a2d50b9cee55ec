import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lensfold
from lensfold.errors import InputError
from lensfold.models import MODEL_NAMES, build_model, layer_table, set_trainable

# keras 3.15 converts a TensorFlow variable with numpy's old protocol whenever it saves a model.

EFFICIENTNETS = ("efficientnet_b0", "efficientnet_lite0")
#: (pixels, channels) and parameters. The backbone of B0 on three channels has the 4,049,564 of Tan and Le's network
#: without its classifier, Lite0 3,413,024; the heads add 12,801; a channel more costs the stem 288.
PARAMETERS = {
    ("paper_cnn", 200, 2): 785_057,
    ("fast_cnn", 112, 3): 155_553,
    ("fast_cnn", 112, 6): 157_353,
    ("efficientnet_b0", 64, 3): 4_049_564 + 17_041,
    ("efficientnet_b0", 64, 5): 4_049_564 + 17_041 + 2 * 288,
    ("efficientnet_lite0", 64, 3): 3_413_024 + 17_041,
    ("efficientnet_lite0", 64, 2): 3_413_024 + 17_041 - 288,
}
HEADS = {
    "paper_cnn": {"head_dense1", "head_dense2", "head_logit"},
    "fast_cnn": {"head_dense", "head_logit"},
    "efficientnet_b0": {"head_bn", "head_logit"},
    "efficientnet_lite0": {"head_bn", "head_logit"},
}


@pytest.fixture(scope="module")
def models():
    """One small model of each name; tests may change what is trainable, not the structure."""
    return {name: build_model(name, 32, 3) for name in MODEL_NAMES}


def pictures(count, pixels=32, channels=3):
    return np.random.default_rng(5).normal(size=(count, pixels, pixels, channels)).astype("float32")


def learning_layers(model):
    """Names of the layers with at least one trainable variable."""
    learning = {id(variable) for variable in model.trainable_variables}
    return {layer.name for layer in model.layers if any(id(weight) in learning for weight in layer.weights)}


def moving_statistics(model):
    return {
        weight.path: weight.numpy().copy()
        for layer in model.layers
        for weight in layer.non_trainable_weights
        if weight.path.endswith(("moving_mean", "moving_variance"))
    }


def compile_for_training(model):
    import keras

    # Eager: building the graph of an EfficientNet takes longer than these few steps.
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)


def test_importing_the_package_imports_no_framework():
    code = "import sys, lensfold.models; print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    source = str(Path(lensfold.__file__).parents[1])
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_model_gives_one_logit_per_picture(models, name):
    model = models[name]
    assert model.name == name
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation.__name__ == "linear"
    logits = np.asarray(model(pictures(3)))
    assert logits.shape == (3, 1) and logits.dtype == np.float32 and np.isfinite(logits).all()


@pytest.mark.parametrize(("name", "pixels", "channels"), PARAMETERS)
def test_parameter_counts(name, pixels, channels):
    model = build_model(name, pixels, channels)
    assert model.input_shape == (None, pixels, pixels, channels)
    assert model.count_params() == PARAMETERS[name, pixels, channels]


def test_paper_cnn_is_the_network_of_the_paper():
    layers = build_model("paper_cnn", 200, 2, dropout=0.5).layers
    kinds = [type(layer).__name__ for layer in layers]
    assert [layer.filters for layer in layers if type(layer).__name__ == "Conv2D"] == [16, 16, 32, 32, 64]
    assert [layer.pool_size[0] for layer in layers if type(layer).__name__ == "MaxPooling2D"] == [2, 3, 3]
    assert [layer.units for layer in layers if type(layer).__name__ == "Dense"] == [96, 64, 1]
    assert kinds.count("BatchNormalization") == 1
    assert [layer.rate for layer in layers if type(layer).__name__ == "Dropout"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_no_preprocessing_is_hidden_inside(models, name):
    kinds = {type(layer).__name__ for layer in models[name].layers}
    assert not kinds & {"Rescaling", "Normalization", "Lambda"}


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_layer_is_named(models, name):
    # keras' own names are snake-case class names, counted up with each model of the process: not reproducible.
    for layer in models[name].layers:
        default = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(layer).__name__).lower()
        assert not re.fullmatch(rf"{default}(_\d+)?", layer.name), layer.name


def test_layer_table(models):
    table = layer_table(models["fast_cnn"])
    assert table[0] == ("image", (None, 32, 32, 3), 0)
    assert table[1] == ("stem_conv", (None, 16, 16, 24), 1824)
    assert table[-1] == ("head_logit", (None, 1), 65)
    assert sum(row[2] for row in table) == models["fast_cnn"].count_params()


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_set_trainable_head(models, name):
    set_trainable(models[name], "head")
    assert learning_layers(models[name]) == HEADS[name]


@pytest.mark.parametrize("name", ["paper_cnn", "fast_cnn"])
def test_set_trainable_top_of_the_small_cnns(models, name):
    set_trainable(models[name], "top")
    assert learning_layers(models[name]) == HEADS[name] | {"top_conv", "top_bn"}


@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_set_trainable_top_of_the_efficientnets(models, name):
    set_trainable(models[name], "top")
    last = {"block6a", "block6b", "block6c", "block6d", "block7a", "top"}
    learning = learning_layers(models[name])
    assert learning >= HEADS[name]
    assert {layer.split("_")[0] for layer in learning - HEADS[name]} == last


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_set_trainable_all_undoes_the_others(models, name):
    set_trainable(models[name], "head")
    set_trainable(models[name], "all")
    assert learning_layers(models[name]) == {layer.name for layer in models[name].layers if layer.weights}


@pytest.mark.parametrize(("part", "moves"), [("head", {"head"}), ("top", {"head", "top", "block6", "block7"})])
def test_frozen_batch_normalisation_keeps_its_statistics(part, moves):
    model = build_model("efficientnet_lite0", 32, 3)
    set_trainable(model, part)
    compile_for_training(model)
    before = moving_statistics(model)
    model.train_on_batch(pictures(8), np.arange(8) % 2)
    after = moving_statistics(model)
    moved = {path for path in before if not np.array_equal(before[path], after[path])}
    assert moved == {path for path in before if path.startswith(tuple(moves))}


def test_frozen_backbone_runs_in_inference_mode(models):
    import keras

    model = models["efficientnet_lite0"]
    set_trainable(model, "head")
    features = keras.Model(model.input, model.get_layer("head_average").output)
    batch = pictures(4)
    np.testing.assert_array_equal(features(batch, training=True), features(batch, training=False))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_prediction_does_not_depend_on_the_batch(models, name):
    model = models[name]
    batch = pictures(16)
    whole = np.asarray(model(batch))
    single = np.concatenate([np.asarray(model(batch[i : i + 1])) for i in range(0, 16, 5)])
    np.testing.assert_allclose(single, whole[::5], atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize("name", ["paper_cnn", "fast_cnn", "efficientnet_lite0"])
def test_predict_and_evaluate_agree_after_training(name):
    model = build_model(name, 32, 3)
    set_trainable(model, "all" if name.endswith("cnn") else "head")
    compile_for_training(model)
    batch, labels = pictures(16), np.arange(16) % 2
    for _ in range(3):
        model.train_on_batch(batch, labels)
    logits = model.predict(batch, batch_size=5, verbose=0)[:, 0].astype(float)
    loss = np.mean(np.logaddexp(0, logits) - labels * logits)
    assert model.evaluate(batch, labels, batch_size=16, verbose=0) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("name", ["paper_cnn", "fast_cnn"])
def test_training_lowers_the_loss(name):
    model = build_model(name, 32, 3, dropout=0.0)
    compile_for_training(model)
    batch, labels = pictures(16), np.arange(16) % 2
    batch[labels == 1, 10:20, 10:20] += 2
    losses = [model.train_on_batch(batch, labels) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_saved_model_loads_without_custom_objects(models, name, tmp_path):
    import keras

    set_trainable(models[name], "head")
    models[name].save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=None, compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded(pictures(2)), models[name](pictures(2)))
    assert learning_layers(loaded) == HEADS[name]
    set_trainable(loaded, "all")
    assert learning_layers(loaded) == {layer.name for layer in loaded.layers if layer.weights}


def test_dropout_reaches_the_layers():
    for name in MODEL_NAMES:
        model = build_model(name, 32, 1, dropout=0.35)
        rates = {layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"}
        assert rates == {0.35}, name


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("resnet", 64, 3), {}, "paper_cnn, fast_cnn, efficientnet_b0, efficientnet_lite0"),
        (("fast_cnn", 31, 3), {}, "31 pixels are too few"),
        (("fast_cnn", 64, 0), {}, "0 channels"),
        (("fast_cnn", 64, 3), {"dropout": 1.0}, "dropout 1.0 is not a rate"),
        (("fast_cnn", 64, 3), {"weights": "imagenet"}, "has no ImageNet weights"),
        (("efficientnet_b0", 64, 3), {"weights": "noisy-student"}, "Expected one of: none, imagenet"),
        (("efficientnet_b0", 64, 3), {"weights_file": "a.h5"}, 'needs weights = "imagenet"'),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        build_model(*arguments, **options)


def test_unknown_part_is_named(models):
    with pytest.raises(InputError, match="'neck' is not known. Expected one of: head, top, all"):
        set_trainable(models["fast_cnn"], "neck")


def test_a_model_from_elsewhere_is_refused():
    import keras

    inputs = keras.Input((4,), name="x")
    with pytest.raises(InputError, match="was not made by build_model"):
        set_trainable(keras.Model(inputs, keras.layers.Dense(1, name="y")(inputs)), "head")
