"""Paths that people write: in settings, in job files, in lists of receivers and of images, in URIs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from rekindle.domain.errors import InvalidValue

#: More than anybody writes into a file of settings. ``/dev/zero`` has no end.
_MAX_BYTES = 1 << 20


def with_home(text: str, field: str) -> Path:
    """The path with ``~`` and ``~user`` as the home folders they stand for. Raises InvalidValue for an unknown user."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        # A folder whose own name starts with ~ can only be told from a user's home folder by what stands before it.
        hint = "Write the whole path, or ./~... for a folder of that name."
        raise InvalidValue(field, text, "no user's home folder is known by this name", hint) from error


def text_of_setting(path: Path, setting: str) -> str:
    """What stands in a file that a setting names. Raises InvalidValue, naming both."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        hint = "Name a file that is there and that you may read."
        raise InvalidValue(setting, str(path), f"cannot be read: {error.strerror}", hint) from error
    if len(content) > _MAX_BYTES:
        hint = "Name the file that you wrote for it."
        raise InvalidValue(setting, str(path), f"longer than {_MAX_BYTES:,} bytes", hint)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidValue(path.name, str(path), f"cannot be read: {error}", "Save it as UTF-8.") from error


def host_in(uri: str) -> str:
    """What stands in a URI before its path, a host or a bucket, whatever that is: of ``[BUCKET]``, as examples have it,
    ``urlsplit`` raises a ValueError."""
    return uri.partition("://")[2].partition("/")[0]


def path_in(uri: str) -> str:
    """The path that a ``file://`` URI names, which need not be text."""
    return unquote(urlsplit(uri).path, errors="surrogateescape")
