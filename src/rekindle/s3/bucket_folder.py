"""One bucket as a folder: objects go in and come out whole. Knows nothing of HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rekindle.s3 import metadata as documents
from rekindle.s3.errors import S3Error
from rekindle.s3.files import ABSENT, read_json, remove_quietly, sync_folder_if_there, write_json
from rekindle.s3.layout import Layout
from rekindle.s3.listing import Walk
from rekindle.s3.metadata import Identity, Metadata, Stored
from rekindle.s3.names import DISPLACED

#: A file that a person put there gets its MD5 as ETag up to this size, as boto3 would have uploaded it in one piece.
HASHED_BY_HAND_BYTES = 8 << 20
#: A file younger than this may still be growing under a person's hand: its description is not kept.
SETTLED_SECONDS = 2.0
#: How often a reader starts again because the object was replaced under it; a file that cannot be read is no object.
ATTEMPTS = 20

#: Refuses, by raising, to replace or delete what is there (None: nothing is there).
Check = Callable[[Stored | None], None]


@dataclass(frozen=True)
class Opened:
    """An object and its content, which stays readable when the object is replaced or deleted."""

    stored: Stored
    file: io.FileIO


@contextlib.contextmanager
def unless_deleted(bucket: str) -> Iterator[None]:
    """Hold no lock while writing beside a bucket's objects: whoever deletes the bucket may remove the folder at any moment."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise S3Error("NoSuchBucket", BucketName=bucket) from None


