"""Two packs beside each other: what was measured of each, and what came out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lensfold.realism.distance import Distance, distances
from lensfold.realism.probe import LEAST


@dataclass(frozen=True)
class Side:
    """One pack: the objects that were measured (`lensfold.realism.measure.measured`), and some to look at.

    ``of``: objects that its split has. ``rows``: cached rows of the first of ``table``'s objects that are shown.
    """

    pack: str
    split: str
    of: int
    table: pd.DataFrame
    rows: np.ndarray
    synthetic: bool

    @property
    def n(self) -> int:
        """The number of objects that were measured."""
        return len(self.table)


@dataclass(frozen=True)
class Comparison:
    """A real and a simulated pack; ``probe``: the AUC of telling them apart, None where a side has too few objects.

    ``sigma``: the background sigma by band that both are shown and judged in units of.
    """

    real: Side
    simulated: Side
    sigma: dict[str, float]
    probe: dict[str, float | None] | None = None

    @cached_property
    def distances(self) -> list[Distance]:
        """How far apart they are in each quantity."""
        return distances(self.real.table, self.simulated.table)

    @property
    def is_too_small(self) -> bool:
        """Whether a side has too few objects for the probe."""
        return min(self.real.n, self.simulated.n) < LEAST
