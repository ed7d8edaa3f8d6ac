"""Objects over the wire: the real boto3, and raw requests for what boto3 would not send."""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import io
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError

from rekindle.s3 import bucket_folder
from support.object_store import client, memory_folder, served_store

KEYS = [
    "a", "a/b", "a/b/c", "A", "a/", "a//", "a//b", "/", "//", "/lead", ".", "..", "../..", "../../etc/passwd", "a/../b",
    "a/./b",
    "%", "%41", "%2e", "a b+c&d?e#f=g", "back\\slash", "q\"uote'", "<xml>&amp;", "über/naïve/界/🦀", "e\u0301", "\u00e9",
    "tab\tnew\nline", "\x01\x7f", "x" * 1024, "é" * 512, "/" * 100, "k" * 300 + "/" + "l" * 300, "trailing.",
    "trailing ", "CON", "a%=", "b%-",
]  # fmt: skip


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    # What takes longer than that begins its answer with 200, and tells an error below it: test_s3_multipart.py asks for that.
    with served_store(root, domains=("store.test",), patience=600.0) as url:
        yield url


@pytest.fixture(scope="module")
def s3(url: str) -> Iterator[Any]:
    with closing(client(url)) as s3:
        yield s3


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = "b" + hashlib.md5(request.node.nodeid.encode()).hexdigest()
    s3.create_bucket(Bucket=name)
    return name


def code(call: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def raw(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, named)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def read(s3: Any, bucket: str, key: str, **arguments: Any) -> bytes:
    content: bytes = s3.get_object(Bucket=bucket, Key=key, **arguments)["Body"].read()
    return content


def test_every_legal_key(s3: Any, bucket: str, root: Path) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in KEYS:
        assert read(s3, bucket, key) == key.encode()
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(key.encode())
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(KEYS, key=str.encode)
    assert {path.name for path in root.iterdir()} >= {".rekindle", bucket}
    assert not (root / "etc").exists()
    for key in KEYS[::2]:
        s3.delete_object(Bucket=bucket, Key=key)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(KEYS[1::2], key=str.encode)
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS if key.isprintable()]})
    assert "Errors" not in deleted
    for key in KEYS:
        s3.delete_object(Bucket=bucket, Key=key)
    assert list((root / bucket).iterdir()) == []


def test_a_key_that_is_too_long(s3: Any, bucket: str) -> None:
    assert code(s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"") == ("KeyTooLongError", 400)


def test_under_a_key_that_no_file_can_have_is_nothing(s3: Any, bucket: str, root: Path) -> None:
    s3.put_object(Bucket=bucket, Key="a")
    (root / bucket / "loop").symlink_to("loop")
    for key in ("x" * 5000, "x/" * 2500 + "x", "loop/x"):
        assert code(s3.get_object, Bucket=bucket, Key=key) == ("NoSuchKey", 404)
        assert code(s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/{key}")[0] == "NoSuchKey"
        s3.delete_object(Bucket=bucket, Key=key)
        assert s3.list_objects_v2(Bucket=bucket, Prefix=key + "/")["KeyCount"] == 0
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "a"}]})
        assert [entry["Key"] for entry in answer["Deleted"]] == [key, "a"]


def test_everything_said_of_an_object_comes_back(s3: Any, bucket: str) -> None:
    said = {
        "ContentType": "text/csv",
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="x.csv"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"one": "1", "two-words": "a b"},
        "ServerSideEncryption": "aws:kms",
        "StorageClass": "STANDARD_IA",
    }
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"1,2", Tagging="t=1&u=a%20b", **said)
    assert made["ETag"] == f'"{hashlib.md5(b"1,2").hexdigest()}"'
    assert made["ServerSideEncryption"] == "aws:kms"
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in said} == said
        assert answer["ETag"] == made["ETag"]
        assert answer["ContentLength"] == 3
        assert answer["AcceptRanges"] == "bytes"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "t", "Value": "1"}, {"Key": "u", "Value": "a b"}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "v", "Value": ""}]})
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 1
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert read(s3, bucket, "k") == b"1,2"


