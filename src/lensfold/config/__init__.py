"""Every setting of the kit, typed, with its default. A file of settings lists only what differs from here.

Unknown keys and wrong types stop the run. Settings are frozen: nothing writes to them after loading.
"""

from lensfold.config.experiment import (
    AugmentSettings,
    Experiment,
    LabelRule,
    Mix,
    Part,
    PixelSettings,
    PredictSettings,
    StageSettings,
    Task,
    TrainSettings,
    TransformSettings,
)
from lensfold.config.learners import GivenFeatures, KernelLearner, NetworkLearner, NetworkName, PretrainedName
from lensfold.config.mixes import INFRARED_MIXES, channel_count, check_bands, in_words, missing_bands
from lensfold.config.reading import Settings, read_toml, validated
from lensfold.config.resolution import MIN_SIDE, given_labels_problem, in_frames, with_given_labels, without_source_map
from lensfold.config.submission import (
    CascadeSettings,
    ExperimentName,
    FoldSettings,
    MemberSettings,
    SubmissionSettings,
    parse_cascade,
)

__all__ = [
    "CHALLENGE_BETA_SQUARED",
    "INFRARED_MIXES",
    "MIN_SIDE",
    "PREVALENCE",
    "AugmentSettings",
    "CascadeSettings",
    "Experiment",
    "ExperimentName",
    "FoldSettings",
    "GivenFeatures",
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
    "given_labels_problem",
    "in_frames",
    "in_words",
    "missing_bands",
    "parse_cascade",
    "read_toml",
    "validated",
    "with_given_labels",
    "without_source_map",
]

#: beta squared of the challenge's ranking: one false positive weighs as much as a thousand missed lenses
CHALLENGE_BETA_SQUARED = 0.001
#: share of lenses in the sky that a searcher's scores are of
PREVALENCE = 1 / 2000
