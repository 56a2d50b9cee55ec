"""A job and its name, which says all there is to know about it."""

import re
from dataclasses import dataclass

from lensfold.errors import InputError
from lensfold.paths import Split, checked_split

_PART = re.compile(r"([1-9][0-9]{0,8})of([1-9][0-9]{0,8})")


@dataclass(frozen=True, order=True)
class Job:
    """One step that is done anew, gone on with, or found done, however often it is run.

    ``cache:train:3of8`` builds the third of eight parts of the train cache, ``merge:train`` puts them together,
    ``train:small_cnn:0`` trains fold 0 of an experiment, ``predict:small_cnn:3of8`` predicts the third of eight parts
    of the test split with every fold of a run, and ``join:small_cnn:8`` puts those together. In a cascade
    ``first:small_cnn:3of8`` does so with one view, ``keep:small_cnn:8`` puts those together and chooses the objects
    that the members score, and ``predict`` and ``join`` are of these.
    """

    kind: str
    #: the split, or the experiment
    name: str
    #: number of the fold, or of the part from 0
    number: int = 0
    #: into how many parts the split is divided
    count: int = 1

    def __str__(self) -> str:
        end = {
            "cache": f":{self.number + 1}of{self.count}",
            "merge": "",
            "train": f":{self.number}",
            "predict": f":{self.number + 1}of{self.count}",
            "join": f":{self.count}",
            "first": f":{self.number + 1}of{self.count}",
            "keep": f":{self.count}",
        }
        return f"{self.kind}:{self.name}{end[self.kind]}"

    @property
    def split(self) -> Split:
        """The split of a job on a cache; InputError for an unknown one."""
        return checked_split(self.name)

    @property
    def is_computed(self) -> bool:
        """Whether a network or kernel machine is the job's main work."""
        return self.kind in ("train", "predict", "first")

    @property
    def group(self) -> str:
        """What jobs of the same kind on the same split or experiment are called together."""
        return f"{self.kind}:{self.name}"


def parse_job(text: str) -> Job:
    """The job of a name; InputError where it is none."""
    kind, _, rest = text.partition(":")
    name, _, end = rest.partition(":")
    part = _PART.fullmatch(end)
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        if kind == "merge" and not end and ":" not in rest:
            return Job(kind, name)
        if kind in ("cache", "predict", "first") and part and int(part[1]) <= int(part[2]):
            return Job(kind, name, int(part[1]) - 1, int(part[2]))
        if kind in ("train", "join", "keep") and re.fullmatch(r"0|[1-9][0-9]{0,8}", end):
            number = int(end)
            if kind == "train":
                return Job(kind, name, number)
            if number:
                return Job(kind, name, count=number)
    raise InputError(
        f"job {text!r}: expected cache:SPLIT:1of4, merge:SPLIT, train:EXPERIMENT:FOLD, predict:EXPERIMENT:1of4, "
        "join:EXPERIMENT:4, first:EXPERIMENT:1of4 or keep:EXPERIMENT:4, as `lensfold jobs` lists them."
    )
