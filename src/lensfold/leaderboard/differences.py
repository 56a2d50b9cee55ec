"""What sets two rows of a leaderboard apart: settings, code, and the paired difference of their scores."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.ensemble.combine import nested
from lensfold.ensemble.members import read_oofs
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256, is_broken, sealed, write_json
from lensfold.leaderboard.rows import Problem, Row
from lensfold.paths import Pack
from lensfold.scoring.bootstrap import Floats, difference, drawn_estimates
from lensfold.scoring.out_of_fold import lens_task
from lensfold.scoring.radius import cross_fitted_radii, fitting_parts, radii_of_logs
from lensfold.scoring.ranking import Ranking
from lensfold.scoring.score_table import paired_table

#: draws behind a standard error: 100 give it to 7 %, and a pair of runs of 100,000 objects takes half a second
DRAWS = 100
#: settings that change how fast a result comes, never the result
IRRELEVANT = ("predict.batch_size", "train.workers")
#: changed modules that are named before the rest is only counted
MODULES_SHOWN = 4
#: the order in which changed settings are listed, by their first word; the others come last
ORDER = ("task", "label_rule", "learner", "pixels", "stage", "train", "augment", "predict")
#: scores of a ranking that are areas under a curve, which a few sums a draw give
AREAS = ("auc", "auc_large", *catalogs.SIZE_BIN_NAMES)


@dataclass(frozen=True)
class Difference:
    """A row's score minus that of the row above, over the ``n`` objects of both, with its bootstrap standard error."""

    value: float | None
    error: float | None
    n: int


def paired_differences(
    pack: Pack, rows: Sequence[Row], score: str, store: Path
) -> tuple[list[Difference | None], list[Problem]]:
    """Return for each row the difference to the row above it (None for the first), and which could not be compared.

    ``rows``: of one task and rule, trained on ``pack``. ``score``: "auc", the name of a size bin, any other score of
    `lensfold.scoring.score_table`, or "mse" for rows of Einstein radii. What ``store`` (a file, made where it is
    absent) has of the same out-of-fold files is not computed again.
    """
    kept = _read_store(store)
    catalog_hash = file_sha256(pack.catalog) if pack.catalog.is_file() else None
    oofs = _OutOfFold(pack)
    differences: list[Difference | None] = [None] * len(rows)
    reasons: list[Problem] = []
    is_new = False
    for place, (above, own) in enumerate(zip(rows, rows[1:], strict=False), start=1):
        if above.data_hash != own.data_hash:
            continue  # the page says so
        try:
            key = _pair_key(above, own, score)
            known = kept.get(key)
            if known is None or catalog_hash not in (None, known["catalog"]):
                if catalog_hash is None:
                    raise InputError(f"{pack.catalog.name} is not here")
                found = _difference(oofs, above, own, score)
                known = kept[key] = {"catalog": catalog_hash, **asdict(found)}
                is_new = True
            differences[place] = Difference(known["value"], known["error"], known["n"])
        except (InputError, OSError) as error:
            reasons.append(Problem(own.name, f"no paired difference to {above.name}: {error}"))
    if is_new:
        write_json(store, sealed(kept))
    return differences, reasons


