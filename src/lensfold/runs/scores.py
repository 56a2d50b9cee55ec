"""The scores of a run or a submission: what they are called, how they are written, and as they are kept on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lensfold.config import CHALLENGE_BETA_SQUARED, Task
from lensfold.errors import InputError

#: number of what ``score.json`` means; a score of another one is made again. 2: intervals over haloes where they repeat
FORMAT = 2
#: stands where there is no number
NOTHING = "–"


@dataclass(frozen=True)
class ScoreName:
    """How a score is shown: its label, its digits (a difference of two gets one more), whether less is better."""

    label: str
    digits: int = 3
    is_loss: bool = False
    unit: str = ""

    @property
    def with_unit(self) -> str:
        """The label and the unit, where there is one."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


#: every score that is shown, in the order of tables
SCORE_NAMES: Mapping[str, ScoreName] = {
    "auc": ScoreName("AUC"),
    "mean_fold_auc": ScoreName("mean fold AUC"),
    "average_precision": ScoreName("average precision"),
    "f1": ScoreName("F1"),
    "accuracy": ScoreName("accuracy"),
    "recall": ScoreName("recall"),
    "one_minus_f_beta": ScoreName("1 − F_beta", 4, is_loss=True),
    "one_minus_f_beta_best": ScoreName("1 − F_beta, best threshold", 4, is_loss=True),
    "one_minus_f_beta_corner": ScoreName("1 − F_beta, ROC corner", 4, is_loss=True),
    "one_minus_f_beta_half": ScoreName("1 − F_beta, p = 0.5", 4, is_loss=True),
    "tpr0": ScoreName("TPR0"),
    "tpr10": ScoreName("TPR10"),
    "brier": ScoreName("Brier score", is_loss=True),
    "auc_large": ScoreName("> 150 px AUC"),
    "mse": ScoreName("MSE", is_loss=True, unit="arcsec²"),
    "mse_constant": ScoreName("MSE of a constant", is_loss=True, unit="arcsec²"),
    "relative_rms": ScoreName("relative rms", is_loss=True),
    "median_error": ScoreName("median error", is_loss=True, unit="arcsec"),
}


class _Stored(BaseModel):
    """Part of a file of scores; keys that are not listed here are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Score(_Stored):
    """A score with its 95 % interval; None where it was not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def score_text(score: Score | Mapping | None, digits: int = 3) -> str:
    """Return a score's value with its digits; NOTHING where there is none."""
    value = _as_score(score).value
    return NOTHING if value is None else f"{value:.{digits}f}"


def limits_text(score: Score | Mapping | None, digits: int = 3) -> str:
    """Return a score's interval as low–high; "" where there is none."""
    found = _as_score(score)
    return "" if found.low is None or found.high is None else f"{found.low:.{digits}f}–{found.high:.{digits}f}"


def interval_text(score: Score | Mapping | None, digits: int = 3) -> str:
    """Return a score with its interval in parentheses, where it has one."""
    limits = limits_text(score, digits)
    return score_text(score, digits) + (f" ({limits})" if limits else "")


def gain_text(difference: Score | Mapping | None, digits: int = 3) -> str:
    """Return a difference with its sign and its interval in parentheses; NOTHING where there is none."""
    found = _as_score(difference)
    if found.value is None:
        return NOTHING
    limits = (
        "" if found.low is None or found.high is None else f" ({found.low:+.{digits}f} to {found.high:+.{digits}f})"
    )
    return f"{found.value:+.{digits}f}{limits}"


def _as_score(score: Score | Mapping | None) -> Score:
    if score is None:
        return Score(value=None)
    return score if isinstance(score, Score) else Score.model_validate(score)


class PairedScore(Score):
    """A difference of two scores of the same objects, second minus first, with its 95 % interval."""

    first: float | None
    second: float | None


class Contribution(PairedScore):
    """What a member adds to its ensemble's AUC: first is that without the member; ``own`` is the member's alone."""

    name: str
    own: Score


class BinScore(Score):
    """The score of the lenses of one size bin, and their number."""

    bin: int
    n: int
    constant: float | None = None


class FirstRow(_Stored):
    """What the first ``n`` objects are worth, by ``false`` of the test's non-lenses among them."""

    n: int
    false: float
    is_limit: bool
    purity: Score
    completeness: Score


class RecallRow(_Stored):
    """What so many of the lenses cost, by ``false`` of the test's non-lenses that reach their scores."""

    recall: float
    false: float
    is_limit: bool
    false_rate: Score
    inspect: Score


class Searcher(_Stored):
    """The scores of a searcher at one prevalence, see `scoring.prevalence.searcher_table`."""

    prevalence: float
    objects: int
    n_lenses: int
    n_others: int
    unresolved: float
    first: Annotated[tuple[FirstRow, ...], Field(min_length=1)]
    recalls: Annotated[tuple[RecallRow, ...], Field(min_length=1)]


class ScoreOrigin(_Stored):
    """What a score was made from: its layout, hashes of the out-of-fold logits by fold, and of the catalog."""

    format: int = 1
    oof: dict[str, str]
    catalog: str


class Scores(_Stored):
    """``score.json``, or a row of a manifest: the scores of one task under one rule; absent ones are None."""

    pack: str
    task: Task = "lens"
    rule: str
    n: int
    n_lenses: int | None = None
    folds: Annotated[tuple[int, ...], Field(min_length=1)]
    of_folds: Annotated[int, Field(ge=1)]
    seconds: float | None = None
    parameters: int | None = None
    bootstrap: dict = {}
    #: what a run's score was made from; None for the scores of an ensemble
    made_from: ScoreOrigin | None = None
    beta_squared: float = CHALLENGE_BETA_SQUARED
    auc: Score | None = None
    #: what the mean of eight views adds to the AUC of one; None where one view was not kept, or is all there is
    one_view: PairedScore | None = None
    mean_fold_auc: Score | None = None
    f1: Score | None = None
    accuracy: Score | None = None
    average_precision: Score | None = None
    one_minus_f_beta: Score | None = None
    tpr0: Score | None = None
    tpr10: Score | None = None
    auc_large: Score | None = None
    #: None where it is of an earlier version
    searcher: Searcher | None = None
    auc_by_size: tuple[BinScore, ...] | None = None
    mse: Score | None = None
    mse_constant: Score | None = None
    relative_rms: Score | None = None
    median_error: float | None = None
    mse_by_size: tuple[BinScore, ...] | None = None

    @property
    def draws_haloes(self) -> bool:
        """Whether the intervals are over haloes rather than objects."""
        return self.bootstrap.get("over") == "haloes"


def parse_scores(text: bytes, remedy: str) -> Scores:
    """Return scores read from JSON; raise InputError with the key, what was found, and ``remedy``."""
    try:
        return Scores.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(f"{key}: {first['msg']}. Run {remedy}.") from error
