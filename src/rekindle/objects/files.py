"""Objects that are files of this machine: ``file://`` URIs and absolute paths."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from rekindle.domain.errors import InvalidValue
from rekindle.domain.object_names import checked_relative
from rekindle.engine.paths import host_in, path_in
from rekindle.engine.trees import files_below


class FileObjects:
    """An ObjectStore of files. A prefix is a folder or a file or, as in S3, how the names in a folder start."""

    def check(self, uri: str) -> None:
        """See ObjectStore."""
        if next(self._found(uri), None) is None:
            raise InvalidValue("uri", uri, "there is no file")

    def check_target(self, uri: str) -> None:
        """See ObjectStore. Folders are made as they are needed."""
        _path(uri)

    def list(self, uri: str) -> Sequence[tuple[str, int]]:
        """See ObjectStore."""
        return sorted((name, path.stat().st_size) for name, path in self._found(uri))

    def download(self, uri: str, folder: str) -> None:
        """See ObjectStore."""
        self.check(uri)
        for name, path in self._found(uri):
            target = Path(folder) / checked_relative(name, uri)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)

    def has(self, uri: str) -> bool:
        """See ObjectStore."""
        return _path(uri).is_file()

    def read(self, uri: str, limit: int) -> bytes:
        """See ObjectStore."""
        path = _path(uri)
        if not path.is_file():
            raise InvalidValue("uri", uri, "there is no file", code="no-object")
        if path.stat().st_size > limit:
            raise InvalidValue("uri", uri, f"longer than {limit} bytes", code="too-long")
        return path.read_bytes()

    def fetch(self, uri: str, path: str) -> None:
        """See ObjectStore."""
        if not self.has(uri):
            raise InvalidValue("uri", uri, "there is no file")
        shutil.copy2(_path(uri), path)

    def upload(self, path: str, uri: str) -> None:
        """See ObjectStore."""
        target = _path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            shutil.copy2(path, draft)
            with draft.open("rb") as copied:
                os.fsync(copied.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def remove(self, uri: str) -> None:
        """See ObjectStore."""
        _path(uri).unlink(missing_ok=True)

    def _found(self, uri: str) -> Iterator[tuple[str, Path]]:
        """Names, relative to the prefix, and where they are."""
        path = _path(uri)
        if path.is_dir():
            yield from _files(path, path)
        elif path.is_file():
            yield path.name, path
        elif path.parent.is_dir():
            for entry in path.parent.iterdir():
                if entry.name.startswith(path.name):
                    yield from _files(entry, path.parent)


def _files(path: Path, start: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.relative_to(start).as_posix(), path
    elif path.is_dir():
        for _, found in files_below(str(path)):
            yield Path(found).relative_to(start).as_posix(), Path(found)


def _path(uri: str) -> Path:
    is_uri = uri.startswith("file://")
    if is_uri and host_in(uri) not in ("", "localhost"):
        raise InvalidValue("uri", uri, "a file URI names this machine only", "Write file:///path.")
    path = Path(path_in(uri)) if is_uri else Path(uri)
    if not path.is_absolute():
        raise InvalidValue("uri", uri, "not an absolute path")
    return path
