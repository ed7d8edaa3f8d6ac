"""The same boto3 calls to the embedded store and to others: the answers are equal, or docs/s3.md says why not.

The table there is part of the test: a step that differs must stand in it, and a step that stands in it must differ.
Moto runs inside the test; SeaweedFS is a real server (the `slow` suite).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.object_store import client, memory_folder, served_store
from support.seaweedfs import seaweedfs

PAGE = Path(__file__).parents[2] / "docs" / "s3.md"
MIB = 1 << 20

#: What differs by nature: times, names of machines and people, opaque tokens.
VOLATILE = {
    "ResponseMetadata", "LastModified", "Initiated", "CreationDate", "UploadId", "Owner", "Initiator", "Location",
    "NextContinuationToken", "ContinuationToken", "NextUploadIdMarker", "RequestCharged", "Expires", "BucketArn",
}  # fmt: skip
#: What the peers leave out or put in at random; the tests of the store alone ask for it.
UNEVEN = {"ChecksumType", "ChecksumAlgorithm", "EncodingType", "VersionId", "ServerSideEncryption"}

Said = dict[str, Any]


def plain(value: Any) -> Any:
    """An answer without what differs by nature."""
    if isinstance(value, dict):
        kept = {name: plain(inner) for name, inner in sorted(value.items()) if name not in VOLATILE | UNEVEN}
        return {name: inner for name, inner in kept.items() if inner != ""}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.read() if hasattr(value, "read") else value


class Script:
    """Makes calls and keeps the answers under names."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3 = s3
        self.bucket = bucket
        self.answers: dict[str, Said] = {}

    def __call__(self, name: str, operation: str, **arguments: Any) -> Said:
        assert name not in self.answers, f"two steps are called {name}"
        arguments = {"Bucket": self.bucket, **arguments}
        try:
            answer = getattr(self.s3, operation)(**{key: value for key, value in arguments.items() if value is not None})
            self.answers[name] = {"status": answer["ResponseMetadata"]["HTTPStatusCode"], **plain(answer)}
        except ClientError as error:
            answer = error.response
            self.answers[name] = {"status": answer["ResponseMetadata"]["HTTPStatusCode"], "error": answer["Error"]["Code"]}
        except Exception as error:  # what a peer breaks with is an answer too
            answer = {}
            self.answers[name] = {"broken": type(error).__name__}
        return answer


def objects(do: Script) -> None:
    do("put", "put_object", Key="k", Body=b"0123456789", ContentType="text/x", Metadata={"a": "b"})
    do("put: KMS without a key", "put_object", Key="kms", Body=b"x", ServerSideEncryption="aws:kms")
    do("put: AES256", "put_object", Key="aes", Body=b"x", ServerSideEncryption="AES256")
    do("get", "get_object", Key="k")
    do("head", "head_object", Key="k")
    do("get: absent", "get_object", Key="none")
    do("head: absent", "head_object", Key="none")
    do("get: no bucket", "get_object", Bucket="no-such-bucket", Key="k")
    do("put: no bucket", "put_object", Bucket="no-such-bucket", Key="k")
    for name, header in {"first": "0-0", "middle": "2-4", "open": "7-", "tail": "-3", "long": "8-99", "beyond": "10-"}.items():
        do(f"range: {name}", "get_object", Key="k", Range=f"bytes={header}")
    do("range: head", "head_object", Key="k", Range="bytes=2-4")
    do("range: several", "get_object", Key="k", Range="bytes=0-1,3-4")
    etag = do.s3.head_object(Bucket=do.bucket, Key="k")["ETag"]
    do("get: If-Match holds", "get_object", Key="k", IfMatch=etag)
    do("get: If-Match fails", "get_object", Key="k", IfMatch='"x"')
    do("get: If-None-Match fails", "get_object", Key="k", IfNoneMatch=etag)
    do("get: If-Modified-Since fails", "get_object", Key="k", IfModifiedSince="2030-01-01T00:00:00Z")
    do("get: If-Unmodified-Since fails", "get_object", Key="k", IfUnmodifiedSince="2001-01-01T00:00:00Z")
    do("put: If-None-Match fails", "put_object", Key="k", Body=b"y", IfNoneMatch="*")
    do("put: If-None-Match holds", "put_object", Key="fresh", Body=b"y", IfNoneMatch="*")
    do("put: If-Match fails", "put_object", Key="k", Body=b"y", IfMatch='"x"')
    do("get: untouched by refused puts", "get_object", Key="k")
    do("delete", "delete_object", Key="fresh")
    do("delete: absent", "delete_object", Key="fresh")
    do("get: empty", "put_object", Key="empty", Body=b"")
    do("range: empty", "get_object", Key="empty", Range="bytes=0-")


