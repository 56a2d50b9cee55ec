"""What is trained for the paper's tables: the experiments of each section, as settings, at three scales."""

from dataclasses import dataclass
from typing import Any

from lensfold.errors import InputError

#: lenses of more pixels than this are the paper's task
LARGE = 150
#: what Table 2 adds to the plain image, one at a time and together
PREPROCESSING: dict[str, dict[str, Any]] = {
    "none": {"mix": "vis", "stretch": "none", "softening": 1.0, "scaling": "none"},
    "standardisation": {"mix": "vis", "stretch": "none", "softening": 1.0, "scaling": "pack"},
    "log scale": {"mix": "vis", "stretch": "log", "scaling": "none"},
    "IR bands": {"mix": "paper-ir", "stretch": "none", "softening": 1.0, "scaling": "none"},
    "all": {"mix": "paper-ir", "stretch": "log", "scaling": "pack"},
}
#: Table 1: the three kernels of each method, and the approximations that scikit-learn has
KERNELS = ("polynomial", "rbf", "sigmoid")
METHODS = (
    *(("logistic", kernel, "none") for kernel in KERNELS),
    ("logistic", "rbf", "random"),
    ("logistic", "polynomial", "random"),
    ("logistic", "rbf", "nystroem"),
    *(("svm", kernel, "none") for kernel in KERNELS),
    ("svm", "rbf", "random"),
    *(("pca", kernel, "none") for kernel in KERNELS),
)


@dataclass(frozen=True)
class Scale:
    """How much of everything: objects of the pack, folds, seeds, pixels, epochs, and how long it may take."""

    name: str
    train: int
    test: int
    folds: int
    seeds: tuple[int, ...]
    #: side of the central square in VIS pixels, and VIS pixels added per side into one
    crop: int
    bin: int
    #: epochs of the small CNN, and its dropout; epochs of only the EfficientNets' head, then of all of them
    epochs: int
    dropout: float
    head_epochs: int
    whole_epochs: int
    kernel_objects: int
    settings_tried: int
    says: str


SCALES = {
    "smoke": Scale(
        "smoke", 600, 120, 2, (1,), 128, 2, 1, 0.0, 1, 1, 100, 2,
        "SCALE=smoke proves that everything runs, and nothing else: its scores mean nothing.",
    ),
    "default": Scale(
        "default", 8_000, 2_000, 3, (1, 2, 3), 144, 2, 10, 0.0, 1, 4, 1000, 8,
        "Networks see the central 14.4 arcsec at 0.2 arcsec a pixel, where the paper's saw 20 arcsec at 0.1, and the "
        "small CNN drops nothing out: with the paper's 0.5 it learns nothing in so few epochs.",
    ),
    "full": Scale(
        "full", 40_000, 10_000, 3, (1, 2, 3), 200, 1, 37, 0.5, 2, 20, 1000, 30,
        "The paper's own counts: about 10,000 objects of its task; networks see 200 pixels, the small one 37 times.",
    ),
}  # fmt: skip


def scale_of(name: str) -> Scale:
    """Return the scale of a name; InputError for another."""
    if name not in SCALES:
        raise InputError(f"SCALE={name}: expected one of {', '.join(SCALES)}.")
    return SCALES[name]


def experiments(scale: Scale, efficientnet: str, larger: str, larger_weights: bool) -> dict[str, dict]:
    """Return every experiment by name, as the content of its TOML file.

    ``efficientnet``: the one that has ImageNet weights here; ``larger``: a larger one, with weights or without.
    """
    return {
        **table1(scale),
        **table2(scale),
        **large_networks(scale, efficientnet, larger, larger_weights),
        **all_lenses(scale),
        **scalings(scale),
    }


def table1(scale: Scale) -> dict[str, dict]:
    """Return the kernel methods, on pixels and on the embeddings of a frozen EfficientNet."""
    found = {}
    for source in ("pixels", "embeddings"):
        for method, kernel, approximation in METHODS:
            found[f"table1-{source}-{method}-{kernel}-{approximation}"] = {
                "learner": {
                    "kind": "kernel",
                    "sees": "raw_pixels" if source == "pixels" else "efficientnet_lite0",
                    "method": method,
                    "kernel": kernel,
                    "approximation": approximation,
                    "objects": scale.kernel_objects,
                    "components": scale.kernel_objects // (1 if approximation == "random" else 3),
                    "settings_tried": scale.settings_tried,
                },
                "stage": [{"min_size": LARGE, "negatives": "clean"}],
                "predict": {"d4_average": False},
            }
    return found


