"""The parts of a network that learn, and how deep each variable lies, both from the names of the layers."""

from typing import TYPE_CHECKING, get_args

from lensfold.config import Part
from lensfold.errors import InputError

if TYPE_CHECKING:
    import keras

_PARTS: tuple[str, ...] = get_args(Part)
#: what every network has; blocks are of the EfficientNets
_COMMON_PARTS = ("head", "top", "all")
#: lowest block of the part "top"
_TOP_BLOCK = 6
#: what the names of layers begin with where VIS and NISP each have a branch of their own
BRANCH_PREFIXES = ("vis_", "nisp_")


def branch_and_name(layer_name: str) -> tuple[str, str]:
    """Name of a layer in two: the prefix of its branch ("" without branches) and the name inside of that."""
    for prefix in BRANCH_PREFIXES:
        if layer_name.startswith(prefix):
            return prefix, layer_name.removeprefix(prefix)
    return "", layer_name


def set_trainable(model: "keras.Model", part: Part) -> None:
    """Choose what learns: "head", the head and the backbone from a block upwards, or "all".

    "block2" to "block7" name the lowest block that learns, "top" is "block6"; the top convolution above the
    blocks learns with any of them (an EfficientNetV2-B has six blocks: there "block7" is the head and the top
    convolution). With two branches the same blocks learn in both. The small CNNs have no blocks: "top" is their
    dense layers and last convolution. Frozen batch normalisations run in inference mode: their statistics neither
    move nor depend on the batch. Those that learn use the batch's statistics. Compile the model afterwards: a
    compiled one keeps the old choice. Works on a loaded model too.

    Raises InputError for an unknown part, a block of a network without blocks, and a model without ``head_*``.
    """
    if part not in _PARTS:
        raise InputError(f"part {part!r} is not known. Expected one of: {', '.join(_PARTS)}.")
    if not any(layer.name.startswith("head_") for layer in model.layers):
        raise InputError(f"model {model.name!r} has no layer named head_*: it was not made by build_model.")
    if part not in _COMMON_PARTS and not _last_block(model):
        raise InputError(
            f"model {model.name!r} has no blocks, so no part {part!r}. Expected one of: {', '.join(_COMMON_PARTS)}."
        )
    model.trainable = True
    for layer in model.layers:
        layer.trainable = _learns(layer.name, part)


def block_depth(model: "keras.Model") -> dict[str, int]:
    """Return the blocks between each variable, by its path, and the logit, for learning rates that fall with depth.

    EfficientNets: head 0, top convolution 1, the last block 2 and so on down, the stem one more than block 1 (9
    where there are seven blocks); branches count alike. Other networks: head 0, everything else 1.
    """
    last = _last_block(model)
    return {weight.path: _depth(layer.name, last) for layer in model.layers for weight in layer.weights}


def _learns(layer_name: str, part: str) -> bool:
    if part == "all" or layer_name.startswith("head_"):
        return True
    if part == "head":
        return False
    lowest = _TOP_BLOCK if part == "top" else _block_number(part)
    return _inside(layer_name).startswith("top_") or _block_number(_inside(layer_name)) >= lowest


def _depth(layer_name: str, last_block: int) -> int:
    if layer_name.startswith("head_"):
        return 0
    if not last_block or _inside(layer_name).startswith("top_"):
        return 1
    # the stem counts as block 0
    return last_block + 2 - _block_number(_inside(layer_name))


def _inside(layer_name: str) -> str:
    return branch_and_name(layer_name)[1]


def _block_number(name: str) -> int:
    """Return 3 for "block3" and "block3b_add", 0 for a name that is of no block."""
    return int(name[5]) if name.startswith("block") else 0


def _last_block(model: "keras.Model") -> int:
    return max((_block_number(_inside(layer.name)) for layer in model.layers), default=0)
