"""How PyTorch packages call the tensors of an EfficientNet, and in which order their axes are.

Two packages have trained most of the files that people have: efficientnet_pytorch (``_blocks.3._expand_conv.weight``)
and timm (``blocks.2.0.conv_pw.weight``), whose names Zoobot's encoders have too.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from lensfold.errors import InputError
from lensfold.models.backbones import LITES, SCALES, Block, block_plan
from lensfold.models.start.weights import Tensor

#: of a batch normalisation, in keras' order
_NORMALISATION = ("weight", "bias", "running_mean", "running_var")
#: torch's axes (out, in, rows, columns) in keras' order: rows, columns, in, out
_KERNEL = (2, 3, 1, 0)
#: a depthwise kernel has one channel in, and keras counts its filters as channels in
_DEPTHWISE = (2, 3, 0, 1)
#: what packages that train put before every name
_PREFIXES = ("", "module.", "model.", "encoder.")


class Scheme(NamedTuple):
    """The names of one package: keras' layers -> torch's modules."""

    stem: str
    outside: dict[str, str]
    #: number of the block among all, number of its stage, its number there, the block -> its layers
    block: Callable[[int, int, int, Block], dict[str, str]]


def _of_efficientnet_pytorch(number: int, stage: int, repeat: int, block: Block) -> dict[str, str]:
    layers = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "dwconv": "_depthwise_conv",
        "bn": "_bn1",
        "se_reduce": "_se_reduce",
        "se_expand": "_se_expand",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
    }
    return {layer: f"_blocks.{number}.{name}" for layer, name in layers.items()}


def _of_timm(number: int, stage: int, repeat: int, block: Block) -> dict[str, str]:
    """In timm a block that does not expand counts its parts from the depthwise convolution."""
    layers = {"dwconv": "conv_dw", "se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
    if block.expand == 1:
        layers |= {"bn": "bn1", "project_conv": "conv_pw", "project_bn": "bn2"}
    else:
        layers |= {"expand_conv": "conv_pw", "expand_bn": "bn1", "bn": "bn2"}
        layers |= {"project_conv": "conv_pwl", "project_bn": "bn3"}
    return {layer: f"blocks.{stage}.{repeat}.{name}" for layer, name in layers.items()}


SCHEMES: dict[str, Scheme] = {
    "efficientnet_pytorch": Scheme(
        "_conv_stem", {"stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}, _of_efficientnet_pytorch
    ),
    "timm": Scheme("conv_stem", {"stem_bn": "bn1", "top_conv": "conv_head", "top_bn": "bn2"}, _of_timm),
}


def torch_modules(name: str, scheme: Scheme) -> dict[str, str]:
    """Return keras layer -> torch module of every layer of a backbone that has weights. Not for the V2 family."""
    names = {"stem_conv": scheme.stem, **scheme.outside}
    repeats: dict[str, int] = {}
    for number, block in enumerate(block_plan(name)):
        stage = block.name[5]
        repeat = repeats[stage] = repeats.get(stage, -1) + 1
        for layer, module in scheme.block(number, int(stage) - 1, repeat, block).items():
            absent = (layer.startswith("se_") and name in LITES) or (layer.startswith("expand_") and block.expand == 1)
            if not absent:
                names[block.name + layer] = module
    return names


def torch_tensors(name: str, state: Mapping[str, np.ndarray], file: str, advice: str) -> dict[str, list[Tensor]]:
    """Return keras layer -> its tensors in a state of an EfficientNet, whatever package named them.

    What the classifier has is left out. Raises InputError where no known package names the tensors, where one that the
    network has is missing, and where there is one that it has no layer for; ``file`` and ``advice`` go into these.
    """
    if name not in SCALES:
        raise InputError(
            f"{file}: a PyTorch file, and {name} takes none. Take its keras file, or one of efficientnet_b0 to b7 and "
            "lite0 to lite2."
        )
    prefix, scheme = _found_scheme(state, file, advice)
    modules = torch_modules(name, scheme)
    found = {}
    for layer, module in modules.items():
        parts = _parts(layer)
        names = [f"{prefix}{module}.{part}" for part in parts]
        missing = next((one for one in names if one not in state), None)
        if missing:
            raise InputError(f"{file}: tensor {missing!r} is missing, so it is no {name}. {advice}")
        found[layer] = [Tensor(one, state[one], _axes(layer, part)) for one, part in zip(names, parts, strict=True)]
    known = {tensor.name for tensors in found.values() for tensor in tensors}
    _refuse_more(name, state, known, prefix, file, advice)
    return found


def _found_scheme(state: Mapping[str, np.ndarray], file: str, advice: str) -> tuple[str, Scheme]:
    for prefix in _PREFIXES:
        for scheme in SCHEMES.values():
            if f"{prefix}{scheme.stem}.weight" in state:
                return prefix, scheme
    first = ", ".join(list(state)[:3]) or "none"
    stems = " or ".join(f"{scheme.stem}.weight ({package})" for package, scheme in SCHEMES.items())
    raise InputError(f"{file}: no EfficientNet's tensors: expected {stems}, found {first}. {advice}")


def _parts(layer: str) -> tuple[str, ...]:
    if layer.endswith("bn"):
        return _NORMALISATION
    return ("weight", "bias") if "se_" in layer else ("weight",)


def _axes(layer: str, part: str) -> tuple[int, ...] | None:
    if layer.endswith("bn") or part == "bias":
        return None
    return _DEPTHWISE if layer.endswith("dwconv") else _KERNEL


def _refuse_more(
    name: str, state: Mapping[str, np.ndarray], known: set[str], prefix: str, file: str, advice: str
) -> None:
    """Raise InputError where a state has a tensor below the classifier that the network has no layer for."""
    ignored = (f"{prefix}_fc.", f"{prefix}classifier.", f"{prefix}head.")
    for other in state:
        inside = other.startswith(prefix) and not other.startswith(ignored)
        if inside and other not in known and not other.endswith("num_batches_tracked"):
            raise InputError(f"{file}: tensor {other!r} has no place in {name}: it is of another network. {advice}")
