"""The lens-size curriculum: which training rows a stage has, and in which order an epoch shows them.

Only training rows pass through here: validation is always the full fold under one label rule.
"""

import zlib
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

from lensfold.config import StageSettings
from lensfold.data import catalog as catalogs
from lensfold.errors import InputError

Below = Literal["drop", "negative"]
Balance = Literal["undersample", "oversample", "weights", "none"]

BELOW = ("drop", "negative")
BALANCES = ("undersample", "oversample", "weights", "none")

_SUBSET_PURPOSE = zlib.crc32(b"curriculum subset")
_SHUFFLE_PURPOSE = zlib.crc32(b"curriculum shuffle")


def stage_labels(
    catalog: pd.DataFrame, train_ids: Iterable[int], rule: str, stage: StageSettings, below: Below = "drop"
) -> pd.Series:
    """Return the labels that one stage trains on, float64 (0.0 or 1.0), indexed by ID in the order of ``train_ids``.

    Lenses of ``rule`` are kept as 1 where ``n_pix_source`` is more than ``stage.min_size`` pixels. Smaller ones are
    left out (``below="drop"``, the paper's text) or labelled 0 (``"negative"``, the paper's code). Non-lenses are kept
    (with ``stage.negatives = "clean"`` only those that no source was put into, so that ``below="negative"`` then adds
    none); rows that the rule drops are not. Of the user's own labels
    ``min_size = 0`` is every lens, its size known or not. ``train_ids`` must not contain objects without images.
    Raises InputError for an ID that is doubled or not in the catalog, an unknown rule or ``below``, and where the
    stage has no lens or no non-lens.
    """
    _check_choice("below", below, BELOW)
    ids = pd.Index(np.fromiter(train_ids, dtype=np.int64), name="ID")
    _check_train_ids(ids, catalog)
    rows = catalog.loc[ids]
    label = catalogs.labels(rows, rule)
    small = (label == 1) & (rows["n_pix_source"] <= stage.min_size)
    if catalogs.is_given(rows) and not stage.min_size:
        small[:] = False
    label[small] = np.nan if below == "drop" else 0.0
    if stage.negatives == "clean":
        label[(label == 0) & ~catalogs.without_source(rows)] = np.nan
    counts = f"{int(small.sum())} smaller lenses, in {len(ids)} training rows"
    found = label.dropna()
    _check_both_classes(found, stage, f"below = {below!r} under {rule}", counts)
    return found


def epoch_order(labels: pd.Series, seed: int, fold: int, epoch: int, balance: Balance = "undersample") -> np.ndarray:
    """Return IDs in the order one epoch shows them, int64, which depends on nothing but the arguments.

    ``labels``: as :func:`stage_labels` returns them. "undersample" takes as many of the larger class as the smaller
    one has (length 2 x smaller class), without replacement and a different part in each epoch: any
    ceil(larger / smaller) epochs that start at a multiple of that number show every object. "oversample" repeats the
    smaller class up to the larger one (length 2 x larger class), "weights" (see :func:`class_weights`) and "none" show
    each object once. Epochs count from 0.
    Raises InputError for other labels than 0 and 1, an unknown ``balance``, or balancing a single class.
    """
    _check_choice("balance", balance, BALANCES)
    labels = labels.sort_index()  # so that the row order does not matter
    ids, values = labels.index.to_numpy(dtype=np.int64), labels.to_numpy()
    _check_labels(values)
    if balance in ("undersample", "oversample"):
        smaller, larger = sorted((ids[values == 1], ids[values == 0]), key=len)
        if len(smaller) == 0:
            raise _nothing_to_balance(values)
        balanced = _undersampled if balance == "undersample" else _oversampled
        ids = balanced(smaller, larger, seed, fold, epoch)
    return _generator(seed, _SHUFFLE_PURPOSE, fold, epoch).permutation(ids)


def class_weights(labels: np.ndarray | pd.Series) -> np.ndarray:
    """Return weights of non-lenses and lenses that make both count alike: float64, shape (2,), indexed by label.

    n / (2 n_class) over ``labels`` (0 or 1), so that their mean over the objects is 1; the weight of each object is
    ``class_weights(labels)[labels.astype(int)]``. Raises InputError for other labels and for a single class.
    """
    values = np.asarray(labels)
    _check_labels(values)
    counts = np.bincount(values.astype(np.int64), minlength=2)
    if not counts.all():
        raise _nothing_to_balance(values)
    return len(values) / (2.0 * counts)


