"""Settings of folds and of submissions."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lensfold.config.reading import Settings

ExperimentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


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
