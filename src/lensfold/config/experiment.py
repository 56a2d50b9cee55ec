"""Settings of an experiment: its pixels, its augmentation, what learns, and how it is trained."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from lensfold.config.learners import Learner, NetworkLearner, PositiveInt
from lensfold.config.reading import Settings
from lensfold.config.resolution import resolution_problem, source_map_problem

#: how a catalog's columns make a lens; "given": the user's own labels, which a pack that has them is trained on anyhow
LabelRule = Literal["any-source", "official-2019", "official-2020", "given"]
Mix = Literal["bands", "paper-ir", "paper-rgb", "vis"]
Task = Literal["lens", "einstein-radius"]
#: what learns: the classifier, the backbone from a block upwards, or everything ("top" is from block 6)
Part = Literal["head", "top", "block7", "block6", "block5", "block4", "block3", "block2", "all"]
Share = Annotated[float, Field(ge=0, le=1)]
#: VIS pixels added per side into one (2 halves the resolution)
Bin = Literal[1, 2, 4]


class PixelSettings(Settings):
    """From four bands to the channels a network sees."""

    mix: Mix = "paper-rgb"
    #: side of the central square in VIS pixels (0.1 arcsec); where it is not given, all of the pack's frames
    crop: Annotated[int, Field(ge=16, le=200, multiple_of=2)] = 200
    bin: Bin = 2
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

    @property
    def side(self) -> int:
        """Side of the network's input in pixels."""
        return self.crop // self.bin


