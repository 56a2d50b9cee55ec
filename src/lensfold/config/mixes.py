"""Which channels are mixed from which bands."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from lensfold.errors import InputError

if TYPE_CHECKING:
    from lensfold.config.experiment import PixelSettings

_NISP = ("Y", "J", "H")
#: Weights of (Y, J, H) in each infrared channel; VIS is always the first channel. The paper's two: one infrared
#: channel biased to the reddest band, and VIS / mean(Y, J) / H in the place of red, green and blue.
INFRARED_MIXES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "bands": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "paper-ir": ((0.15, 0.35, 0.5),),
    "paper-rgb": ((0.5, 0.5, 0.0), (0.0, 0.0, 1.0)),
    "vis": (),
}


def channel_count(settings: "PixelSettings") -> int:
    """Return the number of channels of a mix."""
    return 1 + len(INFRARED_MIXES[settings.mix])


def missing_bands(settings: "PixelSettings", there: Collection[str]) -> str:
    """Return in words which bands a mix needs that are not ``there``, "Y, J and H"; "" where it has all."""
    weights = [sum(channel) for channel in zip(*INFRARED_MIXES[settings.mix], strict=True)]
    missing = [band for band, weight in zip(_NISP, weights, strict=False) if weight and band not in there]
    return in_words(missing)


def in_words(bands: Collection[str]) -> str:
    """Return bands as a person lists them."""
    *first, last = [*bands] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def check_bands(settings: "PixelSettings", there: Collection[str], source: Path, pack: str) -> None:
    """Raise InputError where an experiment needs bands that a pack lacks.

    ``source``: the file of the experiment; ``pack``: what the bands that are ``there`` are of, both for the message.
    """
    missing = missing_bands(settings, there)
    if missing:
        raise InputError(
            f'{source}: pixels.mix = "{settings.mix}" needs {missing}, and {pack} has only {in_words(there)}. Train '
            'an experiment with pixels.mix = "vis", or take a pack that has them.'
        )
