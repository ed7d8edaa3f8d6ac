"""From the bytes of a JSON file to a dictionary: strictly, and never deeper or larger than a job file may be."""

from __future__ import annotations

import json
from typing import Any

from rekindle.domain.errors import shown
from rekindle.domain.texts import unwanted
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.reader import decode


def read_json(data: bytes) -> dict[str, Any]:
    """The object in a JSON file. Raises JobFileError, with the line where there is one."""
    text = decode(data)
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_not_finite)
        _check_texts(found, "")
    except json.JSONDecodeError as error:
        raise JobFileError(f"not valid JSON: {error.msg}", line=error.lineno) from error
    except RecursionError as error:
        raise JobFileError("not valid JSON: nested too deep") from error
    except ValueError as error:  # a number with thousands of digits
        raise JobFileError(f"not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise JobFileError(f"a request is a JSON object, not {shown(found, 40)}")
    return found


def _check_texts(value: Any, path: str) -> None:
    """Refuses what no file, environment or database can hold."""
    if isinstance(value, str):
        bad = unwanted(value)
        if bad:
            raise JobFileError(f"{path}: {shown(value)}: the character {shown(bad)} may not stand here")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_texts(key, path or "a key")
            _check_texts(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            _check_texts(inner, f"{path}.{number}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JobFileError(f"{shown(key)}: the key is there twice")
        found[key] = value
    return found


def _not_finite(word: str) -> float:
    raise JobFileError(f"{word}: not a finite number")
