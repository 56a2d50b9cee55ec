import re
import typing

import keras
import numpy as np
import pytest

from lensfold.config import Experiment, NetworkLearner, PretrainedName, validated
from lensfold.errors import InputError
from lensfold.models import (
    MODEL_NAMES,
    block_depth,
    build_model,
    layer_table,
    resized,
    set_trainable,
    split_at_head,
    with_source_map,
    without_source_map,
)

#: what the tests run, one of each kind: name, channels, options
VARIANTS = {
    "paper_cnn": ("paper_cnn", 3, {}),
    "fast_cnn": ("fast_cnn", 3, {}),
    "wide_cnn": ("wide_cnn", 4, {}),
    "efficientnet_b0": ("efficientnet_b0", 3, {}),
    "efficientnet_v2_b0": ("efficientnet_v2_b0", 3, {}),
    "efficientnet_lite0": ("efficientnet_lite0", 3, {}),
    "two branches": ("efficientnet_lite0", 4, {"two_branches": True, "dense": (16, 8)}),
}
SMALL_CNNS = ("paper_cnn", "fast_cnn", "wide_cnn")
DROPOUT = 0.35
#: (pixels, channels) and parameters. The backbone of B0 on three channels has the 4,049,564 of Tan and Le's network
#: without its classifier, Lite0 3,413,024; the heads add 12,801; a channel more costs the stem 288.
PARAMETERS = {
    ("paper_cnn", 200, 2): 785_057,
    ("fast_cnn", 112, 3): 155_553,
    ("fast_cnn", 112, 6): 157_353,
    ("wide_cnn", 200, 4): 267_361,
    ("efficientnet_b0", 64, 3): 4_049_564 + 17_041,
    ("efficientnet_b0", 64, 5): 4_049_564 + 17_041 + 2 * 288,
    ("efficientnet_lite0", 64, 3): 3_413_024 + 17_041,
    ("efficientnet_lite0", 64, 2): 3_413_024 + 17_041 - 288,
}
HEADS = {
    "paper_cnn": {"head_dense1", "head_dense2", "head_logit"},
    "fast_cnn": {"head_dense", "head_logit"},
    "wide_cnn": {"head_dense", "head_logit"},
    "efficientnet_b0": {"head_bn", "head_logit"},
    "efficientnet_v2_b0": {"head_bn", "head_logit"},
    "efficientnet_lite0": {"head_bn", "head_logit"},
    "two branches": {"head_bn", "head_dense1", "head_dense2", "head_logit"},
}


@pytest.fixture(scope="module")
def models():
    """One small model of each kind; tests may change what is trainable, not the structure."""
    keras.utils.set_random_seed(3)
    return {
        variant: build_model(name, 32, channels, dropout=DROPOUT, **options)
        for variant, (name, channels, options) in VARIANTS.items()
    }


def pictures(count, pixels=32, channels=3):
    return np.random.default_rng(5).normal(size=(count, pixels, pixels, channels)).astype("float32")


def pictures_for(variant, count):
    return pictures(count, channels=VARIANTS[variant][1])


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


def test_every_name_of_the_settings_is_a_model():
    assert set(MODEL_NAMES) == set(typing.get_args(NetworkLearner.model_fields["name"].annotation))
    assert {*typing.get_args(PretrainedName), "paper_cnn", "fast_cnn", "wide_cnn"} == set(MODEL_NAMES)
    assert len(MODEL_NAMES) == 21


@pytest.mark.parametrize("variant", VARIANTS)
def test_model_gives_one_logit_per_picture(models, variant):
    model = models[variant]
    assert model.name == VARIANTS[variant][0]
    assert model.input_shape == (None, 32, 32, VARIANTS[variant][1])
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation.__name__ == "linear"
    logits = np.asarray(model(pictures_for(variant, 3)))
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_preprocessing_is_hidden_inside(models, variant):
    kinds = {type(layer).__name__ for layer in models[variant].layers}
    assert not kinds & {"Rescaling", "Normalization", "Lambda"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_is_named(models, variant):
    # keras' own names are snake-case class names, counted up with each model of the process: not reproducible.
    for layer in models[variant].layers:
        default = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(layer).__name__).lower()
        assert not re.fullmatch(rf"{default}(_\d+)?", layer.name), layer.name


def test_layer_table(models):
    table = layer_table(models["fast_cnn"])
    assert table[0] == ("image", (None, 32, 32, 3), 0)
    assert table[1] == ("stem_conv", (None, 16, 16, 24), 1824)
    assert table[-1] == ("head_logit", (None, 1), 65)
    assert sum(row[2] for row in table) == models["fast_cnn"].count_params()


