"""Model name -> keras.Model that gives one logit. Importing this package does not import keras.

Layer names carry the structure, so that it survives a saved file: ``head_*`` is the classifier after the
backbone; ``stem_*``, ``block1*`` … ``block7*`` and ``top_*`` are the backbone from below. Where VIS and NISP each
have a backbone, ``vis_`` or ``nisp_`` stands before these.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from lensfold.config import MIN_SIDE, Experiment, NetworkLearner, NetworkName, channel_count
from lensfold.errors import InputError
from lensfold.models.parts import block_depth, set_trainable
from lensfold.models.statistics import reestimate_statistics

if TYPE_CHECKING:
    import keras

    from lensfold.models.start.file import Start

__all__ = [
    "MODEL_NAMES",
    "block_depth",
    "build_model",
    "head_network",
    "layer_table",
    "network_of",
    "reestimate_statistics",
    "resized",
    "set_trainable",
    "split_at_head",
    "with_source_map",
    "without_source_map",
]

MODEL_NAMES: tuple[str, ...] = get_args(NetworkName)

_SMALL_CNNS = ("paper_cnn", "fast_cnn", "wide_cnn")


def build_model(
    name: str,
    pixels: int,
    channels: int,
    *,
    dropout: float = 0.2,
    weights: str = "none",
    weights_file: str | None = None,
    weights_sha256: str | None = None,
    weights_head: bool = False,
    two_branches: bool = False,
    dense: Sequence[int] = (),
) -> "keras.Model":
    """Build a functional model: (None, pixels, pixels, channels) float32 -> (None, 1) float32, one logit.

    ``dropout`` is the rate of every dropout layer. ``weights`` is "none" (random), "imagenet" (EfficientNets), read
    from ``weights_file`` or, where that is None, from keras' own folder or the installed weight package (the Lites), or
    "file": any network of this name in ``weights_file``, see `lensfold.models.start.file`, whose sha256 is
    ``weights_sha256`` where given, and of which ``weights_head`` takes the classifier too; "lensfold": the same of a
    published network, which was chosen before. Nothing is downloaded. The
    rest is for EfficientNets only. ``two_branches`` gives VIS and NISP, channels of the
    mix "bands", a backbone each. ``dense`` are the widths of layers between the features and the logit. The model
    is not compiled and all of it is trainable.

    Raises InputError for an unknown name, an impossible size, rate or width, an option that the model does not
    have, and a weight file that is absent or not the expected one.
    """
    _check_arguments(name, pixels, channels, dropout)
    _check_weights(name, weights, weights_file)
    _check_structure(name, two_branches, dense)
    # Not at the top: keras takes 6 s and 750 MB to import, and most commands never run a model.
    from lensfold.models import efficientnet, small_cnn
    from lensfold.models.start import pretrained
    from lensfold.models.start.weights import fill

    # before the network is built: that takes seconds, a file that is missing shows at once
    source = pretrained.find_source(name, weights_file) if weights == "imagenet" else None
    from_file = weights in ("lensfold", "file")
    file = _read_start(name, weights_file, weights_sha256) if from_file and weights_file else None
    if name in _SMALL_CNNS:
        small = {"paper_cnn": small_cnn.paper_cnn, "fast_cnn": small_cnn.fast_cnn, "wide_cnn": small_cnn.wide_cnn}
        model = small[name](pixels, channels, dropout)
    else:
        model = efficientnet.efficientnet(
            name, pixels, channels, dropout=dropout, dense=tuple(dense), two_branches=two_branches
        )
    if source:
        fill(model, source.read(), source.name, source.advice)
    if file:
        file.fill(model, weights_head)
    return model


def _read_start(name: str, weights_file: str, sha256: str | None) -> "Start":
    from lensfold.models.start.file import read_start  # only here: other networks need no safetensors

    return read_start(name, weights_file, sha256)


def network_of(experiment: Experiment) -> "keras.Model":
    """Return the network of an experiment, of its input's size, with fresh or pretrained weights.

    Of a kernel machine on features it is the frozen network that these come from. See :func:`build_model`. Where the
    experiment trains on maps of the source it has one, see :func:`with_source_map`.
    Raises InputError for a kernel machine on pixels, which has no network, and for given features, whose network is
    not here.
    """
    import keras

    settings = experiment.learner if experiment.learner.kind == "network" else experiment.learner.backbone
    if settings is None:
        raise InputError("a kernel machine on raw pixels, and given features, have no network that sees pixels.")
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if experiment.train.mixed_precision else "float32")
    try:
        model = build_model(
            settings.name,
            experiment.pixels.side,
            channel_count(experiment.pixels),
            dropout=settings.dropout,
            weights=settings.weights,
            weights_file=settings.weights_file,
            weights_sha256=settings.weights_sha256,
            weights_head=settings.weights_head,
            two_branches=settings.two_branches,
            dense=settings.dense,
        )
        return with_source_map(model) if experiment.train.source_map else model
    finally:
        keras.config.set_dtype_policy(policy)


def head_network(columns: int, dropout: float, dense: Sequence[int]) -> "keras.Model":
    """Return the classifier that frozen EfficientNets have: (None, columns) float32 features -> (None, 1) logit."""
    import keras

    from lensfold.models.efficientnet import classified

    inputs = keras.Input((columns,), name="features")
    return keras.Model(inputs, classified(inputs, dropout, tuple(dense)), name="given_features")


def resized(model: "keras.Model", experiment: Experiment) -> "keras.Model":
    """Return the network of an experiment, for images of its ``pixels``, with the weights of ``model``.

    ``model``: the same network for images of another size; it keeps its weights, which are copied. Only for networks
    whose weights do not depend on the size of their input.
    """
    nothing = {"weights": "none", "weights_file": None, "weights_sha256": None, "weights_head": False}
    learner = experiment.learner.model_copy(update=nothing)
    made = network_of(experiment.model_copy(update={"learner": learner}))
    made.set_weights(model.get_weights())
    return made


def split_at_head(model: "keras.Model") -> tuple["keras.Model", "keras.Model"]:
    """Return a model of build_model in two: (image -> features, features -> logit), which share its layers.

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


