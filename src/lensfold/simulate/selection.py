"""Which objects of a sky are of the paper's task: lenses of more than 150 pixels, and objects without a source.

Both are rare, about one object in ten each on the challenge's skies. So objects are drawn one after another, each from
the streams of its own number, and the first that are of the task are kept: exactly the objects that a pack of all of
them would have under the same IDs. What is not kept costs a fifth of what is: it is decided by the light of the source
alone, before any galaxy, noise or file is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from lensfold.data.cache import central
from lensfold.data.catalog import DEFAULT_RULE, large_lens_labels
from lensfold.errors import InputError
from lensfold.simulate.objects import DrawnSplit, draw_object, object_streams
from lensfold.simulate.optics.render import central_light, coarse_nodes, draw_sigma, lensed_source, observe_vis
from lensfold.simulate.population import Population
from lensfold.simulate.truth import source_columns
from lensfold.simulate.variation import vary
from lensfold.workers import run_chunks

#: lenses of more pixels of ``n_pix_source`` than this are of the task
LARGE = 150
_CHUNK = 100  # objects per task of a worker
_SEARCHED = 200  # objects drawn at most for each that is wanted
_ROUNDING = 0.95  # of a sum of light that is convolved by Fourier transforms in float32


@dataclass(frozen=True)
class Selection:
    """Which objects of the first ``drawn`` ones a split has: their indices, ascending."""

    indices: Sequence[int]
    drawn: int


@dataclass(frozen=True)
class _Chunk:
    """Objects ``first`` to ``last`` - 1 of a split, to be looked at."""

    population: Population
    seed: int
    split: DrawnSplit
    first: int
    last: int


def is_large_lens(p: Population, seed: int, split: DrawnSplit, index: int) -> bool | None:
    """Return True for a lens of more than LARGE pixels, False for an object without a source, None for any other.

    That is what its catalog row says of object ``index`` under the rule official-2020.
    """
    rng = object_streams(seed, split, index)
    p = vary(rng.conditions, p)
    drawn = draw_object(p, rng, seed, split)
    if not drawn.present:
        return False
    sigma = float(draw_sigma(rng.noise, p)[0])
    planes = lensed_source(drawn.lens, coarse_nodes(drawn.lens), drawn.source.parts, p)
    # more than LARGE pixels above a threshold hold more light than LARGE times it, and a PSF adds none
    if float(planes.vis.sum()) < _ROUNDING * LARGE * p.k_pix * sigma:
        return None
    image = central(observe_vis(planes, p), p.side)
    columns = source_columns(drawn.source, central_light(planes, p.side), image, sigma, p)
    label = large_lens_labels(pd.DataFrame([{**columns, "n_sources": 1}]), DEFAULT_RULE, LARGE)
    return True if label.iloc[0] == 1 else None


def _look(chunk: _Chunk) -> dict[int, bool]:
    """Return the objects of a chunk that are of the task, by index."""
    found = {
        index: is_large_lens(chunk.population, chunk.seed, chunk.split, index)
        for index in range(chunk.first, chunk.last)
    }
    return {index: kind for index, kind in found.items() if kind is not None}


def select_task(
    p: Population, seed: int, split: DrawnSplit, count: int, workers: int, found: Callable[[int], None]
) -> Selection:
    """Return the first ``count`` / 2 lenses of more than LARGE pixels and as many first objects without a source.

    The same at any number of workers. ``found`` is called with how many of the ``count`` are found. Raises InputError
    where the sky has too few of one kind.
    """
    kinds: dict[int, bool] = {}
    drawn, half = 0, count // 2
    while (missing := half - min(sum(kinds.values()), len(kinds) - sum(kinds.values()))) > 0:
        if drawn >= _SEARCHED * count:
            raise InputError(
                f"simulator: {drawn} objects of profile {p.name} have {missing} too few of the {half} lenses of more "
                f"than {LARGE} px or of the {half} objects without a source. Choose another profile."
            )
        last = drawn + min(11 * missing + _CHUNK, _SEARCHED * count)
        chunks = [_Chunk(p, seed, split, first, min(first + _CHUNK, last)) for first in range(drawn, last, _CHUNK)]
        for _, part in run_chunks(_look, chunks, workers):
            kinds |= part
            found(sum(min(half, sum(kind is wanted for kind in kinds.values())) for wanted in (True, False)))
        drawn = last
    first = [sorted(index for index, kind in kinds.items() if kind is wanted)[:half] for wanted in (True, False)]
    indices = tuple(sorted(first[0] + first[1]))
    return Selection(indices, indices[-1] + 1)
