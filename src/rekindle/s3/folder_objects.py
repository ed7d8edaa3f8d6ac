"""An account's objects in the embedded store as an ObjectStore: no request, no client, no server."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from rekindle.domain.errors import InvalidValue
from rekindle.domain.object_names import check_is_text, check_names, relative
from rekindle.domain.texts import unwanted
from rekindle.engine.clock import SystemClock
from rekindle.engine.inputs import LOOKED_FOR, made_way
from rekindle.engine.trees import files_below
from rekindle.s3.bucket_folder import BucketFolder, Opened
from rekindle.s3.buckets import Buckets
from rekindle.s3.drop import BLOCK_BYTES, Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.layout import Layout
from rekindle.s3.metadata import DEFAULT_CONTENT_TYPE, Metadata
from rekindle.s3.names import check_key


class FolderObjects:
    """The objects of an account in the embedded store under ``root``: an ObjectStore of ``s3://`` URIs. ``default_account``
    is whose the buckets are that a person made by hand. Every method raises InvalidValue for what S3 would refuse."""

    def __init__(self, root: Path, account: str, region: str, default_account: str) -> None:
        self._layout = Layout(root, SystemClock())
        self._buckets = Buckets(self._layout, region=region, default_account=default_account)
        self._account = account

    def check(self, uri: str) -> None:
        """See ObjectStore."""
        names = [name for name, _ in islice(self._found(uri), LOOKED_FOR)]
        if not names:
            raise InvalidValue("uri", uri, "no objects are found there")
        check_names(names, uri)

    def check_target(self, uri: str) -> None:
        """See ObjectStore."""
        self._parts(uri)

    def list(self, uri: str) -> Sequence[tuple[str, int]]:
        """See ObjectStore."""
        bucket, _ = self._parts(uri)
        found = ((name, bucket.find(key)) for name, key in self._found(uri))
        return sorted((name, stored.identity.size) for name, stored in found if stored is not None)

    def download(self, uri: str, folder: str) -> None:
        """See ObjectStore."""
        bucket, _ = self._parts(uri)
        found = list(self._found(uri))
        if not found:
            raise InvalidValue("uri", uri, "no objects are found there")
        check_names((name for name, _ in found), uri)
        for name, key in found:
            target = made_way(folder, name, uri)
            # None: deleted since the listing, which is as if it had never been listed.
            if (opened := bucket.open(key)) is not None:
                _copy(opened, target)

    def has(self, uri: str) -> bool:
        """See ObjectStore."""
        bucket, key = self._parts(uri)
        return bucket.find(key) is not None

    def read(self, uri: str, limit: int) -> bytes:
        """See ObjectStore."""
        with self._open(uri).file as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise InvalidValue("uri", uri, f"longer than {limit} bytes", code="too-long")
        return content

    def fetch(self, uri: str, path: str) -> None:
        """See ObjectStore."""
        _copy(self._open(uri), Path(path))

    def upload(self, path: str, uri: str) -> None:
        """See ObjectStore. A folder goes file by file below the URI."""
        bucket, key = self._parts(uri)
        try:
            for file, inside in _files(path):
                check_is_text(f"{uri.rstrip('/')}/{inside}" if inside else uri)
                self._put(bucket, f"{key.rstrip('/')}/{inside}" if inside else key, file)
        except S3Error as error:
            raise InvalidValue("uri", uri, error.message.rstrip(".")) from error

    def remove(self, uri: str) -> None:
        """See ObjectStore."""
        bucket, key = self._parts(uri)
        # What is no text was never put there.
        if not unwanted(key):
            bucket.delete(key)

    def close(self) -> None:
        """Removes what was under construction."""
        self._layout.scratch.close()

    def _found(self, uri: str) -> Iterator[tuple[str, str]]:
        """Names relative to the prefix, and keys."""
        bucket, prefix = self._parts(uri)
        return ((name, key) for key in bucket.walk(prefix) if (name := relative(key, prefix)))

    def _open(self, uri: str) -> Opened:
        bucket, key = self._parts(uri)
        opened = bucket.open(key)
        if opened is None:
            raise InvalidValue("uri", uri, "there is no such object", code="no-object")
        return opened

    def _put(self, bucket: BucketFolder, key: str, path: str) -> None:
        check_key(key)
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as source:
            drop = Drop(self._layout.scratch.new())
            try:
                while data := source.read(BLOCK_BYTES):
                    digest.update(data)
                    drop.write(data)
                drop.finish(self._layout.stamps.new())
                bucket.put(key, drop.path, Metadata(digest.hexdigest(), {"content-type": DEFAULT_CONTENT_TYPE}))
            finally:
                drop.abandon()

    def _parts(self, uri: str) -> tuple[BucketFolder, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket:
            raise InvalidValue("uri", uri, "not a URI of the form s3://bucket/prefix")
        try:
            return self._buckets.folder(bucket, self._account), key
        except S3Error as error:
            raise InvalidValue("uri", uri, error.message.rstrip(".")) from error


def _copy(opened: Opened, target: Path) -> None:
    with opened.file, target.open("wb") as copy:
        shutil.copyfileobj(opened.file, copy, BLOCK_BYTES)


def _files(path: str) -> Iterator[tuple[str, str]]:
    """Files and their names below the path, with what its links lead to; no name for the path itself."""
    if not os.path.isdir(path):
        yield path, ""
    yield from ((file, name) for name, file in files_below(path, through_links=True))