@pytest.mark.parametrize("variant", VARIANTS)
def test_set_trainable_head(models, variant):
    set_trainable(models[variant], "head")
    assert learning_layers(models[variant]) == HEADS[variant]


@pytest.mark.parametrize("name", SMALL_CNNS)
def test_set_trainable_top_of_the_small_cnns(models, name):
    set_trainable(models[name], "top")
    assert learning_layers(models[name]) == HEADS[name] | {"top_conv", "top_bn"}


@pytest.mark.parametrize(
    ("variant", "part", "blocks"),
    [
        ("efficientnet_lite0", "top", "67"),
        ("efficientnet_lite0", "block6", "67"),
        ("efficientnet_lite0", "block7", "7"),
        ("efficientnet_lite0", "block2", "234567"),
        ("efficientnet_b0", "top", "67"),
        ("efficientnet_b0", "block4", "4567"),
        ("efficientnet_v2_b0", "top", "6"),
        ("efficientnet_v2_b0", "block7", ""),
        ("efficientnet_v2_b0", "block3", "3456"),
        ("two branches", "top", "67"),
        ("two branches", "block5", "567"),
    ],
)
def test_set_trainable_from_a_block_upwards(models, variant, part, blocks):
    set_trainable(models[variant], part)
    learning = learning_layers(models[variant])
    assert learning >= HEADS[variant]
    branches = ("vis_", "nisp_") if variant == "two branches" else ("",)
    stages = {f"block{block}" for block in blocks} | {"top"}
    groups = {re.match(r"((?:vis_|nisp_)?(?:block\d|[a-z]+))", name)[1] for name in learning - HEADS[variant]}
    assert groups == {branch + stage for branch in branches for stage in stages}
    chosen = {
        layer.name
        for layer in models[variant].layers
        if layer.weights and layer.name.startswith(tuple(groups | {"head_"}))
    }
    assert learning == chosen


@pytest.mark.parametrize("name", SMALL_CNNS)
def test_small_cnns_have_no_blocks(models, name):
    with pytest.raises(InputError, match=f"{name}.* no part 'block5'. Expected one of: head, top, all"):
        set_trainable(models[name], "block5")


@pytest.mark.parametrize(
    ("variant", "blocks"), [("efficientnet_b0", 7), ("efficientnet_v2_b0", 6), ("two branches", 7)]
)
def test_block_depth_counts_from_the_head(models, variant, blocks):
    depth = block_depth(models[variant])
    assert depth.keys() == {weight.path for layer in models[variant].layers for weight in layer.weights}
    expected = {"head": 0, "top": 1, "stem": blocks + 2}
    expected |= {f"block{number}": blocks + 2 - number for number in range(1, blocks + 1)}
    for path, found in depth.items():
        part = re.match(r"(?:vis_|nisp_)?(head|top|stem|block\d)", path)[1]
        assert found == expected[part], path
    assert set(depth.values()) == set(range(blocks + 3))


@pytest.mark.parametrize("name", SMALL_CNNS)
def test_block_depth_of_the_small_cnns(models, name):
    for path, depth in block_depth(models[name]).items():
        assert depth == (0 if path.startswith("head_") else 1), path


@pytest.mark.parametrize("variant", VARIANTS)
def test_set_trainable_all_undoes_the_others(models, variant):
    set_trainable(models[variant], "head")
    set_trainable(models[variant], "all")
    assert learning_layers(models[variant]) == {layer.name for layer in models[variant].layers if layer.weights}


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


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_v2_b0"])
def test_frozen_backbone_runs_in_inference_mode(models, name):
    import keras

    model = models[name]
    set_trainable(model, "head")
    features = keras.Model(model.input, model.get_layer("head_average").output)
    batch = pictures(4)
    np.testing.assert_array_equal(features(batch, training=True), features(batch, training=False))


@pytest.mark.parametrize("variant", VARIANTS)
def test_prediction_does_not_depend_on_the_batch(models, variant):
    model = models[variant]
    batch = pictures_for(variant, 16)
    whole = np.asarray(model(batch))
    single = np.concatenate([np.asarray(model(batch[i : i + 1])) for i in (0, 15)])
    np.testing.assert_allclose(single, whole[::15], atol=1e-4 * np.abs(whole).max())


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


@pytest.mark.parametrize("name", SMALL_CNNS)
def test_training_lowers_the_loss(name):
    channels = VARIANTS[name][1]
    model = build_model(name, 32, channels, dropout=0.0)
    compile_for_training(model)
    batch, labels = pictures(16, channels=channels), np.arange(16) % 2
    batch[labels == 1, 10:20, 10:20] += 2
    losses = [model.train_on_batch(batch, labels) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


# "two branches" is twice Lite0
@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "efficientnet_lite0"])
def test_saved_model_loads_without_custom_objects(models, variant, tmp_path):
    import keras

    set_trainable(models[variant], "head")
    models[variant].save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=None, compile=False, safe_mode=True)
    batch = pictures_for(variant, 2)
    np.testing.assert_array_equal(loaded(batch), models[variant](batch))
    assert learning_layers(loaded) == HEADS[variant]
    assert block_depth(loaded) == block_depth(models[variant])
    set_trainable(loaded, "all")
    assert learning_layers(loaded) == {layer.name for layer in loaded.layers if layer.weights}


