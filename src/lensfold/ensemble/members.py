"""Runs proven to fit together: one task, the same folds, data and label rule."""

import re
from collections.abc import Collection, Sequence

import pandas as pd

from lensfold.config import Task
from lensfold.errors import InputError
from lensfold.runs.run import Run, aligned


def check_task(members: Sequence[Run], task: Task) -> None:
    """Raise InputError unless all members learned ``task``, on the pack that they are filed under."""
    for member in members:
        member.check_pack()
        found = member.task
        if found != task:
            advice = {
                "lens": f'A [[member]] finds lenses. Write radius = ["{member.name}"] above the first [[member]].',
                "einstein-radius": f'radius lists runs that predict Einstein radii. Make "{member.name}" a [[member]].',
            }[task]
            raise InputError(f'{member.folder}: task = "{found}", expected "{task}". {advice}')


def read_oofs(members: Sequence[Run]) -> tuple[pd.DataFrame, pd.Series]:
    """Return the out-of-fold logits of all members, a column each in their order, and the folds; both by ID, ascending.

    Raises InputError unless all have the same objects in the same folds.
    """
    parts = [member.oof() for member in members]
    for member, part in zip(members, parts, strict=True):
        different = parts[0].index.symmetric_difference(part.index)
        if not len(different):
            different = part.index[(part["fold"] != parts[0]["fold"]).to_numpy()]
        if len(different):
            raise InputError(
                f"{member.folder}: its out-of-fold logits are not of the objects and folds of {members[0].folder} "
                f"({len(different)} differ, first: ID {different[0]}). Train the folds that are missing: "
                f"make train EXPERIMENT={member.name}."
            )
    return aligned([part["logit"] for part in parts], "ensemble"), parts[0]["fold"]


def check_oof(member: Run, oof: pd.DataFrame, folds: pd.Series, present: Collection[int] | None) -> None:
    """Raise InputError unless the out-of-fold logits are those of all objects of their folds that are ``present``.

    ``folds``: fold of every catalog ID. ``present``: IDs with usable images; None where that is not known.
    """
    expected = folds.index[folds.isin(oof["fold"].unique())]
    expected = expected.intersection(oof.index if present is None else pd.Index(present))
    missing = expected.symmetric_difference(oof.index)
    if len(missing) or not (folds.loc[oof.index] == oof["fold"]).all():
        first = (
            missing[0] if len(missing) else oof.index[int((folds.loc[oof.index] != oof["fold"]).to_numpy().argmax())]
        )
        raise InputError(
            f"{member.folder}: out-of-fold logits do not match the folds (first: ID {first}). Train again."
        )


def short(text: str) -> str:
    """Return a hash by its first digits, and any other text as it is."""
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def check_common_folds(members: Sequence[Run]) -> None:
    """Raise InputError unless all members share folds, data, label rule and labels."""
    first = members[0]
    for member in members[1:]:
        for key, found, expected in (
            ("folds", member.config["folds_hash"], first.config["folds_hash"]),
            ("data", member.config["data_hash"], first.config["data_hash"]),
            ("label rule", member.label_rule, first.label_rule),
            ("labels", member.config["labels_hash"], first.config["labels_hash"]),
        ):
            if found != expected:
                raise InputError(
                    f"{member.folder}: its {key} ({short(found)}) is not that of {members[0].folder} "
                    f"({short(expected)}). "
                    "Members of one submission must share folds, data and rule: train them again."
                )