def with_source_map(model: "keras.Model") -> "keras.Model":
    """Return the model with a map beside its logit: (None, 1 + cells x cells) logits, the model's own first.

    The map is a 1 x 1 convolution of a middle block: the last output of an EfficientNet's third, of fast_cnn and
    wide_cnn that of the fourth convolution. A cell has 8 x 8 pixels of the input, or 12 x 12 of wide_cnn's; what is
    trained on it shapes the blocks below. paper_cnn has none, nor have two branches: see `lensfold.config`.
    """
    import keras

    middle = _middle(model).output
    # where a source is, is the exception: about one cell in twenty
    convolution = keras.layers.Conv2D(
        1, 1, bias_initializer=keras.initializers.Constant(-3.0), dtype="float32", name="head_map"
    )
    cells = keras.layers.Flatten(dtype="float32", name="head_map_cells")(convolution(middle))
    outputs = keras.layers.Concatenate(dtype="float32", name="head_outputs")([model.output, cells])
    return keras.Model(model.input, outputs, name=model.name)


def without_source_map(model: "keras.Model") -> "keras.Model":
    """Return the model up to its logit, with the same layers."""
    import keras

    return keras.Model(model.input, model.get_layer("head_logit").output, name=model.name)


def _middle(model: "keras.Model") -> "keras.Layer":
    """Return the layer whose output a map of the source is made of."""
    return [layer for layer in model.layers if layer.name.startswith(("block3", "conv4"))][-1]


def layer_table(model: "keras.Model") -> list[tuple[str, tuple[int | None, ...], int]]:
    """Return one row per layer, in order: name, output shape (None for the batch), number of parameters."""
    return [(layer.name, tuple(layer.output.shape), layer.count_params()) for layer in model.layers]


def _check_arguments(name: str, pixels: int, channels: int, dropout: float) -> None:
    if name not in MODEL_NAMES:
        raise InputError(f"model {name!r} is not known. Expected one of: {', '.join(MODEL_NAMES)}.")
    if pixels < MIN_SIDE:
        raise InputError(f"model {name}: {pixels} pixels are too few. Expected {MIN_SIDE} or more.")
    if channels < 1:
        raise InputError(f"model {name}: {channels} channels. Expected 1 or more.")
    if not 0 <= dropout < 1:
        raise InputError(f"model {name}: dropout {dropout} is not a rate. Expected 0 <= dropout < 1.")


def _check_weights(name: str, weights: str, weights_file: str | None) -> None:
    known = get_args(NetworkLearner.model_fields["weights"].annotation)
    if weights not in known:
        raise InputError(f"model {name}: weights {weights!r} are not known. Expected one of: {', '.join(known)}.")
    if weights == "imagenet" and name in _SMALL_CNNS:
        raise InputError(
            f'model {name} has no ImageNet weights. Use weights = "none", "lensfold" or "file", or take one of the '
            "EfficientNets."
        )
    if weights == "none" and weights_file is not None:
        raise InputError(f'model {name}: weights_file {weights_file} needs weights = "file" or "imagenet".')
    if weights in ("lensfold", "file") and weights_file is None:
        raise InputError(f'model {name}: weights = "{weights}" needs weights_file, the path of the file.')


def _check_structure(name: str, two_branches: bool, dense: Sequence[int]) -> None:
    if two_branches and name in _SMALL_CNNS:
        raise InputError(
            f"model {name} has no two branches. Set two_branches = false, or take one of the EfficientNets; wide_cnn "
            "sees NISP at its own pixels without it."
        )
    if dense and name in _SMALL_CNNS:
        raise InputError(f"model {name} has dense layers of its own. Expected dense = [], or one of the EfficientNets.")
    if any(width < 1 for width in dense):
        raise InputError(f"model {name}: dense = {list(dense)}. Expected widths of 1 or more.")
