"""Multipart uploads over the wire: boto3's own transfers, and each operation by itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from support.object_store import client, memory_folder, served_store

MIB = 1 << 20


def content(size: int) -> bytes:
    return hashlib.shake_128(b"parts").digest(size)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with memory_folder() as folder, served_store(folder, patience=0.001) as url, closing(client(url)) as s3:
        s3.create_bucket(Bucket="bucket")
        yield s3


def code(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(Bucket="bucket", Key="k", **arguments)
    found: str = caught.value.response["Error"]["Code"]
    return found


def start(s3: Any, key: str = "k", **arguments: Any) -> dict[str, str]:
    made = s3.create_multipart_upload(Bucket="bucket", Key=key, **arguments)
    return {"Bucket": "bucket", "Key": key, "UploadId": made["UploadId"]}


def send(s3: Any, upload: dict[str, str], *parts: bytes, **arguments: Any) -> dict[str, Any]:
    numbered = list(enumerate(parts, start=1))
    made = [(number, s3.upload_part(**upload, PartNumber=number, Body=part, **arguments)) for number, part in numbered]
    return {"Parts": [{"PartNumber": number, "ETag": part["ETag"]} for number, part in made]}


def test_a_completed_upload_says_where_the_object_is(s3: Any) -> None:
    upload = start(s3, "a b/ü")
    made = s3.complete_multipart_upload(**upload, MultipartUpload=send(s3, upload, b"end"))
    assert made["Location"] == f"{s3.meta.endpoint_url}/bucket/a%20b/%C3%BC"


def test_transfers_of_boto3(s3: Any, tmp_path: Path) -> None:
    data, settings = (
        content(20 * MIB + 7),
        TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4),
    )
    (tmp_path / "source").write_bytes(data)
    s3.upload_file(str(tmp_path / "source"), "bucket", "up", Config=settings, ExtraArgs={"Metadata": {"a": "b"}})
    s3.copy({"Bucket": "bucket", "Key": "up"}, "bucket", "copy", Config=settings)
    target = io.BytesIO()
    s3.download_fileobj("bucket", "copy", target, Config=settings)
    assert target.getvalue() == data
    for key in ("up", "copy"):
        head = s3.head_object(Bucket="bucket", Key=key)
        digests = b"".join(hashlib.md5(data[at : at + 5 * MIB]).digest() for at in range(0, len(data), 5 * MIB))
        assert head["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-5"'
        assert head["ContentLength"] == len(data)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("CRC32", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
        ("CRC32C", "COMPOSITE"),
        ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"),
        ("SHA1", "COMPOSITE"),
        ("SHA256", "COMPOSITE"),
    ],
)
def test_checksums_of_parts_make_the_object_s(s3: Any, algorithm: str, kind: str) -> None:
    parts = (content(5 * MIB), b"the end")
    upload = start(s3, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    chosen = send(s3, upload, *parts, ChecksumAlgorithm=algorithm)
    made = s3.complete_multipart_upload(**upload, MultipartUpload=chosen)
    told = made[f"Checksum{algorithm}"]
    assert made["ChecksumType"] == kind
    head = s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (told, kind)
    if kind == "FULL_OBJECT":
        whole = s3.put_object(Bucket="bucket", Key="whole", Body=b"".join(parts), ChecksumAlgorithm=algorithm)
        assert whole[f"Checksum{algorithm}"] == told
    else:
        assert told.endswith("-2")
    assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"".join(parts)


def test_parts_can_be_read_one_by_one(s3: Any) -> None:
    upload = start(s3)
    s3.complete_multipart_upload(**upload, MultipartUpload=send(s3, upload, content(5 * MIB), b"end"))
    answer = s3.get_object(Bucket="bucket", Key="k", PartNumber=2)
    assert (answer["Body"].read(), answer["PartsCount"]) == (b"end", 2)
    assert answer["ContentRange"] == f"bytes {5 * MIB}-{5 * MIB + 2}/{5 * MIB + 3}"
    assert s3.head_object(Bucket="bucket", Key="k", PartNumber=1)["ContentLength"] == 5 * MIB
    assert code(s3.get_object, PartNumber=3) == "InvalidRange"
    facts = s3.get_object_attributes(Bucket="bucket", Key="k", ObjectAttributes=["ObjectParts"])
    assert facts["ObjectParts"]["TotalPartsCount"] == 2


def test_parts_copied_from_objects(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="source", Body=b"0123456789")
    upload = start(s3)
    source = {"CopySource": "bucket/source", "PartNumber": 1}
    copied = s3.upload_part_copy(**upload, **source, CopySourceRange="bytes=2-5")["CopyPartResult"]
    assert copied["ETag"] == f'"{hashlib.md5(b"2345").hexdigest()}"'
    for bad in ("bytes=5-2", "bytes=0-10", "bytes=2-", "2-5"):
        assert code(s3.upload_part_copy, UploadId=upload["UploadId"], **source, CopySourceRange=bad) == "InvalidArgument"
    chosen = {"Parts": [{"PartNumber": 1, "ETag": copied["ETag"]}]}
    s3.complete_multipart_upload(**upload, MultipartUpload=chosen)
    assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"2345"


def test_what_is_said_at_the_start_is_the_object_s(s3: Any) -> None:
    said = {"ContentType": "text/x", "Metadata": {"a": "b"}, "ServerSideEncryption": "aws:kms"}
    upload = start(s3, **said)
    s3.complete_multipart_upload(**upload, MultipartUpload=send(s3, upload, b"x"))
    head = s3.head_object(Bucket="bucket", Key="k")
    assert {name: head[name] for name in said} == said


def test_completions_that_are_refused(s3: Any) -> None:
    upload = start(s3)
    parts = send(s3, upload, b"small", b"end")["Parts"]

    def complete(*chosen: Any, **arguments: Any) -> str:
        call = s3.complete_multipart_upload
        return code(call, UploadId=upload["UploadId"], MultipartUpload={"Parts": list(chosen)}, **arguments)

    assert complete(*parts) == "EntityTooSmall"
    assert complete(parts[1], parts[0]) == "InvalidPartOrder"
    assert complete({"PartNumber": 1, "ETag": '"x"'}) == "InvalidPart"
    assert complete({"PartNumber": 5, "ETag": parts[0]["ETag"]}) == "InvalidPart"
    assert complete() == "MalformedXML"
    assert complete(parts[1], MpuObjectSize=99) == "InvalidRequest"
    s3.put_object(Bucket="bucket", Key="k", Body=b"there")
    assert complete(parts[1], IfNoneMatch="*") == "PreconditionFailed"
    assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"there"
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [parts[1]]})
    assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"end"


def test_completing_twice_and_what_is_gone(s3: Any) -> None:
    upload = start(s3)
    chosen = send(s3, upload, b"x")
    first = s3.complete_multipart_upload(**upload, MultipartUpload=chosen)
    assert s3.complete_multipart_upload(**upload, MultipartUpload=chosen)["ETag"] == first["ETag"]
    assert code(s3.upload_part, UploadId=upload["UploadId"], PartNumber=1, Body=b"") == "NoSuchUpload"
    assert code(s3.abort_multipart_upload, UploadId=upload["UploadId"]) == "NoSuchUpload"
    other = start(s3)
    s3.abort_multipart_upload(**other)
    assert code(s3.list_parts, UploadId=other["UploadId"]) == "NoSuchUpload"


def test_a_part_with_the_wrong_checksum(s3: Any) -> None:
    upload = start(s3, ChecksumAlgorithm="SHA256")
    refused = code(s3.upload_part, UploadId=upload["UploadId"], PartNumber=1, Body=b"x", ChecksumSHA256="A" * 43 + "=")
    assert refused == "BadDigest"
    other = code(s3.upload_part, UploadId=upload["UploadId"], PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA1")
    assert other == "InvalidRequest"
    assert "Parts" not in s3.list_parts(**upload)


def test_lists_of_parts_and_uploads(s3: Any) -> None:
    s3.create_bucket(Bucket="lists")
    made = [s3.create_multipart_upload(Bucket="lists", Key=key)["UploadId"] for key in ("a", "a", "b/1", "b/2", "ü")]
    for number in (1, 2, 3):
        s3.upload_part(Bucket="lists", Key="a", UploadId=made[0], PartNumber=number, Body=b"x" * number)
    pages = s3.get_paginator("list_parts").paginate(Bucket="lists", Key="a", UploadId=made[0], PaginationConfig={"PageSize": 2})
    assert [[(part["PartNumber"], part["Size"]) for part in page["Parts"]] for page in pages] == [[(1, 1), (2, 2)], [(3, 3)]]
    for size in (1, 2, 1000):
        pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket="lists", PaginationConfig={"PageSize": size})
        assert [upload["UploadId"] for page in pages for upload in page["Uploads"]] == made
    answer = s3.list_multipart_uploads(Bucket="lists", Delimiter="/")
    assert [upload["Key"] for upload in answer["Uploads"]] == ["a", "a", "ü"]
    assert [prefix["Prefix"] for prefix in answer["CommonPrefixes"]] == ["b/"]
    assert [upload["Key"] for upload in s3.list_multipart_uploads(Bucket="lists", Prefix="b/")["Uploads"]] == ["b/1", "b/2"]
