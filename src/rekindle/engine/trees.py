"""Folders as object stores have them: the files below, whatever their depth."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

#: How often one folder is come to by links. Where some link to one another there are more ways than files in the world.
_MOST_WAYS = 1000


def files_below(folder: str, through_links: bool = False) -> Iterator[tuple[str, str]]:
    """The files below a folder, by their names there (``a/b``) and their paths. Links to files count as files; those that lead
    to none are left out, as are links to folders, unless the way goes ``through_links``: then it goes not back by them.

    Raises OSError for a folder that cannot be read, once all that can be has come, and at once for links to one folder by too
    many ways."""
    # Not by os.walk, which of old versions of Python calls itself for each level.
    waiting, ways, problem = [folder], Counter[str](), None
    while waiting:
        parent = waiting.pop()
        try:
            entries = _entries(parent)
        except OSError as error:
            problem = problem or error
            continue
        for name, is_folder, is_file in entries:
            path = os.path.join(parent, name)
            if is_folder:
                waiting.append(path)
            elif is_file:
                yield Path(path).relative_to(folder).as_posix(), path
            elif through_links and os.path.isdir(path) and not leads_back(parent, name):
                _count(ways, path)
                waiting.append(path)
    if problem is not None:
        raise problem


def _entries(folder: str) -> list[tuple[str, bool, bool]]:
    """What is in a folder, whether it is one and no link, and whether it is a file or leads to one; nothing where it is gone.
    Raises OSError where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            # Of one that may be read and not searched there are names alone.
            os.stat(os.path.join(folder, "."))
            return [(entry.name, entry.is_dir(follow_symlinks=False), _is_file(entry)) for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_file(entry: os.DirEntry[str]) -> bool:
    # That a link leads where nobody may look is no fault of the folder's.
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _count(ways: Counter[str], link: str) -> None:
    there = os.path.realpath(link)
    ways[there] += 1
    if ways[there] > _MOST_WAYS:
        told = f"links lead to it by more than {_MOST_WAYS:,} ways: let them lead to fewer folders that link to one another"
        raise OSError(errno.ELOOP, told, there)


def leads_back(parent: str, name: str) -> bool:
    """Whether what has a name in a folder is a link to that folder, or to one that it lies in."""
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    # By the way that led here, too: two folders may each hold a link to the other.
    way = [os.path.realpath(folder) for folder in (parent, *map(str, Path(parent).parents))]
    there = os.path.realpath(path)
    return there in way or os.path.commonpath([way[0], there]) == there
