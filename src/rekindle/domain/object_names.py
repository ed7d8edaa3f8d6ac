"""Names of objects below a prefix, and what of them may become a path."""

from __future__ import annotations

from collections.abc import Iterable

from rekindle.domain.errors import InvalidValue
from rekindle.domain.texts import unwanted

#: S3's limit on a key, in bytes of UTF-8.
MAX_KEY_BYTES = 1024
#: The longest name of a file that file systems allow, in bytes.
MAX_PART_BYTES = 255


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
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise InvalidValue("uri", uri, f"the object {name!r} has a name that is no path of a file", code="names")
    if any(len(part.encode(errors="surrogatepass")) > MAX_PART_BYTES for part in parts):
        reason = f"the object {name!r} has a name that is too long for a file: at most {MAX_PART_BYTES} bytes between two '/'"
        raise InvalidValue("uri", uri, reason, code="names")
    return name


def check_is_text(uri: str) -> None:
    """Raises InvalidValue where a file would be an object whose key is no text: its name may be any bytes, a key is UTF-8."""
    if unwanted(uri):
        reason, hint = "the file's name is not UTF-8, as the key of an object has to be", "Give the file another name."
        raise InvalidValue("uri", uri, reason, hint, code="names")


def check_names(names: Iterable[str], uri: str) -> None:
    """Whether objects can be files of one folder under these names. Raises InvalidValue, naming the first that cannot."""
    check_side_by_side((checked_relative(name, uri) for name in names), uri)


def check_side_by_side(names: Iterable[str], uri: str) -> None:
    """The same of names that are paths of files each by itself."""
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        above = [name[:end] for end, character in enumerate(name) if character == "/"]
        if name in folders or not files.isdisjoint(above):
            raise in_the_way(name, uri)
        if name in files:
            # Of the prefix `data/a`, the objects `data/a/a.csv` and `data/a.csv`: one would take the other's place unseen.
            reason = f"two objects would be the file {name!r}"
            raise InvalidValue("uri", uri, reason, "End the prefix in '/', or list the objects in a manifest.", code="names")
        files.add(name)
        folders.update(above)


def in_the_way(name: str, uri: str) -> InvalidValue:
    """What there is to say of an object where another is in the way: a store may have ``a`` and ``a/b``, a file system not."""
    reason = f"the object {name!r} cannot be a file beside the others: the name of one goes on where that of another ends"
    hint = "Name a prefix with one of them, or list the objects in a manifest."
    return InvalidValue("uri", uri, reason, hint, code="names")
