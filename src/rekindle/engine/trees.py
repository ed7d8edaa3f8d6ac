"""Folders as object stores have them: the files below, whatever their depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: str) -> Iterator[tuple[str, str]]:
    """The files below a folder, by their names there (``a/b``) and their paths. Links to files count as files; those that lead
    to none are left out, as are links to folders."""
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            if os.path.isfile(path):
                yield Path(path).relative_to(folder).as_posix(), path