class TransformSettings(Settings):
    """A transform of albumentations: its name, and its arguments (such as ``p``) beside it."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$")]


class AugmentSettings(Settings):
    """What training (never validation) does to a cutout; every strength at 0 switches its step off."""

    #: flips and quarter turns
    d4: bool = True
    #: share of the images that are rotated, zoomed and shifted, each by up to the strengths below
    affine_probability: Share = 0.5
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 20.0
    #: factor 1 ± zoom, one for both axes; Einstein radii that are learned of grow with it
    zoom: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    #: along each axis, in pixels of the network's input and fractions of them
    shift_pixels: Annotated[float, Field(ge=0, le=20)] = 2.0
    #: extra noise in background sigmas: each image draws its own level up to this
    noise_sigma: Annotated[float, Field(ge=0, le=5)] = 0.0
    #: relative flux gain of a whole image: factor 1 ± gain
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: further transforms of albumentations, in their order, on the image in background sigmas before the stretch
    transforms: tuple[TransformSettings, ...] = ()


class StageSettings(Settings):
    """One step of the lens-size curriculum: train on lenses with more than ``min_size`` pixels."""

    min_size: Annotated[int, Field(ge=0)]
    #: every non-lens of the label rule, or only objects that no source was put into
    negatives: Literal["all", "clean"] = "all"
    #: a network's stages must give it; a kernel machine has no use for it
    epochs: PositiveInt = 1
    #: the highest of the stage: a short warm-up leads to it, a cosine down to a hundredth of it
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.003
    trainable: Part = "all"
    #: factor on the learning rate from one block of the backbone to the one below it
    block_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    #: the stage's own resolution, in place of pixels.bin: 4 for stages that cost a third of those with 2
    bin: Bin | None = None


class TrainSettings(Settings):
    """How a fold is trained."""

    batch_size: PositiveInt = 32
    weight_decay: Annotated[float, Field(ge=0)] = 0.001
    #: lenses at or below a stage's min_size: left out, or called non-lenses as the paper's code did
    below: Literal["drop", "negative"] = "drop"
    #: classes of equal weight by sampling, or each object once and the rarer class weighted up, or neither
    balance: Literal["undersample", "oversample", "weights", "none"] = "oversample"
    #: momentum of an exponential moving average of the weights, which is what predicts; 0: the last weights
    average_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    #: gradients are scaled down to this norm where theirs is larger; 0: never
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    #: 16-bit floats in the network, 32-bit weights: for GPUs
    mixed_precision: bool = False
    #: simulated packs: share of the lenses (drawn anew each epoch) that are followed by their twin, the same object
    #: without its source; twins replace other non-lenses
    twins: Share = 0.0
    #: simulated packs with twins: weight of a second loss, of a map from a middle block that shows where the pixels of
    #: the lensed source are; 0: there is none. A pack without twins is trained on without it
    source_map: Annotated[float, Field(ge=0)] = 0.0
    #: TensorFlow threads: fixed, because another thread count changes sums in the last digits
    threads: PositiveInt = 1
    #: processes that prepare batches; 0: a thread of the training process. The result is the same
    workers: Annotated[int, Field(ge=0, le=256)] = 0

    def sees_twins(self, has_twins: bool) -> bool:
        """Return whether twins are trained on, where the pack has any or has to: ``source_map`` can do without."""
        return self.twins > 0 or (self.source_map > 0 and has_twins)


class PredictSettings(Settings):
    """What only prediction uses; changing it never retrains."""

    #: inputs that are prepared together and at most computed together: halved where memory does not suffice
    batch_size: PositiveInt = 128
    #: average the logits of the eight flips and rotations
    d4_average: bool = True


class Experiment(Settings):
    """One model and how it is trained."""

    #: is it a lens, or how large is its Einstein radius (trained on lenses only)
    task: Task = "lens"
    label_rule: LabelRule = "official-2020"
    seed: Annotated[int, Field(ge=0)] = 1
    pixels: PixelSettings = PixelSettings()
    augment: AugmentSettings = AugmentSettings()
    learner: Learner = NetworkLearner()
    train: TrainSettings = TrainSettings()
    stage: Annotated[tuple[StageSettings, ...], Field(min_length=1)]
    predict: PredictSettings = PredictSettings()

    @property
    def bins(self) -> tuple[int, ...]:
        """The resolutions of its images, ascending: that of prediction, and those that stages name."""
        return tuple(sorted({self.pixels.bin, *map(self.bin_of, self.stage)}))

    @property
    def goes_on(self) -> bool:
        """Whether it fine-tunes a network that was trained before: a published one, or one in a file of the user's."""
        return self.learner.kind == "network" and self.learner.weights in ("lensfold", "file")

    def bin_of(self, stage: StageSettings) -> int:
        """Return the resolution of a stage's images."""
        return stage.bin or self.pixels.bin

    def at(self, bin: int) -> "Experiment":
        """Return these settings with images of another resolution, shifted by as many arcseconds in training."""
        shift = self.augment.shift_pixels * self.pixels.bin / bin
        pixels = self.pixels.model_copy(update={"bin": bin})
        augment = self.augment.model_copy(update={"shift_pixels": shift})
        return self.model_copy(update={"pixels": pixels, "augment": augment})

    @model_validator(mode="after")
    def _learner_has_what_it_needs(self) -> "Experiment":
        if self.learner.kind != "kernel":
            for number, stage in enumerate(self.stage):
                if "epochs" not in stage.model_fields_set:
                    raise ValueError(f"key 'stage.{number}.epochs' is needed and absent")
            useless = _useless_for_features(self) if self.learner.kind == "given_features" else []
            if useless:
                raise ValueError(f"given features have no use for {', '.join(useless)}: leave them out")
            return self
        if self.task != "lens" or len(self.stage) != 1:
            raise ValueError(
                'a kernel machine finds lenses, task = "lens", with one [[stage]], which chooses its objects'
            )
        useless = _useless_for_kernels(self)
        if useless:
            raise ValueError(f"a kernel machine has no use for {', '.join(useless)}: leave them out")
        return self

    @model_validator(mode="after")
    def _bands_where_needed(self) -> "Experiment":
        if self.learner.kind != "network":
            return self
        needed = self.learner.two_branches or self.learner.name == "wide_cnn"
        if needed and (self.pixels.mix != "bands" or self.pixels.bin != 1):
            raise ValueError('a network that sees NISP at its own pixels needs pixels.mix = "bands" and pixels.bin = 1')
        return self

    @model_validator(mode="after")
    def _stages_have_resolutions_that_it_takes(self) -> "Experiment":
        for number, stage in enumerate(self.stage):
            problem = resolution_problem(self, stage.bin) if stage.bin and self.learner.kind == "network" else ""
            if problem:
                raise ValueError(f"stage.{number}.bin = {stage.bin}: {problem}")
        if self.stage[-1].bin not in (None, self.pixels.bin):
            raise ValueError(
                f"stage.{len(self.stage) - 1}.bin = {self.stage[-1].bin}: the last stage has the resolution that "
                f"predicts, pixels.bin = {self.pixels.bin}: leave its bin out, or change pixels.bin"
            )
        return self

    @model_validator(mode="after")
    def _twins_can_be_learned_from(self) -> "Experiment":
        if self.train.source_map and (problem := source_map_problem(self)):
            raise ValueError(f"train.source_map = {self.train.source_map:g}: {problem}")
        if self.train.twins and self.train.batch_size % 2:
            raise ValueError(f"train.twins keeps pairs in one batch: batch_size = {self.train.batch_size} must be even")
        return self

    @model_validator(mode="after")
    def _radius_is_consistent(self) -> "Experiment":
        if self.task == "einstein-radius" and self.train.twins:
            raise ValueError('task = "einstein-radius" learns from lenses, and twins are none: set train.twins = 0')
        if self.task == "einstein-radius" and self.augment.transforms:
            raise ValueError('task = "einstein-radius" cannot know what augment.transforms enlarge: leave them out')
        return self

    @model_validator(mode="after")
    def _frozen_is_consistent(self) -> "Experiment":
        if not self.learner.sees_features:
            return self
        if self.predict.d4_average and self.learner.kind == "given_features":
            raise ValueError("an object has one set of given features: set predict.d4_average = false")
        if self.predict.d4_average:
            raise ValueError("a frozen network has one set of features an object: set predict.d4_average = false")
        if self.learner.kind != "network":
            return self
        if self.train.twins:
            raise ValueError("learner.frozen = true has features of the train split only: set train.twins = 0")
        if self.learner.weights == "none":
            raise ValueError(
                'learner.frozen = true needs pretrained weights, learner.weights = "imagenet", "lensfold" or "file"'
            )
        if any(stage.trainable != "head" for stage in self.stage):
            raise ValueError('learner.frozen = true trains only the head: set trainable = "head" in every [[stage]]')
        return self


