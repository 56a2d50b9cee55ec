"""The scores of a run or a submission as they are kept on disk, typed."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lensfold.config import CHALLENGE_BETA_SQUARED, Task
from lensfold.errors import InputError


class _Stored(BaseModel):
    """Part of a file of scores; what a newer or older version wrote besides is left aside."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Score(_Stored):
    """A score with its 95 % interval; None where it was not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


class BinScore(Score):
    """The score of the lenses of one size bin, and their number."""

    bin: int
    n: int
    constant: float | None = None


class ScoreOrigin(_Stored):
    """What a score was made from: hashes of the out-of-fold logits by fold, and of the catalog."""

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
    mean_fold_auc: Score | None = None
    f1: Score | None = None
    accuracy: Score | None = None
    average_precision: Score | None = None
    one_minus_f_beta: Score | None = None
    tpr0: Score | None = None
    tpr10: Score | None = None
    auc_large: Score | None = None
    auc_by_size: tuple[BinScore, ...] | None = None
    mse: Score | None = None
    mse_constant: Score | None = None
    relative_rms: Score | None = None
    median_error: float | None = None
    mse_by_size: tuple[BinScore, ...] | None = None

    @property
    def draws_groups(self) -> bool:
        """Whether the intervals are over haloes rather than objects."""
        return self.bootstrap.get("over") == "groups"


def parse_scores(text: bytes, remedy: str) -> Scores:
    """Scores from JSON; InputError names the key, what was found, and ``remedy``."""
    try:
        return Scores.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(f"{key}: {first['msg']}. Run {remedy}.") from error
