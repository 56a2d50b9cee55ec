"""Settings of folds and of submissions."""

from decimal import Decimal
from math import ceil
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lensfold.config.reading import Settings
from lensfold.errors import InputError

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


class CascadeSettings(Settings):
    """How few objects the members of a submission score: the best of a first run, which sees every object once."""

    #: the run that scores every object with one view, without flips: a member, or another one
    first: ExperimentName
    #: share of the objects that the members score with all their views
    keep: Annotated[float, Field(gt=0, le=1)] = 0.05
    #: objects that they score at least, where there are as many
    least: Annotated[int, Field(ge=1)] = 100
    #: lenses among the objects of the survey that out-of-fold scores are to speak for, as a share
    prevalence: Annotated[float, Field(gt=0, lt=1)] = 1 / 2000

    @property
    def selection(self) -> str:
        """What decides which objects are kept, as ``first:keep:least``."""
        return f"{self.first}:{self.keep!r}:{self.least}"

    def count(self, objects: int) -> int:
        """Return how many of so many objects are kept: the share, rounded up, or the least number, where there are."""
        # in decimals, as the share was written: 0.07 of 100 is 7, and 7.000000000000001 of floats would be 8
        return min(objects, max(self.least, ceil(Decimal(repr(self.keep)) * objects)))


def parse_cascade(text: str) -> CascadeSettings:
    """Return the cascade of a ``first:keep:least``; InputError where it is none."""
    try:
        first, keep, least = text.split(":")
        return CascadeSettings(first=first, keep=float(keep), least=int(least))
    except ValueError as error:
        raise InputError(
            f"--cascade {text!r}: expected RUN:SHARE:LEAST, as small_cnn:0.05:100, which `lensfold run` writes itself."
        ) from error


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
    #: the members score only the best objects of a first run; none: they score all
    cascade: CascadeSettings | None = None
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

    @model_validator(mode="after")
    def _cascade_alone(self) -> "SubmissionSettings":
        if self.cascade and self.radius:
            raise ValueError(
                f"a cascade scores few objects, and radius = {list(self.radius)} is for all: leave one of the two out, "
                "or put the radii into a submission of their own"
            )
        if self.cascade and self.combine == "rank-mean":
            raise ValueError(
                'combine = "rank-mean" ranks an object among all of a split, and the members of a cascade score only '
                'some: write combine = "logit-mean"'
            )
        return self

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The runs that score objects in their own way: the members, then those of the radius."""
        return (*(member.experiment for member in self.member), *self.radius)

    @property
    def experiments(self) -> tuple[str, ...]:
        """Every run that the submission needs: the first of a cascade, its members, and those of the radius."""
        first = (self.cascade.first,) if self.cascade else ()
        return tuple(dict.fromkeys((*self.scored_by, *first)))
