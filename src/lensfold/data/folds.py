"""Which fold each catalog object belongs to. Folds have every ID and do not depend on a label rule."""

import hashlib
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.errors import InputError
from lensfold.files import check_file, replacing
from lensfold.paths import LABELS

HEADER = "ID,fold"
#: The separate lensed images of an object are counted up to this number when strata are formed.
MOST_IMAGES = 3

_PURPOSE = zlib.crc32(b"folds")
_ROW = re.compile(r"\d{1,18},\d{1,9}", re.ASCII)


def make_folds(catalog: pd.DataFrame, k: int, seed: int, group: bool = False) -> pd.Series:
    """Divide a catalog into ``k`` folds, stratified on size bin, n_source_im (up to 3) and n_sources.

    Labels of the user's own are stratified on the label, and on the size where it is known. With ``group`` all objects
    of one halo fall into the same fold. Returns a Series "fold" (int64, 0 to
    k - 1) indexed by ID, ascending, each catalog ID once. The row order of ``catalog`` does not matter.
    Labels of the user's own with fewer lenses or non-lenses than folds (with ``group`` fewer groups that have one) are
    not divided: all are in fold 0, see `is_undivided`. Raises InputError for k < 2, and where a catalog has fewer.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import, only needed here

    if k < 2:
        raise InputError(f"k = {k} folds: at least 2 are needed, one to train on and one to score.")
    catalog = catalog.sort_index()
    haloes = catalogs.halo_groups(catalog).to_numpy() if group else None
    if catalogs.is_given(catalog) and too_few(catalog, k, group):
        return pd.Series(0, index=pd.Index(catalog.index, name="ID"), name="fold")
    if problem := too_few(catalog, k, group):
        raise InputError(f"{problem}. Take fewer folds (k in folds/folds.toml) or more objects.")
    strata = _strata(catalog, k)
    state = int(np.random.SeedSequence([seed, _PURPOSE]).generate_state(1)[0])
    splitter = (StratifiedGroupKFold if group else StratifiedKFold)(k, shuffle=True, random_state=state)
    fold = np.full(len(catalog), -1, dtype=np.int64)
    for number, (_, rows) in enumerate(splitter.split(strata, strata, haloes)):
        fold[rows] = number
    _check_filled(fold, k)
    return pd.Series(fold, index=pd.Index(catalog.index, name="ID"), name="fold")


def is_undivided(folds: pd.Series) -> bool:
    """Return whether there is one fold only: a network is trained on all of its objects, and none is held out."""
    return int(folds.max()) == 0


def write_folds(path: Path | str, folds: pd.Series) -> None:
    """Write ``ID,fold`` rows, ascending by ID; a reader never meets a half-written file."""
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(_canonical(folds))


def read_folds(path: Path | str, catalog: pd.DataFrame) -> pd.Series:
    """Read a folds file and check it against the catalog that it divides.

    Returns a Series "fold" (int64) indexed by ID, ascending. Raises InputError for a wrong header or row, an
    ID that is doubled, missing or not in the catalog, and for fold numbers other than 0 to k - 1, where k is 2 or
    more, or 1 of labels of the user's own.
    """
    path = Path(path)
    lines = _read_lines(path)
    if not lines or lines[0].strip() != HEADER:
        first = lines[0][:60] if lines else ""
        raise InputError(f"{path}, line 1: found {first!r}, expected the header {HEADER!r}. Run `make folds`.")
    rows = np.array([_read_row(path, i, text) for i, text in enumerate(lines[1:], 2)], dtype=np.int64)
    rows = rows.reshape(-1, 2)
    folds = pd.Series(rows[:, 1], index=pd.Index(rows[:, 0], name="ID"), name="fold")
    _check_ids(path, folds, catalog)
    found = np.unique(folds)
    if len(found) < 2 - catalogs.is_given(catalog) or not np.array_equal(found, np.arange(len(found))):
        raise InputError(
            f"{path}: fold numbers are {', '.join(map(str, found[:20]))}; expected 0, 1, ... without a gap, "
            "at least two. Run `make folds` again."
        )
    return folds.sort_index()


def folds_hash(folds: pd.Series) -> str:
    """Return the SHA-256 (hex) of the folds as `write_folds` writes them; row order does not matter."""
    return hashlib.sha256(_canonical(folds)).hexdigest()


def strata_table(catalog: pd.DataFrame, folds: pd.Series) -> list[dict[str, object]]:
    """Return rows for printing: one per fold and a last one, "all".

    Keys: ``fold`` (int or "all"), ``n``; per label rule its name with the share of lenses among the labelled
    objects (None where none is labelled); where sizes are known, per size bin its name with a count; where objects
    share haloes ``largest_halo``, the share of the fold's objects that its most frequent halo has, and
    ``shared_haloes``, the share of its objects whose halo also occurs in another fold (0 for grouped folds).
    """
    folds = folds.reindex(catalog.index)
    table = pd.DataFrame({rule: catalogs.labels(catalog, rule) for rule in catalogs.rules_of(catalog)})
    if catalogs.has_sizes(catalog):
        table["bin"] = catalogs.size_bins(catalog)
    if catalogs.has_groups(catalog) or not catalogs.is_given(catalog):
        table["halo"] = catalogs.halo_groups(catalog)
        table["shared"] = folds.groupby(table["halo"]).transform("nunique") > 1
    rules = catalogs.rules_of(catalog)
    rows = [_strata_row(int(number), table[folds == number], rules) for number in np.unique(folds)]
    return [*rows, _strata_row("all", table, rules)]


def strata_counts(catalog: pd.DataFrame, folds: pd.Series) -> pd.DataFrame:
    """Return objects by stratum (rows: lens size, lensed images, source put in) and fold (columns).

    Of the user's own labels the rows are the label, and the lens size where it is known of any object.
    """
    if catalogs.is_given(catalog):
        return _given_counts(catalog, folds)
    images = np.clip(catalog["n_source_im"].to_numpy(), 0, MOST_IMAGES).astype(int)
    sizes = catalogs.size_bins(catalog).tolist()
    strata = pd.DataFrame(
        {
            "size": pd.Categorical.from_codes(sizes, pd.Index(catalogs.SIZE_BIN_NAMES), ordered=True),
            "images": [f"{count}+" if count == MOST_IMAGES else f"{count}" for count in images],
            "source": np.where(catalog["n_sources"].to_numpy() > 0, "yes", "no"),
            "fold": folds.reindex(catalog.index).to_numpy(),
        }
    )
    return strata.groupby(["size", "images", "source", "fold"], observed=True).size().unstack("fold", fill_value=0)


def _given_counts(catalog: pd.DataFrame, folds: pd.Series) -> pd.DataFrame:
    label = catalogs.labels(catalog, catalogs.GIVEN).map({1.0: "lens", 0.0: "non-lens"}).fillna("undecided")
    strata = pd.DataFrame({"label": label, "fold": folds.reindex(catalog.index)})
    if catalogs.has_sizes(catalog):
        names = ("unknown", *catalogs.SIZE_BIN_NAMES)
        codes = (catalogs.size_bins(catalog) + 1).tolist()
        strata["size"] = pd.Categorical.from_codes(codes, pd.Index(names), ordered=True)
    rows = [name for name in ("label", "size") if name in strata]
    return strata.groupby([*rows, "fold"], observed=True).size().unstack("fold", fill_value=0)


def imbalance(catalog: pd.DataFrame, folds: pd.Series) -> str | None:
    """Return why the folds differ in size, in words; None where the largest has at most 1 % more than the smallest."""
    counts = np.bincount(folds)
    if counts.max() <= 1.01 * counts.min():
        return None
    haloes = catalogs.halo_groups(catalog)
    share = haloes.value_counts(normalize=True)
    row = catalog.loc[haloes.index[haloes == share.index[0]][0]]
    halo = f"halo (z_lens {row['z_lens']:g}, halo_mass {row['halo_mass']:g})"
    return (
        f"The folds have {counts.min()} to {counts.max()} objects. The largest "
        f"{'group' if catalogs.is_given(catalog) else halo} has {share.iloc[0]:.1%} of all objects, and a grouped fold "
        f"cannot split it; an equal fold would have {1 / len(counts):.1%}. Fewer folds make it matter less."
    )


def _strata_row(name: int | str, part: pd.DataFrame, rules: Sequence[str]) -> dict[str, object]:
    row: dict[str, object] = {"fold": name, "n": len(part)}
    for rule in rules:
        labelled = part[rule].dropna()
        row[rule] = float(labelled.mean()) if len(labelled) else None
    if "bin" in part:
        counts = np.bincount(part["bin"][part["bin"] >= 0], minlength=len(catalogs.SIZE_BIN_NAMES))
        row.update({bin_name: int(n) for bin_name, n in zip(catalogs.SIZE_BIN_NAMES, counts, strict=True)})
    if "halo" in part:
        row["largest_halo"] = float(part["halo"].value_counts(normalize=True).iloc[0])
        row["shared_haloes"] = float(part["shared"].mean())
    return row


def _strata(catalog: pd.DataFrame, k: int) -> np.ndarray:
    """Return the stratum of each object (int64), each with at least ``k`` members.

    Objects of a rare stratum are pooled with those of other rare ones that agree in size bin and n_sources,
    then in n_sources only, then with all; what is left over joins the most frequent stratum.
    """
    size, images, sources = _qualities(catalog)
    stratum = _number(0, size, images, sources)
    kept: tuple[tuple[np.ndarray | int, np.ndarray | int], ...] = ((size, sources), (0, sources), (0, 0))
    for level, (kept_size, kept_sources) in enumerate(kept, 1):
        rare = _rare(stratum, k)
        stratum[rare] = np.broadcast_to(_number(level, kept_size, 0, kept_sources), stratum.shape)[rare]
    _, numbers, counts = np.unique(stratum, return_inverse=True, return_counts=True)
    numbers[counts[numbers] < k] = np.argmax(counts)
    return numbers


def _qualities(catalog: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return size bin, lensed images and whether there is a source, int64; in their place, of the user's own labels,
    1 where the graders were undecided, and whether it is a lens."""
    size = catalogs.size_bins(catalog).to_numpy()
    if catalogs.is_given(catalog):
        label = catalogs.labels(catalog, catalogs.GIVEN)
        return size, label.isna().to_numpy(dtype=np.int64), (label == 1).to_numpy(dtype=np.int64)
    images = np.clip(catalog["n_source_im"].to_numpy(), 0, MOST_IMAGES).astype(np.int64)
    return size, images, (catalog["n_sources"].to_numpy() > 0).astype(np.int64)


