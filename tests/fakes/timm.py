"""EfficientNets as timm has them: random tensors under its names, files of them, and what they compute, in numpy.

Nothing here is from the kit: shapes and strides are those of timm's ``ds_r1_k3_s1_e1_c16``, ``ir_r2_k3_s2_e6_c24``, ….
"""

import io
import pickle
import zipfile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

#: kernel, repeats, stride of the first, channels; of B0 and of Lite0
STAGES = ((3, 1, 1, 16), (3, 2, 2, 24), (5, 2, 2, 40), (3, 3, 2, 80), (5, 3, 1, 112), (5, 4, 2, 192), (3, 1, 1, 320))
EPSILON = 1e-3


def timm_state(lite: bool, channels: int = 3, seed: int = 4) -> dict[str, np.ndarray]:
    """Return the tensors of tf_efficientnet_b0 or tf_efficientnet_lite0, classifier included, with random numbers."""
    generator, state = np.random.default_rng(seed), {}

    def convolution(name, *shape, bias=False):
        state[f"{name}.weight"] = (generator.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype("f4")
        if bias:
            state[f"{name}.bias"] = generator.normal(size=shape[0]).astype("f4")

    def normalisation(name, count):
        state[f"{name}.weight"] = generator.uniform(0.5, 1.5, count).astype("f4")
        state[f"{name}.bias"] = generator.normal(0, 0.1, count).astype("f4")
        state[f"{name}.running_mean"] = generator.normal(0, 0.1, count).astype("f4")
        state[f"{name}.running_var"] = generator.uniform(0.5, 1.5, count).astype("f4")
        state[f"{name}.num_batches_tracked"] = np.array(7, "i8")

    convolution("conv_stem", 32, channels, 3, 3)
    normalisation("bn1", 32)
    narrow = 32
    for stage, (kernel, repeats, _, wanted) in enumerate(STAGES):
        for repeat in range(repeats):
            block, wide = f"blocks.{stage}.{repeat}.", narrow * (6 if stage else 1)
            if stage:
                convolution(f"{block}conv_pw", wide, narrow, 1, 1)
                normalisation(f"{block}bn1", wide)
            convolution(f"{block}conv_dw", wide, 1, kernel, kernel)
            normalisation(f"{block}bn{2 if stage else 1}", wide)
            if not lite:
                convolution(f"{block}se.conv_reduce", narrow // 4, wide, 1, 1, bias=True)
                convolution(f"{block}se.conv_expand", wide, narrow // 4, 1, 1, bias=True)
            convolution(f"{block}conv_pw{'l' if stage else ''}", wanted, wide, 1, 1)
            normalisation(f"{block}bn{3 if stage else 2}", wanted)
            narrow = wanted
    convolution("conv_head", 1280, narrow, 1, 1)
    normalisation("bn2", 1280)
    state["classifier.weight"], state["classifier.bias"] = np.zeros((1000, 1280), "f4"), np.zeros(1000, "f4")
    return state


def timm_features(state: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the 1280 averages over the last map, float64, (n, 1280), of images (n, side, side, channels)."""
    lite = not any(".se." in name for name in state)

    def act(x):
        return np.clip(x, 0, 6) if lite else x * sigmoid(x)

    def normalised(x, name):
        gain = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + EPSILON)
        return (x - state[f"{name}.running_mean"]) * gain + state[f"{name}.bias"]

    def biased(x, name):
        return convolved(x, state[f"{name}.weight"]) + state[f"{name}.bias"]

    x = act(normalised(convolved(images.astype("f8"), state["conv_stem.weight"], 2), "bn1"))
    for stage, (_, repeats, first, _) in enumerate(STAGES):
        for repeat in range(repeats):
            block, before = f"blocks.{stage}.{repeat}.", x
            if stage:
                x = act(normalised(convolved(x, state[f"{block}conv_pw.weight"]), f"{block}bn1"))
            stride = first if repeat == 0 else 1
            x = convolved(x, state[f"{block}conv_dw.weight"], stride)
            x = act(normalised(x, f"{block}bn{2 if stage else 1}"))
            if not lite:
                squeezed = x.mean(axis=(1, 2), keepdims=True)
                reduced = biased(squeezed, f"{block}se.conv_reduce")
                x = x * sigmoid(biased(reduced * sigmoid(reduced), f"{block}se.conv_expand"))
            x = convolved(x, state[f"{block}conv_pw{'l' if stage else ''}.weight"])
            x = normalised(x, f"{block}bn{3 if stage else 2}")
            if stride == 1 and x.shape == before.shape:
                x = x + before
    x = act(normalised(convolved(x, state["conv_head.weight"]), "bn2"))
    return x.mean(axis=(1, 2))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Convolve (n, rows, columns, in) with torch's (out, in, k, k), or a channel with (out, 1, k, k); padded alike."""
    size, side = kernel.shape[-1], x.shape[1]
    missing = max((-(-side // stride) - 1) * stride + size - side, 0)
    pad = (missing // 2, missing - missing // 2)
    padded = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    if kernel.shape[1] == 1 and x.shape[3] > 1:
        return np.einsum("nrcikl,ikl->nrci", windows, kernel[:, 0])
    return np.tensordot(windows, kernel, axes=((3, 4, 5), (1, 2, 3)))


def torch_archive(state: dict[str, np.ndarray], under: str = "", compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return the bytes that ``torch.save`` writes of a state, or of a checkpoint that has it ``under`` a key."""
    pickled = b"}(" + b"".join(_code(name) + _tensor(key, array) for key, (name, array) in _numbered(state)) + b"u"
    if under:
        pickled = b"}(" + _code("epoch") + _code(3) + _code(under) + pickled + b"u"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("net/data.pkl", b"\x80\x02" + pickled + b".")
        archive.writestr("net/byteorder", b"little")
        for key, (_, array) in _numbered(state):
            archive.writestr(f"net/data/{key}", array.tobytes())
        archive.writestr("net/version", b"3\n")
    return stream.getvalue()


def _numbered(state: dict[str, np.ndarray]) -> list[tuple[int, tuple[str, np.ndarray]]]:
    return list(enumerate(state.items()))


def _code(value: object) -> bytes:
    """Pickle of a value without its first and last opcode, to be put inside another pickle."""
    return pickle.dumps(value, 2)[2:-1]


def _tensor(key: int, array: np.ndarray) -> bytes:
    kind = {"f4": b"FloatStorage", "f2": b"HalfStorage", "i8": b"LongStorage"}[array.dtype.str[1:]]
    storage = b"(" + _code("storage") + b"ctorch\n" + kind + b"\n" + _code(str(key)) + _code("cpu")
    strides = tuple(step // array.itemsize for step in array.strides)
    layout = _code(0) + _code(array.shape) + _code(strides) + _code(False) + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _code(array.size) + b"tQ" + layout + b"tR"
