"""What all settings have in common, and how they are read from a TOML file."""

import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from lensfold.errors import InputError


class Settings(BaseModel):
    """Base of all settings: frozen, strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


SettingsType = TypeVar("SettingsType", bound=Settings)


def read_toml(path: Path, kind: type[SettingsType]) -> SettingsType:
    """Return the settings of ``kind`` in a TOML file.

    Raises InputError naming the file, the key, what was found and what is expected.
    """
    if path.exists() and not path.is_file():  # a pipe would never answer
        raise InputError(f"{path}: a folder, pipe or device, expected a file of settings.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        present = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml"))) or "none"
        raise InputError(f"{path}: cannot be read ({error.strerror}). Files there: {present}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    return validated(content, kind, path)


def validated(content: dict[str, Any], kind: type[SettingsType], source: Path) -> SettingsType:
    """Return the settings of ``kind`` in plain values; InputError names ``source`` and every offending key."""
    try:
        # through JSON, because strict JSON mode takes arrays for tuples and nothing else loosely
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_describe(e) for e in error.errors())) from error


def _describe(error: ErrorDetails) -> str:
    """Return one problem as a phrase that names the key and what was found."""
    place = error["loc"]
    if place[:1] == ("learner",):  # pydantic puts the kind of learner behind it, which is no key of the file
        place = ("learner", *place[2:])
    key = ".".join(str(part) for part in place) or "(the whole file)"
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}; docs/experiments.md lists the settings"
    if error["type"] == "missing":
        return f"key {key!r} is needed and absent"
    if not error["loc"]:  # of several keys together: what was found is the whole file
        return error["msg"]
    return f"{key!r}: {error['msg']}, found {error['input']!r}"
