"""Model name -> keras.Model that gives one logit. Importing this package does not import keras.

Layer names carry the structure, so that it survives a saved file: ``head_*`` is the classifier after the
backbone; ``block6*``, ``block7*`` and ``top_*`` are the backbone's last blocks.
"""

from typing import TYPE_CHECKING, Literal

from lensfold.errors import InputError

if TYPE_CHECKING:
    import keras

MODEL_NAMES: tuple[str, ...] = ("paper_cnn", "fast_cnn", "efficientnet_b0", "efficientnet_lite0")

Part = Literal["head", "top", "all"]

#: Prefixes of the names of the layers that learn in each part; "" is every layer.
PART_PREFIXES: dict[str, tuple[str, ...]] = {
    "head": ("head_",),
    "top": ("head_", "top_", "block7", "block6"),
    "all": ("",),
}

_SMALL_CNNS = ("paper_cnn", "fast_cnn")
#: Below this the last feature map has no pixel left (CNNs) or EfficientNet is no longer itself.
_MIN_PIXELS = 32


def build_model(
    name: str,
    pixels: int,
    channels: int,
    *,
    dropout: float = 0.2,
    weights: str = "none",
    weights_file: str | None = None,
) -> "keras.Model":
    """Build a functional model: (None, pixels, pixels, channels) float32 -> (None, 1) float32, one logit.

    ``weights`` is "none" (random) or "imagenet" (EfficientNets only), read from ``weights_file`` or, where that
    is None, from keras' own folder (B0) or the installed weight package (Lite0); nothing is downloaded.
    ``dropout`` is the rate of every dropout layer. The model is not compiled and all of it is trainable.
    Raises InputError for an unknown name, an impossible size or rate, ImageNet weights for a small CNN, and a
    weight file that is absent or not the expected one.
    """
    _check_arguments(name, pixels, channels, dropout)
    _check_weights(name, weights, weights_file)
    # Not at the top: keras takes 6 s and 750 MB to import, and most commands never run a model.
    from lensfold.models import efficientnet, small_cnn

    if name == "paper_cnn":
        return small_cnn.paper_cnn(pixels, channels, dropout)
    if name == "fast_cnn":
        return small_cnn.fast_cnn(pixels, channels, dropout)
    pretrained = weights == "imagenet"
    if name == "efficientnet_b0":
        return efficientnet.efficientnet_b0(pixels, channels, dropout, pretrained, weights_file)
    return efficientnet.efficientnet_lite0(pixels, channels, dropout, pretrained, weights_file)


def set_trainable(model: "keras.Model", part: Part) -> None:
    """Choose what learns: "head", "top" (head and the backbone's last blocks) or "all".

    For the small CNNs "top" is the dense layers and the last convolution. Frozen batch normalisations run in
    inference mode: their statistics neither move nor depend on the batch. Those that learn use the batch's
    statistics. Compile the model afterwards: a compiled one keeps the old choice. Works on a loaded model too.
    Raises InputError for an unknown part and for a model that has no ``head_*`` layer.
    """
    if part not in PART_PREFIXES:
        raise InputError(f"part {part!r} is not known. Expected one of: {', '.join(PART_PREFIXES)}.")
    if not any(layer.name.startswith("head_") for layer in model.layers):
        raise InputError(f"model {model.name!r} has no layer named head_*: it was not made by build_model.")
    model.trainable = True
    for layer in model.layers:
        layer.trainable = layer.name.startswith(PART_PREFIXES[part])


def split_at_head(model: "keras.Model") -> tuple["keras.Model", "keras.Model"]:
    """A model of build_model in two: (image -> features, features -> logit), which share its layers.

    The features are the output of the layer ``head_features``. Raises InputError for a model without one.
    """
    import keras

    names = [layer.name for layer in model.layers]
    if "head_features" not in names:
        raise InputError(f"model {model.name!r} has no layer head_features, so it cannot be frozen.")
    features = model.get_layer("head_features").output
    inputs = keras.Input(features.shape[1:], name="features")
    x = inputs
    for layer in model.layers[names.index("head_features") + 1 :]:
        x = layer(x)
    return keras.Model(model.input, features), keras.Model(inputs, x, name=f"{model.name}_head")


def layer_table(model: "keras.Model") -> list[tuple[str, tuple[int | None, ...], int]]:
    """One row per layer, in order: name, output shape (None for the batch), number of parameters."""
    return [(layer.name, tuple(layer.output.shape), layer.count_params()) for layer in model.layers]


def _check_arguments(name: str, pixels: int, channels: int, dropout: float) -> None:
    if name not in MODEL_NAMES:
        raise InputError(f"model {name!r} is not known. Expected one of: {', '.join(MODEL_NAMES)}.")
    if pixels < _MIN_PIXELS:
        raise InputError(f"model {name}: {pixels} pixels are too few. Expected {_MIN_PIXELS} or more.")
    if channels < 1:
        raise InputError(f"model {name}: {channels} channels. Expected 1 or more.")
    if not 0 <= dropout < 1:
        raise InputError(f"model {name}: dropout {dropout} is not a rate. Expected 0 <= dropout < 1.")


def _check_weights(name: str, weights: str, weights_file: str | None) -> None:
    if weights not in ("none", "imagenet"):
        raise InputError(f"model {name}: weights {weights!r} are not known. Expected one of: none, imagenet.")
    if weights == "imagenet" and name in _SMALL_CNNS:
        raise InputError(f'model {name} has no ImageNet weights. Use weights = "none", or one of the EfficientNets.')
    if weights == "none" and weights_file is not None:
        raise InputError(f'model {name}: weights_file {weights_file} needs weights = "imagenet".')