class BucketFolder:
    """The objects of one bucket."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.name = name
        self._layout = layout
        self._root = layout.bucket(name)
        self._documents = layout.metadata(name)
        self._names = layout.names

    def walk(self, prefix: str = "", after: str = "", delimiter: str = "") -> Walk:
        """The keys in S3's order; see `Walk`."""
        return Walk(self._root, self._names, prefix, after, delimiter)

    def find(self, key: str) -> Stored | None:
        """The object under a key."""
        for _ in range(ATTEMPTS):
            located = self._locate(key)
            if located is None:
                return None
            metadata = self._known(key, located[1]) or self._by_hand(key, *located)
            if metadata is not None:
                return Stored(key, located[1], metadata)
        return None

    def open(self, key: str) -> Opened | None:
        """The object under a key with its content. The caller closes the file."""
        for _ in range(ATTEMPTS):
            located = self._locate(key)
            if located is None:
                return None
            file = _open_plain(located[0])
            if file is None:
                continue
            identity = _identity(os.fstat(file.fileno()))
            metadata = self._known(key, identity) or self._by_hand(key, located[0], identity)
            if metadata is not None:
                return Opened(Stored(key, identity, metadata), file)
            file.close()
        return None

    def put(self, key: str, draft: Path, metadata: Metadata, check: Check | None = None) -> Stored:
        """Make the finished file `draft` the object under `key`, unless `check` refuses. One rename does it."""
        stored = Stored(key, _identity(draft.stat()), metadata)
        document = self._document(key, stored.identity)
        with unless_deleted(self.name):
            write_json(document, self._layout.scratch, documents.to_document(key, metadata))
        try:
            changed = self._swap(key, draft, document, check)
        except BaseException:
            remove_quietly(document)
            raise
        for folder in changed:
            sync_folder_if_there(folder)
        return stored

    def delete(self, key: str, check: Check | None = None) -> bool:
        """Remove the object under `key`, and the folders that it leaves empty; False when there is none."""
        with self._layout.locked(self.name):
            if check:
                check(self.find(key))
            located = self._locate(key)
            if located is None:
                return False
            self._unlink(key)
            remove_quietly(self._document(key, located[1]))
            survivor = self._prune(located[0].parent)
        sync_folder_if_there(survivor)
        return True

    def change(self, key: str, edit: Callable[[Metadata], Metadata]) -> Stored | None:
        """Replace an object's metadata and leave its content and time as they are."""
        with self._layout.locked(self.name):
            stored = self.find(key)
            if stored is None:
                return None
            edited = edit(stored.metadata)
            write_json(self._document(key, stored.identity), self._layout.scratch, documents.to_document(key, edited))
            return Stored(key, stored.identity, edited)

    # --- finding -------------------------------------------------------------------------------------------------

    def _natural(self, key: str) -> Path:
        return self._root.joinpath(*self._names.path(key))

    def _displaced(self, key: str) -> Path:
        return self._root.joinpath(*self._names.displaced(key))

    def _locate(self, key: str) -> tuple[Path, Identity] | None:
        # The natural path comes twice: the object may return to it after the first look.
        for place in (self._natural, self._displaced, self._natural):
            path = place(key)
            try:
                found = path.lstat()
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                continue
            if stat.S_ISREG(found.st_mode) and not self._passes_link(path):
                return path, _identity(found)
        return None

    def _passes_link(self, path: Path) -> bool:
        folder = path.parent
        while folder != self._root:
            if folder.is_symlink():
                return True
            folder = folder.parent
        return False

    def _document(self, key: str, identity: Identity) -> Path:
        return self._documents / documents.document_name(key, identity)

    def _known(self, key: str, identity: Identity) -> Metadata | None:
        # That of a file put here by hand is not flushed: where a power failure left it empty, the file describes itself anew.
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            document = read_json(self._document(key, identity))
            return None if document is None else documents.from_document(document)
        return None

    def _by_hand(self, key: str, path: Path, identity: Identity) -> Metadata | None:
        """What a file says of itself that no client uploaded; None when it is another by now, or cannot be read."""
        if self._locate(key) != (path, identity):
            return None
        file = _open_plain(path)
        if file is None:
            return None
        with file:
            etag = _etag_by_hand(file, identity)
            steady = _identity(os.fstat(file.fileno())) == identity
        described = Metadata(etag, headers={"content-type": documents.DEFAULT_CONTENT_TYPE})
        if steady and self._layout.clock.now() - identity.mtime_ns / 1e9 > SETTLED_SECONDS:
            document = self._document(key, identity)
            # It saves the next reader the sum; a disk that is full or read-only must not keep this one from the file.
            with contextlib.suppress(OSError):
                write_json(document, self._layout.scratch, documents.to_document(key, described), durable=False)
        return described

    # --- changing, under the bucket's lock ---------------------------------------------------------------------------

    def _swap(self, key: str, draft: Path, document: Path, check: Check | None) -> list[Path]:
        with self._layout.locked(self.name):
            # A bucket that was deleted has taken the document with it, though there may be one of its name again.
            if not self._root.is_dir() or not document.exists():
                raise S3Error("NoSuchBucket", BucketName=self.name)
            if check:
                check(self.find(key))
            before = self._locate(key)
            natural, displaced = self._natural(key), self._displaced(key)
            changed = self._clear_way(natural.parent)
            if natural.is_dir() and not natural.is_symlink():
                draft.replace(displaced)
            else:
                draft.replace(natural)
                remove_quietly(displaced)
            if before:
                remove_quietly(self._document(key, before[1]))
        return [*changed, natural.parent]

    def _clear_way(self, folder: Path) -> list[Path]:
        """Make the folders down to `folder`; a file in the way moves aside to its displaced name."""
        changed = []
        for depth in range(len(self._root.parts) + 1, len(folder.parts) + 1):
            step = Path(*folder.parts[:depth])
            if step.is_symlink():
                raise S3Error("AccessDenied", f"{step.relative_to(self._root)} in the bucket's folder is a symbolic link.")
            if step.is_dir():
                continue
            if step.exists():
                step.replace(step.with_name(step.name + DISPLACED))
            step.mkdir()
            changed.append(step.parent)
        return changed

    def _unlink(self, key: str) -> None:
        natural = self._natural(key)
        remove_quietly(self._displaced(key))
        if natural.is_symlink() or not natural.is_dir():
            remove_quietly(natural)

    def _prune(self, folder: Path) -> Path:
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent
        return folder


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_size, found.st_mtime_ns)


def _open_plain(path: Path) -> io.FileIO | None:
    try:
        return io.FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError:
        return None


def _etag_by_hand(file: io.FileIO, identity: Identity) -> str:
    if identity.size <= HASHED_BY_HAND_BYTES:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return hashlib.md5(f"{identity.size} {identity.mtime_ns}".encode(), usedforsecurity=False).hexdigest() + "-1"
