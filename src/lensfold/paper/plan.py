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
    """How much of everything: objects of both packs, folds, seeds, pixels, epochs, and how long it may take."""

    name: str
    #: objects of the pack of the paper's task, half of them lenses, and of its fresh test split
    train: int
    test: int
    #: objects of the pack of the whole population, for what the paper left for later
    whole_train: int
    whole_test: int
    folds: int
    #: seeds, epochs and side in VIS pixels of Table 2
    seeds: tuple[int, ...]
    step_epochs: int
    step_crop: int
    #: side of the central square in VIS pixels of the others, and VIS pixels added per side into one
    crop: int
    bin: int
    #: of the paper's small CNN, and its epochs in Table 3 and in each run on the whole population
    dropout: float
    small_epochs: int
    later_epochs: int
    #: epochs of the EfficientNets: only the head; all of it on lenses > 300 px and then > 150 px at half the
    #: resolution; all of it at the whole one
    efficient_epochs: tuple[int, int, int, int]
    kernel_objects: int
    settings_tried: int
    says: str

    @property
    def coarse(self) -> int:
        """VIS pixels added per side into one where an EfficientNet begins: half the resolution."""
        return 2 * self.bin


# The time of the default scale is reckoned in docs/report.md.
SCALES = {
    "smoke": Scale(
        "smoke", 200, 60, 500, 100, 2, (1,), 1, 128, 128, 2, 0.0, 1, 1, (1, 1, 1, 1), 80, 2,
        "SCALE=smoke proves that everything runs, and nothing else: its scores mean nothing.",
    ),
    "default": Scale(
        "default", 5_000, 2_000, 3_000, 1_000, 2, (1, 2, 3), 8, 144, 200, 2, 0.0, 50, 8, (1, 2, 4, 14), 1000, 4,
        "The paper had 15,000 images of 20 arcsec at 0.1 arcsec a pixel; here they are 5,000, of which each network "
        "sees 2,500, and 2,000 fresh ones, at 0.2 arcsec a pixel, in Table 2 the central 14.4 arcsec of them. The "
        "paper's small CNN drops nothing out: 0.5 wants more epochs.",
    ),
    "full": Scale(
        "full", 15_000, 10_000, 40_000, 10_000, 3, (1, 2, 3), 37, 200, 200, 1, 0.5, 50, 37, (2, 5, 10, 33), 1000, 30,
        "The paper's own counts: 15,000 images of 200 pixels, 10,000 fresh ones, 37 and 50 epochs.",
    ),
}  # fmt: skip


def scale_of(name: str) -> Scale:
    """Return the scale of a name; InputError for another."""
    if name not in SCALES:
        raise InputError(f"SCALE={name}: expected one of {', '.join(SCALES)}.")
    return SCALES[name]


def task_experiments(scale: Scale, efficientnet: str, larger: str | None) -> dict[str, dict]:
    """Return every experiment on the pack of the paper's task by name, as the content of its TOML file.

    ``efficientnet``: the one that has ImageNet weights here; ``larger``: a larger one that has them too, or None.
    """
    networks = {**table3(scale, efficientnet), **larger_networks(scale, efficientnet, larger)}
    return {**table1(scale), **table2(scale), **networks}


def whole_experiments(scale: Scale, efficientnet: str) -> dict[str, dict]:
    """Return every experiment on the pack of the whole population, in the same way."""
    return {**all_lenses(scale, efficientnet), **scalings(scale)}


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
        f"table2-{name.replace(' ', '-')}-seed{seed}": small_cnn(scale, seed=seed, crop=scale.step_crop, **pixels)
        for name, pixels in PREPROCESSING.items()
        for seed in scale.seeds
    }


def table3(scale: Scale, efficientnet: str) -> dict[str, dict]:
    """Return the networks of Table 3, augmented, with eight views in prediction; ours beside the paper's small CNN."""
    small = {"name": "paper_cnn", "dropout": scale.dropout}
    large, ours = (stage(LARGE, scale.small_epochs, "clean", learning_rate=rate) for rate in (0.001, 0.003))
    return {
        "table3-small-cnn": {"pixels": pixels_of(scale), "learner": small, "stage": [large]},
        "table3-fast-cnn": {"pixels": {"crop": scale.crop, "bin": scale.bin}, "stage": [ours]},
        "table3-efficientnet": transfer(scale, efficientnet, dense=[32, 16]),
    }