def sums(do: Script) -> None:
    do("md5: good", "put_object", Key="k", Body=b"x", ContentMD5="ndTkYSaMgDT1yFZOFVxnpg==")
    do("md5: wrong", "put_object", Key="k", Body=b"hello", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    do("md5: malformed", "put_object", Key="k", Body=b"hello", ContentMD5="bad")
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        do(f"{algorithm}: put", "put_object", Key=algorithm, Body=b"hello", ChecksumAlgorithm=algorithm, ContentType="text/x")
        do(f"{algorithm}: head", "head_object", Key=algorithm, ChecksumMode="ENABLED")
    do("checksum: wrong", "put_object", Key="k", Body=b"hello", ChecksumCRC32="AAAAAA==")
    do("attributes", "get_object_attributes", Key="SHA256", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"])


KEYS = ["a", "a.txt", "a/1", "a/b/2", "b/", "b/3", "c d+e/4", "ü/5", "z"]


def listings(do: Script) -> None:
    do("list: empty", "list_objects_v2")
    for key in KEYS:
        do(f"put {key}", "put_object", Key=key, Body=b"" if key.endswith("/") else key.encode(), ContentType="text/x")
    for version, operation in (("v1", "list_objects"), ("v2", "list_objects_v2")):
        do(f"{version}: all", operation)
        do(f"{version}: prefix", operation, Prefix="a/")
        do(f"{version}: delimiter", operation, Delimiter="/")
        do(f"{version}: prefix and delimiter", operation, Prefix="a", Delimiter="/")
        do(f"{version}: another delimiter", operation, Delimiter=".")
        do(f"{version}: nothing there", operation, Prefix="nothing")
        do(f"{version}: page of two", operation, MaxKeys=2)
        do(f"{version}: page of none", operation, MaxKeys=0)
        do(f"{version}: no bucket", operation, Bucket="no-such-bucket")
    do("v1: marker", "list_objects", Marker="a/1", MaxKeys=3)
    do("v1: delimited page", "list_objects", Delimiter="/", MaxKeys=3)
    do("v1: after a common prefix", "list_objects", Delimiter="/", Marker="a/")
    do("v1: from inside a common prefix", "list_objects", Delimiter="/", Marker="a/b")
    do("v2: start-after", "list_objects_v2", StartAfter="a/1")
    do("v2: start-after inside a common prefix", "list_objects_v2", Delimiter="/", StartAfter="a/b")
    first = do("v2: first delimited page", "list_objects_v2", Delimiter="/", MaxKeys=3)
    do("v2: second delimited page", "list_objects_v2", Delimiter="/", ContinuationToken=first.get("NextContinuationToken"))
    do("v2: bad token", "list_objects_v2", ContinuationToken="!")
    do("get b/", "get_object", Key="b/")
    do("delete many", "delete_objects", Delete={"Objects": [{"Key": "a"}, {"Key": "none"}, {"Key": "a/b/2"}]})
    do("delete many, quietly", "delete_objects", Delete={"Objects": [{"Key": "z"}], "Quiet": True})
    do("what is left", "list_objects_v2")


def strange_keys(do: Script) -> None:
    for key in ("..", "../up", "a/../b", ".", "//", "/lead", "a//b", "%41", "x" * 255 + "/y", "x" * 1024, "\u00e9", "e\u0301"):
        do(f"put {key[:20]!r} {len(key)}", "put_object", Key=key, Body=key.encode(), ContentType="text/x")
        do(f"get {key[:20]!r} {len(key)}", "get_object", Key=key)
    do("list strange keys", "list_objects_v2")
    do("put: key too long", "put_object", Key="x" * 1025)


def copies(do: Script) -> None:
    do("put source", "put_object", Key="source", Body=b"0123456789", Metadata={"a": "b"}, ContentType="text/x")
    do("copy", "copy_object", Key="copy", CopySource=f"{do.bucket}/source")
    do("head copy", "head_object", Key="copy")
    fresh = {"MetadataDirective": "REPLACE", "Metadata": {"n": "m"}}
    do("copy: replace", "copy_object", Key="new", CopySource=f"{do.bucket}/source", **fresh)
    do("head replaced", "head_object", Key="new")
    do("copy: onto itself", "copy_object", Key="copy", CopySource=f"{do.bucket}/copy")
    do("copy: absent", "copy_object", Key="copy", CopySource=f"{do.bucket}/none")
    do("copy: no bucket", "copy_object", Key="copy", CopySource="no-such-bucket/none")
    do("copy: If-Match fails", "copy_object", Key="copy", CopySource=f"{do.bucket}/source", CopySourceIfMatch='"x"')


def parts(do: Script) -> None:
    do("put for parts", "put_object", Key="source", Body=b"0123456789")
    made = do("create", "create_multipart_upload", Key="k", ContentType="text/x", Metadata={"a": "b"})
    name = {"Key": "k", "UploadId": made["UploadId"]}
    first = do("part 1", "upload_part", **name, PartNumber=1, Body=b"p" * (5 * MIB)).get("ETag")
    second = do("part 2", "upload_part", **name, PartNumber=2, Body=b"end").get("ETag")
    copied = {"PartNumber": 3, "CopySource": f"{do.bucket}/source", "CopySourceRange": "bytes=2-4"}
    third = do("part copied", "upload_part_copy", **name, **copied).get("CopyPartResult", {}).get("ETag")
    do("part 0", "upload_part", **name, PartNumber=0, Body=b"")
    do("part 10001", "upload_part", **name, PartNumber=10_001, Body=b"")
    do("part: no upload", "upload_part", Key="k", UploadId="no-such-upload", PartNumber=1, Body=b"")
    do("parts", "list_parts", **name)
    do("page of parts", "list_parts", **name, MaxParts=1)
    do("uploads", "list_multipart_uploads")

    def choose(*chosen: tuple[int, Any]) -> Any:
        return {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in chosen]}

    do("complete: order", "complete_multipart_upload", **name, MultipartUpload=choose((2, second), (1, first)))
    do("complete: wrong etag", "complete_multipart_upload", **name, MultipartUpload=choose((1, '"x"')))
    do("complete: too small", "complete_multipart_upload", **name, MultipartUpload=choose((2, second), (3, third)))
    do("complete: nothing", "complete_multipart_upload", **name, MultipartUpload={"Parts": []})
    do("complete", "complete_multipart_upload", **name, MultipartUpload=choose((1, first), (2, second)))
    do("head of parts", "head_object", Key="k")
    do("part of object", "get_object", Key="k", PartNumber=2)
    do("complete: again", "complete_multipart_upload", **name, MultipartUpload=choose((1, first), (2, second)))
    do("abort: gone", "abort_multipart_upload", **name)
    other = do("create other", "create_multipart_upload", Key="o").get("UploadId")
    do("abort", "abort_multipart_upload", Key="o", UploadId=other)
    do("parts: aborted", "list_parts", Key="o", UploadId=other)
    do("uploads: none", "list_multipart_uploads")


def buckets(do: Script) -> None:
    do("head bucket", "head_bucket")
    do("location", "get_bucket_location")
    do("create again", "create_bucket")
    do("create: bad name", "create_bucket", Bucket="192.168.1.1")
    do("create: bad constraint", "create_bucket", Bucket="other", CreateBucketConfiguration={"LocationConstraint": "nowhere"})
    do("head: no bucket", "head_bucket", Bucket="no-such-bucket")
    do("delete: no bucket", "delete_bucket", Bucket="no-such-bucket")
    do("fill", "put_object", Key="a/b")
    do("delete: not empty", "delete_bucket")
    do("versioning", "get_bucket_versioning")
    do("policy", "get_bucket_policy")
    do("cors", "get_bucket_cors")
    do("bucket tags", "get_bucket_tagging")
    do("lifecycle", "get_bucket_lifecycle_configuration")
    do("website", "get_bucket_website")
    do("empty it", "delete_object", Key="a/b")
    do("delete bucket", "delete_bucket")
    do("gone", "head_bucket")


def tags(do: Script) -> None:
    do("put with tags", "put_object", Key="k", Tagging="a=1&b=2")
    do("tags", "get_object_tagging", Key="k")
    do("put tags", "put_object_tagging", Key="k", Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})
    do("tags after", "get_object_tagging", Key="k")
    do("delete tags", "delete_object_tagging", Key="k")
    do("no tags", "get_object_tagging", Key="k")
    do("tags: absent", "get_object_tagging", Key="none")


