"""Every setting of the kit, typed, with its default. An experiment file lists only what differs from here.

Unknown keys and wrong types stop the run. Settings are frozen: nothing writes to them after loading.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from lensfold.errors import InputError

LabelRule = Literal["any-source", "official-2019", "official-2020"]
Mix = Literal["bands", "paper-ir", "paper-rgb", "vis", "rgb-residual"]
Task = Literal["lens", "einstein-radius"]
NetworkName = Literal[
    "paper_cnn", "fast_cnn", "wide_cnn",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_b0", "efficientnet_v2_b1", "efficientnet_v2_b2", "efficientnet_v2_b3",
    "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
    "efficientnet_lite0",
]  # fmt: skip
#: "raw_pixels" is no network: kernel machines alone see pixels as they are
ModelName = Literal[NetworkName, "raw_pixels"]
#: what learns: the classifier, the backbone from a block upwards, or everything ("top" is from block 6)
Part = Literal["head", "top", "block7", "block6", "block5", "block4", "block3", "block2", "all"]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
ExperimentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class Settings(BaseModel):
    """Base of all settings: frozen, strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PixelSettings(Settings):
    """From four bands to the channels a network sees."""

    mix: Mix = "paper-rgb"
    #: side of the central square in VIS pixels (0.1 arcsec)
    crop: Annotated[int, Field(ge=16, le=200, multiple_of=2)] = 112
    #: VIS pixels added per side into one (2 halves the resolution)
    bin: Literal[1, 2] = 1
    stretch: Literal["asinh", "log", "none"] = "asinh"
    #: where the stretch turns from linear to logarithmic, in background sigmas
    softening: Annotated[float, Field(gt=0)] = 3.0
    #: what the stretched values are centred and scaled by: the train split's mean and standard deviation; nothing; or,
    #: as the paper's code did, each image's own minimum, maximum, mean and standard deviation, which hides brightness
    scaling: Literal["pack", "none", "image"] = "pack"

    @model_validator(mode="after")
    def _whole_bins(self) -> "PixelSettings":
        if self.crop % (2 * self.bin):
            raise ValueError(f"crop = {self.crop} must be a multiple of 2 x bin = {2 * self.bin}")
        return self

    @model_validator(mode="after")
    def _image_scaling_has_its_own_stretch(self) -> "PixelSettings":
        if self.scaling == "image" and self.stretch == "asinh":
            raise ValueError('scaling = "image" goes with stretch = "log" (that of the paper\'s code) or "none"')
        return self

    @model_serializer(mode="wrap")
    def _without_default_scaling(self, handler: SerializerFunctionWrapHandler) -> dict:
        """Resolved settings tell of another scaling alone: runs of before there were any stay what they are."""
        told = handler(self)
        if told.get("scaling") == "pack":
            del told["scaling"]
        return told

    @property
    def side(self) -> int:
        """Side of the network's input in pixels."""
        return self.crop // self.bin


class AugmentSettings(Settings):
    """What training (never validation) does to a cutout; every strength at 0 switches its step off."""

    d4: bool = True
    affine_probability: Share = 0.5
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 20.0
    zoom: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    shift_pixels: Annotated[float, Field(ge=0, le=20)] = 2.0
    dropout_probability: Share = 0.0
    #: extra noise in background sigmas: each image draws its own level up to this
    noise_sigma: Annotated[float, Field(ge=0, le=5)] = 0.2
    #: relative flux gain of a whole image: factor 1 ± gain
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: a wider PSF: each image draws the standard deviation of a Gaussian blur up to this, in input pixels
    psf_sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    psf_probability: Share = 0.0


class ModelSettings(Settings):
    """Which network; names in lensfold.models."""

    name: ModelName = "fast_cnn"
    #: EfficientNets: VIS and the NISP bands each in a backbone of their own, at their own pixels (pixels.mix = "bands")
    two_branches: bool = False
    #: EfficientNets: widths of dense layers between the features and the logit
    dense: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    weights: Literal["none", "imagenet"] = "none"
    weights_file: str | None = None
    #: only the head learns; the backbone's features are computed once, without augmentation
    frozen: bool = False


