"""Moves objects of the embedded store in a process of its own, straight between its folder and a training job's.

``transfer.main(ROOT, ACCOUNT, REGION, download URI FOLDER [URI FOLDER ...] | upload PATH URI)``. The store is a folder of this
machine and may be opened by several processes, so no request, no client and no server are needed: jobs that run while the
server is down bring their results in. It starts light; it tells what went wrong in one line.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rekindle.domain.errors import InvalidValue, RekindleError
from rekindle.domain.object_names import checked_relative, relative
from rekindle.engine.clock import SystemClock
from rekindle.s3.bucket_folder import BucketFolder
from rekindle.s3.buckets import Buckets
from rekindle.s3.drop import BLOCK_BYTES, Drop
from rekindle.s3.errors import S3Error
from rekindle.s3.layout import Layout
from rekindle.s3.metadata import DEFAULT_CONTENT_TYPE, Metadata
from rekindle.s3.names import check_key


class FolderObjects:
    """The objects of an account in the embedded store under ``root``."""

    def __init__(self, root: Path, account: str, region: str) -> None:
        self._layout = Layout(root, SystemClock())
        self._buckets = Buckets(self._layout, region=region, default_account=account)
        self._account = account

    def download(self, uri: str, folder: str) -> None:
        """Copies the object or objects under a prefix into a folder. Raises InvalidValue, S3Error, OSError."""
        bucket, prefix = self._parts(uri)
        names = {key: name for key in bucket.walk(prefix) if (name := relative(key, prefix))}
        if not names:
            raise InvalidValue("uri", uri, "no objects are found there")
        for key, name in names.items():
            target = Path(folder) / checked_relative(name, uri)
            target.parent.mkdir(parents=True, exist_ok=True)
            opened = bucket.open(key)
            # None: deleted since the listing, which is as if it had never been listed.
            if opened is not None:
                with opened.file, target.open("wb") as copy:
                    shutil.copyfileobj(opened.file, copy, BLOCK_BYTES)

    def upload(self, path: str, uri: str) -> None:
        """Makes a file an object; a folder goes file by file below the URI. Raises InvalidValue, S3Error, OSError."""
        bucket, key = self._parts(uri)
        for file, inside in _files(path):
            self._put(bucket, f"{key.rstrip('/')}/{inside}" if inside else key, file)

    def close(self) -> None:
        """Removes what was under construction."""
        self._layout.scratch.close()

    def _put(self, bucket: BucketFolder, key: str, path: str) -> None:
        check_key(key)
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as source:
            drop = Drop(self._layout.scratch.new())
            while data := source.read(BLOCK_BYTES):
                digest.update(data)
                drop.write(data)
        drop.finish(self._layout.stamps.new())
        bucket.put(key, drop.path, Metadata(digest.hexdigest(), {"content-type": DEFAULT_CONTENT_TYPE}))

    def _parts(self, uri: str) -> tuple[BucketFolder, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket:
            raise InvalidValue("uri", uri, "not a URI of the form s3://bucket/prefix")
        try:
            return self._buckets.folder(bucket, self._account), key
        except S3Error as error:
            raise InvalidValue("uri", uri, error.message.rstrip(".")) from error


def main(root: str, account: str, region: str, *arguments: str) -> int:
    """Does what the arguments say; the exit code."""
    objects = FolderObjects(Path(root), account, region)
    try:
        match arguments:
            case ["download", *pairs] if pairs and len(pairs) % 2 == 0:
                for uri, folder in zip(pairs[::2], pairs[1::2], strict=True):
                    objects.download(uri, folder)
            case ["upload", path, uri]:
                objects.upload(path, uri)
            case _:
                sys.stderr.write("usage: ROOT ACCOUNT REGION download URI FOLDER [URI FOLDER ...] | upload PATH URI\n")
                return 2
    except (RekindleError, S3Error, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        objects.close()
    return 0


def _files(path: str) -> Iterator[tuple[str, str]]:
    """Files and their names below the path; no name for the path itself."""
    if not os.path.isdir(path):
        yield path, ""
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            yield file, Path(file).relative_to(path).as_posix()