SCENARIOS: list[Callable[[Script], None]] = [objects, sums, listings, strange_keys, copies, parts, buckets, tags]


def play(s3: Any) -> dict[str, Said]:
    answers: dict[str, Said] = {}
    for scenario in SCENARIOS:
        bucket = "differential-" + scenario.__name__.replace("_", "-")
        s3.create_bucket(Bucket=bucket)
        script = Script(s3, bucket)
        scenario(script)
        answers |= {f"{scenario.__name__}: {name}": said for name, said in script.answers.items()}
    return answers


@contextmanager
def moto() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto import mock_aws

        with mock_aws(), closing(client("https://s3.us-east-1.amazonaws.com")) as s3:
            yield s3


def explained(peer: str) -> set[str]:
    """The steps that the table in the documentation says differ, and why."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {step for peers, steps, _ in rows if peer in peers for step in re.findall(r"`([^`]+)`", steps)}


def ours() -> dict[str, Said]:
    with memory_folder() as folder, served_store(folder) as url, closing(client(url)) as s3:
        return play(s3)


def compare(peer: str, theirs: dict[str, Said]) -> None:
    mine = ours()
    assert mine.keys() == theirs.keys()
    differing = {name for name in mine if mine[name] != theirs[name]}
    report = {name: {"ours": mine[name], peer: theirs[name]} for name in sorted(differing - explained(peer))}
    assert report == {}
    assert explained(peer) - differing == set(), "docs/s3.md explains what does not differ"


def test_the_store_answers_as_moto() -> None:
    with moto() as s3:
        theirs = play(s3)
    compare("moto", theirs)


@pytest.mark.slow
def test_the_store_answers_as_seaweedfs(tmp_path: Path) -> None:
    with seaweedfs(tmp_path) as url, closing(client(url)) as s3:
        theirs = play(s3)
    compare("SeaweedFS", theirs)