class StageSettings(Settings):
    """One step of the lens-size curriculum: train on lenses with more than ``min_size`` pixels."""

    min_size: Annotated[int, Field(ge=0)]
    #: lenses with more pixels than this belong to an earlier stage; None: there is no upper limit
    max_size: Annotated[int, Field(ge=1)] | None = None
    #: share of the lenses beyond ``max_size`` that each epoch shows again
    replay: Share = 0.0
    #: every non-lens of the label rule, or only objects that no source was put into
    negatives: Literal["all", "clean"] = "all"
    #: a network's stages must name these two; a kernel machine has no use for them
    epochs: PositiveInt = 1
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.001
    trainable: Part = "all"
    #: factor on the learning rate from one block of the backbone to the one below it
    block_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    #: learning rate over the stage: constant, or a cosine down to a hundredth after a short warm-up
    decay: Literal["constant", "cosine"] = "cosine"

    @model_validator(mode="after")
    def _sizes_in_order(self) -> "StageSettings":
        if self.max_size is not None and self.max_size <= self.min_size:
            raise ValueError(f"max_size = {self.max_size} must be more than min_size = {self.min_size}")
        if self.replay and self.max_size is None:
            raise ValueError(f"replay = {self.replay} needs max_size: without it no lens is left out")
        return self


class TrainSettings(Settings):
    """How a fold is trained."""

    batch_size: PositiveInt = 64
    weight_decay: Annotated[float, Field(ge=0)] = 0.001
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    #: lenses at or below a stage's min_size: left out, or called non-lenses as the paper's code did
    below: Literal["drop", "negative"] = "drop"
    #: classes of equal weight by sampling, or each object once and the rarer class weighted up, or neither
    balance: Literal["undersample", "oversample", "weights", "none"] = "oversample"
    #: share of a soft F_beta loss (of the batch) beside cross-entropy
    f_beta_share: Share = 0.0
    beta: Annotated[float, Field(gt=0, le=10)] = 1.0
    #: weight of the squared error of further outputs (catalog.auxiliary_targets), which only training has; 0: none
    auxiliary: Annotated[float, Field(ge=0, le=10)] = 0.0
    #: momentum of an exponential moving average of the weights, which is what predicts; 0: the last weights
    average_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: gradients are scaled down to this norm where theirs is larger; 0: never
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    #: 16-bit floats in the network, 32-bit weights: for GPUs
    mixed_precision: bool = False
    #: simulated packs: share of the lenses, others in each epoch, that their twin follows, the same object without
    #: its source; twins take the place of other non-lenses
    twins: Share = 0.0
    #: TensorFlow threads: fixed, because another thread count changes sums in the last digits
    threads: PositiveInt = 1
    #: processes that prepare batches; 0: a thread of the training process. The result is the same
    workers: Annotated[int, Field(ge=0, le=256)] = 0


class KernelSettings(Settings):
    """A kernel machine in the place of a network, see `lensfold.models.kernel_machines`."""

    #: logistic regression, a support vector machine, or kernel principal components and logistic regression on them
    method: Literal["logistic", "svm", "pca"]
    #: "sigmoid" is the hyperbolic tangent
    kernel: Literal["rbf", "polynomial", "sigmoid"] = "rbf"
    #: the kernel as it is, or by random features (Monte Carlo), or by its values at some of the objects
    approximation: Literal["none", "random", "nystroem"] = "none"
    #: training objects, half of them lenses; fewer where one class has fewer
    objects: Annotated[int, Field(ge=6, multiple_of=2)] = 1000
    #: features of the approximation, or the most principal components
    components: PositiveInt = 300
    #: settings of kernel and classifier that the search tries, each on three parts of the training objects
    settings_tried: PositiveInt = 12

    @model_validator(mode="after")
    def _approximation_exists(self) -> "KernelSettings":
        if self.approximation == "random" and self.kernel == "sigmoid":
            raise ValueError('the sigmoid kernel has no random features: set approximation = "none" or "nystroem"')
        if self.approximation != "none" and self.method == "pca":
            raise ValueError('method = "pca" has no approximation: leave it out')
        return self


class PredictSettings(Settings):
    """What only prediction uses; changing it never retrains."""

    #: inputs that are prepared together and at most computed together: halved where memory does not suffice
    batch_size: PositiveInt = 128
    #: average the logits of the eight flips and rotations
    d4_average: bool = True


