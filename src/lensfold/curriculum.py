"""The lens-size curriculum: which training rows a stage has, and in which order an epoch shows them.

Only training rows pass through here: validation is always the full fold under one label rule.
"""

import zlib
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

from lensfold import catalog as catalogs
from lensfold.errors import InputError

Below = Literal["drop", "negative"]
Balance = Literal["undersample", "oversample", "none"]

BELOW = ("drop", "negative")
BALANCES = ("undersample", "oversample", "none")

_SUBSET_PURPOSE = zlib.crc32(b"curriculum subset")
_SHUFFLE_PURPOSE = zlib.crc32(b"curriculum shuffle")


def stage_rows(
    catalog: pd.DataFrame, train_ids: Iterable[int], rule: str, min_size: int, below: Below = "drop"
) -> pd.Series:
    """Training rows of one stage: a Series "label" (float64, 0.0 or 1.0) indexed by ID, as in ``train_ids``.

    Lenses of ``rule`` with ``n_pix_source`` > ``min_size`` pixels are kept as 1. Smaller ones are left out
    (``below="drop"``, the paper's text) or labelled 0 (``"negative"``, the paper's code). Non-lenses are
    kept, rows that the rule drops are not. A negative ``min_size`` keeps every lens. Objects without images
    are the caller's to leave out of ``train_ids``.
    Raises InputError for an ID that is doubled or not in the catalog, an unknown rule or ``below``, and where
    the stage has no lens or no non-lens.
    """
    _check_choice("below", below, BELOW)
    ids = pd.Index(np.fromiter(train_ids, dtype=np.int64), name="ID")
    _check_train_ids(ids, catalog)
    rows = catalog.loc[ids]
    label = catalogs.labels(rows, rule)
    small = (label == 1) & (rows["n_pix_source"] <= min_size)
    label[small] = np.nan if below == "drop" else 0.0
    kept = label.dropna()
    lenses = int(kept.sum())
    if lenses in (0, len(kept)):
        raise InputError(
            f"stage with min_size = {min_size}, below = {below!r} under {rule}: {lenses} lenses and "
            f"{len(kept) - lenses} non-lenses, with {int(small.sum())} smaller lenses, in {len(ids)} "
            "training rows; both classes are needed. Choose another min_size or more objects."
        )
    return kept


def epoch_order(labels: pd.Series, seed: int, fold: int, epoch: int, balance: Balance = "undersample") -> np.ndarray:
    """IDs in the order one epoch shows them, int64, a function of the arguments alone.

    ``labels``: 0 or 1 indexed by ID. "undersample" takes as many of the larger class as the smaller one has
    (length 2 x smaller class), without replacement and others each epoch: any ceil(larger / smaller) epochs
    that start at a multiple of that number show every object. "oversample" repeats the smaller class up to
    the larger one (length 2 x larger class), "none" shows each object once. Epochs count from 0.
    Raises InputError for other labels than 0 and 1, an unknown ``balance``, or balancing a single class.
    """
    _check_choice("balance", balance, BALANCES)
    labels = labels.sort_index()  # so that the row order does not matter
    values = labels.to_numpy()
    if not np.isin(values, (0, 1)).all():
        raise InputError("labels to train on must be 0 or 1; leave dropped rows out first (stage_rows does).")
    ids = labels.index.to_numpy(dtype=np.int64)
    classes = (ids[values == 1], ids[values == 0])
    if balance != "none":
        smaller, larger = sorted(classes, key=len)
        if len(smaller) == 0:
            raise InputError(f"{len(classes[0])} lenses and {len(classes[1])} non-lenses: nothing to balance.")
        balanced = _undersampled if balance == "undersample" else _oversampled
        ids = balanced(smaller, larger, seed, fold, epoch)
    return _generator(seed, _SHUFFLE_PURPOSE, fold, epoch).permutation(ids)


def _undersampled(smaller: np.ndarray, larger: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """The smaller class and this epoch's piece of the larger one.

    A pass is one permutation of the larger class, cut into pieces of the smaller one's length; the last piece
    is filled up from the beginning of the same permutation, so that no piece holds an object twice.
    """
    epochs_per_pass = -(-len(larger) // len(smaller))
    number, piece = divmod(epoch, epochs_per_pass)
    order = _generator(seed, _SUBSET_PURPOSE, fold, number).permutation(larger)
    places = np.arange(piece * len(smaller), (piece + 1) * len(smaller)) % len(larger)
    return np.concatenate([smaller, order[places]])


def _oversampled(smaller: np.ndarray, larger: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """The larger class and the smaller one repeated: whole, then a part of it drawn afresh each epoch."""
    repeats, rest = divmod(len(larger), len(smaller))
    part = _generator(seed, _SUBSET_PURPOSE, fold, epoch).permutation(smaller)[:rest]
    return np.concatenate([larger, np.tile(smaller, repeats), part])


def _generator(seed: int, purpose: int, fold: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, fold, number]))


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} = {value!r} is unknown. Choose one of: {', '.join(choices)}.")


def _check_train_ids(ids: pd.Index, catalog: pd.DataFrame) -> None:
    problems = (("doubled", ids[ids.duplicated()]), ("not in the catalog", ids.difference(catalog.index)))
    for problem, wrong in problems:
        if len(wrong):
            shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            raise InputError(f"training IDs {problem}: {shown} ({len(wrong)} in all).")
