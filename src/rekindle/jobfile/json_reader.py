"""From the bytes of a JSON file to a dictionary: strictly, and never deeper or larger than a job file may be."""

from __future__ import annotations

import json
from typing import Any

from rekindle.domain.errors import shown
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.reader import decode


def read_json(data: bytes) -> dict[str, Any]:
    """The object in a JSON file. Raises JobFileError, with the line where there is one."""
    text = decode(data)
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        raise JobFileError(f"not valid JSON: {error.msg}", line=error.lineno) from error
    except RecursionError as error:
        raise JobFileError("not valid JSON: nested too deep") from error
    except ValueError as error:  # a number with thousands of digits
        raise JobFileError(f"not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise JobFileError(f"a request is a JSON object, not {shown(found, 40)}")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JobFileError(f"{shown(key)}: the key is there twice")
        found[key] = value
    return found


def _not_finite(word: str) -> float:
    raise JobFileError(f"{word}: not a finite number")
