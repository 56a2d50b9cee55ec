"""Every setting of the kit, typed, with its default. A file of settings lists only what differs from here.

Unknown keys and wrong types stop the run. Settings are frozen: nothing writes to them after loading.
"""

from lensfold.config.experiment import (
    AugmentSettings,
    Experiment,
    KernelLearner,
    LabelRule,
    Mix,
    NetworkLearner,
    NetworkName,
    Part,
    PixelSettings,
    PredictSettings,
    PretrainedName,
    StageSettings,
    Task,
    TrainSettings,
    TransformSettings,
)
from lensfold.config.mixes import INFRARED_MIXES, channel_count, check_bands, in_words, missing_bands
from lensfold.config.reading import Settings, read_toml, validated
from lensfold.config.resolution import MIN_SIDE, in_frames, without_source_map
from lensfold.config.submission import ExperimentName, FoldSettings, MemberSettings, SubmissionSettings

__all__ = [
    "CHALLENGE_BETA_SQUARED",
    "INFRARED_MIXES",
    "MIN_SIDE",
    "PREVALENCE",
    "AugmentSettings",
    "Experiment",
    "ExperimentName",
    "FoldSettings",
    "KernelLearner",
    "LabelRule",
    "MemberSettings",
    "Mix",
    "NetworkLearner",
    "NetworkName",
    "Part",
    "PixelSettings",
    "PredictSettings",
    "PretrainedName",
    "Settings",
    "StageSettings",
    "SubmissionSettings",
    "Task",
    "TrainSettings",
    "TransformSettings",
    "channel_count",
    "check_bands",
    "in_frames",
    "in_words",
    "missing_bands",
    "read_toml",
    "validated",
    "without_source_map",
]

#: beta squared of the challenge's ranking: one false positive weighs as much as a thousand missed lenses
CHALLENGE_BETA_SQUARED = 0.001
#: share of lenses in the sky that a searcher's scores are of
PREVALENCE = 1 / 2000