def _read_store(path: Path) -> dict:
    """Differences computed before, by key; nothing where the file is absent or damaged: it is only a convenience."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if is_broken(kept):
            return {}
        return {key: one for key, one in kept.items() if set(one) == {"catalog", "value", "error", "n"}}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _pair_key(above: Row, own: Row, score: str) -> str:
    return digest(
        {
            "oof": [_oof_hash(above), _oof_hash(own)],
            "task": [above.scores.task, above.scores.rule, score],
            "draws": [DRAWS, _draws_haloes(above, own)],
        }
    )


def _oof_hash(row: Row) -> str:
    """Changes whenever the out-of-fold logits behind a row do."""
    files = [member.folder / f"fold{fold}" / "oof.csv" for member in row.members for fold in row.scores.folds]
    recipe = asdict(row.recipe) if row.recipe else None
    return digest({"files": [file_sha256(path) for path in files], "recipe": recipe})


def _draws_haloes(above: Row, own: Row) -> bool:
    return above.scores.draws_haloes or own.scores.draws_haloes


class _OutOfFold:
    """The catalog of a pack and the out-of-fold logits (columns logit, fold; index ID) of rows, each read once."""

    def __init__(self, pack: Pack):
        self._pack = pack
        self._tables: dict[str, pd.DataFrame] = {}

    @cached_property
    def catalog(self) -> pd.DataFrame:
        return catalogs.read_catalog(self._pack.catalog)

    def of(self, row: Row) -> pd.DataFrame:
        key = f"{row.is_run} {row.name}"
        if key not in self._tables:
            self._tables[key] = self._read(row)
        return self._tables[key]

    def _read(self, row: Row) -> pd.DataFrame:
        if row.recipe is None:
            table = row.members[0].oof()
            return table[table["fold"].isin(row.scores.folds)]
        logits, fold = read_oofs(row.members)
        labels = catalogs.labels(self.catalog, row.scores.rule).loc[logits.index].to_numpy()
        judged = nested(row.recipe, labels, logits.to_numpy(), fold.to_numpy())
        return pd.DataFrame({"logit": judged.logits, "fold": fold}, index=logits.index)


def _difference(oofs: _OutOfFold, above: Row, own: Row, score: str) -> Difference:
    """The paired difference over the objects that both rows have; InputError where there are none."""
    catalog, first, second = oofs.catalog, oofs.of(above), oofs.of(own)
    common = first.index.intersection(second.index).intersection(catalog.index)
    if not len(common):
        raise InputError("they have no object in common.")
    first, second, rule = first.loc[common], second.loc[common], own.scores.rule
    grouped = _draws_haloes(above, own)
    if own.scores.task == "einstein-radius":
        return _radius_difference(catalog, first, second, rule, grouped)
    return _lens_difference(catalog, first, second, rule, grouped, score)


def _lens_difference(
    catalog: pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame, rule: str, grouped: bool, score: str
) -> Difference:
    asked = lens_task(catalog, first.index, rule)
    first, second = first.loc[asked.ids], second.loc[asked.ids]
    groups = asked.haloes if grouped else None
    if score in AREAS:
        y, rows = asked.labels, np.arange(len(asked.ids))
        if score == "auc_large" and asked.large is not None:
            y, rows = asked.large, np.flatnonzero(np.isfinite(asked.large))
        elif score != "auc" and "size" not in asked.bins:
            raise InputError("the labels give no lens sizes.")
        elif score != "auc":
            in_bin = asked.bins["size"] == catalogs.SIZE_BIN_NAMES.index(score)
            rows = np.flatnonzero((y == 0) | in_bin)
        logits = [table["logit"].to_numpy() for table in (first, second)]
        return _area_difference(y, asked.labels, logits, rows, groups)
    one, two = ((table["logit"].to_numpy(), table["fold"].to_numpy()) for table in (first, second))
    paired: Any = paired_table(asked.labels, one, two, draws=DRAWS, groups=groups)[score]
    return Difference(paired["value"], paired["error"], len(asked.ids))


def _area_difference(
    y: Floats, labels: Floats, logits: Sequence[Floats], rows: np.ndarray, groups: np.ndarray | None
) -> Difference:
    """Of the AUC of ``rows`` under ``y``, over the draws that `paired_table` makes of ``labels``."""
    first, second = (Ranking.of(y, s, rows) for s in logits)

    def gain(weights: Floats) -> Floats:
        return second.weighted(weights).auc() - first.weighted(weights).auc()

    return _drawn(gain, [np.flatnonzero(labels == label) for label in (0, 1)], groups, len(rows))


def _radius_difference(
    catalog: pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame, rule: str, grouped: bool
) -> Difference:
    """Of the mean squared error in arcsec² of Einstein radii, on the lenses of the rule."""
    truth = np.exp(catalogs.log_einstein_radius(catalog)).loc[first.index]
    kept = (truth.notna() & (catalogs.labels(catalog, rule).loc[first.index] == 1)).to_numpy()
    haloes = catalogs.halo_groups(catalog).loc[first.index].to_numpy()[kept]
    radii, squares = truth.to_numpy()[kept], []
    for table in (first[kept], second[kept]):
        parts, _ = fitting_parts(table["fold"].to_numpy())
        predicted = cross_fitted_radii(radii, radii_of_logs(table["logit"]), parts)
        squares.append((predicted - radii) ** 2)
    gained = squares[1] - squares[0]

    def gain(weights: Floats) -> Floats:
        return weights @ gained / weights.sum(axis=1)

    return _drawn(gain, [np.arange(len(radii))], haloes if grouped else None, len(radii))


def _drawn(
    gain: Callable[[Floats], Floats], strata: Sequence[np.ndarray], groups: np.ndarray | None, n: int
) -> Difference:
    """``gain`` of all rows of the strata once, with the standard deviation of its bootstrap draws."""
    size = sum(map(len, strata))
    units = None if groups is None else np.unique(groups, return_inverse=True)[1]
    drawn = drawn_estimates(lambda weights: {"gain": gain(weights)}, strata, units, size, DRAWS, 0)
    found = difference(gain(np.ones((1, size))), drawn["gain"])
    return Difference(found["value"], found["error"], n)


def settings_changes(above: dict, own: dict) -> list[str]:
    """Return the settings of one experiment that differ from another's, as ``dotted.key old → new``."""
    one, two = _flat(above), _flat(own)
    changes = []
    stages = [len(settings.get("stage") or ()) for settings in (above, own)]
    if stages[0] != stages[1]:
        changes.append(f"stages {stages[0]} → {stages[1]}")
    for key in sorted(dict.fromkeys([*one, *two]), key=_rank):
        of_one_stage = key.startswith("stage.") and (key in one) != (key in two)
        if key not in IRRELEVANT and not of_one_stage and one.get(key) != two.get(key):
            changes.append(f"{key} {_shown(one, key)} → {_shown(two, key)}")
    return changes


def _rank(key: str) -> int:
    first = key.split(".")[0]
    return ORDER.index(first) if first in ORDER else len(ORDER)


def _flat(values: object, prefix: str = "") -> dict[str, object]:
    """Nested values by dotted key; lists of tables by number, from 0."""
    items: Iterable[tuple[object, object]]
    if isinstance(values, dict):
        items = values.items()
    elif isinstance(values, list | tuple) and values and isinstance(values[0], dict):
        items = enumerate(values)
    else:
        return {prefix: values}
    flat: dict[str, object] = {}
    for key, value in items:
        flat.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _shown(flat: dict[str, object], key: str) -> str:
    if key not in flat:
        return "absent"
    value = flat[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def code_changes(above: dict | None, own: dict | None) -> str | None:
    """Return how the code of one training differs from another's; None where it is the same or neither kept it."""
    if not above and not own:
        return None
    if not above or not own:
        return "code of one of them not recorded"
    one, two = above["modules"], own["modules"]
    changed = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    if not changed:
        return None
    more = [f"and {len(changed) - MODULES_SHOWN} more modules"] if len(changed) > MODULES_SHOWN else []
    return f"code changed: {', '.join([*changed[:MODULES_SHOWN], *more])}"