def with_twins(
    order: np.ndarray, labels: pd.Series, twin_ids: Iterable[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an epoch's order with the twin of each lens (the same object without its source) right behind it.

    ``order``: IDs as :func:`epoch_order` returns them; ``labels``: 0 or 1 indexed by ID; ``twin_ids``: objects that
    have a twin. Returns IDs (int64), whether each is the twin (bool) and labels (float64, 0 for a twin), all of
    one length. Each time a lens is shown its twin follows. Each twin takes the place of a non-lens, left out at
    equal distances over the order, so that the epoch keeps its length and its balance as long as there are
    non-lenses to leave out. Of a balanced epoch whose lenses all have twins, only the pairs are left: to show other
    non-lenses too, give the IDs of a part of the twins.
    A lens and its twin begin at an even place, so that no even batch size parts them: objects without a twin are shown
    in pairs, where the second of the two stands in ``order`` (an odd one left over comes last).
    """
    label = labels.loc[order].to_numpy(dtype=np.float64)
    paired = (label == 1) & np.isin(order, np.fromiter(twin_ids, dtype=np.int64))
    lenses = np.flatnonzero(paired)
    others = _without_spread(np.flatnonzero(label == 0), len(lenses))
    singles = np.sort(np.concatenate([np.flatnonzero((label == 1) & ~paired), others]))
    couples = singles[: len(singles) // 2 * 2].reshape(-1, 2)
    # two places of the order a row: a lens and its twin, which has the same place, or two others
    units = np.concatenate([np.stack([lenses, lenses], axis=1), couples])
    units = units[np.argsort(units[:, 1])]
    places = np.append(units.ravel(), singles[2 * len(couples) :])
    is_twin = np.zeros(len(places), dtype=bool)
    is_twin[1:] = places[1:] == places[:-1]
    return order[places], is_twin, np.where(is_twin, 0.0, label[places])


def _without_spread(places: np.ndarray, count: int) -> np.ndarray:
    """Return ``places`` without ``count`` of them (or none, where there are no more), left out at equal distances."""
    kept = max(len(places) - count, 0)
    return places[np.arange(kept) * len(places) // max(kept, 1)]


def _undersampled(smaller: np.ndarray, larger: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """Return the smaller class and this epoch's piece of the larger one.

    A pass is one permutation of the larger class, cut into pieces of the smaller one's length; the last piece
    is filled up from the beginning of the same permutation, so that no piece has an object twice.
    """
    epochs_per_pass = -(-len(larger) // len(smaller))
    number, piece = divmod(epoch, epochs_per_pass)
    order = _generator(seed, _SUBSET_PURPOSE, fold, number).permutation(larger)
    places = np.arange(piece * len(smaller), (piece + 1) * len(smaller)) % len(larger)
    return np.concatenate([smaller, order[places]])


def _oversampled(smaller: np.ndarray, larger: np.ndarray, seed: int, fold: int, epoch: int) -> np.ndarray:
    """Return the larger class and the smaller one repeated: whole, then a part of it drawn afresh each epoch."""
    repeats, rest = divmod(len(larger), len(smaller))
    part = _generator(seed, _SUBSET_PURPOSE, fold, epoch).permutation(smaller)[:rest]
    return np.concatenate([larger, np.tile(smaller, repeats), part])


def _generator(seed: int, purpose: int, fold: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, fold, number]))


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} = {value!r} is unknown. Choose one of: {', '.join(choices)}.")


def _check_labels(values: np.ndarray) -> None:
    if not np.isin(values, (0, 1)).all():
        raise InputError("labels to train on must be 0 or 1; leave dropped rows out first (stage_labels does).")


def _check_both_classes(label: pd.Series, stage: StageSettings, where: str, counts: str) -> None:
    lenses = int(label.sum())
    if lenses in (0, len(label)):
        raise InputError(
            f"stage with min_size = {stage.min_size}, negatives = {stage.negatives!r}, "
            f"{where}: {lenses} lenses and {len(label) - lenses} non-lenses, with {counts}; both classes are needed. "
            "Choose other sizes or more objects."
        )


def _nothing_to_balance(values: np.ndarray) -> InputError:
    lenses = int(values.sum())
    return InputError(
        f"{lenses} lenses and {len(values) - lenses} non-lenses: nothing to balance. "
        'Add objects of the other class, or set train.balance = "none".'
    )


def _check_train_ids(ids: pd.Index, catalog: pd.DataFrame) -> None:
    problems = (("doubled", ids[ids.duplicated()]), ("not in the catalog", ids.difference(catalog.index)))
    for problem, wrong in problems:
        if len(wrong):
            shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            raise InputError(f"training IDs {problem}: {shown} ({len(wrong)} in all).")