@pytest.mark.parametrize("variant", VARIANTS)
def test_dropout_reaches_the_layers(models, variant):
    rates = {layer.rate for layer in models[variant].layers if type(layer).__name__ == "Dropout"}
    assert rates == {DROPOUT}


def test_dense_layers_lie_between_features_and_logit(models):
    names = [layer.name for layer in models["two branches"].layers]
    expected = ["bn", "dropout", "dense1", "dropout1", "dense2", "dropout2", "logit"]
    assert names[names.index("head_features") + 1 :] == [f"head_{name}" for name in expected]
    dense = [models["two branches"].get_layer(f"head_dense{number}") for number in (1, 2)]
    assert [(layer.units, layer.activation.__name__) for layer in dense] == [(16, "silu"), (8, "silu")]


@pytest.mark.parametrize("variant", ["fast_cnn", "two branches"])
def test_split_at_head_gives_the_same_logit(models, variant):
    backbone, head = split_at_head(models[variant])
    batch = pictures_for(variant, 3)
    np.testing.assert_array_equal(head(backbone(batch)), models[variant](batch))
    assert all(layer.name.startswith("head_") for layer in head.layers if layer.weights)
    assert {path.split("/")[0] for path in block_depth(head)} == HEADS[variant]


@pytest.mark.parametrize("name", ["fast_cnn", "efficientnet_lite0"])
def test_resized_has_the_same_weights_for_other_images(models, name):
    learner = {"name": name, "dropout": DROPOUT} | ({"weights": "imagenet"} if name != "fast_cnn" else {})
    content = {"pixels": {"crop": 90, "bin": 1}, "learner": learner, "stage": [{"min_size": 20, "epochs": 1}]}
    made = resized(models[name], validated(content, Experiment, "x.toml"))
    assert made.input_shape == (None, 90, 90, 3) and made.output_shape == (None, 1)
    assert [layer.name for layer in made.layers] == [layer.name for layer in models[name].layers]
    for found, expected in zip(made.get_weights(), models[name].get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert {layer.rate for layer in made.layers if type(layer).__name__ == "Dropout"} == {DROPOUT}


@pytest.mark.parametrize("name", ["fast_cnn", "wide_cnn", "efficientnet_lite0"])
def test_the_logit_is_float32_in_mixed_precision(name):
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_model(name, 32, 4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == "float32"
    assert model.get_layer("top_conv").output.dtype == "float16"
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_v2_has_no_stochastic_depth(models):
    dropouts = [x.name for x in models["efficientnet_v2_b0"].layers if type(x).__name__ == "Dropout"]
    assert dropouts == ["head_dropout"]


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("efficientnet_b0", ("block3b_add", "block4c_add", "block5c_add", "block6d_add")),
        ("efficientnet_v2_b0", ("block3b_add", "block4c_add", "block5e_add", "block6h_add")),
    ],
)
def test_the_head_sees_the_last_output_of_each_stage(models, name, ends):
    for stage, end in zip(("3", "4", "5", "6", ""), (*ends, "top_activation"), strict=True):
        for pooling in ("average", "maximum"):
            assert models[name].get_layer(f"head_{pooling}{stage}").input is models[name].get_layer(end).output


