"""Names of objects below a prefix, and what of them may become a path."""

from __future__ import annotations

from rekindle.domain.errors import InvalidValue


def relative(key: str, prefix: str) -> str:
    """Where an object of a prefix goes, as SageMaker has it.

    A prefix is a mere string: ``data/train`` is the folder of that name, and also a start of ``data/train-2/x``, which
    keeps its name from the prefix's last ``/`` on. A key that is the prefix keeps its last part. Folder marks (keys that
    end in ``/``) are nothing: an empty name.
    """
    if key.endswith("/"):
        return ""
    rest = key[len(prefix) :]
    if prefix.endswith("/") or not prefix:
        return rest
    return rest[1:] if rest.startswith("/") else key[prefix.rfind("/") + 1 :]


def checked_relative(name: str, uri: str) -> str:
    """``name``, if it stays below the folder that it is joined to. Raises InvalidValue."""
    if name.startswith("/") or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise InvalidValue("uri", uri, f"the object {name!r} has a name that is no path of a file")
    return name