def _useless_for_kernels(experiment: Experiment) -> list[str]:
    """Return the settings beside ``learner`` that are not at their defaults and mean nothing for a kernel machine."""
    used = {"train": ("below", "threads"), "stage": ("min_size", "negatives")}
    return _useless(experiment, experiment.stage[0], used)


def _useless_for_features(experiment: Experiment) -> list[str]:
    """Return those that mean nothing where features are given: what is done to pixels, and in what they come from."""
    train = set(TrainSettings.model_fields) - {"twins", "source_map", "mixed_precision", "workers"}
    stage = set(StageSettings.model_fields) - {"trainable", "block_rate", "bin"}
    used = {"train": tuple(train), "stage": tuple(stage)}
    found = [name for one in experiment.stage for name in _useless(experiment, one, used)]
    return list(dict.fromkeys(found))


def _useless(experiment: Experiment, stage: StageSettings, used: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the settings of augmentation, training and a stage that are not ``used`` and not at their defaults."""
    sections: dict[str, Settings] = {"augment": experiment.augment, "train": experiment.train, "stage": stage}
    return [
        f"{section}.{name}"
        for section, settings in sections.items()
        for name, field in type(settings).model_fields.items()
        if name not in used.get(section, ()) and getattr(settings, name) != field.default
    ]
