"""Keys in S3's order, page by page, straight from the folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rekindle.s3.files import ABSENT
from rekindle.s3.names import CONTINUED, DISPLACED, Names

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    #: The segment; a folder's ends with a slash. Sorting by it is sorting by key, as no other segment holds a slash.
    name: str
    path: str


def _level(folder: str, names: Names) -> list[_Entry]:
    found = {entry.name: entry for entry in _scan(folder, names, ())}
    return [found[name] for name in sorted(found)]


def _scan(folder: str, names: Names, outer: tuple[str, ...]) -> Iterator[_Entry]:
    try:
        entries = os.scandir(folder)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return
    with entries:
        for entry in entries:
            yield from _read(entry, names, outer)


def _read(entry: os.DirEntry[str], names: Names, outer: tuple[str, ...]) -> Iterator[_Entry]:
    is_folder = entry.is_dir(follow_symlinks=False)
    if is_folder and entry.name.endswith(CONTINUED):
        yield from _scan(entry.path, names, (*outer, entry.name.removesuffix(CONTINUED)))
    elif is_folder and (text := names.text((*outer, entry.name))) is not None:
        yield _Entry(text + "/", entry.path)
    elif entry.is_file(follow_symlinks=False) and (text := names.text(_leaf(outer, entry.name))) is not None:
        yield _Entry(text, entry.path)


def _leaf(outer: tuple[str, ...], name: str) -> tuple[str, ...]:
    return (*outer, name.removesuffix(DISPLACED) if len(name) > len(DISPLACED) else name)


def _some_key(base: str, folder: str, names: Names) -> str | None:
    """Any key in a folder: found without reading all of it, unless the way down that comes first ends in an empty folder, as
    people leave them."""
    first, inside = base, folder
    while (entry := next(_scan(inside, names, ()), None)) is not None:
        first, inside = first + entry.name, entry.path
        if not entry.name.endswith("/"):
            return first
    ahead = [(base, folder)]
    while ahead:
        base, folder = ahead.pop()
        for entry in _scan(folder, names, ()):
            if not entry.name.endswith("/"):
                return base + entry.name
            ahead.append((base + entry.name, entry.path))
    return None


class Walk:
    """The keys of a bucket that start with `prefix` and come after `after`, in the order of their UTF-8 bytes.

    Each folder is read once, when the walk comes to it; the walk sees what is there at that moment. Of a folder whose keys
    all have one common prefix, given a delimiter, it gives any one key.
    """

    def __init__(self, root: Path, names: Names, prefix: str, after: str, delimiter: str) -> None:
        self._names = names
        self._prefix = prefix
        self._after = after
        self._delimiter = delimiter
        self._jumped: str | None = None
        base = prefix[: prefix.rfind("/") + 1]
        self._start = (base, str(root.joinpath(*names.folder(base))))

    def jump(self, common: str) -> None:
        """Pass over all further keys that start with `common`."""
        self._jumped = common

    def __iter__(self) -> Iterator[str]:
        base, folder = self._start
        # A stack of our own: a key may have a thousand segments, more than Python's recursion allows.
        stack = [(base, iter(_level(folder, self._names)))]
        while stack:
            base, entries = stack[-1]
            entry = next(entries, None)
            if entry is None or self._is_jumped(base):
                stack.pop()
            elif entry.name.endswith("/"):
                inner = base + entry.name
                if not self._may_hold(inner):
                    continue
                if common_prefix(inner, self._prefix, self._delimiter):
                    yield from filter(None, [_some_key(inner, entry.path, self._names)])
                else:
                    stack.append((inner, iter(_level(entry.path, self._names))))
            elif self._wanted(base + entry.name):
                yield base + entry.name

    def _is_jumped(self, base: str) -> bool:
        return self._jumped is not None and base.startswith(self._jumped)

    def _wanted(self, key: str) -> bool:
        return key.startswith(self._prefix) and key > self._after and not self._is_jumped(key)

    def _may_hold(self, folder: str) -> bool:
        near = folder.startswith(self._prefix) or self._prefix.startswith(folder)
        ahead = folder > self._after or self._after.startswith(folder)
        return near and ahead and not self._is_jumped(folder)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some entries and common prefixes of a listing, at most `limit` together."""

    entries: list[T]
    prefixes: list[str]
    #: The last key or common prefix, from which the next page goes on; empty when the listing is complete.
    next: str = ""


def page(walk: Walk, look: Callable[[str], T | None], *, prefix: str, delimiter: str, after: str, limit: int) -> Page[T]:
    """One page of a walk. A key or common prefix is on it when it comes after `after`; `look` may find a key gone."""
    entries: list[T] = []
    prefixes: list[str] = []
    last = ""
    for key in walk if limit else ():
        common = common_prefix(key, prefix, delimiter)
        if common:
            walk.jump(common)
        entry = None if common else look(key)
        if common <= after if common else entry is None:
            continue
        if len(entries) + len(prefixes) == limit:
            return Page(entries, prefixes, last)
        if entry is None:
            prefixes.append(common)
        else:
            entries.append(entry)
        last = common or key
    return Page(entries, prefixes)


def common_prefix(key: str, prefix: str, delimiter: str) -> str:
    """The key up to the delimiter that comes first after the prefix; empty when none does."""
    cut = key.find(delimiter, len(prefix)) if delimiter else -1
    return key[: cut + len(delimiter)] if cut >= 0 else ""
