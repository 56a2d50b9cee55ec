"""How far apart two packs measure: by the whole distribution of each quantity, and by medians, for a warning."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lensfold.frames import BANDS
from lensfold.realism.measure import MAD, QUANTITIES

#: quantiles that stand beside each other
QUANTILES = (0.1, 0.5, 0.9)
#: a quantity is far where the largest difference of the two cumulative distributions is at least this, and such a
#: difference has less than this chance between two samples of one pack (Kolmogorov-Smirnov): 1 % over 20 quantities
FAR, CHANCE = 0.3, 0.0005
#: medians, spreads and numbers of objects by quantity: {"median", "spread", "n"}, None where nothing was measured
Statistics = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Distance:
    """One quantity of two packs: QUANTILES and number of values of each (NaN for none), and how far they are apart."""

    name: str
    real: tuple[float, ...]
    simulated: tuple[float, ...]
    counts: tuple[int, int]
    #: the Kolmogorov-Smirnov statistic, 0 to 1; NaN where one side has no value
    ks: float
    is_far: bool


def distances(real: pd.DataFrame, simulated: pd.DataFrame) -> list[Distance]:
    """Return the distance of two packs in each quantity, from tables of `lensfold.realism.measure.measured`."""
    from scipy.stats import ks_2samp  # a second to import

    found = []
    for name in QUANTITIES:
        one, two = (table[name].dropna().to_numpy() for table in (real, simulated))
        ks, chance = float("nan"), 1.0
        if len(one) and len(two):
            result = ks_2samp(one, two)
            ks, chance = float(result.statistic), float(result.pvalue)
        far = bool(ks >= FAR and chance < CHANCE)
        found.append(Distance(name, _quantiles(one), _quantiles(two), (len(one), len(two)), ks, far))
    return found


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).tolist()) if len(values) else (float("nan"),) * len(QUANTILES)


def statistics(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return median, robust spread and number of values of each quantity, ready for JSON."""
    found: dict[str, dict[str, float | None]] = {}
    for name in QUANTITIES:
        values = table[name].dropna().to_numpy()
        median = float(np.median(values)) if len(values) else None
        spread = float(MAD * np.median(np.abs(values - median))) if len(values) else None
        found[name] = {"median": median, "spread": spread, "n": len(values)}
    return found


@dataclass(frozen=True)
class Limit:
    """How far the medians of a quantity may be apart before a prediction says so; ``is_ratio``: as their quotient."""

    name: str
    label: str
    most: float
    is_ratio: bool
    bands: tuple[str, ...] = BANDS
    form: str = ".2f"

    def quantity(self, band: str) -> str:
        """Return what is compared in a band, a key of QUANTITIES."""
        return self.name if self.name in QUANTITIES else f"{self.name}_{band}"


#: where a warning begins. A guess, wider than two halves of a pack ever are, and less than what cost scores when it
#: was measured: doubled noise, the correlation of real mosaics, another kind of galaxy in the middle
LIMITS = (
    Limit("sigma", "background sigma", 1.3, True, form=".1e"),
    Limit("correlation", "noise correlation", 0.1, False),
    Limit("width", "width of the narrowest peaks", 1.25, True),
    Limit("mag", "magnitude", 0.7, False, form=".1f"),
    Limit("half_light", "half-light radius", 1.3, True, bands=("VIS",)),
)
#: and by how many standard errors of the two medians, so that a few objects do not differ by chance
ERRORS = 4.0


def differences(training: Statistics, other: Statistics) -> list[str]:
    """Return in words what is beyond LIMITS, a line a kind, of the band that is furthest apart; empty where alike."""
    found = []
    for limit in LIMITS:
        apart = {band: _apart(limit, training, other, limit.quantity(band)) for band in limit.bands}
        beyond = {band: value for band, value in apart.items() if value > 1}
        if beyond:
            worst = max(beyond, key=lambda band: beyond[band])
            one, two = (side[limit.quantity(worst)]["median"] for side in (other, training))
            more = f" (and {len(beyond) - 1} more band{'s' if len(beyond) > 2 else ''})" if len(beyond) > 1 else ""
            found.append(f"{limit.label} {one:{limit.form}} against {two:{limit.form}} in {worst}{more}")
    return found


def _apart(limit: Limit, training: Statistics, other: Statistics, name: str) -> float:
    """The distance of two medians over what is allowed; 0 where either is unknown or chance would do."""
    sides = [side.get(name, {}) for side in (training, other)]
    medians, spreads, counts = ([side.get(key) for side in sides] for key in ("median", "spread", "n"))
    if any(value is None for value in (*medians, *spreads)) or not all(counts):
        return 0.0
    one, two = (float(value or 0) for value in medians)
    # of a median of normal values 1.2533 sigma / sqrt(n); the spread of three objects says little about itself
    widest = max(float(spread or 0) for spread in spreads)
    error = 1.2533 * widest * sum(1 / float(count or 1) for count in counts) ** 0.5
    if abs(one - two) <= ERRORS * error:
        return 0.0
    if not limit.is_ratio:
        return abs(one - two) / limit.most
    return float(abs(np.log(one / two)) / np.log(limit.most)) if one > 0 and two > 0 else 0.0