def _number(level: int, size: np.ndarray | int, images: np.ndarray | int, sources: np.ndarray | int) -> np.ndarray:
    """Return one whole number for a stratum: sorting a million of them is much faster than sorting rows of four."""
    return np.asarray(((np.int64(level) * 100 + size) * 100 + images) * 2 + sources)


def _rare(stratum: np.ndarray, k: int) -> np.ndarray:
    _, numbers, counts = np.unique(stratum, return_inverse=True, return_counts=True)
    return counts[numbers] < k


def too_few(catalog: pd.DataFrame, k: int, group: bool) -> str:
    """Return in words why a catalog cannot be divided into ``k`` folds; "" where each can have both classes."""
    haloes = catalogs.halo_groups(catalog).to_numpy() if group else None
    is_given, rule = catalogs.is_given(catalog), catalogs.rules_of(catalog)[-1]
    label = catalogs.labels(catalog, rule).to_numpy()
    unit = "" if haloes is None else "groups with " if is_given else "haloes with "
    source = LABELS if is_given else f"by {rule} the catalog"
    counts = [
        int(np.sum(label == value)) if haloes is None else len(np.unique(haloes[label == value]))
        for value in (1.0, 0.0)
    ]
    if min(counts) >= k:
        return ""
    return (
        f"{k} folds need at least {k} {unit}lenses and {unit}non-lenses; {source} has "
        f"{counts[0]} {unit}lenses and {counts[1]} {unit}non-lenses"
    )


