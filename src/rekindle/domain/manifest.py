"""Manifests: inputs that are lists of objects, as SageMaker has them.

A manifest is a JSON document ``[{"prefix": "s3://bucket/some/prefix/"}, "relative/path-1", "relative/path-2", ...]``: each
text, put behind the prefix, is the URI of one object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from rekindle.domain.errors import InvalidValue
from rekindle.domain.object_names import check_side_by_side, checked_relative

#: How long a manifest may be, in bytes: some hundred thousand names.
MAX_BYTES = 64 << 20
#: What marks, towards whoever fetches inputs, a URI as that of a manifest.
MARK = "manifest+"


@dataclass(frozen=True)
class Manifest:
    """What a manifest lists: the URIs are ``prefix + name``, and ``name`` is where the object goes in the channel's folder."""

    prefix: str
    names: tuple[str, ...]


def parse_manifest(content: bytes, uri: str) -> Manifest:
    """The manifest at ``uri``. Raises InvalidValue, saying what is wrong with it."""
    try:
        items = json.loads(content)
    except ValueError as error:
        raise _broken(uri, f"it is no JSON document ({error})") from error
    except RecursionError as error:
        raise _broken(uri, "it is nested too deeply") from error
    if not isinstance(items, list) or not items:
        raise _broken(uri, "it is no list")
    first, *names = items
    prefix = first.get("prefix") if isinstance(first, dict) else None
    if not isinstance(prefix, str) or not prefix.startswith("s3://") or not prefix.removeprefix("s3://").strip("/"):
        raise _broken(uri, 'its first element is not of the form {"prefix": "s3://bucket/..."}')
    if not names:
        raise _broken(uri, "it lists no object")
    for number, name in enumerate(names, start=2):
        if not isinstance(name, str) or not name:
            raise _broken(uri, f"element {number} is not the name of an object")
        try:
            checked_relative(name, uri)
        except InvalidValue as error:
            raise _broken(uri, f"element {number}: {error.reason}") from error
    try:
        check_side_by_side(dict.fromkeys(names), uri)
    except InvalidValue as error:
        raise _broken(uri, error.reason) from error
    return Manifest(prefix, tuple(names))


def _broken(uri: str, reason: str) -> InvalidValue:
    hint = 'Write [{"prefix": "s3://bucket/prefix/"}, "name-1", "name-2"].'
    return InvalidValue("uri", uri, f"not a manifest: {reason}", hint, code="manifest")