def test_the_defaults(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert answer["ContentType"] == "binary/octet-stream"
    assert answer["Metadata"] == {}
    assert answer["ETag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    assert "ServerSideEncryption" not in answer


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"ServerSideEncryption": "rot13"}, ("InvalidArgument", 400)),
        ({"StorageClass": "GLACIER"}, ("InvalidStorageClass", 400)),
        ({"ACL": "public-read"}, ("AccessControlListNotSupported", 400)),
        ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}, ("NotImplemented", 501)),
        ({"WebsiteRedirectLocation": "/x"}, ("NotImplemented", 501)),
        ({"Metadata": {"a": "b" * 2048}}, ("MetadataTooLarge", 400)),
        ({"Tagging": "a=1&a=2"}, ("InvalidTag", 400)),
        ({"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, ("BadDigest", 400)),
        ({"ContentMD5": "bad"}, ("InvalidDigest", 400)),
        ({"ChecksumCRC32": "AAAAAQ=="}, ("BadDigest", 400)),
        ({"ChecksumSHA256": "AAAA"}, ("InvalidRequest", 400)),
        ({"ExpectedBucketOwner": "999999999999"}, ("AccessDenied", 403)),
        ({"IfMatch": '"x"'}, ("NoSuchKey", 404)),
    ],
)
def test_puts_that_are_refused_leave_nothing(
    s3: Any, bucket: str, root: Path, arguments: dict[str, Any], expected: Any
) -> None:
    # SSE-C keys are refused by boto3 on plain HTTP, unless it is told that the endpoint is https.
    s3.meta.events.unregister("before-parameter-build.s3.PutObject", unique_id="sse-c")
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"body", **arguments) == expected
    assert list((root / bucket).iterdir()) == []
    assert not list((root / ".rekindle" / "metadata").glob(f"{bucket}/*/*"))
    assert [path.name for path in (root / ".rekindle" / "scratch").glob("*/*")] == ["alive"]


def test_conditions_on_reads(s3: Any, bucket: str) -> None:
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    for call in (s3.get_object, s3.head_object):
        assert call(Bucket=bucket, Key="k", IfMatch=made["ETag"], IfUnmodifiedSince=modified)["ETag"] == made["ETag"]
        assert code(call, Bucket=bucket, Key="k", IfMatch='"x"')[1] == 412
        assert code(call, Bucket=bucket, Key="k", IfNoneMatch=made["ETag"]) == ("304", 304)
        assert code(call, Bucket=bucket, Key="k", IfModifiedSince=modified) == ("304", 304)


def test_conditions_on_writes(s3: Any, bucket: str) -> None:
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"') == ("PreconditionFailed", 412)
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=made["ETag"])
    assert code(s3.delete_object, Bucket=bucket, Key="k", IfMatch=made["ETag"]) == ("PreconditionFailed", 412)
    assert read(s3, bucket, "k") == b"3"


def test_of_concurrent_creations_one_wins(s3: Any, bucket: str) -> None:
    def create(number: int) -> int | None:
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(create, range(16)) if number is not None]
    assert [read(s3, bucket, "k")] == [str(number).encode() for number in winners]


def test_ranges(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-4")
    assert answer["ContentRange"] == "bytes 2-4/10"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["Body"].read() == b"234"
    assert read(s3, bucket, "k", Range="bytes=7-") == b"789"
    assert read(s3, bucket, "k", Range="bytes=-3") == b"789"
    assert read(s3, bucket, "k", Range="bytes=8-100") == b"89"
    assert read(s3, bucket, "k", Range=f"bytes=8-{2**64 - 1}") == b"89"
    assert code(s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={2**64 - 1}-") == ("InvalidRange", 416)
    assert s3.head_object(Bucket=bucket, Key="k", Range="bytes=0-0")["ContentLength"] == 1
    assert code(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == ("InvalidRange", 416)


def test_presigned_urls_in_both_styles(s3: Any, url: str, bucket: str) -> None:
    put = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "dir/a b"}))
    assert raw(url, "PUT", f"{put.path}?{put.query}", b"content", Content_Type="text/x")[0] == 200
    shown = {"ResponseContentType": "text/plain", "ResponseContentDisposition": "inline"}
    get = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "dir/a b", **shown}))
    status, headers, content = raw(url, "GET", f"{get.path}?{get.query}")
    assert (status, content) == (200, b"content")
    assert (headers["content-type"], headers["content-disposition"]) == ("text/plain", "inline")
    for host in (f"{bucket}.localhost", f"{bucket}.s3.eu-west-1.amazonaws.com", f"{bucket}.store.test"):
        assert raw(url, "GET", "/dir/a%20b", Host=host)[2] == b"content"
        assert b"<Key>dir/a b</Key>" in raw(url, "GET", "/?list-type=2", Host=host)[2]