def _check_filled(fold: np.ndarray, k: int) -> None:
    counts = np.bincount(fold, minlength=k)
    if counts.min() == 0:
        raise InputError(
            f"the haloes cannot be divided into {k} folds: objects per fold would be "
            f"{', '.join(map(str, counts))}. Take fewer folds, or folds that are not grouped."
        )


def _canonical(folds: pd.Series) -> bytes:
    ordered = folds.sort_index()
    rows = [f"{object_id},{fold}\n" for object_id, fold in zip(ordered.index, ordered, strict=True)]
    return (HEADER + "\n" + "".join(rows)).encode("ascii")


def _read_lines(path: Path) -> list[str]:
    try:
        check_file(path)
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no folds yet. Run `make folds`.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the folds cannot be read ({error}).") from error


def _read_row(path: Path, line: int, text: str) -> tuple[int, int]:
    if not _ROW.fullmatch(text.strip()):
        raise InputError(f"{path}, line {line}: found {text[:60]!r}, expected an ID and a fold number, as in 200001,0.")
    object_id, fold = text.split(",")
    return int(object_id), int(fold)


def _check_ids(path: Path, folds: pd.Series, catalog: pd.DataFrame) -> None:
    problems = (
        ("doubled", folds.index[folds.index.duplicated()].unique()),
        ("not in the catalog", folds.index.difference(catalog.index)),
        ("missing", catalog.index.difference(folds.index)),
    )
    for problem, ids in problems:
        if len(ids):
            shown = ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
            raise InputError(
                f"{path}: {len(ids)} of the IDs {problem}: {shown}. Do the folds belong to this pack? "
                "Run `make folds` again."
            )
