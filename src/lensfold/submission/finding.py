"""What is found in a submission file, and its rows, as every check takes them."""

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Severity = Literal["error", "warning", "fine", "unchecked"]


ScoreKind = Literal["probability", "logit", "radius"]


SCORE_KINDS = ("probability", "logit", "radius")


# no two parts of it can take the same digits: time grows only with the length, whatever is in a file
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


_MISSING = ("", "nan", "na", "n/a", "null", "none", "-nan", "<na>")


@dataclass(frozen=True)
class Finding:
    """One check's result: its name, how bad it is, what was found and where, what was expected, what to do."""

    check: str
    severity: Severity
    found: str
    expected: str = ""
    advice: str = ""
    #: line of the first place, from 1; None where it is the whole file
    line: int | None = None
    #: what a repair does about it, as in "commas for spaces"; empty where nothing can be done without guessing
    repair: str = ""

    def text(self) -> str:
        """All of it in one line."""
        place = "" if self.line is None else f"line {self.line}: "
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{place}{self.found}{expected}.{' ' + self.advice if self.advice else ''}"


@dataclass
class Rows:
    """What a file says, row by row in its order, and what is unusual about its form."""

    findings: list[Finding] = field(default_factory=list)
    #: names in the first line, None without a header
    header: tuple[str, ...] | None = None
    #: line number of each row, from 1
    lines: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    #: int64, -1 where the text is no ID
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    #: float64, NaN where the text is not a finite number
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    id_texts: list[str] = field(default_factory=list)
    score_texts: list[str] = field(default_factory=list)

    def add(
        self,
        check: str,
        severity: Severity,
        found: str,
        expected: str = "",
        advice: str = "",
        line: int | None = None,
        repair: str = "",
    ) -> None:
        """Add a `Finding`."""
        self.findings.append(Finding(check, severity, found, expected, advice, line, repair))


def short(text: str, length: int = 40) -> str:
    """A text as it may be shown: quoted, without control characters, cut."""
    return repr(text if len(text) <= length else text[:length] + "...")


def is_missing(text: str) -> bool:
    """Whether a score is written as none: empty, nan, NA, null."""
    return text.lower() in _MISSING


def as_number(text: str) -> float:
    """A finite float64 from plain decimal text, else NaN. Words such as inf are no numbers here."""
    value = float(text) if _NUMBER.fullmatch(text) else np.nan
    return value if np.isfinite(value) else np.nan
