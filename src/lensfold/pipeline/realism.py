"""How far apart are two packs? Measurements, a probe on frozen features, a sheet of pictures and their numbers."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from lensfold.config import Experiment, NetworkLearner, PixelSettings, PredictSettings, StageSettings, in_words
from lensfold.console import progress
from lensfold.data.cache import Cache, central_rows, split_bands
from lensfold.data.cache_check import default_split
from lensfold.errors import InputError
from lensfold.files import write_json
from lensfold.frames import BANDS
from lensfold.inputs.batches import Preparation
from lensfold.inputs.pixels import StretchConstants, fit_constants
from lensfold.paths import Pack, Split, Workspace
from lensfold.pipeline.cache import current_cache
from lensfold.pipeline.train import start_where_needed
from lensfold.prediction.features import features_of
from lensfold.realism.comparison import Comparison, Side
from lensfold.realism.measure import measured, sample_ids
from lensfold.realism.probe import LEAST, probe
from lensfold.report.plots.realism import SHOWN, draw_comparison

#: objects of a pack that are measured, and of each that the probe's stretch is fitted to
MEASURED, FITTED = 1000, 128
#: VIS pixels of the middle that the probe sees, or all of smaller frames
SEEN = 128
#: whose features the probe sees, in units of a background sigma that both packs share
NETWORK = Experiment(
    pixels=PixelSettings(crop=SEEN, bin=1),
    learner=NetworkLearner(name="efficientnet_lite0", weights="imagenet", frozen=True),
    stage=(StageSettings(min_size=0, epochs=1, trainable="head"),),
    predict=PredictSettings(d4_average=False),
)


def compare_packs(
    workspace: Workspace,
    real: Pack,
    simulated: Pack,
    split: Split | None = None,
    out: Path | None = None,
    skip_bad: bool = False,
    workers: int = 1,
) -> tuple[Comparison, list[Path]]:
    """Measure a sample of both packs, draw ``realism.png`` and write ``realism.json``; return what came out, and both.

    Of packs of 20" and of 10" the middle 10" are compared.
    ``split``: of both; None for the train split of a pack that has one, else its test split. ``out``: the folder, by
    default ``data/<simulated>/look/beside-<real>``. Caches are built where they are absent or stale. Raises InputError
    for a pack without such a split, cutouts that cannot be used, and where both packs are one.
    """
    if real.folder.resolve() == simulated.folder.resolve():
        raise InputError(f"{real.folder}: given as the real and as the simulated pack. Give two packs.")
    packs = [(pack, split or default_split(workspace, pack)) for pack in (real, simulated)]
    folders = [current_cache(workspace, pack, of, skip_bad, workers) for pack, of in packs]
    with ExitStack() as opened:
        caches = [opened.enter_context(Cache(folder)) for folder in folders]
        _check_bands(caches)
        frame = min(cache.side for cache in caches)
        sides = [_side(pack, of, cache, frame) for (pack, of), cache in zip(packs, caches, strict=True)]
        sigma = {band: float(np.sqrt(caches[0].sigma[band] * caches[1].sigma[band])) for band in BANDS}
        found = Comparison(sides[0], sides[1], sigma)
        if not found.is_too_small:
            found = replace(found, probe=_probed(caches, sides, sigma, frame))
    folder = out or workspace.realism(real, simulated)
    paths = [folder / "realism.png", folder / "realism.json"]
    draw_comparison(paths[0], found)
    write_json(paths[1], _record(found))
    return found, paths


def _check_bands(caches: Sequence[Cache]) -> None:
    """Raise InputError where a pack lacks bands: the comparison and its probe are of all four."""
    for cache in caches:
        if lacking := [band for band in BANDS if band not in cache.sigma]:
            raise InputError(f"{cache.folder}: has no {in_words(lacking)}, and packs are compared in all four bands.")


def _side(pack: Pack, split: Split, cache: Cache, frame: int) -> Side:
    ids = sample_ids(cache.ids, MEASURED)
    with progress(f"measure {pack.name} {split}") as report:
        table = measured(cache, ids, report, frame)
    rows = central_rows(cache.read(sample_ids(ids, SHOWN)), frame)
    return Side(pack.name, split, len(cache.ids), table, rows, pack.is_simulated)


def _probed(caches: list[Cache], sides: list[Side], sigma: dict[str, float], frame: int) -> dict[str, float | None]:
    pixels = NETWORK.pixels.model_copy(update={"crop": min(SEEN, frame)})
    network = NETWORK.model_copy(update={"pixels": pixels})
    start_where_needed(network)
    constants = _constants(caches, sides, sigma, pixels)
    ids = [side.table.index.to_numpy() for side in sides]
    given = [(Preparation(cache, network, constants), own) for cache, own in zip(caches, ids, strict=True)]
    with progress("probe: features of a frozen network") as report:
        of_real, of_simulated = features_of(given, network, report)
    return probe(of_real, of_simulated)


def _constants(
    caches: list[Cache], sides: list[Side], sigma: dict[str, float], pixels: PixelSettings
) -> StretchConstants:
    """One stretch for both packs, fitted to as many objects of one as of the other."""
    count = min(FITTED, *(side.n for side in sides))
    chosen = [sample_ids(side.table.index.to_numpy(), count) for side in sides]
    rows = [row for cache, ids in zip(caches, chosen, strict=True) for row in cache.read(ids)]
    return fit_constants([split_bands(row) for row in rows], pixels, sigma)


def _record(found: Comparison) -> dict:
    """What ``realism.json`` has: quantiles, distances and the probe."""
    packs = {
        name: {"pack": side.pack, "split": side.split, "measured": side.n, "objects": side.of}
        for name, side in (("real", found.real), ("simulated", found.simulated))
    }
    rows = {
        one.name: {"real": _plain(one.real), "simulated": _plain(one.simulated), "n": one.counts, "far": one.is_far}
        | {"ks": _plain((one.ks,))[0]}
        for one in found.distances
    }
    return {**packs, "probe": found.probe, "least_for_the_probe": LEAST, "quantities": rows}


def _plain(values: tuple[float, ...]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values]