def test_an_upload_by_a_url_of_javascript_s_sdk_is_stored(url: str, s3: Any, bucket: str) -> None:
    # It signs the checksum of the body that it has when it makes the URL: none.
    of_nothing = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
    assert raw(url, "PUT", f"/{bucket}/k?{of_nothing}", b"content")[0] == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    assert raw(url, "PUT", f"/{bucket}/k?partNumber=1&uploadId={upload}&{of_nothing}", b"content")[0] == 200
    status, _, answer = raw(url, "PUT", f"/{bucket}/k", b"content", x_amz_checksum_crc32="AAAAAA==")
    assert (status, b"<Code>BadDigest</Code>" in answer) == (400, True)


def test_what_a_url_says_for_a_header_can_be_told_again(url: str, s3: Any, bucket: str) -> None:
    for said in ("x-amz-meta-a=b%0Ac", "x-amz-meta-a%20b=c", "x-amz-server-side-encryption-aws-kms-key-id=%0A"):
        status, _, answer = raw(url, "PUT", f"/{bucket}/k?{said}", b"x")
        assert (status, b"<Code>InvalidArgument</Code>" in answer) == (400, True)
    assert raw(url, "PUT", f"/{bucket}/k?x-amz-meta-a=%20%C3%A9%20", b"x")[0] == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "\u00e9"}
    for value in ("a\nb", "\u754c"):
        assert code(s3.get_object, Bucket=bucket, Key="k", ResponseContentDisposition=value) == ("InvalidArgument", 400)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_verified_kept_and_told(s3: Any, bucket: str, algorithm: str) -> None:
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"hello world" * 1000, ChecksumAlgorithm=algorithm)
    told = f"Checksum{algorithm}"
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[told] == made[told]
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["Body"].read() == b"hello world" * 1000
    assert told not in s3.head_object(Bucket=bucket, Key="k")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]
    facts = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert facts["Checksum"][told] == made[told]
    assert (facts["ObjectSize"], facts["ETag"]) == (11000, made["ETag"].strip('"'))


def test_chunked_bodies(url: str, s3: Any, bucket: str) -> None:
    crc = base64.b64encode(bytes.fromhex("0d4a1185")).decode()
    body = b"6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n"
    headers = {
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x_amz_decoded_content_length": "11",
        "x_amz_trailer": "x-amz-checksum-crc32",
        "content_encoding": "gzip,aws-chunked",
    }
    status, told, _ = raw(url, "PUT", f"/{bucket}/k", body % crc.encode(), **headers)
    assert (status, told["x-amz-checksum-crc32"]) == (200, crc)
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer["ContentEncoding"]) == (b"hello world", "gzip")
    status, _, content = raw(url, "PUT", f"/{bucket}/k", body % b"AAAAAA==", **headers)
    assert status == 400
    assert b"<Code>BadDigest</Code>" in content
    signed = {**headers, "x_amz_content_sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    del signed["x_amz_trailer"]
    mark = b";chunk-signature=" + b"0" * 64
    assert raw(url, "PUT", f"/{bucket}/s", b"b%s\r\nhello world\r\n0%s\r\n\r\n" % (mark, mark), **signed)[0] == 200
    assert read(s3, bucket, "s") == b"hello world"


def test_copies(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket, Key="a b/ü", Body=b"content", Metadata={"x": "y"}, ContentType="text/x", ChecksumAlgorithm="SHA256"
    )
    source = {"Bucket": bucket, "Key": "a b/ü"}
    made = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    copied = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert (copied["ETag"], copied["Metadata"], copied["ContentType"]) == (made["ETag"], {"x": "y"}, "text/x")
    assert copied["ChecksumSHA256"] == made["ChecksumSHA256"]
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "m"})
    assert s3.head_object(Bucket=bucket, Key="new")["Metadata"] == {"n": "m"}
    assert code(s3.copy_object, Bucket=bucket, Key="copy", CopySource=f"{bucket}/copy") == ("InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/copy", MetadataDirective="REPLACE")
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {}
    assert code(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/none") == ("NoSuchKey", 404)
    assert code(s3.copy_object, Bucket=bucket, Key="c", CopySource="no-such-bucket/k") == ("NoSuchBucket", 404)
    refused = code(s3.copy_object, Bucket=bucket, Key="c", CopySource=source, CopySourceIfNoneMatch=made["ETag"])
    assert refused == ("PreconditionFailed", 412)
    assert read(s3, bucket, "copy") == b"content"


def test_delete_objects(s3: Any, bucket: str) -> None:
    for key in ("a", "a/b", "c"):
        s3.put_object(Bucket=bucket, Key=key)
    wish = [{"Key": "a"}, {"Key": "a/b", "VersionId": "null"}, {"Key": "c", "VersionId": "1"}, {"Key": "none"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wish})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["a", "a/b", "none"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("c", "NoSuchVersion")]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}], "Quiet": True})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_deletion_on_a_condition_that_is_unknown_here_is_refused(url: str, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"kept")
    for condition in ("x_amz_if_match_size", "x_amz_if_match_last_modified_time"):
        status, _, told = raw(url, "DELETE", f"/{bucket}/a", **{condition: "4"})
        assert (status, condition.replace("_", "-").encode() in told) == (501, True)
    for name in ("Size", "LastModifiedTime"):
        wish = f"<Delete><Object><Key>a</Key><{name}>4</{name}></Object></Delete>".encode()
        md5 = base64.b64encode(hashlib.md5(wish).digest()).decode()
        status, _, told = raw(url, "POST", f"/{bucket}?delete", wish, content_md5=md5)
        assert (status, f"The element {name} is not supported".encode() in told) == (200, True)
    assert read(s3, bucket, "a") == b"kept"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    at = f"/{bucket}/a?uploadId={upload}"
    assert raw(url, "DELETE", at, x_amz_if_match_initiated_time="Thu, 01 Jan 1970 00:00:00 GMT")[0] == 501
    assert raw(url, "DELETE", at)[0] == 204