def test_a_branch_sees_nothing_of_the_other(models):
    import keras

    model, image = models["two branches"], pictures_for("two branches", 2)
    see = keras.Model(model.input, [model.get_layer(f"head_{branch}_average").output for branch in ("vis", "nisp")])
    vis, nisp = (np.asarray(array) for array in see(image))
    for factors, vis_moves in (((2, 1, 1, 1), True), ((1, 2, 2, 2), False)):
        other_vis, other_nisp = (np.asarray(array) for array in see(image * np.array(factors, "float32")))
        assert np.array_equal(other_vis, vis) is not vis_moves
        assert np.array_equal(other_nisp, nisp) is vis_moves


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("resnet", 64, 3), {}, f"'resnet' is not known. Expected one of: {', '.join(MODEL_NAMES)}."),
        (("fast_cnn", 31, 3), {}, "31 pixels are too few"),
        (("fast_cnn", 64, 0), {}, "0 channels"),
        (("fast_cnn", 64, 3), {"dropout": 1.0}, "dropout 1.0 is not a rate"),
        (("fast_cnn", 64, 3), {"weights": "imagenet"}, "has no ImageNet weights"),
        (("efficientnet_b0", 64, 3), {"weights": "noisy-student"}, "Expected one of: none, imagenet"),
        (("efficientnet_b0", 64, 3), {"weights_file": "a.h5"}, 'needs weights = "file" or "imagenet"'),
        (("efficientnet_b0", 64, 3), {"weights": "file"}, 'weights = "file" needs weights_file'),
        (("fast_cnn", 64, 4), {"two_branches": True}, "fast_cnn has no two branches"),
        (("wide_cnn", 64, 4), {"two_branches": True}, "wide_cnn has no two branches"),
        (("paper_cnn", 64, 4), {"dense": (8,)}, "paper_cnn has dense layers of its own"),
        (("efficientnet_b0", 64, 4), {"dense": (8, 0)}, "dense = [8, 0]. Expected widths of 1 or more"),
        (("wide_cnn", 64, 3), {}, "wide_cnn: 3 channels. Expected 4, VIS, Y, J, H"),
        (("wide_cnn", 63, 4), {}, "wide_cnn: 63 pixels cannot be a central crop"),
        (("wide_cnn", 202, 4), {}, "wide_cnn: 202 pixels cannot be a central crop"),
        (("efficientnet_b0", 64, 3), {"two_branches": True}, "two_branches = true: 3 channels. Expected 4"),
        (("efficientnet_b0", 65, 4), {"two_branches": True}, "65 pixels cannot be a central crop"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        build_model(*arguments, **options)


def test_unknown_part_is_named(models):
    with pytest.raises(InputError, match="'neck' is not known. Expected one of: head, top, block7, .*, all"):
        set_trainable(models["fast_cnn"], "neck")


def test_a_model_from_elsewhere_is_refused():
    import keras

    inputs = keras.Input((4,), name="x")
    with pytest.raises(InputError, match="was not made by build_model"):
        set_trainable(keras.Model(inputs, keras.layers.Dense(1, name="y")(inputs)), "head")


#: side of the map of 32 pixels: fast_cnn pools without padding
MAPS = {"fast_cnn": 4, "efficientnet_v2_b0": 4, "efficientnet_lite0": 4}


@pytest.mark.parametrize("variant", MAPS)
def test_a_map_of_the_source_stands_behind_the_logit_and_comes_off(models, variant):
    model, side = models[variant], MAPS[variant]
    mapped = with_source_map(model)
    images = pictures_for(variant, 3)
    found = np.asarray(mapped(images))
    assert found.shape == (3, 1 + side**2) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :1], np.asarray(model(images)))
    np.testing.assert_array_equal(np.asarray(mapped.get_layer("head_map").bias), -3)  # as rare as a source is
    alone = without_source_map(mapped)
    assert [layer.name for layer in alone.layers] == [layer.name for layer in model.layers]
    set_trainable(mapped, "head")
    assert learning_layers(mapped) == HEADS[variant] | {"head_map"}
    set_trainable(mapped, "all")


@pytest.mark.parametrize("variant", MAPS)
def test_a_cell_of_the_map_sees_its_own_pixels(models, variant):
    """What it depends on lies around the 8 pixels that `inputs.source_map.pooled` takes for it.

    Not exactly: padding shifts maps by up to half a cell, and the picture ends where a cell would see more.
    """
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    mapped = with_source_map(models[variant])
    images = tf.convert_to_tensor(pictures_for(variant, 8))
    for row, column in ((1, 1), (1, 2), (2, 2)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            cells = tf.reshape(mapped(images)[:, 1:], (-1, MAPS[variant], MAPS[variant]))[:, row, column]
        strength = np.square(tape.gradient(cells, images).numpy()).sum(axis=(0, 3))
        centre = [(np.arange(len(strength)) * strength.sum(axis=1 - axis)).sum() / strength.sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, [8 * row + 3.5, 8 * column + 3.5], atol=5)


def test_a_cell_of_wide_cnn_has_four_pixels_of_nisp():
    import tensorflow as tf

    mapped = with_source_map(build_model("wide_cnn", 200, 4))
    images = tf.convert_to_tensor(np.random.default_rng(1).normal(size=(4, 200, 200, 4)).astype(np.float32))
    for row, column in ((3, 5), (8, 11)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            cells = tf.reshape(mapped(images)[:, 1:], (-1, 16, 16))[:, row, column]
        strength = np.square(tape.gradient(cells, images).numpy()).sum(axis=(0, 3))
        centre = [(np.arange(200) * strength.sum(axis=1 - axis)).sum() / strength.sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, [12 * row + 6, 12 * column + 6], atol=6)
