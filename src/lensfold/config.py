"""Every setting of the kit, typed, with its default. An experiment file lists only what differs from here.

Unknown keys and wrong types stop the run. Settings are frozen: nothing writes to them after loading.
"""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lensfold.errors import InputError

LabelRule = Literal["any-source", "official-2019", "official-2020"]
Mix = Literal["bands", "paper-ir", "paper-rgb", "vis", "rgb-residual"]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]


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
    stretch: Literal["asinh", "log"] = "asinh"
    #: where the stretch turns from linear to logarithmic, in background sigmas
    softening: Annotated[float, Field(gt=0)] = 3.0

    @model_validator(mode="after")
    def _whole_bins(self) -> "PixelSettings":
        if self.crop % (2 * self.bin):
            raise ValueError(f"crop = {self.crop} must be a multiple of 2 x bin = {2 * self.bin}")
        return self

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


class ModelSettings(Settings):
    """Which network; names in lensfold.models."""

    name: Literal["paper_cnn", "fast_cnn", "efficientnet_b0", "efficientnet_lite0"] = "fast_cnn"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    weights: Literal["none", "imagenet"] = "none"
    weights_file: str | None = None
    #: only the head learns; the backbone's features are computed once, without augmentation
    frozen: bool = False


class StageSettings(Settings):
    """One step of the lens-size curriculum: train on lenses with more than ``min_size`` pixels."""

    min_size: Annotated[int, Field(ge=0)]
    epochs: PositiveInt
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    trainable: Literal["head", "top", "all"] = "all"
    #: learning rate over the stage: constant, or a cosine down to a hundredth after a short warm-up
    decay: Literal["constant", "cosine"] = "cosine"


class TrainSettings(Settings):
    """How a fold is trained."""

    batch_size: PositiveInt = 64
    weight_decay: Annotated[float, Field(ge=0)] = 0.001
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    #: lenses at or below a stage's min_size: left out, or called non-lenses as the paper's code did
    below: Literal["drop", "negative"] = "drop"
    balance: Literal["undersample", "oversample", "none"] = "oversample"
    #: TensorFlow threads: fixed, because another thread count changes sums in the last digits
    threads: PositiveInt = 1


class PredictSettings(Settings):
    """What only prediction uses; changing it never retrains."""

    batch_size: PositiveInt = 128
    #: average the logits of the eight flips and rotations
    d4_average: bool = True


class Experiment(Settings):
    """One model and how it is trained."""

    label_rule: LabelRule = "official-2020"
    seed: Annotated[int, Field(ge=0)] = 1
    pixels: PixelSettings = PixelSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    stage: Annotated[tuple[StageSettings, ...], Field(min_length=1)]
    predict: PredictSettings = PredictSettings()

    @model_validator(mode="after")
    def _frozen_is_consistent(self) -> "Experiment":
        if not self.model.frozen:
            return self
        if self.model.weights == "none":
            raise ValueError('model.frozen = true needs pretrained weights, model.weights = "imagenet"')
        if any(stage.trainable != "head" for stage in self.stage):
            raise ValueError('model.frozen = true trains the head alone: set trainable = "head" in every [[stage]]')
        if self.predict.d4_average:
            raise ValueError("model.frozen = true has one set of features: set predict.d4_average = false")
        return self


class FoldSettings(Settings):
    """``folds/folds.toml``."""

    k: Annotated[int, Field(ge=2, le=100)] = 3
    seed: Annotated[int, Field(ge=0)] = 1
    group: bool = False


class MemberSettings(Settings):
    """One run inside a submission."""

    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    weight: Annotated[float, Field(gt=0)] = 1.0


class SubmissionSettings(Settings):
    """``submissions/<name>.toml``: the members, how to combine them, and how the CSV is written."""

    combine: Literal["logit-mean", "rank-mean"] = "logit-mean"
    header: bool = False
    absent: Literal["zero", "omit"] = "zero"
    digits: Annotated[int, Field(ge=3, le=17)] = 17
    score: Literal["probability", "logit"] = "probability"
    member: Annotated[tuple[MemberSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _members_once(self) -> "SubmissionSettings":
        names = [member.experiment for member in self.member]
        if len(set(names)) < len(names):
            raise ValueError(f"a member is listed twice: {names}")
        return self


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
    return f"{key!r}: {error['msg']}, found {error['input']!r}"


def digest(content: dict) -> str:
    """SHA-256 (hex) of plain values in canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