class Experiment(Settings):
    """One model and how it is trained."""

    #: is it a lens, or how large is its Einstein radius (trained on lenses alone)
    task: Task = "lens"
    label_rule: LabelRule = "official-2020"
    seed: Annotated[int, Field(ge=0)] = 1
    pixels: PixelSettings = PixelSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    stage: Annotated[tuple[StageSettings, ...], Field(min_length=1)]
    predict: PredictSettings = PredictSettings()
    #: a kernel machine instead of a network, on model.name = "raw_pixels" or on frozen features
    kernel: KernelSettings | None = None

    @model_serializer(mode="wrap")
    def _without_absent_kernel(self, handler: SerializerFunctionWrapHandler) -> dict:
        """A network's resolved settings do not tell of kernels: runs of before there were any stay what they are."""
        told = handler(self)
        if told.get("kernel", 0) is None:
            del told["kernel"]
        return told

    @model_validator(mode="after")
    def _network_or_kernel(self) -> "Experiment":
        if self.kernel is None:
            if self.model.name == "raw_pixels":
                raise ValueError('model.name = "raw_pixels" is for kernel machines: add a section [kernel]')
            for number, stage in enumerate(self.stage):
                for key in ("epochs", "learning_rate"):
                    if key not in stage.model_fields_set:
                        raise ValueError(f"key 'stage.{number}.{key}' is needed and absent")
            return self
        if self.model.name != "raw_pixels" and not self.model.frozen:
            raise ValueError('[kernel] needs model.name = "raw_pixels", or a pretrained network with frozen = true')
        if self.task != "lens" or len(self.stage) != 1:
            raise ValueError('[kernel] finds lenses, task = "lens", and has one [[stage]], which chooses its objects')
        useless = _useless_for_kernels(self)
        if useless:
            raise ValueError(f"[kernel] has no use for {', '.join(useless)}: leave them out")
        return self

    @model_validator(mode="after")
    def _bands_where_needed(self) -> "Experiment":
        needed = self.model.two_branches or self.model.name == "wide_cnn"
        if needed and (self.pixels.mix != "bands" or self.pixels.bin != 1):
            raise ValueError('a network that sees NISP at its own pixels needs pixels.mix = "bands" and pixels.bin = 1')
        return self

    @model_validator(mode="after")
    def _pairs_in_one_batch(self) -> "Experiment":
        if self.train.twins and self.train.batch_size % 2:
            raise ValueError(f"train.twins keeps pairs in one batch: batch_size = {self.train.batch_size} must be even")
        return self

    @model_validator(mode="after")
    def _radius_is_consistent(self) -> "Experiment":
        if self.task == "einstein-radius" and (self.train.twins or self.train.f_beta_share or self.train.auxiliary):
            raise ValueError(
                'task = "einstein-radius" knows lenses alone: set train.twins, f_beta_share and auxiliary to 0'
            )
        return self

    @model_validator(mode="after")
    def _frozen_is_consistent(self) -> "Experiment":
        if not self.model.frozen:
            return self
        if self.train.twins or self.train.auxiliary:
            raise ValueError(
                "model.frozen = true trains a head for the logit on features of the train split alone: set train.twins "
                "and train.auxiliary to 0"
            )
        if self.model.weights == "none":
            raise ValueError('model.frozen = true needs pretrained weights, model.weights = "imagenet"')
        if any(stage.trainable != "head" for stage in self.stage):
            raise ValueError('model.frozen = true trains the head alone: set trainable = "head" in every [[stage]]')
        if self.predict.d4_average:
            raise ValueError("model.frozen = true has one set of features: set predict.d4_average = false")
        return self


#: settings of each section that mean something for a kernel machine
_USED_BY_KERNELS = {
    "augment": (),
    "train": ("below", "threads"),
    "stage": ("min_size", "max_size", "negatives"),
}
_USED_OF_FROZEN = ("name", "weights", "weights_file", "frozen", "two_branches")


def _useless_for_kernels(experiment: Experiment) -> list[str]:
    """Settings of a kernel experiment that are not at their defaults and that it has no use for."""
    used = {**_USED_BY_KERNELS, "model": _USED_OF_FROZEN if experiment.model.frozen else ("name",)}
    if experiment.model.frozen:  # a frozen network must say that it trains the head alone
        used["stage"] = (*used["stage"], "trainable")
    found = []
    for section, names in used.items():
        settings = experiment.stage[0] if section == "stage" else getattr(experiment, section)
        for name, field in type(settings).model_fields.items():
            if name not in names and getattr(settings, name) != field.default:
                found.append(f"{section}.{name}")
    return found


