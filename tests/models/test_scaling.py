"""The EfficientNets are those of keras.applications, layer by layer, but for preprocessing and stochastic depth."""

import pytest

from lensfold.models import MODEL_NAMES, backbones, build_model

#: layers of keras' networks that ours do without, by class: preprocessing, explicit padding, stochastic depth
WITHOUT = ("InputLayer", "Rescaling", "Normalization", "ZeroPadding2D", "Dropout")
SCALED = [f"efficientnet_b{number}" for number in range(8)]
SECOND = [name for name in MODEL_NAMES if name.startswith("efficientnet_v2_")]


def keras_name(name):
    return "EfficientNet" + name.removeprefix("efficientnet_").replace("_", "").upper()


def layers_of(model):
    """Name -> (shapes of the weights, shape of the output) of the layers that ours should have."""
    return {
        layer.name: ([tuple(weight.shape) for weight in layer.weights], tuple(layer.output.shape))
        for layer in model.layers
        if type(layer).__name__ not in WITHOUT
        and not layer.name.startswith("head_")
        # the averages of squeeze-and-excitation: keras drops two axes and puts them back, V1 here keeps them
        and not layer.name.endswith(("se_squeeze", "se_reshape"))
    }


# B0 and V2-B0 meet keras' in the tests of the weight files: each array has its layer there, and the features agree
@pytest.mark.parametrize("name", ["efficientnet_b1", "efficientnet_b4"])
def test_layers_are_those_of_keras(name):
    import keras

    make = getattr(keras.applications, keras_name(name))
    reference = make(include_top=False, weights=None, input_shape=(32, 32, 3))
    model = build_model(name, 32, 3)
    expected, found = layers_of(reference), layers_of(model)
    assert found == expected
    assert "top_conv" in found and len(found) > 100
    preprocessing = sum(x.count_params() for x in reference.layers if type(x).__name__ == "Normalization")
    head = sum(layer.count_params() for layer in model.layers if layer.name.startswith("head_"))
    assert model.count_params() - head == reference.count_params() - preprocessing


def test_scales_are_those_of_keras(monkeypatch):
    """For every size, without building the large ones: what keras would build from."""
    import keras
    from keras.src.applications import efficientnet

    monkeypatch.setattr(efficientnet, "EfficientNet", lambda width, depth, *_, **__: (width, depth))
    for name in SCALED:
        assert getattr(keras.applications, keras_name(name))(weights=None) == backbones.SCALES[name], name
    assert backbones.SCALES.keys() == {*SCALED, *backbones.LITES}


def test_blocks_of_b7():
    """Depth and width of the largest, as printed in the authors' table of blocks times 3.1 and 2.0."""
    plan = backbones.block_plan("efficientnet_b7")
    repeats = [sum(block.name.startswith(f"block{number}") for block in plan) for number in range(1, 8)]
    assert repeats == [4, 7, 7, 10, 10, 13, 4]
    assert [block.filters for block in plan if block.name.endswith("a_")] == [32, 48, 80, 160, 224, 384, 640]
    assert [block.strides for block in plan if block.strides > 1] == [2, 2, 2, 2]
    assert plan[-1].name == "block7d_" and plan[-5].name == "block6m_"


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    # 32 x 1.1 = 35.2 goes to 32, which takes 9 % away; 24 x 1.1 = 26.4 to 24; 12 x 0.9 = 10.8 to 8 would take 26 %
    [(32, 1.0, 32), (32, 1.1, 32), (24, 1.1, 24), (40, 1.4, 56), (1280, 1.4, 1792), (12, 0.9, 16), (2, 1.0, 8)],
)
def test_scaled_filters(filters, width, expected):
    assert backbones.scaled_filters(filters, width) == expected


def test_every_network_of_keras_is_asked_for_bare(monkeypatch):
    import keras

    for name in SCALED + SECOND:
        monkeypatch.setattr(keras.applications, keras_name(name), lambda **options: options)
        options = {"include_top": False, "weights": None, "input_tensor": "x"}
        options |= {"include_preprocessing": False} if name in SECOND else {}
        assert backbones.keras_network(name, "x") == options, name