def test_a_list_to_delete_that_is_refused_deletes_nothing(url: str, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a")
    wish = b"<Delete><Object><Key>a</Key></Object><Object><Key></Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(wish).digest()).decode()
    status, _, answer = raw(url, "POST", f"/{bucket}?delete", wish, Content_MD5=md5)
    assert (status, b"MalformedXML" in answer) == (400, True)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        ("GET", "/{b}/none", b"", {}, (404, "NoSuchKey")),
        ("GET", "/no-such-bucket/k", b"", {}, (404, "NoSuchBucket")),
        ("GET", "/Bad_Name/k", b"", {}, (400, "InvalidBucketName")),
        ("GET", "/.rekindle/layout.json", b"", {}, (400, "InvalidBucketName")),
        ("GET", "/../{b}", b"", {}, (400, "InvalidBucketName")),
        ("GET", "/{b}/%ff", b"", {}, (400, "InvalidURI")),
        ("PATCH", "/{b}/k", b"", {}, (405, "MethodNotAllowed")),
        ("POST", "/{b}", b"", {}, (405, "MethodNotAllowed")),
        ("PUT", "/{b}/k?retention", b"<x/>", {}, (501, "NotImplemented")),
        ("PUT", "/{b}?versioning", b"<x/>", {}, (501, "NotImplemented")),
        ("POST", "/{b}?delete", b"<Delete/>", {}, (400, "InvalidRequest")),
        ("POST", "/{b}?delete", b"<Delete/>", {"Content_MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, (400, "BadDigest")),
        ("POST", "/{b}/k?uploadId=x", b"", {}, (400, "MalformedXML")),
        ("POST", "/{b}/k?uploadId=x", b"<!DOCTYPE a [<!ENTITY e 'e'>]><a>&e;</a>", {}, (400, "MalformedXML")),
        ("PUT", "/{b}/k?partNumber=0&uploadId=x", b"", {"Content_Length": "0"}, (400, "InvalidArgument")),
        ("PUT", "/{b}/k?partNumber=1&uploadId=x", b"", {"Content_Length": "0"}, (404, "NoSuchUpload")),
        ("GET", "/{b}?max-keys=-1", b"", {}, (400, "InvalidArgument")),
        ("GET", "/{b}?max-keys=a", b"", {}, (400, "InvalidArgument")),
        ("GET", "/{b}?list-type=3", b"", {}, (400, "InvalidArgument")),
        ("GET", "/{b}?encoding-type=utf", b"", {}, (400, "InvalidArgument")),
        ("GET", "/{b}?list-type=2&continuation-token=%21", b"", {}, (400, "InvalidArgument")),
        ("GET", "/{b}/k?versionId=3", b"", {}, (404, "NoSuchVersion")),
        ("PUT", "/{b}/k", b"0\r\n\r\n", {"Transfer_Encoding": "chunked"}, (411, "MissingContentLength")),
        ("PUT", "/{b}/k", b"x", {"x_amz_copy_source": "nothing"}, (400, "InvalidArgument")),
        ("PUT", "/{b}/k", b"x", {"x_amz_object_lock_event_hold": "ON"}, (501, "NotImplemented")),
    ],
)
def test_errors_are_documents(
    url: str, bucket: str, method: str, path: str, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    status, told, content = raw(url, method, path.replace("{b}", bucket), body, **headers)
    assert (status, content.partition(b"<Code>")[2].partition(b"<")[0].decode()) == expected
    assert told["content-type"] == "application/xml"
    assert told["x-amz-request-id"].encode() in content


def test_a_document_that_is_too_large(url: str, bucket: str) -> None:
    status, _, content = raw(
        url, "PUT", f"/{bucket}/k?tagging", b"<Tagging>" + b" " * (1 << 20), Content_MD5="AAAAAAAAAAAAAAAAAAAAAA=="
    )
    assert (status, b"MaxMessageLengthExceeded" in content) == (400, True)


def test_an_upload_that_breaks_off_leaves_nothing(url: str, s3: Any, bucket: str, root: Path) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n".encode() + b"n" * 3_000_000
        )
    assert read(s3, bucket, "k") == b"old"
    raw(url, "GET", "/")
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == 3


def test_who_is_refused_in_the_middle_of_a_body_gets_to_read_why(url: str, bucket: str) -> None:
    body = b"no chunk\r\n" + bytes(6 << 20)
    host, port = urlsplit(url).netloc.split(":")
    head = f"PUT /{bucket}/k HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Encoding: aws-chunked\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}x-amz-decoded-content-length: 9\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, b"'no chunk'" in answer.read()) == (400, True)


def test_who_sends_a_large_body_that_is_refused_gets_to_read_why(url: str) -> None:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        for _ in range(2):
            connection.request("PUT", "/no-such-bucket/k", bytes(64 << 20))
            answer = connection.getresponse()
            assert (answer.status, b"NoSuchBucket" in answer.read()) == (404, True)


def test_nothing_is_read_for_a_client_that_is_gone(url: str, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=bytes(64 << 20))
    reads: list[int | None] = []
    closed = threading.Event()

    class Counted(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            reads.append(size)
            return super().read(size)

        def close(self) -> None:
            super().close()
            closed.set()

    monkeypatch.setattr(bucket_folder, "_open_plain", Counted)
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"GET /{bucket}/k HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert closed.wait(10)
    assert len(reads) < 32


def test_an_object_that_cannot_be_read_to_its_end_breaks_off(
    url: str, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=bytes(3 << 20))

    class Broken(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    monkeypatch.setattr(bucket_folder, "_open_plain", Broken)
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request("GET", f"/{bucket}/k")
        with pytest.raises(http.client.IncompleteRead) as caught:
            connection.getresponse().read()
    assert caught.value.partial == bytes(1 << 20)


def test_a_file_dropped_into_the_bucket_is_an_object(s3: Any, bucket: str, root: Path) -> None:
    (root / bucket / "dir").mkdir()
    (root / bucket / "dir" / "by hand.txt").write_bytes(b"by hand")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [(entry["Key"], entry["ETag"].strip('"')) for entry in listed] == [
        ("dir/by hand.txt", hashlib.md5(b"by hand").hexdigest())
    ]
    assert read(s3, bucket, "dir/by hand.txt") == b"by hand"
    s3.put_object(Bucket=bucket, Key="dir/by boto.txt", Body=b"by boto")
    assert (root / bucket / "dir" / "by boto.txt").read_bytes() == b"by boto"


def test_a_url_quoted_key_is_taken_literally(url: str, s3: Any, bucket: str) -> None:
    raw(url, "PUT", f"/{bucket}/" + quote("a%2Fb", safe=""), b"x", Content_Length="1")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a%2Fb"]
