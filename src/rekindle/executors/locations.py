"""URIs of data: paths of this machine, or objects that somebody must fetch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.engine.paths import host_in, path_in


def is_remote(uri: str) -> bool:
    """Whether a URI names objects (``s3://``) and not files of this machine."""
    return uri.startswith("s3://")


def local_path(uri: str, field: str) -> Path:
    """The path that a ``file://`` URI or an absolute path names. Raises InvalidValue, and Unsupported for other schemes."""
    scheme, found, _ = uri.partition("://")
    if found and scheme != "file":
        message = f"{field}: {uri!r}: data can be at file:// and s3:// only."
        raise Unsupported(message, "Copy it to one of them first.", field)
    if found:
        if host_in(uri) not in ("", "localhost"):
            raise InvalidValue(field, uri, "a file URI names this machine only", "Write file:///path.")
        path = Path(path_in(uri))
    else:
        path = Path(uri)
    if not path.is_absolute():
        raise InvalidValue(field, uri, "not an absolute path")
    return path


def matching(path: Path) -> list[Path]:
    """What a local path stands for, as an S3 prefix does: the folder or file itself, else all whose names start so. A link that
    leads nowhere is nothing, and so is what this user may not look for."""
    return sorted(_found(path))


def matches(path: Path) -> bool:
    """Whether a local path stands for anything: there may be a million files of a prefix."""
    return any(_found(path))


def _found(path: Path) -> Iterator[Path]:
    # Not Path.exists: that raises an error for a name that is too long, and in a folder that is closed to us.
    if os.path.exists(path):
        yield path
        return
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        yield from (Path(e.path) for e in entries if e.name.startswith(path.name) and os.path.exists(e.path))
