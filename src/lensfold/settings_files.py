"""Settings from TOML files and from plain values, with errors that name file and key."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from lensfold.config import Settings
from lensfold.errors import InputError

SettingsType = TypeVar("SettingsType", bound=Settings)


def read_toml(path: Path, kind: type[SettingsType]) -> SettingsType:
    """Settings of ``kind`` from a TOML file.

    Raises InputError naming the file, the key, what was found and what is expected.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        present = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml"))) or "none"
        raise InputError(f"{path}: cannot be read ({error.strerror}). Files there: {present}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    return validated(content, kind, path)


def validated(content: dict, kind: type[SettingsType], source: Path) -> SettingsType:
    """Settings of ``kind`` from plain values; InputError names ``source`` and every offending key."""
    try:
        # through JSON, because strict JSON mode takes arrays for tuples and nothing else loosely
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_describe(e) for e in error.errors())) from error


def _describe(error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(the whole file)"
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}; compare with the settings in src/lensfold/config.py"
    if error["type"] == "missing":
        return f"key {key!r} is needed and absent"
    if not error["loc"]:  # of several keys together: what was found is the whole file
        return error["msg"]
    return f"{key!r}: {error['msg']}, found {error['input']!r}"


def digest(content: dict) -> str:
    """SHA-256 (hex) of plain values in canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
