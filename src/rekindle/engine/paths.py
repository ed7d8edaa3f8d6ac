"""Paths that people write: in settings, in job files, in lists of receivers and of images, in URIs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from rekindle.domain.errors import InvalidValue


def with_home(text: str, field: str) -> Path:
    """The path with ``~`` and ``~user`` as the home folders they stand for. Raises InvalidValue for an unknown user."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        # A folder whose own name starts with ~ can only be told from a user's home folder by what stands before it.
        hint = "Write the whole path, or ./~... for a folder of that name."
        raise InvalidValue(field, text, "no user's home folder is known by this name", hint) from error


def host_in(uri: str) -> str:
    """What stands in a URI before its path, a host or a bucket, whatever that is: of ``[BUCKET]``, as examples have it,
    ``urlsplit`` raises a ValueError."""
    return uri.partition("://")[2].partition("/")[0]


def path_in(uri: str) -> str:
    """The path that a ``file://`` URI names, which need not be text."""
    return unquote(urlsplit(uri).path, errors="surrogateescape")
