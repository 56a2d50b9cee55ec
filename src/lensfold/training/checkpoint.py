"""A training between two epochs, on disk: every variable of network and optimiser, and the epochs so far."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lensfold.files import replacing


def save_checkpoint(path: Path, variables: Sequence[keras.Variable], history: list[dict], config_hash: str) -> None:
    """Write the values of ``variables`` in their order, the epochs so far and the settings they belong to."""
    state: dict[str, Any] = {f"variable_{index}": np.asarray(variable) for index, variable in enumerate(variables)}
    state["history"] = np.array(json.dumps(history))
    state["config_hash"] = np.array(config_hash)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **state)


def read_history(path: Path, config_hash: str) -> list[dict]:
    """Return the epochs that a checkpoint was written after.

    Raises ValueError where it belongs to other settings, and whatever numpy raises on a damaged file.
    """
    with np.load(path, allow_pickle=False) as state:
        if str(state["config_hash"]) != config_hash:
            raise ValueError("it belongs to other settings")
        return json.loads(str(state["history"]))


def restore_variables(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Give ``variables`` the values of a checkpoint; ValueError where it was made of other variables."""
    with np.load(path, allow_pickle=False) as state:
        values = [state[f"variable_{index}"] for index in range(len(variables))]
        if f"variable_{len(variables)}" in state or any(
            value.shape != tuple(variable.shape) for value, variable in zip(values, variables, strict=True)
        ):
            raise ValueError("it was made with another network or optimiser")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