def table2(scale: Scale) -> dict[str, dict]:
    """Return the small CNN with each step of the preprocessing, several seeds each."""
    return {
        f"table2-{name.replace(' ', '-')}-seed{seed}": small_cnn(scale, seed=seed, **pixels)
        for name, pixels in PREPROCESSING.items()
        for seed in scale.seeds
    }


def large_networks(scale: Scale, efficientnet: str, larger: str, larger_weights: bool) -> dict[str, dict]:
    """Return Table 3's EfficientNet, one with a richer classifier, and a larger one."""
    return {
        "table3-efficientnet": transfer(scale, efficientnet, dense=[32, 16]),
        "later-classifier": transfer(scale, efficientnet, dense=[256, 64]),
        "later-larger": transfer(scale, larger, dense=[32, 16], weights=larger_weights),
    }


def all_lenses(scale: Scale) -> dict[str, dict]:
    """Return runs on all lenses against all non-lenses: with sizes that fall from stage to stage, and at once.

    All have as many epochs, with as many images in each: classes are balanced by repetition. Each stage starts the
    learning rate again, so all lenses in the same stages are the control.
    """
    first = max(1, scale.epochs // 6)
    sizes = [(300, first), (LARGE, first), (70, first), (20, max(1, scale.epochs - 3 * first))]
    return {
        "later-falling-sizes": small_cnn(scale, stages=[stage(size, epochs, "all") for size, epochs in sizes]),
        "later-restarts": small_cnn(scale, stages=[stage(20, epochs, "all") for _, epochs in sizes]),
        "later-everything": small_cnn(scale, stages=[stage(20, scale.epochs, "all")]),
    }


def scalings(scale: Scale) -> dict[str, dict]:
    """Return the paper's code beside its text: images scaled by themselves, small lenses called non-lenses."""
    found = {}
    for scaling in ("pack", "image"):
        for below in ("drop", "negative"):
            settings = small_cnn(scale, scaling=scaling, stages=[stage(LARGE, scale.epochs, "all")])
            settings["train"] |= {"below": below, "balance": "undersample"}
            found[f"scaling-{scaling}-{below}"] = settings
    return found


def stage(min_size: int, epochs: int, negatives: str, **more: object) -> dict[str, object]:
    """Return one step of a curriculum, as it stands in a TOML file."""
    return {"min_size": min_size, "negatives": negatives, "epochs": epochs, **{"learning_rate": 0.001, **more}}


def small_cnn(scale: Scale, seed: int = 1, stages: list[dict] | None = None, **pixels: Any) -> dict:
    """Return the paper's small CNN on its task, with all of the preprocessing unless ``pixels`` says otherwise."""
    chosen = {**PREPROCESSING["all"], "crop": scale.crop, "bin": scale.bin, **pixels}
    return {
        "seed": seed,
        "pixels": chosen,
        "augment": {"affine_probability": 0.0, "gain": 0.0},
        "learner": {"name": "paper_cnn", "dropout": scale.dropout},
        "train": {"average_momentum": 0.0},
        "stage": stages or [stage(LARGE, scale.epochs, "clean")],
        "predict": {"d4_average": False},
    }


def transfer(scale: Scale, name: str, dense: list[int], weights: bool = True) -> dict:
    """Return an EfficientNet on the paper's task: only its head first, then all of it, lower blocks more slowly."""
    whole = stage(LARGE, scale.whole_epochs, "clean", learning_rate=0.0005, block_rate=0.8)
    head = stage(LARGE, scale.head_epochs, "clean", trainable="head")
    return {
        "pixels": {"crop": scale.crop, "bin": scale.bin},
        "augment": {"affine_probability": 0.0, "gain": 0.0},
        "learner": {"name": name, "weights": "imagenet" if weights else "none", "dense": dense},
        "train": {"average_momentum": 0.0},
        "stage": [head, whole] if weights else [{**whole, "block_rate": 1.0}],
        "predict": {"d4_average": False},
    }
