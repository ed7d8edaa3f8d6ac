"""Files that appear whole or not at all, and locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: What says that there is no file under a name: none there, a file or an endless link above it, a name that none can have.
ABSENT = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG])


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder_if_there(path: Path) -> None:
    """The same, unless the folder is gone by now, or a file has its name: who removed it makes that durable."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        sync_folder(path)


def make_folders(path: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = list(itertools.takewhile(lambda folder: not folder.is_dir(), [path, *path.parents]))
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def remove_quietly(path: Path) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that `path` names, against threads and processes; the kernel frees it when the holder dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Scratch:
    """A folder for unfinished files of this process. What dead processes left there is removed at the start."""

    def __init__(self, root: Path) -> None:
        make_folders(root)
        with locked(root.parent / "scratch.lock"):
            self._sweep(root)
            self._folder = root / secrets.token_hex(8)
            self._folder.mkdir()
            self._handle = os.open(self._folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)

    def _sweep(self, root: Path) -> None:
        for folder in root.iterdir():
            if not _is_held(folder / "alive"):
                shutil.rmtree(folder, ignore_errors=True)

    def new(self) -> Path:
        """A path for a new file."""
        return self._folder / secrets.token_hex(12)

    def close(self) -> None:
        """Give up the folder and what is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._handle)


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)


def write_json(path: Path, scratch: Scratch, content: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write a small document whole, replacing what was there."""
    write_text(path, scratch.new(), json.dumps(content, ensure_ascii=False, separators=(",", ":")), durable=durable)


def write_text(path: Path, draft: Path, text: str, *, durable: bool = True) -> None:
    """Write a small file whole, by way of ``draft`` on the same file system, replacing what was there."""
    try:
        with draft.open("w", encoding="utf-8") as out:
            out.write(text)
            if durable:
                out.flush()
                os.fsync(out.fileno())
        make_folders(path.parent)
        draft.replace(path)
    except BaseException:
        remove_quietly(draft)
        raise
    if durable:
        sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a document; None when there is none."""
    try:
        with open(path, "rb") as source:
            content: dict[str, Any] = json.loads(source.read())
        return content
    except (FileNotFoundError, NotADirectoryError):
        return None
