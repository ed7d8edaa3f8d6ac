"""Folders as object stores have them: the files below, whatever their depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: str, through_links: bool = False) -> Iterator[tuple[str, str]]:
    """The files below a folder, by their names there (``a/b``) and their paths. Links to files count as files; those that lead
    to none are left out, as are links to folders, unless the way goes ``through_links``: then it goes not back by them."""
    # Not by os.walk, which of old versions of Python calls itself for each level.
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        for name, is_folder in _entries(parent):
            path = os.path.join(parent, name)
            if is_folder or (through_links and os.path.isdir(path) and not leads_back(parent, name)):
                waiting.append(path)
            elif os.path.isfile(path):
                yield Path(path).relative_to(folder).as_posix(), path


def _entries(folder: str) -> list[tuple[str, bool]]:
    """What is in a folder, and whether it is one and no link; nothing where it cannot be read, or is gone."""
    try:
        with os.scandir(folder) as found:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    except OSError:
        return []


def leads_back(parent: str, name: str) -> bool:
    """Whether what has a name in a folder is a link to that folder, or to one that it lies in."""
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    # By the way that led here, too: two folders may each hold a link to the other.
    way = [os.path.realpath(folder) for folder in (parent, *map(str, Path(parent).parents))]
    there = os.path.realpath(path)
    return there in way or os.path.commonpath([way[0], there]) == there