def larger_networks(scale: Scale, efficientnet: str, larger: str | None) -> dict[str, dict]:
    """Return Table 3's EfficientNet with a richer classifier, and a larger one."""
    found = {"later-classifier": transfer(scale, efficientnet, dense=[256, 64])}
    return found | ({"later-larger": transfer(scale, larger, dense=[32, 16])} if larger else {})


def all_lenses(scale: Scale, efficientnet: str) -> dict[str, dict]:
    """Return runs on all lenses against all non-lenses: with sizes that fall from stage to stage, and at once.

    Those of the small CNN have as many epochs, with as many images in each: classes are balanced by repetition. Each
    stage starts the learning rate again, so all lenses in the same stages are the control.
    """
    first = max(1, scale.later_epochs // 6)
    sizes = [(300, first), (LARGE, first), (70, first), (20, max(1, scale.later_epochs - 3 * first))]
    return {
        "later-falling-sizes": small_cnn(scale, stages=[stage(size, epochs, "all") for size, epochs in sizes]),
        "later-restarts": small_cnn(scale, stages=[stage(20, epochs, "all") for _, epochs in sizes]),
        "later-everything": small_cnn(scale, stages=[stage(20, scale.later_epochs, "all")]),
        "later-efficientnet": transfer(
            scale,
            efficientnet,
            [32, 16],
            [
                fine_tuning(LARGE, 1, "all", trainable="head", bin=scale.coarse),
                *(fine_tuning(size, epochs, "all", bin=scale.coarse) for size, epochs in sizes),
                fine_tuning(20, max(1, scale.later_epochs // 3), "all"),
            ],
        ),
    }


def scalings(scale: Scale) -> dict[str, dict]:
    """Return the paper's code beside its text: images scaled by themselves, small lenses called non-lenses."""
    found = {}
    for scaling in ("pack", "image"):
        for below in ("drop", "negative"):
            settings = small_cnn(scale, scaling=scaling, stages=[stage(LARGE, scale.later_epochs, "all")])
            settings["train"] |= {"below": below, "balance": "undersample"}
            found[f"scaling-{scaling}-{below}"] = settings
    return found


def stage(min_size: int, epochs: int, negatives: str, **more: object) -> dict[str, object]:
    """Return one step of a curriculum, as it stands in a TOML file."""
    return {"min_size": min_size, "negatives": negatives, "epochs": epochs, **{"learning_rate": 0.001, **more}}


def pixels_of(scale: Scale, **pixels: Any) -> dict[str, Any]:
    """Return what the paper's small CNN sees: all of the preprocessing, unless ``pixels`` says otherwise."""
    return {**PREPROCESSING["all"], "crop": scale.crop, "bin": scale.bin, **pixels}


def small_cnn(scale: Scale, seed: int = 1, stages: list[dict] | None = None, **pixels: Any) -> dict:
    """Return the paper's small CNN as it was trained there: on its task, flipped, one view an object.

    ``stages``: another task; ``pixels``: another preprocessing.
    """
    return {
        "seed": seed,
        "pixels": pixels_of(scale, **pixels),
        "augment": {"affine_probability": 0.0, "gain": 0.0},
        "learner": {"name": "paper_cnn", "dropout": scale.dropout},
        "train": {"average_momentum": 0.0},
        "stage": stages or [stage(LARGE, scale.step_epochs, "clean")],
        "predict": {"d4_average": False},
    }


def fine_tuning(min_size: int, epochs: int, negatives: str, **more: object) -> dict[str, object]:
    """Return one step of an EfficientNet's curriculum."""
    return stage(min_size, epochs, negatives, learning_rate=0.003, **more)


def transfer(scale: Scale, name: str, dense: list[int], stages: list[dict] | None = None) -> dict:
    """Return an EfficientNet on the paper's task: its head, then all of it, with sizes that fall and pixels that grow.

    Augmented, and the mean of eight views in prediction: all settings that it does not name are at their defaults.
    ``stages``: another task.
    """
    head, largest, large, fine = scale.efficient_epochs
    return {
        "pixels": {"crop": scale.crop, "bin": scale.bin},
        "learner": {"name": name, "weights": "imagenet", "dense": dense},
        "train": {"clip_norm": 1.0},
        "stage": stages
        or [
            fine_tuning(LARGE, head, "clean", trainable="head", bin=scale.coarse),
            fine_tuning(300, largest, "clean", bin=scale.coarse),
            fine_tuning(LARGE, large, "clean", bin=scale.coarse),
            fine_tuning(LARGE, fine, "clean"),
        ],
    }