class FoldSettings(Settings):
    """``folds/folds.toml``."""

    k: Annotated[int, Field(ge=2, le=100)] = 3
    seed: Annotated[int, Field(ge=0)] = 1
    group: bool = False
    #: names of packs whose folds are grouped in any case: a second name of a pack, to set both kinds side by side
    grouped_packs: tuple[str, ...] = ()


class MemberSettings(Settings):
    """One run inside a submission."""

    experiment: ExperimentName
    weight: Annotated[float, Field(gt=0)] = 1.0


class SubmissionSettings(Settings):
    """``submissions/<name>.toml``: the members, how to combine them, and how the CSV is written."""

    #: a mean with the members' weights, or weights learnt out of fold: non-negative logistic regression, or greedy
    combine: Literal["logit-mean", "rank-mean", "stacking", "greedy"] = "logit-mean"
    #: what greedy selection makes better
    select_by: Literal["auc", "average-precision", "one-minus-f-beta"] = "auc"
    #: probabilities that mean what they say, fitted out of fold: a slope on the logit, or a slope and an offset
    calibrate: Literal["none", "temperature", "platt"] = "none"
    header: bool = False
    absent: Literal["zero", "omit"] = "zero"
    digits: Annotated[int, Field(ge=3, le=17)] = 17
    score: Literal["probability", "logit"] = "probability"
    #: experiments with task = "einstein-radius" whose mean writes the second file, ``<name>_radius.csv``; none: no file
    radius: tuple[ExperimentName, ...] = ()
    member: Annotated[tuple[MemberSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _members_once(self) -> "SubmissionSettings":
        names = [member.experiment for member in self.member]
        if len(set(names)) < len(names):
            raise ValueError(f"a member is listed twice: {names}")
        if len({*names, *self.radius}) < len(names) + len(self.radius):
            raise ValueError(f"an experiment of radius = {list(self.radius)} is listed twice, or is a member: {names}")
        return self

    @model_validator(mode="after")
    def _weights_where_they_count(self) -> "SubmissionSettings":
        if self.combine in ("stacking", "greedy") and any(member.weight != 1 for member in self.member):
            raise ValueError(f'combine = "{self.combine}" learns the weights: leave weight out of every [[member]]')
        return self

    @property
    def experiments(self) -> tuple[str, ...]:
        """Every run that the submission needs: its members, then those of the radius."""
        return (*(member.experiment for member in self.member), *self.radius)


SettingsType = TypeVar("SettingsType", bound=Settings)


def read_toml(path: Path, kind: type[SettingsType]) -> SettingsType:
    """Settings of ``kind`` from a TOML file.

    Raises InputError naming the file, the key, what was found and what is expected.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        present = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml"))) or "none"
        raise InputError(f"{path}: cannot be read ({error.strerror}). Files there: {present}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    return validated(content, kind, path)


def validated(content: dict, kind: type[SettingsType], source: Path) -> SettingsType:
    """Settings of ``kind`` from plain values; InputError names ``source`` and every offending key."""
    try:
        # through JSON, because strict JSON mode takes arrays for tuples and nothing else loosely
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_describe(e) for e in error.errors())) from error


def _describe(error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(the whole file)"
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}; compare with the settings in src/lensfold/config.py"
    if error["type"] == "missing":
        return f"key {key!r} is needed and absent"
    if not error["loc"]:  # of several keys together: what was found is the whole file
        return error["msg"]
    return f"{key!r}: {error['msg']}, found {error['input']!r}"


#: Weights of (Y, J, H) in each infrared channel; VIS is always the first channel. The paper's two: one infrared
#: channel biased to the reddest band, and VIS / mean(Y, J) / H in the place of red, green and blue.
INFRARED_MIXES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "bands": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "paper-ir": ((0.15, 0.35, 0.5),),
    "paper-rgb": ((0.5, 0.5, 0.0), (0.0, 0.0, 1.0)),
    "vis": (),
    "rgb-residual": ((0.5, 0.5, 0.0), (0.0, 0.0, 1.0)),
}


def channel_count(settings: PixelSettings) -> int:
    """Number of channels of a mix."""
    return 1 + len(INFRARED_MIXES[settings.mix]) + (settings.mix == "rgb-residual")


#: beta squared of the challenge's ranking: one false positive weighs as much as a thousand missed lenses.
CHALLENGE_BETA_SQUARED = 0.001
