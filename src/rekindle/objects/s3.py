"""Objects in S3, or in what speaks its protocol. Where it is and who we are follows boto3's own rules: variables and files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from rekindle.domain.errors import InvalidValue
from rekindle.domain.object_names import check_is_text, check_names, relative
from rekindle.domain.texts import unwanted
from rekindle.engine.inputs import LOOKED_FOR, made_way
from rekindle.engine.paths import host_in
from rekindle.engine.ports import StoreUnavailable
from rekindle.engine.trees import files_below


class S3Objects:
    """An ObjectStore of ``s3://bucket/prefix`` URIs. ``options`` go to boto3's client: endpoint_url, region_name, keys."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._made: Any = None
        self._brought: set[tuple[str, str, str]] = set()

    def check(self, uri: str) -> None:
        """See ObjectStore."""
        names = [name for name, _, _ in islice(self._found(uri), LOOKED_FOR)]
        if not names:
            raise InvalidValue("uri", uri, "no objects are found there")
        check_names(names, uri)

    def check_target(self, uri: str) -> None:
        """See ObjectStore. A bucket that we may not look at may still be one that we may write to."""
        from botocore.exceptions import ClientError

        bucket, _ = _parts(uri)
        with _told(uri):
            try:
                self._client.head_bucket(Bucket=bucket)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == 404:
                    raise InvalidValue("uri", uri, "The specified bucket does not exist") from error
                if status in _NOT_NOW:
                    raise

    def list(self, uri: str) -> Sequence[tuple[str, int]]:
        """See ObjectStore."""
        return sorted((name, size) for name, _, size in self._found(uri))

    def download(self, uri: str, folder: str) -> None:
        """See ObjectStore."""
        bucket, _ = _parts(uri)
        found = list(self._found(uri))
        if not found:
            raise InvalidValue("uri", uri, "no objects are found there")
        check_names((name for name, _, _ in found), uri)
        for name, key, _size in found:
            with _told(uri):
                self._bring(bucket, key, str(made_way(folder, name, uri)))

    def has(self, uri: str) -> bool:
        """See ObjectStore."""
        from botocore.exceptions import ClientError

        bucket, key = _parts(uri)
        with _told(uri):
            try:
                self._client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return False
                raise
        return True

    def read(self, uri: str, limit: int) -> bytes:
        """See ObjectStore."""
        from botocore.exceptions import ClientError

        bucket, key = _parts(uri)
        with _told(uri):
            try:
                content: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read(limit + 1)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    raise InvalidValue("uri", uri, str(error).rstrip("."), code="no-object") from error
                raise
        if len(content) > limit:
            raise InvalidValue("uri", uri, f"longer than {limit} bytes", code="too-long")
        return content

    def fetch(self, uri: str, path: str) -> None:
        """See ObjectStore."""
        bucket, key = _parts(uri)
        with _told(uri):
            self._bring(bucket, key, path)

    def upload(self, path: str, uri: str) -> None:
        """See ObjectStore. A folder goes file by file below the URI, with what its links lead to: an object is none."""
        bucket, key = _parts(uri)
        with _told(uri):
            if not os.path.isdir(path):
                check_is_text(uri)
                self._client.upload_file(path, bucket, key)
                return
            for name, file in files_below(path, through_links=True):
                check_is_text(f"{uri.rstrip('/')}/{name}")
                self._client.upload_file(file, bucket, f"{key.rstrip('/')}/{name}")

    def remove(self, uri: str) -> None:
        """See ObjectStore."""
        bucket, key = _parts(uri)
        # What is no text was never put there.
        if unwanted(key):
            return
        with _told(uri):
            self._client.delete_object(Bucket=bucket, Key=key)

    @property
    def _client(self) -> Any:
        if self._made is None:
            import boto3

            self._made = boto3.session.Session().client("s3", **self._options)
        return self._made

    def _bring(self, bucket: str, key: str, path: str) -> None:
        """Downloads an object, but for one that an earlier try brought there: inputs begun anew would never be whole where a
        store breaks off now and then."""
        brought = (bucket, key, path)
        if brought not in self._brought or not os.path.exists(path):
            self._client.download_file(bucket, key, path)
            self._brought.add(brought)

    def _found(self, uri: str) -> Iterator[tuple[str, str, int]]:
        """Names relative to the prefix, keys and sizes."""
        bucket, prefix = _parts(uri)
        with _told(uri):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for page in pages:
                for item in page.get("Contents", ()):
                    if name := relative(item["Key"], prefix):
                        yield name, item["Key"], item["Size"]


def _parts(uri: str) -> tuple[str, str]:
    bucket = host_in(uri)
    if not uri.startswith("s3://") or not bucket:
        raise InvalidValue("uri", uri, "not a URI of the form s3://bucket/prefix")
    return bucket, uri.removeprefix("s3://").partition("/")[2]


#: Answers that say that the keys are no good, or no more; other keys may be.
_KEYS = frozenset(
    (
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    )
)
#: Answers that say that something is not there, or not for us; all others speak of the request or of who sent it.
_NOT_THERE = ("NoSuchBucket", "NoSuchKey", "AccessDenied", "403", "404")
#: Statuses by which a store, or a proxy before it, says that it cannot answer now.
_NOT_NOW = (429, 500, 502, 503, 504, 507)


@contextmanager
def _told(uri: str) -> Iterator[None]:
    """Turns what S3 and the network say into one line about the URI; StoreUnavailable where nobody answers."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, NoCredentialsError

    try:
        yield
    except (ConnectionError, HTTPClientError) as error:
        raise StoreUnavailable(f"{uri}: the object store does not answer ({str(error).rstrip('.')})", uri=uri) from error
    except NoCredentialsError as error:
        way_out = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; those of `rekindle serve` are printed by `rekindle env`."
        raise InvalidValue("uri", uri, "there are no keys for the object store", way_out, code="refused", keys=True) from error
    except (ClientError, BotoCoreError, Boto3Error, OSError) as error:
        # An upload that is refused comes wrapped.
        refusal = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, ClientError)), None)
        code = refusal.response["Error"]["Code"] if refusal is not None else ""
        said = str(error).rstrip(".")
        if refusal is not None and refusal.response["ResponseMetadata"].get("HTTPStatusCode") in _NOT_NOW:
            raise StoreUnavailable(f"{uri}: the object store cannot answer now ({said})", uri=uri, answered=True) from error
        not_there, keys = isinstance(error, ClientError) and code in _NOT_THERE, code in _KEYS
        raise InvalidValue("uri", uri, said, code="" if not_there else "refused", keys=keys) from error
