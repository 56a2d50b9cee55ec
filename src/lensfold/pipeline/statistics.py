"""What the cutouts of a pack measure, kept with its cache and with the runs that were trained on it.

A prediction compares them, so that networks that are shown another sky than they learnt from do not go unnoticed.
"""

import json
from pathlib import Path

from lensfold.data.cache import Cache, pixels_hash, read_manifest
from lensfold.errors import InputError
from lensfold.files import digest, is_broken, sealed, write_json
from lensfold.paths import Pack, Workspace
from lensfold.realism.distance import Statistics, differences, statistics
from lensfold.realism.measure import measured, sample_ids
from lensfold.runs.run import STATISTICS, Run

#: objects of a split that are measured, spread evenly over it
SAMPLE = 200


def cache_statistics(cache_folder: Path) -> Statistics:
    """Return medians, spreads and numbers of what the objects of a cache measure, kept in it for the next time.

    Raises InputError where there is no cache, or it is damaged.
    """
    key = digest({"pixels": pixels_hash(read_manifest(cache_folder)), "sample": SAMPLE})
    path = cache_folder / STATISTICS
    try:
        kept = json.loads(path.read_text())
        if kept["key"] == key and not is_broken(kept):
            return kept["statistics"]
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: measured anew
        pass
    with Cache(cache_folder) as cache:
        found = statistics(measured(cache, sample_ids(cache.ids, SAMPLE)))
    write_json(path, sealed({"key": key, "statistics": found}))
    return found


def unlike_training(workspace: Workspace, pack: Pack, trained_on: str, experiments: list[str]) -> str:
    """Return a sentence on how a pack's test split differs from what the networks were trained on, "" where alike.

    "" too where that is not known: for runs of before it was kept, and without a cache. It never fails.
    """
    for name in experiments:
        training = Run(workspace.run(trained_on, name)).statistics
        if training is None:
            continue
        try:
            found = differences(training, cache_statistics(workspace.cache(pack, "test")))
        except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
            return ""
        if not found:
            return ""
        return (
            f"{pack.name} is unlike {trained_on}, which the networks were trained on: {'; '.join(found)}. Its scores "
            "may not hold: see docs/euclid.md#is-my-pack-like-the-training-pack."
        )
    return ""
