"""The buckets of the store and whose they are."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from rekindle.s3.bucket_folder import BucketFolder
from rekindle.s3.errors import S3Error
from rekindle.s3.files import read_json, remove_quietly, sync_folder, write_json
from rekindle.s3.layout import Layout
from rekindle.s3.names import check_bucket_name


@dataclass(frozen=True)
class Bucket:
    """What is known of a bucket beside its objects."""

    name: str
    account: str
    #: Seconds since the epoch.
    created: float
    region: str


class Buckets:
    """All buckets. A folder that a person made under the root is a bucket of the default account."""

    def __init__(self, layout: Layout, *, region: str, default_account: str) -> None:
        self._layout = layout
        self._region = region
        self._default_account = default_account

    def get(self, name: str, account: str) -> Bucket:
        """The bucket, if the account may see it."""
        bucket = self._find(name)
        if bucket is None:
            check_bucket_name(name)
            way_out = "AWS's own are not here: make one of that name and bring what you need (docs/s3.md)."
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {name}. {way_out}", BucketName=name)
        if bucket.account != account:
            raise S3Error("AccessDenied")
        return bucket

    def folder(self, name: str, account: str) -> BucketFolder:
        """The bucket's objects, if the account may see them."""
        return BucketFolder(self._layout, self.get(name, account).name)

    def of(self, account: str) -> list[Bucket]:
        """The account's buckets by name."""
        found = (self._find(name) for name in sorted(os.listdir(self._layout.root)))
        return [bucket for bucket in found if bucket is not None and bucket.account == account]

    def create(self, name: str, account: str, region: str) -> None:
        """Make a bucket. As on AWS, making one's own again is no error where it was and is us-east-1, and one elsewhere."""
        check_bucket_name(name)
        with self._layout.locked(name):
            there = self._find(name)
            if there is None:
                self._make(Bucket(name, account, self._layout.clock.now(), region))
            elif there.account != account:
                raise S3Error("BucketAlreadyExists", BucketName=name)
            elif {there.region, region} != {"us-east-1"}:
                raise S3Error("BucketAlreadyOwnedByYou", BucketName=name)

    def delete(self, name: str, account: str) -> None:
        """Remove an empty bucket with the uploads under way in it."""
        with self._layout.locked(name):
            self.get(name, account)
            try:
                _remove_empty(self._layout.bucket(name))
            except OSError:
                raise S3Error("BucketNotEmpty", BucketName=name) from None
            sync_folder(self._layout.root)
            self._forget(name)

    def _find(self, name: str) -> Bucket | None:
        if not _is_legal(name):
            return None
        try:
            folder = self._layout.bucket(name).lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(folder.st_mode):
            return None
        record = read_json(self._layout.record(name))
        return Bucket(name, **record) if record else Bucket(name, self._default_account, folder.st_ctime, self._region)

    def _make(self, bucket: Bucket) -> None:
        self._forget(bucket.name)
        record = {name: value for name, value in asdict(bucket).items() if name != "name"}
        write_json(self._layout.record(bucket.name), self._layout.scratch, record)
        self._layout.bucket(bucket.name).mkdir()
        sync_folder(self._layout.root)

    def _forget(self, name: str) -> None:
        shutil.rmtree(self._layout.uploads(name), ignore_errors=True)
        shutil.rmtree(self._layout.metadata(name), ignore_errors=True)
        remove_quietly(self._layout.record(name))


def _is_legal(name: str) -> bool:
    try:
        check_bucket_name(name)
    except S3Error:
        return False
    return True


def _remove_empty(root: Path) -> None:
    """Remove a folder in which there are only empty folders; raises OSError, removing no file, when there is more."""
    for folder, _, files in os.walk(root, topdown=False):
        if files:
            raise OSError(f"{folder} is not empty")
        os.rmdir(folder)
